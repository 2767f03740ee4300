"""Breakout against its rules, written down once more: every edge of every brick, tried one by one in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from puffer_numba.envs.breakout import BOUNCE_ANGLE, LEFT, RIGHT, STAY, Breakout
from tests.helpers.parity import TRANSITIONS, step_from

WIDTH, HEIGHT, BALL, PADDLE_Y = 576.0, 330.0, 32.0, 312.0
BRICK_WIDTH, BRICK_HEIGHT, TOP, ROWS, COLUMNS = 32.0, 12.0, 50.0, 6, 18
WORTH = [7, 7, 4, 4, 1, 1]
MOVES = {STAY: 0.0, LEFT: -620 / 60, RIGHT: 620 / 60}
FIELDS = ("paddle_x", "paddle_width", "x", "y", "vx", "vy", "speed", "hits", "balls", "walls", "standing", "broken")


def meeting(wall: float, low: float, high: float, side: float, speed: float, start: float, drift: float):
    """When a side of the ball, BALL long and moving, meets an edge of a wall, and along how much of it; or None."""
    t = (wall - side) / speed
    contact = min(high, start + BALL + drift * t) - max(low, start + drift * t)
    return (t, contact) if 0 <= t <= 1 and contact > 0 else None


@dataclass
class Game:
    paddle_x: float
    paddle_width: float
    x: float
    y: float
    vx: float
    vy: float
    speed: float
    hits: int
    balls: int
    walls: int
    standing: int
    broken: NDArray[np.bool_]
    event: str = ""

    def meetings(self):
        """``(t, -contact, event, brick)`` of all that could be met."""
        x, y, vx, vy = self.x, self.y, self.vx, self.vy
        right, down = vx > 0, vy > 0
        for k in np.flatnonzero(~self.broken).tolist():
            left, above = k % COLUMNS * BRICK_WIDTH, TOP + k // COLUMNS * BRICK_HEIGHT
            edge, side = (left, x + BALL) if right else (left + BRICK_WIDTH, x)
            if found := meeting(edge, above, above + BRICK_HEIGHT, side, vx, y, vy):
                yield found[0], -found[1], "brick, from the side", k
            edge, side = (above, y + BALL) if down else (above + BRICK_HEIGHT, y)
            if found := meeting(edge, left, left + BRICK_WIDTH, side, vy, x, vx):
                yield found[0], -found[1], "brick, from above" if down else "brick, from below", k
        t = (WIDTH - BALL - x if right else -x) / vx
        if t < 1:
            yield t, 0.0, "side", -1
        if not down and -y / vy < 1:
            yield -y / vy, 0.0, "ceiling", -1
        if down:
            found = meeting(PADDLE_Y, self.paddle_x, self.paddle_x + self.paddle_width, y + BALL, vy, x, vx)
            if found and found[0] < 1:
                yield found[0], 0.0, "paddle", -1

    def frame(self, action: int) -> float:
        """The reward."""
        self.paddle_x = min(max(self.paddle_x + MOVES[action], 0), WIDTH - self.paddle_width)
        t, _, self.event, brick = min(self.meetings(), default=(1.0, 0.0, "", -1))
        self.x, self.y = self.x + self.vx * t, self.y + self.vy * t
        if self.event == "paddle":
            angle = BOUNCE_ANGLE * (2 * (self.x + BALL / 2 - self.paddle_x) / self.paddle_width - 1)
            self.vx, self.vy = self.speed / 60 * math.sin(angle), -self.speed / 60 * math.cos(angle)
            self.hits += 1
            if self.hits % 4 == 0:
                self.speed = min(448, self.speed + 64)
            if self.broken.all():
                self.broken[:] = False
                self.standing = ROWS * COLUMNS
        elif self.event in ("side", "brick, from the side"):
            self.vx = -self.vx
        elif self.event:
            self.vy = -self.vy
        if self.event == "ceiling":
            self.paddle_width = 31
        if brick >= 0:
            self.broken[brick] = True
            self.standing -= 1
            self.walls += self.standing == 0
            self.speed = 448 if brick // COLUMNS < 3 else self.speed
            return WORTH[brick // COLUMNS]
        if self.y >= PADDLE_Y + 8:
            self.event = "lost"
            self.balls -= 1
            if self.balls:
                self.paddle_x, self.paddle_width, self.speed, self.hits = 257.0, 62.0, 256.0, 0
                self.x, self.y, angle = 272.0, 135.0, math.pi / 3.25
                self.vx, self.vy = math.sin(angle) * 256 / 60, math.cos(angle) * 256 / 60
        return 0.0


def states(n: int) -> dict[str, NDArray]:
    """The ball is inside no brick; in most states it is just beside one, or near the paddle."""
    rng, m = np.random.default_rng(0), 4 * n
    broken = rng.random((m, ROWS * COLUMNS)) < rng.choice([0.5, 0.9, 0.97, 1.0], (m, 1))
    left = np.arange(ROWS * COLUMNS) % COLUMNS * BRICK_WIDTH
    above = TOP + np.arange(ROWS * COLUMNS) // COLUMNS * BRICK_HEIGHT
    x, y = rng.uniform(0, WIDTH - BALL, m), rng.uniform(0, 320, m)
    brick, side, gap = rng.integers(ROWS * COLUMNS, size=m), rng.integers(7, size=m), rng.uniform(0, 5, m)
    along_x = left[brick] + rng.uniform(-BALL, BRICK_WIDTH, m)
    along_y = above[brick] + rng.uniform(-BALL, BRICK_HEIGHT, m)
    x = np.select([side < 2, side == 2, side == 3], [along_x, left[brick] - BALL - gap, left[brick] + 32 + gap], x)
    y = np.select([side == 0, side == 1, side < 4], [above[brick] - BALL - gap, above[brick] + 12 + gap, along_y], y)
    y = np.where(side == 4, rng.uniform(270, 320, m), y)
    x = x.clip(0, WIDTH - BALL)
    broken[np.arange(m)[side < 4], brick[side < 4]] = False
    across = (x[:, None] < left + BRICK_WIDTH) & (x[:, None] + BALL > left)
    inside = across & (y[:, None] < above + BRICK_HEIGHT) & (y[:, None] + BALL > above)
    keep = np.flatnonzero(~(inside & ~broken).any(axis=1))[:n]
    assert len(keep) == n
    x, y, broken = x[keep], y[keep], broken[keep]
    angle = rng.uniform(-np.pi / 3, np.pi / 3, n) + np.where(rng.random(n) < 0.5, np.pi, 0)
    speed = rng.choice([256.0, 320.0, 384.0, 448.0], n)
    width = rng.choice([31.0, 62.0], n)
    standing = (~broken).sum(axis=1)
    return {
        "paddle_x": np.clip(x + rng.uniform(-70, 40, n), 0, WIDTH - width),
        "paddle_width": width,
        "x": x,
        "y": y,
        "vx": speed / 60 * np.sin(angle),
        "vy": speed / 60 * np.cos(angle),
        "speed": speed,
        "hits": rng.integers(0, 8, n),
        "balls": rng.integers(1, 6, n),
        "walls": np.where(standing == 0, 1, rng.integers(0, 2, n)),
        "standing": standing,
        "broken": broken,
    }


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-3)])
def test_transitions(dtype, tolerance):
    n = 2 * TRANSITIONS
    given = states(n)
    for name in ("paddle_x", "x", "y", "vx", "vy"):
        given[name] = given[name].astype(dtype)
    given["vx"] = np.where(np.abs(given["vx"]) < 1e-2, 1e-2, given["vx"]).astype(dtype)
    actions = np.random.default_rng(1).integers(3, size=n)
    found = step_from(Breakout, given, actions, dtype=dtype, frameskip=1)
    columns = zip(*(given[name] for name in FIELDS), strict=True)
    games = [Game(*(v.copy() if isinstance(v, np.ndarray) else v.item() for v in row)) for row in columns]
    rewards = np.array([game.frame(action) for game, action in zip(games, actions, strict=True)])
    events = np.array([game.event for game in games])
    expected = {name: np.array([getattr(game, name) for game in games]) for name in FIELDS}

    same = np.ones(n, np.bool_)
    for name in FIELDS:
        ours, theirs = getattr(found.state, name).astype(float), expected[name]
        difference = np.abs(ours - theirs)
        if name == "vx":  # a ball is served to either side
            difference = np.where(events == "lost", np.abs(np.abs(ours) - np.abs(theirs)), difference)
        same &= (difference.reshape(n, -1) <= tolerance).all(axis=1)
    same &= (found.rewards == rewards) & (found.terminals == ((expected["walls"] == 2) | (expected["balls"] == 0)))
    # in float32, what is met by a hair's breadth may be missed
    assert same.all() if dtype == "float64" else same.mean() > 0.999
    names, counts = np.unique(events, return_counts=True)
    assert len(names) == 8
    assert counts.min() > 40
    assert found.terminals.sum() > 100
    assert (expected["walls"] == 2).any()
    assert (given["standing"] == 0)[events == "paddle"].any()
    served = found.state.vx[(events == "lost") & (expected["balls"] > 0)] > 0
    assert stats.binomtest(int(served.sum()), len(served)).pvalue > 1e-3


def test_a_step_is_four_frames():
    """Episodes of a paddle that follows the ball; balls that are lost, and serves, included."""
    fast, slow = Breakout(16, dtype="float64"), Breakout(16, dtype="float64", frameskip=1)
    fast.reset(seed=0), slow.reset(seed=0)
    lost = 0
    for _ in range(2500):
        gap = fast.state.x + BALL / 2 - fast.state.paddle_x - fast.state.paddle_width / 2
        actions = np.where(gap > 21, RIGHT, np.where(gap < -21, LEFT, STAY))
        balls, before = fast.state.balls.copy(), slow.state.balls.copy()
        rewards, running = np.zeros(16), np.ones(16, np.bool_)
        saved = None
        for _ in range(4):
            if not running.all():
                saved = slow.get_state()
            slow.step(actions)
            if saved is not None:  # the frames after a lost ball are left out
                now = slow.get_state()
                for name, array in now.items():
                    if name != "log" and len(array) == 16:
                        array[~running] = saved[name][~running]
                slow.set_state(now)
            rewards += np.where(running, slow.rewards, 0)
            running &= (slow.state.balls == before) & ~slow.terminals
        _, found, *_ = fast.step(actions)
        np.testing.assert_array_equal(found, rewards)
        for ours, expected in zip(fast.state, slow.state, strict=True):
            np.testing.assert_array_equal(ours, expected)
        lost += (fast.state.balls != balls).sum()
    assert lost > 16


def test_observations():
    env = Breakout(8)
    env.reset(seed=0)
    for _ in range(400):
        s = env.state
        gap = s.x + BALL / 2 - s.paddle_x - s.paddle_width / 2
        observations = env.step(np.where(gap > 20, RIGHT, np.where(gap < -20, LEFT, STAY)))[0]
        numbers = [s.paddle_x / 576, s.paddle_width / 62, s.x / 576, s.y / 330, s.vx * 60 / 448, s.vy * 60 / 448]
        numbers += [s.speed / 448, s.balls / 5, s.walls / 2, s.hits % 4 / 4]
        np.testing.assert_allclose(observations[:, :10], np.column_stack(numbers), atol=1e-6)
        np.testing.assert_array_equal(observations[:, 10:], s.broken)
    assert s.broken.any()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rows": 0}, "rows is 0; expected at least 1"),
        ({"frameskip": 0}, "frameskip is 0; expected at least 1"),
        ({"ball": 0.0}, "ball is 0; expected more than 0"),
        ({"ball_max_speed": 200.0}, "ball_max_speed is 200; expected ball_speed, 256, to"),
        ({"speed_up": -1.0}, "speed_up is -1; expected at least 0"),
        ({"columns": 19}, "width is 576; expected at least that of the paddle, the ball, and 19 bricks of 32"),
        ({"rows": 8}, "top is 50; expected that 8 rows of bricks of 12 below it end above"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Breakout: parameter {message}"):
        Breakout(jit=False, **params)


def test_image():
    env = Breakout(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((330, 576, 3), np.uint8)
    env.step([RIGHT])
    assert (env.render() != image).any()
