"""MiniGridEmpty: walk to the goal in the corner of an empty room, seeing only what lies ahead."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from puffer_numba.envs._minigrid import (
    FORWARD,
    MiniGrid,
    goal_reward,
    heading,
    turned,
    views,
)
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer


class MiniGridEmpty(MiniGrid):
    """A square room with a wall all around. The agent turns and walks; the goal is in the lower right corner.

    - Observation: ``Dict(direction=Discrete(4), image=Box(0, 255, (7, 7, 3), uint8))``: where the agent looks (0 right,
      1 down, 2 left, 3 up), and type, color and state of the cells ahead, ``image[column, row]``: the agent is at
      [3, 6] and looks up the columns. 1 0 0 is empty, 2 5 0 wall, 8 1 0 goal. Walls hide nothing.
    - Action: ``Discrete(7)``: turn left (0) or right (1), go forward (2); pick up (3), drop (4), toggle (5) and done
      (6) do nothing here.
    - Reward: ``1 - 0.9 * steps / max_steps`` at the goal, else 0.
    - Terminated: at the goal.
    - Truncated: after ``max_steps``, ``4 * size * size`` by default. Optimum: a return of 0.961 in 8 x 8 cells.
    - Start: in the upper left corner, looking right; or with ``random_start`` on any cell but the goal, looking
      anywhere, uniform.

    Source: MiniGrid (Chevalier-Boisvert et al., 2023): MiniGrid-Empty-5x5-v0, 6x6, 8x8 (the default) and 16x16, and
    MiniGrid-Empty-Random-5x5-v0 and 6x6, whose transitions it reproduces; without the mission, "get to the green goal
    square", which never changes.
    """

    class State(NamedTuple):
        x: np.int32
        y: np.int32
        direction: np.int32
        tick: int

    class Params(NamedTuple):
        size: Annotated[int, Ge(4), Le(100)] = 8  # cells along a side, the walls included
        random_start: bool = False  # whether the agent starts anywhere
        max_steps: Annotated[int, Ge(0)] = 0  # of an episode, and scale of the reward; 0 is 4 * size * size

    class Tables(NamedTuple):
        views: NDArray[np.uint8]  # (cells * 4, bytes): what is observed, by row, column and direction

    steps_for_each_cell = 4

    @classmethod
    def tables(cls, params: Any) -> Any:
        return cls.Tables(views(params.size).observations)

    @kernel
    def reset_env(s, p, i, rng):
        side = p.size - 2
        cell = integer(rng, side * side - 1) if p.random_start else 0
        s.x[i], s.y[i] = 1 + cell % side, 1 + cell // side
        s.direction[i] = integer(rng, 4) if p.random_start else 0

    @kernel
    def step_env(s, p, i, action, rng):
        ahead_x, ahead_y = heading(s.direction[i])
        steps = int(action == FORWARD)
        last = p.size - 2
        s.x[i] = min(max(s.x[i] + steps * ahead_x, 1), last)
        s.y[i] = min(max(s.y[i] + steps * ahead_y, 1), last)
        s.direction[i] = turned(s.direction[i], action)
        s.tick[i] += 1
        at_goal = (s.x[i] == last) & (s.y[i] == last)
        return goal_reward(s.tick[i], p.max_steps) if at_goal else 0.0, at_goal

    @kernel
    def observe_env(s, p, i, obs):
        view = np.uintp((s.y[i] * p.size + s.x[i]) * 4 + s.direction[i])
        for k in range(obs.shape[1]):
            obs[i, k] = p.views[view, k]
