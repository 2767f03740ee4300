"""Arrays that check every access, for plain Python: the rows of environments, and what is taken out of them.

See `puffer_numba.jit.checked`, which hands them to the author's functions.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError
from puffer_numba.jit.places import author_frame, is_written_out

AnyArray = NDArray[Any]
_ITSELF = "environment {} is not to touch the rows of others; index every array with i"


class DebugError(APIUsageError):
    """What an author's function did wrong, in plain Python with ``debug``.

    Attributes:
        kind: what sort of mistake it is, as `puffer_numba.check` calls it.
    """

    def __init__(self, message: str, kind: str = "plain Python") -> None:
        super().__init__(message)
        self.kind = kind


class DebugIndexError(DebugError, IndexError):
    """An index that is out of bounds, or of another environment's row."""


class Watch(Protocol):
    """What views need of the guard: which environment it is, and how to say what is wrong."""

    row: int

    def error(self, what: str, kind: str, error: type[DebugError] = DebugError) -> DebugError:
        """The error for what the author's line did."""


class Space(NamedTuple):
    """Of the elements of an observation, or of a new array: whether each was written, and its bounds."""

    written: AnyArray
    low: AnyArray | None = None
    high: AnyArray | None = None

    def map(self, function: Callable[[AnyArray], Any]) -> Space:
        low, high = (bound if bound is None else function(bound) for bound in (self.low, self.high))
        return Space(function(self.written), low, high)


class Context(NamedTuple):
    """What a view has to know beside its numbers."""

    guard: Watch
    name: str
    """As the author would write it: ``s.board[i]``."""
    space: Space | None = None
    read_only: str = ""
    """Why it is, if it is."""
    has_rows: bool = False
    """Whether the first axis is that of environments."""

    def text(self, key: tuple[Any, ...]) -> str:
        """``s.board[i, 3]``: the row as ``i``, all else as it is."""
        parts = list(map(_component, key))
        if self.has_rows and parts and isinstance(key[0], int | np.integer) and key[0] == self.guard.row:
            parts[0] = "i"
        return f"{self.name}[{', '.join(parts)}]" if parts else self.name


