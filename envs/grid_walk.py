"""GridWalk: walk over a square grid to the goal."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete

from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

UP, DOWN, LEFT, RIGHT = range(4)


class GridWalk(JitEnv):
    """The agent and the goal are on two cells of a grid. Walk there.

    - Observation: ``Box(-1, 1, (4,), float32)``: column and row of the agent, column and row of the goal, from -1 at
      the left and the top to 1 at the right and the bottom.
    - Action: ``Discrete(4)``: 0 up, 1 down, 2 left, 3 right. Moves out of the grid do nothing.
    - Reward: 1 on reaching the goal, ``-step_cost`` for any other step.
    - Terminated: at the goal.
    - Truncated: after 100 steps. Optimum: a mean return of 0.943.
    - Start: agent and goal on two different cells, uniform.

    Source: Operant's guide to custom environments. It is a good one to copy.
    """

    max_episode_steps = 100
    single_observation_space = Box(-1, 1, (4,), np.float32)
    single_action_space = Discrete(4)

    class State(NamedTuple):
        x: int
        y: int
        goal_x: int
        goal_y: int

    class Params(NamedTuple):
        size: Annotated[int, Ge(2), Le(10_000)] = 10  # cells along a side
        step_cost: float = 0.01  # of each step that does not end at the goal

    def __init__(self, num_envs: int = 1, *, grid_size: int | None = None, **arguments: Any) -> None:
        """As `JitEnv`; ``grid_size`` is Operant's name of ``size``."""
        if grid_size is not None:
            if "size" in arguments:
                raise APIUsageError("GridWalk: grid_size and size are one parameter; give one of them.")
            arguments["size"] = grid_size
        super().__init__(num_envs, **arguments)

    @kernel
    def reset_env(s, p, i, rng):
        start = integer(rng, p.size * p.size)
        goal = integer(rng, p.size * p.size - 1)
        goal += int(goal >= start)  # any cell but the start
        s.x[i], s.y[i] = start % p.size, start // p.size
        s.goal_x[i], s.goal_y[i] = goal % p.size, goal // p.size

    @kernel
    def step_env(s, p, i, action, rng):
        x = s.x[i] + int(action == RIGHT) - int(action == LEFT)
        y = s.y[i] + int(action == DOWN) - int(action == UP)
        s.x[i] = min(max(x, 0), p.size - 1)
        s.y[i] = min(max(y, 0), p.size - 1)
        at_goal = (s.x[i] == s.goal_x[i]) & (s.y[i] == s.goal_y[i])
        return 1.0 if at_goal else -p.step_cost, at_goal

    @kernel
    def observe_env(s, p, i, obs):
        last = p.size - 1
        obs[i, 0] = float(2 * s.x[i] - last) / float(last)
        obs[i, 1] = float(2 * s.y[i] - last) / float(last)
        obs[i, 2] = float(2 * s.goal_x[i] - last) / float(last)
        obs[i, 3] = float(2 * s.goal_y[i] - last) / float(last)
