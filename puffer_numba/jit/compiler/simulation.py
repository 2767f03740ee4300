"""A simulation: every array of one environment as one object that is cheap to pass to a kernel.

Numba's own constructor of such an object would be compiled for each environment, which takes half a second or more.
So its memory is laid out here, as LLVM lays out a structure: each value at a multiple of its alignment.

Leans on Numba's structrefs, on its run time's memory, and on its models of arrays and tuples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import types
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys
from numba.experimental import structref

FIELDS = ("state", "params", "metrics", "streams", "episodes", "buffers", "action_low", "action_high")


@structref.register
class SimulationType(types.StructRef):
    """Numba's type of a `Simulation`."""


class Simulation(structref.StructRefProxy):
    """All arrays of one environment.

    Fields: ``state`` and ``params``, the author's named tuples; ``metrics``, a tuple of those state arrays
    that are averaged over episodes; ``streams`` uint64 (num_envs,); ``episodes`` and ``buffers``, as
    `Episodes` and `Buffers`; ``action_low`` and ``action_high``, inclusive, one value for each component.
    """

    # Numba asks for it at each call, and forgets what is raised there: a Ctrl-C, where it is a function of Python's.
    _numba_type_ = structref.StructRefProxy._type  # type: ignore[attr-defined]

    kind: Any
    fields: tuple[Any, ...]

    def __new__(cls, *fields: Any) -> Any:
        return cls._of(numba.typeof(fields), fields)

    @classmethod
    def _of(cls, kind: Any, fields: tuple[Any, ...]) -> Any:
        values: list[Any] = []
        _flatten(fields, values)
        memory = np.frombuffer(_structure(kind).pack(*values), np.uint8)
        rtsys.initialize(cpu_target.target_context)
        meminfo = rtsys.meminfo_new(memory.__array_interface__["data"][0], (memory, fields))
        made = cls._numba_box_(SimulationType(tuple(zip(FIELDS, kind, strict=True))), meminfo)
        made.kind, made.fields = kind, fields
        return made

    def with_buffers(self, buffers: Any) -> Any:
        """The same simulation with other buffers."""
        fields = tuple(buffers if name == "buffers" else f for name, f in zip(FIELDS, self.fields, strict=True))
        alike = _kinds(buffers) == _kinds(self.fields[FIELDS.index("buffers")])
        return self._of(self.kind, fields) if alike else type(self)(*fields)  # Numba takes long to find types


def _kinds(arrays: Iterable[Any]) -> list[Any]:
    return [(array.dtype, array.ndim, array.flags.carray) for array in arrays]


structref.define_boxing(SimulationType, Simulation)


class PlainSimulation(NamedTuple):
    """A `Simulation` for kernels that run as plain Python."""

    state: Any
    params: Any
    metrics: Any
    streams: Any
    episodes: Any
    buffers: Any
    action_low: Any
    action_high: Any


@cache
def _structure(kind: Any) -> struct.Struct:
    """How a tuple of arrays, numbers and such tuples lies in memory."""
    return struct.Struct("=" + _layout(kind, 0)[0])


def _layout(kind: Any, start: int) -> tuple[str, int, int]:
    """Format of a value that begins at ``start`` or soon after, as `struct` has it; where it ends; its alignment."""
    if isinstance(kind, types.Array):  # two pointers to owners, length, item size, data, shape, strides
        return _padded(f"{5 + 2 * kind.ndim}q", start, 8 * (5 + 2 * kind.ndim), 8)
    if not isinstance(kind, types.BaseTuple):
        dtype = np.dtype(str(kind))
        return _padded(_CODES.get(dtype.char, dtype.char), start, dtype.itemsize, dtype.itemsize)
    parts: Any = tuple(kind)  # type: ignore[arg-type]
    alignment = max((_layout(part, 0)[2] for part in parts), default=1)
    layout, end = _padded("", start, 0, alignment)[:2]
    for part in parts:
        added, end, _ = _layout(part, end)
        layout += added
    tail = -end % alignment
    return layout + tail * "x", end + tail, alignment


def _padded(code: str, start: int, size: int, alignment: int) -> tuple[str, int, int]:
    padding = -start % alignment
    return padding * "x" + code, start + padding + size, alignment


_CODES = {"l": "q", "L": "Q"}  # of NumPy's that `struct` means otherwise


def _flatten(value: Any, into: list[Any]) -> None:
    if isinstance(value, tuple):
        for part in value:
            _flatten(part, into)
    elif isinstance(value, np.ndarray):
        data = value.__array_interface__["data"][0]
        # no owners to count references to: the simulation keeps its arrays
        into += (0, 0, value.size, value.itemsize, data, *value.shape, *value.strides)
    else:
        into.append(value)
