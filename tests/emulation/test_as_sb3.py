"""Environments seen through Stable-Baselines3: its DummyVecEnv, its algorithms and its checkers are the judges."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from pettingzoo.classic.rps import rps

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import puffer_numba
from puffer_numba import APIUsageError, vector
from puffer_numba.emulation import GymnasiumPufferEnv, PettingZooPufferEnv
from puffer_numba.emulation.as_sb3 import SB3VecEnv
from tests.helpers.gym_envs import Nested, Parts, flat_dict, tuples
from tests.helpers.jit_envs import Drawn, Locks, Paint, Push, Team, Walk
from tests.helpers.vector_envs import Plain

pytestmark = pytest.mark.slow  # together: most start processes or train


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


CREATORS = {
    "CartPole-v1": partial(gymnasium.make, "CartPole-v1", max_episode_steps=15),
    "Pendulum-v1": partial(gymnasium.make, "Pendulum-v1", max_episode_steps=7),
    "Taxi-v4": partial(gymnasium.make, "Taxi-v4", max_episode_steps=9),
    "dict": partial(Parts, flat_dict(), MultiDiscrete([3, 2])),
}
BACKENDS = {"serial": {}, "multiprocessing": {"num_workers": 2}}


def assert_equal(ours: Any, theirs: Any, where: str = "") -> None:
    """Down to dtypes."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), where
        for key in theirs:
            if key != "t":  # seconds
                assert_equal(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs), where
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(a, b, f"{where}[{k}]")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-6), where  # rewards are float32 here
    else:
        np.testing.assert_array_equal(ours, theirs, where, strict=isinstance(theirs, np.ndarray) and theirs.ndim > 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CREATORS)
def test_same_as_dummy_vec_env_of_monitored_environments(name: str, backend: str) -> None:
    creator = CREATORS[name]
    theirs = DummyVecEnv([lambda: Monitor(creator())] * 4)
    ours = SB3VecEnv(vector.make(creator, num_envs=4, backend=backend, **BACKENDS[backend]))
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ended = {True: 0, False: 0}
    for seed in (5, 100):
        assert list(ours.seed(seed)) == list(theirs.seed(seed))
        for env in (ours, theirs):
            env.set_options({"level": 3} if name == "dict" else {})
        assert_equal(ours.reset(), theirs.reset())
        assert_equal(ours.reset_infos, theirs.reset_infos)
        ours.action_space.seed(seed)
        for _ in range(40):
            actions = np.array([ours.action_space.sample() for _ in range(4)])
            result, expected = ours.step(actions), theirs.step(actions)
            assert_equal(result, expected)
            assert_equal(ours.reset_infos, theirs.reset_infos)
            for info, done in zip(result[3], result[2], strict=True):
                if done:
                    ended[info["TimeLimit.truncated"]] += 1
    assert ended[True] > 0
    assert ended[False] > 0 or name in ("Pendulum-v1", "Taxi-v4")
    ours.close()


def test_what_is_returned_is_the_callers_to_keep() -> None:
    env = SB3VecEnv(Walk(4, jit=False))
    kept = [env.reset()]
    copies = [kept[0].copy()]
    rng = np.random.default_rng(0)
    for _ in range(20):
        observations, rewards, dones, _ = env.step(rng.integers(2, size=4))
        kept += [observations, rewards, dones]
        copies += [array.copy() for array in (observations, rewards, dones)]
        before = env.puffer_env.rewards.copy()
        rewards += 1  # as PPO does where an episode was truncated
        np.testing.assert_array_equal(env.puffer_env.rewards, before)
        copies[-2] += 1
    for a, b in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_jit_environments_against_their_single_selves() -> None:
    """Episodes, their ends and State fields; the same stream for each environment."""
    env, puffer_env = SB3VecEnv(Walk(3, jit=False)), Walk(3, jit=False)
    env.seed(4)
    observations, (fields,) = puffer_env.reset(seed=4)
    np.testing.assert_array_equal(env.reset(), observations)
    assert [info["ticks"] for info in env.reset_infos] == [0, 0, 0]
    rng = np.random.default_rng(0)
    truncated = 0
    for _ in range(60):
        actions = rng.integers(2, size=3)
        _, rewards, terminals, truncations, _ = puffer_env.step(actions)
        _, got, dones, infos = env.step(actions)
        np.testing.assert_array_equal(got, rewards)
        np.testing.assert_array_equal(dones, terminals | truncations)
        for row, info in enumerate(infos):
            assert info["ticks"] == fields["ticks"][row]
            assert info["TimeLimit.truncated"] == (truncations[row] and not terminals[row])
            truncated += info["TimeLimit.truncated"]
            assert ("terminal_observation" in info) == ("episode" in info) == dones[row]
            if dones[row]:
                np.testing.assert_array_equal(info["terminal_observation"], puffer_env.final_observations[row])
                assert info["episode"]["r"] == puffer_env.episode_returns[row]
                assert info["episode"]["l"] == puffer_env.episode_lengths[row]
                assert info["episode"]["t"] >= 0
    assert truncated > 3


