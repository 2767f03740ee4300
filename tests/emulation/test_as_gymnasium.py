"""Environments seen through Gymnasium: its own checker, SyncVectorEnv and wrappers are the judges."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import (
    ClipReward,
    DictInfoToList,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
)

pytest.importorskip("pygame")

from pettingzoo.classic.rps import rps

from puffer_numba import APIUsageError, PufferEnv, registry, vector
from puffer_numba.emulation import (
    GymnasiumPufferEnv,
    JitGymnasiumEnv,
    PettingZooPufferEnv,
    PufferVectorEnv,
    make_vector_env,
)
from puffer_numba.emulation import as_gymnasium as emulation
from puffer_numba.env import NEXT_STEP
from tests.helpers.gym_envs import Nested, Parts
from tests.helpers.jit_envs import Drawn, Paint, Team, Walk
from tests.helpers.vector_envs import Plain

with warnings.catch_warnings(), contextlib.suppress(ImportError):
    # Box2D's bindings are made by SWIG, which names no module for three types
    warnings.filterwarnings("ignore", "builtin type .* has no __module__ attribute", DeprecationWarning)
    import Box2D  # noqa: F401

CARTPOLE = "puffer_numba/CartPole-v1"
VERSION = tuple(int(part) for part in gymnasium.__version__.split(".")[:2])
SINCE_1_4 = pytest.mark.skipif(VERSION < (1, 4), reason="until 1.4 Gymnasium's own wrappers miscount such episodes")
TAXI = "Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3"
BALANCED = {"gravity": 0.0, "force": 0.0, "reset_bound": 0.0}  # a CartPole that stands still


class Shown(Paint):
    """Paint that shows its board."""

    info = ("board", "painted")


@pytest.fixture
def test_envs(own_registry):
    """Environments under names, for the time of one test."""
    for env_class in (Drawn, Plain, Team, Walk):
        registry.register(env_class.__name__.lower(), env_class)


def single(env_class: type = Walk, **kwargs: Any) -> JitGymnasiumEnv:
    return JitGymnasiumEnv(env_class(autoreset="disabled", jit=False, **kwargs))


def assert_infos_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """All but State fields in ``final_info``, which kernels do not keep."""
    assert set(ours) - {"final_info", "_final_info"} == set(theirs) - {"final_info", "_final_info"}
    np.testing.assert_array_equal(ours["_ticks"], theirs["_ticks"])
    np.testing.assert_array_equal(ours["ticks"][ours["_ticks"]], theirs["ticks"][theirs["_ticks"]])
    if "final_info" in theirs:
        np.testing.assert_array_equal(ours["_final_info"], theirs["_final_info"])
        np.testing.assert_array_equal(ours["_final_obs"], theirs["_final_obs"])
        for a, b in zip(ours["final_obs"], theirs["final_obs"], strict=True):
            np.testing.assert_array_equal(a, b)


# A single environment


# Pendulum's torque is in [-2, 2], as Gymnasium has it, whose checker would rather have [-1, 1]
@pytest.mark.filterwarnings("ignore:.*recommend using a symmetric and normalized space")
@pytest.mark.parametrize("name", [name for name in registry._BUILT_IN if registry.spec(name).env_class.agents is None])
def test_gymnasiums_checker_finds_nothing(name, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with gymnasium.make(registry.spec(name).gym_id, jit=name == "cartpole") as env:  # kernels are compared elsewhere
        check_env(env.unwrapped)


def test_make_in_a_new_process_without_importing_us(run_python):
    done = run_python(
        "import gymnasium, sys\n"
        "env = gymnasium.make('puffer_numba:puffer_numba/Bandit-v1', jit=False)\n"
        "print(env.reset(seed=1)[0], *env.step(0)[2:4])\n"
        "envs = gymnasium.make_vec('puffer_numba/Bandit-v1', num_envs=3, jit=False)\n"
        "print(envs.reset(seed=1)[0].shape, 'torch' in sys.modules)\n",
        PYTHONWARNINGS="error::UserWarning",
    )
    assert done.stdout.split("\n")[:2] == ["[1.] True False", "(3, 1) False"]


def test_results_are_python_values_and_copies():
    env = single()
    first, info = env.reset(seed=3)
    kept = first.copy()
    observation, reward, terminated, truncated, info_1 = env.step(np.int64(1))
    assert (type(reward), type(terminated), type(truncated), type(info_1["ticks"])) == (float, bool, bool, int)
    assert observation.dtype == np.float32
    assert observation in env.observation_space
    assert (info["ticks"], info_1["ticks"]) == (0, 1)
    np.testing.assert_array_equal(first, kept)


def test_arrays_in_infos_are_copies():
    env = single(Shown, worth=[0.0, 1.0, 2.0, 3.0])
    _, info = env.reset(seed=0)
    board = info["board"].copy()
    for _ in range(3):
        env.step(1)
    np.testing.assert_array_equal(info["board"], board)
    assert board.shape == (2, 5)


def test_last_observation_is_returned_and_a_step_after_it_refused():
    env = single(size=2)
    env.reset(seed=0)
    for _ in range(3):
        observation, _, terminated, _, _ = env.step(1)
        if terminated:
            break
    assert observation[0] == 2  # the cell that ends the episode, not the first of the next one
    with pytest.raises(APIUsageError, match=r"after the end of the episode; call env\.reset\(\)"):
        env.step(1)
    env.reset()
    env.step(1)


def steps_until_the_end(env: gymnasium.Env[Any, Any]) -> int:
    env.reset(seed=0)
    for steps in range(1, 2000):
        _, _, terminated, truncated, _ = env.step(0)
        assert not terminated
        if truncated:
            return steps
    return 0


@pytest.mark.parametrize("in_spec", [None, 500])
def test_time_limit(in_spec, monkeypatch):
    """Whether or not Gymnasium's registry knows the limit."""
    monkeypatch.setattr(gymnasium.registry[CARTPOLE], "max_episode_steps", in_spec)
    assert steps_until_the_end(gymnasium.make(CARTPOLE, **BALANCED)) == 500
    assert steps_until_the_end(gymnasium.make(CARTPOLE, max_episode_steps=10, **BALANCED)) == 10
    if in_spec:
        assert steps_until_the_end(gymnasium.make(CARTPOLE, max_episode_steps=600, **BALANCED)) == 600
    envs = gymnasium.make_vec(CARTPOLE, num_envs=2, **BALANCED)
    assert envs.puffer_env.max_episode_steps == 500


