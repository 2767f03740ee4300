"""Bandit: find the arm that pays."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import normal, stream_starts


class Bandit(JitEnv):
    """The classic multi-armed bandit: one arm pays, in every copy the same.

    - Observation: ``Box(-1, 1, (1,), float32)``, always 1.
    - Action: ``Discrete(num_actions)``, the arm to pull.
    - Reward: ``reward_scale`` for the right arm, 0 for the others; plus noise of standard deviation ``reward_noise``.
    - Terminated: at every step.

    Source: PufferLib 3, Ocean's ``bandit``. There the noise is scaled twice; here it is what its name says.
    """

    metrics = ("solved",)
    single_observation_space = Box(-1, 1, (1,), np.float32)

    class State(NamedTuple):
        arm: int  # that was pulled, plus 1; 0 before
        solved: bool

    class Params(NamedTuple):
        num_actions: Annotated[int, Ge(2)] = 4  # number of arms
        reward_scale: float = 1.0  # reward of the arm that pays
        reward_noise: Annotated[float, Ge(0)] = 0.0  # standard deviation of the noise on every reward
        arm: int = -1  # the arm that pays; chosen by arm_seed where negative
        arm_seed: int = 42
        """apart from the environment's seed: a bandit is only worth learning if its arms stay the same"""

    @staticmethod
    def single_action_space(p: Any) -> Discrete:
        return Discrete(p.num_actions)

    @classmethod
    def setup(cls, params: Any) -> Any:
        if params.arm >= params.num_actions:
            raise ValueError(f"Bandit: parameter arm is {params.arm}; expected less than {params.num_actions}.")
        if params.arm >= 0:
            return params
        return params._replace(arm=int(stream_starts(params.arm_seed, 0, 1)[0] % np.uint64(params.num_actions)))

    @kernel
    def reset_env(s, p, i, rng):
        pass

    @kernel
    def step_env(s, p, i, action, rng):
        s.arm[i] = action + 1
        s.solved[i] = action == p.arm
        reward = p.reward_scale if s.solved[i] else 0.0
        if p.reward_noise > 0.0:
            reward += p.reward_noise * normal(rng)
        return reward, True

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = 1.0
