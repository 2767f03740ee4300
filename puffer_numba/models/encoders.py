"""From observations to features: what the policies of `puffer_numba.models` see.

Structured observations (emulated Dicts, Tuples and so on) are taken apart by a `StructuredEncoder`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Text
from torch import Tensor, nn

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.normalizer import Gather, RunningNormalizer, only_here
from puffer_numba.pytorch import NativeTensor, layer_init, nativize_dtype, nativize_tensor
from puffer_numba.spaces import Emulated, leaf_bounds, mask_leaves

MAX_ONE_HOT = 256
MAX_EMBEDDED = 2**16
EMBEDDING_SIZE = 32
MIN_PIXELS = 36  # along a side, that the convolutions of "nature" leave anything of
Observations = Tensor | Sequence[Tensor]
"""What a `StructuredEncoder` takes: flat observations ``(rows, *shape)``, or ``(rows, *shape)`` for each leaf."""


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
        x = observations.reshape(-1, self.num_features)
        if x.dtype != torch.float32:
            x = x.float()
        return x * self.scale if self.scale != 1.0 else x


class ImageEncoder(nn.Module):
    """Convolutions over images; their features, flattened.

    - "small": 16 filters of 3 x 3 (MinAtar's DQN, Young & Tian, 2019), for grids;
    - "nature": 32 of 8 x 8 by 4, 64 of 4 x 4 by 2, 64 of 3 x 3 (Mnih et al., 2015);
    - "impala": three residual stages of 16, 32 and 32 filters, each at half the size (Espeholt et al., 2018).

    Args:
        space: a Box of three axes. Channels are the shorter one of the first and the last.
        kind: "small", "nature" or "impala".

    Attributes:
        num_features: of one observation.
    """

    def __init__(self, space: Box, kind: str) -> None:
        super().__init__()
        self.scale = _integer_scale(space)
        self.channels_last = space.shape[-1] <= space.shape[0]
        height, width, channels = space.shape if self.channels_last else (*space.shape[1:], space.shape[0])
        minimum = {"small": 3, "nature": MIN_PIXELS, "impala": 8}[kind]
        if min(height, width) < minimum:
            raise APIUsageError(
                f"policy.cnn {kind!r} needs images of at least {minimum} x {minimum}; these are {height} x {width}."
            )
        self.layers = nn.Sequential(*CONVOLUTIONS[kind](channels), nn.Flatten())
        with torch.no_grad():
            self.num_features = self.layers(torch.zeros(1, channels, height, width)).shape[1]

    def forward(self, observations: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from ``observations (rows, *shape)``."""
        x = observations.float()
        x = x * self.scale if self.scale != 1.0 else x
        return self.layers(x.permute(0, 3, 1, 2) if self.channels_last else x)


def _small(channels: int) -> list[nn.Module]:
    return [layer_init(nn.Conv2d(channels, 16, 3)), nn.ReLU()]


def _nature(channels: int) -> list[nn.Module]:
    sizes = [(channels, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)]
    return [layer for size in sizes for layer in (layer_init(nn.Conv2d(*size)), nn.ReLU())]


def _impala(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n_in, n_out in ((channels, 16), (16, 32), (32, 32)):
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        layers += [layer_init(nn.Conv2d(n_in, n_out, 3, padding=1)), pool, Residual(n_out), Residual(n_out)]
    return [*layers, nn.ReLU()]


class Residual(nn.Module):
    """Two convolutions beside a path that goes around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (layer_init(nn.Conv2d(channels, channels, 3, padding=1)) for _ in range(2))
        self.layers = nn.Sequential(nn.ReLU(), first, nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``, ``(rows, channels, height, width)``."""
        return x + self.layers(x)


CONVOLUTIONS = {"small": _small, "nature": _nature, "impala": _impala}


def _wants_image(space: Any, cnn: str) -> str | None:
    """The kind of convolutions for a leaf; None for none."""
    if cnn == "none" or not isinstance(space, Box) or len(space.shape) != 3:
        return None
    if cnn != "auto":
        return cnn
    sides = sorted(space.shape)[1:]
    return "nature" if space.dtype == np.uint8 and sides[0] >= MIN_PIXELS else None


class OneHotEncoder(nn.Module):
    """One feature for each value of each component of a Discrete, MultiDiscrete or Text.

    All components get as many as the largest needs: comparing with one range is several times faster than with many.
    """

    low: Tensor
    choices: Tensor

    def __init__(self, space: Any) -> None:
        super().__init__()
        low, choices = _components(space)
        self.components = len(low)
        self.num_features = self.components * choices
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("choices", torch.arange(choices), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from ``values (rows, *shape)``; no feature for a value out of bounds."""
        indices = values.reshape(-1, self.components, 1).long() - self.low[:, None]
        return (indices == self.choices).flatten(1).float()


class EmbeddingEncoder(nn.Module):
    """A learned vector of `EMBEDDING_SIZE` for each component of a Discrete, MultiDiscrete or Text, from one table."""

    low: Tensor

    def __init__(self, space: Any) -> None:
        super().__init__()
        low, choices = _components(space)
        self.table = nn.Embedding(choices, EMBEDDING_SIZE)
        self.components = len(low)
        self.num_features = self.components * EMBEDDING_SIZE
        self.register_buffer("low", low, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """``(rows, num_features)`` float32 from ``values (rows, *shape)``."""
        indices = values.reshape(-1, self.components).long() - self.low
        # The zeros of absent agents, and of what a OneOf has not chosen, can be out of bounds.
        return self.table(indices.clamp(0, self.table.num_embeddings - 1)).flatten(1)


def _components(space: Any) -> tuple[Tensor, int]:
    """The minimum of each component of a discrete space, and how many values the largest has."""
    low, high = (np.ravel(bound).astype(np.int64) for bound in leaf_bounds(space))
    return torch.from_numpy(low), int((high - low).max()) + 1


class StructuredEncoder(nn.Module):
    """Takes emulated observations apart, and makes one vector of float32 features of them.

    - Images are seen by convolutions, as ``cnn`` says.
    - Other Boxes and MultiBinary are numbers, as `BoxEncoder` gives them.
    - Discrete, MultiDiscrete and Text are one-hot where their components have up to `MAX_ONE_HOT` values, embedded up
      to `MAX_EMBEDDED`, and numbers beyond.
    - A OneOf is the index of its choice, and all of its parts: zeros but for the one that was chosen.

    Args:
        emulated: the environment's attribute of that name.
        normalize: whether to shift and scale the numbers by their running mean and standard deviation.
        cnn: which convolutions, as in `puffer_numba.config.PolicyConfig`.

    Attributes:
        num_features: of one observation; the numbers come first.
        normalizer: of the numbers; None where it is not wanted, or there are none.
        mask_sizes: elements of the arrays of the ``action_mask``, which is one or several; empty where there is none.
    """

    def __init__(self, emulated: Emulated, normalize: bool = False, cnn: str = "auto") -> None:
        super().__init__()
        self._native_dtype = nativize_dtype(emulated)
        self._mask = mask_leaves(emulated)
        self.mask_sizes = [math.prod(emulated.leaves[k].shape) for k in self._mask]
        encoders = [_leaf_encoder(leaf.space, cnn) for leaf in emulated.leaves]
        self.encoders = nn.ModuleList(encoders)
        self._numbers = [k for k, encoder in enumerate(encoders) if isinstance(encoder, BoxEncoder)]
        self._others = [k for k in range(len(encoders)) if k not in self._numbers]
        self.num_features = sum(encoder.num_features for encoder in encoders)
        self.normalizer: RunningNormalizer | None = None
        if normalize and self._numbers:
            self.normalizer = RunningNormalizer((sum(encoders[k].num_features for k in self._numbers),))

    def forward(self, observations: Observations) -> Tensor:
        """``(rows, num_features)`` float32 from ``observations``: flat, uncast, ``(rows, *shape)``; or their leaves."""
        parts = self._parts(observations)
        numbers = [self.encoders[k](parts[k]) for k in self._numbers]
        if self.normalizer is not None:
            numbers = [self.normalizer(torch.cat(numbers, -1))]
        return torch.cat([*numbers, *[self.encoders[k](parts[k]) for k in self._others]], -1)

    def action_mask(self, observations: Observations) -> Tensor:
        """``(rows, sum(mask_sizes))`` bool: what has that name."""
        parts = self._parts(observations)
        masks = [parts[k].flatten(1) if parts[k].ndim > 1 else parts[k][:, None] for k in self._mask]
        return (masks[0] if len(masks) == 1 else torch.cat(masks, 1)) != 0

    def update(self, observations: Tensor, gather: Gather = only_here) -> None:
        """Fold ``observations (rows, *shape)`` into the statistics of the numbers, where they are kept."""
        if self.normalizer is not None:
            parts = self._parts(observations)
            self.normalizer.update(torch.cat([self.encoders[k](parts[k]) for k in self._numbers], -1), gather)

    def _parts(self, observations: Observations) -> Sequence[Tensor]:
        if not isinstance(observations, Tensor):
            return observations
        return _tensors(nativize_tensor(observations, self._native_dtype))


def _tensors(part: NativeTensor) -> list[Tensor]:
    if isinstance(part, Tensor):
        return [part]
    return [tensor for sub in part.values() for tensor in _tensors(sub)]


def _leaf_encoder(space: Any, cnn: str) -> BoxEncoder | ImageEncoder | OneHotEncoder | EmbeddingEncoder:
    kind = _wants_image(space, cnn)
    if kind is not None:
        return ImageEncoder(space, kind)
    if isinstance(space, Discrete | MultiDiscrete | Text):
        _, choices = _components(space)
        if choices <= MAX_ONE_HOT:
            return OneHotEncoder(space)
        if choices <= MAX_EMBEDDED:
            return EmbeddingEncoder(space)
    return BoxEncoder(space)


def is_structured(env: PufferEnv) -> bool:
    """Whether flat observations of ``env`` need a `StructuredEncoder`.

    All do but a Box, and Boxes of one float dtype none of which is an action mask.
    """
    emulated = env.emulated
    if emulated is None:
        return False
    leaves = emulated.leaves
    alike = len(leaves) == 1 or emulated.observation_dtype.kind == "f"
    return not (alike and all(isinstance(leaf.space, Box) for leaf in leaves)) or bool(mask_leaves(emulated))


def make_encoder(
    env: PufferEnv, normalize: bool = False, cnn: str = "auto"
) -> BoxEncoder | ImageEncoder | StructuredEncoder:
    """What makes features of the observations of ``env``."""
    if is_structured(env):
        assert env.emulated is not None
        return StructuredEncoder(env.emulated, normalize, cnn)
    space = env.single_observation_space
    kind = _wants_image(space, cnn)
    return BoxEncoder(space) if kind is None else ImageEncoder(space, kind)


def _integer_scale(space: Any) -> float:
    """What integer observations are multiplied by, so that networks see values of about 1."""
    low, high = leaf_bounds(space)
    if low.dtype.kind in "fb":
        return 1.0
    largest = float(max(np.abs(low).max(initial=0), np.abs(high).max(initial=0)))
    return 1.0 / largest if 0 < largest < 2**31 - 1 else 1.0
