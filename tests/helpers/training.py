"""Short training runs, their weights, and policies to train."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from puffer_numba.config import Config
from puffer_numba.pufferl import PuffeRL, load_policy

SMALL = {
    "train.horizon": 16,
    "train.total_timesteps": 64 * 16 * 4,
    "train.num_minibatches": 2,
    "train.update_epochs": 4,
    "train.max_grad_norm": 0.5,
    "train.normalize_returns": False,
    "policy.hidden_size": 16,
    "policy.shared": True,
    "policy.activation": "relu",
}


def make_trainer(env, overrides=None, policy=None, **kwargs):
    config = Config("test").update({**SMALL, **(overrides or {})})
    return PuffeRL(config, env, policy or load_policy(config, env), **kwargs)


def weights(trainer):
    return {name: tensor.clone() for name, tensor in trainer.policy.state_dict().items()}


def same_weights(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


LEARN = {
    "train.total_timesteps": 64 * 16 * 60,
    "train.learning_rate": 5e-3,
    "train.ent_coef": 0.0,
    "train.gamma": 0.0,
}


class OwnPolicy(torch.nn.Module):
    """As users write them for PufferLib: values with a column, an unused state, forward_eval beside forward."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(4, 8)
        self.actor, self.critic = torch.nn.Linear(8, 2), torch.nn.Linear(8, 1)
        self.calls = {"forward": 0, "forward_eval": 0}

    def _both(self, observations):
        hidden = self.body(observations).relu()
        return self.actor(hidden), self.critic(hidden)

    def forward(self, observations, state=None):
        self.calls["forward"] += 1
        return self._both(observations)

    def forward_eval(self, observations, state=None):
        self.calls["forward_eval"] += 1
        return self._both(observations)


def env_spaces(observation, action):
    return SimpleNamespace(single_observation_space=observation, single_action_space=action, emulated=None)


CARTPOLE = env_spaces(Box(-np.inf, np.inf, (4,), np.float32), Discrete(2))
