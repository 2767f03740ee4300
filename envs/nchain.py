"""NChain: walk along a chain for a large reward at its end, or go back for a small one at once."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Le
from gymnasium.spaces import Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Probability
from puffer_numba.jit.random import random

FORWARD, BACK = 0, 1


class NChain(JitEnv):
    """States stand in a chain. Go forward to its end, where each step has a large reward, or back for a small one.

    - Observation: ``Discrete(n)``: the state.
    - Action: ``Discrete(2)``: 0 forward, 1 back to the beginning; with probability ``slip`` the other one happens.
    - Reward: ``small`` for going back, ``large`` for going forward in the last state, else 0.
    - Terminated: never.
    - Truncated: after 1000 steps. Optimum: a mean return of 3666, by always going forward.
    - Start: in the first state.

    Source: Strens (2000), as in OpenAI Gym's NChain-v0, which Gymnasium has no more, and EnvPool's.
    """

    max_episode_steps = 1000
    single_action_space = Discrete(2)

    class State(NamedTuple):
        state: int

    class Params(NamedTuple):
        n: Annotated[int, Ge(2), Le(2**20)] = 5  # states
        slip: Probability = 0.2  # probability that the other action happens
        small: float = 2.0  # reward for going back
        large: float = 10.0  # reward for going forward at the end

    @staticmethod
    def single_observation_space(p: Any) -> Discrete:
        return Discrete(p.n)

    @kernel
    def reset_env(s, p, i, rng):
        s.state[i] = 0

    @kernel
    def step_env(s, p, i, action, rng):
        back = (action == BACK) ^ (random(rng) < p.slip)
        at_end = s.state[i] == p.n - 1
        s.state[i] = 0 if back else min(s.state[i] + 1, p.n - 1)
        return p.small if back else p.large if at_end else 0.0, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.state[i]