class Rows:
    """An array with a row for each environment, of which only row ``i`` can be used.

    Has what kernels need of an array: ``[]``, ``shape``, ``ndim``, ``dtype``, ``size`` and ``len``.
    """

    __slots__ = ("_array", "_context", "dtype", "ndim", "shape", "size")

    def __init__(self, context: Context, array: AnyArray) -> None:
        self._context = context
        self._array = array
        self.dtype, self.ndim, self.shape, self.size = array.dtype, array.ndim, array.shape, array.size

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:  # in a debugger
        row = self._context.guard.row
        return f"<{self._context.name}, of which environment {row} has {self._array[row]}>"

    def __getitem__(self, index: Any) -> Any:
        key = self._key(index)
        return _read(self._context, self._array, key, key[1:])

    def __setitem__(self, index: Any, value: Any) -> None:
        key = self._key(index)
        _write(self._context, self._array, key, key[1:], value)

    def _key(self, index: Any) -> tuple[Any, ...]:
        key = index if type(index) is tuple else (index,)
        guard = self._context.guard
        try:
            row = operator.index(key[0])
        except (TypeError, IndexError):
            raise self._wrong_row(key, "takes more than one row") from None
        if row != guard.row:
            if 0 <= row < len(self):
                raise self._wrong_row(key, f"is the row of environment {row}")
            raise guard.error(
                f"{self._context.text(key)}: index {row} is out of bounds for axis 0 of size {len(self)}; "
                + _ITSELF.format(guard.row),
                "bounds",
                DebugIndexError,
            )
        _check_index(self._context, self.shape, key, 1)
        return (row, *key[1:])

    def _wrong_row(self, key: tuple[Any, ...], what: str) -> DebugError:
        guard = self._context.guard
        return guard.error(
            f"{self._context.text(key)} {what}; {_ITSELF.format(guard.row)}", "isolation", DebugIndexError
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._whole(f".{name}")

    def __array__(self, *args: Any, **kwargs: Any) -> AnyArray:
        raise self._whole("")

    def __iter__(self) -> Iterator[Any]:
        raise self._whole("")

    def _whole(self, what: str) -> DebugError:
        context = self._context
        return context.guard.error(
            f"{context.name}{what} takes the rows of all environments; {_ITSELF.format(context.guard.row)}", "isolation"
        )


class CheckedArray(np.ndarray[Any, np.dtype[Any]]):
    """A part of one environment's row, or an array of params: an array as any other whose elements are checked.

    What is computed from it is an ordinary array.
    """

    _context: Context | None = None  # of copies, which are the author's own

    def __getitem__(self, index: Any) -> Any:
        if self._context is None:
            return super().__getitem__(index)
        key = index if type(index) is tuple else (index,)
        _check_index(self._context, self.shape, key, 0)
        return _read(self._context, self.view(np.ndarray), key, key)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._context is None:
            super().__setitem__(index, value)
            return
        key = index if type(index) is tuple else (index,)
        _check_index(self._context, self.shape, key, 0)
        _write(self._context, self.view(np.ndarray), key, key, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))

    def __str__(self) -> str:
        return str(self.view(np.ndarray))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        for array in inputs:
            if isinstance(array, CheckedArray) and array._context is not None:
                _check_written(array._context, (), array._context.space)
        inputs, kwargs = _plain(inputs), _plain(kwargs)
        if out is None or not any(isinstance(target, CheckedArray) for target in out):
            return getattr(ufunc, method)(*inputs, **({} if out is None else {"out": out}), **kwargs)
        result = getattr(ufunc, method)(*map(_wide, inputs), **kwargs)  # so that overflow shows
        for target, values in zip(out, result if len(out) > 1 else (result,), strict=True):
            if not np.can_cast(np.asarray(values).dtype, target.dtype, "same_kind"):
                raise TypeError(f"cannot write {np.asarray(values).dtype} into an array of {target.dtype}")
            target[...] = values
        return out if len(out) > 1 else out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = function(*_plain(args), **_plain(kwargs))
        out = kwargs.get("out", args[0] if function in (np.copyto, np.put, np.place, np.fill_diagonal) else None)
        if isinstance(out, CheckedArray):
            out._check_written_by_others()
        return result

    def _check_written_by_others(self) -> None:
        """What has been written past `__setitem__`."""
        if self._context is not None:
            self[...] = self.view(np.ndarray).copy()

    def fill(self, value: Any) -> None:
        """As NumPy's."""
        self[...] = value

    def reshape(self, *args: Any, **kwargs: Any) -> Any:
        """As NumPy's; it is checked as before."""
        return self._same("reshape", *args, **kwargs)

    def ravel(self, *args: Any, **kwargs: Any) -> Any:
        """As NumPy's; it is checked as before."""
        return self._same("ravel", *args, **kwargs)

    def transpose(self, *args: Any, **kwargs: Any) -> Any:
        """As NumPy's; it is checked as before."""
        return self._same("transpose", *args, **kwargs)

    @property
    def T(self) -> Any:
        """As NumPy's; it is checked as before."""
        return self._same("transpose")

    def _same(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A method of NumPy's that gives a view, of the numbers and of all that is known of them."""
        moved = getattr(self.view(np.ndarray), method)(*args, **kwargs)
        if self._context is None:
            return moved
        space = self._context.space
        if space is not None:
            space = space.map(lambda array: getattr(array, method)(*args, **kwargs))
        return view(moved, self._context._replace(name=f"{self._context.name}.{method}(...)", space=space))


def view(array: AnyArray, context: Context) -> CheckedArray:
    """An array whose elements are checked, of the same memory."""
    checked = array.view(CheckedArray)
    checked._context = context
    return checked


def _plain(value: Any) -> Any:
    """The same memory as an ordinary array; of tuples, lists and dicts their elements so."""
    if isinstance(value, CheckedArray):
        return value.view(np.ndarray)
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return {name: _plain(part) for name, part in value.items()} if type(value) is dict else value


def _all(flags: Any) -> bool:
    return bool(flags) if type(flags) is np.bool_ else bool(flags.all())  # np.all takes microseconds for one


def _wide(value: Any) -> Any:
    return value.astype(np.int64) if isinstance(value, np.ndarray) and value.dtype.kind in "iu" else value


def number(value: Any) -> Any:
    """An integer as Numba computes with it."""
    return np.int64(value) if value.dtype.kind in "iu" and value.dtype != np.uint64 else value


def _read(context: Context, array: AnyArray, key: tuple[Any, ...], rest: tuple[Any, ...]) -> Any:
    """``array[key]``, where ``rest`` is the key without the row."""
    found = array[key]
    space = context.space if context.space is None else context.space.map(lambda array: array[rest])
    if isinstance(found, np.ndarray):
        return view(found, context._replace(name=context.text(key), space=space, has_rows=False))
    _check_written(context, key, space)
    return number(found)


def _check_written(context: Context, key: tuple[Any, ...], space: Space | None) -> None:
    if space is not None and not _all(space.written):
        raise context.guard.error(
            f"{context.text(key)} is read before it was written; in compiled code it is whatever was there",
            "observations written",
        )


def _write(context: Context, array: AnyArray, key: tuple[Any, ...], rest: tuple[Any, ...], value: Any) -> None:
    """``array[key] = value``, where ``rest`` is the key without the row."""
    if context.read_only:
        raise context.guard.error(
            f"{context.text(key)} = {short(value)} writes to what is read-only; {context.read_only}",
            "read-only arrays",
        )
    value = _plain(value)
    _check_fits(context, array.dtype, key, value)
    array[key] = value
    if context.space is not None:
        _check_in_space(context, array, key, context.space, rest)


def _check_fits(context: Context, dtype: np.dtype[Any], key: tuple[Any, ...], value: Any) -> None:
    if dtype.kind == "b":
        return
    low, high = _limits(dtype)
    scalar = isinstance(value, int | float | np.number)
    if scalar and low <= value <= high:
        return
    values = np.asarray(value)
    if values.dtype.kind not in "iufO":  # bools fit anywhere; NumPy refuses the rest
        return
    outside = ~((values >= low) & (values <= high))
    if dtype.kind == "f":
        outside &= np.isfinite(values.astype(np.float64))  # infinities and NaN are what they are
    if outside.any():
        first = values[outside].reshape(-1)[0]
        raise context.guard.error(
            f"{context.text(key)} = {short(first)} does not fit into {dtype}, which holds {low:g} to {high:g}"
            if dtype.kind == "f"
            else f"{context.text(key)} = {short(first)} does not fit into {dtype}, which holds {low} to {high}",
            "overflow",
        )


def _check_in_space(context: Context, array: AnyArray, key: tuple[Any, ...], space: Space, rest: Any) -> None:
    space.written[rest] = True
    if space.low is None or space.high is None:
        return
    now, low, high = array[key], space.low[rest], space.high[rest]
    inside = (now >= low) & (now <= high)  # NaN is not
    if not _all(inside):
        where = () if np.ndim(inside) == 0 else tuple(np.argwhere(~inside)[0])
        value, minimum, maximum = (np.asarray(numbers)[where] for numbers in (now, low, high))
        element = f" at {list(map(int, where))}" if where else ""
        raise context.guard.error(
            f"{context.text(key)} = {value}{element} is outside the observation space, which has {minimum} to "
            f"{maximum}",
            "observations in space",
        )


@cache
def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "f":
        maximum = float(np.finfo(dtype).max)
        return -maximum, maximum
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _check_index(context: Context, shape: tuple[int, ...], key: tuple[Any, ...], first: int) -> None:
    """Raise if a component of ``key``, from the one numbered ``first`` on, is outside ``shape``."""
    axis = first
    for number in range(first, len(key)):
        component = key[number]
        kind = type(component)
        if kind is int or isinstance(component, np.integer):
            if axis < len(shape) and not 0 <= component < shape[axis]:
                _check_negative(context, int(component), shape[axis], axis, number, key)
            axis += 1
        elif component is Ellipsis:
            rest = sum(part is not None and part is not Ellipsis for part in key[number:])
            axis = len(shape) - rest
        elif component is None:
            continue
        else:
            if isinstance(component, np.ndarray | list) and axis < len(shape):
                for index in np.asarray(component).reshape(-1):
                    if isinstance(index, np.integer) and not 0 <= index < shape[axis]:
                        _check_negative(context, int(index), shape[axis], axis, -1, key)
            axis += getattr(component, "ndim", 1) if getattr(component, "dtype", None) == np.bool_ else 1


def _check_negative(context: Context, index: int, size: int, axis: int, number: int, key: tuple[Any, ...]) -> None:
    """Raise, unless the index counts from the end, as component ``number`` of the author's subscript says."""
    if -size <= index < 0:
        if is_written_out(author_frame(sys._getframe(1)), number, len(key)):
            return
        raise context.guard.error(
            f"{context.text(key)}: index {index} of axis {axis} (size {size}) was computed, and counts from the "
            "end: if that is meant, add the size",
            "bounds",
            DebugIndexError,
        )
    raise context.guard.error(
        f"{context.text(key)}: index {index} is out of bounds for axis {axis} of size {size}",
        "bounds",
        DebugIndexError,
    )


def _component(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends if part.step is None else [*ends, str(part.step)])
    return "..." if part is Ellipsis else short(part)


def short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
