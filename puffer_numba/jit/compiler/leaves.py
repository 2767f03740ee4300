"""The parts of a structured observation by their names: ``obs.action_mask[i, a] = 1``.

A Dict or Tuple of spaces lies in one flat array of numbers or bytes. What ``observe_env`` gets of it is that array,
with an attribute for each part. In a kernel a part is the place of its bytes, known when the kernel is compiled:
writing to it is a store, of its own dtype, and no copy.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.core.datamodel import models
from numba.core.datamodel.registry import register_default
from numba.core.imputils import lower_builtin, lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import intrinsic
from numba.np import arrayobj, numpy_support
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.parts import OVERLOADED

Dtype = np.dtype[Any]


class LeavesType(types.Type):
    """Numba's type of a structured observation, or of a part that has parts itself.

    Args:
        array: type of the flat array, ``(environments[, agents], elements)``.
        dtype: structured, of one observation or of the part.
        offset: where it begins, in bytes.
        size: bytes of one whole observation.
    """

    def __init__(self, array: Any, dtype: Dtype, offset: int, size: int) -> None:
        self.array, self.dtype, self.offset, self.size = array, dtype, offset, size
        super().__init__(f"{type(self).__name__}({array}, {dtype}, {offset}, {size})")


class LeafType(LeavesType):
    """Numba's type of a part that is one array, or one number."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part, ``()`` for a number."""
        return self.dtype.shape


