"""`Overlapped`: the environments of one JitEnv, as two halves on a background thread."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from puffer_numba import JitEnv, kernel, vector
from puffer_numba.env import APIUsageError
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.vector import Overlapped
from tests.helpers.jit_envs import Team, Walk

gate = threading.Event()
seen: list[Any] = []


def watch(i: int) -> None:
    """What the plain Python of `Gated` does at each step."""
    seen.append((threading.current_thread().name, numba.get_num_threads()))
    assert gate.wait(10)
    if i == 1 and len(seen) > 10:
        raise ValueError("the wheel came off")


class Gated(JitEnv):
    """Steps when the test lets it; each is a reward of 1. Fails once it has been stepped often."""

    max_episode_steps = 1000
    single_observation_space = Box(0, 1, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        steps: int

    @kernel
    def reset_env(s, p, i, rng):
        pass

    @kernel
    def step_env(s, p, i, action, rng):
        watch(i)
        return 1.0, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = 0


@pytest.fixture(autouse=True)
def _closed_gate() -> Any:
    gate.clear()
    seen.clear()
    yield
    gate.set()  # also where a test failed, so that no thread hangs


def halves(creator: Any = CartPole, num_envs: int = 6, **options: Any) -> Overlapped:
    env = vector.make(creator, num_envs=num_envs, overlap=True, **options)
    assert isinstance(env, Overlapped)
    return env


def background_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "puffer_numba-overlap"]


@pytest.mark.parametrize(
    ("creator", "kwargs"),
    [
        (CartPole, {}),
        ("squared", {}),
        (Walk, {"jit": False}),
        (Walk, {"autoreset": "next-step"}),
        (Team, {"lifetimes": np.array([3, 100, 5]), "length": 9}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_environments_of_one_jit_env(creator: Any, kwargs: Any) -> None:
    """Bit for bit, over many episodes, and as long as halves go."""
    one = vector.make(creator, num_envs=6, seed=3, env_kwargs=kwargs)
    rng = np.random.default_rng(0)
    with halves(creator, seed=3, env_kwargs=kwargs) as env:
        assert (env.num_envs, env.num_agents, env.batch_size) == (6, one.num_agents, 3)
        rows = env.agents_per_batch
        assert rows == one.num_agents // 2
        for seed in (None, 8):
            env.async_reset(seed)
            one.reset(seed)
            for _ in range(150):
                ended = one.terminals | one.truncations
                actions = rng.integers(0, 2, one.actions.shape)
                for first in (0, rows):
                    part = slice(first, first + rows)
                    *arrays, _, env_ids, masks = env.recv()
                    assert env_ids.tolist() == list(range(first, first + rows))
                    expected = (one.observations, one.rewards, one.terminals, one.truncations, one.masks)
                    for mine, its in zip((*arrays, masks), expected, strict=True):
                        assert np.array_equal(mine, its[part])
                        assert np.shares_memory(mine, env.buffers.observations) == (its is one.observations)
                    over = ended[part]
                    assert np.array_equal(env.final_observations[part][over], one.final_observations[part][over])
                    assert np.array_equal(env.episode_returns[part][over], one.episode_returns[part][over])
                    assert np.array_equal(env.episode_lengths[part][over], one.episode_lengths[part][over])
                    env.send(actions[part])
                one.step(actions)
        env.recv()
        assert env.log() == pytest.approx(one.log())


def test_infos_are_those_of_the_half() -> None:
    one = vector.make(Walk, num_envs=6)
    *_, expected = one.reset()
    with halves(Walk) as env:
        env.async_reset()
        for turn in range(8):
            *_, infos, env_ids, _ = env.recv()
            assert [info["ticks"].tolist() for info in infos] == [expected[0]["ticks"][env_ids].tolist()]
            env.send([turn // 2 % 2] * 3)
            if turn % 2:
                one.step([turn // 2 % 2] * 6)


def test_a_half_steps_while_the_caller_works() -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    env = halves(Gated, num_envs=2, env_kwargs={"jit": False})
    numba.set_num_threads(before)
    env.async_reset()
    first = env.recv()[0]
    env.send([1])
    second, *_, env_ids, _ = env.recv()  # the thread stands still within the first half's step
    assert env_ids.tolist() == [1]
    assert not np.shares_memory(first, second)
    actions = np.array([1])
    env.send(actions)
    actions[0] = 99  # the caller's to write to at once
    assert env.actions.ravel().tolist() == [1, 1]
    gate.set()
    assert env.recv()[1].tolist() == [1.0]
    env.close()
    assert set(seen) == {("puffer_numba-overlap", 1)}


def test_an_error_on_the_thread_is_raised_here() -> None:
    gate.set()
    env = halves(Gated, num_envs=4, env_kwargs={"jit": False})
    env.async_reset()

    def go_on() -> None:
        for _ in range(20):
            env.recv()
            env.send([0, 0])

    with pytest.raises(ValueError, match="the wheel came off") as raised:
        go_on()
    assert any(entry.name == "watch" for entry in raised.traceback)
    with pytest.raises(APIUsageError, match="Overlapped is closed; make a new one"):
        env.recv()
    assert background_threads() == []


def test_wrong_use() -> None:
    env = halves()
    with pytest.raises(APIUsageError, match=r"recv\(\) has nothing to return; call async_reset"):
        env.recv()
    with pytest.raises(APIUsageError, match=r"called before reset\(\)"):
        env.send([0] * 3)
    for call, instead in ((env.reset, "async_reset"), (lambda: env.step([0] * 6), "send")):
        with pytest.raises(APIUsageError, match=rf"needs batch_size == num_envs; with batches of 3 .* call {instead}"):
            call()
    env.async_reset()
    first, second = env.recv()[5], env.recv()[5]
    with pytest.raises(APIUsageError, match=r"recv\(\) would wait for ever: the environments await actions"):
        env.recv()
    with pytest.raises(APIUsageError, match=r"env_ids \[1, 2, 3\], but no such batch awaits actions"):
        env.send([0] * 3, np.arange(1, 4))
    env.send([0] * 3, first)
    with pytest.raises(APIUsageError, match=r"env_ids \[0, 1, 2\], but no such batch awaits actions"):
        env.send([0] * 3, first)
    env.send([0] * 3, second)
    with pytest.raises(APIUsageError, match=r"send\(\) was called twice"):
        env.send([0] * 3)
    env.recv()
    env.send([0] * 3)
    before = env.recv()[0].copy()
    for actions, message in (
        ([0, 0, 7], "action of row 5 is 7, outside"),
        ([0] * 6, r"actions have shape \(6,\); expected \(3,\)"),
        ([0.5] * 3, "actions have dtype float64"),
    ):
        with pytest.raises(APIUsageError, match=message):
            env.send(actions)
    assert np.array_equal(env.observations[3:], before)
    with pytest.raises(APIUsageError, match="Overlapped cannot be bound to other buffers"):
        env.bind(env.buffers)
    env.send([0] * 3)
    env.async_reset(seed=4)  # at any time
    assert env.recv()[5].tolist() == [0, 1, 2]
    env.close()
    env.close()
    for call in (env.recv, env.log, env.render, env.async_reset, lambda: env.send([0] * 3)):
        with pytest.raises(APIUsageError, match="Overlapped is closed; make a new one"):
            call()


def test_log_and_render_between_send_and_recv() -> None:
    with halves(CartPole, num_envs=2) as env:
        env.async_reset(seed=0)
        for _ in range(100):
            env.recv()
            env.send([1])
        image = env.render()
        assert image.dtype == np.uint8
        log = env.log()
        assert log["episodes"] > 8
        assert log["episode_length"] < 12
        assert env.log() == {"episodes": 0.0}
        assert env.recv()[5].tolist() == [0]


def test_attributes_of_the_halves() -> None:
    with halves(env_kwargs={"gravity": 2.0}) as env:
        assert [params.gravity for params in env.get_attr("params")] == [2.0, 2.0]
        assert env.get_attr("first_env") == [0, 3]


def test_the_thread_ends() -> None:
    env = halves()
    env.async_reset()
    assert background_threads() == ["puffer_numba-overlap"]
    env.close()
    assert background_threads() == []
    env = halves()
    env.async_reset()
    thread = env._thread
    del env
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.slow
def test_many_times() -> None:
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        with halves(num_envs=2) as env:
            env.async_reset()
            env.recv()
            env.send([0])
    assert background_threads() == []
    assert len(os.listdir("/proc/self/fd")) <= files


def test_a_script_that_ends_without_close(run_python: Callable[..., Any]) -> None:
    code = """
