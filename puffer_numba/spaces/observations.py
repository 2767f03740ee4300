"""Structured observation spaces as one flat array, and back without a copy.

Any nesting of Gymnasium spaces of fixed size becomes a NumPy structured dtype in which each leaf keeps its own
dtype and alignment. The flat space that a policy sees is a Box: of the leaves' dtype where they share one, else of
bytes. ``array.view(layout.dtype)`` is the structured view of either.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, Emulated, Leaf, PufferEnv

ACTION_MASK = "action_mask"
"""The key of a Dict observation under which PettingZoo's games, and ours, say which actions are legal."""

AnyArray = NDArray[Any]
Write = Callable[[Any], None]
WriteBatch = Callable[[Any, AnyArray | None], None]
"""Writes observations of a batch: of all rows, or of those with these numbers, which may be the only ones given."""

MISFIT = (KeyError, IndexError, AttributeError, TypeError, ValueError, OverflowError)
"""What an observation that does not fit can raise on the fast path, which has no checks of its own but shapes."""
_MAX_MISSIONS = 10_000
_ROUNDING = 1e-6
"""How far a number may be outside of its bounds, relative to them, and count as rounded."""

TEXT_LENGTH = 256
"""Letters that a text is given whose space accepts any."""

Report = Callable[[str, str], None]
"""Is told of a leaf whose value is outside of its space but can be written: its path, and a sentence."""


class NoFixedSize(APIUsageError):
    """A space whose values do not all take the same memory."""


class AnyText(Text):
    """A Text for any string: printable ASCII letters, ``?`` for others, and as many as fit.

    Args:
        max_length: the most letters.
    """

    def __init__(self, max_length: int = TEXT_LENGTH) -> None:
        super().__init__(max_length, min_length=0, charset=string.printable)

    def contains(self, x: Any) -> bool:
        """Whether it is a string."""
        return isinstance(x, str)

    def fitted(self, text: str) -> str:
        """What is kept of ``text``."""
        return text[: self.max_length].encode("ascii", "replace").decode()


