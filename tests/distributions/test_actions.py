"""Action distributions against torch.distributions, and the drawing of actions against their probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from torch.distributions import Categorical, Normal

from puffer_numba.distributions.actions import action_distribution, seed_stream
from puffer_numba.env import APIUsageError
from puffer_numba.pytorch import layer_init

ROWS = 20_000


def draw(distribution, params, seed=0):
    dtype = np.float32 if distribution.dtype.is_floating_point else np.int64
    actions = np.zeros((len(params), *distribution.shape), dtype)
    log_probs = np.zeros(len(params), np.float32)
    distribution.sample(params, seed_stream(seed), actions, log_probs)
    return actions, log_probs


def test_layer_init_is_orthogonal_with_the_given_gain():
    layer = layer_init(torch.nn.Linear(8, 4), std=3.0, bias=0.5)
    torch.testing.assert_close(layer.weight @ layer.weight.T, 9 * torch.eye(4), atol=1e-5, rtol=1e-5)
    assert (layer.bias == 0.5).all()


@pytest.mark.parametrize("space", [Discrete(4), MultiDiscrete([2, 3, 4])], ids=str)
def test_discrete_draws_follow_their_probabilities(space):
    distribution = action_distribution(space)
    logits = torch.randn(1, distribution.num_params, generator=torch.Generator().manual_seed(0))
    actions, _ = draw(distribution, logits.expand(ROWS, -1))
    for component, part in zip(actions.reshape(ROWS, -1).T, logits.split(distribution.sizes.tolist(), -1), strict=True):
        expected = torch.softmax(part[0], -1).numpy()
        found = np.bincount(component, minlength=len(expected)) / ROWS
        assert np.abs(found - expected).max() < 4 * 0.5 / np.sqrt(ROWS)


@pytest.mark.parametrize("space", [Discrete(4), MultiDiscrete([2, 3, 4]), MultiDiscrete([5])], ids=str)
def test_discrete_log_probs_and_entropy(space):
    distribution = action_distribution(space)
    logits = 3 * torch.randn(64, distribution.num_params)
    actions, log_probs = draw(distribution, logits)
    assert actions.shape == (64, *space.shape)
    parts = [Categorical(logits=part) for part in logits.split(distribution.sizes.tolist(), -1)]
    columns = torch.from_numpy(actions).reshape(64, -1).T
    expected = sum(part.log_prob(column) for part, column in zip(parts, columns, strict=True))
    entropy = sum(part.entropy() for part in parts)
    found, found_entropy = distribution.log_prob_entropy(logits, torch.from_numpy(actions))
    torch.testing.assert_close(torch.from_numpy(log_probs), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found_entropy, entropy, atol=1e-5, rtol=1e-4)


def test_gaussian_draws_log_probs_and_entropy():
    distribution = action_distribution(Box(-1, 1, (2, 3), np.float32))
    assert distribution.num_params == 12
    row = torch.randn(1, 12, generator=torch.Generator().manual_seed(1))
    params = row.expand(ROWS, -1)
    actions, log_probs = draw(distribution, params)
    assert actions.shape == (ROWS, 2, 3)
    normal = Normal(row[0, :6], row[0, 6:].exp())
    flat = actions.reshape(ROWS, 6)
    assert np.abs((flat.mean(0) - normal.mean.numpy()) / normal.stddev.numpy()).max() < 5 / np.sqrt(ROWS)
    assert np.abs(flat.std(0) / normal.stddev.numpy() - 1).max() < 5 / np.sqrt(ROWS)
    expected = normal.log_prob(torch.from_numpy(flat)).sum(-1)
    found, entropy = distribution.log_prob_entropy(params, torch.from_numpy(actions))
    torch.testing.assert_close(torch.from_numpy(log_probs), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(entropy[0], normal.entropy().sum(), atol=1e-4, rtol=1e-4)


def test_impossible_choices_are_never_drawn():
    logits = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]]).expand(ROWS, -1)
    actions, log_probs = draw(action_distribution(Discrete(4)), logits)
    assert set(actions.tolist()) == {0, 2}
    np.testing.assert_allclose(log_probs, np.log(0.5), rtol=1e-6)


def sampled(distribution, params, seed, step=0, row=0):
    actions = np.zeros(
        (len(params), *distribution.shape), np.int64 if distribution.dtype == torch.int64 else np.float32
    )
    distribution.sample(params, seed_stream(seed, step, row), actions, np.zeros(len(params), np.float32))
    return actions


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete([3, 4]), Box(-1, 1, (2,), np.float32)])
def test_samples_are_keyed_by_seed_step_and_row(space):
    """The same in one batch and in two, in whatever order; others at another seed, step or row."""
    distribution = action_distribution(space)
    params = torch.zeros(100, distribution.num_params)
    whole = sampled(distribution, params, seed=7)
    later, earlier = (
        sampled(distribution, params[rows], seed=7, row=rows.start) for rows in (slice(40, 100), slice(0, 40))
    )
    np.testing.assert_array_equal(whole, np.concatenate([earlier, later]))
    for other in ({"seed": 8}, {"seed": 7, "step": 1}, {"seed": 7, "row": 1}):
        assert (sampled(distribution, params, **other) != whole).mean() > 0.4
    np.testing.assert_array_equal(sampled(distribution, params, seed=7, row=1)[:-1], whole[1:])


def test_neighbouring_rows_and_steps_are_independent():
    """Pairs of samples fill the plane evenly: 4096 of them over 16 cells, chi-square with 15 degrees of freedom."""
    distribution, params = action_distribution(Discrete(4)), torch.zeros(4096, 4)
    first, second = (sampled(distribution, params, seed=3, step=step) for step in (5, 6))
    for a, b in ((first, second), (first[:-1], first[1:])):
        counts = np.bincount(4 * a + b, minlength=16)
        expected = len(a) / 16
        assert ((counts - expected) ** 2 / expected).sum() < 37.7  # of 1,000 fair draws, one exceeds it


def test_mode_is_the_greedy_action():
    logits = torch.tensor([[0.0, 2.0, 1.0, 0.0, 5.0]])
    assert action_distribution(MultiDiscrete([2, 3])).mode(logits).tolist() == [[1, 2]]
    assert action_distribution(Discrete(5)).mode(logits).tolist() == [4]
    box = action_distribution(Box(-1, 1, (2,), np.float32))
    assert box.mode(torch.tensor([[0.5, -1.5, 0.0, 0.0]])).tolist() == [[0.5, -1]]
    assert action_distribution(Discrete(5, start=3)).mode(logits).tolist() == [7]


def test_actions_reach_the_environment_inside_their_space():
    assert action_distribution(Discrete(3, start=5)).to_env(np.array([0, 2])).tolist() == [5, 7]
    shifted = MultiDiscrete([2, 3], start=[1, 10])
    assert action_distribution(shifted).to_env(np.array([[0, 0], [1, 2]])).tolist() == [[1, 10], [2, 12]]
    box = Box(np.array([-1, 0], np.float64), np.array([1, 2], np.float64), dtype=np.float64)
    sent = action_distribution(box).to_env(np.array([[-5, 5], [0.5, 0.5]], np.float32))
    assert sent.tolist() == [[-1, 2], [0.5, 0.5]]
    assert sent.dtype == np.float64


@pytest.mark.parametrize("space", [Dict({"a": Discrete(2)}), Box(0, 255, (2,), np.uint8)], ids=["dict", "uint8"])
def test_other_spaces_are_refused(space):
    with pytest.raises(APIUsageError, match="expected Discrete, MultiDiscrete, HybridSpace or a Box of floats"):
        action_distribution(space)
