"""A maze that is drawn anew for every episode."""

from enum import IntEnum
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Gt
from gymnasium.spaces import Box, Discrete

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.random import integer


class Move(IntEnum):
    RIGHT = 0
    DOWN = 1
    LEFT = 2
    UP = 3


STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # rows and columns, in the order of Move


class Maze(JitEnv):
    """Find the way out of a maze that nobody has seen before.

    Each copy of the environment has a map of its own, dug by a randomized depth-first search at the start of every
    episode. The agent begins in the upper left corner; the exit is in the lower right one. It sees only the squares
    next to it, and the footprints it has left there.

    **Observation** `Box(0, 1, (2, 3, 3))`: around the agent, walls (1 is a wall), and how often each square was visited
    (divided by 4, at most 1).

    **Action** `Discrete(4)`: right, down, left, up. A step into a wall leaves the agent where it is.

    **Reward**: 1 at the exit, -0.01 in every other step.

    **End**: at the exit, or (truncated) after 200 steps.

    **Start**: in the upper left corner of a new maze.
    """

    max_episode_steps = 200
    single_observation_space = Box(0, 1, (2, 3, 3), np.float32)
    single_action_space = Discrete(4)
    metrics = ("found",)
    train_config = {"train.total_timesteps": 800_000}

    class State(NamedTuple):
        walls: Annotated[np.bool_, "2 * size + 1", "2 * size + 1"]
        visits: Annotated[np.int16, "2 * size + 1", "2 * size + 1"]
        row: int = 1
        column: int = 1
        found: bool = False

    class Params(NamedTuple):
        size: Annotated[int, Gt(1)] = 5  # rooms in a row; between two rooms there is one square, wall or passage

    def dig(walls, size, rng):
        """Carve a maze: walk to random rooms not yet visited, and go back where there are none."""
        walls[:] = True
        walls[1, 1] = False
        stack = np.zeros((size * size, 2), dtype=np.int32)
        stack[0] = (1, 1)
        depth = 1
        while depth > 0:
            row, column = stack[depth - 1]
            choices = 0
            for down, right in STEPS:
                r, c = row + 2 * down, column + 2 * right
                if 0 < r < 2 * size and 0 < c < 2 * size and walls[r, c]:
                    choices += 1
                    if integer(rng, choices) == 0:  # each with the same probability
                        next_row, next_column = r, c
            if choices == 0:
                depth -= 1
                continue
            walls[(row + next_row) // 2, (column + next_column) // 2] = False
            walls[next_row, next_column] = False
            stack[depth] = (next_row, next_column)
            depth += 1

    @kernel
    def reset_env(s, p, i, rng):
        Maze.dig(s.walls[i], p.size, rng)
        s.visits[i, 1, 1] = 1

    @kernel
    def step_env(s, p, i, action, rng):
        down, right = STEPS[action]
        row, column = s.row[i] + down, s.column[i] + right
        if not s.walls[i, row, column]:
            s.row[i], s.column[i] = row, column
        s.visits[i, s.row[i], s.column[i]] += 1
        s.found[i] = s.row[i] == 2 * p.size - 1 and s.column[i] == 2 * p.size - 1
        return 1.0 if s.found[i] else -0.01, s.found[i]

    @kernel
    def observe_env(s, p, i, obs):
        r, c = s.row[i], s.column[i]
        obs[i, 0] = s.walls[i, r - 1 : r + 2, c - 1 : c + 2]
        obs[i, 1] = np.minimum(s.visits[i, r - 1 : r + 2, c - 1 : c + 2] / 4, 1)
