"""The distributions that a policy's outputs stand for: actions, log-probabilities, entropies."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from puffer_numba.distributions.sampling import sample_categorical, sample_gaussian
from puffer_numba.env import APIUsageError
from puffer_numba.spaces.actions import HybridSpace

_OTHER_KEY = np.array([0xD1B54A32D192ED03, 0, 0], np.uint64)
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def seed_stream(seed: int, step: int = 0, row: int = 0) -> NDArray[np.uint64]:
    """Where ``sample`` takes its random numbers from: those of a row at a step depend on ``(seed, step, row)`` alone.

    So they are the same however many rows, batches or processes act beside it.

    Returns:
        ``(3,)``: a key made from the seed, the step, and the number of the first row. The last two are the caller's to
        set before each call of ``sample``.
    """
    return np.array([np.random.SeedSequence(seed).generate_state(1, np.uint64)[0], step, row], np.uint64)


class _Storage:
    """What all distributions share: arrays to sample into, and what they are made of."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    num_params: int

    @property
    def meaning(self) -> str:
        """What the parameters of one row are, in words."""
        raise NotImplementedError

    def _check_params(self, params: Tensor, rows: int) -> None:
        """Kernels have no bounds checks.

        Raises:
            APIUsageError: there are more or fewer parameters than they would read.
        """
        if params.shape != (rows, self.num_params):
            raise APIUsageError(
                f"action parameters have shape {tuple(params.shape)}; expected {(rows, self.num_params)}: "
                f"{self.meaning}."
            )

    @property
    def array_dtype(self) -> type[np.int64] | type[np.float32]:
        """``dtype``, as NumPy has it."""
        return np.float32 if self.dtype.is_floating_point else np.int64

    def storage(self, rows: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Actions ``(rows, *shape)`` and log-probabilities ``(rows,)`` for ``sample`` to write."""
        return np.zeros((rows, *self.shape), self.array_dtype), np.zeros(rows, np.float32)


class CategoricalActions(_Storage):
    """Discrete and MultiDiscrete: one categorical distribution for each component.

    Attributes:
        sizes: ``(components,)`` int64: number of choices of each component.
        num_params: logits of one row.
        num_log_stds: how many of them are log standard deviations, which come last: none.
        shape: shape of one row's action: ``()`` or ``(components,)``.
        dtype: of stored actions, int64, as torch's gather wants its index.
    """

    dtype = torch.int64
    num_log_stds = 0

    def __init__(self, space: Discrete | MultiDiscrete) -> None:
        self.shape = tuple(space.shape or ())
        sizes = np.atleast_1d(space.n if isinstance(space, Discrete) else space.nvec).ravel()
        self.sizes = sizes.astype(np.int64)
        self.num_params = int(sizes.sum())
        self._splits = self.sizes.tolist()
        self._start = np.asarray(space.start, np.int64) if np.any(space.start) else None
        self._first = None if self._start is None else torch.tensor(self._start)

    @property
    def meaning(self) -> str:
        """What the parameters of one row are, in words."""
        return f"a logit for each of {' + '.join(map(str, self._splits))} choices"

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the environment wants them: counted from the space's own start."""
        return actions if self._start is None else actions + self._start

    def sample(
        self, params: Tensor, stream: NDArray[np.uint64], actions: NDArray[Any], log_probs: NDArray[np.float32]
    ) -> None:
        """Sample into ``actions (rows, *shape)``, and their log-probabilities into ``log_probs (rows,)``."""
        rows = len(log_probs)
        self._check_params(params, rows)
        sample_categorical(_float_array(params), self.sizes, stream, actions.reshape(rows, len(self.sizes)), log_probs)

    def mode(self, params: Tensor) -> Tensor:
        """The greedy action of each row, as the environment wants it."""
        best = torch.stack([logits.argmax(-1) for logits in params.split(self._splits, -1)], -1)
        best = best.reshape(-1, *self.shape)
        return best if self._first is None else best + self._first.to(params.device)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of ``actions (rows, *shape)`` and entropy, both ``(rows,)``, with gradients."""
        if len(self.sizes) == 1:
            return _categorical(params, actions.reshape(-1, 1))
        log_prob, entropy = params.new_zeros(len(params)), params.new_zeros(len(params))
        for logits, action in zip(params.split(self._splits, -1), actions.flatten(1).split(1, -1), strict=True):
            one_log_prob, one_entropy = _categorical(logits, action)
            log_prob, entropy = log_prob + one_log_prob, entropy + one_entropy
        return log_prob, entropy


class GaussianActions(_Storage):
    """Box: independent normal distributions, whose samples are clipped to the box on their way to the environment.

    Or squashed: the environment gets a tanh of them, scaled to the box. What is stored is the sample, and its
    log-probability: the factor by which that of the squashed action differs cancels out in PPO's ratio.

    Args:
        space: of actions.
        squash: whether to squash; the box must be bounded.

    Attributes:
        num_params: means and log standard deviations of one row.
        num_log_stds: how many of them are log standard deviations, which come last.
        shape: shape of one row's action.
        dtype: of stored actions, float32.
    """

    dtype = torch.float32

    def __init__(self, space: Box, squash: bool = False) -> None:
        if squash and not space.is_bounded():
            raise APIUsageError(f"policy.squash is on, but the actions' {space} is not bounded on both sides.")
        self.shape, self._squash = space.shape, squash
        self.size = self.num_log_stds = int(np.prod(space.shape))
        self.num_params = 2 * self.size
        self._low, self._high, self._dtype = space.low, space.high, space.dtype
        self._log_half_width = float(np.log(np.ravel(space.high - space.low) / 2).sum()) if squash else 0.0
        self._bounds = torch.tensor(space.low), torch.tensor(space.high)

    @property
    def meaning(self) -> str:
        """What the parameters of one row are, in words."""
        return f"{self.size} means, then {self.size} log standard deviations"

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the environment wants them: inside the box, in its dtype."""
        if self._squash:
            actions = self._low + (np.tanh(actions) + 1) / 2 * (self._high - self._low)
        return cast(NDArray[Any], np.clip(actions, self._low, self._high).astype(self._dtype, copy=False))

    def sample(
        self, params: Tensor, stream: NDArray[np.uint64], actions: NDArray[Any], log_probs: NDArray[np.float32]
    ) -> None:
        """Sample into ``actions (rows, *shape)``, and their log-probabilities into ``log_probs (rows,)``."""
        self._check_params(params, len(log_probs))
        sample_gaussian(_float_array(params), stream, actions.reshape(len(log_probs), self.size), log_probs)

    def mode(self, params: Tensor) -> Tensor:
        """The greedy action of each row, as the environment wants it: the mean, inside the box."""
        low, high = (bound.to(params.device) for bound in self._bounds)
        mean = params[:, : self.size].reshape(-1, *self.shape).to(low.dtype)
        if self._squash:
            mean = low + (torch.tanh(mean) + 1) / 2 * (high - low)
        return mean.clamp(low, high)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of ``actions (rows, *shape)`` and entropy, both ``(rows,)``, with gradients."""
        mean, log_std = params.split(self.size, -1)
        scaled = (actions.reshape(-1, self.size) - mean) * torch.exp(-log_std)
        log_prob = -(0.5 * scaled.square() + log_std + LOG_SQRT_2PI).sum(-1)
        entropy = (log_std + (0.5 + LOG_SQRT_2PI)).sum(-1)
        if self._squash:  # that of the squashed actions has no closed form; one draw estimates it
            sampled = mean + torch.exp(log_std) * torch.randn_like(mean)
            log_slope = 2 * (math.log(2) - sampled - F.softplus(-2 * sampled))  # of tanh: log(1 - tanh(x)^2)
            entropy = entropy + log_slope.sum(-1) + self._log_half_width
        return log_prob, entropy


class HybridActions(_Storage):
    """HybridSpace: `CategoricalActions` for its integers, and, independent of these, `GaussianActions` for others.

    Attributes:
        sizes: ``(components,)`` int64: number of choices of each of its integers.
        num_params: logits, means and log standard deviations of one row.
        num_log_stds: how many of them are log standard deviations, which come last.
        shape: shape of one row's action: ``(elements,)``.
        dtype: of stored actions, float32; in these, integers count from 0.
    """

    dtype = torch.float32

    def __init__(self, space: HybridSpace, squash: bool = False) -> None:
        self.shape = space.shape
        count = self._count = space.num_discrete
        first, last = (space.whole(bound).astype(np.int64) for bound in (space.low, space.high))
        self._discrete = CategoricalActions(MultiDiscrete(last - first + 1, start=first))
        self._continuous = GaussianActions(Box(space.low[count:], space.high[count:], dtype=space.dtype.type), squash)
        self.sizes = self._discrete.sizes
        self.num_params = self._discrete.num_params + self._continuous.num_params
        self.num_log_stds = self._continuous.num_log_stds

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        discrete, continuous = params.split([self._discrete.num_params, self._continuous.num_params], -1)
        return discrete, continuous

    @property
    def meaning(self) -> str:
        """What the parameters of one row are, in words."""
        return f"{self._discrete.meaning}, then {self._continuous.meaning}"

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the environment wants them: integers from their own starts, the others inside the box."""
        choices, numbers = actions[:, : self._count], actions[:, self._count :]
        numbers = self._continuous.to_env(numbers)
        return np.concatenate([self._discrete.to_env(choices).astype(numbers.dtype), numbers], -1)

    def sample(
        self, params: Tensor, stream: NDArray[np.uint64], actions: NDArray[Any], log_probs: NDArray[np.float32]
    ) -> None:
        """Sample into ``actions (rows, *shape)``, and their log-probabilities into ``log_probs (rows,)``."""
        discrete, continuous = self._split(params)
        self._discrete.sample(discrete, stream, actions[:, : self._count], log_probs)
        densities = np.empty_like(log_probs)
        others = stream ^ _OTHER_KEY  # the same numbers would make the two parts depend on each other
        self._continuous.sample(continuous, others, actions[:, self._count :], densities)
        log_probs += densities

    def mode(self, params: Tensor) -> Tensor:
        """The greedy action of each row, as the environment wants it."""
        discrete, continuous = self._split(params)
        choices, means = self._discrete.mode(discrete), self._continuous.mode(continuous)
        return torch.cat([choices.to(means.dtype), means], -1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of ``actions (rows, *shape)`` and entropy, both ``(rows,)``, with gradients."""
        discrete, continuous = self._split(params)
        log_prob, entropy = self._discrete.log_prob_entropy(discrete, actions[:, : self._count].long())
        density, spread = self._continuous.log_prob_entropy(continuous, actions[:, self._count :])
        return log_prob + density, entropy + spread


ActionDistribution = CategoricalActions | GaussianActions | HybridActions


def action_distribution(space: Any, policy: nn.Module | None = None) -> ActionDistribution:
    """The distribution over the actions of ``space``.

    Args:
        space: of actions.
        policy: where it has a true attribute ``squash``, continuous actions are squashed, not clipped.

    Raises:
        APIUsageError: ``space`` is neither Discrete, MultiDiscrete, HybridSpace nor Box of floats; actions to be
            squashed that have no bounds.
    """
    if isinstance(space, Discrete | MultiDiscrete):
        return CategoricalActions(space)
    squash = bool(getattr(policy, "squash", False))
    if isinstance(space, HybridSpace):
        return HybridActions(space, squash)
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        return GaussianActions(space, squash)
    raise APIUsageError(
        f"no policy acts in {space!r}; expected Discrete, MultiDiscrete, HybridSpace or a Box of floats."
    )


def action_params(output: Any) -> Tensor:
    """What a policy returned, as one tensor ``(rows, num_params)``.

    Args:
        output: such a tensor; or, as PufferLib's policies return them, a tuple of the logits of each component, or a
            `torch.distributions.Normal`.
    """
    if isinstance(output, torch.distributions.Normal):
        return torch.cat([output.loc.flatten(1), output.scale.log().flatten(1)], -1)
    return torch.cat(list(output), -1) if isinstance(output, tuple | list) else cast(Tensor, output)


def _categorical(logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    log_probs = torch.log_softmax(logits, -1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(-1, action).squeeze(-1), entropy


def _float_array(params: Tensor) -> NDArray[np.float32]:
    """As a NumPy array; a copy only where the tensor is on another device, or of another dtype."""
    return cast(NDArray[np.float32], params.detach().float().cpu().numpy())
