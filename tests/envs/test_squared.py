"""Squared against a plain reference of PufferLib 3's Ocean environment."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from puffer_numba.envs.squared import AGENT, DOWN, EMPTY, LEFT, NOOP, RIGHT, TARGET, UP, Squared

MOVES = {NOOP: (0, 0), DOWN: (1, 0), UP: (-1, 0), LEFT: (0, -1), RIGHT: (0, 1)}


class Reference:
    """One episode, in the order in which the original does things: move, lose, win, count the step."""

    def __init__(self, first_observation: NDArray[np.uint8], size: int) -> None:
        self.size = size
        self.grid = first_observation.reshape(size, size).copy()
        self.row = self.column = size // 2
        self.tick = 0
        assert self.grid[self.row, self.column] == AGENT

    def step(self, action: int) -> tuple[float, bool]:
        down, right = MOVES[action]
        self.grid[self.row, self.column] = EMPTY
        self.row += down
        self.column += right
        outside = min(self.row, self.column) < 0 or max(self.row, self.column) >= self.size
        if self.tick > 3 * self.size or outside:
            return -1.0, True
        if self.grid[self.row, self.column] == TARGET:
            return 1.0, True
        self.grid[self.row, self.column] = AGENT
        self.tick += 1
        return 0.0, False


@pytest.mark.parametrize(
    ("size", "policy"),
    [(3, [0.2, 0.2, 0.2, 0.2, 0.2]), (11, [0.0, 0.25, 0.25, 0.25, 0.25]), (5, [0.96, 0.01, 0.01, 0.01, 0.01])],
)
def test_every_step_is_the_originals(size, policy):
    """Random walks on two boards, and one policy that mostly waits until time runs out."""
    n = 64
    env = Squared(n, size=size)
    observations, _ = env.reset(seed=5)
    references = [Reference(row, size) for row in observations]
    rng = np.random.default_rng(0)
    outcomes = {1.0: 0, -1.0: 0}
    longest = 0
    for _ in range(150):
        actions = rng.choice(5, size=n, p=policy)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        assert not truncations.any()
        for i, reference in enumerate(references):
            assert (rewards[i], terminals[i]) == reference.step(int(actions[i]))
            if terminals[i]:
                outcomes[float(rewards[i])] += 1
                longest = max(longest, reference.tick + 1)
                references[i] = Reference(observations[i], size)
            else:
                np.testing.assert_array_equal(observations[i], references[i].grid.reshape(-1))
    assert min(outcomes.values()) > 10
    assert longest == 3 * size + 2 or policy[0] < 0.9


@pytest.mark.parametrize("size", [3, 4, 11])
def test_target_is_uniform_over_the_other_cells(size):
    observations, _ = Squared(40_000, size=size).reset(seed=1)
    start = size * size // 2
    assert (observations[:, start] == AGENT).all()
    assert (np.sort(observations, axis=1)[:, -2:] == [AGENT, TARGET]).all()
    counts = (observations == TARGET).sum(axis=0)
    assert counts[start] == 0
    assert stats.chisquare(np.delete(counts, start)).pvalue > 1e-3


def test_walking_straight_to_the_target_solves_it():
    env = Squared(16)
    observations, _ = env.reset(seed=2)
    solved = np.zeros(16, np.bool_)
    for _ in range(10):
        row, column = np.divmod((observations == AGENT).argmax(axis=1), 11)
        target_row, target_column = np.divmod((observations == TARGET).argmax(axis=1), 11)
        across = np.where(column < target_column, RIGHT, LEFT)
        actions = np.where(row < target_row, DOWN, np.where(row > target_row, UP, across))
        observations, rewards, terminals, _, _ = env.step(actions)
        solved |= terminals
        assert (rewards == terminals).all()
    assert solved.all()
    assert env.log()["solved"] == 1


@pytest.mark.parametrize("size", [1, 1025])
def test_bad_size(size):
    with pytest.raises(ValueError, match=f"Squared: parameter size is {size}; expected 2 to 1024"):
        Squared(size=size, jit=False)