from puffer_numba import vector
env = vector.make("cartpole", num_envs=4, overlap=True)
env.async_reset()
env.recv()
env.send([0, 0])
"""
    done = run_python(code)
    assert done.stdout == ""
    assert set(done.stderr.splitlines()) <= {"compiling CartPole (first run only)"}


def test_a_fork_says_that_it_has_no_thread() -> None:
    with halves() as env:
        env.async_reset()
        child = os.fork()
        if child == 0:
            try:
                for _ in range(3):
                    env.recv()
                    env.send([0] * 3)
            except APIUsageError as error:
                os._exit(7 if "made in another process" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert env.recv()[5].tolist() == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_kernels_on_this_thread_and_that(layer: str, run_python: Callable[..., Any]) -> None:
    """In a process of its own: Numba's workqueue aborts it where two threads are in kernels at once."""
    code = """
import numpy as np
import puffer_numba.jit.env
puffer_numba.jit.env._CALIBRATION_STEPS = 4
from puffer_numba import vector
from puffer_numba.envs.cartpole import CartPole
from tests.helpers.jit_envs import force_threads

n = 65536
here, one = CartPole(num_envs=n), CartPole(num_envs=2 * n)
env = vector.make("cartpole", num_envs=2 * n, overlap=True)
for part in (here, one, *(group.envs[0] for group in env._groups)):
    force_threads(part)
env.async_reset()
here.reset(), one.reset()
rng = np.random.default_rng(0)
for _ in range(20):
    actions = rng.integers(0, 2, 2 * n)
    for part in (slice(0, n), slice(n, 2 * n)):
        assert np.array_equal(env.recv()[0], one.observations[part])
        env.send(actions[part])
        here.step(actions[part])
    one.step(actions)
print("done")
"""
    done = run_python(code, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert done.stdout == "done\n"


RULES: list[tuple[Any, dict[str, Any], str]] = [
    (CartPole, {"num_envs": 5}, "num_envs is 5; overlap=True needs two halves: choose an even number"),
    (CartPole, {"overlap": 1}, "overlap is 1; expected True or False"),
    (CartPole, {"backend": "serial"}, "overlap=True steps a JitEnv's class on threads of this process; leave backend"),
    (CartPole, {"batch_size": 1}, "batch_size is 1; overlap=True has batches of half of the 4 environments"),
    ("gym:CartPole-v1", {}, r"overlap=True takes one JitEnv class, not .*batch_size=num_envs // 2"),
    ([CartPole] * 4, {}, "overlap=True takes one JitEnv class"),
    (CartPole, {"env_kwargs": {"num_envs": 3}}, "env_kwargs has 'num_envs', which vector.make sets"),
    (CartPole, {"env_args": [3]}, r"env_args is \[3\]; a JitEnv's parameters go into env_kwargs"),
]


@pytest.mark.parametrize(("creator", "options", "message"), RULES)
def test_every_rule_has_an_error(creator: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(APIUsageError, match=message):
        vector.make(creator, **{"num_envs": 4, "overlap": True, **options})


def test_what_the_environment_says_of_its_parameters() -> None:
    with pytest.raises(APIUsageError, match="no parameter 'gravitas'"):
        halves(env_kwargs={"gravitas": 3})