def test_puffer_env_that_keeps_no_statistics() -> None:
    env = SB3VecEnv(Plain(2))
    env.reset()
    for _ in range(3):
        infos = env.step(np.zeros(2, np.int64))[3]
    assert [info["episode"]["l"] for info in infos] == [3, 3]
    assert [info["terminal_observation"].tolist() for info in infos] == [[3.0], [3.0]]


# ---------------------------------------------------------------------- spaces


def test_tuples_and_nested_dicts_become_one_dict() -> None:
    env = SB3VecEnv(vector.make(lambda: Parts(tuples(), Discrete(2)), num_envs=3, backend="serial"))
    space = env.observation_space
    assert set(space) == {"[0]", "[1]['gear']", "[1]['said']", "[2][index]", "[2][0]", "[2][1]"}
    assert space["[1]['said']"] == Box(0, 3, (2,), np.uint8)
    observations = env.reset()
    original = env.get_attr("observation_space")[0]
    for _ in range(10):
        batch = {key: value[0] for key, value in observations.items()}
        assert batch in space
        assert all(part.shape == (3, *space[key].shape) for key, part in observations.items())
        observations, _, dones, infos = env.step(np.zeros(3, np.int64))
        assert all((info["terminal_observation"] in space) for info, done in zip(infos, dones, strict=True) if done)
    assert isinstance(original, Tuple)
    A2C("MultiInputPolicy", env, n_steps=5).learn(60)


@pytest.mark.parametrize(
    ("own", "shown", "actions", "taken"),
    [
        (Discrete(3, start=-1), Discrete(3), [0, 2], [-1, 1]),
        (
            MultiDiscrete([[2, 3], [4, 5]]),
            MultiDiscrete([2, 3, 4, 5]),
            [[1, 2, 3, 4], [0, 0, 0, 0]],
            [[[1, 2], [3, 4]], [[0, 0], [0, 0]]],
        ),
        (MultiBinary(3), MultiBinary(3), [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], [[1, 0, 1], [0, 0, 0]]),
        (Box(-1, 2, (2,), np.float64), Box(-1, 2, (2,), np.float64), [[0.5, 1.5], [0, 0]], [[0.5, 1.5], [0, 0]]),
        (
            Dict(a=Discrete(2), b=MultiDiscrete([3, 3])),
            MultiDiscrete([2, 3, 3]),
            [[1, 2, 0], [0, 0, 0]],
            [{"a": 1, "b": [2, 0]}, {"a": 0, "b": [0, 0]}],
        ),
    ],
)
def test_action_spaces(own: Any, shown: Any, actions: Any, taken: Any) -> None:
    env = SB3VecEnv(vector.make(lambda: Parts(Box(0, 1, (2,)), own), num_envs=2, backend="serial"))
    assert env.action_space == shown
    env.reset()
    env.step(np.array(actions))
    for got, expected in zip(env.get_attr("actions"), taken, strict=True):
        assert got[0] in own
        parts = (
            [(got[0][key], expected[key]) for key in expected] if isinstance(expected, dict) else [(got[0], expected)]
        )
        for a, b in parts:
            np.testing.assert_array_equal(a, b)
    PPO("MlpPolicy", env, n_steps=8, batch_size=16, n_epochs=1).learn(16)


@pytest.mark.parametrize("env_class", [Locks, Push, Walk])
def test_action_spaces_of_jit_environments(env_class: Any) -> None:
    PPO("MlpPolicy", SB3VecEnv(env_class(2, jit=False)), n_steps=8, batch_size=16, n_epochs=1).learn(16)


def test_discrete_that_counts_from_one() -> None:
    env = SB3VecEnv(Paint(2, jit=False, worth=[0.0, 1.0, 2.0, 3.0]))
    assert env.action_space == Discrete(3)
    env.reset()
    assert env.step(np.array([0, 2]))[1].tolist() == [1.0, 3.0]


