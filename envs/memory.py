"""Memory: repeat a sequence after a delay."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Count
from puffer_numba.jit.random import integer


class Memory(JitEnv):
    """A random sequence of binary digits is shown, one at each step; after a delay, say it again.

    An episode has three parts: ``mem_length`` steps that show the digits, ``mem_delay`` steps of waiting, and
    ``mem_length`` steps of recall, in which only a recurrent policy does better than guessing.

    - Observation: ``Box(-1, 1, (1,), float32)``: the digit, 0 or 1, while it is shown; -1 afterwards.
    - Action: ``Discrete(2)``: in the recall, the digit; before that it has no effect.
    - Reward: 1 for each digit recalled rightly: a perfect episode returns ``mem_length``, guessing half of it.
    - Terminated: after the last digit, at step ``2 * mem_length + mem_delay``.

    Source: PufferLib 3, Ocean's ``memory``. There, observations after the sequence are 0, which is also a digit, the
    last digit is never asked for, and saying 0 while the sequence is shown is rewarded; this one has none of the three.
    """

    metrics = ("solved",)
    single_observation_space = Box(-1, 1, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        digits: Annotated[np.int8, "mem_length"]
        said: Annotated[np.int8, "mem_length"]  # digit + 1, and 0 before
        tick: int
        correct: int
        solved: bool

    class Params(NamedTuple):
        mem_length: Count = 1  # digits in the sequence
        mem_delay: Annotated[int, Ge(0)] = 0  # steps between the last digit shown and the first one asked for

    @kernel
    def reset_env(s, p, i, rng):
        for k in range(p.mem_length):
            s.digits[i, k] = integer(rng, 2)

    @kernel
    def step_env(s, p, i, action, rng):
        asked = s.tick[i] - p.mem_length - p.mem_delay
        right = asked >= 0 and s.digits[i, max(asked, 0)] == action
        if asked >= 0:
            s.said[i, asked] = action + 1
        s.correct[i] += right
        s.tick[i] += 1
        s.solved[i] = s.correct[i] == p.mem_length
        return 1.0 if right else 0.0, s.tick[i] == 2 * p.mem_length + p.mem_delay

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.digits[i, s.tick[i]] if s.tick[i] < p.mem_length else -1.0