def test_seeds():
    envs = [gymnasium.make("puffer_numba/Squared-v1", jit=False).unwrapped for _ in range(2)]
    firsts = np.array([env.reset()[0] for env in envs for _ in range(8)])
    assert (firsts[:8] != firsts[8:]).any()  # entropy, unless asked otherwise
    episodes = [[env.reset(seed=5)[0], *(env.reset()[0] for _ in range(4))] for env in envs]
    np.testing.assert_array_equal(*episodes)
    assert (episodes[0][0] != episodes[0][1]).any() or (episodes[0][1] != episodes[0][2]).any()
    again = [env.reset()[0] for env in (gymnasium.make("puffer_numba/Squared-v1", seed=5, jit=False),) * 5]
    np.testing.assert_array_equal(again, episodes[0])


def test_two_environments_sample_actions_independently():
    a, b = single(), single()
    a.action_space.seed(0)
    b.action_space.seed(0)
    assert [a.action_space.sample() for _ in range(20)] == [b.action_space.sample() for _ in range(20)]


@pytest.mark.parametrize("action", [1, np.int32(1), np.uint8(1), np.array(1)])
def test_integers_of_any_type_are_actions(action):
    env = single()
    env.reset(seed=0)
    env.step(action)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (2, r"action of row 0 is 2, outside Discrete\(2\)"),
        (0.5, "dtype float64"),
        ([1], "shape"),
        (None, "dtype object"),
        (2**70, "dtype object"),
    ],
)
def test_bad_actions(action, message):
    env = single()
    env.reset(seed=0)
    with pytest.raises(APIUsageError, match=message):
        env.step(action)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (lambda: Walk(2, autoreset="disabled", jit=False), "one environment, not of 2"),
        (lambda: Walk(jit=False), "autoreset='disabled'"),
        (lambda: Plain(), "takes a JitEnv, not a Plain"),
        (lambda: Team(autoreset="disabled", jit=False, lifetimes=[1] * 3), "Team has 3: see .*pettingzoo"),
    ],
)
def test_environments_that_cannot_be_single(env, message):
    with pytest.raises(APIUsageError, match=message):
        JitGymnasiumEnv(env())


def test_plain_environments_cannot_be_made_single(test_envs):
    with pytest.raises(APIUsageError, match=r"'plain' is a Plain, which is not a JitEnv.*gymnasium\.make_vec"):
        gymnasium.make("puffer_numba/Plain-v1")


def test_what_only_a_vector_environment_can_choose():
    for argument in ({"num_envs": 2}, {"autoreset": "same-step"}):
        with pytest.raises(APIUsageError, match=rf"gymnasium\.make got {next(iter(argument))}, .*make_vec"):
            gymnasium.make(CARTPOLE, **argument)


def test_closed():
    env = single()
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(APIUsageError, match="closed"):
        env.step(0)


def test_gymnasiums_own_vectorization():
    envs = gymnasium.make_vec("puffer_numba/Memory-v1", num_envs=2, vectorization_mode="sync", jit=False)
    observations, _ = envs.reset(seed=1)
    assert observations.shape == (2, 1)


# Images


