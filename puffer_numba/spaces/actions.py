"""Structured action spaces as one Discrete, MultiDiscrete or Box for a policy to act in; and the check of actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, DTypeLike, NDArray

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.spaces.observations import children, leaf_bounds

AnyArray = NDArray[Any]
_FEW = 32  # for which Python is faster than NumPy
_DISCRETE = (Discrete, MultiDiscrete, MultiBinary)
_EXACT_IN_FLOAT32, _EXACT_IN_FLOAT64 = 2**24, 2**53  # integers up to these


class HybridSpace(Box):
    """Integers and real numbers side by side: what a Dict of a Discrete and a Box becomes.

    A Box of floats, so that buffers and views take it as one; along its last axis, the integers come first.

    Args:
        low, high: ``(..., elements)``: bounds, both inclusive; those of integers are integers and finite.
        num_discrete: how many elements of the last axis are integers.
        dtype: float32 or float64.
        seed: as for any space.
    """

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        num_discrete: int,
        dtype: DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.num_discrete = num_discrete
        scalar: Any = np.dtype(dtype).type
        super().__init__(np.asarray(low, dtype), np.asarray(high, dtype), dtype=scalar, seed=seed)

    def whole(self, values: AnyArray) -> AnyArray:
        """The integers among ``values (..., elements)``."""
        return values[..., : self.num_discrete]

    def sample(self, mask: None = None, probability: None = None) -> AnyArray:
        """A random member: integers uniformly, the others as `Box.sample` does."""
        values = super().sample(mask, probability)
        low, high = (self.whole(bound).astype(np.int64) for bound in (self.low, self.high))
        self.whole(values)[...] = self.np_random.integers(low, high, endpoint=True)
        return values

    def contains(self, x: Any) -> bool:
        """Whether ``x`` lies within the bounds, and is whole where it must be."""
        return super().contains(x) and bool(is_whole(self.whole(np.asarray(x))).all())

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` has the same bounds, dtype, and number of integers."""
        return isinstance(other, HybridSpace) and self.num_discrete == other.num_discrete and super().__eq__(other)

    def __repr__(self) -> str:
        return f"HybridSpace({super().__repr__()[len('Box(') : -1]}, num_discrete={self.num_discrete})"


@batch_space.register(HybridSpace)
def _batch_hybrid_space(space: HybridSpace, n: int = 1) -> HybridSpace:
    low, high = (np.repeat(bound[None], n, axis=0) for bound in (space.low, space.high))
    return HybridSpace(low, high, space.num_discrete, space.dtype, deepcopy(space.np_random))


def is_whole(values: AnyArray) -> NDArray[np.bool_]:
    """For each element, whether it is an integer."""
    return np.asarray(values == np.floor(values))


def num_discrete(flat_space: Any) -> int:
    """How many elements of a flat action are integers; they come first."""
    if isinstance(flat_space, HybridSpace):
        return flat_space.num_discrete
    return 0 if isinstance(flat_space, Box) else num_elements(flat_space)


def num_elements(flat_space: Any) -> int:
    """How many numbers a flat action has."""
    return int(np.prod(flat_space.shape))


class ActionLayout:
    """How actions of ``space`` are flattened.

    Attributes:
        space: Box, Discrete, MultiDiscrete, MultiBinary, or any nesting of these in Dicts and Tuples.
        flat_space: Discrete, MultiDiscrete and Box are themselves; MultiBinary becomes MultiDiscrete. A Dict or Tuple
            becomes one MultiDiscrete; or, of Boxes, one Box of one axis and the smallest dtype that holds all of its
            leaves'; or, of discrete spaces and Boxes of floats, a `HybridSpace`.

    Raises:
        APIUsageError: the space is another, with the path of the leaf.
    """

    def __init__(self, space: Space[Any], name: str = "action") -> None:
        self.space = space
        self._leaves = _action_leaves(space, name)
        plain = isinstance(space, Box | Discrete | MultiDiscrete)
        self.flat_space = space if plain else _joined(self._leaves, space, name)

    @property
    def leaves(self) -> list[tuple[str, Any, int]]:
        """``(path, space, start)`` of each array in an action, the last one being where it begins in a flat one."""
        return [(*leaf, start) for leaf, start in zip(self._leaves, _starts(self._leaves), strict=True)]

    def reader(self, row: AnyArray) -> Callable[[], Any]:
        """A function that returns the action that ``row``, one flat action, holds when it is called.

        Arrays are copies, the environment's to keep; a Discrete is a scalar of its dtype, as ``sample`` gives it.
        """
        return _reader(self.space, row.reshape(-1), iter(_starts(self._leaves)))

    def batch_reader(self, rows: AnyArray) -> Callable[[], Any]:
        """A function that returns the actions that ``rows (num, *flat_space.shape)`` hold when it is called.

        They are as `gymnasium.vector.utils.batch_space` arranges them: a Dict of arrays, ``(num, ...)`` each, of the
        leaves' own dtypes. The arrays are the same at each call, and ``rows`` themselves where they can be.
        """
        return _batch_reader(self.space, rows.reshape(len(rows), -1), iter(_starts(self._leaves)))

    def flatten_batch(self, actions: Any, num: int) -> AnyArray:
        """``num`` actions as flat ones: ``(num, *flat_space.shape)``, values unchanged and unchecked.

        Args:
            actions: as `gymnasium.vector.utils.batch_space` arranges them: a Dict of arrays, ``(num, ...)`` each.

        Raises:
            APIUsageError: a part is missing or has another shape.
        """
        if not isinstance(self.space, Dict | Tuple):
            return np.asarray(actions)
        parts = list(_batch_parts(self.space, actions, "actions"))
        flat = np.empty((num, *(self.flat_space.shape or ())), np.result_type(*[part for _, part in parts]))
        for (path, part), (_, leaf), start in zip(parts, self._leaves, _starts(self._leaves), strict=True):
            if part.shape != (num, *(leaf.shape or ())):
                raise APIUsageError(f"{path} have shape {part.shape}; expected {(num, *leaf.shape)}: {num} of {leaf}.")
            flat[:, start : start + part[0].size] = part.reshape(num, -1)
        return flat


