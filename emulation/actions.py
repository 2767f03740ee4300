"""Structured action spaces as one Discrete, MultiDiscrete or Box for a policy to act in; and the check of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from numpy.typing import NDArray

from puffer_numba.emulation.spaces import children, leaf_bounds
from puffer_numba.env import APIUsageError

AnyArray = NDArray[Any]
_FEW = 32  # for which Python is faster than NumPy
_DISCRETE = (Discrete, MultiDiscrete, MultiBinary)


class ActionLayout:
    """How actions of ``space`` are flattened.

    Attributes:
        space: Box, Discrete, MultiDiscrete, MultiBinary, or a nesting of Dict and Tuple that holds either Boxes alone
            or none.
        flat_space: Discrete, MultiDiscrete and Box are themselves; MultiBinary becomes MultiDiscrete; a Dict or Tuple
            becomes one MultiDiscrete, or one Box of one axis and the least dtype that holds all of its leaves'.

    Raises:
        APIUsageError: the space is another, with the path of the leaf.
    """

    def __init__(self, space: Space[Any], name: str = "action") -> None:
        self.space = space
        leaves = _action_leaves(space, name)
        self.flat_space = space if isinstance(space, Box | Discrete | MultiDiscrete) else _joined(leaves, space, name)

    def reader(self, row: AnyArray) -> Callable[[], Any]:
        """A function that returns the action that ``row``, one flat action, holds when it is called.

        Arrays are copies, the environment's to keep; a Discrete is a scalar of its dtype, as ``sample`` gives it.
        """
        read, _ = _reader(self.space, row.reshape(-1), 0)
        return read


def _action_leaves(space: Any, path: str) -> list[tuple[str, Any]]:
    """``(path, space)`` of each leaf."""
    if isinstance(space, Dict | Tuple):
        parts = children(space, path)
        if not parts:
            raise APIUsageError(f"{path} is an empty {type(space).__name__}; remove it from the action space.")
        return [leaf for _, _, sub, sub_path in parts for leaf in _action_leaves(sub, sub_path)]
    if not isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary):
        raise APIUsageError(
            f"{path} is {space!r}, which no policy acts in; expected Box, Discrete, MultiDiscrete, MultiBinary, or a "
            "Dict or Tuple of these. Turn it into one with gymnasium.wrappers.TransformAction."
        )
    if 0 in (space.shape or ()):
        raise APIUsageError(f"{path} is {space!r}, which has no elements; remove it from the action space.")
    return [(path, space)]


def _joined(leaves: list[tuple[str, Any]], space: Any, name: str) -> MultiDiscrete | Box:
    boxes = [path for path, leaf in leaves if isinstance(leaf, Box)]
    others = [path for path, leaf in leaves if not isinstance(leaf, Box)]
    if boxes and others:
        raise APIUsageError(
            f"{name} mixes continuous and discrete parts: {boxes[0]} is a Box and {others[0]} is not. Make them one "
            "kind with gymnasium.wrappers.TransformAction: a Box as some levels of a Discrete, say."
        )
    bounds = [leaf_bounds(leaf) for _, leaf in leaves]
    if isinstance(space, MultiBinary):
        return MultiDiscrete(np.full(space.shape, 2))
    low, high = (np.concatenate([np.ravel(pair[side]) for pair in bounds]) for side in (0, 1))
    if boxes:
        kinds = {np.dtype(leaf.dtype).kind for _, leaf in leaves}
        if "f" in kinds and len(kinds) > 1:
            odd = next(path for path, leaf in leaves if np.dtype(leaf.dtype).kind != "f")
            raise APIUsageError(
                f"{name} mixes Boxes of floats and of integers: {odd} has no floats. Give all of them a float dtype, "
                "and round in the environment."
            )
        return Box(low, high, dtype=low.dtype.type)
    return MultiDiscrete(high - low + 1, start=low)


def _reader(space: Any, flat: AnyArray, start: int) -> tuple[Callable[[], Any], int]:
    """A function that reads a space's action out of ``flat`` from ``start``, and where the next one starts."""
    if isinstance(space, Dict | Tuple):
        readers = []
        for key, _, sub, _ in children(space, ""):
            read, start = _reader(sub, flat, start)
            readers.append((key, read))
        if isinstance(space, Dict):
            return lambda: {key: read() for key, read in readers}, start
        return lambda: tuple([read() for _, read in readers]), start
    if isinstance(space, Discrete):
        number, item = np.dtype(space.dtype).type, flat[start : start + 1].item
        return lambda: number(item()), start + 1
    stop = start + int(np.prod(space.shape))
    part, dtype = flat[start:stop].reshape(space.shape), space.dtype
    return lambda: part.astype(dtype), stop


class ActionChecker:
    """Raises unless actions are ``num_agents`` rows of ``space``.

    Args:
        space: Discrete, MultiDiscrete or Box.
        num_agents: rows.
    """

    def __init__(self, space: Any, num_agents: int) -> None:
        self.space = space
        self.shape = (num_agents, *(space.shape or ()))
        self._low, self._high = leaf_bounds(space)
        self._discrete = isinstance(space, _DISCRETE)
        self._scalar = isinstance(space, Discrete)
        if self._scalar:
            self._low, self._high = int(self._low), int(self._high)  # type: ignore[assignment]

    def __call__(self, actions: Any, row_numbers: AnyArray | None = None) -> AnyArray:
        """The actions as an array of integers, or for a Box of numbers.

        Args:
            actions: ``(num_agents, *space.shape)``.
            row_numbers: what to call the rows in an error.

        Raises:
            APIUsageError: wrong shape or dtype, NaN, or an action outside the space, with its row and value.
        """
        array = np.asarray(actions)
        if array.shape != self.shape:
            raise APIUsageError(
                f"actions have shape {array.shape}; expected {self.shape}: {self.shape[0]} rows of {self.space}."
            )
        if array.dtype.kind not in ("iu" if self._discrete else "iuf"):
            kind, dtype = ("integers", "int64") if self._discrete else ("numbers", np.dtype(self.space.dtype))
            raise APIUsageError(
                f"actions have dtype {array.dtype}; {self.space} takes {kind}: convert them with "
                f"actions.astype({dtype})."
            )
        if self._scalar:
            values = array.tolist() if len(array) <= _FEW else (array.min(), array.max())
            valid = self._low <= min(values) and max(values) <= self._high
        else:
            valid = bool(((array >= self._low) & (array <= self._high)).all())  # NaN is outside
        if not valid:
            self._raise_outside(array, row_numbers)
        return array

    def _raise_outside(self, array: AnyArray, row_numbers: AnyArray | None) -> None:
        inside = ((array >= self._low) & (array <= self._high)).reshape(len(array), -1).all(axis=1)
        row = int(np.flatnonzero(~inside)[0])
        number = row if row_numbers is None else int(row_numbers[row])
        raise APIUsageError(
            f"action of row {number} is {array[row].tolist()}, outside {self.space}. Nothing was stepped."
        )
