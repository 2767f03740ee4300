"""MountainCar: drive an underpowered car out of a valley, by rocking back and forth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Positive
from puffer_numba.jit.math import cos
from puffer_numba.jit.random import uniform


class MountainCar(JitEnv):
    """A car stands in a valley, too weak to drive up the right hill. Gain height on the left one first.

    - Observation: ``Box((2,), float32)``: position, in [-1.2, 0.6], and velocity, in [-0.07, 0.07].
    - Action: ``Discrete(3)``: accelerate to the left (0), not at all (1), to the right (2).
    - Reward: -1 for every step.
    - Terminated: position of at least 0.5 with a velocity of at least ``goal_velocity``.
    - Truncated: after 200 steps. Solved: a mean return of -110.
    - Start: at rest, position uniform on [-0.6, -0.4).

    Source: Moore (1990), as in Gymnasium's MountainCar-v0, whose trajectories it reproduces.
    """

    max_episode_steps = 200
    single_action_space: Any = Discrete(3)

    class State(NamedTuple):
        position: float
        velocity: float

    class Params(NamedTuple):
        force: float = 0.001  # of the motor: what it adds to the velocity in a step
        gravity: float = 0.0025  # what the steepest slope takes from the velocity in a step
        min_position: float = -1.2  # of the wall at the left, which stops the car
        max_position: float = 0.6  # of the wall at the right
        max_speed: Positive = 0.07  # the velocity is clipped to this
        goal_position: float = 0.5
        goal_velocity: float = 0.0  # slower than this, the goal does not count

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        low, high = (p.min_position, -p.max_speed), (p.max_position, p.max_speed)
        return Box(np.array(low, np.float32), np.array(high, np.float32))

    @classmethod
    def setup(cls, params: Any) -> Any:
        if not params.min_position < params.goal_position <= params.max_position:
            raise ValueError(
                f"{cls.__name__}: parameter goal_position is {params.goal_position:g}; expected more than "
                f"min_position, {params.min_position:g}, and at most max_position, {params.max_position:g}."
            )
        return params

    @kernel
    def reset_env(s, p, i, rng):
        s.position[i] = uniform(rng, -0.6, -0.4)

    @kernel
    def step_env(s, p, i, action, rng):
        velocity = s.velocity[i] + float(action - 1) * p.force - p.gravity * cos(3.0 * s.position[i])
        velocity = min(max(velocity, -p.max_speed), p.max_speed)
        position = min(max(s.position[i] + velocity, p.min_position), p.max_position)
        velocity = 0.0 if (position == p.min_position) & (velocity < 0.0) else velocity
        s.position[i], s.velocity[i] = position, velocity
        return -1.0, (position >= p.goal_position) & (velocity >= p.goal_velocity)

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.position[i]
        obs[i, 1] = s.velocity[i]
