"""Tiny environments, in NumPy, whose optimal behaviour or value is known."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from puffer_numba.env import PufferEnv


class OneStep(PufferEnv):
    """Every episode is one step; subclasses say what an action is worth."""

    observation_size = 1

    def __init__(self, num_envs=64, seed=0):
        self.single_observation_space = Box(-1, 1, (self.observation_size,), np.float32)
        self.num_agents = num_envs
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def draw(self):
        raise NotImplementedError

    def reward(self, actions):
        raise NotImplementedError

    def reset(self, seed=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.observations[:] = self.draw()
        return self.observations, []

    def step(self, actions):
        self.rewards[:] = self.reward(actions)
        self.terminals[:] = True
        self.final_observations[:] = self.observations
        self.observations[:] = self.draw()
        return self.observations, self.rewards, self.terminals, self.truncations, []


class Aim(OneStep):
    """The best action is half the observation, in a box that is too small for some draws."""

    single_action_space = Box(-0.5, 0.5, (1,), np.float32)

    def draw(self):
        return self.rng.uniform(-1, 1, (self.num_agents, 1))

    def reward(self, actions):
        assert actions.shape == (self.num_agents, 1)
        assert np.abs(actions).max() <= 0.5
        return -((actions[:, 0] - 0.5 * self.observations[:, 0]) ** 2)


class Pairs(OneStep):
    """Two components; each pays half where it names the one that is shown."""

    single_action_space = MultiDiscrete([2, 3])
    observation_size = 5

    def draw(self):
        observations = np.zeros((self.num_agents, 5))
        rows = np.arange(self.num_agents)
        observations[rows, self.rng.integers(0, 2, self.num_agents)] = 1
        observations[rows, 2 + self.rng.integers(0, 3, self.num_agents)] = 1
        return observations

    def reward(self, actions):
        first, second = self.observations[:, :2].argmax(1), self.observations[:, 2:].argmax(1)
        return 0.5 * (actions[:, 0] == first) + 0.5 * (actions[:, 1] == second)


class Cut(PufferEnv):
    """Pays 1 for ever, but every episode is cut after ``length`` steps; ends for good where ``terminal``."""

    def __init__(self, num_envs=16, length=5, terminal=False):
        self.single_observation_space = Box(-1, 1, (1,), np.float32)
        self.single_action_space = Discrete(2)
        self.num_agents = num_envs
        self.length, self.terminal, self.tick = length, terminal, 0
        super().__init__()

    def reset(self, seed=None):
        self.tick = 0
        self.observations[:] = 1
        return self.observations, []

    def step(self, actions):
        self.tick += 1
        self.rewards[:] = 1
        ended = self.tick % self.length == 0
        (self.terminals if self.terminal else self.truncations)[:] = ended
        self.final_observations[:] = 1
        return self.observations, self.rewards, self.terminals, self.truncations, []


class Haunted(Aim):
    """`Aim` with extra rows that are never alive, and whose numbers are ``noise``."""

    def __init__(self, num_envs=16, ghosts=8, noise=np.nan):
        self.ghosts, self.noise = ghosts, noise
        super().__init__(num_envs + ghosts)

    def haunt(self):
        self.masks[-self.ghosts :] = False
        for array in (self.observations, self.rewards, self.final_observations):
            array[-self.ghosts :] = self.noise

    def draw(self):
        return np.random.default_rng(int(self.rng.integers(2**31))).uniform(-1, 1, (self.num_agents, 1))

    def reset(self, seed=None):
        super().reset(seed)
        self.haunt()
        return self.observations, []

    def reward(self, actions):
        return -((actions[:, 0] - 0.5 * self.observations[:, 0]) ** 2)

    def step(self, actions):
        result = super().step(actions)
        self.haunt()
        return result


class Indirect(PufferEnv):
    """Another environment behind arrays of its own, as a wrapper in Python would have it."""

    def __init__(self, env):
        self.env = env
        self.single_observation_space, self.single_action_space = env.single_observation_space, env.single_action_space
        self.num_agents = env.num_agents
        super().__init__()

    def fill(self):
        for name in ("observations", "rewards", "terminals", "truncations", "masks", "final_observations"):
            getattr(self, name)[:] = getattr(self.env, name)

    def reset(self, seed=None):
        self.env.reset(seed)
        self.fill()
        return self.observations, []

    def step(self, actions):
        self.env.step(actions)
        self.fill()
        return self.observations, self.rewards, self.terminals, self.truncations, []


class Throw(gymnasium.Env):
    """Pays 1 for the hand that is shown (5, 6 or 7) and the strength that is shown; nothing for either alone."""

    def __init__(self):
        self.observation_space = Box(-1, 1, (4,), np.float32)
        self.action_space = Dict(hand=Discrete(3, start=5), strength=Box(-1, 1, (), np.float32))

    def observe(self):
        self.hand, self.strength = self.np_random.integers(3), self.np_random.uniform(-0.8, 0.8)
        return np.append(np.eye(3)[self.hand], self.strength).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        assert action in self.action_space
        near = np.exp(-4 * (action["strength"] - self.strength) ** 2)
        reward = float(near) if action["hand"] == 5 + self.hand else 0.0
        return self.observe(), reward, True, False, {}


class Riddle(gymnasium.Env):
    """Shows a number from 0 to 3 in one of five ways, and pays 1 for naming it."""

    WORDS = ("nought", "one", "two", "three")

    def __init__(self):
        self.observation_space = Dict(
            way=Discrete(5, start=1),
            digit=Discrete(5, start=-1),
            word=Text(6, min_length=0, charset="ehgnotuwr"),
            position=Box(-1000, 1000, (2,), np.float32),
            bits=Tuple([MultiBinary(2), MultiDiscrete([300, 300])]),
        )
        self.action_space = Discrete(4)

    def observe(self):
        self.answer = int(self.np_random.integers(4))
        way = int(self.np_random.integers(5))
        one, two = divmod(self.answer, 2)
        position = np.array([one * 1000 - 500, two * 1000 - 500], np.float32)
        return {
            "way": 1 + way,
            "digit": self.answer if way == 0 else -1,
            "word": self.WORDS[self.answer] if way == 1 else "",
            "position": position if way == 2 else np.zeros(2, np.float32),
            "bits": (
                np.array([one, two], np.int8) if way == 3 else np.zeros(2, np.int8),
                np.array([2 + one, 250 + two] if way == 4 else [0, 0]),
            ),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        reward = float(action == self.answer)
        return self.observe(), reward, True, False, {}
