"""JitEnv, in its own process: what it declares, how it steps, what it refuses."""

from __future__ import annotations

import itertools
from typing import Annotated, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Discrete, Sequence
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from puffer_numba import APIUsageError, JitEnv, kernel
from puffer_numba.env import make_buffers
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.jit.compiler.tuples import Stream
from puffer_numba.jit.random import integer, random, stream_starts
from tests.helpers.jit_envs import Locks, Paint, Push, Team, Walk, force_threads
from tests.helpers.trajectories import (
    ENDS,
    LIFETIMES,
    MODES,
    WORTH,
    actions_for,
    assert_same,
    concatenated,
    record,
)

# ------------------------------------------------------------------------------------------ shapes, spaces, params


@pytest.mark.parametrize(
    ("env_class", "params", "rows", "observation", "action"),
    [
        (Walk, {}, 5, ((3,), np.float32), ((), np.int32)),
        (Paint, {"worth": WORTH, "height": 3}, 5, ((3, 7), np.uint8), ((), np.int32)),
        (Push, {}, 5, ((2,), np.float32), ((2,), np.float32)),
        (Locks, {}, 5, ((3,), np.int32), ((3,), np.int32)),
        (Team, {"lifetimes": LIFETIMES}, 15, ((3,), np.float32), ((), np.int32)),
        (Team, {"lifetimes": np.ones(7, int), "players": 7}, 35, ((3,), np.float32), ((), np.int32)),
    ],
)
def test_arrays_have_the_shape_and_dtype_of_the_spaces(env_class, params, rows, observation, action):
    env = env_class(num_envs=5, **params)
    assert (env.num_envs, env.num_agents) == (5, rows)
    returned, infos = env.reset(seed=0)
    assert returned is env.observations
    assert isinstance(infos, list)
    result = env.step(next(actions_for(env, 1)))
    own = (env.observations, env.rewards, env.terminals, env.truncations)
    assert all(a is b for a, b in zip(result, own, strict=False))
    assert (env.observations.shape, env.observations.dtype) == ((rows, *observation[0]), observation[1])
    assert (env.actions.shape, env.actions.dtype) == ((rows, *action[0]), action[1])
    for array, dtype in zip(result[1:4], (np.float32, np.bool_, np.bool_), strict=True):
        assert (array.shape, array.dtype) == ((rows,), dtype)
    assert env.observation_space.contains(env.observations)


@pytest.mark.parametrize(("dtype", "floats"), [("float32", np.float32), (np.float64, np.float64)])
def test_state_fields_have_the_declared_types_and_shapes(dtype, floats):
    env = Paint(num_envs=6, worth=WORTH, height=4, dtype=dtype)
    assert (env.state.board.shape, env.state.board.dtype) == ((6, 4, 9), np.uint8)
    assert (env.state.pair.shape, env.state.pair.dtype) == ((6, 2), floats)
    assert (env.state.painted.shape, env.state.painted.dtype) == ((6,), np.int32)
    walk = Walk(num_envs=2, dtype=dtype).state
    assert (walk.position.dtype, walk.luck.dtype) == (np.int32, floats)
    assert (walk.reached.dtype, walk.ticks.dtype) == (np.bool_, np.int16)
    assert all(field.flags.c_contiguous for field in env.state)


@pytest.mark.parametrize(("dtype", "floats"), [("float32", np.float32), ("float64", np.float64)])
def test_params_are_cast_to_what_kernels_compute_with(dtype, floats):
    env = Walk(num_envs=1, reward=3, size=np.int8(5), slow=np.True_, dtype=dtype)
    assert (type(env.params.reward), type(env.params.size), type(env.params.slow)) == (floats, int, bool)
    assert env.params == (5, 3, True)
    assert Paint(num_envs=1, worth=[0, 1.5, 2, 3], dtype=dtype).params.worth.dtype == floats


