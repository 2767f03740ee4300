"""CartPole: balance a pole that is hinged to a cart, by pushing the cart left or right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.math import cos, sin
from puffer_numba.jit.random import uniform


class CartPole(JitEnv):
    """Balance a pole hinged to a cart."""

    max_episode_steps = 500
    single_observation_space = Box(-np.inf, np.inf, (4,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        x: float
        x_dot: float
        theta: float
        theta_dot: float

    class Params(NamedTuple):
        gravity: float = 9.8
        mass_cart: float = 1.0
        mass_pole: float = 0.1
        half_length: float = 0.5
        force: float = 10.0
        tau: float = 0.02
        theta_limit: float = 12 * 2 * np.pi / 360
        x_limit: float = 2.4
        reset_bound: float = 0.05

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = uniform(rng, -p.reset_bound, p.reset_bound)
        s.x_dot[i] = uniform(rng, -p.reset_bound, p.reset_bound)
        s.theta[i] = uniform(rng, -p.reset_bound, p.reset_bound)
        s.theta_dot[i] = uniform(rng, -p.reset_bound, p.reset_bound)

    @kernel
    def step_env(s, p, i, action, rng):
        force = p.force if action == 1 else -p.force
        cosine, sine = cos(s.theta[i]), sin(s.theta[i])
        mass = p.mass_cart + p.mass_pole
        pole_moment = p.mass_pole * p.half_length
        push = (force + pole_moment * s.theta_dot[i] * s.theta_dot[i] * sine) / mass
        theta_acc = (p.gravity * sine - cosine * push) / (
            p.half_length * (4.0 / 3.0 - p.mass_pole * cosine * cosine / mass)
        )
        x_acc = push - pole_moment * theta_acc * cosine / mass
        s.x[i] += p.tau * s.x_dot[i]
        s.x_dot[i] += p.tau * x_acc
        s.theta[i] += p.tau * s.theta_dot[i]
        s.theta_dot[i] += p.tau * theta_acc
        fell = abs(s.theta[i]) > p.theta_limit
        left = abs(s.x[i]) > p.x_limit
        return 1.0, fell | left

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]
        obs[i, 1] = s.x_dot[i]
        obs[i, 2] = s.theta[i]
        obs[i, 3] = s.theta_dot[i]