@register_default(LeavesType)
@register_default(LeafType)
class _Model(models.StructModel):
    """The flat array; all else is in the type."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("array", kind.array)])


@infer_getattr
class _Attributes(AttributeTemplate):
    key = LeavesType

    def generic_resolve(self, kind: Any, name: str) -> Any:  # type: ignore[override]
        if name == "shape":
            return types.UniTuple(types.intp, kind.array.ndim)
        if isinstance(kind, LeafType) or name not in kind.dtype.fields:
            return None
        dtype, offset = kind.dtype.fields[name][:2]
        make = LeavesType if dtype.fields else LeafType
        return make(kind.array, dtype, kind.offset + offset, kind.size)


@lower_getattr_generic(LeavesType)
def _get_attribute(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    array = cgutils.create_struct_proxy(kind)(context, builder, value=value).array
    if name == "shape":
        return arrayobj.make_array(kind.array)(context, builder, value=array).shape
    found = cgutils.create_struct_proxy(_Attributes(None).generic_resolve(kind, name))(context, builder)
    found.array = array
    return found._getvalue()


def naming(dtype: Dtype) -> Any:
    """A function for kernels: from the flat array to one whose parts have the names of ``dtype``."""

    @intrinsic
    def name_leaves(typing_context, array):
        kind = LeavesType(array, dtype, 0, dtype.itemsize)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            made = cgutils.create_struct_proxy(kind)(context, builder)
            made.array = values[0]
            return made._getvalue()

        return kind(array), generate

    setattr(name_leaves, OVERLOADED, f"leaves {dtype!r}")
    return name_leaves


def _row_type(leaf: LeafType) -> Any:
    """Of a part of one observation: an array of its dtype and shape, for a number of one element."""
    return types.Array(numpy_support.from_dtype(leaf.dtype.base), max(len(leaf.shape), 1), "C")


def _make_row(context: Any, builder: Any, leaf: LeafType, value: Any, indices: Sequence[Any]) -> Any:
    """That array, of the environment, and the agent, with these indices."""
    shape, itemsize = leaf.shape or (1,), leaf.dtype.base.itemsize
    whole = cgutils.create_struct_proxy(leaf)(context, builder, value=value).array
    whole = arrayobj.make_array(leaf.array)(context, builder, value=whole)
    lengths = cgutils.unpack_tuple(builder, whole.shape)
    position = indices[0]
    for length, index in zip(lengths[1:], indices[1:], strict=False):
        position = builder.add(builder.mul(position, length), index)
    start = builder.add(builder.mul(position, position.type(leaf.size)), position.type(leaf.offset))
    memory = builder.gep(builder.bitcast(whole.data, ir.IntType(8).as_pointer()), [start])
    row = arrayobj.make_array(_row_type(leaf))(context, builder)
    strides = [itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape))]
    arrayobj.populate_array(
        row,
        data=builder.bitcast(memory, row.data.type),
        shape=cgutils.pack_array(builder, [position.type(length) for length in shape]),
        strides=cgutils.pack_array(builder, [position.type(stride) for stride in strides]),
        itemsize=position.type(itemsize),
        meminfo=None,
    )
    return row._getvalue()


def _rest_of(leaf: LeafType, index: Any) -> tuple[int, Any] | None:
    """How many of the indices name an observation; type of the rest, which are in it. None: there are too few."""
    kinds = tuple(index) if isinstance(index, types.BaseTuple) else (index,)  # type: ignore[arg-type]
    leading = leaf.array.ndim - 1
    if len(kinds) < leading or not all(isinstance(kind, types.Integer) for kind in kinds[:leading]):
        return None
    rest = kinds[leading:]
    if not leaf.shape:
        return (leading, types.intp) if not rest else None
    if not rest:
        return leading, types.slice2_type
    return leading, rest[0] if len(rest) == 1 else types.Tuple(rest)


class _Access(AbstractTemplate):
    """Types ``leaf[index]`` and ``leaf[index] = value`` as those of the array that the index names."""

    def generic(self, args: Any, kws: Any) -> Any:
        leaf, index, *value = args
        if isinstance(leaf, LeafType):
            found = _rest_of(leaf, index)
            inner = found and (_row_type(leaf), found[1], *value)
        else:
            inner = (leaf.array, index, *value) if isinstance(leaf, LeavesType) else None
            if inner and value and isinstance(value[0], types.Float) and is_mixed(leaf.dtype):
                raise errors.NumbaTypeError(bytes_message(leaf.dtype))
        operation = self.key  # type: ignore[attr-defined]
        result = inner and self.context.resolve_function_type(operation, inner, {})
        return result and signature(result.return_type, leaf, index, *result.args[2:])


def _lower(context: Any, builder: Any, sig: Any, args: Any, operation: Any) -> Any:
    leaf, index, *value = sig.args
    if not isinstance(leaf, LeafType):
        whole = cgutils.create_struct_proxy(leaf)(context, builder, value=args[0]).array
        inner = signature(sig.return_type, leaf.array, index, *value)
        return context.get_function(operation, inner)(builder, (whole, *args[1:]))
    leading, rest = _rest_of(leaf, index)  # type: ignore[misc]
    is_tuple = isinstance(index, types.BaseTuple)
    kinds = tuple(index) if is_tuple else (index,)
    parts = cgutils.unpack_tuple(builder, args[1]) if is_tuple else [args[1]]
    indices = [context.cast(builder, *pair, types.intp) for pair in zip(parts[:leading], kinds, strict=False)]
    row = _make_row(context, builder, leaf, args[0], indices)
    if len(parts) > leading:
        within = parts[leading] if len(parts) == leading + 1 else context.make_tuple(builder, rest, parts[leading:])
    elif leaf.shape:
        within = _whole_slice(context, builder)
    else:
        within = context.get_constant(types.intp, 0)
    inner = signature(sig.return_type, _row_type(leaf), rest, *value)
    if any(isinstance(kind, types.Tuple) for kind in value):  # numbers of several types: a part that Numba has to find
        operation = context.typing_context.resolve_value_type(operation)
        operation.get_call_type(context.typing_context, inner.args, {})
    return context.get_function(operation, inner)(builder, (row, within, *args[2:]))


def _whole_slice(context: Any, builder: Any) -> Any:
    made = cgutils.create_struct_proxy(types.slice2_type)(context, builder)
    made.start, made.stop, made.step = (context.get_constant(types.intp, n) for n in (0, 2**63 - 1, 1))
    return made._getvalue()


for _operation in (operator.getitem, operator.setitem):
    infer_global(_operation)(type("_Access", (_Access,), {}))
    _implementation = partial(_lower, operation=_operation)
    lower_builtin(_operation, LeavesType, types.Any, *[types.Any] * (_operation is operator.setitem))(_implementation)


def is_mixed(dtype: Dtype) -> bool:
    """Whether the parts have several dtypes, so that the flat observation is bytes."""
    return len({inner.base for inner, _ in parts_of(dtype)}) > 1


def bytes_message(dtype: Dtype) -> str:
    """What is wrong with writing a float into those bytes."""
    return (
        f"the parts of the observation have several dtypes, so that obs[i] is bytes; write to a part: "
        f"{', '.join(f'obs.{name}[i]' for name in dtype.fields or ())}"
    )


def padding(dtype: Dtype) -> list[int]:
    """Bytes of an observation that belong to no part."""
    used = np.zeros(dtype.itemsize, np.bool_)
    for inner, start in parts_of(dtype):
        used[start : start + inner.itemsize] = True
    return [int(byte) for byte in np.flatnonzero(~used)]


def parts_of(dtype: Dtype, offset: int = 0) -> Iterator[tuple[Dtype, int]]:
    """Dtype and place of each part that is one array."""
    if not dtype.fields:
        yield dtype, offset
    for inner, start, *_ in (dtype.fields or {}).values():
        yield from parts_of(inner, offset + start)


class PlainLeaves:
    """A structured observation in plain Python: the flat array, with its parts as attributes."""

    def __init__(self, array: NDArray[Any], dtype: Dtype) -> None:
        self._array, self._parts = array, array.view(dtype)[..., 0]

    def __getattr__(self, name: str) -> Any:
        parts = self._parts[name]
        return parts if parts.dtype.fields is None else _Part(parts)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, float | np.floating) and is_mixed(self._parts.dtype):
            raise APIUsageError(f"{bytes_message(self._parts.dtype)}.")
        self._array[index] = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the flat array."""
        return self._array.shape


class _Part:
    """A part of an observation that has parts itself."""

    def __init__(self, parts: NDArray[Any]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        parts = self._parts[name]
        return parts if parts.dtype.fields is None else _Part(parts)
