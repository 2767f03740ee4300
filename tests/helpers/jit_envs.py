"""Small environments that the tests step. Their arithmetic is exact in float32, so kernels must equal Python."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.compiler import threads
from puffer_numba.jit.random import integer, random


class Walk(JitEnv):
    """Along a line from a random cell, left or right. Leaving it at the right end pays 1 and terminates.

    ``luck`` is drawn at each step, so a stream that goes astray shows up in the next observation.
    """

    max_episode_steps = 6
    info = ("ticks",)
    metrics = ("reached", "ticks")
    single_observation_space = Box(-1, 100, (3,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        position: int
        luck: float
        reached: bool
        ticks: np.int16

    class Params(NamedTuple):
        size: int = 4
        reward: float = 1.0
        slow: bool = False

    @classmethod
    def setup(cls, params: Any) -> Any:
        if params.size < 2:
            raise ValueError(f"Walk: parameter size is {params.size}; expected at least 2.")
        return params

    @kernel
    def reset_env(s, p, i, rng):
        s.position[i] = integer(rng, p.size)

    @kernel
    def step_env(s, p, i, action, rng):
        s.ticks[i] += 1
        s.luck[i] = random(rng)
        s.position[i] += 2 * action - 1
        s.reached[i] = s.position[i] == p.size
        reward = p.reward if s.reached[i] else -0.125
        return reward, s.reached[i] or s.position[i] < 0

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.position[i]
        obs[i, 1] = s.luck[i]
        obs[i, 2] = s.ticks[i]


class Drawn(Walk):
    """Walk with an image."""

    render_fps = 12

    @staticmethod
    def render_env(s, p, i):
        return np.full((4, 6, 3), s.position[i], np.uint8)


class Paint(JitEnv):
    """A board whose shape depends on the params: each step paints the next cell in the color of the action."""

    single_action_space = Discrete(3, start=1)

    class State(NamedTuple):
        board: Annotated[np.uint8, "height", "2 * height + 1"]
        pair: Annotated[float, 2]
        painted: int

    class Params(NamedTuple):
        worth: np.ndarray  # of each color
        height: int = 2

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(0, 3, (p.height, 2 * p.height + 1), np.uint8)

    @kernel
    def reset_env(s, p, i, rng):
        s.board[i, integer(rng, p.height), 0] = 3

    @kernel
    def step_env(s, p, i, action, rng):
        width = 2 * p.height + 1
        s.board[i, s.painted[i] // width, s.painted[i] % width] = action
        s.pair[i, s.painted[i] % 2] += 0.5
        s.painted[i] += 1
        return p.worth[action], s.painted[i] == p.height * width

    @kernel
    def observe_env(s, p, i, obs):
        for row in range(p.height):
            for column in range(2 * p.height + 1):
                obs[i, row, column] = s.board[i, row, column]


class Push(JitEnv):
    """Two coordinates that the action pushes; over when the first leaves [-8, 8]."""

    max_episode_steps = 20
    single_observation_space = Box(-100, 100, (2,), np.float32)
    single_action_space = Box(np.array([-1, -2], np.float32), np.array([1, 2], np.float32))

    class State(NamedTuple):
        place: Annotated[float, 2]

    @kernel
    def reset_env(s, p, i, rng):
        s.place[i, 0] = random(rng)

    @kernel
    def step_env(s, p, i, action, rng):
        s.place[i, 0] += action[0]
        s.place[i, 1] += action[1]
        return s.place[i, 0], abs(s.place[i, 0]) > 8.0

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.place[i, 0]
        obs[i, 1] = s.place[i, 1]


class Locks(JitEnv):
    """Three dials; the reward is what they show, read as digits."""

    max_episode_steps = 5
    single_observation_space = Box(0, 3, (3,), np.int32)
    single_action_space = MultiDiscrete([3, 2, 4])

    class State(NamedTuple):
        dials: Annotated[np.int32, 3]

    @kernel
    def reset_env(s, p, i, rng):
        pass

    @kernel
    def step_env(s, p, i, action, rng):
        for k in range(3):
            s.dials[i, k] = action[k]
        return 100.0 * action[0] + 10.0 * action[1] + action[2], False

    @kernel
    def observe_env(s, p, i, obs):
        for k in range(3):
            obs[i, k] = s.dials[i, k]


class Team(JitEnv):
    """Agent ``a`` earns its action times ``a + 1``, and dies after ``lifetimes[a]`` steps of life.

    The dead come back at step ``revive_at``. With ``turns``, one living agent after the other acts. Over for all
    at step ``length``.
    """

    agents = "players"
    metrics = ("revived",)
    single_observation_space = Box(-1, 1000, (3,), np.float32)
    single_action_space = Discrete(3)

    class State(NamedTuple):
        tick: int
        born: Annotated[int, "players"]
        dead: Annotated[bool, "players"]
        revived: int
        start: int

    class Params(NamedTuple):
        lifetimes: np.ndarray
        players: int = 3
        length: int = 100
        revive_at: int = -1
        turns: bool = False
        waiting: bool = False  # all but the first, at the start

    @kernel
    def reset_env(s, p, i, rng, team):
        s.start[i] = integer(rng, 100)
        for a in range(p.players):
            team.alive[i, a] = a == 0 or not p.waiting

    @kernel
    def step_env(s, p, i, action, rng, team):
        s.tick[i] += 1
        for a in range(p.players):
            if s.dead[i, a]:
                if s.tick[i] == p.revive_at:
                    s.dead[i, a] = False
                    s.born[i, a] = s.tick[i]
                    s.revived[i] += 1
                    team.alive[i, a] = True
                continue
            if team.alive[i, a]:
                team.reward[i, a] = action[a] * (a + 1.0)
            if s.tick[i] - s.born[i, a] == p.lifetimes[a]:
                team.terminated[i, a] = True
                s.dead[i, a] = True
            elif p.turns:
                team.alive[i, a] = s.tick[i] % p.players == a
        return s.tick[i] == p.length

    @kernel
    def observe_env(s, p, i, obs):
        for a in range(p.players):
            obs[i, a, 0] = s.tick[i]
            obs[i, a, 1] = a
            obs[i, a, 2] = s.start[i]


def force_threads(env: JitEnv, chunks: int = threads.MAX_THREADS) -> JitEnv:
    """Step on all threads from now on, however few the environments; one chunk of them for each."""
    env._chunks = min(chunks, env._chunks)
    env._run = env._step_parallel
    return env
