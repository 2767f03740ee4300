"""MinAtar's Breakout against the authors' package."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.envs.minatar_breakout import WALL, MinAtarBreakout
from tests.helpers.minatar_parity import follow, step_from_states
from tests.helpers.parity import TRANSITIONS

DIRECTIONS = [(-1, -1), (1, -1), (1, 1), (-1, 1)]  # the reference's numbers 0 to 3


def as_reference(s, i):
    bricks = np.zeros((10, 10))
    bricks[1:4] = [[int(s.bricks[i]) >> (10 * row + column) & 1 for column in range(10)] for row in range(3)]
    return {
        "ball_x": int(s.x[i]),
        "ball_y": int(s.y[i]),
        "last_x": int(s.last_x[i]),
        "last_y": int(s.last_y[i]),
        "ball_dir": DIRECTIONS.index((s.dx[i], s.dy[i])),
        "pos": int(s.paddle[i]),
        "strike": bool(s.struck[i]),
        "brick_map": bricks,
    }


def play(game, rng):
    """Go below the ball; now and then do anything."""
    if rng.random() < 0.1:
        return int(rng.integers(6))
    return 0 if game.ball_x == game.pos else 3 if game.ball_x > game.pos else 1


def play_minimally(game, rng):
    return int(rng.choice([0, 1, 3]))


def test_episodes_are_the_references():
    seen = follow(MinAtarBreakout, "breakout", as_reference, play)
    assert seen.terminals.sum() > 20
    assert seen.rewards.sum() > 200
    follow(MinAtarBreakout, "breakout", as_reference, play_minimally, minimal_actions=True, steps=200)


@pytest.mark.slow
def test_transitions_are_the_references():
    rng = np.random.default_rng(0)
    n = TRANSITIONS
    states = {
        "x": rng.integers(10, size=n),
        "y": rng.integers(9, size=n),
        "dx": rng.choice([-1, 1], n),
        "dy": rng.choice([-1, 1], n),
        "last_x": rng.integers(10, size=n),
        "last_y": rng.integers(9, size=n),
        "paddle": rng.integers(10, size=n),
        "struck": rng.random(n) < 0.3,
        "bricks": rng.integers(WALL + 1, size=n) * (rng.random(n) < 0.8),
        "last_action": rng.integers(6, size=n),
    }
    seen = step_from_states(MinAtarBreakout, "breakout", as_reference, states, rng.integers(6, size=n))
    for name, value in {"ball_x": 0, "ball_y": 0, "ball_y ": 8, "strike": True, "terminal": True}.items():
        assert sum(game[name.strip()] == value for game in seen.games) > 200
    walls = np.array([np.sum(game["brick_map"]) for game in seen.games])
    assert ((states["bricks"] == 0) & (walls == 30)).sum() > 50  # a new one
    assert (seen.rewards == 1).sum() > 500
    assert set(seen.rewards) == {0, 1}


def test_first_states():
    env = MinAtarBreakout(2000)
    observations, _ = env.reset(seed=0)
    assert 900 < (env.state.x == 0).sum() < 1100
    assert ((env.state.x == 0) == (env.state.dx == 1)).all()
    assert observations[:, :, :, 3].sum() == 30 * 2000


def test_spaces_and_bad_params():
    assert MinAtarBreakout(jit=False).single_action_space.n == 6
    assert MinAtarBreakout(jit=False, minimal_actions=True).single_action_space.n == 3
    with pytest.raises(ValueError, match=r"MinAtarBreakout: parameter sticky_action_prob is 1.5; expected 0 to 1"):
        MinAtarBreakout(jit=False, sticky_action_prob=1.5)


def test_image():
    env = MinAtarBreakout(2, jit=False)
    env.reset(seed=0)
    image = env.render(1)
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step([0, 0])
    assert (env.render(1) != image).any()
