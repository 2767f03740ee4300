"""Bandit: one arm pays, always the same one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.bandit import Bandit


def test_one_arm_pays_in_every_copy_and_under_every_seed():
    for seed in (0, 1):
        env = Bandit(4, seed=seed, reward_scale=2.5, jit=False)
        env.reset()
        rewards = env.step(np.arange(4))[1]
        assert sorted(rewards) == [0, 0, 0, 2.5]
        assert rewards[env.params.arm] == 2.5


def test_arm_seed_spreads_over_the_arms():
    arms = [Bandit(num_actions=4, arm_seed=seed, jit=False).params.arm for seed in range(200)]
    assert stats.chisquare(np.bincount(arms, minlength=4)).pvalue > 1e-3


def test_arm_may_be_given():
    assert Bandit(arm=3, jit=False).params.arm == 3


def test_every_step_is_an_episode():
    env = Bandit(3, arm=1, jit=False)
    observations, _ = env.reset()
    assert (observations == 1).all()
    observations, _, terminals, truncations, _ = env.step([1, 1, 0])
    assert terminals.all()
    assert not truncations.any()
    assert (observations == 1).all()
    assert env.log() == {
        "episodes": 3,
        "episode_return": pytest.approx(2 / 3),
        "episode_length": 1,
        "solved": pytest.approx(2 / 3),
    }


def test_noise_has_the_standard_deviation_it_is_given():
    env = Bandit(5_000, arm=1, reward_noise=0.5, jit=False)
    env.reset(seed=1)
    right, wrong = (env.step(np.full(5_000, arm))[1].astype(float) for arm in (1, 0))
    assert stats.kstest(right, stats.norm(1, 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(wrong, stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(right, wrong)[0, 1]) < 0.06


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"num_actions": 1}, "num_actions is 1; expected at least 2"),
        ({"reward_noise": -0.5}, "reward_noise is -0.5; expected at least 0"),
        ({"arm": 4}, "arm is 4; expected less than 4"),
        ({"num_actions": 2.0}, "num_actions is 2.0; expected an integer"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Bandit: parameter {message}"):
        Bandit(jit=False, **params)
