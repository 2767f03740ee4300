"""MountainCar, with both kinds of actions, against Gymnasium's MountainCar-v0 and MountainCarContinuous-v0."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.envs.classic_control import Continuous_MountainCarEnv, MountainCarEnv
from scipy import stats

from puffer_numba.envs.mountain_car import MountainCar
from puffer_numba.envs.mountain_car_continuous import MountainCarContinuous
from tests.helpers.parity import TRANSITIONS, step_from

CASES = [
    (MountainCar, MountainCarEnv, "float32", 5e-7),
    (MountainCar, MountainCarEnv, "float64", 1e-14),
    # the reference keeps its own state in float32
    (MountainCarContinuous, Continuous_MountainCarEnv, "float32", 5e-7),
    (MountainCarContinuous, Continuous_MountainCarEnv, "float64", 2e-7),
]


@pytest.mark.parametrize("goal_velocity", [0.0, 0.02])
@pytest.mark.parametrize(("env_class", "reference", "dtype", "tolerance"), CASES)
def test_transitions_are_gymnasiums(env_class, reference, dtype, tolerance, goal_velocity):
    rng = np.random.default_rng(0)
    states = rng.uniform([-1.2, -0.07], [0.6, 0.07], (TRANSITIONS, 2)).astype(dtype)
    if env_class is MountainCar:
        actions = rng.integers(3, size=TRANSITIONS)
    else:
        actions = rng.uniform(-1, 1, (TRANSITIONS, 1)).astype(np.float32)
    named = {"position": states[:, 0], "velocity": states[:, 1]}
    found = step_from(env_class, named, actions, dtype=dtype, goal_velocity=goal_velocity)

    env = reference(goal_velocity=goal_velocity)
    env.reset(seed=0)
    after, rewards, terminals = np.zeros((TRANSITIONS, 2)), np.zeros(TRANSITIONS), np.zeros(TRANSITIONS, np.bool_)
    for k in range(TRANSITIONS):
        env.state = states[k].astype(np.float64)
        action = int(actions[k]) if env_class is MountainCar else actions[k].astype(np.float64)
        after[k], rewards[k], terminals[k], *_ = env.step(action)
        after[k] = env.state
    np.testing.assert_allclose(np.column_stack(found.state), after, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.observations, after, rtol=0, atol=5e-7)
    # within rounding of the goal, float32 may be on the other side of it
    clear = np.minimum(np.abs(after[:, 0] - env.goal_position), np.abs(after[:, 1] - goal_velocity)) > 1e-6
    assert clear.sum() > 0.99 * TRANSITIONS
    np.testing.assert_array_equal(found.terminals[clear], terminals[clear])
    np.testing.assert_allclose(found.rewards[clear], rewards[clear], rtol=1e-7, atol=1e-6)
    assert terminals.sum() > 50
    assert ((after[:, 0] == np.float32(-1.2)) | (after[:, 0] == -1.2)).sum() > 50  # the wall was met
    assert (np.abs(np.abs(after[:, 1]) - 0.07) < 1e-8).sum() > 50  # and the speed limit


@pytest.mark.parametrize(("env_class", "limit"), [(MountainCar, 200), (MountainCarContinuous, 999)])
def test_time_limit_and_first_states(env_class, limit):
    env = env_class(2000)
    observations, _ = env.reset(seed=3)
    assert stats.kstest(observations[:, 0], stats.uniform(-0.6, 0.2).cdf).pvalue > 1e-3
    assert not observations[:, 1].any()
    idle = np.ones(2000, np.int64) if env_class is MountainCar else np.zeros((2000, 1), np.float32)
    for step in range(1, limit + 1):
        _, _, terminals, truncations, _ = env.step(idle)
        assert not terminals.any()
        assert truncations.all() == truncations.any() == (step == limit)


@pytest.mark.parametrize("env_class", [MountainCar, MountainCarContinuous])
def test_bad_params(env_class):
    with pytest.raises(ValueError, match=f"{env_class.__name__}: parameter max_speed is 0; expected more than 0"):
        env_class(jit=False, max_speed=0.0)
    with pytest.raises(ValueError, match=r"parameter goal_position is 0.7; expected more than min_position, -1.2"):
        env_class(jit=False, goal_position=0.7)


def test_image():
    env = MountainCar(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 600, 3), np.uint8)
    env.step([2])
    assert (env.render() != image).any()
