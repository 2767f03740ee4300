"""GridWalk: every transition of a small grid, first states, and the way to the goal."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from puffer_numba import APIUsageError
from puffer_numba.envs.grid_walk import DOWN, LEFT, RIGHT, UP, GridWalk
from tests.helpers.parity import TRANSITIONS, step_from

MOVES = {UP: (0, -1), DOWN: (0, 1), LEFT: (-1, 0), RIGHT: (1, 0)}


@pytest.mark.parametrize("size", [2, 5, 8])
def test_every_transition(size):
    cells = list(itertools.product(range(size), repeat=2))
    cases = [(*start, *goal, action) for start in cells for goal in cells if start != goal for action in range(4)]
    assert size < 8 or len(cases) >= TRANSITIONS
    x, y, goal_x, goal_y, actions = np.array(cases).T
    given = {"x": x, "y": y, "goal_x": goal_x, "goal_y": goal_y}
    found = step_from(GridWalk, given, actions, size=size, step_cost=0.25)

    expected = []
    for x0, y0, *goal, action in cases:
        to = x0 + MOVES[action][0], y0 + MOVES[action][1]
        to = to if to in cells else (x0, y0)
        expected.append((*to, *goal, list(to) == goal))
    after, at_goal = np.array(expected)[:, :4], np.array(expected)[:, 4]
    np.testing.assert_array_equal(np.column_stack(found.state), after)
    np.testing.assert_allclose(found.observations, 2 * after / (size - 1) - 1, atol=1e-6)
    np.testing.assert_array_equal(found.terminals, at_goal)
    np.testing.assert_array_equal(found.rewards, np.where(at_goal, 1, -0.25))


def test_the_size_under_operants_name():
    assert GridWalk(2, grid_size=7, jit=False).params.size == 7
    with pytest.raises(APIUsageError, match="grid_size and size are one parameter"):
        GridWalk(2, grid_size=7, size=7)


def test_first_states_are_all_pairs_of_different_cells():
    size, count = 3, 72 * 300
    env = GridWalk(count, size=size)
    observations, _ = env.reset(seed=0)
    assert np.abs(observations).max() == 1
    pairs, counts = np.unique(observations, axis=0, return_counts=True)
    assert len(pairs) == 72
    assert (pairs[:, :2] != pairs[:, 2:]).any(axis=1).all()
    assert stats.chisquare(counts).pvalue > 1e-3


def test_time_limit():
    env = GridWalk(autoreset="disabled")
    env.reset(seed=0)
    env.state.x[0], env.state.y[0], env.state.goal_x[0] = 0, 0, 5
    for step in range(1, 101):
        _, _, terminals, truncations, _ = env.step([UP])
        assert not terminals[0]
        assert truncations[0] == (step == 100)


def test_the_optimum_walks_straight():
    env = GridWalk(1000)
    x, y, goal_x, goal_y = env.reset(seed=0)[0].T
    episodes, total = 0.0, 0.0
    for _ in range(500):
        across = np.where(x < goal_x, RIGHT, LEFT)
        observations = env.step(np.where(x != goal_x, across, np.where(y < goal_y, DOWN, UP)))[0]
        x, y, goal_x, goal_y = observations.T
        log = env.log()
        episodes += log["episodes"]
        total += log["episodes"] * log.get("episode_return", 0.0)
    assert total / episodes == pytest.approx(0.9433, abs=5e-4)


@pytest.mark.parametrize("size", [1, 10_001])
def test_bad_params(size):
    with pytest.raises(ValueError, match=f"GridWalk: parameter size is {size}; expected 2 to 10000"):
        GridWalk(jit=False, size=size)


def test_image():
    env = GridWalk(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((440, 440, 3), np.uint8)
    env.state.x[0] = 3
    env.step([RIGHT])
    assert (env.render() != image).any()
