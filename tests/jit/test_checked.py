"""Views that check every access: they say what NumPy says, or that the author is wrong."""

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from puffer_numba import APIUsageError, JitEnv, kernel
from puffer_numba.jit.checked import DebugError, DebugIndexError, Guard
from puffer_numba.jit.random import categorical, choice, integer
from puffer_numba.jit.views import CheckedArray
from tests.helpers.jit_envs import Locks, Paint, Push, Team, Walk
from tests.helpers.trajectories import LIFETIMES, WORTH, assert_same, record

LAST = -1


class State(NamedTuple):
    v: Any
    board: Any
    small: Any
    x: Any
    big: Any


class Params(NamedTuple):
    table: Any
    size: int


ROW = 2


@pytest.fixture
def guard() -> Guard:
    return make_guard()


def make_guard() -> Guard:
    rows = np.arange(4)
    state = State(
        v=np.arange(20, dtype=np.int32).reshape(4, 5),
        board=np.arange(4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2),
        small=rows.astype(np.int8),
        x=rows.astype(np.float32),
        big=rows.astype(np.uint64),
    )
    low, high = np.full(3, -1, np.float32), np.full(3, 1, np.float32)
    made = Guard(state, Params(np.array([0.5, 1.5], np.float32), 3), low, high)
    made.row = ROW
    return made


# --------------------------------------------------------------------------------------------------------- reading


@given(hnp.basic_indices((5,), allow_newaxis=False) | hnp.integer_array_indices((5,), dtype=np.int64))
def test_a_row_reads_as_numpy_does_or_says_that_the_index_was_computed(index):
    check_reading(lambda array, row, part: array[(row, *as_tuple(part))], "v", index)


@given(hnp.basic_indices((3, 2), allow_newaxis=True))
def test_a_board_reads_as_numpy_does_or_says_that_the_index_was_computed(index):
    check_reading(lambda array, row, part: array[(row, *as_tuple(part))], "board", index)


@given(hnp.basic_indices((3, 2), allow_newaxis=True))
def test_a_part_of_a_board_does_too(index):
    check_reading(lambda array, row, part: array[row][part], "board", index)


def check_reading(read, name, index):
    guard = make_guard()
    plain = getattr(guard._state, name)._array
    if any(isinstance(part, int | np.ndarray) and np.min(part) < 0 for part in as_tuple(index)):
        with pytest.raises(DebugIndexError, match="was computed, and counts from the end"):
            read(getattr(guard._state, name), ROW, index)
    else:
        np.testing.assert_array_equal(read(getattr(guard._state, name), ROW, index), read(plain, ROW, index))


def as_tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


@given(st.integers(-12, 12), st.integers(-12, 12))
def test_indices_outside_are_errors_in_reads_and_writes(row, column):
    guard = make_guard()
    inside = 0 <= row < 3 and 0 <= column < 2
    for use in (
        lambda board, row, column: board[ROW, row, column],
        lambda board, row, column: board.__setitem__((ROW, row, column), 7),
        lambda board, row, column: board[ROW][row, column],
        lambda board, row, column: board[ROW, row][column],
        lambda board, row, column: board[ROW][row].__setitem__(column, 7),
    ):
        if inside:
            use(guard._state.board, row, column)
        else:
            with pytest.raises(DebugIndexError):
                use(guard._state.board, row, column)


def test_a_negative_index_that_is_written_as_such_is_none(guard):
    s = guard._state
    assert s.v[ROW, -1] == 14
    assert s.v[ROW][-1] == 14
    assert s.v[ROW, LAST] == 14
    assert s.board[ROW, -1, -2] == 16
    s.v[ROW, -1] += 1
    assert s.v[ROW, -1] == 15
    for index in (LAST, -1):
        with pytest.raises(DebugIndexError, match=r"s\.v\[i, -1\]: index -1 of axis 1 \(size 5\) was computed"):
            s.v[ROW, index]
    with pytest.raises(DebugIndexError, match="out of bounds for axis 1 of size 5"):
        s.v[ROW, -6]


def test_integers_are_read_as_numba_computes_with_them(guard):
    s = guard._state
    assert [type(field[ROW]) for field in (s.small, s.x, s.big)] == [np.int64, np.float32, np.uint64]
    assert type(s.v[ROW, 0]) is type(s.board[ROW][0, 0]) is np.int64
    s.v[ROW, 0] = 2**31 - 1
    assert s.v[ROW, 0] * 2 == 2**32 - 2
    assert s.board[ROW, 0, 0] - 200 < 0


