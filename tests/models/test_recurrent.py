"""Policies with a memory: their state in rollouts, in training, in evaluation and in checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_numba.env import APIUsageError
from puffer_numba.models.actor import Actor
from puffer_numba.models.lstm import LSTM
from puffer_numba.models.mlp import MLP
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy
from puffer_numba.train.episodes import policy_player, run_episodes
from puffer_numba.train.matches import play
from tests.helpers.training import CARTPOLE

SMALL = {"log.tensorboard": False, "env.num_envs": 8, "train.horizon": 16, "train.num_minibatches": 2}
LSTM_OF_16 = {"policy.lstm": True, "policy.hidden_size": 16}


def trainer_of(name, **overrides):
    config = load_config(name, SMALL | LSTM_OF_16 | overrides)
    env = load_env(config)
    return PuffeRL(config, env, load_policy(config, env))


def small_lstm(env=CARTPOLE):
    torch.manual_seed(0)
    return LSTM(MLP(env, hidden_size=16))


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 6), rows=st.integers(1, 4))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_training_sees_what_acting_saw(seed, steps, rows):
    """Many steps at once give what they gave one by one, with episodes that end and rows that wait."""
    rng, policy = np.random.default_rng(seed), small_lstm()
    observations = torch.from_numpy(rng.normal(size=(steps, rows, 4)).astype(np.float32))
    masks, ends = rng.random((2, steps, rows)) < 0.5
    actor = Actor(policy, rows)
    actor.state = torch.from_numpy(rng.normal(size=(2, rows, 16)).astype(np.float32))
    first = actor.state.clone()
    one_by_one = []
    with torch.no_grad():
        for t in range(steps):
            one_by_one.append(actor.act(observations[t], masks[t]))
            actor.reset_state(ends[t])
        params, values = policy(observations, first, torch.from_numpy(masks), torch.from_numpy(ends))
    torch.testing.assert_close(params, torch.cat([p for p, _ in one_by_one]))
    torch.testing.assert_close(values, torch.cat([v for _, v in one_by_one]))


def test_without_ends_it_is_torchs_lstm():
    policy = small_lstm()
    reference = torch.nn.LSTM(16, 16)
    reference.load_state_dict({f"{name}_l0": value for name, value in policy.cell.state_dict().items()})
    observations, never = torch.randn(5, 3, 4), torch.zeros(5, 3, dtype=torch.bool)
    features = policy.policy.encode_observations(observations.flatten(0, 1)).unflatten(0, (5, 3))
    expected = policy.policy.decode_actions(reference(features)[0].flatten(0, 1))
    results = policy(observations, policy.initial_state(3), ~never, never)
    for ours, theirs in zip(results, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_do_not_cross_the_end_of_an_episode():
    policy = small_lstm()
    observations = torch.randn(4, 1, 4, requires_grad=True)
    ends = torch.tensor([[False], [True], [False], [False]])
    _, values = policy(observations, policy.initial_state(1), ~torch.zeros_like(ends), ends)
    values[3].backward()
    seen = observations.grad.abs().sum(dim=(1, 2)) > 0
    assert seen.tolist() == [False, False, True, True]


def test_illegal_actions_stay_impossible():
    config = load_config("tic_tac_toe", LSTM_OF_16 | {"env.opening": 0})
    with load_env(config, 1) as env:
        policy = load_policy(config, env)
        env.reset(seed=0)
        env.step(np.array([4, 0]))
        params, _, state = policy.forward_eval(torch.from_numpy(env.observations), policy.initial_state(2))
    assert (params.softmax(-1)[1] > 0).tolist() == [cell != 4 for cell in range(9)]
    assert state.shape == (2, 2, 16)


@pytest.mark.slow
def test_memory_needs_it():
    """Two digits, after a delay: the default settings learn it with an LSTM, and without one they guess."""
    for lstm, low, high in ((True, 0.95, 1.0), (False, 0.3, 0.7)):
        config = load_config("memory", {"policy.lstm": lstm, "train.total_timesteps": 300_000})
        env = load_env(config)
        trainer = PuffeRL(config, env, load_policy(config, env)).learn()
        returns, _ = run_episodes(env, trainer.policy, 640, seed=7)
        assert low <= returns.mean() <= high


def test_what_masked_rows_observe_changes_nothing():
    results = []
    for garbage in (0.0, 100.0):
        trainer = trainer_of("cartpole")
        trainer.evaluate()
        rng = np.random.default_rng(0)
        trainer.rollout.masks[:-1] &= rng.random(trainer.rollout.masks[:-1].shape) < 0.7
        trainer.rollout.observations[:-1][~trainer.rollout.masks[:-1]] = garbage
        trainer.train()
        results.append([p.detach().clone() for p in trainer.policy.parameters()])
        trainer.close()
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("advantage", ["gae", "vtrace"])
def test_a_rollout_evaluated_again_gives_its_values(advantage):
    """Ratios are 1 and values those of the rollout before the first update; the first state is that of the rollout."""
    trainer = trainer_of("cartpole", **{"train.advantage": advantage})
    trainer.evaluate()
    trainer.train()
    trainer.evaluate()
    values, ratios = trainer._current_values_and_ratios()
    np.testing.assert_allclose(values, trainer.rollout.values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ratios, 1.0, rtol=1e-4)
    trainer.train()
    trainer.close()


def test_last_observations_are_valued_with_the_state_of_their_episode():
    trainer = trainer_of("cartpole", **{"env.max_episode_steps": 16})
    trainer.evaluate()
    rollout, last = trainer.rollout, trainer.rollout.horizon - 1
    rows = np.flatnonzero(rollout.truncations[last])
    assert len(rows)
    actor = Actor(trainer.policy, rollout.rows)
    with torch.no_grad():
        for t in range(rollout.horizon):
            actor.reset_state(rollout.terminals[t - 1] & (t > 0))
            actor.act(torch.from_numpy(rollout.observations[t]), rollout.masks[t])
        observations = torch.from_numpy(trainer.vecenv.final_observations[rows])
        _, expected = actor.evaluate(observations, actor.state[:, torch.from_numpy(rows)])
    np.testing.assert_allclose(rollout.final_values[last, rows], expected, rtol=1e-5)
    assert not trainer.collector.actor.state[:, torch.from_numpy(rows)].any()  # the next episode begins
    trainer.close()


def test_through_the_command_line(tmp_path, monkeypatch, capsys):
    from puffer_numba.cli import main

    monkeypatch.chdir(tmp_path)
    small = ["--train.total-timesteps", "2048", "--log.no-tensorboard", "--env.mem-length", "2"]
    assert main(["train", "memory", *small]) == 0
    assert main(["eval", "memory", "--episodes", "10"]) == 0
    assert "memory: 10 episodes" in capsys.readouterr().out


def test_players_forget_between_games():
    config = load_config("tic_tac_toe", LSTM_OF_16)
    with load_env(config, 10) as env:
        policy = load_policy(config, env)
        player = policy_player(policy, env.single_action_space, deterministic=True)
        first = play(env, [player, player], 10)
        np.testing.assert_array_equal(play(env, [player, player], 10), first)


def test_wrong_use():
    with pytest.raises(APIUsageError, match=r"one trunk for both outputs: of MLP, shared=True"):
        LSTM(MLP(CARTPOLE, shared=False))
    with pytest.raises(APIUsageError, match=r"policy.lstm is True; allowed: False, where policy.shared is off"):
        load_config("cartpole", {"policy.lstm": True, "policy.shared": False})
    with pytest.raises(APIUsageError, match=r"of which there are 8: train.num_minibatches is 9; expected at most that"):
        trainer_of("cartpole", **{"train.num_minibatches": 9})
