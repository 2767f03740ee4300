"""What an author's functions may use beyond what Numba compiles without allocation: NumPy and builtins for kernels.

Where an author writes ``np``, kernels see `numpy_for_kernels`; where ``any`` or ``all``, those below. Each is the
function of that name as NumPy or Python has it, for numbers and for rows of arrays.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numba.core import types

from puffer_numba.jit.compiler.local import constructors
from puffer_numba.jit.compiler.parts import JIT_OPTIONS, OVERLOADED, part
from puffer_numba.jit.compiler.rows import make_rows, unrolled

Implement = Callable[..., Callable[..., Any] | None]
_CONSTANTS = ("pi", "e", "euler_gamma", "inf", "nan")


@cache
def numpy_for_kernels(float_type: Any) -> ModuleType:
    """NumPy, as kernels of one float type see it.

    Its constants, and arrays for which no dtype is given, are of the environment's float type. It is a plain module,
    as Numba knows NumPy's functions by.
    """
    linalg = ModuleType("numpy.linalg")
    linalg.__dict__.update({**vars(np.linalg), "norm": FUNCTIONS[np.linalg.norm]})
    module = ModuleType("numpy")
    module.__dict__.update({name: float_type(getattr(np, name)) for name in _CONSTANTS})
    module.__dict__.update(constructors(float_type))
    module.__dict__.update({name: FUNCTIONS[getattr(np, name)] for name in _NUMPY})
    module.__dict__.update({"linalg": linalg, "__getattr__": lambda name: getattr(np, name)})
    return module


FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""Functions for kernels, by NumPy's or Python's of the same name."""


def _for_kernels(original: Callable[..., Any], implement: Implement) -> None:
    """In kernels, ``original`` is what ``implement`` gives for the types of its arguments."""

    def function(*args: Any) -> Any:
        return original(*args)

    function.__name__ = function.__qualname__ = original.__name__
    setattr(function, OVERLOADED, f"language {original.__name__}")
    part(function, JIT_OPTIONS)(implement)
    FUNCTIONS[original] = function


def _is_number(*kinds: Any) -> bool:
    return all(isinstance(kind, types.Number | types.Boolean) for kind in kinds)


def _clip(a: Any, a_min: Any, a_max: Any) -> Callable[..., Any] | None:
    bounds = [bound for bound in (a_min, a_max) if not isinstance(bound, types.NoneType)]
    if not _is_number(a, *bounds):
        return None
    of_floats = isinstance(a, types.Float)
    kind: Any = np.dtype(str(a)).type if of_floats else None
    kinds = {n: bound for n, bound in (("a_min", a_min), ("a_max", a_max)) if bound in bounds}
    return eval(f"lambda a, a_min, a_max: {_clipped(kinds, of_floats)}", {"kind": kind})


def _clipped(kinds: Mapping[str, Any], of_floats: bool) -> str:
    """An element between its bounds, of which either may be missing; those of another type do not change its own."""
    convert = "kind({})" if of_floats else "{}"
    element = convert.format("a")
    if "a_min" in kinds:
        element = f"max({element}, {convert.format('a_min')})"
    return f"min({element}, {convert.format('a_max')})" if "a_max" in kinds else element


def _where(condition: Any, x: Any, y: Any) -> Callable[..., Any] | None:
    return (lambda condition, x, y: x if condition else y) if _is_number(condition, x, y) else None


def _round(a: Any, decimals: Any = 0) -> Callable[..., Any] | None:
    if not _is_number(a):
        return None
    if not isinstance(a, types.Float):
        return lambda a, decimals=0: a
    kind: Any = np.dtype(str(a)).type
    if decimals == 0 or isinstance(decimals, types.Omitted):
        return lambda a, decimals=0: np.rint(a)

    def implementation(a: Any, decimals: Any = 0) -> Any:
        scale = kind(10.0 ** abs(decimals))
        return np.rint(a * scale) / scale if decimals >= 0 else np.rint(a / scale) * scale

    return implementation


def _rounded(kinds: Mapping[str, Any], of_floats: bool) -> str:
    if not of_floats:
        return "a"
    if "decimals" not in kinds:
        return "np.rint(a)"
    scale = "kind(10.0 ** abs(decimals))"
    return f"np.rint(a * {scale}) / {scale} if decimals >= 0 else np.rint(a / {scale}) * {scale}"


def _minimum_of(a: Any) -> Callable[..., Any] | None:
    def implementation(a: Any) -> Any:
        least = a.flat[0]
        for value in a.flat:
            least = value if value < least or value != value else least
        return least

    return implementation if isinstance(a, types.Array) else None


def _maximum_of(a: Any) -> Callable[..., Any] | None:
    def implementation(a: Any) -> Any:
        most = a.flat[0]
        for value in a.flat:
            most = value if value > most or value != value else most
        return most

    return implementation if isinstance(a, types.Array) else None