def test_rows_know_their_shape(guard):
    board = guard._state.board
    assert (board.shape, board.ndim, board.size, len(board), board.dtype) == ((4, 3, 2), 3, 24, 4, np.uint8)


def test_numpy_computes_with_parts_of_rows(guard):
    s = guard._state
    row = s.v[ROW]
    assert isinstance(row, CheckedArray)
    assert np.sum(row) == row.sum() == sum(row) == 60
    assert type(row + 1) is type(np.sort(row)) is np.ndarray
    assert (row == 11).any()
    assert row.max() == max(row) == 14
    first, *_ = row
    assert first == 10
    own = row.copy()
    own[0] = 99
    own[-own[0] + 98] = 98  # the author's own
    assert s.v[ROW, 0] == 10
    row[1:3] = [5, 6]
    row += 1
    s.v[ROW] *= 2
    np.testing.assert_array_equal(s.v._array[ROW], [22, 12, 14, 28, 30])
    np.testing.assert_array_equal(s.v._array[[0, 1, 3]].ravel(), [*range(10), *range(15, 20)])
    assert str(row) == "[22 12 14 28 30]"
    assert np.median(row) == 22
    assert np.concatenate([row, row]).shape == (10,)
    assert repr(s.v) == "<s.v, of which environment 2 has [22 12 14 28 30]>"
    np.testing.assert_array_equal(np.roll(row, 1), [30, 22, 12, 14, 28])
    np.testing.assert_array_equal(s.board[ROW].reshape(-1), np.arange(12, 18))
    np.testing.assert_array_equal(s.board[ROW].T[1], [13, 15, 17])
    with pytest.raises(DebugIndexError, match=r"s\.board\[i\]\.reshape\(\.\.\.\)\[6\]: index 6 is out of bounds"):
        s.board[ROW].reshape(6)[6]
    with pytest.raises(TypeError, match="cannot write float64 into an array of int32"):
        row += 0.5


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda s, p: s.x[0], r"s\.x\[0\] is the row of environment 0; environment 2 is not to touch"),
        (lambda s, p: s.x[ROW + 1], r"s\.x\[3\] is the row of environment 3"),
        (lambda s, p: s.x[4], r"s\.x\[4\]: index 4 is out of bounds for axis 0 of size 4"),
        (lambda s, p: s.x[-1], r"s\.x\[-1\]: index -1 is out of bounds"),
        (lambda s, p: s.x[:], r"s\.x\[:\] takes more than one row"),
        (lambda s, p: s.x[1:3], r"s\.x\[1:3\] takes more than one row"),
        (lambda s, p: s.v[..., 0], r"s\.v\[\.\.\., 0\] takes more than one row"),
        (lambda s, p: s.x.sum(), r"s\.x\.sum takes the rows of all environments"),
        (lambda s, p: np.sin(s.x), r"s\.x takes the rows of all environments"),
        (lambda s, p: list(s.x), r"s\.x takes the rows of all environments"),
        (lambda s, p: s.board[ROW, 3, 0], r"s\.board\[i, 3, 0\]: index 3 is out of bounds for axis 1 of size 3"),
        (lambda s, p: s.board[ROW, ..., 2], r"index 2 is out of bounds for axis 2 of size 2"),
        (lambda s, p: s.board[ROW][0][2], r"s\.board\[i\]\[0\]\[2\]: index 2 is out of bounds for axis 0 of size 2"),
        (lambda s, p: s.v[ROW, np.array([1, 5])], "index 5 is out of bounds for axis 1 of size 5"),
        (lambda s, p: p.table[2], r"p\.table\[2\]: index 2 is out of bounds for axis 0 of size 2"),
        (lambda s, p: p.table[p.size - 4], r"p\.table\[-1\]: index -1 of axis 0 \(size 2\) was computed"),
        (lambda s, p: p.table.__setitem__(0, 1.0), r"p\.table\[0\] = 1\.0 writes to what is read-only"),
        (lambda s, p: s.small.__setitem__(ROW, 128), r"s\.small\[i\] = 128 does not fit into int8.* -128 to 127"),
        (lambda s, p: s.board.__setitem__((ROW, 0, 0), -1), r"s\.board\[i, 0, 0\] = -1 does not fit into uint8"),
        (lambda s, p: s.board.__setitem__(ROW, 256), r"s\.board\[i\] = 256 does not fit into uint8"),
        (lambda s, p: s.v[ROW].__iadd__(2**31 - 1), "does not fit into int32"),
        (lambda s, p: s.v.__setitem__((ROW, 0), float("nan")), r"s\.v\[i, 0\] = nan does not fit into int32"),
        (lambda s, p: s.x.__setitem__(ROW, 1e39), r"s\.x\[i\] = 1e\+39 does not fit into float32"),
        (lambda s, p: s.big.__setitem__(ROW, -1), r"s\.big\[i\] = -1 does not fit into uint64"),
    ],
)
def test_wrong_use_is_an_error_with_values(guard, use, message):
    with pytest.raises(DebugError, match=message):
        use(guard._state, guard._params)


