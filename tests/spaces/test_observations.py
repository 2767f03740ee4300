"""Structured observations and actions as flat arrays, and back."""

from __future__ import annotations

import re
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.env import APIUsageError
from puffer_numba.spaces.actions import ActionChecker, ActionLayout
from puffer_numba.spaces.observations import AnyText, ObservationLayout
from tests.helpers.spaces import action_boxes, action_leaves, action_nestings, spaces


def same(a: Any, b: Any) -> bool:
    """Equal in structure, values and dtypes."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, str):
        return isinstance(b, str) and a == b
    return np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b)


@settings(max_examples=200, deadline=None)
@given(space=spaces, seed=st.integers(0, 1000))
def test_flattening_and_back_is_the_identity(space: Any, seed: int) -> None:
    space.seed(seed)
    layout = ObservationLayout(space)
    flat = np.full((3, *layout.flat_space.shape), 7, layout.flat_space.dtype)  # not zeros: all must be written
    writers = [layout.writer(row) for row in flat]
    for _ in range(2):  # the second overwrites the first
        samples = [space.sample() for _ in flat]
        for write, sample in zip(writers, samples, strict=True):
            write(sample)
    for row, sample in zip(flat, samples, strict=True):
        assert same(layout.unflatten(row), sample)
        assert same(layout.check(sample), sample)


@settings(max_examples=100, deadline=None)
@given(space=spaces, seed=st.integers(0, 1000))
def test_the_flat_space_holds_what_is_written(space: Any, seed: int) -> None:
    space.seed(seed)
    layout = ObservationLayout(space)
    row = np.zeros(layout.flat_space.shape, layout.flat_space.dtype)
    layout.writer(row)(space.sample())
    assert row in layout.flat_space
    assert layout.nbytes == row.nbytes
    view = layout.view(row)
    assert np.shares_memory(view, row)
    if layout.is_structured:
        assert layout.dtype.isalignedstruct
    for leaf in layout.leaves:
        assert leaf.offset % leaf.dtype.alignment == 0


@settings(max_examples=100, deadline=None)
@given(space=spaces)
def test_dtype_of_the_flat_space(space: Any) -> None:
    layout = ObservationLayout(space)
    dtypes = {leaf.dtype for leaf in layout.leaves}
    expected = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.uint8)
    assert layout.flat_space.dtype == expected


# ---------------------------------------------------------------------- particular spaces


def test_a_lone_box_keeps_its_shape_and_bounds() -> None:
    space = Box(np.array([[-1, 0]], np.float32), np.array([[1, np.inf]], np.float32))
    layout = ObservationLayout(space)
    assert layout.flat_space == space
    assert layout.dtype == np.float32
    assert ObservationLayout(Box(0, 1, (), np.float64)).flat_space.shape == (1,)


def test_leaves_of_one_dtype_keep_their_bounds() -> None:
    layout = ObservationLayout(Dict(a=Box(-1, 1, (2,), np.float32), b=Tuple([Box(0, 5, (1, 2), np.float32)])))
    assert layout.flat_space == Box(np.array([-1, -1, 0, 0], np.float32), np.array([1, 1, 5, 5], np.float32))


def test_batches_are_viewed_without_a_copy() -> None:
    space = Dict(image=Box(0, 255, (2, 2), np.uint8), speed=Box(-9, 9, (3,), np.float32), door=Discrete(4, start=1))
    layout = ObservationLayout(space)
    batch = np.zeros((5, *layout.flat_space.shape), np.uint8)
    sample = space.sample()
    layout.writer(batch[3])(sample)
    view = layout.view(batch)
    assert view.shape == (5,)
    assert view["image"].shape == (5, 2, 2)
    assert view["image"].dtype == np.uint8
    assert np.shares_memory(view, batch)
    assert np.array_equal(view["speed"][3], sample["speed"])
    assert view["door"][3] == sample["door"]


def test_keys_that_are_no_strings() -> None:
    layout = ObservationLayout(Dict({1: Discrete(3), 2: Discrete(3)}))
    row = np.zeros(2, np.int64)
    layout.writer(row)({1: 2, 2: 1})
    assert row.tolist() == [2, 1]
    with pytest.raises(APIUsageError, match=re.escape("observation['1']: a Dict's keys must be distinct as strings")):
        ObservationLayout(Dict({1: Discrete(3), "1": Discrete(3)}))
    with pytest.raises(APIUsageError, match="must be distinct as strings and not empty"):
        ObservationLayout(Dict({"": Discrete(3)}))


def test_lists_and_python_numbers_are_converted() -> None:
    space = Dict(a=Box(0, 1, (2,), np.float32), b=Box(0, 1, (), np.float64), c=MultiBinary(2))
    layout = ObservationLayout(space)
    row = np.zeros(layout.flat_space.shape, np.uint8)
    layout.writer(row)({"a": [0.5, 1], "b": 0.25, "c": [1, 0]})
    found = layout.unflatten(row)
    assert found["a"].tolist() == [0.5, 1]
    assert found["b"] == 0.25
    assert found["c"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("space", "path"),
    [
        (Sequence(Discrete(2)), "observation is Sequence"),
        (Dict(a=Dict(b=Graph(Box(0, 1), None))), "observation['a']['b'] is Graph"),
        (Tuple([Discrete(2), Sequence(Box(0, 1))]), "observation[1] is Sequence"),
        (OneOf([Discrete(2), Sequence(Box(0, 1))]), "observation[1] is Sequence"),
    ],
)
def test_no_fixed_size(space: Any, path: str) -> None:
    with pytest.raises(APIUsageError, match=re.escape(path) + ".*no fixed size.*TransformObservation"):
        ObservationLayout(space)


def test_nothing_to_observe() -> None:
    with pytest.raises(APIUsageError, match=re.escape("observation['a'] is an empty Dict; remove it")):
        ObservationLayout(Dict(a=Dict(), b=Discrete(2)))
    with pytest.raises(APIUsageError, match=re.escape("observation is Box(") + ".*no elements"):
        ObservationLayout(Box(0, 1, (0, 3)))
    with pytest.raises(APIUsageError, match=re.escape("observation['a'] is Text(0, 0, ") + ".*no elements"):
        ObservationLayout(Dict(a=Text(0, min_length=0)))


def test_missions_become_texts() -> None:
    pytest.importorskip("minigrid")
    from minigrid.core.mission import MissionSpace

    space = MissionSpace(lambda color, thing: f"go to {color} {thing}", [["red", "green"], ["key", "box"]])
    layout = ObservationLayout(Dict(mission=space, rest=Tuple([MissionSpace(lambda: "")])))
    expected = Dict(
        mission=Text(15, min_length=0, charset="".join(sorted(set("go to red green key box")))),
        rest=Tuple([Text(1, min_length=0, charset="")]),
    )
    assert layout.space == expected
    row = np.zeros(layout.flat_space.shape, layout.flat_space.dtype)
    for mission in ("go to green key", "go to red box"):
        observation = {"mission": mission, "rest": ("",)}
        layout.writer(row)(observation)
        assert layout.unflatten(row) == observation
    with pytest.raises(
        APIUsageError,
        match=r"observation\['mission'\]: .*at most 15 letters.*text_length=256 takes any text",
    ):
        layout.writer(row)({"mission": "go to the green key", "rest": ("",)})
    many = MissionSpace(lambda *words: "".join(words), None)
    many.ordered_placeholders = [[str(k) for k in range(101)]] * 2
    assert ObservationLayout(Tuple([many])).space == Tuple([AnyText(256)])  # more than can be looked at


def test_texts_that_can_be_anything() -> None:
    """Those of BabyAI, whose space says "go" and accepts all; and any other, where a length is given."""
    pytest.importorskip("minigrid")
    from minigrid.envs.babyai.core.roomgrid_level import BabyAIMissionSpace

    space = Dict(mission=BabyAIMissionSpace(), said=Text(2, charset="ab"))
    layout = ObservationLayout(space)
    assert layout.space == Dict(mission=AnyText(256), said=Text(2, charset="ab"))
    row = np.zeros(layout.flat_space.shape, layout.flat_space.dtype)
    mission = "put the blue ball next to a door, then Go! (100%)"
    layout.writer(row)({"mission": mission, "said": "a"})
    assert layout.unflatten(row) == {"mission": mission, "said": "a"}

    short = ObservationLayout(space, text_length=8)
    assert short.space == Dict(mission=AnyText(8), said=AnyText(8))
    assert short.flat_space.shape == (16,)
    row = np.zeros(16, np.uint8)
    short.writer(row)({"mission": "né à Brest", "said": ""})
    assert short.unflatten(row) == {"mission": "n? ? Bre", "said": ""}
    reports: list[tuple[str, str]] = []
    short.check({"mission": "né à Brest", "said": "né"}, lambda *told: reports.append(told))
    assert [path for path, _ in reports] == ["observation['mission']", "observation['said']"]
    assert "expected at most 8 letters, got 10: 'né à Brest'. It is cut, or written with '?'" in reports[0][1]


@pytest.mark.parametrize("level", ["BabyAI-GoToRedBall-v0", "BabyAI-BossLevel-v0", "BabyAI-SynthSeq-v0"])
def test_babyai(level: str) -> None:
    pytest.importorskip("minigrid")
    env = GymnasiumPufferEnv(gymnasium.make(level), strict=True)
    for seed in range(3):
        env.reset(seed=seed)
        assert env.unflatten(env.observations[0])["mission"] == env.get_attr("mission")[0]


# ---------------------------------------------------------------------- wrong observations

SPACE = Dict(
    a=Box(0, 1, (2,), np.float32),
    b=Tuple([Discrete(3, start=1), MultiDiscrete([3, 4])]),
    c=Text(3, charset="ab"),
    d=OneOf([Discrete(2), Box(0, 1, (2,))]),
)
GOOD: dict[str, Any] = {"a": np.zeros(2, np.float32), "b": (1, np.zeros(2, np.int64)), "c": "ab", "d": (0, 1)}

ALWAYS = [
    ({"a": np.zeros(3, np.float32)}, "observation['a']", "expected shape (2,)", "got shape (3,)"),
    ({"a": np.zeros((1, 2), np.float32)}, "observation['a']", "expected shape (2,)", "got shape (1, 2)"),
    ({"a": np.float32(0)}, "observation['a']", "expected shape (2,)", "got shape ()"),
    ({"a": None}, "observation['a']", "expected Box", "got "),
    ({"a": ["x", "y"]}, "observation['a']", "expected Box", "got list"),
    ({"b": (1,)}, "observation['b']", "a tuple of 2 parts", "got 1 of them"),
    ({"b": 5}, "observation['b']", "a tuple of 2 parts", "got int"),
    ({"b": (1.5, np.zeros(2, np.int64))}, "observation['b'][0]", "expected Discrete", "got dtype float64"),
    ({"b": (np.array([1]), np.zeros(2, np.int64))}, "observation['b'][0]", "expected shape ()", "got shape (1,)"),
    ({"c": "abab"}, "observation['c']", "at most 3 letters", "got 4"),
    ({"c": "ax"}, "observation['c']", "letters of 'ab'", "got 'x'"),
    ({"c": 3}, "observation['c']", "a string", "got int"),
    ({"d": 3}, "observation['d']", "(index below 2, value)", "got 3"),
    ({"d": (2, 0)}, "observation['d']", "an index below 2", "got 2"),
    ({"d": (1, np.zeros(3))}, "observation['d'][1]", "expected shape (2,)", "got shape (3,)"),
]
FIRST = [
    ({"a": np.array([0, 2])}, "observation['a']", "values from 0.0 to 1.0", "got 2 at index (1,)"),
    ({"a": np.array([0, 2], np.float32)}, "observation['a']", "values from 0.0 to 1.0", "got 2.0 at index (1,)"),
    ({"a": np.array([np.nan, 0], np.float32)}, "observation['a']", "expected numbers", "got NaN at index (0,)"),
    ({"b": (0, np.zeros(2, np.int64))}, "observation['b'][0]", "values from 1 to 3", "got 0"),
    ({"b": (1, np.array([0, 4]))}, "observation['b'][1]", "values from 0 to 3", "got 4 at index (1,)"),
    ({"b": (1, np.full(2, 0.5))}, "observation['b'][1]", "expected what int64 holds", "got 0.5 at index (0,)"),
    ({"z": 1}, "observation", "the keys ['a', 'b', 'c', 'd']", "got also 'z'"),
]


@pytest.mark.parametrize(("change", "path", "expected", "got"), ALWAYS)
def test_structure_is_always_checked(change: Any, path: str, expected: str, got: str) -> None:
    layout = ObservationLayout(SPACE)
    write = layout.writer(np.zeros(layout.flat_space.shape, layout.flat_space.dtype))
    for check in (write, layout.check):
        with pytest.raises(APIUsageError, match=re.escape(path) + ".*" + re.escape(expected) + ".*" + re.escape(got)):
            check({**GOOD, **change})


@pytest.mark.parametrize(("change", "path", "expected", "got"), FIRST)
def test_values_are_checked_on_request(change: Any, path: str, expected: str, got: str) -> None:
    layout = ObservationLayout(SPACE)
    write = layout.writer(np.zeros(layout.flat_space.shape, layout.flat_space.dtype))
    write({**GOOD, **change})
    layout.check({**GOOD, **change})
    reports: list[tuple[str, str]] = []
    layout.check({**GOOD, **change}, lambda *told: reports.append(told))
    ((at, problem),) = reports
    assert at == path
    assert problem.startswith(path)
    assert re.search(re.escape(expected) + ".*" + re.escape(got), problem)


def test_missing_keys_and_no_dict() -> None:
    layout = ObservationLayout(SPACE)
    write = layout.writer(np.zeros(layout.flat_space.shape, layout.flat_space.dtype))
    with pytest.raises(
        APIUsageError, match=re.escape("observation['c']: ") + r".*expected Text.*got only the keys \['a'"
    ):
        write({key: GOOD[key] for key in "ab"})
    with pytest.raises(APIUsageError, match=r"observation: .*a dict with the keys.*got ndarray"):
        write(np.zeros(3))


# ---------------------------------------------------------------------- speed


def calls(function: Callable[[], Any]) -> int:
    """How many functions, of Python or C, a call of ``function`` calls."""
    seen: list[str] = []
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    function()
    sys.setprofile(None)
    return seen.count("call") + seen.count("c_call")


def test_flattening_takes_few_calls_and_allocates_nothing() -> None:
    """Which is why it is faster than Gymnasium's."""
    space = Dict(
        {f"box{k}": Box(0, 1, (4,), np.float32) for k in range(3)}
        | {f"image{k}": Box(0, 255, (8, 8), np.uint8) for k in range(2)}
        | {f"number{k}": Discrete(5) for k in range(2)}
        | {"many": MultiDiscrete([3, 4]), "flags": MultiBinary(4), "speed": Box(-1, 1, (), np.float64)}
    )
    layout = ObservationLayout(space)
    assert len(layout.leaves) == 10
    write = layout.writer(np.zeros(layout.flat_space.shape, layout.flat_space.dtype))
    sample = space.sample()
    assert 5 * calls(lambda: write(sample)) < calls(lambda: gymnasium.spaces.flatten(space, sample))
    tracemalloc.start()
    write(sample)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 8  # less than a copy of an image of float64


