"""Local arrays and assignments of rows, without allocation: what a function makes for itself lives on the stack.

Kernels are compiled without Numba's reference counting, and so without its arrays: ``np.zeros(3)``, ``s.v[i] * 2`` or
``s.board[i] == p.template`` in an author's function would not compile, nor would ``obs[i] = s.v[i]``, since NumPy
copies first where both sides overlap. Here, and only in functions without reference counting, new arrays are memory
of the function's stack frame. Of a size that the compiler knows, LLVM turns small ones into registers.

A function cannot return such an array, which Numba itself refuses, nor several in a tuple, which is refused here. And
what one call makes must fit into `LIMIT` bytes, or it raises MemoryError: a stack that overflows ends the process.

Wraps ``_empty_nd_impl`` and ``maybe_copy_source`` of ``numba.np.arrayobj``, and ``_arr_expr_to_ast`` of
``numba.np.ufunc.array_exprs``, in which literals of the environment's float type would stop arithmetic of rows.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.core import ir as numba_ir
from numba.extending import intrinsic
from numba.np import arrayobj, numpy_support
from numba.np.ufunc import array_exprs

LIMIT = 65536
"""Bytes of local arrays that one call of an author's function can make."""

CONSTRUCTORS = (
    "empty",
    "zeros",
    "ones",
    "full",
    "empty_like",
    "zeros_like",
    "ones_like",
    "full_like",
    "array",
    "asarray",
)
"""NumPy's functions that `constructors` has for kernels."""

_NOTHING = ir.IntType(8).as_pointer()  # what a function without a return statement returns, for Numba

_empty_with_nrt = arrayobj._empty_nd_impl
_maybe_copy_source = arrayobj.maybe_copy_source
_arr_expr_to_ast = array_exprs._arr_expr_to_ast


def new_array(context: Any, builder: Any, kind: Any, shapes: Any) -> Any:
    """An array on the stack, its elements not set, where there is no reference counting."""
    if context.enable_nrt:
        return _empty_with_nrt(context, builder, kind, shapes)
    result = builder.function.args[0].type.pointee
    if result != _NOTHING and _has_pointer(result):
        raise errors.NumbaTypeError("returns a local array")
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    strides, count = _strides(builder, kind, shapes, itemsize)
    array = arrayobj.make_array(kind)(context, builder)
    size = builder.mul(count, ir.Constant(count.type, itemsize))
    constant = all(isinstance(length, ir.Constant) for length in shapes)
    fixed = math.prod(length.constant for length in shapes) * itemsize if constant else None
    arrayobj.populate_array(
        array,
        data=builder.bitcast(_memory(context, builder, size, fixed), array.data.type),
        shape=cgutils.pack_array(builder, shapes, ty=count.type),
        strides=cgutils.pack_array(builder, strides, ty=count.type),
        itemsize=ir.Constant(count.type, itemsize),
        meminfo=None,
    )
    return array


def _has_pointer(kind: Any) -> bool:
    return isinstance(kind, ir.PointerType) or any(_has_pointer(part) for part in getattr(kind, "elements", ()))


def _strides(builder: Any, kind: Any, shapes: Any, itemsize: int) -> tuple[list[Any], Any]:
    """Strides in bytes of an array in C's or Fortran's order; the number of its elements."""
    count, strides = ir.Constant(ir.IntType(64), 1), []
    for length in reversed(shapes) if kind.layout == "C" else shapes:
        strides.append(builder.mul(count, ir.Constant(count.type, itemsize)))
        count = builder.mul(count, length)
    return strides[::-1] if kind.layout == "C" else strides, count


def _memory(context: Any, builder: Any, size: Any, fixed: int | None) -> Any:
    """Memory of ``size`` bytes; ``fixed`` is the same, if the compiler knows it."""
    if fixed is None:
        return _of_size(context, builder, size)
    if fixed > LIMIT:
        raise errors.NumbaValueError(f"a local array of {fixed} bytes; at most {LIMIT} fit")
    # The frame's own, unless it is taken: in a loop, an array of an earlier round may still be in use. Elsewhere LLVM
    # sees that it never is.
    with builder.goto_entry_block():
        first = builder.alloca(ir.ArrayType(ir.IntType(8), max(fixed, 1)))
    first.align = 64
    taken = cgutils.alloca_once(builder, ir.IntType(1))
    memory = cgutils.alloca_once(builder, first.type.pointee.element.as_pointer())
    with builder.if_else(builder.load(taken)) as (again, otherwise):
        with again:
            builder.store(_of_size(context, builder, size), memory)
        with otherwise:
            builder.store(builder.bitcast(first, memory.type.pointee), memory)
    builder.store(ir.Constant(ir.IntType(1), 1), taken)
    return builder.load(memory)


