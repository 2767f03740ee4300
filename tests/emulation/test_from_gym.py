"""Environments of the old gym. Where it is installed these are its own: gym 0.26 works beside NumPy 2, if only just."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from puffer_numba import vector
from puffer_numba.emulation import GymnasiumPufferEnv
from puffer_numba.emulation.from_gym import is_legacy
from puffer_numba.env import APIUsageError
from puffer_numba.extras import MissingExtra


class LooksOld:
    """An object whose class says that it is from gym, as far as anybody can tell without importing that."""

    __module__ = "gym.envs.something"


@pytest.mark.parametrize(
    "make", [lambda: GymnasiumPufferEnv(LooksOld()), lambda: vector.make(LooksOld, backend="serial")]
)
def test_the_extra_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shimmy", None)
    with pytest.raises(
        MissingExtra, match=r'LooksOld, .*old gym, needs shimmy: pip install "puffer_numba\[legacy-gym\]"'
    ):
        make()


def test_what_is_not_of_gym_is_left_alone() -> None:
    import gymnasium

    assert is_legacy(LooksOld())
    assert not is_legacy(gymnasium.make("CartPole-v1"))
    assert not is_legacy([])
    with pytest.raises(APIUsageError, match=r"takes a gymnasium\.Env, not a builtins\.list"):
        GymnasiumPufferEnv([])  # type: ignore[arg-type]


# ---------------------------------------------------------------------- with gym itself

try:
    import gym
except ImportError:
    gym = None
needs_gym = pytest.mark.skipif(gym is None, reason="gym is not installed")


def make_v21(base: Any = None, seeded: bool = True) -> Any:
    """As environments were up to gym 0.21: reset() -> observation, step() -> four values."""
    import gym

    class V21(base or gym.Env):  # type: ignore[misc]
        observation_space = gym.spaces.Dict(
            place=gym.spaces.Box(-9, 9, (2,), np.float32), kind=gym.spaces.Discrete(3, start=1)
        )
        action_space = gym.spaces.Discrete(2, start=-1)

        def __init__(self) -> None:
            self.episode, self.rng, self.taken = 0, np.random.default_rng(0), []

        def observe(self) -> Any:
            return {"place": self.rng.random(2).astype(np.float32), "kind": 1 + self.time % 3}

        def reset(self) -> Any:
            self.time, self.episode = 0, self.episode + 1
            return self.observe()

        def step(self, action: Any) -> Any:
            self.time += 1
            self.taken.append(int(action))
            over = self.time == 4
            return self.observe(), 1.5, over, {"TimeLimit.truncated": True} if over and self.episode % 2 else {}

        def render(self, mode: str = "human") -> Any:
            return "image"

        def close(self) -> None:
            self.is_closed = True

    if seeded:
        V21.seed = lambda self, seed=None: setattr(self, "rng", np.random.default_rng(seed))
    return V21()


@needs_gym
@pytest.mark.parametrize("base", [None, object])
def test_environments_of_gym_21(base: Any) -> None:
    env = GymnasiumPufferEnv(env_creator=make_v21, env_args=[base])
    other = make_v21(base)
    other.seed(5)
    expected = other.reset()
    env.reset(seed=5)
    assert env.single_action_space.start == -1
    ends = []
    for step in range(12):
        view = env.observations.view(env.obs_dtype)[0, 0]
        np.testing.assert_array_equal(view["place"], expected["place"])
        assert view["kind"] == expected["kind"]
        _, rewards, terminals, truncations, _ = env.step(np.array([-(step % 2)]))
        expected, _, done, _ = other.step(-(step % 2))
        assert rewards[0] == 1.5
        ends += [(bool(terminals[0]), bool(truncations[0]))] if done else []
        expected = other.reset() if done else expected
    assert ends == [(False, True), (True, False), (False, True)]
    assert env.env.gym_env.taken == other.taken
    env.close()
    assert env.env.gym_env.is_closed


@needs_gym
def test_environments_of_gym_21_that_cannot_be_seeded() -> None:
    env = GymnasiumPufferEnv(make_v21(seeded=False))
    env.reset(seed=3)
    env.step(np.array([0]))


@needs_gym
@pytest.mark.parametrize("wrapped", [True, False])
def test_environments_of_gym_26(wrapped: bool) -> None:
    """CartPole of gym, as gym makes it and bare, against Gymnasium's."""
    import gymnasium

    env = GymnasiumPufferEnv(gym.make("CartPole-v1") if wrapped else gym.make("CartPole-v1").unwrapped)
    theirs = GymnasiumPufferEnv(gymnasium.make("CartPole-v1") if wrapped else gymnasium.make("CartPole-v1").unwrapped)
    np.testing.assert_array_equal(env.reset(seed=3)[0], theirs.reset(seed=3)[0])
    rng = np.random.default_rng(0)
    for _ in range(100):
        action = rng.integers(2, size=1)
        for a, b in zip(env.step(action)[:4], theirs.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    assert env.log() == theirs.log()


@needs_gym
def test_time_limits_of_gym_26() -> None:
    env = GymnasiumPufferEnv(gym.make("MountainCar-v0", max_episode_steps=5))
    env.reset(seed=0)
    ends = [bool(env.step(np.array([1]))[3][0]) for _ in range(10)]
    assert ends == [False] * 4 + [True] + [False] * 4 + [True]


@needs_gym
def test_environments_that_take_both_forms_of_reset() -> None:
    """As in gym 0.22 to 0.25."""

    class Between(gym.Env):  # type: ignore[misc, name-defined]
        observation_space, action_space = gym.spaces.Box(0, 1, (1,), np.float32), gym.spaces.MultiBinary(2)

        def reset(self, *, seed: Any = None, return_info: bool = False, options: Any = None) -> Any:
            return np.zeros(1, np.float32)

        def step(self, action: Any) -> Any:
            return np.ones(1, np.float32), 0.0, False, {}

    env = GymnasiumPufferEnv(Between())
    env.reset(seed=1)
    assert env.step(np.array([[0, 1]]))[0].tolist() == [[1.0]]


@needs_gym
def test_in_worker_processes() -> None:
    with vector.make(make_v21, num_envs=4, num_workers=2) as env:
        env.reset(seed=0)
        for _ in range(8):
            env.step(np.zeros(4, np.int64))
        assert env.log()["episode_length"] == 4
