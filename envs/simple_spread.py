"""Simple spread: agents cover landmarks together, and keep off each other."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box

from puffer_numba.envs import _particles as particles
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import uniform

SIZE = 0.15  # radius of an agent
ACCELERATION = 5.0
COVERED = 0.1  # a landmark is, by an agent closer than this


class SimpleSpread(JitEnv):
    """Three agents are to cover three landmarks, one each, without touching.

    - Agents: ``players``, and as many landmarks.
    - Observation: ``Box(-inf, inf, (6 * players,), float32)``: the own velocity and position; where the landmarks and
      the other agents are, from oneself; and what the others say, which is nothing, 0.
    - Action: ``Discrete(5)``: 0 nothing, and a push 1 left, 2 right, 3 down, 4 up. With ``continuous_actions``
      ``Box(0, 1, (5,), float32)``: how much of each.
    - Reward: for all, minus the sum over landmarks of the closest agent's distance; and for each agent alone, -1 for
      every other that it touches. They are added with the weights ``1 - local_ratio`` and ``local_ratio``.
    - Terminated: never; with ``terminate_on_success`` once an agent is on every landmark, within 0.1.
    - Truncated: after 25 steps.
    - Start: agents, at rest, and landmarks uniform on a square of 2 x 2 around the origin.

    Agents are discs of radius 0.15, soft, and accelerate by 5. There are no walls.

    Source: MPE2's ``simple_spread_v3``, whose transitions it reproduces; without its curriculum, which leaves out the
    penalty at first, and its partial observations. Where the last step succeeds, it is both truncated and terminated.
    """

    agents = "players"
    metrics = ("covered", "collisions")
    max_episode_steps = 25

    class State(NamedTuple):
        position: Annotated[float, "players", 2]
        velocity: Annotated[float, "players", 2]
        force: Annotated[float, "players", 2]
        landmark: Annotated[float, "players", 2]
        covered: int  # landmarks
        collisions: int  # pairs that touched, summed over the episode's steps

    class Params(NamedTuple):
        players: Annotated[int, Ge(1), Le(100)] = 3  # agents in one environment, and landmarks
        local_ratio: Annotated[float, Ge(0), Le(1)] = 0.5
        """weight of an agent's own reward, from 0 to 1; the common one has the rest"""
        continuous_actions: bool = False  # push a little or much
        terminate_on_success: bool = False  # end the episode once every landmark is covered

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(-np.inf, np.inf, (6 * p.players,), np.float32)

    @staticmethod
    def single_action_space(p: Any) -> Any:
        return particles.action_space(p.continuous_actions)

    @kernel
    def reset_env(s, p, i, rng, team):
        for a in range(p.players):
            for axis in range(2):
                s.position[i, a, axis] = uniform(rng, -1.0, 1.0)
                s.landmark[i, a, axis] = uniform(rng, -1.0, 1.0)
        for a in range(p.players):
            for b in range(a):
                particles.meet(s, i, a, b, 2.0 * SIZE)

    @kernel
    def step_env(s, p, i, action, rng, team):
        players = team.reward.shape[1]  # as p.players, but LLVM knows the number
        for a in range(players):
            x, y = particles.steer(action, a)
            vx, vy = particles.move(s, i, a, ACCELERATION * x, ACCELERATION * y)
            s.velocity[i, a, 0] = vx
            s.velocity[i, a, 1] = vy
        common = 0.0
        covered = 0
        for k in range(players):
            closest = math.inf
            for a in range(players):
                dx = s.position[i, a, 0] - s.landmark[i, k, 0]
                dy = s.position[i, a, 1] - s.landmark[i, k, 1]
                closest = min(closest, dx * dx + dy * dy)
            common -= float(math.sqrt(closest))
            covered += closest < COVERED * COVERED
        s.covered[i] = covered
        for a in range(players):
            team.reward[i, a] = common * (1.0 - p.local_ratio)
        for a in range(players):
            for b in range(a):
                if particles.meet(s, i, a, b, 2.0 * SIZE):
                    team.reward[i, a] -= p.local_ratio
                    team.reward[i, b] -= p.local_ratio
                    s.collisions[i] += 1
        return p.terminate_on_success & (covered == players)

    @kernel
    def observe_env(s, p, i, obs):
        players = obs.shape[1]
        for a in range(players):
            x, y = s.position[i, a, 0], s.position[i, a, 1]
            obs[i, a, 0] = s.velocity[i, a, 0]
            obs[i, a, 1] = s.velocity[i, a, 1]
            obs[i, a, 2] = x
            obs[i, a, 3] = y
            for k in range(players):
                obs[i, a, 4 + 2 * k] = s.landmark[i, k, 0] - x
                obs[i, a, 5 + 2 * k] = s.landmark[i, k, 1] - y
            for k in range(players - 1):
                other = k + (k >= a)
                column = 4 + 2 * players + 2 * k
                obs[i, a, column] = s.position[i, other, 0] - x
                obs[i, a, column + 1] = s.position[i, other, 1] - y
            for k in range(2 * (players - 1)):
                obs[i, a, 2 + 4 * players + k] = 0.0
