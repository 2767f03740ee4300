"""Acrobot against Gymnasium's Acrobot-v1."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.envs.classic_control import AcrobotEnv
from scipy import stats

from puffer_numba.envs.acrobot import Acrobot
from tests.helpers.parity import TRANSITIONS, step_from

FIELDS = ("theta1", "theta2", "dtheta1", "dtheta2")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-3), ("float64", 1e-11)])
def test_transitions_are_gymnasiums(dtype, tolerance):
    """In float32 fast links are 1e-3 off after a step: they turn by 6 rad in it, and four stages add up."""
    rng = np.random.default_rng(0)
    high = np.array([np.pi, np.pi, 4 * np.pi, 9 * np.pi])
    states = (rng.uniform(-1, 1, (TRANSITIONS, 4)) ** 3 * high).astype(dtype)  # slow ones are the most frequent
    actions = rng.integers(3, size=TRANSITIONS)
    found = step_from(Acrobot, dict(zip(FIELDS, states.T, strict=True)), actions, dtype=dtype)

    env = AcrobotEnv()
    env.reset(seed=0)
    after, observations = np.zeros((TRANSITIONS, 4)), np.zeros((TRANSITIONS, 6))
    rewards, terminals = np.zeros(TRANSITIONS), np.zeros(TRANSITIONS, np.bool_)
    for k in range(TRANSITIONS):
        env.state = states[k].astype(np.float64)
        observations[k], rewards[k], terminals[k], *_ = env.step(int(actions[k]))
        after[k] = env.state
    difference = np.column_stack(found.state) - after
    difference[:, :2] = (difference[:, :2] + np.pi) % (2 * np.pi) - np.pi  # pi and -pi are the same angle
    assert np.abs(difference).max() < tolerance
    assert np.abs(found.observations - observations).max() < max(tolerance, 2e-6)
    slow = np.abs(states[:, 2:]).max(axis=1) < 3
    assert slow.sum() > 2000
    assert np.abs(difference[slow]).max() < (2e-5 if dtype == "float32" else tolerance)

    height = -np.cos(after[:, 0]) - np.cos(after[:, 0] + after[:, 1])
    clear = np.abs(height - 1) > 2 * tolerance
    assert clear.sum() > 0.98 * TRANSITIONS
    np.testing.assert_array_equal(found.terminals[clear], terminals[clear])
    np.testing.assert_array_equal(found.rewards[clear], rewards[clear])
    assert terminals.sum() > 100
    assert (np.abs(np.abs(after[:, 3]) - 9 * np.pi) < 1e-9).sum() > 10  # the speed limit was met


def test_noise_on_the_torque():
    still = {field: np.zeros(4000) for field in FIELDS}
    plain = step_from(Acrobot, still, np.ones(4000, np.int64)).state.dtheta2
    noisy = step_from(Acrobot, still, np.ones(4000, np.int64), torque_noise=0.5).state.dtheta2
    pushed = step_from(Acrobot, still, np.full(4000, 2)).state.dtheta2[0]
    assert not plain.any()
    assert np.abs(noisy).max() <= 0.5 * pushed * 1.001
    assert stats.kstest(noisy, stats.uniform(-0.5 * pushed, pushed).cdf).pvalue > 1e-3


def test_time_limit_and_first_states():
    env = Acrobot(2000)
    env.reset(seed=3)
    for field in FIELDS:
        assert stats.kstest(getattr(env.state, field), stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-3
    for step in range(1, 501):
        _, rewards, terminals, truncations, _ = env.step(np.ones(2000, np.int64))
        assert not terminals.any()
        assert (rewards == -1).all()
        assert truncations.all() == truncations.any() == (step == 500)


@pytest.mark.parametrize("name", ["length_1", "mass_1", "mass_2", "center_1", "center_2", "inertia", "tau"])
def test_bad_params(name):
    with pytest.raises(ValueError, match=f"Acrobot: parameter {name} is 0; expected more than 0"):
        Acrobot(jit=False, **{name: 0.0})


def test_negative_noise():
    with pytest.raises(ValueError, match=r"Acrobot: parameter torque_noise is -1; expected at least 0"):
        Acrobot(jit=False, torque_noise=-1.0)


def test_image():
    env = Acrobot(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step([2])
    assert (env.render() != image).any()
