"""From settings to a policy."""

from __future__ import annotations

import dataclasses

import torch

from puffer_numba.config import Config
from puffer_numba.env import PufferEnv
from puffer_numba.models.lstm import LSTM
from puffer_numba.models.mlp import MLP


def load_policy(config: Config, env: PufferEnv) -> MLP | LSTM:
    """The network of ``config.policy`` for the spaces of ``env``, initialized from ``config.train.seed``."""
    # Before anything is sampled: an orthogonal matrix differs in its last bits with the number of threads.
    torch.set_num_threads(config.train.torch_threads)
    torch.manual_seed(config.train.seed)
    settings = dataclasses.asdict(config.policy)
    lstm, _ = settings.pop("lstm"), settings.pop("from_")
    policy = MLP(env, **settings, normalize=config.train.normalize_observations)
    return LSTM(policy) if lstm else policy
