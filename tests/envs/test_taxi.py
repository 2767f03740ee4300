"""Taxi against Gymnasium's Taxi-v4."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text.taxi import TaxiEnv
from scipy import stats

from puffer_numba.envs.taxi import STATES, Taxi
from tests.helpers.parity import step_from
from tests.helpers.tables import assert_follows, every_pair, optimum, play_together

VARIANTS = [
    {},
    {"is_rainy": True},
    {"is_rainy": True, "rainy_probability": 0.4},
    {"is_rainy": True, "rainy_probability": 0.0},
    {"is_rainy": True, "rainy_probability": 1.0},
    {"fickle_passenger": True},
    {"is_rainy": True, "fickle_passenger": True, "fickle_probability": 1.0},
]


@pytest.mark.slow
@pytest.mark.parametrize("variant", [v for v in VARIANTS if "fickle_passenger" not in v])
def test_transition_table_is_gymnasiums(variant):
    expected = TaxiEnv(**variant)
    states, actions = every_pair(range(STATES), 6, copies=200)
    found = step_from(Taxi, {"state": states}, actions, **variant)
    assert_follows(expected.P, states, actions, (found.observations[:, 0], found.rewards, found.terminals))
    masks = np.array([expected.action_mask(state) for state in range(STATES)])
    np.testing.assert_array_equal(found.state.action_mask, masks[found.state.state])


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_games_are_gymnasiums_draw_by_draw(variant):
    """States are restricted to those that random play reaches, hence the many steps: some deliveries are among them."""
    env = Taxi(autoreset="disabled", **variant)
    expected = gymnasium.make("Taxi-v4", render_mode="ansi", **variant)
    ends = play_together(env, expected, 6000)
    assert min(ends.values()) > 0


def test_a_fickle_passenger_changes_the_destination_once():
    """After a pickup, on the first move; to each of the others alike."""
    count = 6000
    riding = (2 * 5 + 1) * 5 * 4 + 4 * 4 + 0  # in row 2, where no wall is
    states = {"state": np.full(count, riding), "fickle": np.ones(count, bool)}
    kept = step_from(Taxi, states, np.full(count, 4), fickle_passenger=True)  # a pickup, no move
    assert (kept.state.state == riding).all()
    assert kept.state.fickle.all()
    moved = step_from(Taxi, states, np.full(count, 2), fickle_passenger=True)
    assert not moved.state.fickle.any()
    destinations, counts = np.unique(moved.state.state % 4, return_counts=True)
    assert destinations.tolist() == [1, 2, 3]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_first_states():
    env = Taxi(30_000, fickle_passenger=True, fickle_probability=0.3)
    observations, _ = env.reset(seed=1)
    cells, counts = np.unique(observations, return_counts=True)
    assert cells.tolist() == np.flatnonzero(TaxiEnv().initial_state_distrib).tolist()
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.binomtest(int(env.state.fickle.sum()), 30_000, 0.3).pvalue > 1e-3


def test_a_drop_in_for_gymnasium():
    env, expected = gymnasium.make("puffer_numba/Taxi-v1", is_rainy=True), gymnasium.make("Taxi-v4", is_rainy=True)
    assert env.observation_space == expected.observation_space
    assert env.action_space == expected.action_space
    assert env.spec.max_episode_steps == expected.spec.max_episode_steps == 200
    _, info = env.reset(seed=0)
    for _ in range(150):  # of actions that change something
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample(info["action_mask"]))
        assert reward in (-1, 20)
        assert (info["action_mask"] == expected.unwrapped.action_mask(observation)).all()
        if terminated or truncated:
            _, info = env.reset()


def test_optimum():
    expected = TaxiEnv()
    assert optimum(expected.P, expected.initial_state_distrib, 30) == pytest.approx(7.93, abs=1e-6)


@pytest.mark.parametrize("name", ["rainy_probability", "fickle_probability"])
@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_bad_params(name, value):
    with pytest.raises(ValueError, match=f"Taxi: parameter {name} is {value}; expected 0 to 1"):
        Taxi(jit=False, **{name: value})


def test_image():
    env = Taxi(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((456, 456, 3), np.uint8)
    for action in range(4):
        env.step([action])
        if (env.render() != image).any():
            return
    raise AssertionError("the taxi did not move")
