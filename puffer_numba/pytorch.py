"""Torch helpers: structured observations, layer initialization, and the distributions that policies' outputs stand for.

A policy returns one tensor of action parameters, ``(rows, num_params)``. For Discrete they are logits; for
MultiDiscrete, the logits of each component, one after the other; for a Box, means and then log standard
deviations; for a HybridSpace, the logits of its whole numbers, then means and log standard deviations of the others.
`action_distribution` gives the object that turns them into actions, log-probabilities and entropies; it does what
`torch.distributions` does, without its argument checks, which cost more than the arithmetic.

Where an environment's observations are Dicts or Tuples, `nativize_tensor` takes the flat ones apart in a policy::

    class Policy(torch.nn.Module):
        def __init__(self, env):
            self.native_dtype = nativize_dtype(env.emulated)
            ...

        def forward(self, observations):
            parts = nativize_tensor(observations, self.native_dtype)
            image, speed = parts["image"], parts["speed"]
"""

from __future__ import annotations

import math
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from puffer_numba.distributions import (
    ActionDistribution,
    CategoricalActions,
    GaussianActions,
    HybridActions,
    action_distribution,
    action_params,
    seed_stream,
)
from puffer_numba.env import APIUsageError
from puffer_numba.spaces import Emulated

__all__ = [
    "ActionDistribution",
    "CategoricalActions",
    "GaussianActions",
    "HybridActions",
    "NativeDType",
    "NativeLeaf",
    "NativeTensor",
    "action_distribution",
    "action_params",
    "layer_init",
    "nativize_dtype",
    "nativize_tensor",
    "seed_stream",
]

NativeLeaf = tuple[torch.dtype, tuple[int, ...], int, int]
"""``(dtype, shape, offset, elements)`` of one array; the last two count elements of the flat observation."""
NativeDType = NativeLeaf | dict[str, Any]
"""A `NativeLeaf` for a lone array, else a dict of them and of further dicts."""
NativeTensor = Tensor | dict[str, Any]
"""A tensor, or a dict of tensors and of further dicts."""


def nativize_dtype(emulated: Emulated) -> NativeDType:
    """How `nativize_tensor` takes apart the flat observations of an environment; as in PufferLib 3.

    Args:
        emulated: the environment's attribute of that name.

    Returns:
        Names are those of the structured dtype: a Dict's keys, ``f0, f1, ...`` in a Tuple, and ``index, f0, f1, ...``
        in a OneOf.
    """
    flat = emulated.observation_dtype
    if emulated.emulated_observation_dtype.names is not None:
        return _native_fields(emulated.emulated_observation_dtype, flat.itemsize, 0)
    shape = emulated.leaves[0].shape or (1,)
    return _torch_dtype(flat), shape, 0, math.prod(shape)


def _native_fields(structured: np.dtype[Any], unit: int, start: int) -> dict[str, Any]:
    """Of a structured dtype that begins at byte ``start`` of a flat observation in elements of ``unit`` bytes."""
    native: dict[str, Any] = {}
    fields: Any = structured.fields
    for name in structured.names or ():
        dtype, offset, *_ = fields[name]
        if dtype.names is not None:
            native[name] = _native_fields(dtype, unit, start + offset)
        else:
            native[name] = (_torch_dtype(dtype.base), dtype.shape, (start + offset) // unit, dtype.itemsize // unit)
    return native


def _torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.bool if dtype == np.bool_ else cast(torch.dtype, getattr(torch, dtype.name))


def nativize_tensor(observations: Tensor, native_dtype: NativeDType) -> NativeTensor:
    """Flat observations as a nested dict of tensors of their own shapes and dtypes; as in PufferLib 3.

    They are views of ``observations``, except where torch has no such view: of bytes whose rows lie at odd addresses,
    as in a slice of a wider tensor, and within `torch.compile`. There, parts of other dtypes are copied.

    Args:
        observations: ``(..., elements)``, of the dtype that the environment returns: rows, or steps of rows.
        native_dtype: from `nativize_dtype`.

    Returns:
        ``(..., *shape)`` for each array; a lone array is returned as it is.

    Raises:
        APIUsageError: ``observations`` has another dtype.
    """
    return observations if isinstance(native_dtype, tuple) else _native_dict(observations, native_dtype)


def _native_dict(observations: Tensor, native_dtype: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _native_dict(observations, part) if isinstance(part, dict) else _native_leaf(observations, *part)
        for name, part in native_dtype.items()
    }


def _native_leaf(
    observations: Tensor, dtype: torch.dtype, shape: tuple[int, ...], offset: int, elements: int
) -> Tensor:
    count, size = math.prod(shape), dtype.itemsize
    if observations.dtype == dtype and elements == count:
        part = observations.narrow(-1, offset, elements)
    elif observations.dtype == torch.uint8 and elements == count * size:
        part = observations.narrow(-1, offset, elements)
        # Compiled, a view that reaches the caller would be made anew there, which fails for views of other dtypes.
        if torch.compiler.is_compiling() or part.storage_offset() % size or any(s % size for s in part.stride()[:-1]):
            part = part.clone(memory_format=torch.contiguous_format)
        part = part.view(dtype)
    else:
        raise APIUsageError(
            f"observations have dtype {observations.dtype}, which is not what the environment returns; pass them "
            "uncast: torch.from_numpy(observations), not torch.Tensor(observations)."
        )
    return part.unflatten(-1, shape) if shape else part.squeeze(-1)


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def layer_init(layer: Layer, std: float = math.sqrt(2), bias: float = 0.0) -> Layer:
    """Orthogonal weights of gain ``std`` and a constant bias, in place (Engstrom et al., 2020)."""
    nn.init.orthogonal_(layer.weight, std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer
