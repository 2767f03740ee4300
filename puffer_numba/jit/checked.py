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

import linecache
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from puffer_numba.env import Leaf
from puffer_numba.jit.compiler.leaves import bytes_message, is_mixed, padding, parts_of
from puffer_numba.jit.compiler.tuples import Agents
from puffer_numba.jit.places import author_place, definition_place, innermost, return_place
from puffer_numba.jit.views import AnyArray, Context, DebugError, DebugIndexError, Rows, Space, number, short, view
from puffer_numba.spaces.observations import leaf_bounds

__all__ = ["DebugError", "DebugIndexError", "Guard"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


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
            *(Rows(Context(self, f"s.{n}", has_rows=True), a) for n, a in state._asdict().items())
        )
        self._params = type(params)(*(self._constant(n, value) for n, value in params._asdict().items()))
        self._space = Space(np.zeros(low.shape, np.bool_), low, high)
        self._dtype, self._flat_dtype = dtype, low.dtype
        self._unused = [] if dtype is None else padding(dtype)
        self._bounds = {leaf.offset: leaf_bounds(leaf.space) for leaf in leaves}

    def _constant(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return view(value, Context(self, f"p.{name}", None, "params and tables are the same for all environments"))

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
            raise self._returned(step_env, f"{short(result)}; expected {wanted}", "plain Python")
        self._check_reward(step_env, result[0])
        for what, value in zip(("terminated", "truncated"), result[1:], strict=False):
            self._check_flag(step_env, what, value)
        return result

    def _observe(self, observe_env: Any, s: Any, p: Any, i: Any, obs: AnyArray) -> None:
        written = self._space.written
        written[...] = False
        flat = Rows(Context(self, "obs", self._space, has_rows=True), obs)
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
            raise DebugError(self._at(definition_place(observe_env), what), "observations written")

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
        context = Context(self, f"obs.{name}", Space(written, low, high), has_rows=True)
        return Rows(context, array.reshape(leading + shape))

    def _call(self, function: Any, i: Any, *args: Any) -> Any:
        self.row = int(i)
        self.active = True
        try:
            return function(self._state, self._params, self.row, *args)
        except IndexError as error:  # of an array that the author made
            if isinstance(error, DebugError):
                raise
            raise DebugIndexError(self._at(innermost(error.__traceback__), str(error)), "bounds") from error
        finally:
            self.active = False

    def _team(self, team: Agents) -> Agents:
        return Agents(*(Rows(Context(self, f"team.{n}", has_rows=True), array) for n, array in team._asdict().items()))

    def _action(self, action: Any) -> Any:
        if isinstance(action, np.ndarray):
            return view(action, Context(self, "action", None, "they are the caller's: copy what is to change"))
        return number(action)

    def _check_reward(self, function: Any, reward: Any) -> None:
        try:
            value = float(reward)
        except (TypeError, ValueError):
            raise self._returned(function, f"a reward of {short(reward)}; expected a number", "rewards") from None
        if not -_FLOAT32_MAX <= value <= _FLOAT32_MAX:
            kind = "a reward is" if np.isfinite(value) else "no finite number: a reward is"
            raise self._returned(function, f"what is outside float32: {kind} {value}", "rewards")

    def _check_flag(self, function: Any, what: str, value: Any) -> None:
        if not (isinstance(value, bool | np.bool_) or (isinstance(value, int | np.integer) and value in (0, 1))):
            raise self._returned(function, f"{short(value)} for {what}; expected True or False", "plain Python")

    def _returned(self, function: Any, what: str, kind: str) -> DebugError:
        return DebugError(self._at(return_place(function), f"step_env returned {what}"), kind)

    def uninitialized(self, name: str, array: AnyArray) -> AnyArray:
        """A new array of the author's, of which nothing is to be read before it was written."""
        return view(array, Context(self, name, Space(np.zeros(array.shape, np.bool_))))

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
