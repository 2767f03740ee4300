"""Pendulum against Gymnasium's Pendulum-v1."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from scipy import stats

from puffer_numba.envs.pendulum import Pendulum
from tests.helpers.parity import TRANSITIONS, step_from


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
def test_transitions_are_gymnasiums(dtype, tolerance):
    rng = np.random.default_rng(0)
    states = rng.uniform([-20, -8], [20, 8], (TRANSITIONS, 2)).astype(dtype)
    actions = rng.uniform(-2, 2, (TRANSITIONS, 1)).astype(np.float32)
    found = step_from(Pendulum, {"theta": states[:, 0], "theta_dot": states[:, 1]}, actions, dtype=dtype)

    env = PendulumEnv()
    env.reset(seed=0)
    after, rewards, observations = np.zeros((TRANSITIONS, 2)), np.zeros(TRANSITIONS), np.zeros((TRANSITIONS, 3))
    for k in range(TRANSITIONS):
        env.state = states[k].astype(np.float64)
        observations[k], rewards[k], *_ = env.step(actions[k].astype(np.float64))
        after[k] = env.state
    np.testing.assert_allclose(np.column_stack(found.state), after, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.observations, observations, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found.rewards, rewards, rtol=0, atol=2e-4)
    assert not found.terminals.any()
    assert (np.abs(after[:, 1]) == 8).sum() > 100  # the speed limit was met


def test_time_limit_and_first_states():
    env = Pendulum(2000)
    env.reset(seed=3)
    for field, bound in (("theta", np.pi), ("theta_dot", 1.0)):
        assert stats.kstest(getattr(env.state, field), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    for step in range(1, 401):
        truncations = env.step(np.zeros((2000, 1), np.float32))[3]
        assert truncations.all() == truncations.any() == (step % 200 == 0)


@pytest.mark.parametrize("name", ["mass", "length", "tau", "max_speed", "max_torque"])
def test_bad_params(name):
    with pytest.raises(ValueError, match=f"Pendulum: parameter {name} is 0; expected more than 0"):
        Pendulum(jit=False, **{name: 0.0})


def test_image():
    env = Pendulum(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step(np.array([[2.0]], np.float32))
    assert (env.render() != image).any()