class Exact(Walk):
    """Walk with params of types of their own."""

    class Params(NamedTuple):
        size: int = 10
        reward: Annotated[float, np.float64] = 0.1
        slow: bool = False
        prices: NDArray[np.float64] = np.array([0.1])
        counts: NDArray[np.int16] = np.array([2.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_params_may_have_a_type_of_their_own(dtype):
    params = Exact(num_envs=1, prices=[1, 2], dtype=dtype, jit=False).params
    assert (type(params.reward), float(params.reward)) == (np.float64, 0.1)
    assert (params.prices.dtype, params.counts.dtype) == (np.float64, np.int16)


def test_an_unknown_param_is_a_value_error_too():
    with pytest.raises(ValueError, match=r"'sise'\. Did you mean 'size'\? Parameters: .*\. Given: sise=3\."):
        Walk(sise=3)


def test_params_arrays_are_read_only_copies():
    given = WORTH.copy()
    env = Paint(num_envs=1, worth=given)
    given[:] = 9
    np.testing.assert_array_equal(env.params.worth, WORTH)
    with pytest.raises(ValueError, match="read-only"):
        env.params.worth[0] = 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Walk(sizes=3), APIUsageError, "Walk has no parameter 'sizes'. Did you mean 'size'"),
        (lambda: Walk(num_env=3), APIUsageError, "no parameter 'num_env'. Did you mean 'num_envs'"),
        (lambda: Walk(zzz=3), APIUsageError, "no parameter 'zzz'. Parameters: size, reward, slow"),
        (lambda: Push(velocity=1), APIUsageError, "no parameter 'velocity'. Parameters: none"),
        (lambda: Walk(size=2.5), ValueError, "Walk: parameter size is 2.5; expected an integer"),
        (lambda: Walk(size=True), ValueError, "parameter size is True; expected an integer"),
        (lambda: Walk(size="4"), ValueError, "parameter size is '4'; expected an integer"),
        (lambda: Walk(reward="1"), ValueError, "parameter reward is '1'; expected a number"),
        (lambda: Walk(reward=None), ValueError, "parameter reward is None; expected a number"),
        (lambda: Walk(slow=1), ValueError, "parameter slow is 1; expected True or False"),
        (lambda: Walk(size=1), ValueError, "parameter size is 1; expected at least 2"),
        (lambda: Paint(), APIUsageError, "Paint needs a value for worth"),
        (lambda: Paint(worth="abc"), ValueError, "parameter worth is 'abc'; expected an array of numbers"),
        (
            lambda: Paint(worth=WORTH, height=0),
            APIUsageError,
            "State.board: size 'height' is 0; expected",
        ),
        (lambda: Walk(num_envs=0), APIUsageError, "num_envs is 0; expected at least 1"),
        (lambda: Walk(num_envs=-1), APIUsageError, "num_envs is -1; expected at least 1"),
        (lambda: Walk(num_envs=2.0), APIUsageError, "num_envs is 2.0; expected an integer"),
        (lambda: Walk(num_envs=True), APIUsageError, "num_envs is True; expected an integer"),
        (lambda: Walk(seed=1.5), APIUsageError, "seed is 1.5; expected an integer"),
        (lambda: Walk(first_env="0"), APIUsageError, "first_env is '0'; expected an integer"),
        (lambda: Walk(dtype="float16"), APIUsageError, "dtype is 'float16'; expected 'float32' or 'float64'"),
        (lambda: Walk(dtype="fast"), APIUsageError, "dtype is 'fast'; expected 'float32' or 'float64'"),
        (lambda: Walk(autoreset="never"), APIUsageError, "autoreset is 'never'; expected one of"),
        (lambda: Walk(max_episode_steps=0), APIUsageError, "max_episode_steps is 0; expected at least 1"),
        (lambda: Walk(max_episode_steps=2.5), APIUsageError, "max_episode_steps is 2.5; expected an integer"),
        (lambda: Team(lifetimes=LIFETIMES, players=0), APIUsageError, "agents: size 'players' is 0"),
        (lambda: Walk(buf={"rewards": np.zeros(2)}), APIUsageError, r"buf\['rewards'\] has shape \(2,\)"),
    ],
)
def test_wrong_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def declare(**changed):
    return type("Odd", (Push,), changed)


class Loose(NamedTuple):
    value: list