# ---------------------------------------------------------------------- actions


@settings(max_examples=150, deadline=None)
@given(
    space=st.one_of(
        st.recursive(action_leaves, action_nestings, max_leaves=6),
        st.recursive(action_boxes, action_nestings, max_leaves=6),
    ),
    seed=st.integers(0, 1000),
)
def test_flat_actions_become_the_environments_own(space: Any, seed: int) -> None:
    layout = ActionLayout(space)
    flat_space = layout.flat_space
    assert isinstance(flat_space, Discrete | MultiDiscrete | Box)
    flat_space.seed(seed)
    rows = np.zeros((2, *(flat_space.shape or ())), flat_space.dtype)
    read = layout.reader(rows[1:])
    rows[1] = flat_space.sample()
    ActionChecker(flat_space, 2)(rows[[1, 1]])
    action = read()
    assert action in space
    assert np.allclose(gymnasium_order(space, action), rows[1].ravel())  # to the precision of the narrowest float


def gymnasium_order(space: Any, action: Any) -> Any:
    """All numbers of an action, in the order of the space's parts."""
    if isinstance(space, Dict):
        return np.concatenate([gymnasium_order(sub, action[key]) for key, sub in space.spaces.items()])
    if isinstance(space, Tuple):
        return np.concatenate([gymnasium_order(*pair) for pair in zip(space.spaces, action, strict=True)])
    return np.ravel(action)


