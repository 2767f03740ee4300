"""Games between players of one environment, each taking every seat as often as the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from puffer_numba.distributions.actions import action_distribution, seed_stream
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.actor import Actor

Player = Callable[[PufferEnv, NDArray[np.bool_]], NDArray[Any]]
"""From an environment, and which of its rows begin an episode, to actions for all rows, as ``env.step`` takes them;
those of others' seats are ignored."""


def policy_player(
    policy: nn.Module,
    action_space: Any,
    *,
    normalizer: nn.Module | None = None,
    deterministic: bool = False,
    seed: int = 0,
) -> Player:
    """A player that acts as ``policy`` does.

    Args:
        action_space: the environment's ``single_action_space``.
        normalizer: of its observations, or None.
        deterministic: take the likeliest action instead of drawing one.
        seed: of the draws.
    """
    distribution, stream = action_distribution(action_space, policy), seed_stream(seed)
    actors: dict[int, Actor] = {}  # by number of rows

    @torch.inference_mode()
    def act(env: PufferEnv, begins: NDArray[np.bool_]) -> NDArray[Any]:
        if env.num_agents not in actors:
            actors[env.num_agents] = Actor(policy, env.num_agents, normalizer)
        actor = actors[env.num_agents]
        actor.forget(begins)
        params, _ = actor.act(torch.from_numpy(env.observations), env.masks)
        if deterministic:
            return distribution.mode(params).cpu().numpy()
        dtype = np.float32 if distribution.dtype.is_floating_point else np.int64
        actions = np.zeros((env.num_agents, *distribution.shape), dtype)
        distribution.sample(params, stream, actions, np.zeros(env.num_agents, np.float32))
        return distribution.to_env(actions)

    return act


def play(env: PufferEnv, players: Sequence[Player], games: int, seed: int = 0) -> NDArray[np.float64]:
    """Returns of each player in each game, ``(games, players)``.

    In copy ``c`` of the environment, seat ``a`` is taken by player ``(a + c) % len(players)``. A game is over once each
    seat's episode has ended. Each copy plays its share of the games, whose number is fixed beforehand: the first to end
    would be the short ones.

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
    left = np.full(copies, games // copies)
    left[: games % copies] += 1
    returns, ended = np.zeros((copies, seats)), np.zeros((copies, seats), np.bool_)
    results: list[NDArray[np.float64]] = []
    env.reset(seed)
    begins = np.ones(env.num_agents, np.bool_)
    while left.any():
        choices = np.stack([np.array(player(env, begins)) for player in players])
        actions = choices[player_of.reshape(-1), np.arange(env.num_agents)]
        _, rewards, terminals, truncations, _ = env.step(actions)
        returns += rewards.reshape(copies, seats)
        begins = terminals | truncations
        ended |= begins.reshape(copies, seats)
        for copy in np.flatnonzero(ended.all(1)):
            if left[copy]:
                left[copy] -= 1
                results.append(returns[copy, np.argsort(player_of[copy])])
            returns[copy], ended[copy] = 0.0, False
    return np.array(results)
