"""Small games against their references: whole transition tables, and play by the same random numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from puffer_numba.jit import JitEnv
from puffer_numba.jit.random import GAMMA, mix

Table = Mapping[int, Mapping[int, Sequence[tuple[float, int, float, bool]]]]
"""``table[state][action]``: probability, next state, reward and termination of each outcome, as Gymnasium has it."""


def assert_follows(table: Table, states: ArrayLike, actions: ArrayLike, outcomes: Sequence[ArrayLike]) -> None:
    """Whether many steps are as a table says: no other outcomes than it has, no fewer, and frequencies by chi-square.

    Args:
        states, actions: (steps,), where each pair of them occurs often.
        outcomes: next states, rewards and terminations, each (steps,).
    """
    expected: dict[tuple[int, int], dict[tuple[int, float, bool], float]] = {}
    for state, action in set(zip(np.asarray(states).tolist(), np.asarray(actions).tolist(), strict=True)):
        outcome_odds: dict[tuple[int, float, bool], float] = defaultdict(float)
        for odds, after, reward, terminated in table[state][action]:
            outcome_odds[int(after), float(reward), bool(terminated)] += odds
        expected[state, action] = {outcome: odds for outcome, odds in outcome_odds.items() if odds > 0}

    rows, counts = np.unique(np.column_stack([states, actions, *outcomes]), axis=0, return_counts=True)
    found: dict[tuple[int, int], dict[tuple[int, float, bool], int]] = defaultdict(dict)
    for (state, action, after, reward, terminated), count in zip(rows.tolist(), counts.tolist(), strict=True):
        found[int(state), int(action)][int(after), reward, bool(terminated)] = count
    statistic, freedom = 0.0, 0
    for pair, outcome_odds in expected.items():
        assert set(found[pair]) == set(outcome_odds), pair
        total = sum(found[pair].values())
        statistic += sum((found[pair][o] - total * q) ** 2 / (total * q) for o, q in outcome_odds.items())
        freedom += len(outcome_odds) - 1
    assert stats.chi2.sf(statistic, freedom) > 1e-3 if freedom else statistic == 0


def every_pair(states: Sequence[int], actions: int, copies: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each state with each action, ``copies`` times: states and actions, each (pairs * copies,)."""
    grid = np.array(np.meshgrid(states, np.arange(actions), indexing="ij")).reshape(2, -1)
    pairs = np.repeat(grid, copies, axis=1)
    return pairs[0], pairs[1]


def optimum(table: Table, start: ArrayLike, steps: int) -> float:
    """The best mean return within a number of steps, by value iteration over them.

    Args:
        start: (states,), probabilities of first states.
    """
    values = np.zeros(len(table))
    for _ in range(steps):
        values = np.array(
            [
                max(sum(q * (r + (0 if end else values[after])) for q, after, r, end in outcomes) for outcomes in row)
                for row in (actions.values() for actions in table.values())
            ]
        )
    return float(np.asarray(start) @ values)


class Draws:
    """The random numbers of one environment's stream, in the shape of NumPy's generators, for a reference to draw."""

    def __init__(self, env: JitEnv) -> None:
        self.env = env
        self.state = np.zeros(1, np.uint64)

    def follow(self) -> None:
        """From here on give what environment 0 is going to draw."""
        self.state = self.env.get_state()["streams"][:1].copy()

    def bits(self) -> int:
        with np.errstate(over="ignore"):
            self.state += GAMMA
            return int(mix(self.state)[0])

    def random(self) -> float:
        return (self.bits() >> 40) * 2.0**-24

    def integer(self, n: int) -> int:
        return (self.bits() >> 32) * n >> 32

    def choice(self, values: Sequence[Any]) -> Any:
        return values[self.integer(len(values))]

    rand = random
    randint = integer

    def randn(self) -> float:
        return float(np.sqrt(-2 * np.log(1 - self.random())) * np.cos(2 * np.pi * self.random()))


def play_together(env: JitEnv, reference: Any, steps: int, seed: int = 0) -> dict[str, int]:
    """Play ``env`` and a Gymnasium environment by the same draws and the same random actions.

    ``env`` has one copy, and ``autoreset="disabled"``. Asserts that observations, rewards, ends, infos and ANSI
    images agree at every step.

    Returns:
        How often each ended: ``{"terminated": ..., "truncated": ...}``.
    """
    from puffer_numba.emulation.as_gymnasium import JitGymnasiumEnv

    ours = JitGymnasiumEnv(env, "ansi")
    draws = Draws(env)
    reference.unwrapped.np_random = draws
    actions = np.random.default_rng(seed)
    has_text = "ansi" in reference.unwrapped.metadata["render_modes"]
    ends = {"terminated": 0, "truncated": 0}

    def compare(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
        *values, info = found
        *expected_values, expected_info = expected
        np.testing.assert_allclose(values[1:], np.array(expected_values[1:], np.float64), rtol=1e-7)
        assert ours.observation_space.contains(values[0])
        np.testing.assert_array_equal(values[0], expected_values[0])
        assert set(info) == set(expected_info)
        for name, value in info.items():
            np.testing.assert_allclose(value, expected_info[name], rtol=1e-6, err_msg=name)
        if has_text:
            assert ours.render() == reference.render()

    over, first = True, True
    for _ in range(steps):
        if over:
            if first:
                env.reset(seed=seed)  # so that there is a stream
                first = False
            draws.follow()
            found = ours.reset()
            compare(found, reference.reset())
            over = False
            continue
        action = int(actions.integers(ours.action_space.n))
        draws.follow()
        found = ours.step(action)
        compare(found, reference.step(action))
        ends["terminated"] += found[2]
        ends["truncated"] += found[3]
        over = found[2] or found[3]
    return ends