def test_what_fits_is_stored(guard):
    s = guard._state
    s.small[ROW] = -128
    s.x[ROW] = np.inf
    s.board[ROW] = np.full((3, 2), 255)
    s.board[ROW, 1, 1] = True
    s.v[ROW, 0] = 2.75  # truncated, as Numba does
    s.big[ROW] = 2**64 - 1
    assert (s.small[ROW], s.x[ROW], s.board[ROW, 1, 1], s.v[ROW, 0], int(s.big[ROW])) == (-128, np.inf, 1, 2, 2**64 - 1)


# ---------------------------------------------------------------------------------------- environments as a whole


class Base(JitEnv):
    """The environments below have one fault each."""

    single_observation_space: Any = Box(-1, 1, (2,), np.float32)
    single_action_space: Any = Discrete(3)

    class State(NamedTuple):
        x: float
        v: Annotated[np.int32, 4]

    class Params(NamedTuple):
        weights: np.ndarray = np.array([0.5, 0.25, 0.25])

    @kernel
    def reset_env(s, p, i, rng):
        choice(rng, 4, s.v[i])

    @kernel
    def step_env(s, p, i, action, rng):
        s.x[i] = 0.25 * categorical(rng, p.weights)
        return s.x[i], s.v[i, action] == 0

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]
        obs[i, 1] = -s.x[i]


def test_the_library_s_own_helpers_take_the_views():
    checked, plain = (Base(num_envs=6, jit=False, debug=debug) for debug in (True, False))
    assert_same(record(checked, 10, seed=0), record(plain, 10, seed=0))
    assert np.array_equal(np.sort(checked.state.v, axis=1), np.tile(np.arange(4), (6, 1)))


@pytest.mark.parametrize(
    ("env_class", "params"),
    [
        (Walk, {}),
        (Paint, {"worth": WORTH}),
        (Push, {}),
        (Locks, {}),
        (Team, {"lifetimes": LIFETIMES, "revive_at": 4, "length": 7}),
        (Team, {"lifetimes": LIFETIMES, "turns": True, "max_episode_steps": 6}),
    ],
)
@pytest.mark.parametrize("mode", ["same-step", "next-step", "disabled"])
def test_checked_equals_unchecked(env_class, params, mode):
    checked, plain = (env_class(num_envs=5, jit=False, debug=d, autoreset=mode, **params) for d in (True, False))
    assert_same(record(checked, 15, seed=3), record(plain, 15, seed=3))
    for one, two in zip(checked.state, plain.state, strict=True):
        np.testing.assert_array_equal(one, two)


def faulty(**functions: Any) -> JitEnv:
    made = type("Faulty", (Base,), {name: kernel(function) for name, function in functions.items()})
    return made(num_envs=4, jit=False)


def half(s, p, i, obs):
    obs[i, 1] = s.x[i]


def reads_first(s, p, i, obs):
    obs[i, 0] += 0.5
    obs[i, 1] = 0.0


def adds_first(s, p, i, obs):
    obs[i] += 0.5


def leaves_the_space(s, p, i, obs):
    obs[i, 0] = 0.5
    obs[i, 1] = 1.5 if i == 3 else 1.0


def leaves_it_whole(s, p, i, obs):
    obs[i] = np.array([0.0, -2.0])


def is_nan(s, p, i, obs):
    obs[i, 0] = 0.0
    obs[i, 1] = np.nan


