"""Whole episodes of a policy, or of any other player: their returns and lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from puffer_numba.distributions import action_distribution, seed_stream
from puffer_numba.env import PufferEnv
from puffer_numba.models.actor import Actor

Player = Callable[[PufferEnv, NDArray[np.bool_]], NDArray[Any]]
"""From an environment, and which of its rows begin an episode, to actions for all rows, as ``env.step`` takes them;
those of others' seats are ignored."""

Watcher = Callable[[PufferEnv], object]
"""Called before each step, to show or record the environment."""


class Quota:
    """A share of episodes for each row or copy, fixed beforehand: whichever ended first would be the short ones.

    Args:
        episodes: in all.
        slots: rows, or copies of the environment, that share them.
    """

    def __init__(self, episodes: int, slots: int) -> None:
        self._left = np.full(slots, episodes // slots)
        self._left[: episodes % slots] += 1

    def is_open(self) -> bool:
        """Whether an episode is still to come."""
        return bool(self._left.any())

    def take(self, slot: int | np.integer[Any]) -> bool:
        """An episode of ``slot`` has ended; whether it counts."""
        counts = bool(self._left[slot])
        self._left[slot] -= counts
        return counts


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
        deterministic: take the greedy action instead of sampling.
        seed: of the samples.
    """
    distribution, stream = action_distribution(action_space, policy), seed_stream(seed)
    actors: dict[int, Actor] = {}  # by number of rows

    @torch.inference_mode()
    def act(env: PufferEnv, begins: NDArray[np.bool_]) -> NDArray[Any]:
        if env.num_agents not in actors:
            actors[env.num_agents] = Actor(policy, env.num_agents, normalizer, distribution=distribution)
        actor = actors[env.num_agents]
        actor.reset_state(begins)
        params, _ = actor.act(torch.from_numpy(env.observations), env.masks)
        if deterministic:
            return distribution.mode(params).cpu().numpy()
        actions, log_probs = distribution.storage(env.num_agents)
        stream[1] += np.uint64(1)
        distribution.sample(params, stream, actions, log_probs)
        return distribution.to_env(actions)

    return act


@torch.inference_mode()
def run_episodes(
    env: PufferEnv,
    policy: nn.Module,
    episodes: int,
    normalizer: nn.Module | None = None,
    deterministic: bool = False,
    seed: int = 0,
    watchers: Sequence[Watcher] = (),
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths of ``episodes`` whole episodes of ``policy``, a `Quota` of them in each row."""
    rows, space = env.num_agents, env.single_action_space
    player = policy_player(policy, space, normalizer=normalizer, deterministic=deterministic, seed=seed)
    quota = Quota(episodes, rows)
    running_returns, running_lengths = np.zeros(rows), np.zeros(rows, np.int64)
    returns: list[float] = []
    lengths: list[int] = []
    begins = np.ones(rows, np.bool_)
    env.reset(seed)
    while quota.is_open():
        for watch in watchers:
            watch(env)
        acting = env.masks.copy()
        _, rewards, terminals, truncations, _ = env.step(player(env, begins))
        begins = terminals | truncations
        running_returns += np.where(acting, rewards, 0)
        running_lengths += acting
        for row in np.flatnonzero(begins & acting):
            if quota.take(row):
                returns.append(float(running_returns[row]))
                lengths.append(int(running_lengths[row]))
            running_returns[row] = running_lengths[row] = 0
    return np.array(returns), np.array(lengths)
