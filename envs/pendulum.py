"""Pendulum: swing a pendulum up and hold it there."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Positive
from puffer_numba.jit.math import cos, floor, sin
from puffer_numba.jit.random import uniform


class Pendulum(JitEnv):
    """A pendulum hangs from a motor too weak to lift it at once. Swing it up, and hold it there with little torque.

    - Observation: ``Box((3,), float32)``: cosine and sine of the angle (0 is upright), angular velocity (rad/s).
    - Action: ``Box(-2, 2, (1,), float32)``: torque (N m); bounds are ``max_torque``.
    - Reward: ``-(angle^2 + 0.1 velocity^2 + 0.001 torque^2)``, angle in [-pi, pi): from -16.27 to 0.
    - Terminated: never.
    - Truncated: after 200 steps. There is no threshold; -200 is good, and -150 about the best.
    - Start: angle uniform on [-pi, pi), velocity on [-1, 1).

    Source: Gymnasium's Pendulum-v1, whose trajectories it reproduces.
    """

    max_episode_steps = 200

    class State(NamedTuple):
        theta: float  # rad from upright, of any number of turns
        theta_dot: float

    class Params(NamedTuple):
        gravity: float = 10.0  # m/s^2
        mass: Positive = 1.0  # kg
        length: Positive = 1.0  # m
        tau: Positive = 0.05  # time of a step, s
        max_speed: Positive = 8.0  # the velocity is clipped to this, rad/s
        max_torque: Positive = 2.0  # N m

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        high = np.array([1.0, 1.0, p.max_speed], np.float32)
        return Box(-high, high)

    @staticmethod
    def single_action_space(p: Any) -> Box:
        return Box(-p.max_torque, p.max_torque, (1,), np.float32)

    @kernel
    def reset_env(s, p, i, rng):
        s.theta[i] = uniform(rng, -math.pi, math.pi)
        s.theta_dot[i] = uniform(rng, -1.0, 1.0)

    @kernel
    def step_env(s, p, i, action, rng):
        theta, theta_dot, torque = s.theta[i], s.theta_dot[i], action[0]
        angle = theta - 2.0 * math.pi * floor((theta + math.pi) / (2.0 * math.pi))
        cost = angle * angle + 0.1 * theta_dot * theta_dot + 0.001 * torque * torque
        pull = 1.5 * p.gravity / p.length * sin(theta) + 3.0 / (p.mass * p.length * p.length) * torque
        theta_dot = min(max(theta_dot + pull * p.tau, -p.max_speed), p.max_speed)
        s.theta_dot[i] = theta_dot
        s.theta[i] = theta + theta_dot * p.tau
        return -cost, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = cos(s.theta[i])
        obs[i, 1] = sin(s.theta[i])
        obs[i, 2] = s.theta_dot[i]
