"""JitEnvs whose observations are no plain arrays."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils.env_checker import check_env

from puffer_numba.emulation import JitGymnasiumEnv, PufferVectorEnv
from puffer_numba.env import APIUsageError
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


class Parts(Ring):
    """Parts of many dtypes and shapes, by their names."""

    single_observation_space = Dict(
        wide=Box(-9, 9, (2, 3), np.float32),
        action_mask=Box(0, 1, (2,), np.int8),
        place=Discrete(7),
        inner=Dict(a=Box(0, 99, (1,), np.float64), b=Box(0, 99, (), np.uint8)),
    )

    @kernel
    def observe_env(s, p, i, obs):
        obs.wide[i] = 0.5
        obs.wide[i, 0, 1] = s.place[i]
        obs.wide[i, 1] = (1, 2.0, 3)
        obs.wide[i, 1, :2] *= 2
        for a in range(2):
            obs.action_mask[i, a] = (s.place[i] + a) % 2
        obs.place[i] = s.place[i]
        obs.inner.a[i, 0] = s.place[i] * 1.5
        obs.inner.b[i] = s.place[i] + obs.action_mask[i, 0]


@pytest.mark.parametrize("jit", [True, False])
def test_parts_by_their_names(jit: bool) -> None:
    env = Parts(6, jit=jit)
    env.observations[:] = 255  # of which no padding is left
    observations, _ = env.reset(seed=0)
    env.step(np.arange(6) % 2)
    record = observations.view(env._leaves)[:, 0]
    place = env.state.place
    assert len(set(place.tolist())) > 2
    half = np.full(6, 0.5)
    np.testing.assert_array_equal(record["wide"][:, 0], np.stack([half, place, half], 1))
    np.testing.assert_array_equal(record["wide"][:, 1], [[2, 4, 3]] * 6)
    np.testing.assert_array_equal(record["action_mask"], np.stack([place % 2, (place + 1) % 2], 1))
    np.testing.assert_array_equal(record["place"], place)
    np.testing.assert_array_equal(record["inner"]["a"][:, 0], place * 1.5)
    np.testing.assert_array_equal(record["inner"]["b"], place + place % 2)
    assert observations.shape[1] > 24 + 2 + 8 + 8 + 1  # there is padding,
    assert not (observations == 255).any()  # and nothing is left in it


class Bytes(Ring):
    single_observation_space = Dict(speed=Box(-9, 9, (2,), np.float32), action_mask=Box(0, 1, (2,), np.int8))

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.place[i] * 0.5


@pytest.mark.parametrize("jit", [True, False])
def test_a_float_is_not_written_into_bytes(jit: bool) -> None:
    message = r"obs\[i\] is bytes; write to a part: obs\.speed\[i\], obs\.action_mask\[i\]"
    with pytest.raises(APIUsageError) as caught:
        Bytes(2, jit=jit).reset()
    assert re.search(message, " ".join(str(caught.value).split()))


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