def writes_as_it_can(s, p, i, obs):
    row = obs[i]
    row[0] = 0.0
    row.reshape(2, 1)[1].fill(0.5)
    np.copyto(row, np.array([0.25, 0.5], np.float32))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (half, r"obs\[i, 0\] was not written: 1 of 2 elements keep .*\(environment 0\)\n +def half"),
        (reads_first, r"obs\[i, 0\] is read before it was written; .*\n +obs\[i, 0\] \+= 0\.5"),
        (leaves_the_space, r"obs\[i, 1\] = 1\.5 is outside the observation space, which has -1\.0 to 1\.0 \(env.* 3\)"),
        (leaves_it_whole, r"obs\[i\] = -2\.0 at \[1\] is outside the observation space"),
        (adds_first, r"obs\[i\] is read before it was written"),
        (is_nan, r"obs\[i, 1\] = nan is outside"),
    ],
)
def test_observations_are_checked(function, message):
    with pytest.raises(DebugError, match=rf"^test_checked\.py:\d+: {message}"):
        faulty(observe_env=function).reset(seed=0)


def test_observations_may_be_written_in_any_way():
    env = faulty(observe_env=writes_as_it_can)
    np.testing.assert_array_equal(env.reset(seed=0)[0], [[0.25, 0.5]] * 4)


def returns_nan(s, p, i, action, rng):
    return s.x[i] * np.nan, False


def returns_too_much(s, p, i, action, rng):
    return 1e39, False


def returns_a_number(s, p, i, action, rng):
    return 1.0


def returns_a_share(s, p, i, action, rng):
    return 1.0, 0.5


def indexes_its_own_array(s, p, i, action, rng):
    local = np.zeros(3)
    local[action + 2] = 1.0
    return 0.0, False


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (returns_nan, r"step_env returned what is outside float32: no finite number: a reward is nan.*\n +return s\.x"),
        (returns_too_much, r"step_env returned what is outside float32: a reward is 1e\+39"),
        (returns_a_number, r"step_env returned 1\.0; expected \(reward, terminated\)"),
        (returns_a_share, r"step_env returned 0\.5 for terminated; expected True or False"),
        (indexes_its_own_array, r"index 4 is out of bounds for axis 0 with size 3 \(environment 1\)\n +local\[action"),
    ],
)
def test_steps_are_checked(function, message):
    env = faulty(step_env=function)
    env.reset(seed=0)
    with pytest.raises(DebugError, match=rf"^test_checked\.py:\d+: {message}"):
        env.step([0, 2, 0, 0])


def test_the_line_is_the_author_s_not_the_library_s():
    def overfull(s, p, i, rng):
        choice(rng, 4, s.v[i])
        categorical(rng, s.v[i] - 1)
        integer(rng, 0)
        s.v[i, categorical(rng, p.weights) + 4] = 1

    with pytest.raises(DebugIndexError) as caught:
        faulty(reset_env=overfull).reset(seed=0)
    assert re.match(
        r"test_checked\.py:\d+: s\.v\[i, [456]\]: index [456] is out of .*\n +s\.v\[i, cat", str(caught.value)
    )
    assert isinstance(caught.value, APIUsageError)
    assert caught.value.kind == "bounds"


def test_actions_and_other_agents_rows_are_checked():
    class Greedy(Team):
        @kernel
        def step_env(s, p, i, action, rng, team):
            team.reward[i, p.players] = 1.0
            return False

    class Spoils(Push):
        @kernel
        def step_env(s, p, i, action, rng):
            action[0] = 0.0
            return 0.0, False

    env = Greedy(lifetimes=LIFETIMES, jit=False)
    env.reset(seed=0)
    with pytest.raises(DebugIndexError, match=r"team\.reward\[i, 3\]: index 3 is out of bounds for axis 1 of size 3"):
        env.step([0, 0, 0])
    spoils = Spoils(jit=False)
    spoils.reset(seed=0)
    with pytest.raises(DebugError, match=r"action\[0\] = 0\.0 writes to what is read-only"):
        spoils.step(np.zeros((1, 2), np.float32))


def test_a_copy_is_checked_on_its_own():
    env = faulty(observe_env=writes_as_it_can)
    env.reset(seed=0)
    other = copy.deepcopy(env)
    other.step([0, 1, 2, 0])
    env.guard._state.x[env.guard.row] = 5
    assert 5 in env.state.x
    assert 5 not in other.state.x


@pytest.mark.parametrize(("arguments", "expected"), [({}, True), ({"debug": False}, False), ({"jit": True}, False)])
def test_plain_python_is_checked_unless_told_otherwise(arguments, expected):
    assert Walk(**{"jit": False, **arguments}).debug is expected


def test_debug_is_true_false_or_none():
    with pytest.raises(APIUsageError, match="Walk: debug is 1; expected True, False, or None"):
        Walk(debug=1)  # type: ignore[arg-type]
