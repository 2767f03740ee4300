"""CliffWalking: walk along the edge of a cliff."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import random

ROWS, COLUMNS = 4, 12
UP, RIGHT, DOWN, LEFT = range(4)


class CliffWalking(JitEnv):
    """Start and goal are the two lower corners of a grid of 4 x 12 cells; those between them are a cliff.

    - Observation: ``Discrete(48)``: the cell, row by row. Start is 36, goal 47, the cliff 37 to 46.
    - Action: ``Discrete(4)``: 0 up, 1 right, 2 down, 3 left. With ``is_slippery`` a move goes where it should, or at
      right angles to that, to either side, with a probability of 1/3 each. Moves out of the grid do nothing.
    - Reward: -100 for a step over the cliff, which leads back to the start; -1 for any other.
    - Terminated: at the goal.
    - Truncated: never. Optimum: a return of -13; slippery, a mean of -64.7.
    - Start: at the start cell.
    - Info: ``prob``, the probability of the move that was made.

    Source: Sutton & Barto (2018), example 6.6, as in Gymnasium's CliffWalking-v1, whose transitions it reproduces.
    """

    single_observation_space = Discrete(ROWS * COLUMNS)
    single_action_space = Discrete(4)
    info = ("prob",)

    class State(NamedTuple):
        row: np.int8
        column: np.int8
        prob: float

    class Params(NamedTuple):
        is_slippery: bool = False  # whether moves may go astray

    @kernel
    def reset_env(s, p, i, rng):
        s.row[i] = ROWS - 1
        s.prob[i] = 1.0

    @kernel
    def step_env(s, p, i, action, rng):
        draw = random(rng)
        turn = -1 if draw < 1.0 / 3.0 else 1 if draw >= 2.0 / 3.0 else 0
        heading = (action + turn) & 3 if p.is_slippery else action
        row = s.row[i] + (1 if heading == DOWN else -1 if heading == UP else 0)
        column = s.column[i] + (1 if heading == RIGHT else -1 if heading == LEFT else 0)
        row = min(max(row, 0), ROWS - 1)
        column = min(max(column, 0), COLUMNS - 1)
        at_bottom, at_goal = row == ROWS - 1, column == COLUMNS - 1
        fell = at_bottom & (column > 0) & (column < COLUMNS - 1)
        s.row[i] = row
        s.column[i] = 0 if fell else column
        s.prob[i] = 1.0 / 3.0 if p.is_slippery else 1.0
        return -100.0 if fell else -1.0, at_bottom & at_goal

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.row[i] * COLUMNS + s.column[i]
