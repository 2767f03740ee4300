"""`make`: its rules and names; and `Serial`."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

pytest.importorskip("pygame")

from pettingzoo.classic.rps import rps

from puffer_numba import vector
from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.jit import JitEnv
from tests.helpers.vector_envs import Counter, Rows

COUNTER = "tests.helpers.vector_envs:Counter"


def serial(creator: Any, **options: Any) -> Any:
    return vector.make(creator, backend="serial", **options)


def test_seeds_and_rows() -> None:
    env = serial(COUNTER, num_envs=3, seed=7)
    observations, infos = env.reset()
    assert infos == []
    assert observations[:, 0].tolist() == [7, 8, 9]
    assert env.reset(seed=20)[0][:, 0].tolist() == [20, 21, 22]
    observations, rewards, terminals, truncations, infos = env.step([0, 1, 1])
    assert observations is env.observations
    assert observations[:, 1].tolist() == [1, 1, 1]
    assert rewards.tolist() == [0, 1, 1]
    assert not terminals.any()
    assert not truncations.any()
    assert env.num_envs == env.num_agents == env.agents_per_batch == 3
    assert env.driver_env is env.envs[0]
    assert env.emulated.observation_dtype == np.float32


def test_episodes_and_log() -> None:
    env = serial(COUNTER, num_envs=2, env_kwargs={"length": 4})
    env.reset()
    for _ in range(4):
        env.step([1, 0])
    assert env.terminals.all()
    assert env.final_observations[:, 1].tolist() == [4, 4]
    assert env.episode_returns.tolist() == [4, 0]
    assert env.episode_lengths.tolist() == [4, 4]
    assert env.log() == {"episodes": 2.0, "episode_return": 2.0, "episode_length": 4.0}
    assert env.log() == {"episodes": 0.0}


def test_same_trajectories_as_gymnasium() -> None:
    def make() -> Any:
        return gymnasium.make("CartPole-v1")

    ours = serial(make, num_envs=3)
    theirs = SyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    observations, _ = ours.reset(seed=4)
    expected, _ = theirs.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert np.array_equal(observations, expected)
        actions = rng.integers(0, 2, 3)
        observations, rewards, terminals, truncations, _ = ours.step(actions)
        expected, their_rewards, their_terminals, their_truncations, infos = theirs.step(actions)
        assert np.array_equal(rewards, their_rewards)
        assert np.array_equal(terminals, their_terminals)
        assert np.array_equal(truncations, their_truncations)
        for row in np.flatnonzero(terminals | truncations):
            assert np.array_equal(ours.final_observations[row], infos["final_obs"][row])


def test_jit_environments_continue_each_others_streams() -> None:
    parts, whole = serial(CartPole, num_envs=3, env_kwargs={"num_envs": 2}), CartPole(num_envs=6)
    assert parts.num_envs == 6
    assert np.array_equal(parts.reset(seed=3)[0], whole.reset(seed=3)[0])
    for _ in range(60):
        actions = np.random.default_rng(0).integers(0, 2, 6)
        assert np.array_equal(parts.step(actions)[0], whole.step(actions)[0])
        assert np.array_equal(parts.terminals, whole.terminals)
        ended = whole.terminals | whole.truncations
        assert np.array_equal(parts.episode_returns[ended], whole.episode_returns[ended])
    assert parts.log() == pytest.approx(whole.log())


def test_native_jit_environments() -> None:
    for made in (
        vector.make("cartpole", num_envs=5, seed=3, env_kwargs={"gravity": 1.6}),
        vector.make(CartPole, num_envs=5, seed=3, backend="native", env_kwargs={"gravity": 1.6}),
        vector.make(CartPole, num_envs=5, seed=3, backend=PufferEnv, env_kwargs={"gravity": 1.6}),
    ):
        assert isinstance(made, JitEnv)
        assert made.num_envs == 5
        assert made.params.gravity == np.float32(1.6)
        assert np.array_equal(made.reset()[0], CartPole(num_envs=5, seed=3).reset()[0])
    with pytest.raises(APIUsageError, match=r"backend 'native' takes one JitEnv class, not <class.*Counter"):
        vector.make(Counter, backend="native")


def test_puffer_envs_get_buffers_and_seeds() -> None:
    env = serial(Rows, num_envs=2, seed=3, env_kwargs={"num_envs": 2})
    observations, infos = env.reset(seed=5)
    assert observations.ravel().tolist() == [35, 35, 46, 46]
    assert infos == [{"made": 3}, {"made": 4}]
    assert env.emulated is None
    assert env.episode_returns is None
    assert env.log() == {"speed": 3.5}


def test_bind() -> None:
    env = serial(COUNTER, num_envs=2)
    other = serial(COUNTER, num_envs=2)
    env.reset()
    env.bind(other.buffers)
    env.step([1, 1])
    assert other.observations[:, 1].tolist() == [1, 1]
    assert env.observations is other.observations


def test_creators_of_every_kind() -> None:
    instances = [
        serial(lambda: gymnasium.make("CartPole-v1")),
        serial("gym:CartPole-v1"),
        serial(GymnasiumPufferEnv, env_kwargs={"env_creator": gymnasium.make, "env_args": ["CartPole-v1"]}),
        serial(gymnasium.make, env_args=["CartPole-v1"]),
        serial(
            [gymnasium.make] * 2, env_args=[["CartPole-v1"]] * 2, env_kwargs=[{}, {"max_episode_steps": 3}], num_envs=2
        ),
    ]
    for env in instances:
        assert isinstance(env.driver_env, GymnasiumPufferEnv)
        assert np.array_equal(env.reset(seed=1)[0][:1], instances[0].reset(seed=1)[0])
    team = serial("pettingzoo:pettingzoo.classic.rps.rps", num_envs=2, env_kwargs={"max_cycles": 3})
    assert isinstance(team.driver_env, PettingZooPufferEnv)
    assert (team.num_agents, team.num_envs) == (4, 2)
    assert isinstance(serial(rps.env).driver_env, PettingZooPufferEnv)


def test_names() -> None:
    assert vector.env_creator("cartpole")(num_envs=2).num_envs == 2
    assert vector.env_creator("gym:CartPole-v1")(max_episode_steps=7).spec.max_episode_steps == 7
    assert vector.env_creator("gym:gymnasium.envs.classic_control:CartPole-v1")().spec.id == "CartPole-v1"
    assert vector.env_creator("pettingzoo:classic.rps.rps") is rps.parallel_env
    assert vector.env_creator(COUNTER) is Counter


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cartpol", "no environment is called 'cartpol'. Did you mean 'cartpole'?"),
        ("gym:CartPol-v1", "gym:CartPol-v1: "),
        ("gym:no_such_module:CartPole-v1", "there is no module no_such_module; install the package that has it"),
        ("pettingzoo:no_such_thing", "there is no module no_such_thing or pettingzoo.no_such_thing"),
        pytest.param(
            "pettingzoo:butterfly/pistonball-v5",
            "no such environment; close are ['butterfly/pistonball-v6'",
            marks=pytest.mark.skipif(not hasattr(pettingzoo, "aec_registry"), reason="PettingZoo has no registry yet"),
        ),
        ("pettingzoo:utils.wrappers", "module pettingzoo.utils.wrappers has neither parallel_env nor env"),
        ("tests.helpers.vector_envs:Nothing", "module tests.helpers.vector_envs has no function or class 'Nothing'"),
        ("tests.helpers.vector_envs:not_callable", "has no function or class 'not_callable'"),
        ("", "env_creator takes a name, not '': a registered name, 'my_file.py:MyEnv', 'gym:LunarLander-v3'"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(APIUsageError, match=re.escape(message)):
        vector.env_creator(name)


def test_a_package_that_a_module_needs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_envs.py").write_text("import a_package_that_is_not_here")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(APIUsageError, match="needy_envs needs 'a_package_that_is_not_here', which is not installed"):
        vector.env_creator("needy_envs:make")


RULES: list[tuple[dict[str, Any], str]] = [
    ({"num_envs": 0}, "num_envs is 0; expected at least 1"),
    ({"num_envs": 2.0}, "num_envs is 2.0; expected an integer of at least 1"),
    ({"num_envs": True}, "num_envs is True; expected an integer of at least 1"),
    ({"num_workers": 0}, "num_workers is 0; expected at least 1"),
    ({"num_workers": 5}, "num_workers is 5, more than the 4 environments"),
    ({"num_workers": 3}, "num_envs is 4, not a multiple of num_workers, 3"),
    ({"num_workers": "many"}, "num_workers is 'many'; expected an integer of at least 1"),
    ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
    ({"batch_size": 5}, "batch_size is 5, but there are 4 environments"),
    ({"batch_size": 3, "num_workers": 2}, "batch_size is 3, not a multiple of the 2 environments of each of 2 workers"),
    ({"batch_size": 3, "num_workers": 4}, "num_envs is 4, not a multiple of batch_size, 3, as zero_copy needs"),
    ({"batch_size": 2, "backend": "serial"}, "Serial steps all 4 environments; batch_size 2 needs Multiprocessing"),
    ({"batch_size": 2, "env": CartPole}, "native steps all 4 environments; batch_size 2 needs Multiprocessing"),
    ({"env": CartPole, "env_kwargs": {"seed": 3}}, "env_kwargs has 'seed', which vector.make sets; num_envs and seed"),
    ({"env": CartPole, "env_args": [3]}, "env_args is [3]; a JitEnv's parameters go into env_kwargs."),
    ({"backend": "native"}, "backend 'native' takes one JitEnv class, not <class"),
    ({"num_workers": 3, "backend": "ray"}, "num_envs is 4, not a multiple of num_workers, 3"),
    ({"num_workers": 0, "backend": "serial"}, "num_workers is 0; expected at least 1"),
    ({"zero_copy": 1}, "zero_copy is 1; expected True or False"),
    ({"overlap": "yes"}, "overlap is 'yes'; expected True or False"),
    ({"overlap": True}, "overlap=True takes one JitEnv class"),
    ({"backend": "threads"}, "backend is 'threads'; expected 'multiprocessing', 'serial', 'native', 'ray', or a class"),
    ({"backend": int}, "backend is <class 'int'>; expected"),
    ({"timeout": 0}, "timeout is 0; expected seconds above 0, or None"),
    ({"timeout": "1"}, "timeout is '1'; expected seconds above 0, or None"),
    ({"timeout": float("nan")}, "timeout is nan; expected seconds above 0, or None"),
    ({"context": "fork"}, "context is 'fork'; expected 'forkserver' or 'spawn'"),
    ({"seed": "x"}, "seed is 'x'; expected an integer"),
    ({"env_args": "abc"}, "env_args is 'abc'; expected a list"),
    ({"env_kwargs": [1]}, "env_kwargs is [1]; expected a dict"),
    ({"num_worker": 2}, "vector.make has no option 'num_worker'. Did you mean 'num_workers'"),
    ({"gravity": 2}, "vector.make has no option 'gravity'. An environment's own arguments go into env_kwargs."),
]


@pytest.mark.parametrize(("options", "message"), RULES)
def test_every_rule_has_an_error(options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any) -> None:
        pytest.fail("no process or environment may be made")

    for backend in (vector.Multiprocessing, vector.Serial, vector.Ray, vector.Overlapped, CartPole):
        monkeypatch.setattr(backend, "__init__", started)
    options = {"num_envs": 4, **options}
    with pytest.raises(APIUsageError, match=re.escape(message)):
        vector.make(options.pop("env", Counter), **options)


def test_wrong_creators() -> None:
    with pytest.raises(APIUsageError, match=r"creators is a list of 2, but num_envs is 3; expected one for each"):
        serial([Counter] * 2, num_envs=3)
    with pytest.raises(APIUsageError, match=r"env_kwargs is a list of 1, but num_envs is 2"):
        serial([Counter] * 2, num_envs=2, env_kwargs=[{}])
    with pytest.raises(APIUsageError, match=r"takes a name, a function or class, or a list of these; got 3"):
        serial(3)
    with pytest.raises(
        APIUsageError, match=r"needs something that makes environments, not .*pass lambda: the expression"
    ):
        serial([Counter()])
    with pytest.raises(APIUsageError, match=r"returned builtins\.int; expected a gymnasium\.Env, a PettingZoo"):
        serial(int)
    with pytest.raises(
        APIUsageError, match=r"environment 1 has Signature.*but environment 0 has Signature.*equal spaces"
    ):
        serial([Rows] * 2, num_envs=2, env_kwargs=[{}, {"size": 2}])


def test_wrong_use() -> None:
    env = serial(COUNTER, num_envs=2)
    with pytest.raises(APIUsageError, match=r"step\(\) was called before reset\(\)"):
        env.step([0, 0])
    env.reset()
    with pytest.raises(APIUsageError, match="action of row 1 is 2, outside"):
        env.step([0, 2])
    assert env.observations[:, 1].tolist() == [0, 0]
    with pytest.raises(APIUsageError, match=r"reset: seed is 1\.5; expected an integer"):
        env.reset(seed=1.5)
    env.async_reset()
    env.recv()
    env.send([1, 0])
    with pytest.raises(APIUsageError, match=r"send\(\) was called twice"):
        env.send([1, 0])
    assert env.recv()[1].tolist() == [1, 0]
    assert env.render().shape == (2, 2, 3)
    env.close()
    env.close()
    for call in (env.reset, lambda: env.step([0, 0])):
        with pytest.raises(APIUsageError, match="Serial is closed; make a new one"):
            call()


def test_fresh_entropy() -> None:
    first, second = (serial(COUNTER, seed=None).reset()[0][0, 0] for _ in range(2))
    assert first != second


def test_errors_of_environments_are_raised_as_they_are() -> None:
    env = serial(COUNTER, env_kwargs={"fail": "raise"})
    env.reset()
    env.step([0])
    env.step([0])
    with pytest.raises(ValueError, match="the wheel came off"):
        env.step([0])
