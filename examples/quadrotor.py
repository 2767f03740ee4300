"""A quadrotor in the plane that flies to a point and hovers there."""

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Gt
from gymnasium.spaces import Box

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.math import cos, sin
from puffer_numba.jit.random import uniform


class Quadrotor(JitEnv):
    """A planar quadrotor: two pairs of rotors, three degrees of freedom.

    The equations of motion are integrated with the Runge-Kutta method of fourth order.

    **Observation** `Box(-inf, inf, (7,))`: position relative to the target (x, z), velocity (x, z), sine and cosine of
    the pitch, angular velocity.

    **Action** `Box(-1, 1, (2,))`: thrust of the left and the right rotors; 0 is what makes it hover.

    **Reward**: `1 / (1 + d^2)` with the distance d from the target, less 0.1 times the speed of rotation (at most 0.2);
    -10 for a crash.

    **End**: crash (more than 4 m from the target, or upside down); truncated after 250 steps (5 seconds).

    **Start**: within 2 m of the target, slightly tilted, almost at rest.
    """

    max_episode_steps = 250
    single_observation_space = Box(-np.inf, np.inf, (7,), np.float32)
    single_action_space = Box(-1, 1, (2,), np.float32)
    metrics = ("distance",)
    train_config = {"train.total_timesteps": 800_000}
    info = ("distance",)

    G = 9.81

    class State(NamedTuple):
        x: Annotated[float, 6]  # position x and z, pitch, and the velocities of the three
        distance: float

    class Params(NamedTuple):
        mass: Annotated[float, Gt(0)] = 0.5  # kg
        arm: Annotated[float, Gt(0)] = 0.15  # m, from the center to a rotor
        inertia: Annotated[float, Gt(0)] = 0.005  # kg m^2
        dt: Annotated[float, Gt(0)] = 0.02  # s

    def derivative(x, left, right, p, out):
        """Equations of motion: the derivative of the state x, for the thrust of both rotors, in newton."""
        pitch = x[2]
        out[:3] = x[3:]
        out[3] = -(left + right) * sin(pitch) / p.mass
        out[4] = (left + right) * cos(pitch) / p.mass - Quadrotor.G
        out[5] = (right - left) * p.arm / p.inertia

    @kernel
    def reset_env(s, p, i, rng):
        for k, bound in enumerate((1.4, 1.4, 0.3, 0.1, 0.1, 0.1)):
            s.x[i, k] = uniform(rng, -bound, bound)
        s.distance[i] = np.linalg.norm(s.x[i, :2])

    @kernel
    def step_env(s, p, i, action, rng):
        hover = 0.5 * p.mass * Quadrotor.G
        left = hover * (1.0 + np.clip(action[0], -1.0, 1.0))
        right = hover * (1.0 + np.clip(action[1], -1.0, 1.0))
        x = s.x[i]
        k1 = np.zeros(6)
        k2 = np.zeros(6)
        k3 = np.zeros(6)
        k4 = np.zeros(6)
        Quadrotor.derivative(x, left, right, p, out=k1)
        Quadrotor.derivative(x + 0.5 * p.dt * k1, left, right, p, out=k2)
        Quadrotor.derivative(x + 0.5 * p.dt * k2, left, right, p, out=k3)
        Quadrotor.derivative(x + p.dt * k3, left, right, p, out=k4)
        s.x[i] += p.dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        s.distance[i] = np.linalg.norm(s.x[i, :2])
        crashed = s.distance[i] > 4 or abs(s.x[i, 2]) > np.pi / 2
        reward = 1.0 / (1.0 + s.distance[i] ** 2) - min(0.2, 0.1 * abs(s.x[i, 5]))
        if crashed:
            reward -= 10
        return reward, crashed

    @kernel
    def observe_env(s, p, i, obs):
        x, z, pitch, vx, vz, spin = s.x[i]
        obs[i] = (x, z, vx, vz, sin(pitch), cos(pitch), spin)
