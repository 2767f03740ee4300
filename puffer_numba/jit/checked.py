"""Plain Python that sees every access: the author's functions, called with views that know their bounds.

Kernels run without bounds checks, so an index too far reads or writes in another array or in the state of the next
environment. Where an environment runs as plain Python with ``debug``, a `Guard` stands between the framework and the
author's functions. It hands them views in place of arrays, which raise a `DebugError` at the author's line for:

- an index out of bounds; also a negative one, unless it is written as such (``s.v[i, -1]``): one that was computed is a
  mistake, which Python and Numba answer with another element;
- a row of another environment than ``i``;
- an integer that does not fit into the array's dtype, or a finite number that becomes infinite in float32;
- a write to ``p`` or to ``action``;
- an observation outside its space, read before it was written, or not written at all;
- a reward that is no finite float32, and other things to return than ``(reward, terminated)``.

Numbers are as in plain Python without the views, with one difference: what is read from an array of integers is int64
(of uint64: uint64), for so Numba computes, where NumPy would overflow at 8, 16 or 32 bits.
"""

from __future__ import annotations

import ast
import linecache
import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, Leaf
from puffer_numba.jit.compiler.leaves import bytes_message, is_mixed, padding, parts_of
from puffer_numba.jit.compiler.tuples import Agents
from puffer_numba.spaces.observations import leaf_bounds

AnyArray = NDArray[Any]
_HERE = os.path.dirname(__file__)
_LIBRARY = tuple(os.path.join(folder, "") for folder in (_HERE, os.path.join(os.path.dirname(_HERE), "checks")))
_NUMPY = os.path.join(os.path.dirname(np.__file__), "")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
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


class _Space(NamedTuple):
    """Of the elements of an observation, or of a new array: whether each was written, and its bounds."""

    written: AnyArray
    low: AnyArray | None = None
    high: AnyArray | None = None

    def map(self, function: Callable[[AnyArray], Any]) -> _Space:
        low, high = (bound if bound is None else function(bound) for bound in (self.low, self.high))
        return _Space(function(self.written), low, high)


class _Context(NamedTuple):
    """What a view has to know beside its numbers."""

    guard: Guard
    name: str
    """As the author would write it: ``s.board[i]``."""
    space: _Space | None = None
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


