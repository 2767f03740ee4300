"""From observations to features: what the policies of `puffer_numba.models` see.

Structured observations (emulated Dicts, Tuples and so on) are taken apart by a `StructuredEncoder`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Text
from torch import Tensor, nn

from puffer_numba.env import PufferEnv
from puffer_numba.pytorch import NativeTensor, nativize_dtype, nativize_tensor
from puffer_numba.spaces import ACTION_MASK, Emulated, leaf_bounds

MOST_ONE_HOT = 256
MOST_EMBEDDED = 2**16
EMBEDDING_SIZE = 32


class BoxEncoder(nn.Module):
    """Flattens numbers to float32. Integers are divided by the largest that their space has, where it is bounded.

    Attributes:
        num_features: of one observation.
    """

    def __init__(self, space: Any) -> None:
        super().__init__()
        self.num_features = leaf_bounds(space)[0].size
        self.scale = _integer_scale(space)

    def forward(self, observations: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from ``observations (rows, *shape)``."""
        x = observations.reshape(len(observations), self.num_features)
        if x.dtype != torch.float32:
            x = x.float()
        return x * self.scale if self.scale != 1.0 else x


class OneHotEncoder(nn.Module):
    """One feature for each value of each component of a Discrete, MultiDiscrete or Text.

    All components get as many as the largest needs: comparing with one range is several times faster than with many.
    """

    low: Tensor
    choices: Tensor

    def __init__(self, space: Any) -> None:
        super().__init__()
        low, most = _components(space)
        self.num_features = len(low) * most
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("choices", torch.arange(most), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from ``values (rows, *shape)``; no feature for a value out of bounds."""
        indices = values.reshape(len(values), len(self.low), 1).long() - self.low[:, None]
        return (indices == self.choices).flatten(1).float()


class EmbeddingEncoder(nn.Module):
    """A learned vector of `EMBEDDING_SIZE` for each component of a Discrete, MultiDiscrete or Text, from one table."""

    low: Tensor

    def __init__(self, space: Any) -> None:
        super().__init__()
        low, most = _components(space)
        self.table = nn.Embedding(most, EMBEDDING_SIZE)
        self.num_features = len(low) * EMBEDDING_SIZE
        self.register_buffer("low", low, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from ``values (rows, *shape)``."""
        indices = values.reshape(len(values), len(self.low)).long() - self.low
        # The zeros of absent agents, and of what a OneOf has not chosen, can be out of bounds.
        return self.table(indices.clamp(0, self.table.num_embeddings - 1)).flatten(1)


def _components(space: Any) -> tuple[Tensor, int]:
    """The least value of each component of a discrete space, and how many values the largest has."""
    low, high = (np.ravel(bound).astype(np.int64) for bound in leaf_bounds(space))
    return torch.from_numpy(low), int((high - low).max()) + 1


class StructuredEncoder(nn.Module):
    """Takes emulated observations apart, and makes one vector of float32 features of them.

    - Boxes and MultiBinary are numbers, as `BoxEncoder` gives them.
    - Discrete, MultiDiscrete and Text are one-hot where their components have up to `MOST_ONE_HOT` values, embedded up
      to `MOST_EMBEDDED`, and numbers beyond.
    - A OneOf is the index of its choice, and all of its parts: zeros but for the one that was chosen.

    Args:
        emulated: the environment's attribute of that name.
        normalize: whether to shift and scale the numbers by their running mean and standard deviation.

    Attributes:
        num_features: of one observation; the numbers come first.
        normalizer: of the numbers; None where it is not wanted, or there are none.
        mask_size: elements of the leaf ``action_mask``, where there is one; else 0.
    """

    def __init__(self, emulated: Emulated, normalize: bool = False) -> None:
        super().__init__()
        self._native_dtype = nativize_dtype(emulated)
        paths = [leaf.path for leaf in emulated.leaves]
        mask = f"observation[{ACTION_MASK!r}]"
        self._mask = paths.index(mask) if mask in paths else None
        self.mask_size = 0 if self._mask is None else int(np.prod(emulated.leaves[self._mask].shape))
        encoders = [_leaf_encoder(leaf.space) for leaf in emulated.leaves]
        self.encoders = nn.ModuleList(encoders)
        self._numbers = [k for k, encoder in enumerate(encoders) if isinstance(encoder, BoxEncoder)]
        self._others = [k for k in range(len(encoders)) if k not in self._numbers]
        self.num_features = sum(encoder.num_features for encoder in encoders)
        self.normalizer: RunningNormalizer | None = None
        if normalize and self._numbers:
            self.normalizer = RunningNormalizer((sum(encoders[k].num_features for k in self._numbers),))

    def forward(self, observations: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from flat ``observations (rows, *shape)``, uncast."""
        parts = self._parts(observations)
        numbers = [self.encoders[k](parts[k]) for k in self._numbers]
        if self.normalizer is not None:
            numbers = [self.normalizer(torch.cat(numbers, -1))]
        return torch.cat([*numbers, *[self.encoders[k](parts[k]) for k in self._others]], -1)

    def action_mask(self, observations: Tensor) -> Tensor:
        """``(rows, mask_size)`` bool: the leaf of that name."""
        assert self._mask is not None
        return self._parts(observations)[self._mask].reshape(-1, self.mask_size) != 0

    def update(self, observations: Tensor) -> None:
        """Fold ``observations (rows, *shape)`` into the statistics of the numbers, where they are kept."""
        if self.normalizer is not None:
            parts = self._parts(observations)
            self.normalizer.update(torch.cat([self.encoders[k](parts[k]) for k in self._numbers], -1))

    def _parts(self, observations: Tensor) -> list[Tensor]:
        return _tensors(nativize_tensor(observations, self._native_dtype))


def _tensors(part: NativeTensor) -> list[Tensor]:
    if isinstance(part, Tensor):
        return [part]
    return [tensor for sub in part.values() for tensor in _tensors(sub)]


def _leaf_encoder(space: Any) -> BoxEncoder | OneHotEncoder | EmbeddingEncoder:
    if isinstance(space, Discrete | MultiDiscrete | Text):
        _, most = _components(space)
        if most <= MOST_ONE_HOT:
            return OneHotEncoder(space)
        if most <= MOST_EMBEDDED:
            return EmbeddingEncoder(space)
    return BoxEncoder(space)


def is_structured(env: PufferEnv) -> bool:
    """Whether flat observations of ``env`` need a `StructuredEncoder`: all but a Box, or Boxes of one float dtype."""
    emulated: Emulated | None = getattr(env, "emulated", None)
    if emulated is None:
        return False
    alike = len(emulated.leaves) == 1 or emulated.observation_dtype.kind == "f"
    return not (alike and all(isinstance(leaf.space, Box) for leaf in emulated.leaves))


def make_encoder(env: PufferEnv, normalize: bool = False) -> BoxEncoder | StructuredEncoder:
    """What makes features of the observations of ``env``."""
    if is_structured(env):
        return StructuredEncoder(env.emulated, normalize)  # type: ignore[attr-defined]
    return BoxEncoder(env.single_observation_space)


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


def _integer_scale(space: Any) -> float:
    """What integer observations are multiplied by, so that networks see values of about 1."""
    low, high = leaf_bounds(space)
    if low.dtype.kind in "fb":
        return 1.0
    largest = float(max(np.abs(low).max(initial=0), np.abs(high).max(initial=0)))
    return 1.0 / largest if 0 < largest < 2**31 - 1 else 1.0
