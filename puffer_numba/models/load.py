"""From settings to a policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from puffer_numba import files, naming
from puffer_numba.config import Config, PolicyConfig
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.lstm import LSTM
from puffer_numba.models.mlp import MLP


def load_policy(config: Config, env: PufferEnv) -> nn.Module:
    """The network of ``config.policy`` for the spaces of ``env``, initialized from ``config.train.seed``.

    Raises:
        APIUsageError: ``config.policy.name`` is not that of a policy, or it cannot be made.
    """
    # Before anything is sampled: an orthogonal matrix differs in its last bits with the number of threads.
    torch.set_num_threads(config.train.torch_threads)
    torch.manual_seed(config.train.seed)
    own = config.policy.name
    policy = _mlp(config, env) if own is None else make_policy(own, env)
    return LSTM(policy) if config.policy.lstm else policy


def _mlp(config: Config, env: PufferEnv) -> MLP:
    others = ("name", "lstm", "from_")
    settings = {
        f.name: getattr(config.policy, f.name) for f in dataclasses.fields(PolicyConfig) if f.name not in others
    }
    return MLP(env, **settings, normalize=config.train.normalize_observations)


def make_policy(name: str, env: PufferEnv) -> nn.Module:
    """A policy of the user's own, made with ``env``.

    Args:
        name: ``my_module:MyPolicy`` or ``my_file.py:MyPolicy``, a class or a function; or ``my_file.py``, where that
            defines one policy.
        env: gives the spaces, ``single_observation_space`` and ``single_action_space``; what it is called with.

    Raises:
        APIUsageError: there is nothing of that name; it raises; what it makes is no torch module.
    """
    creator = _creator(name)
    try:
        policy: Any = creator(env)
    except APIUsageError:
        raise
    except Exception as error:
        raise APIUsageError(
            f"policy.name is {name}, and {naming.name_of(creator)}(env) raised {files.where_raised(error)}"
        ) from error
    if not isinstance(policy, nn.Module):
        raise APIUsageError(
            f"policy.name is {name}, and {naming.name_of(creator)}(env) made a {type(policy).__name__}; expected a "
            "torch.nn.Module, as puffer_numba.models describes it."
        )
    return policy


def _creator(name: str) -> naming.Creator:
    if files.is_file_name(name) and name.endswith(".py"):
        return files.only_class(name, nn.Module, "policy, a subclass of torch.nn.Module")
    if ":" not in name or name.startswith(("gym:", "pettingzoo:")):
        raise APIUsageError(f"policy.name is {name!r}; expected my_module:MyPolicy or my_file.py:MyPolicy.")
    return naming.env_creator(name)
