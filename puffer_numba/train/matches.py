"""Games between players of one environment, each taking every seat as often as the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.train.episodes import Player, Quota


def play(env: PufferEnv, players: Sequence[Player], games: int, seed: int = 0) -> NDArray[np.float64]:
    """Returns of each player in each game, ``(games, players)``.

    In copy ``c`` of the environment, seat ``a`` is taken by player ``(a + c) % len(players)``. A game is over once each
    seat's episode has ended. Each copy plays its `Quota` of the games.

    Args:
        env: copies of an environment with one agent for each player; at least as many copies as players.

    Raises:
        APIUsageError: another number of players than seats; fewer copies than players, or fewer games than copies.
    """
    copies = env.num_envs
    seats = env.num_agents // copies
    if len(players) != seats:
        raise APIUsageError(f"play() got {len(players)} players; the environment has {seats} seats.")
    if not seats <= copies <= games:
        raise APIUsageError(
            f"play() got {copies} copies of the environment for {games} games between {seats} players; expected at "
            "least a copy for each player, and a game for each copy."
        )
    player_of = (np.arange(seats) + np.arange(copies)[:, None]) % seats
    quota = Quota(games, copies)
    returns, ended = np.zeros((copies, seats)), np.zeros((copies, seats), np.bool_)
    results: list[NDArray[np.float64]] = []
    env.reset(seed)
    begins = np.ones(env.num_agents, np.bool_)
    while quota.is_open():
        choices = np.stack([np.array(player(env, begins)) for player in players])
        actions = choices[player_of.reshape(-1), np.arange(env.num_agents)]
        _, rewards, terminals, truncations, _ = env.step(actions)
        returns += rewards.reshape(copies, seats)
        begins = terminals | truncations
        ended |= begins.reshape(copies, seats)
        for copy in np.flatnonzero(ended.all(1)):
            if quota.take(copy):
                results.append(returns[copy, np.argsort(player_of[copy])])
            returns[copy], ended[copy] = 0.0, False
    return np.array(results)