def _batch_parts(space: Any, actions: Any, path: str) -> Iterator[tuple[str, AnyArray]]:
    """``(path, array)`` of each leaf, in the order of `_action_leaves`."""
    if not isinstance(space, Dict | Tuple):
        yield path, np.asarray(actions)
        return
    for key, _, sub, sub_path in children(space, path):
        try:
            part = actions[key]
        except (KeyError, IndexError, TypeError):
            kind = "dict" if isinstance(space, Dict) else "tuple"
            got = f"the keys {list(actions)}" if isinstance(actions, dict) else f"a {type(actions).__name__}"
            raise APIUsageError(f"{path} lack {key!r}; expected a {kind} as {space}, got {got}.") from None
        yield from _batch_parts(sub, part, sub_path)


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
    if isinstance(space, MultiBinary):
        return MultiDiscrete(np.full(space.shape, 2))
    discrete = [leaf for _, leaf in leaves if not isinstance(leaf, Box)]
    floats = [leaf for _, leaf in leaves if isinstance(leaf, Box) and np.dtype(leaf.dtype).kind == "f"]
    others = [path for path, leaf in leaves if isinstance(leaf, Box) and np.dtype(leaf.dtype).kind != "f"]
    if others and floats:
        raise APIUsageError(
            f"{name} mixes Boxes of floats and of integers: {others[0]} has no floats. Give all of them a float dtype, "
            "and round in the environment."
        )
    if others and discrete:
        raise APIUsageError(
            f"{name} mixes discrete parts and a Box of integers: {others[0]}. Make it a MultiDiscrete; or give it a "
            "float dtype, and round in the environment."
        )
    if discrete and floats:
        return _hybrid(discrete, floats, name)
    low, high = _joined_bounds([leaf for _, leaf in leaves])
    return MultiDiscrete(high - low + 1, start=low) if discrete else Box(low, high, dtype=low.dtype.type)


def _joined_bounds(leaves: list[Any]) -> tuple[AnyArray, AnyArray]:
    bounds = [leaf_bounds(leaf) for leaf in leaves]
    low, high = (np.concatenate([np.ravel(pair[side]) for pair in bounds]) for side in (0, 1))
    return low, high


def _hybrid(discrete: list[Any], boxes: list[Any], name: str) -> HybridSpace:
    first, last = _joined_bounds(discrete)
    low, high = _joined_bounds(boxes)
    largest = max(-int(first.min()), int(last.max()))
    if largest > _EXACT_IN_FLOAT64:
        raise APIUsageError(
            f"{name} has a discrete part that reaches {largest}, which a float64 beside its Boxes does not hold "
            "exactly; count from 0, and add the rest in the environment."
        )
    dtype = np.float64 if low.dtype.itemsize > 4 or largest > _EXACT_IN_FLOAT32 else np.float32
    return HybridSpace(np.concatenate([first, low]), np.concatenate([last, high]), len(first), dtype)


def _starts(leaves: list[tuple[str, Any]]) -> list[int]:
    """Where each leaf begins in a flat action, in which discrete ones come first."""
    starts, start = [0] * len(leaves), 0
    for k in sorted(range(len(leaves)), key=lambda k: isinstance(leaves[k][1], Box)):
        starts[k] = start
        start += int(np.prod(leaves[k][1].shape))
    return starts


def _reader(space: Any, flat: AnyArray, starts: Iterator[int]) -> Callable[[], Any]:
    """A function that reads a space's action out of ``flat``; ``starts`` is of its leaves and those after them."""
    if isinstance(space, Dict):
        items = [(key, _reader(sub, flat, starts)) for key, _, sub, _ in children(space, "")]
        return lambda: {key: read() for key, read in items}
    if isinstance(space, Tuple):
        parts = [_reader(sub, flat, starts) for _, _, sub, _ in children(space, "")]
        return lambda: tuple([read() for read in parts])
    start = next(starts)
    if isinstance(space, Discrete):
        number, item = np.dtype(space.dtype).type, flat[start : start + 1].item
        return lambda: number(item())
    dtype, part = space.dtype, flat[start : start + int(np.prod(space.shape))].reshape(space.shape)
    return lambda: part.astype(dtype)


