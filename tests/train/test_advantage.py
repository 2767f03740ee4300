"""GAE and V-trace against their definitions, summed forward in double precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_numba.train.advantage import discounted_returns, finished_episodes, gae, vtrace


def rollout(seed, horizon, rows, end_rate=0.2):
    rng = np.random.default_rng(seed)
    return {
        "rewards": rng.normal(size=(horizon, rows)).astype(np.float32),
        "values": rng.normal(size=(horizon + 1, rows)).astype(np.float32),
        "terminals": rng.random((horizon, rows)) < end_rate,
        "truncations": rng.random((horizon, rows)) < end_rate,
        "final_values": rng.normal(size=(horizon, rows)).astype(np.float32),
        "masks": np.ones((horizon + 1, rows), np.bool_),
    }


def reference(r, gamma, lam, rhos=None, cs=None):
    """A_t = sum over k of the discounted temporal differences that follow within the episode."""
    horizon, rows = r["rewards"].shape
    rhos = np.ones((horizon, rows)) if rhos is None else rhos
    cs = np.ones((horizon, rows)) if cs is None else cs
    advantages = np.zeros((horizon, rows))
    for n in range(rows):
        for t in range(horizon):
            weight = 1.0
            for k in range(t, horizon):
                ended = r["terminals"][k, n] or r["truncations"][k, n]
                if r["terminals"][k, n]:
                    next_value = 0.0
                elif r["truncations"][k, n]:
                    next_value = float(r["final_values"][k, n])
                else:
                    next_value = float(r["values"][k + 1, n])
                delta = float(r["rewards"][k, n]) + gamma * next_value - float(r["values"][k, n])
                advantages[t, n] += weight * rhos[k, n] * delta
                if ended:
                    break
                weight *= gamma * lam * cs[k, n]
    return advantages


sizes = {"seed": st.integers(0, 2**32 - 1), "horizon": st.integers(1, 12), "rows": st.integers(1, 4)}
fractions = {"gamma": st.floats(0, 1), "lam": st.floats(0, 1)}


@settings(max_examples=60, deadline=None)
@given(**sizes, **fractions)
def test_gae_is_the_discounted_sum_of_differences(seed, horizon, rows, gamma, lam):
    r = rollout(seed, horizon, rows)
    result = np.empty_like(r["rewards"])
    gae(*r.values(), gamma, lam, result)
    np.testing.assert_allclose(result, reference(r, gamma, lam), rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(**sizes, **fractions, rho=st.floats(0.1, 3), c=st.floats(0.1, 3))
def test_vtrace_weighs_differences_by_clipped_ratios(seed, horizon, rows, gamma, lam, rho, c):
    r = rollout(seed, horizon, rows)
    ratios = np.exp(np.random.default_rng(seed + 1).normal(size=(horizon, rows))).astype(np.float32)
    result = np.empty_like(r["rewards"])
    vtrace(*r.values(), ratios, gamma, lam, rho, c, result)
    expected = reference(r, gamma, lam, np.minimum(ratios, rho), np.minimum(ratios, c))
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(**sizes, **fractions)
def test_vtrace_is_gae_for_the_policy_that_acted(seed, horizon, rows, gamma, lam):
    r = rollout(seed, horizon, rows)
    one, other = np.empty_like(r["rewards"]), np.empty_like(r["rewards"])
    gae(*r.values(), gamma, lam, one)
    vtrace(*r.values(), np.ones_like(one), gamma, lam, 1.0, 1.0, other)
    np.testing.assert_array_equal(one, other)


@settings(max_examples=100, deadline=None)
@given(**sizes, **fractions)
def test_turns_that_are_waited_for_might_as_well_not_be_there(seed, horizon, rows, gamma, lam):
    """The same rollout without its masked steps, whose rewards until the episode ends go to the action before them."""
    r = rollout(seed, horizon, 1)
    r["masks"][1:] = np.random.default_rng(seed).random((horizon, 1)) < 0.6
    ends = (r["terminals"] | r["truncations"])[:, 0]
    turns = np.flatnonzero(r["masks"][:-1, 0])
    waits = [list(range(a, b)) for a, b in itertools.pairwise([*turns, horizon])]
    spans = [span[: span.index(next((t for t in span if ends[t]), span[-1])) + 1] for span in waits]
    short = {
        "rewards": np.array([r["rewards"][span[0]] + gamma * r["rewards"][span[1:]].sum(0) for span in spans]),
        "values": np.concatenate([r["values"][turns], r["values"][-1:]]),
        **{name: np.array([r[name][span[-1]] for span in spans]) for name in ("terminals", "truncations")},
        "final_values": np.array([r["final_values"][span[-1]] for span in spans]),
    }
    result = np.empty_like(r["rewards"])
    gae(*r.values(), gamma, lam, result)
    np.testing.assert_allclose(result[turns], reference(short, gamma, lam), rtol=1e-4, atol=1e-4)


def test_nothing_of_a_dead_row_reaches_its_actions():
    r = rollout(3, 6, 1, end_rate=0)
    r["terminals"][2] = True
    r["masks"][3:5] = False
    clean, spoiled = np.empty((6, 1), np.float32), np.empty((6, 1), np.float32)
    gae(*r.values(), 0.9, 0.95, clean)
    r["rewards"][3:5] = r["values"][3:5] = 1e6
    gae(*r.values(), 0.9, 0.95, spoiled)
    np.testing.assert_array_equal(clean[[0, 1, 2, 5]], spoiled[[0, 1, 2, 5]])


def test_truncated_steps_are_bootstrapped_and_terminated_ones_are_not():
    r = rollout(0, 1, 3, end_rate=0)
    r["terminals"][0] = [False, True, True]
    r["truncations"][0] = [True, False, True]
    result = np.empty_like(r["rewards"])
    gae(*r.values(), 0.9, 0.95, result)
    base = r["rewards"][0] - r["values"][0]
    bootstrap = np.array([0.9 * r["final_values"][0, 0], 0, 0])
    np.testing.assert_allclose(result[0], base + bootstrap, rtol=1e-6)


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_final_values_are_read_only_where_truncated(junk):
    r = rollout(1, 6, 2)
    r["final_values"][~r["truncations"]] = junk
    result = np.empty_like(r["rewards"])
    gae(*r.values(), 0.9, 0.95, result)
    assert np.isfinite(result).all()


def test_discounted_returns_go_on_across_rollouts_and_start_anew_after_episodes():
    running = np.zeros(1, np.float32)
    masks = np.ones((2, 1), np.bool_)
    returns = np.empty((2, 1), np.float32)
    rewards = np.array([[1], [2]], np.float32)
    discounted_returns(rewards, np.array([[False], [False]]), masks, 0.5, running, returns)
    assert returns.ravel().tolist() == [1, 2.5]
    discounted_returns(rewards, np.array([[True], [False]]), masks, 0.5, running, returns)
    assert returns.ravel().tolist() == [2.25, 2]


def test_the_return_of_an_episode_that_ends_while_its_row_waits():
    rewards = np.array([[9], [1], [-1], [9], [2]], np.float32)
    terminals = np.array([[False], [False], [True], [False], [True]])
    masks = np.array([[False], [True], [False], [False], [True]])  # not there; acts; waits and loses; dead; acts
    running = np.zeros(1), np.zeros(1, np.int64)
    returns, lengths = np.empty(5), np.empty(5, np.int64)
    assert finished_episodes(rewards, terminals, np.zeros_like(terminals), masks, *running, returns, lengths) == 2
    assert returns[:2].tolist() == [0, 2]
    assert lengths[:2].tolist() == [1, 1]


def test_finished_episodes_in_order():
    rewards = np.array([[1, 10], [1, 10], [1, 10]], np.float32)
    terminals = np.array([[False, True], [True, False], [False, True]])
    masks = np.array([[True, True], [True, True], [True, False]])
    running_returns, running_lengths = np.array([5.0, 0.0]), np.array([3, 0])
    returns, lengths = np.empty(6), np.empty(6, np.int64)
    count = finished_episodes(
        rewards, terminals, np.zeros_like(terminals), masks, running_returns, running_lengths, returns, lengths
    )
    assert count == 3
    assert returns[:3].tolist() == [10, 7, 20]
    assert lengths[:3].tolist() == [1, 5, 1]
    assert running_returns.tolist() == [1, 0]
    assert running_lengths.tolist() == [1, 0]
