"""Pong against its rules, written down once more for one ball at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.pong import DOWN, FRAMES, STAY, UP, Pong
from tests.helpers.parity import TRANSITIONS, step_from

FIELDS = ("left", "right", "x", "y", "vx", "vy")
DIRECTION = {STAY: 0, UP: 1, DOWN: -1}
WIDTH, HEIGHT, PADDLE, BALL = 500.0, 640.0, 70.0, 32.0


@dataclass
class Game:
    left: float
    right: float
    x: float
    y: float
    vx: float
    vy: float
    bounces: str = ""

    def frame(self, direction: int) -> int:
        """Who scored: 1, -1 or 0."""
        self.right = min(max(self.right + 8 * direction, -PADDLE / 2), HEIGHT - PADDLE / 2)
        chase = self.y - (self.left + PADDLE / 2)
        self.left = min(max(self.left + min(max(chase, -8), 8), -PADDLE / 2), HEIGHT - PADDLE / 2)
        self.x, self.y = self.x + self.vx, self.y + self.vy
        if self.y < 0 or self.y + BALL > HEIGHT:
            self.vy = -self.vy
            self.y = 0 if self.y < 0 else HEIGHT - BALL
            self.bounces += "wall "
        if self.x < 0:
            if not self.meets(self.left):
                return 1
            self.vx, self.x = -self.vx, 0
            self.bounces += "left "
        elif self.x + BALL > WIDTH:
            if not self.meets(self.right):
                return -1
            self.vx, self.x = -self.vx, WIDTH - BALL
            self.vy = min(max(self.vy + 3 * direction, -13), 13)
            if abs(self.vy) < 0.01:
                self.vy = 3
            self.bounces += "right "
        return 0

    def meets(self, paddle: float) -> bool:
        return self.y + BALL > paddle and self.y < paddle + PADDLE

    def step(self, action: int) -> int:
        for _ in range(FRAMES):
            point = self.frame(DIRECTION[action])
            if point:
                start = (HEIGHT - PADDLE) / 2
                self.left, self.right, self.x, self.y, self.vx = start, start, WIDTH / 5, (HEIGHT - BALL) / 2, 10
                return point
        return 0


def states(n: int) -> np.ndarray:
    """Of these, most are close to a paddle; velocities are whole numbers, so that float32 makes no difference."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random(n) < 0.8, rng.choice([0, WIDTH - BALL - 40], n) + rng.integers(0, 41, n), rng.integers(469))
    y = rng.integers(0, 609, n)
    near = rng.integers(-110, 40, (2, n)) + y
    paddles = np.where(rng.random((2, n)) < 0.7, near, rng.integers(-35, 606, (2, n))).clip(-35, 605)
    return np.column_stack([*paddles, x, y, rng.choice([-10, 10], n), rng.integers(-13, 14, n)]).astype(np.float64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transitions(dtype):
    given = states(2 * TRANSITIONS)
    actions = np.random.default_rng(1).integers(3, size=len(given))
    found = step_from(Pong, dict(zip(FIELDS, given.T, strict=True)), actions, dtype=dtype)
    games = [Game(*row) for row in given]
    rewards = np.array([game.step(action) for game, action in zip(games, actions, strict=True)])
    np.testing.assert_array_equal(found.rewards, rewards)
    expected = np.array([[getattr(game, name) for name in FIELDS] for game in games])
    after = np.column_stack(found.state[:6])
    np.testing.assert_array_equal(after[:, :5], expected[:, :5])
    going_on = rewards == 0
    np.testing.assert_array_equal(after[going_on, 5], expected[going_on, 5])
    served = after[~going_on, 5]
    assert stats.binomtest(int((served == 1).sum()), len(served)).pvalue > 1e-3
    assert set(served) == {-1, 1}
    np.testing.assert_array_equal(found.state.points, rewards > 0)
    np.testing.assert_array_equal(found.state.lost, rewards < 0)
    assert not found.terminals.any()
    for kind in ("wall", "left", "right", "wall left", "wall right"):
        assert sum(kind in game.bounces for game in games) > 20
    assert min((rewards == 1).sum(), (rewards == -1).sum()) > 500

    low = np.array([-35, -35, 0, 0, -10, -13])
    high = np.array([605, 605, WIDTH - BALL, HEIGHT - BALL, 10, 13])
    np.testing.assert_allclose(found.observations[:, :6], (after - low) / (high - low), atol=1e-6)
    np.testing.assert_allclose(found.observations[:, 6:], np.column_stack([rewards < 0, rewards > 0]) / 21)


@pytest.mark.parametrize("max_score", [1, 3])
def test_episode_ends_with_the_last_point(max_score):
    """The agent goes to the bottom and loses every rally, the ball flies to the middle."""
    env = Pong(8, max_score=max_score, ball_speed_y=0.5)
    env.reset(seed=0)
    lost = np.zeros(8, np.int64)
    for _ in range(200):
        _, rewards, terminals, _, _ = env.step(np.full(8, DOWN))
        lost -= rewards.astype(np.int64)
        np.testing.assert_array_equal(terminals, lost == max_score)
        lost[terminals] = 0
    log = env.log()
    assert log["episodes"] > 8
    assert log["episode_return"] == -max_score
    assert (log["points"], log["lost"]) == (0, max_score)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"paddle": 0.0}, "paddle is 0; expected more than 0"),
        ({"ball": 500.0}, "ball is 500; expected less than 500"),
        ({"paddle": 700.0}, "paddle is 700; expected less than 640"),
        ({"ball_speed_y": 14.0}, "ball_speed_y is 14; expected 0 to ball_max_speed_y, 13"),
        ({"ball_speed_y": -1.0}, "ball_speed_y is -1; expected 0 to ball_max_speed_y, 13"),
        ({"max_score": 0}, "max_score is 0; expected at least 1"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Pong: parameter {message}"):
        Pong(jit=False, **params)


def test_image():
    env = Pong(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 352, 3), np.uint8)
    env.step([UP])
    assert (env.render() != image).any()