class Sized(NamedTuple):
    value: Annotated[float, "sise + 1"]


class Reserved(NamedTuple):
    seed: int = 0


class Dunder(NamedTuple):
    a__b: int


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"State": None}, APIUsageError, "Odd.State must be a NamedTuple class, not None"),
        ({"State": dict}, APIUsageError, "Odd.State must be a NamedTuple class"),
        ({"State": Loose}, APIUsageError, "Odd.State.value is .*list.*expected float, int, bool"),
        ({"State": Sized}, APIUsageError, "Odd.State.value: cannot compute the size 'sise"),
        ({"State": Dunder}, ValueError, "State field 'a__b'"),
        ({"Params": Reserved}, APIUsageError, r"Odd.Params: \['seed'\] are names of JitEnv's own arguments"),
        ({"info": ("speed",)}, APIUsageError, r"Odd.info: \['speed'\] are not fields of State"),
        ({"metrics": ("speed",)}, APIUsageError, r"Odd.metrics: \['speed'\] are not fields of State"),
        ({"single_observation_space": Sequence(Discrete(2))}, APIUsageError, "observation is Sequence.*no fixed size"),
    ],
)
def test_wrong_class_is_refused(changed, error, message):
    with pytest.raises(error, match=message):
        declare(**changed)()


def test_class_that_declares_nothing_is_refused():
    with pytest.raises(APIUsageError, match="does not declare State, reset_env, step_env, observe_env, single"):
        type("Empty", (JitEnv,), {})()


# -------------------------------------------------------------------------------------------------------- stepping


def oracle(num_envs, actions, *, seed, mode, size=4, limit=6):
    """Walk, one environment after the other, as one would write it by hand."""

    def start(i):
        return {"position": integer(Stream(streams, i), size), "luck": np.float32(0), "ticks": 0, "sum": 0.0}

    def see(e):
        return np.array([e["position"], e["luck"], e["ticks"]], np.float32)

    streams = stream_starts(seed, 0, num_envs)
    envs = [start(i) for i in range(num_envs)]
    over = [False] * num_envs
    yield {"observations": np.array([see(e) for e in envs])}
    for action in actions:
        rows = []
        for i in range(num_envs):
            if over[i]:
                envs[i], over[i] = start(i), False
                if mode == "next-step":
                    rows.append((see(envs[i]), 0.0, False, False, None))
                    continue
            e = envs[i]
            e["ticks"] += 1
            e["luck"] = random(Stream(streams, i))
            e["position"] += 2 * int(action[i]) - 1
            reward = 1.0 if e["position"] == size else -0.125
            terminated = e["position"] == size or e["position"] < 0
            truncated = e["ticks"] == limit
            e["sum"] += reward
            end = (see(e), e["sum"], e["ticks"]) if terminated or truncated else None
            if end:
                if mode == "same-step":
                    envs[i] = start(i)
                else:
                    over[i] = True
            rows.append((see(envs[i]), reward, terminated, truncated, end))
        ends = [row[4] for row in rows if row[4]]
        yield {
            "observations": np.array([row[0] for row in rows]),
            "rewards": np.array([row[1] for row in rows], np.float32),
            "terminals": np.array([row[2] for row in rows]),
            "truncations": np.array([row[3] for row in rows]),
            "masks": np.ones(num_envs, bool),
            "final_observations": np.array([end[0] for end in ends], np.float32).reshape(-1, 3),
            "episode_returns": np.array([end[1] for end in ends], np.float32),
            "episode_lengths": np.array([end[2] for end in ends], np.int32),
        }


