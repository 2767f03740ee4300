"""Password: guess a string of binary digits that never changes."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import stream_starts


class Password(JitEnv):
    """Say the digits of a password one after the other; only the last one tells whether all were right.

    A test of exploration: a policy must not settle before it has hit upon the password, which guessing does once in
    ``2 ** length`` episodes, and must then hold on to it.

    - Observation: ``Box(-1, 1, (length,), float32)``: the digits said so far, 0 or 1; -1 for those to come.
      So no recurrent policy is needed.
    - Action: ``Discrete(2)``: the next digit.
    - Reward: 1 with the last digit if all were right, else 0.
    - Terminated: after ``length`` steps.

    Source: PufferLib 3, Ocean's ``password``.
    """

    metrics = ("solved",)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        said: int  # digit k is bit k
        tick: int
        solved: bool

    class Params(NamedTuple):
        length: Annotated[int, Ge(1), Le(30)] = 5  # digits of the password
        password: int = -1  # digit k is bit k of this number; chosen by password_seed where negative
        password_seed: int = 42
        """apart from the environment's seed: the password is the same in every copy and every episode"""

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(-1, 1, (p.length,), np.float32)

    @classmethod
    def setup(cls, params: Any) -> Any:
        if params.password >= 2**params.length:
            raise ValueError(
                f"Password: parameter password is {params.password}; expected less than {2**params.length}, "
                f"for a length of {params.length}."
            )
        if params.password >= 0:
            return params
        chosen = stream_starts(params.password_seed, 0, 1)[0] % np.uint64(2**params.length)
        return params._replace(password=int(chosen))

    @kernel
    def reset_env(s, p, i, rng):
        pass

    @kernel
    def step_env(s, p, i, action, rng):
        s.said[i] |= np.int32(action) << s.tick[i]
        s.tick[i] += 1
        over = s.tick[i] == p.length
        s.solved[i] = over & (s.said[i] == p.password)
        return 1.0 if s.solved[i] else 0.0, over

    @kernel
    def observe_env(s, p, i, obs):
        for k in range(obs.shape[1]):
            obs[i, k] = float((s.said[i] >> k) & 1) if k < s.tick[i] else -1.0