def test_simple_actions_stay_what_they_are() -> None:
    for space in (Discrete(3, start=2), MultiDiscrete([[2, 3]]), Box(-1, 1, (2, 2))):
        assert ActionLayout(space).flat_space is space
    assert ActionLayout(MultiBinary([2, 2])).flat_space == MultiDiscrete([[2, 2], [2, 2]])
    assert ActionLayout(Tuple([Discrete(3, start=5)])).flat_space == MultiDiscrete([3], start=[5])
    read = ActionLayout(Discrete(3)).reader(np.array([2], np.int32))
    assert type(read()) is np.int64


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Dict(a=Box(0, 1, (1,), int), b=Discrete(2)), "action mixes discrete parts and a Box of integers: action['a']"),
        (Dict(a=Box(0, 1), b=Box(0, 1, (1,), np.int32)), "action mixes Boxes of floats and of integers: action['b']"),
        (Dict(a=Tuple([Text(3)])), "action['a'][0] is Text"),
        (OneOf([Discrete(2)]), "action is OneOf"),
        (Tuple([]), "action is an empty Tuple; remove it"),
        (Box(0, 1, (0,)), "which has no elements"),
    ],
)
def test_actions_that_no_policy_takes(space: Any, message: str) -> None:
    with pytest.raises(APIUsageError, match=re.escape(message)):
        ActionLayout(space)


