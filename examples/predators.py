"""Predators that share a prey, and starve."""

from typing import Annotated, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.random import integer, uniform

PREDATORS = 3
STEPS = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])


class Predators(JitEnv):
    """Three predators hunt one prey on a grid whose edges are joined (a torus).

    The prey runs from the nearest predator, but is slower than they are: it moves in a part of the steps only. Who
    catches it eats, and another prey appears. Who doesn't eat starves and leaves the episode.

    **Observation** `Box(-1, 1, (8,))`, for each predator: where the prey is (rows, columns), where the two others are
    (the same; 0 for those that have died), its own energy, and 1 if it is alive.

    **Action** `Discrete(5)`, for each predator: stay, right, down, left, up.

    **Reward**: 1 for the one that catches the prey, 0.2 for the others; -1 for starving.

    **End**: an agent terminates when it has starved; the episode when all have, or (truncated) after 200 steps.

    **Start**: everyone on a random square, with energy for 40 steps.
    """

    agents = PREDATORS
    max_episode_steps = 200
    single_observation_space = Box(-1, 1, (2 + 2 * (PREDATORS - 1) + 2,), np.float32)
    single_action_space = Discrete(5)
    metrics = ("caught",)
    train_config = {"train.total_timesteps": 1_500_000}

    class State(NamedTuple):
        position: Annotated[int, PREDATORS, 2]
        energy: Annotated[int, PREDATORS]
        prey: Annotated[int, 2]
        caught: int

    class Params(NamedTuple):
        size: int = 11  # squares in a row
        food: int = 40  # steps that a predator lives from one prey
        speed: float = 0.6  # probability that the prey moves in a step

    def towards(here, there, size):
        """Signed distance on a ring, from here to there."""
        return (there - here + size // 2) % size - size // 2

    def flee(position, prey, energy, size, rng):
        """The step of the prey that takes it farthest from the nearest predator."""
        best = -1.0
        move = 0
        for k, step in enumerate(STEPS):
            nearest = 2.0 * size
            for a in range(PREDATORS):
                if energy[a] > 0:
                    d = 0
                    for axis in range(2):
                        d += abs(Predators.towards(prey[axis] + step[axis], position[a, axis], size=size))
                    nearest = min(nearest, d)
            score = nearest + uniform(rng, 0.0, 0.5)
            if score > best:
                best, move = score, k
        return move

    @kernel
    def reset_env(s, p, i, rng, team):
        for a in range(PREDATORS):
            s.position[i, a] = (integer(rng, p.size), integer(rng, p.size))
        s.energy[i] = p.food
        s.prey[i] = (integer(rng, p.size), integer(rng, p.size))

    @kernel
    def step_env(s, p, i, action, rng, team):
        if uniform(rng, 0.0, 1.0) < p.speed:
            k = Predators.flee(s.position[i], s.prey[i], s.energy[i], size=p.size, rng=rng)
            s.prey[i] = (s.prey[i] + STEPS[k]) % p.size
        eaten = False
        for a in range(PREDATORS):
            if s.energy[i, a] == 0:
                continue
            s.position[i, a] = (s.position[i, a] + STEPS[action[a]]) % p.size
            s.energy[i, a] -= 1
            if not eaten and np.array_equal(s.position[i, a], s.prey[i]):
                eaten = True
                s.energy[i, a] = p.food
                s.caught[i] += 1
                team.reward[i, a] += 1.0
                for b in range(PREDATORS):
                    if b != a and s.energy[i, b] > 0:
                        team.reward[i, b] += 0.2
            if s.energy[i, a] == 0:
                team.reward[i, a] -= 1.0
                team.terminated[i, a] = True
        if eaten:
            s.prey[i] = (integer(rng, p.size), integer(rng, p.size))
        return np.sum(s.energy[i]) == 0

    @kernel
    def observe_env(s, p, i, obs):
        half = p.size // 2
        obs[i] = 0
        for a in range(PREDATORS):
            for axis in range(2):
                here = s.position[i, a, axis]
                obs[i, a, axis] = Predators.towards(here, s.prey[i, axis], size=p.size) / half
                for k in range(1, PREDATORS):
                    b = (a + k) % PREDATORS
                    if s.energy[i, b] > 0:
                        obs[i, a, 2 * k + axis] = Predators.towards(here, s.position[i, b, axis], size=p.size) / half
            obs[i, a, -2] = s.energy[i, a] / p.food
            obs[i, a, -1] = s.energy[i, a] > 0