class ObservationLayout:
    """How observations of ``space`` lie in memory.

    Attributes:
        space: the structured space: any nesting of Box, Discrete, MultiDiscrete, MultiBinary, Text, Dict, Tuple and
            OneOf. A MiniGrid MissionSpace becomes the smallest Text that holds all of its missions; or, where it
            accepts anything, as those of BabyAI, an `AnyText`.
        dtype: for a lone array its own dtype, else a structured dtype with aligned fields, named after the keys of a
            Dict, ``f0, f1, ...`` in a Tuple, and ``index, f0, f1, ...`` in a OneOf.
        flat_space: Box. A lone array keeps its shape, except that a scalar gets the shape ``(1,)``. Leaves of one
            dtype: ``(elements,)`` of that dtype, with the leaves' bounds. Others: ``(bytes,)`` uint8.
        leaves: all arrays, in their order in memory.

    Args:
        space, name: of the observations, for messages.
        text_length: take each Text and mission for an `AnyText` of so many letters; None: as the space has it.

    Raises:
        APIUsageError: a leaf has no fixed size, no elements, or a name that cannot be a field's. The message has its
            path.
    """

    def __init__(self, space: Space[Any], name: str = "observation", text_length: int | None = None) -> None:
        self.space, self.name = _with_own_texts(space, name, text_length), name
        self.dtype = _space_dtype(self.space, name)
        self.is_structured = self.dtype.fields is not None
        self.leaves = list(_leaves(self.space, self.dtype, name, 0))
        self.flat_space = self._flat_space()

    def _flat_space(self) -> Box:
        dtypes = {leaf.dtype for leaf in self.leaves}
        if len(dtypes) > 1:
            return Box(0, 255, (self.dtype.itemsize,), np.uint8)
        (dtype,) = dtypes
        bounds = [_flat_bounds(leaf) for leaf in self.leaves]
        if self.is_structured:
            low, high = (np.concatenate([np.ravel(pair[side]) for pair in bounds]) for side in (0, 1))
        else:
            (pair,) = bounds
            low, high = (np.asarray(side).reshape(self.leaves[0].shape or (1,)) for side in pair)
        return Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)

    def emulated(self, action_space: Space[Any]) -> Emulated:
        """What a policy is told of an environment with this layout of observations."""
        flat_dtype = np.dtype(self.flat_space.dtype)
        return Emulated(flat_dtype, self.dtype, self.space, action_space, tuple(self.leaves))

    @cached_property
    def nbytes(self) -> int:
        """Bytes of one observation."""
        return int(np.prod(self.flat_space.shape)) * np.dtype(self.flat_space.dtype).itemsize

    def view(self, flat: AnyArray) -> AnyArray:
        """The structured view of ``flat (..., *flat_space.shape)``, without a copy: ``(...)`` records.

        Where the space is a lone array, ``flat`` itself.
        """
        return flat.view(self.dtype)[..., 0] if self.is_structured else flat

    def writer(self, row: AnyArray) -> Write:
        """A function that writes an observation into ``row``, one flat observation, with one copy for each leaf.

        It raises `APIUsageError` where a key is missing or a shape is wrong, and converts lists and numbers.
        """
        target = self.record(row)
        write_fast, shape = value_writer(self.space, target), target.shape

        def write_array(value: Any) -> None:  # the same as below for a lone array, without a second call
            try:
                if value.shape != shape:
                    raise ValueError
                target[...] = value
            except MISFIT:
                target[...] = self.check(value)

        def write(observation: Any) -> None:
            try:
                write_fast(observation)
            except MISFIT:
                write_fast(self.check(observation))

        return write_array if isinstance(self.space, Box) else write

    def batch_writer(self, flat: AnyArray) -> WriteBatch:
        """A function that writes a batch of observations into ``flat (num, *flat_space.shape)``.

        It takes them as `gymnasium.vector.utils.batch_space` arranges them, with one copy for each leaf, and raises as
        that of `writer` does. Only texts and parts of a OneOf, which have no arrays, are written one by one.
        """
        num = len(flat)
        write_fast = _batch_writer(self.space, self._records(flat))

        def write(observations: Any, rows: AnyArray | None) -> None:
            try:
                write_fast(observations, rows)
            except MISFIT:
                write_fast(self.check(observations, num=num if rows is None else len(rows)), rows)

        return write

    def check(self, observation: Any, report: Report | None = None, num: int | None = None) -> Any:
        """The observation with every leaf as an array of its own dtype.

        Args:
            num: of observations, where it is a batch of them.
            report: is told of leaves whose values are outside of their space: bounds, NaN, numbers that the dtype
                does not hold, superfluous keys. Rounding, and casts that lose nothing, are none. None: it does not
                matter.

        Raises:
            APIUsageError: it cannot be written: a key is missing, or a shape is wrong. The message has the leaf's path,
                what was expected, and what was found.
        """
        return _check(self.space, observation, self.name, report, num)

    def unflatten(self, row: AnyArray) -> Any:
        """One flat observation as the space's own kind of object; arrays are views of ``row``."""
        return read_value(self.space, self.record(row))

    def unflatten_batch(self, flat: AnyArray) -> Any:
        """Flat observations ``(num, *flat_space.shape)`` as `gymnasium.vector.utils.batch_space` arranges them.

        A Dict of arrays for a Dict, for example: ``(num, ...)`` each, views of ``flat``. A Text or OneOf, which has no
        array, is a tuple of ``num`` values.
        """
        return _unflatten_batch(self.space, self._records(flat))

    def _records(self, flat: AnyArray) -> AnyArray:
        """Flat observations as an array of records, or as the array of the lone leaf."""
        return self.view(flat) if self.is_structured else flat.reshape(len(flat), *self.leaves[0].shape)

    def record(self, row: AnyArray) -> AnyArray:
        """A view of one flat observation: a structured array without axes, or the lone leaf's array."""
        return row.view(self.dtype).reshape(()) if self.is_structured else row.reshape(self.leaves[0].shape)


def children(space: Any, path: str) -> list[tuple[Any, str, Space[Any], str]]:
    """``(key, field name, subspace, path)`` for each part of a Dict, Tuple or OneOf."""
    if isinstance(space, Dict):
        return [(key, str(key), sub, f"{path}[{key!r}]") for key, sub in space.spaces.items()]
    return [(k, f"f{k}", sub, f"{path}[{k}]") for k, sub in enumerate(space.spaces)]


def is_container(space: Any) -> bool:
    """Whether a space is made of others."""
    return isinstance(space, Dict | Tuple | OneOf)