class Guard:
    """Calls an author's functions with views that check every access, one environment after the other.

    Args:
        state, params: what kernels take as ``s`` and ``p``. The views share their memory.
        low, high: of one row's observation, or of one environment's, with an axis of agents.
        dtype: structured, of one observation that has parts; None for others.
        leaves: the parts that are arrays.

    Attributes:
        row: of the environment that was called last.
        active: whether one of its functions is running now.
    """

    def __init__(
        self,
        state: Any,
        params: Any,
        low: AnyArray,
        high: AnyArray,
        dtype: np.dtype[Any] | None = None,
        leaves: Sequence[Leaf] = (),
    ) -> None:
        self.row = 0
        self.active = False
        self._state = type(state)(
            *(Rows(_Context(self, f"s.{n}", has_rows=True), a) for n, a in state._asdict().items())
        )
        self._params = type(params)(*(self._constant(n, value) for n, value in params._asdict().items()))
        self._space = _Space(np.zeros(low.shape, np.bool_), low, high)
        self._dtype, self._flat_dtype = dtype, low.dtype
        self._unused = [] if dtype is None else padding(dtype)
        self._bounds = {leaf.offset: leaf_bounds(leaf.space) for leaf in leaves}

    def _constant(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return _view(value, _Context(self, f"p.{name}", None, "params and tables are the same for all environments"))

    def functions(self, reset_env: Any, step_env: Any, observe_env: Any) -> list[Callable[..., Any]]:
        """The same functions, to be called by the framework: guarded."""
        return [
            partial(self._reset, reset_env),
            partial(self._step, step_env),
            partial(self._observe, observe_env),
        ]

    def _reset(self, reset_env: Any, s: Any, p: Any, i: Any, rng: Any, *team: Agents) -> None:
        self._call(reset_env, i, rng, *map(self._team, team))

    def _step(self, step_env: Any, s: Any, p: Any, i: Any, action: Any, rng: Any, *team: Agents) -> Any:
        result = self._call(step_env, i, self._action(action), rng, *map(self._team, team))
        if team:
            self._check_flag(step_env, "whether the episode is over", result)
            return result
        if not (isinstance(result, tuple) and len(result) in (2, 3)):
            wanted = "(reward, terminated) or (reward, terminated, truncated)"
            raise self._returned(step_env, f"{_short(result)}; expected {wanted}", "plain Python")
        self._check_reward(step_env, result[0])
        for what, value in zip(("terminated", "truncated"), result[1:], strict=False):
            self._check_flag(step_env, what, value)
        return result

    def _observe(self, observe_env: Any, s: Any, p: Any, i: Any, obs: AnyArray) -> None:
        written = self._space.written
        written[...] = False
        flat = Rows(_Context(self, "obs", self._space, has_rows=True), obs)
        self._call(observe_env, i, flat if self._dtype is None else CheckedLeaves(self, flat, obs, self._dtype))
        if self._dtype is not None:
            self._complete(self._dtype, obs[i])
        if not written.all():
            where = ", ".join(map(str, np.argwhere(~written)[0]))
            count = written.size - int(np.count_nonzero(written))
            what = (
                f"obs[i, {where}] was not written: {count} of {written.size} elements keep what was there before; "
                "observe_env must write every element"
            )
            raise DebugError(self._at(_definition(observe_env), what), "observations written")

    def _complete(self, dtype: np.dtype[Any], row: AnyArray) -> None:
        """Bytes that belong to no part are 0; those of an element were written if its first one was."""
        if not is_mixed(dtype):
            return
        written = self._space.written
        row[..., self._unused] = 0
        written[..., self._unused] = True
        for part, offset in parts_of(dtype):
            flags = written[..., offset : offset + part.itemsize].reshape(*written.shape[:-1], -1, part.base.itemsize)
            flags[...] = flags[..., :1].copy()

    def part(self, name: str, dtype: np.dtype[Any], offset: int, obs: AnyArray) -> Rows:
        """View of a part of the observations, whose elements are written where those of the flat ones are."""
        base, shape, size = dtype.base, dtype.shape, self._flat_dtype.itemsize
        leading = obs.shape[:-1]
        here = slice(offset // size, (offset + dtype.itemsize) // size)
        array = obs[..., here].view(base) if base != obs.dtype else obs[..., here]
        low, high = (np.broadcast_to(bound, leading[1:] + shape) for bound in self._bounds[offset])
        written = self._space.written[..., here].reshape(*leading[1:], *shape, -1)[..., 0]  # the first byte's
        context = _Context(self, f"obs.{name}", _Space(written, low, high), has_rows=True)
        return Rows(context, array.reshape(leading + shape))

    def _call(self, function: Any, i: Any, *args: Any) -> Any:
        self.row = int(i)
        self.active = True
        try:
            return function(self._state, self._params, self.row, *args)
        except IndexError as error:  # of an array that the author made
            if isinstance(error, DebugError):
                raise
            raise DebugIndexError(self._at(_innermost(error.__traceback__), str(error)), "bounds") from error
        finally:
            self.active = False

    def _team(self, team: Agents) -> Agents:
        return Agents(*(Rows(_Context(self, f"team.{n}", has_rows=True), array) for n, array in team._asdict().items()))

    def _action(self, action: Any) -> Any:
        if isinstance(action, np.ndarray):
            return _view(action, _Context(self, "action", None, "they are the caller's: copy what is to change"))
        return _number(action)

    def _check_reward(self, function: Any, reward: Any) -> None:
        try:
            value = float(reward)
        except (TypeError, ValueError):
            raise self._returned(function, f"a reward of {_short(reward)}; expected a number", "rewards") from None
        if not -_FLOAT32_MAX <= value <= _FLOAT32_MAX:
            kind = "a reward is" if np.isfinite(value) else "no finite number: a reward is"
            raise self._returned(function, f"what is outside float32: {kind} {value}", "rewards")

    def _check_flag(self, function: Any, what: str, value: Any) -> None:
        if not (isinstance(value, bool | np.bool_) or (isinstance(value, int | np.integer) and value in (0, 1))):
            raise self._returned(function, f"{_short(value)} for {what}; expected True or False", "plain Python")

    def _returned(self, function: Any, what: str, kind: str) -> DebugError:
        return DebugError(self._at(_return(function), f"step_env returned {what}"), kind)

    def uninitialized(self, name: str, array: AnyArray) -> AnyArray:
        """A new array of the author's, of which nothing is to be read before it was written."""
        return _view(array, _Context(self, name, _Space(np.zeros(array.shape, np.bool_))))

    # ------------------------------------------------------------------------------------------------- messages

    def error(self, what: str, kind: str, error: type[DebugError] = DebugError) -> DebugError:
        """The error for what the author's line, which has called this library, did."""
        return error(self._at(author_place(sys._getframe(1)), what), kind)

    def _at(self, frame_line: tuple[str, int], what: str) -> str:
        filename, line = frame_line
        text = linecache.getline(filename, line).strip()
        place = f"{os.path.basename(filename)}:{line}: {what} (environment {self.row})"
        return f"{place}\n    {text}" if text else place


class CheckedLeaves:
    """A structured observation: the flat one, with its parts as attributes."""

    def __init__(self, guard: Guard, flat: Rows, obs: AnyArray, dtype: np.dtype[Any], offset: int = 0, name: str = ""):
        self._guard, self._flat, self._obs, self._dtype, self._offset = guard, flat, obs, dtype, offset
        self._name = name
        self.shape = obs.shape

    def __getattr__(self, name: str) -> Any:
        if name not in (self._dtype.fields or {}):
            raise AttributeError(f"the observation has no part {name!r}; it has {', '.join(self._dtype.names or ())}")
        dtype, offset = self._dtype.fields[name][:2]  # type: ignore[index]
        if dtype.fields:
            arguments = self._guard, self._flat, self._obs, dtype, self._offset + offset
            return CheckedLeaves(*arguments, f"{self._name}{name}.")
        return self._guard.part(self._name + name, dtype, self._offset + offset, self._obs)

    def __getitem__(self, index: Any) -> Any:
        return self._flat[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, float | np.floating) and is_mixed(self._dtype):
            raise self._guard.error(bytes_message(self._dtype), "plain Python")
        self._flat[index] = value


class Rows:
    """An array with a row for each environment, of which only row ``i`` can be used.

    Has what kernels need of an array: ``[]``, ``shape``, ``ndim``, ``dtype``, ``size`` and ``len``.
    """

    __slots__ = ("_array", "_context", "dtype", "ndim", "shape", "size")

    def __init__(self, context: _Context, array: AnyArray) -> None:
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

    _context: _Context | None = None  # of copies, which are the author's own

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
        return _view(moved, self._context._replace(name=f"{self._context.name}.{method}(...)", space=space))


def _view(array: AnyArray, context: _Context) -> CheckedArray:
    view = array.view(CheckedArray)
    view._context = context
    return view


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


def _number(value: Any) -> Any:
    """An integer as Numba computes with it."""
    return np.int64(value) if value.dtype.kind in "iu" and value.dtype != np.uint64 else value


def _read(context: _Context, array: AnyArray, key: tuple[Any, ...], rest: tuple[Any, ...]) -> Any:
    """``array[key]``, where ``rest`` is the key without the row."""
    found = array[key]
    space = context.space if context.space is None else context.space.map(lambda array: array[rest])
    if isinstance(found, np.ndarray):
        return _view(found, context._replace(name=context.text(key), space=space, has_rows=False))
    _check_written(context, key, space)
    return _number(found)


def _check_written(context: _Context, key: tuple[Any, ...], space: _Space | None) -> None:
    if space is not None and not _all(space.written):
        raise context.guard.error(
            f"{context.text(key)} is read before it was written; in compiled code it is whatever was there",
            "observations written",
        )


def _write(context: _Context, array: AnyArray, key: tuple[Any, ...], rest: tuple[Any, ...], value: Any) -> None:
    """``array[key] = value``, where ``rest`` is the key without the row."""
    if context.read_only:
        raise context.guard.error(
            f"{context.text(key)} = {_short(value)} writes to what is read-only; {context.read_only}",
            "read-only arrays",
        )
    value = _plain(value)
    _check_fits(context, array.dtype, key, value)
    array[key] = value
    if context.space is not None:
        _check_in_space(context, array, key, context.space, rest)


def _check_fits(context: _Context, dtype: np.dtype[Any], key: tuple[Any, ...], value: Any) -> None:
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
            f"{context.text(key)} = {_short(first)} does not fit into {dtype}, which holds {low:g} to {high:g}"
            if dtype.kind == "f"
            else f"{context.text(key)} = {_short(first)} does not fit into {dtype}, which holds {low} to {high}",
            "overflow",
        )


def _check_in_space(context: _Context, array: AnyArray, key: tuple[Any, ...], space: _Space, rest: Any) -> None:
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


# ---------------------------------------------------------------------------------------------------------- indices


def _check_index(context: _Context, shape: tuple[int, ...], key: tuple[Any, ...], first: int) -> None:
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


def _check_negative(context: _Context, index: int, size: int, axis: int, number: int, key: tuple[Any, ...]) -> None:
    """Raise, unless the index counts from the end, as component ``number`` of the author's subscript says."""
    if -size <= index < 0:
        if _is_written_out(_caller(), number, len(key)):
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


def _caller() -> FrameType:
    """What has used a view: the innermost frame outside this file."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    assert frame is not None
    return frame


def author_place(frame: FrameType) -> tuple[str, int]:
    """File and line of the innermost frame, from ``frame`` outwards, that is neither this library's nor NumPy's."""
    current: FrameType | None = frame
    while current is not None and current.f_code.co_filename.startswith((*_LIBRARY, _NUMPY)):
        current = current.f_back
    current = current or frame
    return current.f_code.co_filename, current.f_lineno


def _innermost(traceback: TracebackType | None) -> tuple[str, int]:
    """File and line of the author's innermost frame in a traceback."""
    found = ("", 0)  # there is none
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith((*_LIBRARY, _NUMPY)):
            found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def author_line(error: BaseException) -> str:
    """What was raised, and where in the author's code."""
    filename, line = _innermost(error.__traceback__)
    if line == 0:
        return f"{type(error).__name__}: {error}"
    text = linecache.getline(filename, line).strip()
    return f"{os.path.basename(filename)}:{line}: {type(error).__name__}: {error}" + (f"\n    {text}" if text else "")


def _is_written_out(frame: FrameType, number: int, count: int) -> bool:
    """Whether component ``number`` of ``count`` in the subscript that a frame is at is a constant, as in ``v[i, -1]``.

    Where there is no source, it may be.
    """
    if number < 0:
        return False
    positions = _positions(frame.f_code)[frame.f_lasti // 2]
    nodes = _subscripts(frame.f_code.co_filename)
    if not nodes:
        return True
    node = nodes.get(positions)
    if node is None:
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return len(parts) == count and _is_constant(parts[number], frame.f_code)


@cache
def _positions(code: CodeType) -> list[tuple[int | None, ...]]:
    return list(code.co_positions())


@cache
def _tree(filename: str) -> ast.Module:
    """A file's source; empty where there is none, or it is no plain Python: a notebook's cell with magic commands."""
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return ast.Module([], [])


@cache
def _subscripts(filename: str) -> dict[tuple[int | None, ...], ast.Subscript]:
    """All subscripts of a file, by first line, last line, first column and last column."""
    found = (node for node in ast.walk(_tree(filename)) if isinstance(node, ast.Subscript))
    return {(n.lineno, n.end_lineno, n.col_offset, n.end_col_offset): n for n in found}


def _is_constant(node: ast.expr, code: CodeType) -> bool:
    """Whether an expression is made of numbers and of names from outside the function alone."""
    local = {*code.co_varnames, *code.co_cellvars}
    return not any(
        isinstance(part, ast.Call | ast.Attribute | ast.Subscript) or (isinstance(part, ast.Name) and part.id in local)
        for part in ast.walk(node)
    )


# --------------------------------------------------------------------------------------------------------- messages


def _component(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends if part.step is None else [*ends, str(part.step)])
    return "..." if part is Ellipsis else _short(part)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Lines(NamedTuple):
    """Where a function is defined, and where it returns."""

    definition: int
    returns: list[int]


@cache
def _lines(code: CodeType) -> _Lines:
    for node in ast.walk(_tree(code.co_filename)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return _Lines(node.lineno, [n.lineno for n in ast.walk(node) if isinstance(n, ast.Return)])
    return _Lines(code.co_firstlineno, [])


def _definition(function: Any) -> tuple[str, int]:
    """File and line of a function's ``def``."""
    code = _code(function)
    return code.co_filename, _lines(code).definition


def _return(function: Any) -> tuple[str, int]:
    """File and line where a function returns, if that is in one place; else of its ``def``."""
    code = _code(function)
    lines = _lines(code)
    return code.co_filename, lines.returns[0] if len(lines.returns) == 1 else lines.definition


def _code(function: Any) -> CodeType:
    return getattr(function, "__func__", function).__code__
