"""Several agents in one environment: masks, ends, turns, returns."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba import APIUsageError
from tests.helpers.jit_envs import Team, force_threads
from tests.helpers.trajectories import (
    LIFETIMES,
    MODES,
    actions_for,
    assert_same,
    concatenated,
    make_team,
    record,
)


def play(env, actions, steps):
    """Per step: rewards, terminals, truncations, masks, each (num_envs, agents)."""
    rows = []
    for _ in range(steps):
        env.step(actions)
        rows.append(
            [a.reshape(env.num_envs, -1).copy() for a in (env.rewards, env.terminals, env.truncations, env.masks)]
        )
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_agents_of_a_team_die_one_by_one_and_the_last_one_ends_the_episode():
    env = Team(num_envs=2, lifetimes=LIFETIMES)
    env.reset(seed=0)
    rewards, terminals, truncations, masks = play(env, np.array([1, 1, 2] * 2), 6)
    for i in range(2):
        np.testing.assert_array_equal(rewards[:, i], [[1, 2, 6], [1, 2, 6], [0, 2, 6], [0, 0, 6], [0, 0, 6], [1, 2, 6]])
        np.testing.assert_array_equal(np.argwhere(terminals[:, i]), [[1, 0], [2, 1], [4, 2]])
        expected = [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1], [1, 1, 1], [1, 1, 1]]  # the fifth is the restart
        np.testing.assert_array_equal(masks[:, i], np.array(expected, bool))
    assert not truncations.any()
    np.testing.assert_array_equal(env.episode_returns, [2, 6, 30] * 2)
    np.testing.assert_array_equal(env.episode_lengths, [2, 3, 5] * 2)
    assert env.log() == {"episodes": 2, "episode_return": pytest.approx(38 / 3), "episode_length": 5, "revived": 0}


def test_final_observations_of_a_team_are_those_of_the_step_that_ended():
    env = Team(num_envs=1, lifetimes=LIFETIMES)
    env.reset(seed=0)
    for step in range(1, 6):
        env.step(np.zeros(3, int))
        for a in np.flatnonzero(env.terminals):
            np.testing.assert_array_equal(env.final_observations[a, :2], [step, a])
    assert (env.observations[:, 0] == 0).all()


def test_team_end_terminates_the_living_only():
    env = Team(num_envs=1, lifetimes=LIFETIMES, length=4)
    env.reset(seed=0)
    _, terminals, truncations, masks = play(env, np.ones(3, int), 4)
    np.testing.assert_array_equal(np.argwhere(terminals[:, 0]), [[1, 0], [2, 1], [3, 2]])
    assert not truncations.any()
    assert masks[3].all()  # restarted
    assert env.log()["episode_length"] == 4


def test_time_limit_truncates_the_living_agents_of_a_team_only():
    env = Team(num_envs=1, lifetimes=LIFETIMES, max_episode_steps=4)
    env.reset(seed=0)
    _, terminals, truncations, _ = play(env, np.ones(3, int), 4)
    np.testing.assert_array_equal(np.argwhere(truncations[:, 0]), [[3, 2]])
    np.testing.assert_array_equal(np.argwhere(terminals[:, 0]), [[1, 0], [2, 1]])
    np.testing.assert_array_equal(env.episode_lengths, [2, 3, 4])


def test_agents_can_wait_for_their_turn_from_the_start():
    env = Team(num_envs=2, lifetimes=LIFETIMES, waiting=True)
    env.reset(seed=0)
    assert env.masks.tolist() == [True, False, False] * 2


def test_dead_agents_can_be_brought_back_and_die_again():
    env = Team(num_envs=1, lifetimes=LIFETIMES, revive_at=4)
    env.reset(seed=0)
    rewards, terminals, _, masks = play(env, np.ones(3, int), 7)
    np.testing.assert_array_equal(np.argwhere(terminals[:, 0]), [[1, 0], [2, 1], [4, 2], [5, 0], [6, 1]])
    expected = [[1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1], [1, 1, 0], [0, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(masks[:, 0], np.array(expected, bool))
    np.testing.assert_array_equal(rewards[:, 0, 0], [1, 1, 0, 0, 1, 1, 0])
    assert env.log() == {"episodes": 1, "episode_return": pytest.approx(31 / 3), "episode_length": 7, "revived": 2}


def test_agents_that_wait_for_their_turn_are_masked_but_not_dead():
    env = Team(num_envs=2, lifetimes=np.full(3, 99), turns=True, length=5)
    env.reset(seed=0)
    for _ in range(2):  # the second episode is like the first
        rewards, terminals, _, masks = play(env, np.ones(6, int), 5)
        expected = [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1]]
        for i in range(2):
            np.testing.assert_array_equal(masks[:, i], np.array(expected, bool))
            np.testing.assert_array_equal(rewards[:, i], [[1, 2, 3], [0, 2, 0], [0, 0, 3], [1, 0, 0], [0, 2, 0]])
        assert not terminals[:4].any()
        assert terminals[4].all()  # those who wait have ended too
        np.testing.assert_array_equal(env.episode_returns, [2, 6, 6] * 2)


def test_a_new_episode_forgets_who_was_dead_also_of_those_who_never_had_a_turn():
    env = Team(num_envs=2, lifetimes=np.full(3, 99), turns=True, length=2)
    env.reset(seed=0)
    _, terminals, *_ = play(env, np.ones(6, int), 6)
    np.testing.assert_array_equal(terminals[1::2], True)
    assert not terminals[::2].any()


@pytest.mark.parametrize("mode", MODES[1:])
def test_team_waits_for_its_reset_where_that_is_not_in_the_same_step(mode):
    env = Team(num_envs=2, lifetimes=LIFETIMES, autoreset=mode)
    env.reset(seed=0)
    play(env, np.ones(6, int), 5)
    assert not env.masks.any()
    np.testing.assert_array_equal(env.observations[:, 0], 5)
    if mode == "disabled":
        with pytest.raises(APIUsageError, match="environment 0 has ended"):
            env.step(np.ones(6, int))
        env.reset(mask=np.ones(2, bool))
    else:
        rewards, terminals, *_ = play(env, np.ones(6, int), 1)
        assert not rewards.any()
        assert not terminals.any()
    assert env.masks.all()
    assert (env.observations[:, 0] == 0).all()
    rewards, *_ = play(env, np.ones(6, int), 1)
    np.testing.assert_array_equal(rewards[0], [[1, 2, 3]] * 2)


def test_team_does_not_depend_on_its_neighbours_or_threads():
    whole = make_team(num_envs=20, seed=5)
    actions = list(actions_for(whole, 30))
    expected = record(whole, actions=actions)
    assert_same(expected, record(force_threads(make_team(num_envs=20, seed=5)), actions=actions))
    parts = [
        record(make_team(num_envs=b - a, first_env=a, seed=5), actions=[x[3 * a : 3 * b] for x in actions])
        for a, b in ((0, 7), (7, 20))
    ]
    assert_same(expected, concatenated(parts))
