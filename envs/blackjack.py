"""Blackjack: draw cards for a sum that beats the dealer's and is not above 21."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Discrete, Tuple

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

ACE, TEN = 1, 10
STICK, HIT = 0, 1


def draw_card(rng):
    """Of an endless deck: ace 1, then 2 to 10; jack, queen and king are tens too."""
    return min(integer(rng, 13) + 1, TEN)


def best_sum(total, ace):
    """What a hand is worth that counts ``total`` with its aces as 1: one of them is 11 where that is not too much."""
    return total + 10 if ace & (total <= 11) else total


def is_natural(first, second):
    """Whether two cards are an ace and a ten."""
    return (min(first, second) == ACE) & (max(first, second) == TEN)


class Blackjack(JitEnv):
    """The dealer shows one of two cards. Take cards or stick; the higher sum wins, but above 21 loses at once.

    Cards are drawn from an endless deck. An ace counts 11 where that does not go above 21, and is called usable then.
    After the player sticks, the dealer draws up to a sum of 17 or more.

    - Observation: ``Tuple(Discrete(32), Discrete(11), Discrete(2))``: the player's sum, the dealer's open card (ace 1),
      whether the player has a usable ace.
    - Action: ``Discrete(2)``: 0 stick, 1 hit.
    - Reward: at the end 1 for a win, -1 for a loss, 0 for a draw. A natural, ace and ten at once: with ``sab`` it wins
      against all but another natural; else, with ``natural``, a win by it pays 1.5.
    - Terminated: after sticking, or with a sum above 21.
    - Truncated: never. Optimum: a mean return of -0.0431, by the book's strategy.
    - Start: two cards each.

    Source: Sutton & Barto (2018), example 5.1, as in Gymnasium's Blackjack-v1, whose games it reproduces card by card.
    """

    single_observation_space = Tuple((Discrete(32), Discrete(11), Discrete(2)))
    single_action_space = Discrete(2)

    class State(NamedTuple):
        total: np.int8  # of the player's cards, aces as 1
        ace: bool  # the player has one
        natural: bool  # the player has two cards, an ace and a ten
        dealer_card: np.int8
        hidden_card: np.int8

    class Params(NamedTuple):
        sab: bool = True  # rules of Sutton & Barto: a natural beats every other 21; overrules ``natural``
        natural: bool = False  # whether a win by a natural pays 1.5

    @kernel
    def reset_env(s, p, i, rng):
        s.dealer_card[i] = draw_card(rng)
        s.hidden_card[i] = draw_card(rng)
        first = draw_card(rng)
        second = draw_card(rng)
        s.total[i] = first + second
        s.ace[i] = min(first, second) == ACE
        s.natural[i] = is_natural(first, second)

    @kernel
    def step_env(s, p, i, action, rng):
        if action == HIT:
            card = draw_card(rng)
            s.total[i] += card
            s.ace[i] |= card == ACE
            s.natural[i] = False
            bust = s.total[i] > 21
            return -1.0 if bust else 0.0, bust
        total = s.dealer_card[i] + s.hidden_card[i]
        ace = min(s.dealer_card[i], s.hidden_card[i]) == ACE
        while best_sum(total, ace) < 17:
            card = draw_card(rng)
            total += card
            ace |= card == ACE
        dealer = best_sum(total, ace)
        player = best_sum(s.total[i], s.ace[i])
        wins = (player > dealer) | (dealer > 21)
        reward = 1.0 if wins else -1.0 if player < dealer else 0.0
        if s.natural[i] & p.sab & (not is_natural(s.dealer_card[i], s.hidden_card[i])):
            reward = 1.0
        elif s.natural[i] & p.natural & (not p.sab) & wins:
            reward = 1.5
        return reward, True

    @kernel
    def observe_env(s, p, i, obs):
        player = best_sum(s.total[i], s.ace[i])
        obs[i, 0] = player
        obs[i, 1] = s.dealer_card[i]
        obs[i, 2] = player > s.total[i]
