"""Arrays that several processes share, in one block of memory that has no name and so cannot be left behind."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 64  # a cache line, so that no two processes write to the same one
Specs = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]


def size_of(specs: Specs) -> int:
    """Bytes that `views` of these shapes and dtypes need."""
    return sum(_rounded(shape, dtype) for shape, dtype in specs.values())


def views(block: NDArray[np.uint8], specs: Specs) -> dict[str, NDArray[Any]]:
    """Arrays that lie in ``block`` one after the other, each from a multiple of 64 bytes on."""
    found, offset = {}, 0
    for name, (shape, dtype) in specs.items():
        nbytes = int(np.prod(shape)) * dtype.itemsize
        found[name] = block[offset : offset + nbytes].view(dtype).reshape(shape)
        offset += _rounded(shape, dtype)
    return found


def _rounded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return -(-int(np.prod(shape)) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT


class SharedArrays:
    """Zeros, shared with the processes that this object is handed to when they start.

    Args:
        context: of `multiprocessing`.
        specs: shape and dtype of each array, by name.
    """

    def __init__(self, context: Any, specs: Specs) -> None:
        self._specs = dict(specs)
        self._raw = context.RawArray(ctypes.c_uint8, size_of(specs) + _ALIGNMENT)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays; each call makes new views of the same memory."""
        block = np.frombuffer(self._raw, np.uint8)
        offset = -block.ctypes.data % _ALIGNMENT  # the same in every process: memory is mapped in whole pages
        return views(block[offset:], self._specs)
