"""Stochastic: the best policy is a coin of a certain bias."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel


class Stochastic(JitEnv):
    """Play action 0 in a share ``p`` of all steps, without knowing how often it was played.

    A policy that plays action 0 with probability q earns about ``min(q / p, (1 - q) / (1 - p))``: 1 at q = p, and
    nothing if it is deterministic. A policy with a memory can count, which would miss the point.

    - Observation: ``Box(-1, 1, (1,), float32)``, always 1.
    - Action: ``Discrete(2)``.
    - Reward: for action 0 where its share of the steps before was below ``p``: ``1 / (p * horizon)``; for action 1
      where it was not: ``1 / ((1 - p) * horizon)``; else 0.
    - Terminated: after ``horizon`` steps.

    Source: PufferLib 3, Ocean's ``stochastic``. There, both actions earn the same, so that a coin somewhat below ``p``,
    which never gets to where action 1 is the right one, earns up to three times as much as the one it asks for.
    """

    render_fps = 4
    metrics = ("share",)
    single_observation_space = Box(-1, 1, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        tick: int
        zeros: int  # how often action 0 was played
        share: float

    class Params(NamedTuple):
        p: float = 0.75
        """share of action 0 that is asked for"""
        horizon: int = 500
        """steps of an episode"""

    @classmethod
    def setup(cls, params: Any) -> Any:
        if not 0 < params.p < 1:
            raise ValueError(f"Stochastic: parameter p is {params.p:g}; expected more than 0 and less than 1.")
        if params.horizon < 1:
            raise ValueError(f"Stochastic: parameter horizon is {params.horizon}; expected at least 1.")
        return params

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
