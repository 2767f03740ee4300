"""Stochastic: the best policy is a coin of a certain bias."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Gt, Lt
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Count


class Stochastic(JitEnv):
    """Play action 0 in a share ``p`` of all steps, without knowing how often it was played.

    A policy that plays action 0 with probability q earns about ``min(q / p, (1 - q) / (1 - p))``: 1 at q = p, and
    nothing if it is deterministic. A recurrent policy can count, which would miss the point.

    - Observation: ``Box(-1, 1, (1,), float32)``, always 1.
    - Action: ``Discrete(2)``.
    - Reward: for action 0 where its share of the steps before was below ``p``: ``1 / (p * horizon)``; for action 1
      where it was not: ``1 / ((1 - p) * horizon)``; else 0.
    - Terminated: after ``horizon`` steps.

    Source: PufferLib 3, Ocean's ``stochastic``. There, both actions earn the same, so that a coin somewhat below ``p``,
    which never gets to where action 1 is the right one, earns up to three times as much as the one it asks for.
    """

    metrics = ("share",)
    single_observation_space = Box(-1, 1, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        tick: int
        zeros: int  # how often action 0 was played
        share: float

    class Params(NamedTuple):
        p: Annotated[float, Gt(0), Lt(1)] = 0.75  # share of action 0 that is asked for
        horizon: Count = 500  # steps of an episode

    @kernel
    def reset_env(s, p, i, rng):
        pass

    @kernel
    def step_env(s, p, i, action, rng):
        wanted = 0 if s.share[i] < p.p else 1
        worth = 1.0 / (float(p.horizon) * (p.p if action == 0 else 1.0 - p.p))
        s.tick[i] += 1
        s.zeros[i] += action == 0
        s.share[i] = float(s.zeros[i]) / float(s.tick[i])
        return worth if action == wanted else 0.0, s.tick[i] == p.horizon

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = 1.0