def test_several_agents_are_several_environments() -> None:
    env = SB3VecEnv(Team(2, jit=False, lifetimes=[1, 2, 3], length=4))
    assert env.num_envs == 6
    env.reset()
    _, rewards, dones, infos = env.step(np.ones(6, np.int64))
    assert rewards.tolist() == [1.0, 2.0, 3.0] * 2
    assert dones.tolist() == [True, False, False] * 2
    assert infos[0]["episode"]["l"] == 1

    class Talkative(rps.raw_env):
        def step(self, action: Any) -> None:
            super().step(action)
            self.infos = {agent: {"name": agent} for agent in self.agents}

    games = SB3VecEnv(vector.make(lambda: Talkative(max_cycles=3), num_envs=2, backend="serial"))
    games.reset()
    infos = games.step(np.zeros(4, np.int64))[3]
    assert [info["name"] for info in infos] == ["player_0", "player_1"] * 2
    A2C("MlpPolicy", games, n_steps=5).learn(40)
    assert games.get_attr("possible_agents", indices=[1, 2]) == [["player_0", "player_1"]] * 2


# ---------------------------------------------------------------------- what else a VecEnv does


@pytest.mark.parametrize("backend", BACKENDS)
def test_attributes_and_methods(backend: str) -> None:
    creator = partial(Nested, render_mode="rgb_array")
    made = vector.make(creator, num_envs=4, backend=backend, **BACKENDS[backend])
    # a hybrid action space is for another test
    made.single_action_space = MultiDiscrete([3, 2, 2, 2], start=[-1, 0, 0, 0])
    env = SB3VecEnv(made)
    env.seed(3)
    env.reset()
    lengths = env.get_attr("length")
    assert env.env_method("rename", "n", indices=[3, 0], times=2) == [f"n{lengths[3]}" * 2, f"n{lengths[0]}" * 2]
    env.set_attr("speed", [7, 8], indices=1)
    assert env.get_attr("speed") == [1, [7, 8], 1, 1]
    assert env.has_attr("speed")
    assert not env.has_attr("colour")
    assert env.render_mode == "rgb_array"
    assert env.metadata["render_modes"] == ["human", "rgb_array"]
    assert [image[0, 0, 0] for image in env.get_images()] == [0] * 4
    assert env.render().shape == (4, 4, 3)
    assert env.env_is_wrapped(Monitor, indices=0) == [True]
    assert env.env_is_wrapped(gymnasium.wrappers.TimeLimit) == [False] * 4
    env.close()


def test_attributes_of_a_jit_environment() -> None:
    env = SB3VecEnv(Drawn(2, jit=False), render_mode="rgb_array")
    first = env.reset()
    assert [image[0, 0, 0] for image in env.get_images()] == first[:, 0].tolist()
    assert env.get_attr("max_episode_steps", indices=[0]) == [6]
    assert env.render().shape == (8, 6, 3)
    assert SB3VecEnv(Walk(2, jit=False)).get_images() == [None, None]
    with pytest.raises(APIUsageError, match=r"set_attr\('x'\): the environments of a Drawn are one object"):
        env.set_attr("x", 1)


def test_wrapped_environments_know_their_wrappers() -> None:
    env = SB3VecEnv(GymnasiumPufferEnv(gymnasium.make("CartPole-v1")))
    assert env.env_is_wrapped(gymnasium.wrappers.TimeLimit) == [True]
    assert is_wrapped(env.puffer_env.env, gymnasium.wrappers.TimeLimit)


def test_what_cannot_be_a_vec_env() -> None:
    with pytest.raises(APIUsageError, match="SB3VecEnv takes an environment that resets itself in the same step"):
        SB3VecEnv(Walk(2, jit=False, autoreset="disabled"))
    hybrid = Dict(gear=Discrete(3), wheel=Box(-1, 1, (1,), np.float32))
    with pytest.raises(APIUsageError, match=r"has actions of integers and real numbers.*puffer_numba\.pufferl"):
        SB3VecEnv(vector.make(lambda: Parts(Box(0, 1, (2,)), hybrid), num_envs=2, backend="serial"))
    with (
        vector.make("gym:CartPole-v1", num_envs=2, num_workers=2, batch_size=1) as env,
        pytest.raises(APIUsageError, match=r"SB3VecEnv steps all environments at once; .*without batch_size"),
    ):
        SB3VecEnv(env)
    env = SB3VecEnv(Walk(2, jit=False))
    env.set_options([{"a": 1}, {"a": 2}])
    with pytest.raises(APIUsageError, match="takes one dict for all environments"):
        env.reset()
    env = SB3VecEnv(Walk(2, jit=False))
    env.reset()
    for bad, message in (
        ([0, 2], r"row 1 is 2, outside Discrete\(2\)"),
        ([0.5, 1.0], "actions have dtype float64"),
        ([0, 1, 1], r"actions have shape \(3,\); expected \(2,\)"),
    ):
        with pytest.raises(APIUsageError, match=message):
            env.step(np.array(bad))


