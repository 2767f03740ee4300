"""Policies: torch modules from observations ``(rows, *shape)`` to action parameters and values.

The trainer takes any `torch.nn.Module` whose ``forward(observations)`` returns ``(action_params, values)``:
``(rows, num_params)``, as `puffer_numba.pytorch.action_distribution` wants them, and ``(rows,)`` or ``(rows, 1)``.
Where the module has a ``forward_eval``, that is called while experience is collected.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from puffer_numba.config import Activation, Config
from puffer_numba.env import PufferEnv
from puffer_numba.pytorch import action_distribution, layer_init

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class MLP(nn.Module):
    """A multilayer perceptron over the flattened observation, with orthogonal initialization.

    Integer observations are cast to float32 and, where their space is bounded, divided by its largest value.

    Args:
        env: gives the spaces.
        hidden_size: units of each hidden layer.
        num_layers: hidden layers.
        shared: one trunk for policy and value, which makes small networks almost twice as fast; otherwise one
            for each, which keeps the two losses apart.
        activation: "relu", "tanh" or "gelu".
    """

    def __init__(
        self,
        env: PufferEnv,
        hidden_size: int = 64,
        num_layers: int = 2,
        shared: bool = True,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        space = env.single_observation_space
        distribution = action_distribution(env.single_action_space)
        self.is_continuous = isinstance(env.single_action_space, Box)
        self.num_outputs = distribution.num_params // (2 if self.is_continuous else 1)
        self.scale = _integer_scale(space)

        def trunk() -> list[nn.Module]:
            sizes = [int(np.prod(space.shape)), *[hidden_size] * num_layers]
            layers: list[nn.Module] = []
            for n_in, n_out in itertools.pairwise(sizes):
                layers += [layer_init(nn.Linear(n_in, n_out)), ACTIVATIONS[activation]()]
            return layers

        self.shared = shared
        if shared:
            head = layer_init(nn.Linear(hidden_size, self.num_outputs + 1), std=0.01)
            nn.init.orthogonal_(head.weight[-1:], 1.0)  # the last output is the value
            self.network = nn.Sequential(*trunk(), head)
        else:
            self.actor = nn.Sequential(*trunk(), layer_init(nn.Linear(hidden_size, self.num_outputs), std=0.01))
            self.critic = nn.Sequential(*trunk(), layer_init(nn.Linear(hidden_size, 1), std=1.0))
        if self.is_continuous:
            self.log_std = nn.Parameter(torch.zeros(self.num_outputs))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Action parameters ``(rows, num_params)`` and values ``(rows,)`` of ``observations (rows, *shape)``."""
        x = observations.flatten(1)
        if x.dtype != torch.float32:
            x = x.float()
        if self.scale != 1.0:
            x = x * self.scale
        if self.shared:
            out = self.network(x)
            params, values = out[:, :-1], out[:, -1]
        else:
            params, values = self.actor(x), self.critic(x)[:, 0]
        if self.is_continuous:
            params = torch.cat([params, self.log_std.expand_as(params)], -1)
        return params, values

    def forward_eval(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The same as `forward`; PufferLib's name for it while experience is collected."""
        return self.forward(observations)


class RunningNormalizer(nn.Module):
    """Shifts and scales tensors by their running mean and standard deviation, and clips them to 10."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], device: Any = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, device=device))
        self.register_buffer("var", torch.ones(shape, device=device))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64, device=device))

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized float32 observations, of the same shape."""
        return ((observations.float() - self.mean) * torch.rsqrt(self.var + 1e-8)).clamp_(-10, 10)

    @torch.no_grad()
    def update(self, observations: Tensor) -> None:
        """Fold ``observations (rows, *shape)`` into the statistics (Chan, Golub & LeVeque, 1979)."""
        if len(observations) == 0:
            return
        batch = observations.double()
        batch_mean, batch_var, n = batch.mean(0), batch.var(0, correction=0), len(batch)
        total = self.count + n
        delta = batch_mean - self.mean
        var = (self.var * self.count + batch_var * n + delta.square() * self.count * n / total) / total
        self.mean += delta * n / total
        self.var.copy_(var)
        self.count.copy_(total)


def _integer_scale(space: Box) -> float:
    """What integer observations are multiplied by, so that networks see values of about 1."""
    if np.issubdtype(space.dtype, np.floating) or space.dtype == np.bool_:
        return 1.0
    largest = float(max(np.abs(space.low).max(initial=0), np.abs(space.high).max(initial=0)))
    return 1.0 / largest if 0 < largest < 2**31 - 1 else 1.0


def load_policy(config: Config, env: PufferEnv) -> MLP:
    """The network of ``config.policy`` for the spaces of ``env``, initialized from ``config.train.seed``."""
    # Before anything is drawn: an orthogonal matrix differs in its last bits with the number of threads.
    torch.set_num_threads(config.train.torch_threads)
    torch.manual_seed(config.train.seed)
    return MLP(env, **dataclasses.asdict(config.policy))
