"""Torch helpers: layer initialization, and the distributions that policies' outputs stand for.

A policy returns one tensor of action parameters, ``(rows, num_params)``. For Discrete they are logits; for
MultiDiscrete, the logits of each component, one after the other; for a Box, means and then log standard
deviations. The classes here turn them into actions, log-probabilities and entropies; they do what
`torch.distributions` does, without its argument checks, which cost more than the arithmetic.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.env import APIUsageError
from puffer_numba.sampling import sample_categorical, sample_gaussian

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def layer_init(layer: nn.Linear, std: float = math.sqrt(2), bias: float = 0.0) -> nn.Linear:
    """Orthogonal weights of gain ``std`` and a constant bias, in place (Engstrom et al., 2020)."""
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, bias)
    return layer


def seed_stream(seed: int) -> NDArray[np.uint64]:
    """The one-element state of the random stream that `sample` draws from on the CPU."""
    return np.array([np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]], np.uint64)


class CategoricalActions:
    """Discrete and MultiDiscrete: one categorical distribution for each component.

    Attributes:
        sizes: ``(components,)`` int64: number of choices of each component.
        num_params: logits of one row.
        shape: shape of one row's action: ``()`` or ``(components,)``.
        dtype: of stored actions, int64, as torch's gather wants its index.
    """

    dtype = torch.int64

    def __init__(self, space: Discrete | MultiDiscrete) -> None:
        self.shape = tuple(space.shape or ())
        sizes = np.atleast_1d(space.n if isinstance(space, Discrete) else space.nvec).ravel()
        self.sizes = sizes.astype(np.int64)
        self.num_params = int(sizes.sum())
        self._splits = self.sizes.tolist()
        self._start = np.asarray(space.start, np.int64) if np.any(space.start) else None

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the environment wants them: counted from the space's own start."""
        return actions if self._start is None else actions + self._start

    def sample(
        self, params: Tensor, stream: NDArray[np.uint64], actions: NDArray[Any], log_probs: NDArray[np.float32]
    ) -> None:
        """Draw actions into ``actions (rows, *shape)`` and their log-probabilities into ``log_probs (rows,)``."""
        rows = len(log_probs)
        sample_categorical(_float_array(params), self.sizes, stream, actions.reshape(rows, len(self.sizes)), log_probs)

    def mode(self, params: Tensor) -> NDArray[Any]:
        """The likeliest action of each row."""
        best = [logits.argmax(-1) for logits in params.split(self._splits, -1)]
        return torch.stack(best, -1).reshape(-1, *self.shape).cpu().numpy()

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of ``actions (rows, *shape)`` and entropy, both ``(rows,)``, with gradients."""
        if len(self.sizes) == 1:
            return _categorical(params, actions.reshape(-1, 1))
        log_prob, entropy = params.new_zeros(len(params)), params.new_zeros(len(params))
        for logits, action in zip(params.split(self._splits, -1), actions.flatten(1).split(1, -1), strict=True):
            one_log_prob, one_entropy = _categorical(logits, action)
            log_prob, entropy = log_prob + one_log_prob, entropy + one_entropy
        return log_prob, entropy


class GaussianActions:
    """Box: independent normal distributions, whose draws are clipped to the box on their way to the environment.

    Attributes:
        num_params: means and log standard deviations of one row.
        shape: shape of one row's action.
        dtype: of stored actions, float32.
    """

    dtype = torch.float32

    def __init__(self, space: Box) -> None:
        self.shape = space.shape
        self.size = int(np.prod(space.shape))
        self.num_params = 2 * self.size
        self._low, self._high, self._dtype = space.low, space.high, space.dtype

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the environment wants them: inside the box, in its dtype."""
        return cast(NDArray[Any], np.clip(actions, self._low, self._high).astype(self._dtype, copy=False))

    def sample(
        self, params: Tensor, stream: NDArray[np.uint64], actions: NDArray[Any], log_probs: NDArray[np.float32]
    ) -> None:
        """Draw actions into ``actions (rows, *shape)`` and their log-probabilities into ``log_probs (rows,)``."""
        sample_gaussian(_float_array(params), stream, actions.reshape(len(log_probs), self.size), log_probs)

    def mode(self, params: Tensor) -> NDArray[Any]:
        """The likeliest action of each row: the mean."""
        return params[:, : self.size].reshape(-1, *self.shape).float().cpu().numpy()

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of ``actions (rows, *shape)`` and entropy, both ``(rows,)``, with gradients."""
        mean, log_std = params.split(self.size, -1)
        scaled = (actions.reshape(-1, self.size) - mean) * torch.exp(-log_std)
        log_prob = -(0.5 * scaled.square() + log_std + LOG_SQRT_2PI).sum(-1)
        return log_prob, (log_std + (0.5 + LOG_SQRT_2PI)).sum(-1)


ActionDistribution = CategoricalActions | GaussianActions


def action_distribution(space: Any) -> ActionDistribution:
    """The distribution over the actions of ``space``.

    Raises:
        APIUsageError: ``space`` is neither Discrete, MultiDiscrete nor Box of floats.
    """
    if isinstance(space, Discrete | MultiDiscrete):
        return CategoricalActions(space)
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        return GaussianActions(space)
    raise APIUsageError(f"no policy acts in {space!r}; expected Discrete, MultiDiscrete or a Box of floats.")


def _categorical(logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    log_probs = torch.log_softmax(logits, -1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(-1, action).squeeze(-1), entropy


def _float_array(params: Tensor) -> NDArray[np.float32]:
    """As a NumPy array; a copy only where the tensor is on another device, or of another dtype."""
    return cast(NDArray[np.float32], params.detach().float().cpu().numpy())
