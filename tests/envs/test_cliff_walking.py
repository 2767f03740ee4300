"""CliffWalking against Gymnasium's CliffWalking-v1."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv

from puffer_numba.envs.cliff_walking import CliffWalking
from tests.helpers.parity import step_from
from tests.helpers.tables import assert_follows, every_pair, optimum, play_together

CELLS = list(range(37))  # what is not the cliff, which nobody stands on, nor the goal, where the episode has ended


@pytest.mark.parametrize("is_slippery", [False, True])
def test_transition_table_is_gymnasiums(is_slippery):
    states, actions = every_pair(CELLS, 4, copies=500)
    given = {"row": states // 12, "column": states % 12}
    found = step_from(CliffWalking, given, actions, is_slippery=is_slippery)
    outcomes = (found.observations[:, 0], found.rewards, found.terminals)
    assert_follows(CliffWalkingEnv(is_slippery=is_slippery).P, states, actions, outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("is_slippery", [False, True])
def test_games_are_gymnasiums_draw_by_draw(is_slippery):
    env = CliffWalking(autoreset="disabled", is_slippery=is_slippery)
    expected = gymnasium.make("CliffWalking-v1", render_mode="ansi", is_slippery=is_slippery)
    assert play_together(env, expected, 6000)["terminated"] > 0


def test_a_drop_in_for_gymnasium():
    env, expected = gymnasium.make("puffer_numba/CliffWalking-v1"), gymnasium.make("CliffWalking-v1")
    assert env.observation_space == expected.observation_space
    assert env.action_space == expected.action_space
    assert env.spec.max_episode_steps is expected.spec.max_episode_steps is None
    assert env.reset(seed=0) == (36, {"prob": 1.0})


def test_optimum():
    env = CliffWalking(jit=False)
    env.reset(seed=0)
    total = 0.0
    for action in (0, *[1] * 11, 2):
        _, rewards, terminals, _, _ = env.step([action])
        total += float(rewards[0])
    assert terminals[0]
    assert total == -13
    for is_slippery, best in ((False, -13.0), (True, -64.7)):
        expected = CliffWalkingEnv(is_slippery=is_slippery)
        assert optimum(expected.P, expected.initial_state_distrib, 600) == pytest.approx(best, abs=0.05)


def test_bad_params():
    with pytest.raises(ValueError, match=r"CliffWalking: parameter is_slippery is 0.5; expected True or False"):
        CliffWalking(jit=False, is_slippery=0.5)


def test_image():
    env = CliffWalking(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((240, 720, 3), np.uint8)
    env.step([0])
    assert (env.render() != image).any()
