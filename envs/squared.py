"""Squared: walk over a square grid to the target."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

EMPTY, AGENT, TARGET = 0, 1, 2
NOOP, DOWN, UP, LEFT, RIGHT = range(5)


class Squared(JitEnv):
    """The agent starts in the middle of a grid; a target lies on another cell. Walk there.

    - Observation: ``Box(0, 2, (size * size,), uint8)``, the cells row by row: 0 empty, 1 agent, 2 target.
    - Action: ``Discrete(5)``: 0 stay, 1 down, 2 up, 3 left, 4 right.
    - Reward: 1 on reaching the target, -1 on leaving the grid or running out of time, else 0.
    - Terminated: with either reward. An episode has at most ``3 * size + 2`` steps.
    - Start: agent in the middle, target uniform over the other cells.

    Source: PufferLib 3, Ocean's ``squared``, the smallest environment of that suite.
    """

    metrics = ("solved",)
    single_action_space = Discrete(5)

    class State(NamedTuple):
        row: int
        column: int
        target: int  # row * size + column
        tick: int
        solved: bool

    class Params(NamedTuple):
        size: Annotated[int, Ge(2), Le(1024)] = 11  # cells along a side

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(0, 2, (p.size * p.size,), np.uint8)

    @kernel
    def reset_env(s, p, i, rng):
        s.row[i] = p.size * p.size // 2 // p.size
        s.column[i] = p.size * p.size // 2 % p.size
        target = integer(rng, p.size * p.size - 1)
        s.target[i] = target + 1 if target >= p.size * p.size // 2 else target

    @kernel
    def step_env(s, p, i, action, rng):
        row = s.row[i] + (1 if action == DOWN else -1 if action == UP else 0)
        column = s.column[i] + (1 if action == RIGHT else -1 if action == LEFT else 0)
        inside = (row >= 0) & (row < p.size) & (column >= 0) & (column < p.size)
        lost = (s.tick[i] > 3 * p.size) | (not inside)
        solved = (not lost) & (row * p.size + column == s.target[i])
        s.row[i] = row if inside else s.row[i]
        s.column[i] = column if inside else s.column[i]
        s.tick[i] += 1
        s.solved[i] = solved
        return 1.0 if solved else -1.0 if lost else 0.0, solved | lost

    @kernel
    def observe_env(s, p, i, obs):
        for k in range(obs.shape[1]):
            obs[i, k] = EMPTY
        obs[i, s.target[i]] = TARGET
        obs[i, s.row[i] * p.size + s.column[i]] = AGENT
