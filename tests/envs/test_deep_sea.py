"""DeepSea against bsuite's, and against its rules."""

from __future__ import annotations

import numpy as np
import pytest
from bsuite.environments import deep_sea
from scipy import stats

from puffer_numba.envs.deep_sea import DeepSea
from tests.helpers.tables import Draws


@pytest.mark.filterwarnings("ignore:Environment is in debug mode")
@pytest.mark.parametrize(
    "variant",
    [
        {"size": 10},
        {"size": 4, "mapping_seed": 7, "unscaled_move_cost": 0.5},
        {"size": 4, "deterministic": False},
        {"size": 3, "deterministic": False, "randomize_actions": False},
    ],
)
def test_games_are_bsuites_draw_by_draw(variant):
    reference = deep_sea.DeepSea(**{"mapping_seed": 0, **variant})
    env = DeepSea(autoreset="disabled", **variant)
    env.reset(seed=0)
    draws = reference._rng = Draws(env)
    np.testing.assert_array_equal(env.params.right_action, reference._action_mapping)
    rng = np.random.default_rng(0)
    before = reference.bsuite_info()
    for _ in range(300):
        observations, _ = env.reset()
        expected = reference.reset()
        for step in range(1, variant["size"] + 1):
            np.testing.assert_array_equal(observations[0], expected.observation)
            right = reference._action_mapping[reference._row, reference._column]
            action = int(right if rng.random() < 0.8 else rng.integers(2))
            draws.follow()
            observations, rewards, terminals, _, _ = env.step([action])
            expected = reference.step(action)
            assert rewards[0] == pytest.approx(expected.reward, abs=2e-6)
            assert terminals[0] == expected.last() == (step == variant["size"])
        assert not observations.any()
        log, bsuite_info = env.log(), reference.bsuite_info()
        assert log["bad_episode"] == bsuite_info["total_bad_episodes"] - before["total_bad_episodes"]
        assert log["denoised_return"] == bsuite_info["denoised_return"] - before["denoised_return"]
        before = bsuite_info
    assert 0 < before["total_bad_episodes"] < 300
    assert before["denoised_return"] > 10


def go_right(env):
    """The action that goes right, for each environment."""
    state = env.state
    return env.params.right_action[state.row, state.column].astype(np.int64)


@pytest.mark.parametrize("size", [2, 10, 30])
def test_the_best_return(size):
    env = DeepSea(8, size=size, mapping_seed=3)
    env.reset(seed=0)
    for _ in range(size):
        env.step(go_right(env))
    log = env.log()
    assert log["episode_return"] == pytest.approx(0.99, abs=1e-6)
    assert (log["episodes"], log["denoised_return"], log["bad_episode"], log["episode_length"]) == (8, 1, 0, size)


def test_one_step_to_the_left_loses_the_treasure():
    env = DeepSea(10)
    env.reset(seed=0)
    for step in range(10):
        right = go_right(env)
        env.step(np.where(np.arange(10) == step, 1 - right, right))  # each strays at another step
    log = env.log()
    assert (log["bad_episode"], log["denoised_return"]) == (1, 0)
    assert log["episode_return"] == pytest.approx(-0.009, abs=1e-6)


def test_wind_and_noise():
    """Going right fails with probability 1 / size, and rewards in the lower corners are noisy."""
    count, size = 20_000, 5
    env = DeepSea(count, size=size, deterministic=False, autoreset="disabled")
    env.reset(seed=0)
    for step in range(size):
        before = env.state.column.copy()
        _, rewards, *_ = env.step(go_right(env))
        if step < size - 1:
            assert stats.binomtest(int((env.state.column == before).sum()), count, 1 / size).pvalue > 1e-3
            np.testing.assert_allclose(rewards, -0.01 / size, rtol=1e-6)
    middle = (before > 0) & (before < size - 1)
    np.testing.assert_allclose(rewards[middle], -0.01 / size, rtol=1e-6)
    for corner, mean in ((before == 0, 0.0), (before == size - 1, 1.0)):
        assert corner.sum() > 20
        assert stats.kstest(rewards[corner], stats.norm(mean - 0.01 / size).cdf).pvalue > 1e-3


def test_what_actions_mean():
    assert (DeepSea(jit=False, randomize_actions=False).params.right_action == 1).all()
    meanings = [DeepSea(jit=False, size=20, mapping_seed=seed).params.right_action for seed in (0, 0, 1)]
    assert (meanings[0] == meanings[1]).all()
    assert 100 < (meanings[0] != meanings[2]).sum() < 300


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 1}, "size is 1; expected 2 to 1024"),
        ({"mapping_seed": -1}, "mapping_seed is -1; expected 0 to"),
        ({"unscaled_move_cost": float("nan")}, "unscaled_move_cost is nan; expected a finite number"),
    ],
)
def test_bad_params(given, message):
    with pytest.raises(ValueError, match=f"DeepSea: parameter {message}"):
        DeepSea(jit=False, **given)


def test_images():
    env = DeepSea(jit=False)
    env.reset(seed=0)
    image, text = env.render(), env.render(mode="ansi")
    assert (image.shape, image.dtype) == ((480, 480, 3), np.uint8)
    assert (text[0], text[-2], text.count("\n")) == ("x", "$", 10)
    env.step([0])
    assert (env.render() != image).any()
    assert env.render(mode="ansi") != text
