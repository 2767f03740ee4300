"""Acrobot: swing a two-link pendulum over a line, by a torque at its elbow."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Positive
from puffer_numba.jit.math import cos, floor, sin
from puffer_numba.jit.random import uniform


def accelerations(p, theta1, theta2, dtheta1, dtheta2, torque):
    """Of both joints (Sutton & Barto's book, equations of figure 11.4)."""
    m1, m2, l1, lc1, lc2, inertia, g = p.mass_1, p.mass_2, p.length_1, p.center_1, p.center_2, p.inertia, p.gravity
    cosine, sine = cos(theta2), sin(theta2)
    d1 = m1 * lc1 * lc1 + m2 * (l1 * l1 + lc2 * lc2 + 2.0 * l1 * lc2 * cosine) + 2.0 * inertia
    d2 = m2 * (lc2 * lc2 + l1 * lc2 * cosine) + inertia
    phi2 = m2 * lc2 * g * sin(theta1 + theta2)
    phi1 = (
        -m2 * l1 * lc2 * dtheta2 * dtheta2 * sine
        - 2.0 * m2 * l1 * lc2 * dtheta2 * dtheta1 * sine
        + (m1 * lc1 + m2 * l1) * g * sin(theta1)
        + phi2
    )
    ddtheta2 = (torque + d2 / d1 * phi1 - m2 * l1 * lc2 * dtheta1 * dtheta1 * sine - phi2) / (
        m2 * lc2 * lc2 + inertia - d2 * d2 / d1
    )
    return -(d2 * ddtheta2 + phi1) / d1, ddtheta2


def wrap(angle):
    """Into [-pi, pi]."""
    return angle - 2.0 * math.pi * floor((angle + math.pi) / (2.0 * math.pi))


class Acrobot(JitEnv):
    """Two links hang in a chain from a fixed joint; a motor sits between them. Swing the free end above the line.

    - Observation: ``Box((6,), float32)``: cosine and sine of the first angle (0 hangs down) and of the second
      (relative to the first link), both angular velocities (rad/s).
    - Action: ``Discrete(3)``: torque of -1, 0 or 1 N m at the joint between the links.
    - Reward: -1 for every step that does not terminate.
    - Terminated: the free end is more than one link's length above the fixed joint.
    - Truncated: after 500 steps. Solved: a mean return of -100.
    - Start: all four state variables uniform on [-0.1, 0.1).

    Source: Sutton (1996), as in Gymnasium's Acrobot-v1, whose trajectories it reproduces.
    """

    max_episode_steps = 500
    single_action_space = Discrete(3)

    class State(NamedTuple):
        theta1: float  # rad, 0 hangs down
        theta2: float  # rad, relative to the first link
        dtheta1: float
        dtheta2: float

    class Params(NamedTuple):
        gravity: float = 9.8  # m/s^2
        length_1: Positive = 1.0  # of the first link, m
        mass_1: Positive = 1.0  # kg
        mass_2: Positive = 1.0  # kg
        center_1: Positive = 0.5  # distance of the first link's center of mass from its joint, m
        center_2: Positive = 0.5  # of the second link's, m
        inertia: Positive = 1.0  # moment of inertia of each link, kg m^2
        tau: Positive = 0.2  # time of a step, s; one step of Runge and Kutta's method of fourth order
        max_speed_1: float = 4 * math.pi  # the first joint's velocity is clipped to this, rad/s
        max_speed_2: float = 9 * math.pi  # the second joint's
        torque_noise: Annotated[float, Ge(0)] = 0.0  # uniform noise on the torque, up to this either way, N m

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        high = np.array([1.0, 1.0, 1.0, 1.0, p.max_speed_1, p.max_speed_2], np.float32)
        return Box(-high, high)

    @kernel
    def reset_env(s, p, i, rng):
        s.theta1[i] = uniform(rng, -0.1, 0.1)
        s.theta2[i] = uniform(rng, -0.1, 0.1)
        s.dtheta1[i] = uniform(rng, -0.1, 0.1)
        s.dtheta2[i] = uniform(rng, -0.1, 0.1)

    @kernel
    def step_env(s, p, i, action, rng):
        torque = float(action - 1) + p.torque_noise * uniform(rng, -1.0, 1.0)
        a, b, da, db = s.theta1[i], s.theta2[i], s.dtheta1[i], s.dtheta2[i]
        half, whole = 0.5 * p.tau, p.tau
        ka1, kb1 = accelerations(p, a, b, da, db, torque)
        da2, db2 = da + half * ka1, db + half * kb1
        ka2, kb2 = accelerations(p, a + half * da, b + half * db, da2, db2, torque)
        da3, db3 = da + half * ka2, db + half * kb2
        ka3, kb3 = accelerations(p, a + half * da2, b + half * db2, da3, db3, torque)
        da4, db4 = da + whole * ka3, db + whole * kb3
        ka4, kb4 = accelerations(p, a + whole * da3, b + whole * db3, da4, db4, torque)
        sixth = whole / 6.0
        theta1 = wrap(a + sixth * (da + 2.0 * da2 + 2.0 * da3 + da4))
        theta2 = wrap(b + sixth * (db + 2.0 * db2 + 2.0 * db3 + db4))
        dtheta1 = da + sixth * (ka1 + 2.0 * ka2 + 2.0 * ka3 + ka4)
        dtheta2 = db + sixth * (kb1 + 2.0 * kb2 + 2.0 * kb3 + kb4)
        s.theta1[i], s.theta2[i] = theta1, theta2
        s.dtheta1[i] = min(max(dtheta1, -p.max_speed_1), p.max_speed_1)
        s.dtheta2[i] = min(max(dtheta2, -p.max_speed_2), p.max_speed_2)
        above = -cos(theta1) - cos(theta1 + theta2) > 1.0
        return 0.0 if above else -1.0, above

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = cos(s.theta1[i])
        obs[i, 1] = sin(s.theta1[i])
        obs[i, 2] = cos(s.theta2[i])
        obs[i, 3] = sin(s.theta2[i])
        obs[i, 4] = s.dtheta1[i]
        obs[i, 5] = s.dtheta2[i]