@pytest.mark.parametrize("how", ["jit", "python", "threads"])
@pytest.mark.parametrize("mode", MODES)
def test_steps_as_written_by_hand(mode, how):
    env = Walk(num_envs=23, autoreset=mode, jit=how != "python")
    if how == "threads":
        force_threads(env)
    actions = list(actions_for(env, 60))
    with np.errstate(over="ignore"):
        expected = list(oracle(23, actions, seed=9, mode=mode))
    seen = record(env, seed=9, actions=actions)
    assert_same(seen, expected)
    ends = [np.concatenate([s[n] for s in seen[1:]]) for n in ("terminals", "truncations")]
    assert all(e.any() for e in ends)
    assert (ends[0] & ends[1]).any()  # the limit in the step that terminated: both


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    num_envs=st.integers(1, 600),
    chunks=st.integers(0, 3),
    mode=st.sampled_from(MODES),
    seed=st.integers(-(2**63), 2**63),
    first_env=st.integers(0, 10_000),
    limit=st.one_of(st.none(), st.integers(1, 9)),
)
def test_kernels_equal_plain_python(num_envs, chunks, mode, seed, first_env, limit):
    kwargs = {"num_envs": num_envs, "autoreset": mode, "first_env": first_env, "max_episode_steps": limit}
    compiled, plain = Walk(**kwargs), Walk(**kwargs, jit=False, debug=False)
    if chunks:
        force_threads(compiled, chunks)
    assert_same(record(compiled, 7, seed=seed), record(plain, 7, seed=seed))
    assert compiled.log() == pytest.approx(plain.log())


@pytest.mark.parametrize(
    ("env_class", "params"),
    [
        (Paint, {"worth": WORTH}),
        (Push, {}),
        (Locks, {}),
        (Team, {"lifetimes": LIFETIMES, "revive_at": 4, "length": 7}),
        (Team, {"lifetimes": LIFETIMES, "turns": True, "max_episode_steps": 6}),
    ],
)
def test_every_kind_of_environment_equals_plain_python(env_class, params):
    compiled, plain = (env_class(num_envs=19, jit=jit, **params) for jit in (True, False))
    assert_same(record(compiled, seed=3), record(plain, seed=3))
    assert compiled.log() == pytest.approx(plain.log())
    for one, two in zip(compiled.state, plain.state, strict=True):
        np.testing.assert_array_equal(one, two)


def test_float64_environment_computes_in_float64():
    env = Push(num_envs=3, dtype="float64")
    env.reset(seed=0)
    before = env.state.place.copy()
    actions = np.full((3, 2), 0.1, np.float32)
    env.step(actions)
    assert env.state.place.dtype == np.float64
    np.testing.assert_array_equal(env.state.place, before + actions.astype(np.float64))


def test_float32_environment_keeps_float32_arrays():
    env = Walk(num_envs=3)
    env.reset(seed=0)
    for actions in actions_for(env, 10):
        env.step(actions)
    assert (
        env.state.luck.dtype == env.observations.dtype == env.rewards.dtype == env.episode_returns.dtype == np.float32
    )


def test_a_division_by_zero_in_a_kernel_is_silent_like_in_numpy():
    class Divide(Push):
        @kernel
        def step_env(s, p, i, action, rng):
            s.place[i, 0] = 1.0 / (action[0] - action[0])
            return 0.0, False

    for jit in (True, False):
        env = Divide(num_envs=2, jit=jit, debug=False)
        env.reset()
        env.step(np.ones((2, 2), np.float32))
        assert np.isinf(env.observations[:, 0]).all()


# -------------------------------------------------------------------------------------------------- random streams


@pytest.mark.parametrize("seed", [0, 1, -7, 2**70])
def test_same_seed_gives_the_same_trajectory_and_another_another(seed):
    one, two = record(Walk(num_envs=50, seed=seed)), record(Walk(num_envs=50), seed=seed)
    assert_same(one, two)
    other = record(Walk(num_envs=50, seed=seed + 1))
    assert not np.array_equal(one[0]["observations"], other[0]["observations"])


def test_environments_differ_from_one_another():
    env = Walk(num_envs=1000, size=1000)
    env.reset(seed=1)
    assert len(np.unique(env.state.position)) > 600


def test_reset_without_a_seed_goes_on_with_the_streams():
    env = Walk(num_envs=50, size=1000)
    first = env.reset()[0].copy()
    second = env.reset()[0].copy()
    assert not np.array_equal(first, second)
    assert np.array_equal(env.reset(seed=0)[0], first)
    assert np.array_equal(env.reset()[0], second)


