"""Multiagent: every agent must say its own number."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from annotated_types import Ge
from gymnasium.spaces import Discrete

from puffer_numba.jit import JitEnv, kernel


class Multiagent(JitEnv):
    """The smallest environment of several agents: agent ``a`` must pick action ``a``.

    A trainer that mixes up the agents' observations, actions or rewards does not learn it.

    - Observation: ``Discrete(players)``: the agent's own number.
    - Action: ``Discrete(players)``.
    - Reward: 1 for one's own number, 0 for another.
    - Terminated: at every step, for all agents.

    Source: PufferLib 3, Ocean's ``multiagent``, which has two agents.
    """

    agents = "players"
    metrics = ("solved",)

    class State(NamedTuple):
        picked: Annotated[int, "players"]  # action + 1, and 0 before the first
        solved: bool  # by all

    class Params(NamedTuple):
        players: Annotated[int, Ge(2)] = 2  # agents in one environment

    @staticmethod
    def single_observation_space(p: Any) -> Discrete:
        return Discrete(p.players)

    @staticmethod
    def single_action_space(p: Any) -> Discrete:
        return Discrete(p.players)

    @kernel
    def reset_env(s, p, i, rng, team):
        pass

    @kernel
    def step_env(s, p, i, action, rng, team):
        solved = True
        for a in range(p.players):
            s.picked[i, a] = action[a] + 1
            team.reward[i, a] = 1.0 if action[a] == a else 0.0
            solved &= action[a] == a
        s.solved[i] = solved
        return True

    @kernel
    def observe_env(s, p, i, obs):
        for a in range(obs.shape[1]):
            obs[i, a, 0] = a
