"""CartPole: balance a pole that is hinged to a cart, by pushing the cart left or right."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Positive
from puffer_numba.jit.math import cos, sin
from puffer_numba.jit.random import uniform


class CartPole(JitEnv):
    """A pole is hinged to a cart on a track. Push the cart left or right at each step so that the pole stays up.

    - Observation: ``Box((4,), float32)``: the cart's position (m) and velocity, the pole's angle (rad) and velocity.
    - Action: ``Discrete(2)``: push with ``force`` to the left (0) or right (1).
    - Reward: 1 for every step, the last one included.
    - Terminated: the pole leans more than ``theta_limit``, or the cart is more than ``x_limit`` from the middle.
    - Truncated: after 500 steps. Solved: a mean return of 475.
    - Start: all four uniform on [-``reset_bound``, ``reset_bound``).

    Source: Barto, Sutton & Anderson (1983), as in Gymnasium's CartPole-v1, whose trajectories it reproduces.
    """

    max_episode_steps = 500
    single_action_space = Discrete(2)

    class State(NamedTuple):
        x: float  # of the cart from the middle, m
        x_dot: float  # m/s
        theta: float  # of the pole from upright, rad
        theta_dot: float  # rad/s

    class Params(NamedTuple):
        gravity: float = 9.8  # m/s^2
        mass_cart: Positive = 1.0  # kg
        mass_pole: Positive = 0.1  # kg
        half_length: Positive = 0.5  # of the pole, m
        force: float = 10.0  # of a push, N
        tau: Positive = 0.02  # time of a step, s; explicit Euler
        theta_limit: Positive = math.radians(12)  # lean of the pole that ends the episode, rad
        x_limit: Positive = 2.4  # distance of the cart from the middle that ends the episode, m
        reset_bound: float = 0.05  # all four state variables start uniform on [-reset_bound, reset_bound)

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        largest = np.finfo(np.float32).max
        high = np.array([2 * p.x_limit, largest, 2 * p.theta_limit, largest], np.float32)
        return Box(-high, high)

    @kernel
    def reset_env(s, p, i, rng):
        bound = p.reset_bound
        s.x[i], s.x_dot[i] = uniform(rng, -bound, bound), uniform(rng, -bound, bound)
        s.theta[i], s.theta_dot[i] = uniform(rng, -bound, bound), uniform(rng, -bound, bound)

    @kernel
    def step_env(s, p, i, action, rng):
        force = p.force if action == 1 else -p.force
        cosine, sine = cos(s.theta[i]), sin(s.theta[i])
        mass, pole_moment = p.mass_cart + p.mass_pole, p.mass_pole * p.half_length
        push = (force + pole_moment * s.theta_dot[i] * s.theta_dot[i] * sine) / mass
        inertia = p.half_length * (4.0 / 3.0 - p.mass_pole * cosine * cosine / mass)
        theta_acc = (p.gravity * sine - cosine * push) / inertia
        s.x[i] += p.tau * s.x_dot[i]
        s.x_dot[i] += p.tau * (push - pole_moment * theta_acc * cosine / mass)
        s.theta[i] += p.tau * s.theta_dot[i]
        s.theta_dot[i] += p.tau * theta_acc
        return 1.0, (abs(s.theta[i]) > p.theta_limit) | (abs(s.x[i]) > p.x_limit)

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0], obs[i, 1] = s.x[i], s.x_dot[i]
        obs[i, 2], obs[i, 3] = s.theta[i], s.theta_dot[i]