def test_images(test_envs):
    env = gymnasium.make("puffer_numba/Drawn-v1", render_mode="rgb_array", jit=False)
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), np.full((4, 6, 3), observation[0], np.uint8))
    assert env.metadata == {"render_modes": ["rgb_array", "human"], "render_fps": 12}
    envs = gymnasium.make_vec("puffer_numba/Drawn-v1", num_envs=3, render_mode="rgb_array", jit=False)
    observations, _ = envs.reset(seed=0)
    assert [frame[0, 0, 0] for frame in envs.render()] == observations[:, 0].tolist()


def test_window(test_envs, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make("puffer_numba/Drawn-v1", render_mode="human", jit=False)
    env.reset(seed=0)
    env.step(0)
    assert env.render_mode == "human"
    assert env.render() is None
    env.close()


def test_window_needs_pygame(test_envs, monkeypatch):
    monkeypatch.setattr(
        emulation, "find_spec", lambda name: None if name == "pygame" else importlib.util.find_spec(name)
    )
    with pytest.raises(ImportError, match=r"puffer_numba\[render\]"):
        gymnasium.make("puffer_numba/Drawn-v1", render_mode="human", jit=False)
    assert gymnasium.make("puffer_numba/Drawn-v1", jit=False).metadata["render_modes"] == ["rgb_array"]


@pytest.mark.parametrize("mode", ["rgb_array", "human"])
def test_no_images_where_there_are_none(mode, test_envs):
    with pytest.raises(APIUsageError, match=f"Walk: render_mode is '{mode}', but it renders nothing"):
        gymnasium.make("puffer_numba/Walk-v1", render_mode=mode, jit=False)
    with pytest.raises(APIUsageError, match="renders nothing"):
        gymnasium.make_vec("puffer_numba/Walk-v1", render_mode=mode, jit=False)


def test_unknown_render_mode(test_envs):
    with pytest.raises(APIUsageError, match="render_mode is 'ansi'; expected 'rgb_array' or None"):
        gymnasium.make("puffer_numba/Drawn-v1", render_mode="ansi", jit=False)
    with pytest.raises(APIUsageError, match=r"'human'.*wrappers\.vector\.HumanRendering"):
        gymnasium.make_vec("puffer_numba/Drawn-v1", render_mode="human", jit=False)


def test_rendering_without_a_mode_warns():
    for env in (single(Drawn), PufferVectorEnv(Drawn(2, jit=False))):
        env.reset(seed=0)
        with pytest.warns(UserWarning, match="without a render mode"):
            assert env.render() is None


# Many environments


@pytest.mark.parametrize("mode", AutoresetMode)
def test_same_as_gymnasiums_vector_environment_of_single_ones(mode):
    n, seeds = 5, [3, 1, 4, 1, 5]
    theirs = SyncVectorEnv([lambda: single(size=3)] * n, autoreset_mode=mode)
    ours = PufferVectorEnv(Walk(n, autoreset=mode, size=3))
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    results = [envs.reset(seed=seeds) for envs in (ours, theirs)]
    np.testing.assert_array_equal(results[0][0][1], results[0][0][3])  # the same seed, the same episode
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(60):
        assert_infos_equal(results[0][-1], results[1][-1])
        for a, b in zip(results[0][:-1], results[1][:-1], strict=True):
            np.testing.assert_array_equal(a, b)
        actions = rng.integers(2, size=n)
        results = [envs.step(actions) for envs in (ours, theirs)]
        over = results[0][2] | results[0][3]
        ended += over.sum()
        assert ("final_info" in results[0][-1]) == over.any()
        if mode is AutoresetMode.DISABLED and over.any():
            results = [envs.reset(options={"reset_mask": over}) for envs in (ours, theirs)]
    assert ended > 30


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=[SINCE_1_4] * (mode is AutoresetMode.SAME_STEP)) for mode in AutoresetMode]
)
def test_statistics_equal_those_of_gymnasiums_wrapper_and_our_log(mode):
    ours = gymnasium.make_vec(CARTPOLE, num_envs=16, autoreset_mode=mode, seed=2)
    wrapped = RecordEpisodeStatistics(ours, buffer_length=10_000)
    wrapped.reset(seed=2)
    rng = np.random.default_rng(1)
    for _ in range(200):
        _, _, terminations, truncations, infos = wrapped.step(rng.integers(2, size=16))
        over = terminations | truncations
        if not over.any():
            continue
        final = infos["final_info"]
        for key in "rl":
            np.testing.assert_array_equal(final["episode"][key], infos["episode"][key])
            assert final["episode"][key].dtype == infos["episode"][key].dtype
        np.testing.assert_allclose(final["episode"]["t"], infos["episode"]["t"], atol=0.05)
        np.testing.assert_array_equal(final["_episode"], infos["_episode"])
        np.testing.assert_array_equal(infos["_final_info"], over)
        if mode is AutoresetMode.DISABLED:
            wrapped.reset(options={"reset_mask": over})
    log = ours.puffer_env.log()
    assert log["episodes"] == wrapped.episode_count > 50
    assert log["episode_return"] == pytest.approx(np.mean(wrapped.return_queue))
    assert log["episode_length"] == pytest.approx(np.mean(wrapped.length_queue))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_episode_statistics_at_the_top(mode):
    envs = gymnasium.make_vec("puffer_numba/Bandit-v1", num_envs=2, autoreset=mode, episode_statistics=True)
    envs.reset(seed=0)
    infos = envs.step(np.zeros(2, np.int64))[-1]
    assert infos["episode"]["l"].tolist() == [1, 1]
    assert infos["_episode"].tolist() == [True, True]
    assert (infos["episode"]["t"] >= 0).all()