def test_seed_none_differs_from_run_to_run():
    one, two = (Walk(num_envs=50, seed=None, size=10_000).reset()[0] for _ in range(2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("seed", [5, None])
def test_environment_does_not_depend_on_its_neighbours(seed):
    actions = [np.random.default_rng(0).integers(0, 2, 100) for _ in range(1)] * 30
    whole = record(Walk(num_envs=100, seed=5), actions=actions, seed=seed)
    for first, count in ((0, 1), (0, 17), (17, 83), (99, 1)):
        rows = slice(first, first + count)
        part = record(Walk(num_envs=count, seed=5, first_env=first), actions=[a[rows] for a in actions], seed=seed)
        for a, b in zip(whole, part, strict=True):
            for name in set(a) - set(ENDS):
                np.testing.assert_array_equal(a[name][rows], b[name])


def cartpole(num_envs, first=0, chunks=0, dtype="float32"):
    env = CartPole(num_envs=num_envs, seed=11, first_env=first, dtype=dtype)
    if chunks:
        force_threads(env, chunks)
    actions = np.random.default_rng(2).integers(0, 2, (60, 4096), dtype=np.int32)
    return record(env, actions=list(actions[:, first : first + num_envs].copy()))


def test_vectorized_physics_depend_neither_on_threads_nor_on_the_split():
    """A loop's remainder, or another width, must round as the vectorized middle does."""
    whole = cartpole(4096)
    assert_same(whole, cartpole(4096, chunks=1))
    assert_same(whole, cartpole(4096, chunks=2))
    cuts = (0, 1, 1000, 2053, 4096)
    parts = [cartpole(b - a, first=a) for a, b in itertools.pairwise(cuts)]
    assert_same(whole, concatenated(parts))
    assert sum(s["terminals"].sum() for s in whole[1:]) > 4096


# -------------------------------------------------------------------------------------- resets, limits, statistics


def test_reset_of_some_environments_leaves_the_others():
    env = Walk(num_envs=6, size=1000)
    env.reset(seed=1)
    for _ in range(3):
        env.step(np.ones(6, int))
    before = env.get_state()
    mask = np.array([1, 0, 0, 1, 0, 1], bool)
    env.reset(mask=mask)
    after = env.get_state()
    for name in before:
        if len(before[name]) == 6:
            np.testing.assert_array_equal(before[name][~mask], after[name][~mask], err_msg=name)
    assert not env.state.ticks[mask].any()
    assert not env.rewards[mask].any()
    assert (env.rewards[~mask] != 0).all()
    assert (after["streams"] != before["streams"])[mask].all()


def test_reset_of_some_environments_with_a_seed_restarts_their_streams_only():
    env = Walk(num_envs=4, size=1000)
    first = env.reset(seed=1)[0].copy()
    env.step(np.ones(4, int))
    mask = np.array([False, True, False, True])
    streams = env._streams.copy()
    observations, _ = env.reset(seed=1, mask=mask)
    np.testing.assert_array_equal(observations[mask], first[mask])
    np.testing.assert_array_equal(env._streams == streams, ~mask)
    assert (env.state.ticks == [1, 0, 1, 0]).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(3, bool), r"got bool of shape \(3,\); expected bool of shape \(4,\)"),
        (np.ones(4, int), "got int64 of shape"),
        ([0, 1, 0, 1], "got int64 of shape"),
        (True, "got bool of shape"),
    ],
)
def test_wrong_reset_mask_is_refused(mask, message):
    env = Walk(num_envs=4)
    env.reset()
    with pytest.raises(APIUsageError, match=message):
        env.reset(mask=mask)


def test_first_reset_must_be_of_all():
    with pytest.raises(APIUsageError, match="first reset must restart every environment"):
        Walk(num_envs=4).reset(mask=[True, False, True, True])


@pytest.mark.parametrize("limit", [1, 5, None])
def test_time_limit_truncates(limit):
    env = Walk(num_envs=3, size=1000, max_episode_steps=limit)
    env.reset(seed=4)
    env.state.position[:] = 500
    for step in range(1, 21):
        _, _, terminals, truncations, _ = env.step(np.ones(3, int))
        assert not terminals.any()
        assert (truncations == (limit is not None and step % limit == 0)).all()
        env.state.position[:] = 500


