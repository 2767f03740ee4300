"""Games between players."""

from __future__ import annotations

import numpy as np
import pytest
from players import one_ply, random_player

import puffer_numba
from puffer_numba.env import APIUsageError
from puffer_numba.pufferl import load_config, load_env, load_policy
from puffer_numba.spaces.observations import action_masks
from puffer_numba.train.episodes import policy_player
from puffer_numba.train.matches import play


@pytest.fixture(scope="module")
def tic_tac_toe():
    with puffer_numba.make("tic_tac_toe", 20) as env:
        yield env


@pytest.mark.parametrize("name", ["tic_tac_toe", "connect_four"])
def test_who_looks_ahead_wins(name):
    with puffer_numba.make(name, 20) as env:
        results = play(env, [one_ply(0), random_player(0)], 200)
    assert results.shape == (200, 2)
    assert (results.sum(1) == 0).all()
    assert set(results[:, 0]) <= {-1.0, 0.0, 1.0}
    assert np.mean(results[:, 0] > 0) > 0.8
    assert np.mean(results[:, 0] < 0) < 0.1


def test_one_ply_wins_and_blocks(tic_tac_toe):
    """X has two in the first row, O two in the second: who is to move completes its own; else it blocks."""
    env = tic_tac_toe
    env.reset(seed=0)
    for move in (0, 3, 1):
        env.step(np.full(40, move))
    assert (one_ply(0)(env, None)[1::2] == 2).all()  # O blocks X's third
    env.step(np.full(40, 4))
    assert (one_ply(0)(env, None)[0::2] == 2).all()  # X wins, though O has two as well


def test_each_player_takes_each_seat(tic_tac_toe):
    """Who begins with the middle and goes on with the lowest cell beats one that takes the highest."""

    def lowest(env, begins):
        legal = action_masks(env)
        return legal.argmax(1)

    def highest(env, begins):
        legal = action_masks(env)
        return 8 - legal[:, ::-1].argmax(1)

    results = play(tic_tac_toe, [lowest, highest], 40)
    # with these players the one who begins always wins: X has 0, 1, 2 or 8, 7, 6 first
    assert sorted(map(tuple, results)) == [(-1.0, 1.0)] * 20 + [(1.0, -1.0)] * 20


def test_a_policy_plays_legal_moves():
    config = load_config("tic_tac_toe")
    with load_env(config, 10) as env:
        policy = load_policy(config, env)
        for deterministic in (False, True):
            player = policy_player(policy, env.single_action_space, deterministic=deterministic)
            results = play(env, [player, random_player(0)], 100)
            # an illegal move would cost its player 1, and give the other nothing
            assert (results.sum(1) == 0).all()
        assert play(env, [player, player], 10, seed=3).shape == (10, 2)


def test_wrong_numbers(tic_tac_toe):
    player = random_player(0)
    with pytest.raises(APIUsageError, match="got 3 players; the environment has 2 seats"):
        play(tic_tac_toe, [player] * 3, 100)
    with pytest.raises(APIUsageError, match=r"20 copies of the environment for 10 games .* a game for each copy"):
        play(tic_tac_toe, [player] * 2, 10)