def test_time_of_an_episode_starts_with_its_reset(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("puffer_numba.emulation.as_gymnasium_vector.time.perf_counter", lambda: now[0])
    for mode, expected in ((AutoresetMode.SAME_STEP, [1, 1]), (AutoresetMode.NEXT_STEP, [1, 1])):
        envs = PufferVectorEnv(Walk(1, autoreset=mode, jit=False, max_episode_steps=1), episode_statistics=True)
        envs.reset(seed=0)
        seconds = []
        for _ in range(4):
            now[0] += 1
            infos = envs.step([0])[-1]
            if "episode" in infos:
                seconds.append(infos["episode"]["t"][0])
        assert seconds[:2] == expected


@SINCE_1_4
def test_wrappers_that_want_the_default_mode():
    envs = gymnasium.make_vec("puffer_numba/Memory-v1", num_envs=3, vectorization_mode="vector_entry_point", jit=False)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs = DictInfoToList(NormalizeObservation(envs))
    envs.reset(seed=0)
    for _ in range(6):
        infos = envs.step(np.zeros(3, np.int64))[-1]
        if infos[0]:
            assert infos[0]["final_info"]["episode"]["l"] == 2


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, "SameStep", "same-step"])
@pytest.mark.parametrize("argument", ["autoreset", "autoreset_mode"])
def test_names_of_modes(mode, argument):
    envs = gymnasium.make_vec("puffer_numba/Bandit-v1", jit=False, **{argument: mode})
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_copies_or_the_very_arrays():
    arrays = ("observations", "rewards", "terminals", "truncations")
    for copy in (True, False):
        envs = PufferVectorEnv(Walk(2, jit=False), copy=copy)
        observations, infos = envs.reset(seed=0)
        results = envs.step([0, 1])
        buffers = [getattr(envs.puffer_env, name) for name in arrays]
        shared = [np.shares_memory(a, b) for a, b in zip(results, buffers, strict=False)]
        shared.append(np.shares_memory(observations, buffers[0]))
        shared.append(np.shares_memory(infos["ticks"], envs.puffer_env.state.ticks))
        assert shared == [not copy] * 6


def test_integer_seed_is_that_of_the_puffer_env():
    envs = PufferVectorEnv(Walk(4, jit=False))
    np.testing.assert_array_equal(envs.reset(seed=9)[0], Walk(4, jit=False).reset(seed=9)[0])
    assert envs.np_random_seed == 9
    first = PufferVectorEnv(Walk(4, jit=False, seed=9)).reset()[0]
    np.testing.assert_array_equal(first, envs.reset(seed=np.int64(9))[0])


def test_some_seeds_and_a_mask():
    envs = PufferVectorEnv(Walk(4, jit=False, debug=False, size=1000))  # positions beyond its space
    alone = [single(size=1000, debug=False).reset(seed=s)[0][0] for s in range(4)]
    assert envs.reset(seed=[0, None, 2, 3])[0][[0, 2, 3], 0].tolist() == [alone[0], alone[2], alone[3]]
    before = envs.step([1, 1, 1, 1])[0]
    mask = np.array([False, True, True, False])
    after, _ = envs.reset(seed=[3, 1, 0, 2], options={"reset_mask": mask})
    assert after[mask, 0].tolist() == [alone[1], alone[0]]
    np.testing.assert_array_equal(after[~mask], before[~mask])


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ([1, 2], "takes 3 seeds, each an int or None; got 2 of them"),
        ([1, 2.5, 3], "got 2.5 among them"),
        ([1, True, 3], "got True among them"),
    ],
)
def test_bad_seeds(seed, message):
    with pytest.raises(APIUsageError, match=message):
        PufferVectorEnv(Walk(3, jit=False)).reset(seed=seed)


def test_bad_mask():
    envs = PufferVectorEnv(Walk(3, jit=False))
    envs.reset(seed=0)
    with pytest.raises(APIUsageError, match=r"expected shape \(3,\), True for those to restart"):
        envs.reset(options={"reset_mask": np.array([True, False])})


