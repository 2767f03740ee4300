"""Continuous against the rules, written down in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.continuous import Continuous
from tests.helpers.parity import TRANSITIONS, step_from

FIELDS = ("x", "y", "vx", "vy", "target_x", "target_y")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-7), ("float64", 1e-14)])
@pytest.mark.parametrize("params", [{}, {"acceleration": 0.3, "radius": 0.5}])
def test_transitions(dtype, tolerance, params):
    rng = np.random.default_rng(0)
    high = np.array([1, 1, 0.3, 0.3, 1, 1])
    states = rng.uniform(-high, high, (TRANSITIONS, 6)).astype(dtype)
    actions = rng.uniform(-1, 1, (TRANSITIONS, 2)).astype(np.float32)
    found = step_from(Continuous, dict(zip(FIELDS, states.T, strict=True)), actions, dtype=dtype, **params)

    velocity = states[:, 2:4].astype(np.float64) + params.get("acceleration", 0.1) * actions.astype(np.float64)
    position, target = states[:, :2] + velocity, states[:, 4:]
    distance = np.linalg.norm(position - target, axis=1)
    left = np.abs(position).max(axis=1) > 1
    solved = ~left & (distance < params.get("radius", 0.1))
    expected = np.hstack([position, velocity, target])
    np.testing.assert_allclose(np.column_stack(found.state[:6]), expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.observations, expected, rtol=0, atol=5e-7)
    rewards = np.where(left, -1, np.where(solved, 5, 0.02 * (1 - distance)))
    clear = np.minimum(np.abs(np.abs(position) - 1).min(axis=1), np.abs(distance - params.get("radius", 0.1))) > 1e-6
    assert clear.sum() > 0.99 * TRANSITIONS
    np.testing.assert_allclose(found.rewards[clear], rewards[clear], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.terminals[clear], (left | solved)[clear])
    assert left.sum() > 100
    assert solved.sum() > 50


def test_first_states():
    observations, _ = Continuous(5000).reset(seed=1)
    assert not observations[:, 2:4].any()
    for column in (0, 1, 4, 5):
        assert stats.kstest(observations[:, column], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    correlations = np.corrcoef(observations[:, [0, 1, 4, 5]].T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 0.06


def test_time_limit():
    env = Continuous(200)
    env.reset(seed=2)
    ended = np.zeros(200, np.bool_)
    for step in range(1, 101):
        _, _, terminals, truncations, _ = env.step(np.zeros((200, 2), np.float32))
        ended |= terminals
        np.testing.assert_array_equal(truncations, ~ended & (step == 100))


def test_full_acceleration_stays_within_the_observation_space():
    env = Continuous(64, acceleration=0.02)
    env.reset(seed=0)
    for step in range(200):
        env.step(np.full((64, 2), 1 if step % 40 < 20 else -1, np.float32))
        assert env.observations in env.observation_space
        assert env.final_observations in env.observation_space


@pytest.mark.parametrize("name", ["acceleration", "radius"])
@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_bad_params(name, value):
    with pytest.raises(ValueError, match=f"Continuous: parameter {name} is (0|nan); expected"):
        Continuous(jit=False, **{name: value})


def test_image():
    env = Continuous(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step(np.ones((1, 2), np.float32))
    assert (env.render() != image).any()