def _any(a: Any) -> Callable[..., Any] | None:
    def implementation(a: Any) -> bool:
        found = False
        for value in a:
            found |= bool(value)
        return found

    return implementation if _is_row(a) else None


def _all(a: Any) -> Callable[..., Any] | None:
    def implementation(a: Any) -> bool:
        found = True
        for value in a:
            found &= bool(value)
        return found

    return implementation if _is_row(a) else None


def _is_row(a: Any) -> bool:
    return isinstance(a, types.UniTuple) or (isinstance(a, types.Array) and a.ndim == 1)


def _reversed(sequence: Any) -> Callable[..., Any] | None:
    def backwards(sequence: Any) -> Any:
        last = sequence.start + (len(sequence) - 1) * sequence.step
        return range(last, sequence.start - sequence.step, -sequence.step)

    return backwards if isinstance(sequence, types.RangeType) else None


def _sum(iterable: Any, start: Any = 0) -> Callable[..., Any] | None:
    if _is_row(iterable) and isinstance(getattr(iterable, "dtype", None), types.Float):
        kind: Any = np.dtype(str(iterable.dtype)).type

        def in_float(iterable: Any, start: Any = 0) -> Any:
            total = kind(start)
            for value in iterable:
                total += value
            return total

        return in_float
    return lambda iterable, start=0: sum(iterable, start)


def _count_nonzero(a: Any) -> Callable[..., Any] | None:
    def implementation(a: Any) -> int:
        count = 0
        for value in a.flat:
            count += value != 0
        return count

    return implementation if isinstance(a, types.Array) else None


def _array_equal(a1: Any, a2: Any) -> Callable[..., Any] | None:
    if not (isinstance(a1, types.Array) and isinstance(a2, types.Array)):
        return None
    if a1.ndim != a2.ndim:
        return lambda a1, a2: False

    def implementation(a1: Any, a2: Any) -> bool:
        equal = a1.shape == a2.shape
        if equal:
            for one, other in zip(a1.flat, a2.flat):  # noqa: B905 - Numba has no strict
                equal &= one == other
        return equal

    return implementation


def _norm(x: Any) -> Callable[..., Any] | None:
    def implementation(x: Any) -> Any:
        total = x.flat[0] * x.flat[0] * 0
        for value in x.flat:
            total += value * value
        return math.sqrt(total)

    return implementation if isinstance(x, types.Array) and isinstance(x.dtype, types.Float) else None


def _names_row(array: Any, index: Any) -> bool:
    """Whether ``array[index]`` has one axis: ``obs[i]`` of two axes, ``obs[i, a]`` of three, ``obs[i, :2]``."""
    indices = tuple(index) if isinstance(index, types.BaseTuple) else (index,)  # type: ignore[arg-type]
    if not (isinstance(array, types.Array) and len(indices) <= array.ndim):
        return False
    numbers = [isinstance(kind, types.Integer) for kind in indices]
    slices = sum(isinstance(kind, types.SliceType) for kind in indices)
    return sum(numbers) + slices == len(indices) and array.ndim - sum(numbers) == 1


@part(operator.setitem, JIT_OPTIONS)
def _set_row(array: Any, index: Any, values: Any) -> Callable[..., Any] | None:
    """``obs[i] = (s.x[i], 1, True)``: numbers of several types, which Numba cannot make an array of."""
    if not (_names_row(array, index) and isinstance(values, types.Tuple) and _is_number(*values)):
        return None
    count = len(values)
    lines = [f"row[{k}] = values[{k}]" for k in range(count)]
    length = f"if len(row) != {count}: raise ValueError('a row of another length than {count}')"
    lines = ["row = array[index]", length, *lines]
    return unrolled("array, index, values", lines)


_NUMPY: Mapping[str, Implement] = {
    "clip": _clip,
    "where": _where,
    "round": _round,
    "around": _round,
    "min": _minimum_of,
    "amin": _minimum_of,
    "max": _maximum_of,
    "amax": _maximum_of,
    "count_nonzero": _count_nonzero,
    "array_equal": _array_equal,
}
for _name, _implement in _NUMPY.items():
    _for_kernels(getattr(np, _name), _implement)
make_rows(FUNCTIONS[np.clip], "a, a_min, a_max", _clipped, ("a", "a_min", "a_max"))
make_rows(FUNCTIONS[np.where], "condition, x, y", lambda kinds, of_floats: "x if condition else y", ("x", "y"))
for _function in (np.round, np.around):
    make_rows(FUNCTIONS[_function], "a, decimals", _rounded, ("a",), decimals=0)
_for_kernels(np.linalg.norm, _norm)
_for_kernels(builtins.any, _any)
_for_kernels(builtins.sum, _sum)
_for_kernels(builtins.all, _all)
_for_kernels(builtins.reversed, _reversed)