def _batch_reader(space: Any, flat: AnyArray, starts: Iterator[int]) -> Callable[[], Any]:
    """Likewise, of the actions of all rows of ``flat``."""
    if isinstance(space, Dict):
        items = [(key, _batch_reader(sub, flat, starts)) for key, _, sub, _ in children(space, "")]
        return lambda: {key: read() for key, read in items}
    if isinstance(space, Tuple):
        parts = [_batch_reader(sub, flat, starts) for _, _, sub, _ in children(space, "")]
        return lambda: tuple([read() for read in parts])
    start, shape = next(starts), tuple(space.shape or ())
    columns = flat[:, start : start + int(np.prod(shape))]
    if columns.dtype == space.dtype and columns.shape == flat.shape:
        whole = flat.reshape(len(flat), *shape)
        return lambda: whole
    converted = np.empty((len(flat), *shape), space.dtype)
    targets = converted.reshape(columns.shape)

    def read() -> AnyArray:
        np.copyto(targets, columns, casting="unsafe")
        return converted

    return read


def stacked_space(rows: Sequence[tuple[AnyArray, AnyArray]], space: Any) -> Any:
    """The space of several rows of actions of ``space``, of which each has bounds of its own.

    Args:
        rows: ``(minimum, maximum)`` of each, of the shape of ``space``.
    """
    low, high = (np.stack([pair[side] for pair in rows]) for side in (0, 1))
    if isinstance(space, HybridSpace):
        return HybridSpace(low, high, space.num_discrete, space.dtype)
    if isinstance(space, Box):
        return Box(low, high, dtype=low.dtype.type)
    return MultiDiscrete(high - low + 1, start=low)


def batched_actions(env: PufferEnv, rows: int) -> Any:
    """The space of the actions of so many rows of ``env``, counted from the first, over and over."""
    space = env.stacked_action_space
    if space is None:
        return batch_space(env.single_action_space, rows)
    low, high = leaf_bounds(space)
    return stacked_space([(low[k % len(low)], high[k % len(low)]) for k in range(rows)], env.single_action_space)


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
            valid = bool(self._inside(array).all())
        if not valid:
            self._raise_outside(array, row_numbers)
        return array

    def _inside(self, array: AnyArray) -> AnyArray:
        """For each element, whether it is what the space has there."""
        inside = (array >= self._low) & (array <= self._high)  # NaN is outside
        if isinstance(self.space, HybridSpace):
            self.space.whole(inside)[...] &= is_whole(self.space.whole(array))
        return inside

    def _raise_outside(self, array: AnyArray, row_numbers: AnyArray | None) -> None:
        row = int(np.flatnonzero(~self._inside(array).reshape(len(array), -1).all(axis=1))[0])
        number = row if row_numbers is None else int(row_numbers[row])
        hint = ""
        if isinstance(self.space, HybridSpace) and not is_whole(self.space.whole(array[row])).all():
            hint = f", whose first {self.space.num_discrete} must be integers"
        raise APIUsageError(
            f"action of row {number} is {array[row].tolist()}, outside {self.space}{hint}. Nothing was stepped."
        )


class OwnActionChecker(ActionChecker):
    """Raises also where the integers of a row are not among its own: those of agents that are there.

    Args:
        env: which has a ``stacked_action_space``.
        num_agents: rows that are checked at a time.
        names: of the agents of one environment.
    """

    def __init__(self, env: PufferEnv, num_agents: int, names: Sequence[Any]) -> None:
        super().__init__(env.single_action_space, num_agents)
        self._env, self._names = env, names
        bounds = [bound.reshape(len(bound), -1) for bound in leaf_bounds(env.stacked_action_space)]
        self._num_discrete = num_discrete(env.single_action_space)
        self._own_low, self._own_high = (bound[:, : self._num_discrete] for bound in bounds)

    def __call__(self, actions: Any, row_numbers: AnyArray | None = None) -> AnyArray:
        """As for `ActionChecker`; without ``row_numbers`` rows are those of ``env``."""
        array = super().__call__(actions, row_numbers)
        rows: Any = slice(None) if row_numbers is None else row_numbers
        integers = array.reshape(len(array), -1)[:, : self._num_discrete]
        outside = (integers < self._own_low[rows]) | (integers > self._own_high[rows])
        outside &= self._env.masks[rows, None]
        if outside.any():
            at = int(np.flatnonzero(outside.any(1))[0])
            row = at if row_numbers is None else int(row_numbers[at])
            name = self._names[row % len(self._names)]
            raise APIUsageError(
                f"action of row {row} is {array[at].tolist()}, which {name!r} "
                "does not have: the action_mask in its observation says what it has. Nothing was stepped."
            )
        return array


def action_checker(env: PufferEnv, num_agents: int) -> ActionChecker:
    """What checks so many rows of actions at a time for a backend of many environments."""
    if env.stacked_action_space is None:
        return ActionChecker(env.single_action_space, num_agents)
    return OwnActionChecker(env, num_agents, env.driver_env.get_attr("possible_agents")[0])
