"""MountainCarContinuous: `MountainCar` with a throttle, and a price on its use."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box

from puffer_numba.envs.mountain_car import MountainCar
from puffer_numba.jit import kernel, with_defaults
from puffer_numba.jit.math import cos


class MountainCarContinuous(MountainCar):
    """A car stands in a valley, too weak to drive up the right hill. Get there by gentle use of the throttle.

    - Observation: ``Box((2,), float32)``: position, in [-1.2, 0.6], and velocity, in [-0.07, 0.07].
    - Action: ``Box(-1, 1, (1,), float32)``: share of the motor's force, to the left or right.
    - Reward: ``-0.1 action^2``, and 100 for the step that terminates.
    - Terminated: position of at least 0.45 with a velocity of at least ``goal_velocity``.
    - Truncated: after 999 steps. Solved: a mean return of 90.
    - Start: at rest, position uniform on [-0.6, -0.4).

    Source: Moore (1990), as in Gymnasium's MountainCarContinuous-v0, whose trajectories it reproduces.
    """

    max_episode_steps = 999
    single_action_space: Any = Box(-1, 1, (1,), np.float32)

    Params = with_defaults(MountainCar.Params, force=0.0015, goal_position=0.45)

    @kernel
    def step_env(s, p, i, action, rng):
        velocity = s.velocity[i] + action[0] * p.force - p.gravity * cos(3.0 * s.position[i])
        velocity = min(max(velocity, -p.max_speed), p.max_speed)
        position = min(max(s.position[i] + velocity, p.min_position), p.max_position)
        velocity = 0.0 if (position == p.min_position) & (velocity < 0.0) else velocity
        s.position[i], s.velocity[i] = position, velocity
        arrived = (position >= p.goal_position) & (velocity >= p.goal_velocity)
        return (100.0 if arrived else 0.0) - 0.1 * action[0] * action[0], arrived
