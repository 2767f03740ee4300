"""Arrays that several processes share, in one block of memory that has no name and so cannot be left behind."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 64  # a cache line, so that no two processes write to the same one
Specs = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]


class SharedArrays:
    """Zeros, shared with the processes that this object is handed to when they start.

    Args:
        context: of `multiprocessing`.
        specs: shape and dtype of each array, by name.
    """

    def __init__(self, context: Any, specs: Specs) -> None:
        self._specs = dict(specs)
        self._raw = context.RawArray(ctypes.c_uint8, sum(map(self._size, specs)) + _ALIGNMENT)

    def _size(self, name: str) -> int:
        shape, dtype = self._specs[name]
        nbytes = int(np.prod(shape)) * dtype.itemsize
        return -(-nbytes // _ALIGNMENT) * _ALIGNMENT

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays; each call makes new views of the same memory."""
        block = np.frombuffer(self._raw, np.uint8)
        offset = -block.ctypes.data % _ALIGNMENT  # the same in every process: memory is mapped in whole pages
        found = {}
        for name, (shape, dtype) in self._specs.items():
            nbytes = int(np.prod(shape)) * dtype.itemsize
            found[name] = block[offset : offset + nbytes].view(dtype).reshape(shape)
            offset += self._size(name)
        return found