@pytest.mark.parametrize("rows", [2, 200])
@pytest.mark.parametrize(
    ("space", "bad", "message"),
    [
        (Discrete(3, start=1), 0, "action of row 1 is 0, outside Discrete(3, start=1). Nothing was stepped."),
        (Discrete(3), 3, "action of row 1 is 3, outside Discrete(3)"),
        (MultiDiscrete([2, 3]), [1, 3], "action of row 1 is [1, 3], outside MultiDiscrete([2 3])"),
        (Box(-1, 1, (2,)), [0, np.nan], "action of row 1 is [0.0, nan], outside Box("),
        (Box(-1, 1, (2,)), [0, 2], "action of row 1 is [0.0, 2.0], outside Box("),
    ],
)
def test_actions_outside_their_space(space: Any, bad: Any, message: str, rows: int) -> None:
    actions = np.array([space.sample()] * rows)
    check = ActionChecker(space, rows)
    assert check(actions) is actions
    actions[1] = bad
    with pytest.raises(APIUsageError, match=re.escape(message)):
        check(actions)
    with pytest.raises(APIUsageError, match="action of row 41 "):
        check(actions, np.arange(40, 40 + rows))


def test_actions_of_wrong_shape_or_dtype() -> None:
    check = ActionChecker(Discrete(2), 3)
    with pytest.raises(APIUsageError, match=re.escape("actions have shape (2,); expected (3,): 3 rows of Discrete(2)")):
        check([0, 1])
    with pytest.raises(APIUsageError, match=re.escape("dtype float64; Discrete(2) takes integers: convert them with")):
        check(np.zeros(3))
    with pytest.raises(APIUsageError, match=r"takes numbers: convert them with actions\.astype"):
        ActionChecker(Box(0, 1, (1,)), 2)([["a"], ["b"]])


def test_mappings_of_any_kind() -> None:
    layout = ObservationLayout(Dict(a=Discrete(2)))
    row = np.zeros(1, np.int64)
    layout.writer(row)(OrderedDict(a=1))
    assert row[0] == 1