def _with_own_texts(space: Any, path: str, text_length: int | None) -> Any:
    """The space with a Text that can hold them in place of each MissionSpace, which is known by its attributes."""
    if is_container(space):
        parts = [
            (key, sub, _with_own_texts(sub, sub_path, text_length)) for key, _, sub, sub_path in children(space, path)
        ]
        if all(new is old for _, old, new in parts):
            return space
        return (
            Dict({key: new for key, _, new in parts}) if isinstance(space, Dict) else type(space)([p[2] for p in parts])
        )
    is_mission = hasattr(space, "mission_func") and hasattr(space, "ordered_placeholders")
    if text_length is not None and (is_mission or isinstance(space, Text)):
        return AnyText(text_length)
    return _text_of_missions(space) if is_mission else space


def _text_of_missions(space: Any) -> Text:
    choices = space.ordered_placeholders or []
    accepts_anything = space.contains("\0")  # it says nothing of what the missions are
    if accepts_anything or math.prod(map(len, choices)) > _MAX_MISSIONS:
        return AnyText()
    missions = [space.mission_func(*words) for words in itertools.product(*choices)]
    letters = frozenset().union(*missions)
    return Text(max(1, *map(len, missions)), min_length=0, charset=letters)


def leaf_bounds(space: Any) -> tuple[AnyArray, AnyArray]:
    """Minimum and maximum of each element of a space that is one array."""
    if isinstance(space, Box):
        return space.low, space.high
    if isinstance(space, Discrete):
        return np.asarray(space.start), np.asarray(space.start + space.n - 1)
    if isinstance(space, MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    if isinstance(space, MultiBinary):
        return np.zeros(space.shape, np.int8), np.ones(space.shape, np.int8)
    letters = np.zeros(space.max_length, np.int64)
    return letters, letters + len(space.character_list)


def _flat_bounds(leaf: Leaf) -> tuple[AnyArray, AnyArray]:
    low, high = leaf_bounds(leaf.space)
    return (np.minimum(low, 0), np.maximum(high, 0)) if leaf.optional else (low, high)


def _space_dtype(space: Space[Any], path: str) -> np.dtype[Any]:
    """The dtype of a container; of a lone array its scalar dtype, as the shape is the array's own."""
    if not is_container(space):
        return _leaf_layout(space, path)[0]
    fields: list[Any] = [("index", np.int64)] if isinstance(space, OneOf) else []
    for _, field, sub, sub_path in children(space, path):
        if not field or field in [name for name, *_ in fields]:
            raise APIUsageError(
                f"{sub_path}: a Dict's keys must be distinct as strings and not empty; rename this one."
            )
        if is_container(sub):
            fields.append((field, _space_dtype(sub, sub_path)))
        else:
            fields.append((field, *_leaf_layout(sub, sub_path)))
    if not fields:
        raise APIUsageError(f"{path} is an empty {type(space).__name__}; remove it from the space.")
    return np.dtype(fields, align=True)


def _leaf_layout(space: Any, path: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    if not isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary | Text):
        raise NoFixedSize(
            f"{path} is {space!r}, whose values have no fixed size; expected Box, Discrete, MultiDiscrete, "
            "MultiBinary, Text, OneOf, or a Dict or Tuple of these. Turn it into one with "
            "gymnasium.wrappers.TransformObservation (pad it to a largest size with a mask, say), or leave it out "
            "with FilterObservation."
        )
    shape = (space.max_length,) if isinstance(space, Text) else tuple(space.shape or ())
    if 0 in shape:
        raise APIUsageError(f"{path} is {space!r}, which has no elements; remove it from the space.")
    if isinstance(space, Text):
        letters = len(space.character_list)  # one more value stands for "past the end"
        return np.dtype(np.uint8 if letters < 256 else np.int32), shape
    return np.dtype(space.dtype), shape


def _leaves(space: Space[Any], dtype: np.dtype[Any], path: str, offset: int, optional: bool = False) -> Iterator[Leaf]:
    if not is_container(space):
        yield Leaf(path, space, *_leaf_layout(space, path), offset, optional)
        return
    fields: Any = dtype.fields
    if isinstance(space, OneOf):
        yield Leaf(f"{path}.index", Discrete(len(space.spaces)), np.dtype(np.int64), (), offset, optional)
        optional = True
    for _, field, sub, sub_path in children(space, path):
        sub_dtype, sub_offset, *_ = fields[field]
        yield from _leaves(sub, sub_dtype, sub_path, offset + sub_offset, optional)


# ---------------------------------------------------------------------- writing


def value_writer(space: Any, target: Any) -> Write:
    """A function that writes a value of ``space`` to ``target``: a record, or the array of a leaf.

    Records may be dicts of records and arrays, too.

    It raises one of `MISFIT` where the value does not fit.
    """
    if isinstance(space, Dict | Tuple):
        return _container_writer(space, target)
    if isinstance(space, OneOf):
        return _one_of_writer(space, target)
    if isinstance(space, Text):
        return _text_writer(space, target)
    if isinstance(space, Discrete):
        number = target.reshape(1)

        def write_number(value: Any) -> None:
            number[0] = index(value)

        return write_number
    shape = target.shape

    def write_array(value: Any) -> None:
        if value.shape != shape:
            raise ValueError
        target[...] = value

    return write_array


def _container_writer(space: Dict | Tuple, record: Any) -> Write:
    """The fast path: no calls for arrays and numbers, which are most leaves."""
    arrays: list[tuple[Any, AnyArray, tuple[int, ...]]] = []
    numbers: list[tuple[Any, AnyArray]] = []
    others: list[tuple[Any, Write]] = []
    for key, field, sub, _ in children(space, ""):
        target = record[field]
        if isinstance(sub, Discrete):
            numbers.append((key, target.reshape(1)))
        elif isinstance(sub, Box | MultiDiscrete | MultiBinary):
            arrays.append((key, target, target.shape))
        else:
            others.append((key, value_writer(sub, target)))

    def write(value: Any) -> None:
        for key, target, shape in arrays:
            array = value[key]
            if array.shape != shape:
                raise ValueError
            target[...] = array
        for key, target in numbers:
            target[0] = index(value[key])
        for key, write_part in others:
            write_part(value[key])

    return write


def _one_of_writer(space: OneOf, record: Any) -> Write:
    which = record["index"].reshape(1)
    targets = [record[f"f{k}"] for k in range(len(space.spaces))]
    writers = [value_writer(sub, target) for sub, target in zip(space.spaces, targets, strict=True)]
    nothing = [np.zeros((), target.dtype) for target in targets]

    def write(value: Any) -> None:
        chosen, part = value
        which[0] = chosen
        for target, zero in zip(targets, nothing, strict=True):
            target[...] = zero
        writers[chosen](part)

    return write


def _text_writer(space: Text, target: AnyArray) -> Write:
    numbers = {letter: k for k, letter in enumerate(space.character_list)}
    end = len(numbers)
    fitted = space.fitted if isinstance(space, AnyText) else str

    def write(text: Any) -> None:
        kept = fitted(text)
        length = len(kept)
        target[:length] = [numbers[letter] for letter in kept]
        target[length:] = end

    return write


def _batch_writer(space: Any, targets: AnyArray) -> WriteBatch:
    """A function that writes a batch of a space's values to ``targets``: records, or the array of a leaf."""
    if isinstance(space, Dict | Tuple):
        parts = [(key, _batch_writer(sub, targets[field])) for key, field, sub, _ in children(space, "")]

        def write_parts(values: Any, rows: AnyArray | None) -> None:
            for key, write_part in parts:
                write_part(values[key], rows)

        return write_parts
    if isinstance(space, OneOf | Text):
        one = targets.shape[1:]
        writers = [value_writer(space, targets[row : row + 1].reshape(one)) for row in range(len(targets))]

        def write_each(values: Any, rows: AnyArray | None) -> None:
            if rows is None:
                if len(values) != len(writers):
                    raise ValueError
                for write_one, value in zip(writers, values, strict=True):
                    write_one(value)
                return
            for position, row in enumerate(rows):
                writers[row](values[position if len(values) == len(rows) else row])

        return write_each
    shape, part_shape = targets.shape, targets.shape[1:]

    def write_array(values: Any, rows: AnyArray | None) -> None:
        if rows is None:
            if values.shape != shape:
                raise ValueError
            targets[...] = values
            return
        if values.shape[1:] != part_shape:
            raise ValueError
        targets[rows] = values if len(values) == len(rows) else values[rows]

    return write_array


# ---------------------------------------------------------------------- checking


def _check(space: Any, value: Any, path: str, report: Report | None, num: int | None = None) -> Any:
    if isinstance(space, Dict):
        return _check_dict(space, value, path, report, num)
    if isinstance(space, Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            got = f"{len(value)} of them" if isinstance(value, tuple | list) else type(value).__name__
            raise _misfit(path, f"a tuple of {len(space.spaces)} parts", got)
        return tuple(_check(sub, value[k], sub_path, report, num) for k, _, sub, sub_path in children(space, path))
    if num is not None and isinstance(space, OneOf | Text):
        if not isinstance(value, tuple | list) or len(value) != num:
            raise _misfit(path, f"{num} values of {space!r}", repr(value)[:60])
        return tuple(_check(space, one, f"{path}[{k}]", report) for k, one in enumerate(value))
    if isinstance(space, OneOf):
        return _check_one_of(space, value, path, report)
    if isinstance(space, Text):
        return _check_text(space, value, path, report)
    array = _as_array(space, value, path, num)
    if report is not None:
        problem = _problem(space, array)
        if problem:
            report(path, str(_misfit(path, *problem)))
    with np.errstate(invalid="ignore", over="ignore"):  # it has been reported
        return array.astype(space.dtype, copy=False)


def _check_dict(space: Dict, value: Any, path: str, report: Report | None, num: int | None) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _misfit(path, f"a dict with the keys {list(space.spaces)}", type(value).__name__)
    missing = [key for key in space.spaces if key not in value]
    if missing:
        raise _misfit(f"{path}[{missing[0]!r}]", repr(space.spaces[missing[0]]), f"only the keys {list(value)}")
    extra = [key for key in value if key not in space.spaces]
    if report is not None and extra:
        report(path, str(_misfit(path, f"the keys {list(space.spaces)}", f"also {extra[0]!r}")))
    return {key: _check(sub, value[key], sub_path, report, num) for key, _, sub, sub_path in children(space, path)}


def _check_one_of(space: OneOf, value: Any, path: str, report: Report | None) -> tuple[int, Any]:
    options = len(space.spaces)
    try:
        chosen, part = value
        chosen = index(chosen)
    except (TypeError, ValueError):
        raise _misfit(path, f"(index below {options}, value)", repr(value)) from None
    if not 0 <= chosen < options:
        raise _misfit(path, f"an index below {options}", str(chosen))
    return chosen, _check(space.spaces[chosen], part, f"{path}[{chosen}]", report)


def _check_text(space: Text, value: Any, path: str, report: Report | None) -> str:
    if not isinstance(value, str):
        raise _misfit(path, f"a string of at most {space.max_length} letters", type(value).__name__)
    problem = _text_problem(space, value)
    if isinstance(space, AnyText):
        if problem and report is not None:
            report(path, f"{_misfit(path, *problem)} It is cut, or written with '?'; text_length sets how much fits.")
        return space.fitted(value)
    if problem:
        raise APIUsageError(
            f"{_misfit(path, *problem)} text_length={TEXT_LENGTH} takes any text of so many letters; or declare a Text "
            "that holds it with gymnasium.wrappers.TransformObservation, or leave it out with FilterObservation."
        )
    return value


def _text_problem(space: Text, text: str) -> tuple[str, str] | None:
    if len(text) > space.max_length:
        return f"at most {space.max_length} letters", f"{len(text)}: {text[:60]!r}"
    odd = sorted(set(text) - space.character_set)
    return (f"letters of {space.characters!r}", repr(odd[0])) if odd else None


def _as_array(space: Any, value: Any, path: str, num: int | None) -> AnyArray:
    """The leaf as an array of the space's shape, of numbers; or of ``num`` such leaves."""
    shape = space.shape if num is None else (num, *space.shape)
    given = isinstance(value, np.ndarray | np.generic) or num is not None
    try:
        if value is None:  # which NumPy takes for NaN
            raise TypeError
        array = np.asarray(value) if given or isinstance(space, Discrete) else np.asarray(value, space.dtype)
    except (TypeError, ValueError, OverflowError):
        raise _misfit(path, repr(space), f"{type(value).__name__}: {str(value)[:60]}") from None
    if array.shape != shape:
        raise _misfit(path, f"shape {shape}: {space!r}", f"shape {array.shape}")
    if array.dtype.kind not in ("iub" if isinstance(space, Discrete) else "iubf"):
        raise _misfit(path, repr(space), f"dtype {array.dtype}")
    return array


def _problem(space: Any, array: AnyArray) -> tuple[str, str] | None:
    """What was expected and what was found, where values are outside of the space."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        return "numbers", f"NaN at index {_first(np.isnan(array))}"
    low, high = leaf_bounds(space)
    outside = (array < low) | (array > high)
    if outside.any() and "f" in (array.dtype.kind, space.dtype.kind):
        lower, upper = (np.asarray(bound, np.float64) for bound in (low, high))
        slack = [_ROUNDING * np.maximum(1, np.abs(bound)) for bound in (lower, upper)]
        outside = (array < lower - slack[0]) | (array > upper + slack[1])
    if outside.any():
        at = _first(outside)
        bounds = f"values from {np.broadcast_to(low, array.shape)[at]} to {np.broadcast_to(high, array.shape)[at]}"
        return bounds, f"{array[at]}" + (f" at index {at}" if at else "")
    lost = _lost(array, np.dtype(space.dtype))
    if lost.any():
        at = _first(lost)
        return f"what {space.dtype} holds", f"{array[at]}" + (f" at index {at}" if at else "")
    return None


def _lost(array: AnyArray, dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    """Which values a cast changes beyond rounding."""
    if np.can_cast(array.dtype, dtype):
        return np.zeros(array.shape, np.bool_)
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
        if dtype.kind == "f":
            return np.asarray(np.isfinite(array) & ~np.isfinite(cast))
        return np.asarray(cast != array)


def _first(where: AnyArray) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argwhere(where)[0])


def _misfit(path: str, expected: str, got: str) -> APIUsageError:
    return APIUsageError(
        f"{path}: the environment's observation is not in its observation_space: expected {expected}, got {got}."
    )


# ---------------------------------------------------------------------- reading


def read_value(space: Any, target: Any) -> Any:
    """The value of ``space`` in ``target``, as `value_writer` writes it there; arrays are views."""
    if isinstance(space, Dict):
        return {key: read_value(sub, target[field]) for key, field, sub, _ in children(space, "")}
    if isinstance(space, Tuple):
        return tuple(read_value(sub, target[field]) for _, field, sub, _ in children(space, ""))
    if isinstance(space, OneOf):
        chosen = target["index"][()]
        return chosen, read_value(space.spaces[chosen], target[f"f{chosen}"])
    if isinstance(space, Text):
        letters = space.character_list
        return "".join(letters[k] for k in target if k < len(letters))
    if isinstance(space, Discrete):
        return target.reshape(1)[0]
    return target


def _unflatten_batch(space: Any, records: AnyArray) -> Any:
    if isinstance(space, Dict):
        return {key: _unflatten_batch(sub, records[field]) for key, field, sub, _ in children(space, "")}
    if isinstance(space, Tuple):
        return tuple(_unflatten_batch(sub, records[field]) for _, field, sub, _ in children(space, ""))
    if isinstance(space, OneOf | Text):
        return tuple(read_value(space, record) for record in records)
    return records


def mask_leaves(emulated: Emulated) -> tuple[int, ...]:
    """Which leaves are the ``action_mask``, at whatever depth it is: one, or those of a Dict or Tuple; often none.

    Raises:
        APIUsageError: there are several masks; or one that cannot be used: a part of a OneOf, a Text, or without a
            value above 0.
    """
    key = f"[{ACTION_MASK!r}]"
    found = [k for k, leaf in enumerate(emulated.leaves) if key in leaf.path]
    paths = (emulated.leaves[k].path for k in found)
    masks = dict.fromkeys(path[: path.index(key) + len(key)] for path in paths)
    if len(masks) > 1:
        raise APIUsageError(
            f"there are several action masks, {' and '.join(masks)}; expected one, with an element for each choice of "
            "the action. Give the others other names."
        )
    for k in found:
        leaf = emulated.leaves[k]
        problem = (
            "is a part of a OneOf, and absent where another part is chosen"
            if leaf.optional
            else "is a Text"
            if isinstance(leaf.space, Text)
            else "is never above 0, which would allow nothing"
            if leaf_bounds(leaf.space)[1].max() <= 0
            else ""
        )
        if problem:
            raise APIUsageError(
                f"{leaf.path}, {leaf.space}, cannot be used as a mask: it {problem}. A mask is 0 where an action is "
                "illegal, and 1 where it is legal; something else needs another name."
            )
    return tuple(found)


def action_masks(env: PufferEnv) -> NDArray[np.bool_] | None:
    """Which choices each row has, ``(num_agents, choices)``: the ``action_mask`` of its observations, if any."""
    leaves = () if env.emulated is None else mask_leaves(env.emulated)
    if env.emulated is None or not leaves:
        return None
    rows = env.observations.reshape(env.num_agents, -1).view(np.uint8)
    parts = []
    for leaf in (env.emulated.leaves[k] for k in leaves):
        size = leaf.dtype.itemsize * math.prod(leaf.shape)
        parts.append(rows[:, leaf.offset : leaf.offset + size].view(leaf.dtype) != 0)
    return np.concatenate(parts, axis=1)
