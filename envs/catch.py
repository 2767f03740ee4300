"""Catch: move a paddle below a falling ball."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

LEFT, STAY, RIGHT = range(3)


class Catch(JitEnv):
    """A ball falls down a board, a row at each step. Have the paddle, in the last row, below it when it arrives.

    - Observation: ``Box(0, 1, (rows, columns), float32)``: 1 at the ball and at the paddle, 0 elsewhere.
    - Action: ``Discrete(3)``: the paddle goes left (0), stays (1), goes right (2); walls stop it.
    - Reward: 1 for a ball that is caught, -1 for one that is missed, 0 before.
    - Terminated: when the ball arrives in the last row, after ``rows - 1`` steps.
    - Truncated: never. Optimum: a return of 1.
    - Start: ball in the first row, column uniform; paddle in the middle.

    Source: Mnih et al. (2014), as in bsuite's Catch (Osband et al., 2020), whose transitions it reproduces, and in
    EnvPool's Catch-v0.
    """

    single_action_space = Discrete(3)

    class State(NamedTuple):
        ball_row: np.int16
        ball_column: np.int16
        paddle: np.int16  # its column

    class Params(NamedTuple):
        rows: Annotated[int, Ge(2), Le(1024)] = 10  # of the board
        columns: Annotated[int, Ge(1), Le(1024)] = 5  # of the board

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(0.0, 1.0, (p.rows, p.columns), np.float32)

    @kernel
    def reset_env(s, p, i, rng):
        s.ball_column[i] = integer(rng, p.columns)
        s.paddle[i] = p.columns // 2

    @kernel
    def step_env(s, p, i, action, rng):
        paddle = min(max(s.paddle[i] + action - STAY, 0), p.columns - 1)
        row = s.ball_row[i] + 1
        arrived = row == p.rows - 1
        caught = paddle == s.ball_column[i]
        s.paddle[i] = paddle
        s.ball_row[i] = row
        return (1.0 if caught else -1.0) if arrived else 0.0, arrived

    @kernel
    def observe_env(s, p, i, obs):
        for row in range(obs.shape[1]):
            for column in range(obs.shape[2]):
                obs[i, row, column] = 0.0
        obs[i, s.ball_row[i], s.ball_column[i]] = 1.0
        obs[i, obs.shape[1] - 1, s.paddle[i]] = 1.0
