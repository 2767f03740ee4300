"""CartPole against Gymnasium's CartPole-v1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from numpy.typing import NDArray
from scipy import stats

from puffer_numba.envs.cartpole import CartPole

TRANSITIONS = 10_000
FIELDS = ("x", "x_dot", "theta", "theta_dot")
LIMITS = np.array([2.4, np.inf, 12 * 2 * np.pi / 360, np.inf])
BALANCED = {"gravity": 0.0, "force": 0.0, "reset_bound": 0.0, "jit": False}


def random_states(dtype: str) -> NDArray[Any]:
    """Everywhere an episode may be, values that are exact in ``dtype``."""
    high = np.array([2.4, 3.0, LIMITS[2], 3.5])
    return np.random.default_rng(0).uniform(-high, high, (TRANSITIONS, 4)).astype(dtype)


def gymnasium_transitions(states: NDArray[Any], actions: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Next states, float64, and whether they end the episode."""
    env = CartPoleEnv()
    env.reset(seed=0)
    after, terminals = np.zeros((len(states), 4)), np.zeros(len(states), np.bool_)
    for i, (state, action) in enumerate(zip(states, actions, strict=True)):
        env.state, env.steps_beyond_terminated = state.astype(np.float64), None
        terminals[i] = env.step(int(action))[2]
        after[i] = env.state
    return after, terminals


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_transitions_are_gymnasiums(dtype, tolerance):
    states = random_states(dtype)
    actions = np.random.default_rng(1).integers(2, size=TRANSITIONS)
    env = CartPole(TRANSITIONS, dtype=dtype, autoreset="disabled")
    env.reset(seed=0)
    env.set_state(env.get_state() | {f"state.{f}": states[:, k].copy() for k, f in enumerate(FIELDS)})
    observations, rewards, terminals, truncations, _ = env.step(actions)

    expected, expected_terminals = gymnasium_transitions(states, actions)
    after = np.column_stack([getattr(env.state, field) for field in FIELDS])
    np.testing.assert_allclose(after, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(observations, expected, rtol=0, atol=1e-5)
    # float32 cannot tell on which side of a limit a state within 1e-6 of it is; float64 can
    clear = (np.abs(np.abs(expected) - LIMITS) > 1e-6).all(axis=1) if dtype == "float32" else np.ones(TRANSITIONS, bool)
    assert clear.sum() > 0.999 * TRANSITIONS
    np.testing.assert_array_equal(terminals[clear], expected_terminals[clear])
    assert 500 < expected_terminals.sum() < TRANSITIONS - 500
    assert (rewards == 1).all()
    assert not truncations.any()


def test_time_limit():
    env = CartPole(2, **BALANCED)
    env.reset()
    for step in range(1, 1001):
        _, rewards, terminals, truncations, _ = env.step([0, 1])
        assert not terminals.any()
        assert truncations.all() == truncations.any() == (step % 500 == 0)
        assert (rewards == 1).all()
    assert env.log() == {"episodes": 4, "episode_return": 500, "episode_length": 500}


@pytest.mark.parametrize("limit", [3, None])
def test_another_time_limit_or_none(limit):
    env = CartPole(max_episode_steps=limit, **BALANCED)
    env.reset()
    truncated = [bool(env.step([0])[3][0]) for _ in range(600)]
    assert truncated == [limit is not None and step % 3 == 0 for step in range(1, 601)]


def test_first_states_are_uniform_and_independent():
    observations, _ = CartPole(20_000).reset(seed=11)
    for column in observations.T:
        assert stats.kstest(column, stats.uniform(-0.05, 0.1).cdf).pvalue > 1e-3
    correlation = np.corrcoef(observations.T)
    assert np.abs(correlation - np.eye(4)).max() < 0.03
    assert np.abs(observations).max() <= 0.05


def test_states_after_a_reset_are_uniform_too():
    env = CartPole(20_000, max_episode_steps=1)
    first = env.reset(seed=11)[0].copy()
    observations = env.step(np.zeros(20_000, np.int64))[0]
    for before, column in zip(first.T, observations.T, strict=True):
        assert stats.kstest(column, stats.uniform(-0.05, 0.1).cdf).pvalue > 1e-3
        assert abs(np.corrcoef(before, column)[0, 1]) < 0.03


def test_observation_space_holds_what_ends_an_episode():
    """Finite, as Gymnasium's checker wants it; position and angle to twice their limits, as in its CartPole-v1."""
    space = CartPole(jit=False, x_limit=3.0).single_observation_space
    assert np.isfinite(space.high).all()
    np.testing.assert_allclose(space.high[[0, 2]], [6.0, 2 * LIMITS[2]], rtol=1e-6)


def test_image():
    env = CartPole(**BALANCED)
    env.reset()
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 600, 3), np.uint8)
    state = env.get_state()
    env.set_state(state | {"state.theta": np.full(1, 0.2, np.float32)})
    assert (env.render() != image).any()


@pytest.mark.parametrize("name", ["mass_cart", "mass_pole", "half_length", "tau", "theta_limit", "x_limit"])
def test_bad_params(name):
    with pytest.raises(ValueError, match=f"CartPole: parameter {name} is 0; expected more than 0"):
        CartPole(jit=False, **{name: 0.0})
