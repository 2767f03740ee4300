"""Actions of integers and real numbers at once: their space, distribution, and training with them."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Normal

from puffer_numba import vector
from puffer_numba.distributions.actions import HybridActions, action_distribution, seed_stream
from puffer_numba.env import APIUsageError
from puffer_numba.spaces.actions import ActionChecker, ActionLayout, HybridSpace
from puffer_numba.train.episodes import run_episodes
from tests.helpers.spaces import action_boxes, action_leaves, action_nestings
from tests.helpers.trainer_envs import Throw
from tests.helpers.training import LEARN, make_trainer, same_weights, weights

ROWS = 20_000

hybrid_spaces = st.builds(
    lambda choice, box, rest: Dict(rest=rest, box=box, choice=choice),
    action_leaves,
    action_boxes,
    st.recursive(st.one_of(action_leaves, action_boxes), action_nestings, max_leaves=5),
)


def leaves(space: Any, action: Any) -> list[tuple[Any, Any]]:
    """``(space, value)`` of each leaf, in order."""
    if isinstance(space, Dict):
        return [pair for key, sub in space.spaces.items() for pair in leaves(sub, action[key])]
    if isinstance(space, Tuple):
        return [pair for sub, part in zip(space.spaces, action, strict=True) for pair in leaves(sub, part)]
    return [(space, action)]


# ---------------------------------------------------------------------- the space


@settings(max_examples=150, deadline=None)
@given(space=hybrid_spaces, seed=st.integers(0, 1000))
def test_samples_become_the_environments_own_actions(space: Any, seed: int) -> None:
    layout = ActionLayout(space)
    flat_space: Any = layout.flat_space
    assert isinstance(flat_space, HybridSpace)
    flat_space.seed(seed)
    flat = flat_space.sample()
    assert flat in flat_space
    assert flat.dtype == flat_space.dtype
    row = np.zeros((1, flat.size), flat.dtype)
    read = layout.reader(row)
    row[0] = ActionChecker(flat_space, 1)(flat[None])
    action = read()
    assert action in space
    parts = leaves(space, action)
    assert all(np.asarray(value).dtype == leaf.dtype for leaf, value in parts)
    whole = [np.ravel(value) for leaf, value in parts if not isinstance(leaf, Box)]
    real = [np.ravel(value) for leaf, value in parts if isinstance(leaf, Box)]
    assert np.array_equal(np.concatenate(whole), flat_space.whole(flat))
    assert np.allclose(np.concatenate(real), flat[flat_space.num_discrete :], rtol=1e-2)  # a leaf can be float16


@settings(max_examples=50, deadline=None)
@given(space=hybrid_spaces, rows=st.integers(1, 4))
def test_batches_stay_hybrid(space: Any, rows: int) -> None:
    flat_space: Any = ActionLayout(space).flat_space
    batched = batch_space(flat_space, rows)
    batched.seed(1)
    actions = batched.sample()
    assert actions.shape == (rows, *flat_space.shape)
    assert actions in batched
    assert all(action in flat_space for action in actions)
    ActionChecker(flat_space, rows)(actions)


def test_whole_numbers_are_drawn_uniformly_from_all() -> None:
    space = HybridSpace([-1, 0, 0], [2, 1, 1], 2, seed=0)
    draws = np.array([space.sample() for _ in range(4000)])
    for column, low, size in ((0, -1, 4), (1, 0, 2)):
        counts = np.bincount(draws[:, column].astype(int) - low, minlength=size)
        assert len(counts) == size
        assert np.abs(counts / 4000 - 1 / size).max() < 0.04
    assert 0.45 < draws[:, 2].mean() < 0.55
    assert draws[:, 2].std() > 0.25


def test_membership_equality_and_pickling() -> None:
    space = HybridSpace([5, -1], [7, 1], 1)
    assert np.array([6, 0.5], np.float32) in space
    for outside in ([6.5, 0.5], [8, 0.5], [6, 1.5], [np.nan, 0], [6, np.nan]):
        assert np.array(outside, np.float32) not in space
    assert space == HybridSpace([5, -1], [7, 1], 1)
    assert space != HybridSpace([5, -1], [7, 1], 2)
    assert space != Box(space.low, space.high)
    assert Box(space.low, space.high) != space
    assert pickle.loads(pickle.dumps(space)) == space
    assert repr(space) == "HybridSpace([ 5. -1.], [7. 1.], (2,), float32, num_discrete=1)"


def test_whole_numbers_come_first_and_the_dtype_holds_them() -> None:
    box = Box(-1, 1, (2,), np.float16)
    layout = ActionLayout(Dict(push=box, gear=Discrete(3, start=-1), more=Tuple([MultiBinary(2), MultiDiscrete([4])])))
    assert layout.flat_space == HybridSpace([-1, 0, 0, 0, -1, -1], [1, 1, 1, 3, 1, 1], 4)
    row = np.array([[0, 1, 0, 3, 0.25, -0.5]], np.float32)
    action = layout.reader(row)()
    assert action["gear"] == 0
    assert type(action["gear"]) is np.int64
    assert action["push"].tolist() == [0.25, -0.5]
    assert [part.tolist() for part in action["more"]] == [[1, 0], [3]]
    assert ActionLayout(Tuple([Discrete(2), Box(0, 1, dtype=np.float64)])).flat_space.dtype == np.float64
    big = Discrete(9, start=2**24)
    layout = ActionLayout(Tuple([big, box]))
    assert layout.flat_space.dtype == np.float64
    assert layout.reader(np.array([[2**24 + 1, 0, 0]]))()[0] == 2**24 + 1
    with pytest.raises(
        APIUsageError, match=r"action has a discrete part that reaches 9007199254740997, which a float64"
    ):
        ActionLayout(Tuple([Discrete(5, start=2**53 + 1), box]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([6.5, 0], "action of row 1 is [6.5, 0.0], outside HybridSpace(.*), whose first 1 must be integers."),
        ([8, 0], "action of row 1 is [8.0, 0.0], outside HybridSpace(.*). Nothing was stepped."),
        ([6, -2], "action of row 1 is [6.0, -2.0], outside HybridSpace(.*). Nothing was stepped."),
        ([np.nan, 0], "action of row 1 is [nan, 0.0], outside HybridSpace("),
        ([6, np.nan], "action of row 1 is [6.0, nan], outside HybridSpace("),
    ],
)
def test_actions_outside_are_refused(bad: Any, message: str) -> None:
    actions = np.array([[5, 0], [6, 0], [7, 1]], np.float64)
    check = ActionChecker(HybridSpace([5, -1], [7, 1], 1), 3)
    assert check(actions) is actions
    check(actions.astype(np.int64))
    actions[1] = bad
    with pytest.raises(APIUsageError, match=re.escape(message).replace(r"\(\.\*\)", r"\(.*\)")):
        check(actions)


# ---------------------------------------------------------------------- the distribution

SPACE = HybridSpace([0, 5, -1, -1], [1, 7, 1, 1], 2)
SIZES = [2, 3]


def split(params: torch.Tensor) -> tuple[list[Categorical], Normal]:
    logits, mean, log_std = params.split([5, 2, 2], -1)
    return [Categorical(logits=part) for part in logits.split(SIZES, -1)], Normal(mean, log_std.exp())


def draw(distribution: Any, params: torch.Tensor, seed: int = 0) -> tuple[Any, Any]:
    actions, log_probs = np.zeros((len(params), 4), np.float32), np.zeros(len(params), np.float32)
    distribution.sample(params, seed_stream(seed), actions, log_probs)
    return actions, log_probs


def test_log_probs_and_entropy_are_sums_over_the_parts() -> None:
    distribution = action_distribution(SPACE)
    assert isinstance(distribution, HybridActions)
    assert (distribution.num_params, distribution.num_log_stds, distribution.shape) == (9, 2, (4,))
    params = torch.randn(64, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    actions, log_probs = draw(distribution, params)
    parts, normal = split(params)
    drawn = torch.from_numpy(actions)
    expected = sum(part.log_prob(drawn[:, k]) for k, part in enumerate(parts)) + normal.log_prob(drawn[:, 2:]).sum(-1)
    entropy = sum(part.entropy() for part in parts) + normal.entropy().sum(-1)
    found, found_entropy = distribution.log_prob_entropy(params, drawn)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_entropy, entropy, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(log_probs, expected.detach().numpy(), atol=1e-4, rtol=1e-4)
    gradients = [
        torch.autograd.grad((a + b).sum(), params)[0] for a, b in ((found, found_entropy), (expected, entropy))
    ]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_draws_follow_their_distributions_and_are_independent() -> None:
    params = torch.tensor([[0.0, 1.0, 0.5, -0.5, 0.0, 0.3, -2.0, -1.0, 0.5]])
    actions, _ = draw(action_distribution(SPACE), params.expand(ROWS, -1))
    parts, normal = split(params)
    for k, part in enumerate(parts):
        found = np.bincount(actions[:, k].astype(int), minlength=SIZES[k]) / ROWS
        np.testing.assert_allclose(found, part.probs[0], atol=4 * 0.5 / np.sqrt(ROWS))
    deviation = normal.scale[0].numpy()
    np.testing.assert_allclose(actions[:, 2:].mean(0), normal.mean[0], atol=4 * deviation.max() / np.sqrt(ROWS))
    np.testing.assert_allclose(actions[:, 2:].std(0), deviation, rtol=0.03)
    correlation = np.corrcoef(actions.T) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(ROWS)


def test_draws_depend_on_the_stream_alone() -> None:
    distribution, params = action_distribution(SPACE), torch.zeros(50, 9)
    first, again, other = (draw(distribution, params, seed)[0] for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


def test_mode_and_what_the_environment_gets() -> None:
    distribution = action_distribution(SPACE)
    mode = distribution.mode(torch.tensor([[0.0, 1.0, 0.0, 0.0, 2.0, 0.5, -3.0, 0.0, 0.0]]))
    assert mode.tolist() == [[1, 7, 0.5, -1]]
    sent = distribution.to_env(np.array([[1, 2, 0.5, -3]], np.float32))
    assert sent.tolist() == [[1, 7, 0.5, -1]]
    assert sent.dtype == np.float32
    shifted = action_distribution(HybridSpace([2**24, -1], [2**24 + 5, 1], 1, np.float64))
    sent = shifted.to_env(np.array([[3, 0.5]], np.float32))
    assert sent.tolist() == [[2**24 + 3, 0.5]]
    assert sent.dtype == np.float64


# ---------------------------------------------------------------------- training

SETTINGS = {**LEARN, "train.learning_rate": 1e-2, "train.total_timesteps": 64 * 16 * 50, "policy.hidden_size": 32}


@pytest.mark.slow
def test_it_learns_both_parts() -> None:
    with vector.make(Throw, num_envs=64, backend="serial") as env:
        trainer = make_trainer(env, SETTINGS)
        before, _ = run_episodes(env, trainer.policy, 500, deterministic=True)
        trainer.collector.reset_done = False
        trainer.learn()
        after, _ = run_episodes(env, trainer.policy, 500, deterministic=True)
    assert before.mean() < 0.35
    assert after.mean() > 0.98


def test_workers_and_one_process_train_the_same_policy() -> None:
    results = []
    for options in ({"backend": "serial"}, {"num_workers": 2}):
        with vector.make(Throw, num_envs=8, **options) as env:
            env.reset(seed=0)
            env.step(env.action_space.sample())
            results.append(weights(make_trainer(env, {"train.total_timesteps": 8 * 16 * 3}).learn()))
    assert same_weights(*results)


def test_checkpoints_hold_the_whole_policy(tmp_path: Any) -> None:
    overrides = {**SETTINGS, "train.total_timesteps": 64 * 16 * 5, "train.data_dir": str(tmp_path)}
    with vector.make(Throw, num_envs=64, backend="serial") as env:
        trainer = make_trainer(env, overrides).learn()
        path = trainer.save_checkpoint()
        resumed = make_trainer(env, {**overrides, "train.seed": 9})
        with pytest.warns(UserWarning, match="start new episodes"):
            resumed.load_checkpoint(path)
    assert "log_std" in weights(trainer)
    assert same_weights(weights(trainer), weights(resumed))
