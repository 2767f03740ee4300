"""Goofspiel, the game of pure strategy, against an opponent who plays at random."""

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, Dict, Discrete

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.random import categorical, choice


class Goofspiel(JitEnv):
    """Bid cards for prizes: each of the players has the cards 1 to n, and a third set of them are the prizes.

    In each round a prize is shown, both players bid a card of their hands at the same time, and the higher bid takes
    the prize (nobody does when they are equal). Cards that were bid are gone. The opponent bids at random.

    **Observation** `Dict`: `action_mask`, 1 for each card that is in the hand; `opponent`, the same for the opponent;
    `prize`, one-hot; `score`, points won less points lost, divided by the sum of all prizes.

    **Action** `Discrete(n)`: the card to bid (0 is the card 1).

    **Reward**: at the end, 1 for more points than the opponent, -1 for fewer, 0 for as many.

    **End**: after n rounds.

    **Start**: full hands, prizes shuffled.
    """

    single_observation_space = staticmethod(
        lambda p: Dict(
            {
                "action_mask": Box(0, 1, (p.cards,), np.int8),
                "opponent": Box(0, 1, (p.cards,), np.int8),
                "prize": Box(0, 1, (p.cards,), np.int8),
                "score": Box(-1, 1, (1,), np.float32),
            }
        )
    )
    single_action_space = staticmethod(lambda p: Discrete(p.cards))
    metrics = ("won",)
    train_config = {"train.total_timesteps": 1_000_000}

    class State(NamedTuple):
        hand: Annotated[np.int8, "cards"]
        opponent: Annotated[np.int8, "cards"]
        prizes: Annotated[np.int8, "cards"]
        round: int = 0
        score: int = 0
        won: bool = False

    class Params(NamedTuple):
        cards: Annotated[int, Ge(2)] = 6

    @kernel
    def reset_env(s, p, i, rng):
        s.hand[i] = 1
        s.opponent[i] = 1
        choice(rng, p.cards, s.prizes[i])

    @kernel
    def step_env(s, p, i, action, rng):
        other = categorical(rng, s.opponent[i])
        prize = s.prizes[i, s.round[i]] + 1
        s.score[i] += prize * np.sign(action - other)
        s.hand[i, action] = 0
        s.opponent[i, other] = 0
        s.round[i] += 1
        if s.round[i] < p.cards:
            return 0.0, False
        s.won[i] = s.score[i] > 0
        return np.sign(s.score[i]), True

    @kernel
    def observe_env(s, p, i, obs):
        obs.action_mask[i] = s.hand[i]
        obs.opponent[i] = s.opponent[i]
        obs.prize[i] = 0
        if s.round[i] < p.cards:
            obs.prize[i, s.prizes[i, s.round[i]]] = 1
        obs.score[i] = s.score[i] / (p.cards * (p.cards + 1) / 2)