def test_class_time_limit_is_the_default():
    assert Walk(num_envs=1).max_episode_steps == 6
    assert Paint(num_envs=1, worth=WORTH).max_episode_steps is None
    assert Walk.max_episode_steps == 6


class FarWalk(Walk):
    """As many steps as it takes to walk from one end to the other."""

    max_episode_steps = None

    @classmethod
    def time_limit(cls, params):
        return int(params.size)


@pytest.mark.parametrize(("limit", "expected"), [({}, 9), ({"max_episode_steps": 3}, 3)])
def test_a_time_limit_may_follow_the_params(limit, expected):
    env = FarWalk(size=9, jit=False, **limit)
    assert env.max_episode_steps == expected
    env.reset(seed=0)
    for step in range(1, expected + 1):
        env.state.position[0] = 4
        assert env.step([1])[3][0] == (step == expected)
    assert FarWalk(jit=False, max_episode_steps=None).max_episode_steps is None


@pytest.mark.parametrize("mode", ["SAME_STEP", "same_step", "SameStep", AutoresetMode.SAME_STEP])
def test_autoreset_modes_may_be_spelled_as_gymnasium_does(mode):
    assert Walk(autoreset=mode).autoreset == Walk(autoreset="same-step").autoreset


def test_all_of_gymnasiums_autoreset_modes_are_known():
    assert [Walk(autoreset=mode).autoreset for mode in MODES] == [
        Walk(autoreset=mode).autoreset
        for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)
    ]


def walk_in_the_middle(**kwargs):
    env = Walk(num_envs=5, size=1000, **kwargs)
    env.reset(seed=0)
    env.state.position[:] = 500
    return env


def test_disabled_autoreset_demands_a_reset_and_changes_nothing_without():
    env = walk_in_the_middle(autoreset="disabled", max_episode_steps=2)
    env.step(np.ones(5, int))
    env.step(np.ones(5, int))
    env.reset(mask=np.array([False, True, False, False, False]))
    before = env.get_state()
    with pytest.raises(APIUsageError, match=r"environment 0 has ended \(and 3 more\), and autoreset is disabled"):
        env.step(np.ones(5, int))
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, before[name])
    assert (env.terminals | env.truncations).tolist() == [True, False, True, True, True]
    env.reset(mask=env.terminals | env.truncations)
    env.step(np.ones(5, int))


def test_disabled_autoreset_shows_the_last_observation():
    env = walk_in_the_middle(autoreset="disabled", max_episode_steps=2)
    env.step(np.ones(5, int))
    env.step(np.ones(5, int))
    np.testing.assert_array_equal(env.observations, env.final_observations)
    np.testing.assert_array_equal(env.observations[:, 2], 2)


def test_every_state_field_is_zero_when_an_episode_starts():
    env = Paint(num_envs=2, worth=WORTH, height=2, max_episode_steps=4)
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.full(2, 2))
    assert (env.state.pair == 0).all()
    assert (env.state.painted == 0).all()
    assert (env.state.board.sum(axis=(1, 2)) == 3).all()
    assert ((env.final_observations == 2).sum(axis=(1, 2)) >= 4).all()


def test_log_averages_over_the_episodes_that_ended():
    env = Walk(num_envs=40, size=3)
    returns, lengths, reached = [], [], []
    env.reset(seed=6)
    for actions in actions_for(env, 50):
        env.step(actions)
        ended = env.terminals | env.truncations
        returns.extend(env.episode_returns[ended])
        lengths.extend(env.episode_lengths[ended])
        reached.extend(env.final_observations[ended, 0] == 3)
    assert env.log() == pytest.approx(
        {
            "episodes": len(returns),
            "episode_return": np.mean(returns),
            "episode_length": np.mean(lengths),
            "reached": np.mean(reached),
            "ticks": np.mean(lengths),
        }
    )
    assert env.log() == {"episodes": 0.0}


