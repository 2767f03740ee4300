"""Random spaces, for hypothesis, and flat samples of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from hypothesis import strategies as st

from puffer_numba.emulation.emulated import Emulated
from puffer_numba.spaces.observations import ObservationLayout

NUMBERS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@st.composite
def boxes(draw: Any, dtypes: list[str] = NUMBERS) -> Box:
    return Box(
        draw(st.integers(0, 3)), draw(st.integers(4, 100)), draw(shapes), np.dtype(draw(st.sampled_from(dtypes)))
    )


@st.composite
def multi_discretes(draw: Any) -> MultiDiscrete:
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return MultiDiscrete(rng.integers(1, 9, shape), start=rng.integers(-5, 5, shape))


discretes = st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 9), st.integers(-5, 5))


binaries = st.one_of(st.integers(1, 5), st.lists(st.integers(1, 3), min_size=2, max_size=2)).map(MultiBinary)


bools = shapes.map(lambda shape: Box(0, 1, shape, np.bool_))


texts = st.builds(
    lambda length, charset: Text(length, min_length=0, charset=charset),
    st.integers(1, 6),
    st.sampled_from(["ab", "xyz é"]),
)


leaves = st.one_of(boxes(), bools, discretes, multi_discretes(), binaries, texts)


KEYS = st.sampled_from(["position", "a", "b c", "ü", "index", "f0"])


def nestings(parts: Any) -> Any:
    return st.one_of(
        st.dictionaries(KEYS, parts, min_size=1, max_size=4).map(Dict),
        st.lists(parts, min_size=1, max_size=3).map(Tuple),
        st.lists(parts, min_size=1, max_size=3).map(OneOf),
    )


spaces = st.recursive(leaves, nestings, max_leaves=8)


action_leaves = st.one_of(discretes, multi_discretes(), binaries)


action_boxes = st.one_of(boxes(["float32", "float64"]))


def action_nestings(parts: Any) -> Any:
    return st.one_of(
        st.dictionaries(KEYS, parts, min_size=1, max_size=3).map(Dict),
        st.lists(parts, min_size=1, max_size=3).map(Tuple),
    )


EVERY_DTYPE = Dict(
    {dtype: Box(0, 100, (2,), np.dtype(dtype)) for dtype in NUMBERS}
    | {"bool": Box(0, 1, (3,), np.bool_), "text": Text(5, min_length=0), "scalar": Box(0, 1, (), np.float64)}
    | {"one": OneOf([Discrete(3), Box(-1, 1, (2, 2))]), "nested": Tuple([MultiBinary(3), Dict(x=Discrete(9))])}
)


def emulated(space: Any) -> Emulated:
    layout = ObservationLayout(space)
    return Emulated(np.dtype(layout.flat_space.dtype), layout.dtype, space, Discrete(2), tuple(layout.leaves))


def sampled(space: Any, rows: int, seed: int = 0) -> Any:
    """Flat samples ``(rows, *flat_shape)``."""
    layout = ObservationLayout(space)
    space.seed(seed)
    flat = np.zeros((rows, *layout.flat_space.shape), layout.flat_space.dtype)
    for row in flat:
        layout.writer(row)(space.sample())
    return flat


@st.composite
def unequal_leaves(draw: Any, count: int, kinds: Any) -> list[Any]:
    """So many spaces of one kind that is an array; Boxes and others have one number of axes."""
    first = draw(kinds)
    axes = None if first.shape is None else len(first.shape)
    alike = kinds.filter(lambda s: type(s) is type(first) and axes == (None if s.shape is None else len(s.shape)))
    return [first, *[draw(alike) for _ in range(count - 1)]]


@st.composite
def unequal_nestings(draw: Any, parts: Any, count: int) -> list[Any]:
    """Dicts of which each has some of the keys, or Tuples of which some are longer."""
    if draw(st.booleans()):
        columns = draw(st.dictionaries(KEYS, parts, min_size=1, max_size=3))
        having = [draw(st.sets(st.sampled_from(sorted(columns)), min_size=1)) for _ in range(count)]
        return [Dict({key: columns[key][k] for key in sorted(keys)}) for k, keys in enumerate(having)]
    columns = draw(st.lists(parts, min_size=1, max_size=3))
    return [Tuple([column[k] for column in columns[: draw(st.integers(1, len(columns)))]]) for k in range(count)]


def unequal_spaces(count: int, kinds: Any = leaves) -> Any:
    """So many spaces that can be padded to one."""
    equal = st.recursive(leaves, nestings, max_leaves=4).map(lambda space: [space] * count)
    base = unequal_leaves(count, kinds)
    return st.recursive(
        st.one_of(base, equal) if kinds is leaves else base, lambda parts: unequal_nestings(parts, count), max_leaves=4
    )
