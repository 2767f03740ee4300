"""Simple tag: slow pursuers hunt faster prey between obstacles."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box

from puffer_numba.envs import _particles as particles
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.math import exp
from puffer_numba.jit.random import uniform

ADVERSARY_SIZE, ADVERSARY_ACCELERATION, ADVERSARY_SPEED = 0.075, 3.0, 1.0
PREY_SIZE, PREY_ACCELERATION, PREY_SPEED = 0.05, 4.0, 1.3
OBSTACLE_SIZE = 0.2


def bound(x):
    """What prey pays for being this far from the middle along an axis: it may not run away for good."""
    x = abs(x)
    far = min(exp(2.0 * x - 2.0), 10.0)
    return 0.0 if x < 0.9 else (x - 0.9) * 10.0 if x < 1.0 else far


def size(p, a):
    """Radius of agent ``a``."""
    return ADVERSARY_SIZE if a < p.num_adversaries else PREY_SIZE


def contacts(s, p, i, a):
    """How many adversaries touch agent ``a``, of those before it; all these, and obstacles, push each other."""
    touched = 0
    for b in range(a):
        touching = particles.meet(s, i, a, b, size(p, a) + size(p, b))
        touched += touching & (b < p.num_adversaries)
    for k in range(p.num_obstacles):
        particles.bump(s, i, a, s.obstacle[i, k, 0], s.obstacle[i, k, 1], size(p, a) + OBSTACLE_SIZE)
    return touched


class SimpleTag(JitEnv):
    """Three adversaries hunt one prey that is faster and smaller than they, between two obstacles.

    - Agents: ``num_adversaries`` adversaries first, then ``num_good`` prey.
    - Observation: ``Box(-inf, inf, (size,), float32)``: the own velocity and position; where the obstacles and the
      other agents are, from oneself; and the velocities of the prey, or of the other prey. For prey two zeros follow,
      as all agents have one space: ``size = 2 + 2 * (num_obstacles + num_adversaries + 2 * num_good)``, 16.
    - Action: ``Discrete(5)``: 0 nothing, and a push 1 left, 2 right, 3 down, 4 up. With ``continuous_actions``
      ``Box(0, 1, (5,), float32)``: how much of each.
    - Reward: 10 to every adversary for every pair of an adversary and a prey that touch. Prey pays 10 for each
      adversary that touches it, and, along each axis, ``10 * (d - 0.9)`` where it is ``d`` from the middle, from 0.9
      on, and ``exp(2 * d - 2)``, at most 10, from 1 on.
    - Terminated: never; with ``terminate_on_success`` once an adversary touches every prey.
    - Truncated: after 25 steps.
    - Start: agents, at rest, uniform on a square of 2 x 2 around the origin; obstacles on one of 1.8 x 1.8.

    Adversaries have a radius of 0.075, accelerate by 3 and reach a speed of 1; prey 0.05, 4 and 1.3; obstacles have
    0.2. All push each other apart.

    Source: MPE2's ``simple_tag_v3``, whose transitions it reproduces; without its curriculum, which makes prey slower
    at first, and its partial observations. Where the last step succeeds, it is both truncated and terminated.
    """

    agents = "num_adversaries + num_good"
    metrics = ("caught",)
    max_episode_steps = 25

    class State(NamedTuple):
        position: Annotated[float, "num_adversaries + num_good", 2]
        velocity: Annotated[float, "num_adversaries + num_good", 2]
        force: Annotated[float, "num_adversaries + num_good", 2]  # of contacts, on the next step
        obstacle: Annotated[float, "max(num_obstacles, 1)", 2]
        caught: int  # pairs of adversary and prey that touched, summed over the episode's steps

    class Params(NamedTuple):
        num_good: Annotated[int, Ge(1), Le(100)] = 1  # prey in one environment
        num_adversaries: Annotated[int, Ge(1), Le(100)] = 3  # their pursuers
        num_obstacles: Annotated[int, Ge(0), Le(100)] = 2  # discs that do not move
        continuous_actions: bool = False  # push a little or much
        terminate_on_success: bool = False  # end the episode once every prey is touched

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        size = 2 + 2 * (p.num_obstacles + p.num_adversaries + 2 * p.num_good)
        return Box(-np.inf, np.inf, (size,), np.float32)

    @staticmethod
    def single_action_space(p: Any) -> Any:
        return particles.action_space(p.continuous_actions)

    @kernel
    def reset_env(s, p, i, rng, team):
        for axis in range(2):
            for a in range(p.num_adversaries + p.num_good):
                s.position[i, a, axis] = uniform(rng, -1.0, 1.0)
            for k in range(p.num_obstacles):
                s.obstacle[i, k, axis] = uniform(rng, -0.9, 0.9)
        for a in range(p.num_adversaries + p.num_good):
            contacts(s, p, i, a)

    @kernel
    def step_env(s, p, i, action, rng, team):
        agents = team.reward.shape[1]  # as the sum of both, but LLVM knows the number
        for a in range(agents):
            x, y = particles.steer(action, a)
            hunts = a < p.num_adversaries
            acceleration = ADVERSARY_ACCELERATION if hunts else PREY_ACCELERATION
            speed = ADVERSARY_SPEED if hunts else PREY_SPEED
            vx, vy = particles.move(s, i, a, acceleration * x, acceleration * y)
            slower = speed / max(float(math.sqrt(vx * vx + vy * vy)), speed)
            s.velocity[i, a, 0] = vx * slower
            s.velocity[i, a, 1] = vy * slower
        caught = 0
        all_caught = True
        for a in range(agents):
            touched = contacts(s, p, i, a)
            if a >= p.num_adversaries:
                team.reward[i, a] = -10.0 * touched - bound(s.position[i, a, 0]) - bound(s.position[i, a, 1])
                caught += touched
                all_caught &= touched > 0
        for a in range(p.num_adversaries):
            team.reward[i, a] = 10.0 * caught
        s.caught[i] += caught
        return p.terminate_on_success & all_caught

    @kernel
    def observe_env(s, p, i, obs):
        agents = obs.shape[1]
        for a in range(agents):
            x, y = s.position[i, a, 0], s.position[i, a, 1]
            obs[i, a, 0] = s.velocity[i, a, 0]
            obs[i, a, 1] = s.velocity[i, a, 1]
            obs[i, a, 2] = x
            obs[i, a, 3] = y
            others = 4 + 2 * p.num_obstacles
            for k in range(p.num_obstacles):
                obs[i, a, 4 + 2 * k] = s.obstacle[i, k, 0] - x
                obs[i, a, 5 + 2 * k] = s.obstacle[i, k, 1] - y
            for k in range(agents - 1):
                other = k + (k >= a)
                obs[i, a, others + 2 * k] = s.position[i, other, 0] - x
                obs[i, a, others + 2 * k + 1] = s.position[i, other, 1] - y
            velocities = others + 2 * (agents - 1)
            for prey in range(p.num_adversaries, agents):
                if prey != a:
                    obs[i, a, velocities] = s.velocity[i, prey, 0]
                    obs[i, a, velocities + 1] = s.velocity[i, prey, 1]
                    velocities += 2
            for column in range(velocities, obs.shape[2]):
                obs[i, a, column] = 0.0