def _of_size(context: Any, builder: Any, size: Any) -> Any:
    """Memory of a size that the program computes. A loop may ask for it again and again: the sum is limited."""
    used = getattr(builder.function, "local_bytes", None)
    if used is None:
        used = builder.function.local_bytes = cgutils.alloca_once(builder, ir.IntType(64))
    total = builder.add(builder.load(used), size)
    builder.store(total, used)
    with builder.if_then(builder.icmp_unsigned(">", total, ir.Constant(total.type, LIMIT)), likely=False):
        context.call_conv.return_user_exc(builder, MemoryError, (f"local arrays of more than {LIMIT} bytes",))
    memory = builder.alloca(ir.IntType(8), size=size)
    memory.align = 64
    return memory


@contextmanager
def _malloc_allowed(context: Any) -> Iterator[None]:
    before, context.nrt._enabled = context.nrt._enabled, True
    try:
        yield
    finally:
        context.nrt._enabled = before


def _copy_source(context: Any, builder: Any, *args: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    """Rows that overlap are copied first, as in NumPy: the one case in which a kernel may ask for memory."""
    with _malloc_allowed(context):
        get_item, free = _maybe_copy_source(context, builder, *args)

    def clean_up() -> None:
        with _malloc_allowed(context):
            free()

    return get_item, clean_up


def _with_constants(expression: Any) -> tuple[Any, dict[str, Any]]:
    """As Python's syntax, with a name for each constant of NumPy's, as which Python's compiler takes none."""
    if isinstance(expression, numba_ir.Const) and isinstance(expression.value, np.generic):
        name = f"constant_{expression.value.dtype}_{expression.value.tobytes().hex()}"
        return ast.Name(name, ast.Load()), {name: expression.value}
    return _arr_expr_to_ast(expression)


arrayobj._empty_nd_impl = new_array
arrayobj.maybe_copy_source = _copy_source
array_exprs._arr_expr_to_ast = _with_constants


def constructors(float_type: type[np.floating[Any]]) -> dict[str, Any]:
    """NumPy's functions that make arrays, for kernels whose float type is ``float_type``, by name."""
    default = numpy_support.from_dtype(np.dtype(float_type))

    @intrinsic(prefer_literal=True)
    def empty(typing_context, shape, dtype=None):
        return _constructor(shape, _element(dtype, default), dtype)

    @intrinsic(prefer_literal=True)
    def zeros(typing_context, shape, dtype=None):
        return _constructor(shape, _element(dtype, default), dtype, 0)

    @intrinsic(prefer_literal=True)
    def ones(typing_context, shape, dtype=None):
        return _constructor(shape, _element(dtype, default), dtype, 1)

    @intrinsic(prefer_literal=True)
    def full(typing_context, shape, fill_value, dtype=None):
        fill = types.unliteral(fill_value)
        return _constructor(shape, _element(dtype, fill), dtype, fill)

    @intrinsic
    def empty_like(typing_context, prototype, dtype=None):
        return _like(prototype, dtype, default)

    @intrinsic
    def zeros_like(typing_context, a, dtype=None):
        return _like(a, dtype, default, 0)

    @intrinsic
    def ones_like(typing_context, a, dtype=None):
        return _like(a, dtype, default, 1)

    @intrinsic
    def full_like(typing_context, a, fill_value, dtype=None):
        return _like(a, dtype, default, types.unliteral(fill_value))

    @intrinsic
    def array(typing_context, object, dtype=None):
        return _copied(object, dtype) or _array(object, dtype, default)

    @intrinsic
    def asarray(typing_context, a, dtype=None):
        return _same(a, dtype) or _array(a, dtype, default)

    made = (empty, zeros, ones, full, empty_like, zeros_like, ones_like, full_like, array, asarray)
    return dict(zip(CONSTRUCTORS, made, strict=True))


def _copied(array: Any, dtype: Any) -> Any:
    """The same for ``np.array(row)``."""
    typed = _like(array, None, None) if dtype is None else None
    if typed is None:
        return None
    made, like = typed

    def fill(result: Any, array: Any) -> None:
        result[...] = array

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        result = like(context, builder, signature, values)
        context.compile_internal(builder, fill, types.none(made.return_type, array), (result, values[0]))
        return result

    return made, generate


def _same(array: Any, dtype: Any) -> Any:
    """The same for ``np.asarray(row)``, which is the row."""
    if not isinstance(array, types.Array) or dtype is not None:
        return None
    return array(array, types.Omitted(None)), lambda context, builder, signature, values: values[0]


def _array(given: Any, dtype: Any, default: Any) -> Any:
    """What types and compiles ``np.array`` of numbers in a tuple, or in tuples of one length in a tuple."""
    rows: Any = tuple(given) if isinstance(given, types.BaseTuple) else ()  # type: ignore[arg-type]
    nested = bool(rows) and all(isinstance(row, types.BaseTuple) for row in rows)
    numbers = [kind for row in rows for kind in (row if nested else (row,))]
    known = numbers and all(isinstance(kind, types.Number | types.Boolean) for kind in numbers)
    if not known or (nested and len({len(row) for row in rows}) > 1):
        return None
    found = numpy_support.from_dtype(np.result_type(*(numpy_support.as_dtype(types.unliteral(n)) for n in numbers)))
    if isinstance(found, types.Float) and not any(n == types.float64 for n in numbers):
        found = default  # int64 beside float32
    element = found if dtype is None else _element(dtype, default)
    if element is None:
        return None
    lengths = (len(rows), len(rows[0])) if nested else (len(rows),)
    kind = types.Array(element, len(lengths), "C")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        made = new_array(context, builder, kind, [context.get_constant(types.intp, length) for length in lengths])
        parts = cgutils.unpack_tuple(builder, values[0])
        flat = [one for part in parts for one in (cgutils.unpack_tuple(builder, part) if nested else (part,))]
        for k, (value, number) in enumerate(zip(flat, numbers, strict=True)):
            place = builder.gep(made.data, [context.get_constant(types.intp, k)])
            context.pack_value(builder, element, context.cast(builder, value, number, element), place)
        return made._getvalue()

    return kind(given, types.Omitted(None) if dtype is None else dtype), generate


def _like(array: Any, dtype: Any, default: Any, fill: Any = None) -> Any:
    """The same for a new array of the shape of ``array`` and, where no dtype is given, of its elements."""
    if not isinstance(array, types.Array):
        return None
    is_given = not (dtype is None or isinstance(dtype, types.NoneType | types.Omitted))
    element = _element(dtype, default) if is_given else array.dtype
    shape = types.UniTuple(types.intp, array.ndim)
    typed = _constructor(shape, element, dtype, fill)
    if typed is None:
        return None
    made, of_shape = typed

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = arrayobj.make_array(array)(context, builder, value=values[0])
        return of_shape(context, builder, signature, (given.shape, *values[1:]))

    return made.return_type(array, *made.args[1:]), generate


def _element(dtype: Any, default: Any) -> Any:
    if dtype is None or isinstance(dtype, types.NoneType | types.Omitted):
        return default
    if isinstance(dtype, types.Function):  # bool, int, float
        kinds: dict[Any, Any] = {bool: types.boolean, int: types.int64, float: default}
        return kinds.get(dtype.typing_key)
    return getattr(dtype, "dtype", None)


def _constructor(shape: Any, element: Any, dtype: Any, fill: Any = None) -> Any:
    """What types and compiles a constructor: arrays of ``element``; all elements are ``fill``, a number or its type."""
    lengths: Any = tuple(shape) if isinstance(shape, types.BaseTuple) else (shape,)  # type: ignore[arg-type]
    if element is None or not all(isinstance(length, types.Integer) for length in lengths):
        return None
    kind = types.Array(element, len(lengths), "C")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        parts = cgutils.unpack_tuple(builder, values[0]) if isinstance(shape, types.BaseTuple) else [values[0]]
        shapes = [_length(context, builder, *pair) for pair in zip(lengths, parts, strict=True)]
        array = new_array(context, builder, kind, shapes)
        if fill is not None:
            value = context.get_constant(types.int64, fill) if isinstance(fill, int) else values[1]
            fill_type = types.int64 if isinstance(fill, int) else fill
            _fill(context, builder, array, kind, context.cast(builder, value, fill_type, element))
        return array._getvalue()

    omitted = types.Omitted(None) if dtype is None else dtype
    return kind(shape, omitted) if isinstance(fill, int | None) else kind(shape, fill, omitted), generate


def _length(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Literal):
        return context.get_constant(types.intp, kind.literal_value)
    return context.cast(builder, value, kind, types.intp)


def _fill(context: Any, builder: Any, array: Any, kind: Any, value: Any) -> None:
    with cgutils.for_range(builder, array.nitems) as loop:
        context.pack_value(builder, kind.dtype, value, builder.gep(array.data, [loop.index]))
