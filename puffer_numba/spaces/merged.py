"""The smallest space that holds the values of several, padded; and where in it those of each one lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError
from puffer_numba.spaces.observations import AnyText, children, is_container, leaf_bounds

AnyArray = NDArray[Any]
_KINDS: tuple[Any, ...] = (Dict, Tuple, Box, Discrete, MultiDiscrete, MultiBinary, Text)


def merged(spaces: Mapping[Any, Any], path: str) -> Any:
    """The smallest space that holds the values of all, those of smaller ones padded with zeros.

    Boxes of one number of axes, MultiDiscretes and MultiBinaries have the largest size along each axis, and for each
    element the widest bounds, with 0 among them where one is padded; Boxes the dtype that holds all. Discretes have the
    union of their ranges. Dicts have all keys, Tuples the parts of the longest; a part that one lacks holds zeros, and
    a Text the empty string.

    Args:
        spaces: by the names of those that have them, of any nesting; at least one.
        path: what they are called in messages.

    Returns:
        Where all are equal, the first of them itself.

    Raises:
        APIUsageError: two are of different kinds, Boxes have other numbers of axes, or OneOfs differ. The message has
            path, names and both spaces.
    """
    return _merged(spaces, path, optional=False)


def _merged(spaces: Mapping[Any, Any], path: str, optional: bool) -> Any:
    (name, first), *others = spaces.items()
    kind = kind_of(first)
    different = [item for item in others if item[1] != first]
    for other, space in different:
        if kind is None or kind_of(space) != kind:
            raise APIUsageError(
                f"{path} is {first!r} for {name!r} but {space!r} for {other!r}, which cannot be padded to one space: "
                "expected one kind of space, with one number of axes. Make them so in the environment."
            )
    if kind is None or not (different or optional):
        return first
    if isinstance(first, Dict):
        keys = dict.fromkeys(key for space in spaces.values() for key in space.spaces)
        return Dict([(key, _part(spaces, key, f"{path}[{key!r}]", optional)) for key in keys])
    if isinstance(first, Tuple):
        length = max(len(space.spaces) for space in spaces.values())
        return Tuple([_part(spaces, k, f"{path}[{k}]", optional) for k in range(length)])
    merge = _merged_text if isinstance(first, Text) else _merged_array
    return merge(list(spaces.values()), optional)


def kind_of(space: Any) -> Any:
    """What two unequal spaces that can be merged have in common: a class of Gymnasium's, and the number of axes.

    None for spaces that cannot be merged with unequal ones.
    """
    kind = next((kind for kind in _KINDS if isinstance(space, kind)), None)
    return kind and (kind, None if space.shape is None else len(space.shape))


def _part(spaces: Mapping[Any, Any], key: Any, path: str, optional: bool) -> Any:
    having = {name: parts[key] for name, space in spaces.items() if key in (parts := parts_of(space))}
    return _merged(having, path, optional or len(having) < len(spaces))


def parts_of(space: Any) -> dict[Any, Any]:
    """The parts of a container by key or position."""
    return {key: part for key, _, part, _ in children(space, "")}


def _merged_text(spaces: Sequence[Any], optional: bool) -> Text:
    length = max(space.max_length for space in spaces)
    if any(isinstance(space, AnyText) for space in spaces):
        return AnyText(length)
    letters = frozenset().union(*[space.character_set for space in spaces])
    return Text(length, min_length=0 if optional else min(space.min_length for space in spaces), charset=letters)


def _merged_array(spaces: Sequence[Any], optional: bool) -> Any:
    first = spaces[0]
    shape = tuple(np.max([space.shape for space in spaces], axis=0).astype(int).tolist())
    if isinstance(first, MultiBinary):
        return MultiBinary(shape if len(shape) > 1 else shape[0])
    padded = [[_padded(bound, shape) for bound in leaf_bounds(space)] for space in spaces]
    dtype = np.result_type(*[space.dtype for space in spaces])
    zero = [np.zeros(shape, dtype)] * optional
    low = np.minimum.reduce([low for low, _ in padded] + zero)
    high = np.maximum.reduce([high for _, high in padded] + zero)
    if isinstance(first, Discrete):
        return Discrete(int(high) - int(low) + 1, start=int(low))
    if isinstance(first, MultiDiscrete):
        return MultiDiscrete(high - low + 1, start=low)
    return Box(np.asarray(low, dtype), np.asarray(high, dtype), dtype=dtype.type)


def _padded(array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    return np.pad(array, [(0, size - own) for size, own in zip(shape, array.shape, strict=True)] or 0)


def within(space: Any, whole: Any, target: Any) -> tuple[Any, Any]:
    """Where a value of ``space`` lies in ``target``, a record or array of ``whole``, which was merged of it and others.

    Returns:
        ``(space, views)``: what the functions of `puffer_numba.spaces.observations` that write and read values take:
        the space, with the letters of the whole's texts; and views of ``target``, in dicts for Dicts and Tuples.
    """
    if space == whole or isinstance(space, Text | OneOf):
        return whole, target
    if not is_container(space):
        return space, target[(..., *map(slice, space.shape))]
    wholes = parts_of(whole)
    placed = {key: (field, *within(part, wholes[key], target[field])) for key, field, part, _ in children(space, "")}
    views = {field: view for field, _, view in placed.values()}
    parts = [(key, part) for key, (_, part, _) in placed.items()]
    return Dict(parts) if isinstance(space, Dict) else Tuple([part for _, part in parts]), views


def missing_texts(space: Any, whole: Any, target: Any) -> Iterator[tuple[AnyArray, int]]:
    """The texts of ``whole`` that ``space`` lacks: their letters in ``target``, and the number that ends a text."""
    if space == whole:
        return
    if isinstance(whole, Text):
        if space is None:
            yield target, len(whole.character_list)
    elif isinstance(whole, Dict | Tuple):
        parts = {} if space is None else parts_of(space)
        for key, field, part, _ in children(whole, ""):
            yield from missing_texts(parts.get(key), part, target[field])