def test_log_is_the_same_on_all_threads():
    one, two = Walk(num_envs=1000), force_threads(Walk(num_envs=1000))
    record(one)
    record(two)
    assert one.log() == pytest.approx(two.log())


def test_info_is_a_view_of_the_state():
    env = Walk(num_envs=3)
    _, infos = env.reset(seed=0)
    assert list(infos[0]) == ["ticks"]
    assert infos[0]["ticks"] is env.state.ticks
    *_, stepped = env.step(np.ones(3, int))
    assert stepped[0]["ticks"] is env.state.ticks
    assert Push(num_envs=1).reset()[1] == []


# ----------------------------------------------------------------------------------------------- buffers and order


def test_writes_into_slices_of_one_shared_array():
    whole = make_buffers(Walk.single_observation_space, Walk.single_action_space, 12)
    halves = [
        Walk(num_envs=6, first_env=k * 6, buf={n: a[k * 6 : k * 6 + 6] for n, a in whole._asdict().items()})
        for k in range(2)
    ]
    alone = Walk(num_envs=12)
    for env in (*halves, alone):
        env.reset(seed=3)
    for actions in actions_for(alone, 20):
        alone.step(actions)
        for k, env in enumerate(halves):
            env.step(actions[k * 6 : k * 6 + 6])
        for name in ("observations", "rewards", "terminals", "truncations", "masks"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(alone, name))


@pytest.mark.parametrize("way", ["bind", "out"])
def test_each_step_can_have_buffers_of_its_own(way):
    env, alone = Walk(num_envs=6), Walk(num_envs=6)
    slots = [make_buffers(env.single_observation_space, env.single_action_space, 6) for _ in range(3)]
    prepared = [env.prepare(slot) for slot in slots]
    env.reset(seed=3)
    alone.reset(seed=3)
    kept = []
    for step, actions in enumerate(actions_for(alone, 3)):
        if way == "bind":
            env.bind(slots[step])
        result = env.step(actions) if way == "bind" else env.step(actions, out=prepared[step])
        assert result[0] is slots[step].observations
        kept.append([a.copy() for a in alone.step(actions)[:4]])
    for slot, expected in zip(slots, kept, strict=True):
        for array, other in zip(
            (slot.observations, slot.rewards, slot.terminals, slot.truncations), expected, strict=True
        ):
            np.testing.assert_array_equal(array, other)


def test_a_team_writes_its_masks_into_the_buffers_it_is_bound_to():
    env = Team(num_envs=2, lifetimes=LIFETIMES)
    slot = make_buffers(env.single_observation_space, env.single_action_space, 6)
    env.reset()
    env.step(np.zeros(6, int))
    env.bind(slot)
    env.step(np.zeros(6, int))
    np.testing.assert_array_equal(slot.masks, [False, True, True] * 2)


def test_step_before_reset_is_an_error():
    with pytest.raises(APIUsageError, match=r"Walk.step\(\) was called before reset\(\)"):
        Walk(num_envs=1).step([0])


@pytest.mark.parametrize("call", [lambda env: env.step([0]), lambda env: env.reset()])
def test_use_after_close_is_an_error(call):
    env = Walk(num_envs=1)
    env.reset()
    env.close()
    env.close()
    with pytest.raises(APIUsageError, match="Walk is closed; make a new one"):
        call(env)


def test_async_calls_equal_step():
    one, two = Walk(num_envs=4), Walk(num_envs=4)
    one.reset(seed=1)
    two.async_reset(seed=1)
    two.recv()
    for actions in actions_for(one, 10):
        two.send(actions)
        for a, b in zip(one.step(actions)[:4], two.recv(), strict=False):
            np.testing.assert_array_equal(a, b)


def test_a_refused_action_leaves_nothing_to_receive():
    env = Walk(num_envs=2)
    env.reset()
    with pytest.raises(APIUsageError, match="action of row 0 is 2"):
        env.send([2, 0])
    with pytest.raises(APIUsageError, match="nothing to return"):
        env.recv()
    env.send([1, 0])


def test_render_is_none_where_the_environment_draws_nothing():
    assert Walk().render() is None
