"""JitEnvs whose observations are no plain arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils.env_checker import check_env

from puffer_numba.emulation import JitGymnasiumEnv, PufferVectorEnv
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer


class Ring(JitEnv):
    """Walk around a ring of seven places; the observation is the place."""

    max_episode_steps = 20
    single_observation_space: Any = Discrete(7)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        place: int

    @kernel
    def reset_env(s, p, i, rng):
        s.place[i] = integer(rng, 7)

    @kernel
    def step_env(s, p, i, action, rng):
        s.place[i] = (s.place[i] + action) % 7
        return 0.0, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.place[i]


class Mixed(Ring):
    """The same, and an image of it: bytes of two dtypes."""

    single_observation_space = Dict(image=Box(0, 1, (7,), np.uint8), place=Discrete(7))

    @kernel
    def observe_env(s, p, i, obs):
        for k in range(7):
            obs[i, k] = s.place[i] == k
        for k in range(7, obs.shape[1]):
            obs[i, k] = 0
        obs[i, 8] = s.place[i]  # an int64, the lowest byte first


def test_a_number() -> None:
    env = Ring(5)
    observations, _ = env.reset(seed=0)
    assert env.single_observation_space == Box(0, 6, (1,), np.int64)
    assert env.emulated is not None
    assert env.emulated.observation_space == Discrete(7)
    assert (observations[:, 0] == env.state.place).all()


def test_fields_of_several_dtypes() -> None:
    env = Mixed(5)
    observations, _ = env.reset(seed=0)
    assert env.emulated is not None
    records = observations.view(env.emulated.emulated_observation_dtype)[:, 0]
    np.testing.assert_array_equal(records["place"], env.state.place)
    np.testing.assert_array_equal(records["image"].argmax(axis=1), env.state.place)


def test_a_plain_array_is_not_emulated() -> None:
    class Plain(Ring):
        single_observation_space = Box(0, 6, (1,), np.int32)

    assert Plain().emulated is None


@pytest.mark.parametrize("env_class", [Ring, Mixed])
def test_gymnasium_sees_the_space_that_was_declared(env_class: type[JitEnv]) -> None:
    env = JitGymnasiumEnv(env_class(autoreset="disabled"))
    assert env.observation_space == env_class.single_observation_space
    check_env(env, skip_render_check=True)
    vector_env = PufferVectorEnv(env_class(3, autoreset="next-step"))
    assert vector_env.single_observation_space == env_class.single_observation_space
    observations, _ = vector_env.reset(seed=0)
    assert observations in vector_env.observation_space
