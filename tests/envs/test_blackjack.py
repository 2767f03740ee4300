"""Blackjack against Gymnasium's Blackjack-v1."""

from __future__ import annotations

from functools import cache

import gymnasium
import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.blackjack import Blackjack
from tests.helpers.tables import play_together

CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}
RULES = [{}, {"sab": False}, {"sab": False, "natural": True}, {"sab": True, "natural": True}]


@pytest.mark.parametrize("rules", RULES)
def test_games_are_gymnasiums_card_by_card(rules):
    env = Blackjack(autoreset="disabled", **rules)
    assert play_together(env, gymnasium.make("Blackjack-v1", **rules), 4000)["terminated"] > 1000


def test_a_drop_in_for_gymnasium():
    env, expected = gymnasium.make("puffer_numba/Blackjack-v1"), gymnasium.make("Blackjack-v1")
    assert env.observation_space == expected.observation_space
    assert env.action_space == expected.action_space
    assert env.spec.max_episode_steps is expected.spec.max_episode_steps is None
    observation, info = env.reset(seed=0)
    assert isinstance(observation, tuple)
    assert observation in expected.observation_space
    assert info == {}
    assert env.unwrapped.puffer_env.params == (True, False)  # what Gymnasium registers, not its class's own defaults


def test_cards_are_those_of_a_deck():
    env = Blackjack(50_000)
    env.reset(seed=0)
    for field in (env.state.dealer_card, env.state.hidden_card):
        cards, counts = np.unique(field, return_counts=True)
        assert cards.tolist() == list(CARDS)
        assert stats.chisquare(counts, 50_000 * np.array(list(CARDS.values()))).pvalue > 1e-3
    odds = 2 * CARDS[1] * CARDS[10]
    assert stats.binomtest(int(env.state.natural.sum()), 50_000, odds).pvalue > 1e-3


def best_sum(total, ace):
    return total + 10 if ace and total <= 11 else total


def solve(sab, natural):
    """A game's value, and whether to hit, by (total, ace, natural, dealer's card): dynamic programming."""

    @cache
    def dealer_ends(total, ace):
        if best_sum(total, ace) >= 17:
            return {best_sum(total, ace) if best_sum(total, ace) <= 21 else 0: 1.0}
        ends = dict.fromkeys([0, *range(17, 22)], 0.0)
        for card, odds in CARDS.items():
            for end, part in dealer_ends(total + card, ace or card == 1).items():
                ends[end] += odds * part
        return ends

    @cache
    def stick(total, ace, is_natural, card):
        value, player = 0.0, best_sum(total, ace)
        for hidden, odds in CARDS.items():
            for dealer, part in dealer_ends(card + hidden, 1 in (card, hidden)).items():
                reward = float((player > dealer) - (player < dealer))
                if is_natural and sab:
                    reward = 0.0 if sorted((card, hidden)) == [1, 10] else 1.0
                elif is_natural and natural and reward == 1:
                    reward = 1.5
                value += odds * part * reward
        return value

    @cache
    def hit(total, ace, card):
        return sum(odds * best(total + new, ace or new == 1, False, card) for new, odds in CARDS.items())

    def best(total, ace, is_natural, card):
        return -1.0 if total > 21 else max(stick(total, ace, is_natural, card), hit(total, ace, card))

    def game():
        for card, odds in CARDS.items():
            for first, part in CARDS.items():
                for second, rest in CARDS.items():
                    hand = (first + second, 1 in (first, second), sorted((first, second)) == [1, 10], card)
                    yield odds * part * rest * best(*hand)

    return sum(game()), lambda total, ace, is_natural, card: hit(total, ace, card) > stick(total, ace, is_natural, card)


@pytest.mark.slow
@pytest.mark.parametrize(("rules", "value"), [({}, -0.0431), ({"sab": False}, -0.0466), (RULES[2], -0.0257)])
def test_optimal_play_returns_what_it_should(rules, value):
    expected, should_hit = solve(rules.get("sab", True), rules.get("natural", False))
    assert expected == pytest.approx(value, abs=5e-5)
    env = Blackjack(4096, **rules)
    env.reset(seed=5)
    state = env.state
    for _ in range(300):
        hands = np.column_stack([state.total, state.ace, state.natural, state.dealer_card])
        unique, where = np.unique(hands, axis=0, return_inverse=True)
        hits = np.array([should_hit(int(t), bool(a), bool(n), int(c)) for t, a, n, c in unique])
        env.step(hits[where.ravel()].astype(np.int64))
    log = env.log()
    assert log["episodes"] > 700_000
    assert abs(log["episode_return"] - expected) < 4 / np.sqrt(log["episodes"])  # a game's deviation is just below 1


def test_bad_params():
    with pytest.raises(ValueError, match=r"Blackjack: parameter sab is 1; expected True or False"):
        Blackjack(jit=False, sab=1)


def test_images():
    env = Blackjack(jit=False)
    observations, _ = env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    assert f"Player: {observations[0, 0]}" in env.render(mode="ansi")
    env.reset(seed=1)
    assert (env.render() != image).any()
