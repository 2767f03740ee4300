"""Whole episodes of a policy: their returns and lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from puffer_numba.env import PufferEnv
from puffer_numba.render.canvas import Frame
from puffer_numba.render.window import picture
from puffer_numba.train.matches import policy_player

Screen = Callable[[Frame], object]


@torch.inference_mode()
def run_episodes(
    env: PufferEnv,
    policy: nn.Module,
    episodes: int,
    normalizer: nn.Module | None = None,
    deterministic: bool = False,
    seed: int = 0,
    screens: Sequence[Screen] = (),
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths of ``episodes`` whole episodes.

    Each row has its share of episodes fixed beforehand: the first to end, whichever row they are in, would
    be the short ones.
    """
    rows = env.num_agents
    space = env.single_action_space
    player = policy_player(policy, space, normalizer=normalizer, deterministic=deterministic, seed=seed)
    quota = np.full(rows, episodes // rows)
    quota[: episodes % rows] += 1
    running_returns, running_lengths = np.zeros(rows), np.zeros(rows, np.int64)
    returns: list[float] = []
    lengths: list[int] = []
    begins = np.ones(rows, np.bool_)
    env.reset(seed)
    while quota.any():
        for screen in screens:
            screen(picture(env))
        acting = env.masks.copy()
        _, rewards, terminals, truncations, _ = env.step(player(env, begins))
        begins = terminals | truncations
        running_returns += np.where(acting, rewards, 0)
        running_lengths += acting
        for row in np.flatnonzero(begins & acting):
            if quota[row]:
                quota[row] -= 1
                returns.append(float(running_returns[row]))
                lengths.append(int(running_lengths[row]))
            running_returns[row] = running_lengths[row] = 0
    return np.array(returns), np.array(lengths)