def test_ended_environments_must_be_reset_where_autoreset_is_disabled():
    envs = PufferVectorEnv(Walk(3, autoreset="disabled", max_episode_steps=1, jit=False))
    envs.reset(seed=0)
    _, _, terminations, truncations, _ = envs.step([0, 1, 0])
    with pytest.raises(APIUsageError, match=r"environment 0 has ended \(and 2 more\).*reset_mask"):
        envs.step([0, 1, 0])
    envs.reset(options={"reset_mask": terminations | truncations})
    envs.step([0, 1, 0])


def test_plain_puffer_env(test_envs):
    envs = gymnasium.make_vec("puffer_numba/Plain-v1", num_envs=2)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    for _ in range(3):
        observations, *_, infos = envs.step(np.zeros(2, np.int64))
    assert (observations == 0).all()
    assert [row.tolist() for row in infos["final_obs"]] == [[3], [3]]
    assert infos["final_info"] == {}
    with pytest.raises(APIUsageError, match=r"reset_mask'.* needs a JitEnv or wrapped environments; Plain"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(APIUsageError, match="needs a JitEnv or wrapped environments; Plain takes one int"):
        envs.reset(seed=[1, 2])
    with pytest.raises(APIUsageError, match="'plain' is not a JitEnv and has SAME_STEP alone"):
        gymnasium.make_vec("puffer_numba/Plain-v1", autoreset_mode=AutoresetMode.NEXT_STEP)


def test_bad_arguments(test_envs):
    with pytest.raises(APIUsageError, match="both autoreset_mode and autoreset"):
        gymnasium.make_vec(CARTPOLE, autoreset="disabled", autoreset_mode="same-step")
    with pytest.raises(APIUsageError, match=r"3 agents in 1 environments: see .*pettingzoo"):
        make_vector_env("team", lifetimes=[1] * 3, jit=False)


def test_vector_environment_closes():
    envs = PufferVectorEnv(Walk(2, jit=False))
    envs.reset(seed=0)
    envs.close()
    assert envs.closed
    with pytest.raises(APIUsageError, match="closed"):
        envs.step([0, 0])


# Wrapped environments


def assert_equal(ours: Any, theirs: Any, where: str = "") -> None:
    """Down to dtypes; but rewards are float32 here."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs) or set(ours) == set(theirs), where
        for key in theirs:
            assert_equal(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, tuple):
        assert len(ours) == len(theirs), where
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(a, b, f"{where}[{k}]")
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert_equal(tuple(ours), tuple(theirs), where)
    else:
        np.testing.assert_array_equal(ours, theirs, where, strict=isinstance(theirs, np.ndarray))


BACKENDS: dict[str, Callable[..., PufferEnv]] = {
    "serial": partial(vector.make, backend="serial"),
    "multiprocessing": partial(vector.make, backend="multiprocessing", num_workers=2),
}
CREATORS = {
    "CartPole-v1": partial(gymnasium.make, "CartPole-v1", max_episode_steps=12),
    TAXI: partial(gymnasium.make, TAXI, max_episode_steps=9),
    "LunarLander-v3": partial(gymnasium.make, "LunarLander-v3", max_episode_steps=30),
    "Blackjack-v1": partial(gymnasium.make, "Blackjack-v1"),
    "FrozenLake-v1": partial(gymnasium.make, "FrozenLake-v1"),
    "Pendulum-v1": partial(gymnasium.make, "Pendulum-v1", max_episode_steps=7),
    "nested": Nested,
}


MODES = list(AutoresetMode)


@pytest.mark.parametrize(
    ("name", "backend", "mode"),
    [
        *((name, "serial", mode) for name in CREATORS for mode in MODES),
        *((name, "multiprocessing", mode) for name, mode in zip(CREATORS, MODES * 2, strict=False)),
        *(("nested", "multiprocessing", mode) for mode in MODES),
    ],
)
def test_same_as_gymnasiums_vector_environment_of_wrapped_ones(name, backend, mode):
    if name == "LunarLander-v3":
        pytest.importorskip("Box2D")
    n, creator = 4, CREATORS[name]
    theirs = SyncVectorEnv([creator] * n, autoreset_mode=mode)
    with BACKENDS[backend](creator, num_envs=n, autoreset=mode) as puffer_env:
        ours = PufferVectorEnv(puffer_env)
        assert ours.single_observation_space == theirs.single_observation_space
        assert ours.single_action_space == theirs.single_action_space
        assert ours.observation_space == theirs.observation_space
        assert ours.action_space == theirs.action_space
        assert ours.metadata == theirs.metadata
        ours.action_space.seed(3)
        assert_equal(ours.reset(seed=5), theirs.reset(seed=5))
        ended = 0
        for step in range(100):
            if step == 50:
                seeds = [4, None, 4, 9]
                assert_equal(
                    ours.reset(seed=seeds, options={"level": 1}), theirs.reset(seed=seeds, options={"level": 1})
                )
            actions = ours.action_space.sample()
            observations, rewards, terminations, truncations, infos = ours.step(actions)
            expected = theirs.step(actions)
            assert_equal((observations, terminations, truncations, infos), (expected[0], *expected[2:]))
            np.testing.assert_array_equal(rewards, expected[1].astype(np.float32))
            over = terminations | truncations
            ended += over.sum()
            if mode is AutoresetMode.DISABLED and over.any():
                if ended < 5:
                    with pytest.raises(APIUsageError, match=r"has ended .* reset\(options={'reset_mask'"):
                        ours.step(actions)
                which, seeds = over.copy(), [int(ended), *range(1, n)]
                found = ours.reset(seed=seeds, options={"reset_mask": which, "level": 2})
                assert_equal(found, theirs.reset(seed=seeds, options={"reset_mask": which, "level": 2}))
        assert ended > 5
        assert observations in ours.observation_space or name == "Pendulum-v1"  # whose bounds are a little too narrow


@pytest.mark.parametrize(
    ("mask", "kind", "message"),
    [
        ([True, False], TypeError, r"is list \[True, False\]; expected a NumPy array of bool, of shape \(2,\)"),
        (np.array([1, 0]), TypeError, "is an array of int64; expected a NumPy array of bool"),
        (np.array([True]), ValueError, r"has shape \(1,\); expected shape \(2,\)"),
        (np.array([False, False]), ValueError, r"chooses no environment; expected"),
    ],
)
def test_masks_that_gymnasium_refuses(mask, kind, message):
    envs = PufferVectorEnv(vector.make(Nested, num_envs=2, backend="serial", autoreset="disabled"))
    with pytest.raises(APIUsageError, match="the first reset must restart every environment"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset()
    with pytest.raises(kind, match=message):
        envs.reset(options={"reset_mask": mask})


def test_a_closed_environment_says_so():
    envs = PufferVectorEnv(vector.make(Nested, num_envs=2, backend="serial"))
    envs.reset()
    envs.close()
    actions = envs.action_space.sample()
    for call in (
        envs.reset,
        partial(envs.step, actions),
        partial(envs.call, "rename"),
        partial(envs.get_attr, "speed"),
    ):
        with pytest.raises(ClosedEnvironmentError, match="PufferVectorEnv is closed; make a new one"):
            call()


@pytest.mark.parametrize("mode", ["next-step", "disabled"])
def test_modes_that_backends_cannot_have(mode):
    with pytest.raises(APIUsageError, match="makes environments with another autoreset mode; leave autoreset out"):
        vector.make(Plain, num_envs=2, backend="serial", autoreset=mode)
    options = {"num_envs": 4, "batch_size": 2, "num_workers": 2, "autoreset": mode}
    if mode == "next-step":
        with vector.make(Nested, **options) as env:
            assert env.autoreset == NEXT_STEP
    else:
        with pytest.raises(APIUsageError, match=r"waits for reset\(mask=...\), which is of all environments together"):
            vector.make(Nested, **options)


def test_agents_that_wait_for_the_next_step_or_for_a_reset():
    """PettingZoo has no such modes: what is to be expected follows from one that resets itself in the same step."""
    same, later, never = (
        vector.make("pettingzoo:classic.rps.rps", env_kwargs={"max_cycles": 3}, backend="serial", autoreset=mode)
        for mode in ("same-step", "next-step", "disabled")
    )
    first = [env.reset(seed=1)[0].copy() for env in (same, later, never)]
    for step in range(12):
        actions = np.array([step % 3, 1])
        results = [env.step(actions) for env in (same, later, never)]
        for found in results[1:]:
            for array, expected in zip(found[1:4], results[0][1:4], strict=True):
                np.testing.assert_array_equal(array, expected)
        if same.truncations.any():
            np.testing.assert_array_equal(later.final_observations, same.final_observations)
            assert not later.masks.any()
            with pytest.raises(
                APIUsageError, match=r"environment 0 has ended \(and 0 more\), and autoreset is disabled"
            ):
                never.step(actions)
            later.step(actions)
            assert (later.rewards == 0).all()
            never.reset(mask=np.array([True]))
        np.testing.assert_array_equal(later.observations, same.observations)
        np.testing.assert_array_equal(never.observations, same.observations)
        assert later.masks.all()
        assert never.masks.all()
    assert same.log() == later.log() == never.log()
    np.testing.assert_array_equal(first[0], first[1])


def test_one_wrapped_environment():
    ours = PufferVectorEnv(GymnasiumPufferEnv(Nested()))
    theirs = SyncVectorEnv([Nested], autoreset_mode=AutoresetMode.SAME_STEP)
    assert_equal(ours.reset(seed=[5], options={"a": 1}), theirs.reset(seed=5, options={"a": 1}))
    for _ in range(20):
        action = ours.action_space.sample()
        assert_equal(ours.step(action)[-1], theirs.step(action)[-1])


def test_flat():
    ours = PufferVectorEnv(vector.make(Nested, num_envs=3, backend="serial"), flat=True)
    assert isinstance(ours.single_observation_space, Box)
    assert ours.reset(seed=0)[0].shape == (3, *ours.puffer_env.single_observation_space.shape)
    assert ours.single_action_space == ours.puffer_env.single_action_space
    rewards = ours.step(np.array([[1, 1, 1, 0], [-1, 0, 0, 0], [0, 0, 1, 1]]))[1]
    assert rewards.tolist() == [111, -1, 200]


def test_views_without_copies():
    ours = PufferVectorEnv(vector.make(Nested, num_envs=3, backend="serial"), copy=False)
    ours.reset(seed=0)
    for _ in range(3):
        observations = ours.step(ours.action_space.sample())[0]
        assert np.shares_memory(observations["camera"], ours.puffer_env.observations)
        assert np.shares_memory(observations["inner"][0], ours.puffer_env.observations)
    kept = PufferVectorEnv(ours.puffer_env)
    first = kept.reset(seed=0)[0]["camera"]
    before = first.copy()
    kept.step(kept.action_space.sample())
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_attributes_and_methods_of_each(backend):
    with BACKENDS[backend](partial(Nested, render_mode="rgb_array"), num_envs=4) as puffer_env:
        ours = PufferVectorEnv(puffer_env)
        infos = ours.reset(seed=1)[1]
        assert ours.get_attr("length") == tuple(infos["length"])
        assert ours.call("rename", "n", times=2) == tuple(f"n{k}n{k}" for k in infos["length"])
        ours.set_attr("speed", [1, 2, 3, 4])
        assert ours.get_attr("speed") == (1, 2, 3, 4)
        ours.set_attr("speed", 7)
        assert ours.get_attr("speed") == (7,) * 4
        assert ours.render_mode == "rgb_array"
        assert [image[0, 0, 0] for image in ours.render()] == [0] * 4
        with pytest.raises(APIUsageError, match=r"set_attr\('speed'\) got 2 values for 4 environments"):
            ours.set_attr("speed", [1, 2])
        with pytest.raises(AttributeError, match="colour"):
            ours.get_attr("colour")
        ours.step(ours.action_space.sample())  # no worker has ended over it


def test_attributes_of_environments_that_are_one_object():
    ours = PufferVectorEnv(Walk(3, jit=False))
    assert ours.get_attr("max_episode_steps") == (6, 6, 6)
    with pytest.raises(APIUsageError, match=r"set_attr\('luck'\): the environments of a Walk are one object"):
        ours.set_attr("luck", 1)


def test_state_fields_over_several_objects():
    ours = PufferVectorEnv(vector.make(Walk, num_envs=2, backend="serial", env_kwargs={"num_envs": 3, "jit": False}))
    alone = PufferVectorEnv(Walk(6, jit=False))
    assert_equal(ours.reset(seed=3), alone.reset(seed=3))
    for _ in range(20):
        actions = ours.action_space.sample()
        for a, b in zip(ours.step(actions)[-1].items(), alone.step(actions)[-1].items(), strict=True):
            if a[0] != "final_info":  # which has times in it
                assert_equal(a, b)


@SINCE_1_4
def test_gymnasiums_wrappers_on_top():
    both = [
        PufferVectorEnv(
            vector.make(CREATORS["CartPole-v1"], num_envs=4, backend="serial"), episode_statistics=statistics
        )
        for statistics in (False, True)
    ]
    for envs in both:
        envs.action_space.seed(1)
    wrapped = NormalizeReward(ClipReward(RecordEpisodeStatistics(both[0]), -5.0, 5.0))
    wrapped.reset(seed=0)
    both[1].reset(seed=0)
    for _ in range(50):
        infos = wrapped.step(wrapped.action_space.sample())[-1]
        ours = both[1].step(both[1].action_space.sample())[-1]
        if "episode" in infos:
            np.testing.assert_array_equal(infos["episode"]["r"], ours["episode"]["r"])
    assert wrapped.env.env.episode_count > 8


def test_statistics_of_gymnasiums_own_wrapper_are_kept():
    def creator() -> Any:
        return gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1", max_episode_steps=3))

    envs = PufferVectorEnv(vector.make(creator, num_envs=2, backend="serial"), episode_statistics=True)
    envs.reset(seed=0)
    for _ in range(3):
        infos = envs.step([0, 1])[-1]
    assert infos["episode"]["r"].tolist() == infos["final_info"]["episode"]["r"].tolist() == [3.0, 3.0]
    assert infos["final_info"]["episode"]["_r"].tolist() == [True, True]


def test_infos_that_say_nothing_of_their_environment():
    class Chatty(Plain):
        def step(self, actions: Any) -> Any:
            return *super().step(actions)[:4], [{"score": 1}]

    envs = PufferVectorEnv(Chatty(2))
    envs.reset(seed=0)
    assert envs.step([0, 0])[-1] == {}
    assert envs.puffer_infos == [{"score": 1}]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"gear": np.zeros(2)}, r"actions lack 'wheel'; expected a dict as .*got the keys \['gear'\]"),
        (np.zeros(2), "actions lack 'gear'; expected a dict as .*got a ndarray"),
        (
            {"gear": np.zeros(2, int), "wheel": (np.zeros(2, int), np.zeros(2, int))},
            r"actions\['wheel'\]\[1\] have shape \(2,\); expected \(2, 2\)",
        ),
        (
            {"gear": np.array([0, 5]), "wheel": (np.zeros(2, int), np.zeros((2, 2), int))},
            r"action of row 1 is \[5, 0, 0, 0\], outside",
        ),
    ],
)
def test_bad_structured_actions(actions, message):
    envs = PufferVectorEnv(vector.make(Nested, num_envs=2, backend="serial"))
    envs.reset(seed=0)
    with pytest.raises(APIUsageError, match=message):
        envs.step(actions)


def test_backends_that_cannot_be_vector_environments():
    with (
        vector.make(Nested, num_envs=2, num_workers=2, batch_size=1) as env,
        pytest.raises(APIUsageError, match=r"PufferVectorEnv steps all environments at once; .*without batch_size"),
    ):
        PufferVectorEnv(env)
    with pytest.raises(APIUsageError, match=r"render_mode is 'human', but .* was made with None; make it with"):
        PufferVectorEnv(GymnasiumPufferEnv(Nested()), render_mode="human")
    with pytest.raises(APIUsageError, match=r"takes 2 seeds, each an int or None; got 1 of them"):
        PufferVectorEnv(vector.make(Nested, num_envs=2, backend="serial")).reset(seed=[1])
    with pytest.raises(APIUsageError, match=r"2 agents in 1 environments: see .*pettingzoo"):
        PufferVectorEnv(PettingZooPufferEnv(rps.parallel_env()))


def test_actions_of_whole_and_real_numbers():
    """As Gymnasium's vector environment hands them out, also where a policy has the discrete ones first."""
    space = Dict(
        wheel=Box(-1, 1, (2,), np.float32), gear=Discrete(3, start=-1), legs=Tuple([MultiBinary(2), Discrete(4)])
    )
    creator = partial(Parts, Box(0, 1, (1,), np.float32), space)
    ours = PufferVectorEnv(vector.make(creator, num_envs=3, backend="serial"))
    theirs = SyncVectorEnv([creator] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.action_space == theirs.action_space
    ours.reset(seed=0)
    theirs.reset(seed=0)
    for _ in range(6):
        actions = ours.action_space.sample()
        ours.step(actions)
        theirs.step(actions)
    for a, b in zip(ours.get_attr("actions"), theirs.get_attr("actions"), strict=True):
        assert_equal(tuple(a), tuple(b))


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_know_their_environments_by_number(backend):
    with BACKENDS[backend](Nested, num_envs=4) as env:
        env.reset(seed=[7, None, 7, 8])
        lengths = env.get_attr("length")
        assert env.get_attr("length", [3, 0]) == [lengths[3], lengths[0]]
        assert lengths[0] == lengths[2]
        assert env.call("rename", "x", numbers=[2]) == [f"x{lengths[2]}"]
        assert env.call("speed") == [1] * 4
        env.set_attr("speed", [5, 6], [3, 1])
        assert env.get_attr("speed") == [1, 6, 1, 5]
        infos = env.step([env.single_action_space.sample()] * 4)[-1]
        assert infos.numbers == sorted(infos.numbers)
        assert len(infos.numbers) == len(infos)
        with pytest.raises(APIUsageError, match=r"get_attr: there are environments 0 to 3, not \[4\]"):
            env.get_attr("length", [4])
        with pytest.raises(APIUsageError, match="takes 4 seeds, each an int or None; got 2 of them"):
            env.reset(seed=[1, 2])
    with pytest.raises(APIUsageError, match="is closed"):
        env.get_attr("length")


@pytest.mark.parametrize("backend", BACKENDS)
def test_options_for_environments_that_have_none(backend):
    with (
        BACKENDS[backend](partial(Walk, jit=False), num_envs=2) as env,
        pytest.raises(APIUsageError, match="options are for environments of Gymnasium and PettingZoo; Walk has none"),
    ):
        env.reset(options={"a": 1})
