"""Continuous: steer a point to a target by two accelerations."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Gt, Lt
from gymnasium.spaces import Box

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import uniform


class Continuous(JitEnv):
    """A point mass without friction in the square [-1, 1] x [-1, 1]. Reach the target and stay inside.

    - Observation: ``Box((6,), float32)``: the point's position x, y and velocity, in one step, x, y; the target's x, y.
    - Action: ``Box(-1, 1, (2,), float32)``: acceleration along x and y, in units of ``acceleration``.
    - Reward: 5 on reaching the target, -1 on leaving the square; else 0.02 * (1 - distance to the target), which is too
      little for hovering around it to pay.
    - Terminated: with the first two of these. The target is reached within ``radius``.
    - Truncated: after 100 steps.
    - Start: point and target uniform over the square, at rest.

    Source: PufferLib 3, Ocean's ``continuous``. There, the step that is truncated earns nothing.
    """

    max_episode_steps = 100
    metrics = ("solved",)
    single_action_space = Box(-1, 1, (2,), np.float32)

    class State(NamedTuple):
        x: float
        y: float
        vx: float
        vy: float
        target_x: float
        target_y: float
        solved: bool

    class Params(NamedTuple):
        acceleration: Annotated[float, Gt(0), Lt(math.inf)] = 0.1
        """of an action of 1: what it adds to the velocity in a step"""
        radius: Annotated[float, Gt(0), Lt(math.inf)] = 0.1  # distance at which the target is reached

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        speed = 2 * math.sqrt(p.acceleration) + p.acceleration  # no more is gained on a way of length 2
        high = np.array([1 + speed, 1 + speed, speed, speed, 1, 1], np.float32)
        return Box(-high, high)

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = uniform(rng, -1.0, 1.0)
        s.y[i] = uniform(rng, -1.0, 1.0)
        s.target_x[i] = uniform(rng, -1.0, 1.0)
        s.target_y[i] = uniform(rng, -1.0, 1.0)

    @kernel
    def step_env(s, p, i, action, rng):
        s.vx[i] += p.acceleration * action[0]
        s.vy[i] += p.acceleration * action[1]
        s.x[i] += s.vx[i]
        s.y[i] += s.vy[i]
        dx, dy = s.x[i] - s.target_x[i], s.y[i] - s.target_y[i]
        distance = math.sqrt(dx * dx + dy * dy)
        left = max(abs(s.x[i]), abs(s.y[i])) > 1.0
        solved = (not left) & (distance < p.radius)
        s.solved[i] = solved
        return -1.0 if left else 5.0 if solved else 0.02 * (1.0 - distance), left | solved

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]
        obs[i, 1] = s.y[i]
        obs[i, 2] = s.vx[i]
        obs[i, 3] = s.vy[i]
        obs[i, 4] = s.target_x[i]
        obs[i, 5] = s.target_y[i]
