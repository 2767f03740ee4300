"""Agents of unequal spaces: what they have in common, and what of it is whose."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_numba.env import APIUsageError
from puffer_numba.spaces.actions import HybridSpace, num_discrete
from puffer_numba.spaces.agents import MergedSpaces
from puffer_numba.spaces.merged import merged
from puffer_numba.spaces.observations import ObservationLayout, leaf_bounds
from tests.helpers.spaces import action_boxes, action_leaves, unequal_spaces
from tests.spaces.test_observations import same

AGENTS = ("a", "b", "c")


def padded(space: Any, whole: Any, value: Any) -> Any:
    """The slow way: ``value`` of ``space`` as one of ``whole``; a space of None is one that is missing."""
    if isinstance(whole, Dict | Tuple):
        keys = whole.spaces if isinstance(whole, Dict) else range(len(whole.spaces))
        own = {} if space is None else space.spaces if isinstance(space, Dict) else dict(enumerate(space.spaces))
        parts = {key: padded(own.get(key), whole[key], value[key] if key in own else None) for key in keys}
        return parts if isinstance(whole, Dict) else tuple(parts.values())
    if isinstance(whole, Text):
        return "" if space is None else value
    if isinstance(whole, OneOf) and space is None:
        layout = ObservationLayout(whole)
        return layout.unflatten(np.zeros(layout.flat_space.shape, layout.flat_space.dtype))
    if isinstance(whole, OneOf):
        return value
    array = np.zeros(whole.shape, whole.dtype)
    if space is not None:
        array[(..., *map(slice, np.shape(value)))] = value
    return array[()] if isinstance(whole, Discrete) else array


def has_one_of(space: Any) -> bool:
    if isinstance(space, Dict | Tuple):
        return any(map(has_one_of, space.spaces.values() if isinstance(space, Dict) else space.spaces))
    return isinstance(space, OneOf)


@pytest.mark.filterwarnings("ignore:.*Casting input x")  # of Gymnasium, about its own samples
@settings(max_examples=100, deadline=None)
@given(spaces=unequal_spaces(3), seed=st.integers(0, 99))
def test_observations_are_padded_and_can_be_cut_again(spaces: list[Any], seed: int) -> None:
    own = dict(zip(AGENTS, spaces, strict=True))
    pieces = MergedSpaces(own, dict.fromkeys(AGENTS, Discrete(2)))
    whole = ObservationLayout(pieces.observation_space)
    row = np.full(whole.flat_space.shape, 7, whole.flat_space.dtype)  # not zeros: all must be written
    for agent, space in own.items():
        space.seed(seed)
        part, sample = pieces.parts[agent].observation, space.sample()
        part.writer(row)(sample)
        expected = padded(space, whole.space, sample)
        assert same(whole.unflatten(row), expected)
        assert has_one_of(whole.space) or whole.space.contains(expected)
        assert same(part.layout.unflatten(part.own_row(row)), sample)


action_spaces = st.one_of(
    unequal_spaces(3, action_leaves),
    unequal_spaces(3, action_boxes),
    st.lists(st.one_of(action_leaves, action_boxes), min_size=3, max_size=3),
)


def legal_action(flat: Any, legal: Any, generator: np.random.Generator) -> Any:
    """An action of the common space, with integers that a mask allows."""
    action = flat.sample()
    low, high = (np.ravel(bound)[: num_discrete(flat)].astype(int) for bound in leaf_bounds(flat))
    starts = np.cumsum([0, *(high - low + 1)])
    chosen = [generator.choice(np.flatnonzero(legal[i:j])) for i, j in itertools.pairwise(starts)]
    return np.concatenate([low + chosen, np.ravel(action)[len(low) :]]).astype(flat.dtype).reshape(flat.shape)


@settings(max_examples=100, deadline=None)
@given(spaces=action_spaces, seed=st.integers(0, 99))
def test_actions_that_the_mask_allows_are_the_agents_own(spaces: list[Any], seed: int) -> None:
    own = dict(zip(AGENTS, spaces, strict=True))
    pieces = MergedSpaces(dict.fromkeys(AGENTS, Box(0, 1, (2,))), own)
    flat = pieces.parts["a"].action.whole
    flat.seed(seed)
    stacked = pieces.stacked_actions()
    stacked.seed(seed)
    for index, (agent, space) in enumerate(own.items()):
        part = pieces.parts[agent].action
        row = np.zeros((1, *flat.shape), flat.dtype)
        read = part.reader(row)
        for action in (legal_action(flat, part.legal, np.random.default_rng(seed)), stacked.sample()[index]):
            row[0] = action
            assert space.contains(read())
        part.layout.flat_space.seed(seed)
        sample = part.layout.flat_space.sample()
        part.write(sample, row)
        flat_again = part.layout.reader(np.asarray(sample).reshape(1, -1))()
        assert same(read(), flat_again)
        illegal = np.setdiff1d(np.arange(len(part.legal)), np.flatnonzero(part.legal))
        assert (len(illegal) == 0) == bool(part.legal.all())


def test_boxes() -> None:
    spaces = {"a": Box(1, 2, (2, 3), np.uint8), "b": Box(-np.inf, 0.5, (3, 1), np.float32)}
    whole = merged(spaces, "observation")
    assert whole.dtype == np.float32
    assert whole.low.tolist() == [[-np.inf, 0, 0], [-np.inf, 0, 0], [-np.inf, 0, 0]]
    assert whole.high.tolist() == [[2, 2, 2], [2, 2, 2], [0.5, 0, 0]]
    assert merged({"a": whole, "b": whole}, "observation") is whole


def test_ranges_and_texts() -> None:
    assert merged({"a": Discrete(3, start=2), "b": Discrete(4, start=-1)}, "x") == Discrete(6, start=-1)
    assert merged({"a": MultiDiscrete([2, 3]), "b": MultiDiscrete([4], start=[5])}, "x") == MultiDiscrete([9, 3])
    assert merged({"a": MultiBinary(2), "b": MultiBinary(5)}, "x") == MultiBinary(5)
    text = merged({"a": Text(3, charset="ab"), "b": Text(5, min_length=2, charset="bc")}, "x")
    assert (text.min_length, text.max_length, text.characters) == (1, 5, "abc")
    whole = merged({"a": Dict(x=Discrete(2, start=3)), "b": Dict(y=Text(2))}, "x")
    assert whole == Dict(x=Discrete(5), y=Text(2, min_length=0))


def test_the_mask_of_components_that_are_unequal() -> None:
    pieces = MergedSpaces(
        dict.fromkeys("ab", Box(0, 1, (2,))),
        {"a": MultiDiscrete([2, 3]), "b": MultiDiscrete([1, 2, 2], start=[4, 0, 1])},
    )
    a, b = (pieces.parts[agent].action for agent in "ab")
    assert a.whole == MultiDiscrete([5, 3, 3])
    assert a.legal.astype(int).tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert b.legal.astype(int).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def test_a_discrete_agent_beside_a_continuous_one() -> None:
    pieces = MergedSpaces(dict.fromkeys("ab", Box(0, 1, (2,))), {"a": Discrete(3), "b": Box(-1, 1, (2,), np.float32)})
    a, b = (pieces.parts[agent].action for agent in "ab")
    assert isinstance(a.whole, HybridSpace)
    row = np.array([[2, 0.5, -7]], np.float32)
    assert a.reader(row)() == 2
    assert b.reader(row)().tolist() == [0.5, -1.0]  # its own bounds
    assert b.legal.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (
            Box(0, 1, (2,)),
            Box(0, 1, (2, 2)),
            r"observation is Box\(.*\) for 'a' but Box\(.*\) for 'b', which cannot be",
        ),
        (Dict(x=Tuple([Discrete(2)])), Dict(x=Tuple([Box(0, 1)])), r"observation\['x'\]\[0\] is Discrete\(2\) for 'a'"),
        (OneOf([Discrete(2)]), OneOf([Discrete(3)]), "is OneOf.* for 'a' but OneOf.* for 'b'"),
        (Dict(action_mask=Box(0, 1, (2,))), Dict(x=Discrete(2)), r"'action_mask'\] of 'a' is Box.* has 3 choices"),
        (Dict(action_mask=Box(0, 1, (3,))), Discrete(2), r"is Dict\(.*\) for 'a' but Discrete\(2\) for 'b'"),
    ],
)
def test_what_cannot_be_padded(one: Any, other: Any, message: str) -> None:
    with pytest.raises(APIUsageError, match=message):
        MergedSpaces({"a": one, "b": other}, dict.fromkeys("ab", Discrete(3)))
