"""DeepSea: dive to a treasure that only one of many paths reaches, against a small cost of each step towards it."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import normal, random


class DeepSea(JitEnv):
    """A diver sinks from the upper left corner of a square, a row at each step. The treasure is at the lower right.

    It takes ``size`` steps to the right without one to the left: one of ``2 ** size`` plans. In all others, going right
    is a loss: a test of exploration.

    - Observation: ``Box(0, 1, (size, size), float32)``: 1 at the diver's cell, 0 elsewhere; at the end all 0, for then
      the diver is below the last row.
    - Action: ``Discrete(2)``: one of them goes left and one right; which is which was chosen at random for each cell.
    - Reward: 1 for going right in the last column; less ``unscaled_move_cost / size`` for each step to the right. Not
      deterministic, also standard normal noise in the two lower corners.
    - Terminated: after ``size`` steps.
    - Truncated: never. Optimum: a return of ``1 - unscaled_move_cost``, 0.99; not deterministic, some less than
      ``(1 - 1 / size) ** (size - 1)`` on average.
    - Start: upper left corner.

    Metrics: ``denoised_return``, how many episodes ended with the treasure, and ``bad_episode``, how many left
    the path to it.

    Source: Osband et al. (2019, 2020), as in bsuite's DeepSea, whose transitions it reproduces.
    """

    metrics = ("denoised_return", "bad_episode")
    single_action_space = Discrete(2)

    class State(NamedTuple):
        row: np.int16
        column: np.int16
        bad_episode: bool
        denoised_return: float

    class Params(NamedTuple):
        size: Annotated[int, Ge(2), Le(1024)] = 10  # rows and columns
        deterministic: bool = True
        """if not, going right fails with probability ``1 / size``, and rewards in the lower corners are noisy"""
        unscaled_move_cost: Annotated[float, Gt(-math.inf), Lt(math.inf)] = 0.01  # of ``size`` steps to the right
        randomize_actions: bool = True  # if not, 0 is left and 1 is right in every cell
        mapping_seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
        """of the draw of what actions mean, in each cell; the same as bsuite's"""

    class Tables(NamedTuple):
        right_action: NDArray[np.int8]  # (size, size): the action that goes right

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(0.0, 1.0, (p.size, p.size), np.float32)

    @classmethod
    def tables(cls, params: Any) -> Any:
        shape = (params.size, params.size)
        mapping = np.random.RandomState(params.mapping_seed).binomial(1, 0.5, shape)  # as bsuite does
        return cls.Tables((mapping if params.randomize_actions else np.ones(shape)).astype(np.int8))

    @kernel
    def reset_env(s, p, i, rng):
        s.row[i] = 0

    @kernel
    def step_env(s, p, i, action, rng):
        row, column, last = s.row[i], s.column[i], p.size - 1
        right = action == p.right_action[row, column]
        found = right & (column == last)
        reward = 1.0 if found else 0.0
        moves = True
        if not p.deterministic:
            if (row == last) & ((column == 0) | (column == last)):
                reward += normal(rng)
            if right:
                moves = random(rng) > 1.0 / float(p.size)
        reward -= p.unscaled_move_cost / float(p.size) if right else 0.0
        to_right = min(column + 1, last) if moves else column
        s.column[i] = to_right if right else max(column - 1, 0)
        s.row[i] = row + 1
        s.bad_episode[i] |= (not right) & (row == column)
        s.denoised_return[i] += 1.0 if found else 0.0
        return reward, row == last

    @kernel
    def observe_env(s, p, i, obs):
        for row in range(obs.shape[1]):
            for column in range(obs.shape[2]):
                obs[i, row, column] = 0.0
        if s.row[i] < obs.shape[1]:
            obs[i, s.row[i], s.column[i]] = 1.0
