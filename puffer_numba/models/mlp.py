"""`MLP`: the default policy."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from puffer_numba.config import Activation, Convolution
from puffer_numba.distributions.actions import GaussianActions, action_distribution
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.encoders import StructuredEncoder, make_encoder
from puffer_numba.pytorch import layer_init
from puffer_numba.spaces.observations import ACTION_MASK

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
LOG_STD_BOUNDS = (-5.0, 2.0)
ILLEGAL = -1e9  # as a logit: a probability of 0, without an infinity that could become NaN


class MLP(nn.Module):
    """A multilayer perceptron over the observation's features, with orthogonal initialization.

    Where observations have an ``action_mask`` (PettingZoo's games, for example), in a Dict at any depth and of any
    dtype, actions with a 0 there have probability 0. It has an element for each choice of the action's discrete
    components, in one array, or a Dict or Tuple of arrays for some of the components each.

    Args:
        env: gives the spaces, and where its observations are structured, ``emulated``.
        hidden_size: units of each hidden layer.
        num_layers: hidden layers.
        shared: one trunk for policy and value, which makes small networks almost twice as fast; otherwise one
            for each, which keeps the two losses apart.
        activation: "relu", "tanh" or "gelu".
        normalize: whether a `StructuredEncoder` is to normalize numbers by their running mean and standard deviation.
        log_std: of continuous actions, at the start.
        cnn: which convolutions see images, as in `puffer_numba.config.PolicyConfig`.
        state_dependent_std: the network outputs the log standard deviations too, between -5 and 2; otherwise they
            are parameters.
        squash: continuous actions are squashed into their bounds, not clipped.

    Attributes:
        encoder: from observations to features: a `BoxEncoder`, an `ImageEncoder`, or a `StructuredEncoder`.
        hidden_size: features between `encode_observations` and `decode_actions`.
    """

    def __init__(
        self,
        env: PufferEnv,
        hidden_size: int = 64,
        num_layers: int = 2,
        shared: bool = True,
        activation: Activation = "relu",
        normalize: bool = False,
        log_std: float = 0.0,
        cnn: Convolution = "auto",
        state_dependent_std: bool = False,
        squash: bool = False,
    ) -> None:
        super().__init__()
        self.squash = squash
        distribution = action_distribution(env.single_action_space, self)
        self.num_log_stds = distribution.num_log_stds if state_dependent_std else 0  # among its outputs
        self.has_log_std = distribution.num_log_stds > self.num_log_stds
        num_outputs = distribution.num_params - distribution.num_log_stds + self.num_log_stds
        self.encoder = make_encoder(env, normalize, cnn)
        self.num_masked = _mask_size(self.encoder, env.single_action_space)

        def trunk() -> list[nn.Module]:
            sizes = [self.encoder.num_features, *[hidden_size] * num_layers]
            layers: list[nn.Module] = []
            for n_in, n_out in itertools.pairwise(sizes):
                layers += [layer_init(nn.Linear(n_in, n_out)), ACTIVATIONS[activation]()]
            return layers

        self.shared, self.hidden_size = shared, hidden_size
        if shared:
            head = layer_init(nn.Linear(hidden_size, num_outputs + 1), std=0.01)
            nn.init.orthogonal_(head.weight[-1:], 1.0)  # the last output is the value
            self.network = nn.Sequential(*trunk(), head)
        else:
            layers = trunk()
            head = layer_init(nn.Linear(hidden_size, num_outputs), std=0.01)
            self.actor = nn.Sequential(*layers, head)
            self.critic = nn.Sequential(*trunk(), layer_init(nn.Linear(hidden_size, 1), std=1.0))
        nn.init.constant_(head.bias[num_outputs - self.num_log_stds : num_outputs], log_std)
        if self.has_log_std:
            self.log_std = nn.Parameter(torch.full((distribution.num_log_stds,), log_std))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Action parameters ``(rows, num_params)`` and values ``(rows,)`` of ``observations (rows, *shape)``."""
        if self.shared:
            params, values = self.decode_actions(self.encode_observations(observations))
        else:
            x = self.encoder(observations)
            params, values = self._with_log_std(self.actor(x)), self.critic(x)[:, 0]
        return self.mask_actions(params, observations), values

    def forward_eval(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The same as `forward`; PufferLib's name for it while experience is collected."""
        return self.forward(observations)

    def encode_observations(self, observations: Tensor) -> Tensor:
        """What the last hidden layer makes of ``observations (rows, *shape)``: ``(rows, hidden_size)``. Shared only."""
        return self.network[:-1](self.encoder(observations))

    def decode_actions(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Action parameters, without the mask, and values of ``hidden (rows, hidden_size)``. Shared only."""
        out = self.network[-1](hidden)
        return self._with_log_std(out[:, :-1]), out[:, -1]

    def mask_actions(self, params: Tensor, observations: Tensor) -> Tensor:
        """``params`` with illegal actions made impossible, where ``observations`` have an ``action_mask``."""
        if not self.num_masked:
            return params
        legal = self.encoder.action_mask(observations)  # type: ignore[operator]
        logits = params[:, : self.num_masked].masked_fill(~legal, ILLEGAL)
        return torch.cat([logits, params[:, self.num_masked :]], -1)

    def _with_log_std(self, params: Tensor) -> Tensor:
        if self.num_log_stds:
            means, log_stds = params[:, : -self.num_log_stds], params[:, -self.num_log_stds :]
            return torch.cat([means, log_stds.clamp(*LOG_STD_BOUNDS)], -1)
        return torch.cat([params, self.log_std.expand(params.shape[0], -1)], -1) if self.has_log_std else params


def _mask_size(encoder: nn.Module, action_space: Any) -> int:
    """Logits that an ``action_mask`` in the observations is for; 0 where there is none."""
    sizes = encoder.mask_sizes if isinstance(encoder, StructuredEncoder) else []
    distribution = action_distribution(action_space)
    choices = [] if isinstance(distribution, GaussianActions) else distribution.sizes.tolist()
    ends = list(itertools.accumulate(choices))
    if sizes and not (sum(sizes) == sum(choices) and set(itertools.accumulate(sizes)) <= set(ends)):
        raise APIUsageError(
            f"observation[...][{ACTION_MASK!r}] has {' + '.join(map(str, sizes))} elements, but {action_space} has "
            f"{' + '.join(map(str, choices or [0]))} choices; it takes one for each. (A mask of something else needs "
            "another name.)"
        )
    return sum(sizes)