def test_the_extra_is_named(run_python: Any) -> None:
    done = run_python(
        "import sys; sys.modules['stable_baselines3'] = None\nimport puffer_numba.emulation.as_sb3", check=False
    )
    assert 'puffer_numba.emulation.as_sb3 needs stable_baselines3: pip install "puffer_numba[sb3]"' in done.stderr


def test_nothing_else_imports_it(run_python: Any) -> None:
    done = run_python(
        "import sys, puffer_numba.emulation\nprint('stable_baselines3' in sys.modules, 'torch' in sys.modules)"
    )
    assert done.stdout.split() == ["False", "False"]


# ---------------------------------------------------------------------- its algorithms


def mean_length(model: Any) -> float:
    return float(np.mean([episode["r"] for episode in model.ep_info_buffer]))


def test_ppo_learns_cartpole(tmp_path: Any) -> None:
    """From 22 steps, which random actions last, to some hundreds; saved, loaded and evaluated."""
    env = SB3VecEnv(puffer_numba.make("cartpole", num_envs=16))
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=64,
        batch_size=256,
        n_epochs=10,
        gae_lambda=0.9,
        learning_rate=2e-3,
        ent_coef=0.0,
        seed=0,
    )
    model.learn(2048)
    before = mean_length(model)
    model.learn(40_000, reset_num_timesteps=False)
    assert before < 60
    assert mean_length(model) > 150
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=SB3VecEnv(puffer_numba.make("cartpole", num_envs=4)))
    reached, _ = evaluate_policy(loaded, loaded.get_env(), n_eval_episodes=8)
    on_gymnasiums, _ = evaluate_policy(loaded, Monitor(gymnasium.make("CartPole-v1")), n_eval_episodes=5)
    assert reached > 150
    assert on_gymnasiums > 150


def test_vec_normalize_on_top(tmp_path: Any) -> None:
    env = VecNormalize(SB3VecEnv(puffer_numba.make("cartpole", num_envs=4)), gamma=0.9)
    model = A2C("MlpPolicy", env, n_steps=8, seed=1)
    model.learn(1600)
    assert env.obs_rms.count > 1600
    assert mean_length(model) > 5
    assert sum(episode["l"] for episode in model.ep_info_buffer) <= 1600
    env.save(tmp_path / "normalize.pkl")
    again = VecNormalize.load(tmp_path / "normalize.pkl", SB3VecEnv(puffer_numba.make("cartpole", num_envs=4)))
    np.testing.assert_array_equal(again.obs_rms.mean, env.obs_rms.mean)


def test_dqn_through_worker_processes() -> None:
    with vector.make("gym:CartPole-v1", num_envs=4, num_workers=2) as puffer_env:
        model = DQN("MlpPolicy", SB3VecEnv(puffer_env), learning_starts=100, train_freq=4, buffer_size=2000, seed=0)
        model.learn(800)
        assert len(model.ep_info_buffer) > 10
        stored = model.replay_buffer
        ends = np.argwhere(stored.dones[: stored.pos])
        assert len(ends) > 10
        for step, row in ends:  # the next observation there is the last one, not the first of the next episode
            assert np.abs(stored.next_observations[step, row, 2]) > 0.2


def test_policies_on_images_and_dicts() -> None:
    space = Box(0, 255, (40, 40, 3), np.uint8)
    images = SB3VecEnv(vector.make(lambda: Parts(space, Discrete(2)), num_envs=2, backend="serial"))
    PPO("CnnPolicy", images, n_steps=8, batch_size=16, n_epochs=1).learn(16)
    dicts = SB3VecEnv(vector.make(lambda: Parts(flat_dict(), Discrete(2)), num_envs=2, backend="serial"))
    DQN("MultiInputPolicy", dicts, learning_starts=10, buffer_size=100).learn(40)


def test_two_agents_train_through_pettingzoos_environment() -> None:
    env = SB3VecEnv(PettingZooPufferEnv(rps.parallel_env(max_cycles=5)))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1)
    model.learn(64)
    assert all(episode["l"] == 5 for episode in model.ep_info_buffer)
