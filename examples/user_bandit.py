"""A contextual bandit over arrays of your own."""

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.random import integer, normal

generator = np.random.default_rng(0)
FEATURES = generator.normal(size=(500, 8)).astype(np.float32)
REWARDS = (FEATURES @ generator.normal(size=(8, 5)) / np.sqrt(8)).astype(np.float32)


class UserBandit(JitEnv):
    """Choose the best arm for the one who asks.

    The environment is made of two arrays, for example those of an experiment: `features`, a row for each user, and
    `rewards`, what each user would have given for each arm. In each step a user comes, at random.

        env = UserBandit(num_envs=1024, features=features, rewards=rewards)

    **Observation** `Box(-inf, inf, (number of features,))`: the features of the user.

    **Action** `Discrete(number of arms)`.

    **Reward**: that of the user for the arm, and noise.

    **End**: after each step.
    """

    single_observation_space = staticmethod(lambda p: Box(-np.inf, np.inf, (p.features.shape[1],), np.float32))
    single_action_space = staticmethod(lambda p: Discrete(p.rewards.shape[1]))
    metrics = ("regret",)
    train_config = {"train.total_timesteps": 300_000}

    class State(NamedTuple):
        user: int
        regret: float

    class Params(NamedTuple):
        features: np.ndarray = FEATURES
        rewards: np.ndarray = REWARDS
        noise: float = 0.1

    @classmethod
    def setup(cls, params):
        if len(params.features) != len(params.rewards):
            raise ValueError("features and rewards must have as many rows")
        return params

    @kernel
    def reset_env(s, p, i, rng):
        s.user[i] = integer(rng, len(p.features))

    @kernel
    def step_env(s, p, i, action, rng):
        rewards = p.rewards[s.user[i]]
        s.regret[i] = np.max(rewards) - rewards[action]
        return rewards[action] + p.noise * normal(rng), True

    @kernel
    def observe_env(s, p, i, obs):
        obs[i] = p.features[s.user[i]]
