"""PuffeRL learns what can be learned, and treats episode ends, masks and settings as promised."""

from __future__ import annotations

import itertools
import textwrap

import numpy as np
import pytest
import torch

from puffer_numba import pufferl, registry, vector
from puffer_numba.env import APIUsageError
from puffer_numba.models.mlp import MLP
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy
from puffer_numba.train import minibatches
from tests.helpers.trainer_envs import Aim, Cut, Haunted, Indirect, Pairs
from tests.helpers.training import LEARN, SMALL, OwnPolicy, make_trainer, same_weights, weights


@pytest.mark.slow
def test_solves_cartpole():
    overrides = {"train.total_timesteps": 300_000, "train.target_return": 475.0}
    config = load_config("cartpole", overrides)
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env)).learn()
    assert trainer.solved
    assert trainer.statistics.mean_return >= 475


@pytest.mark.parametrize("extra", [{}, {"train.optimizer": "muon"}, {"policy.shared": False}], ids=str)
def test_learns_continuous_actions(extra):
    trainer = make_trainer(Aim(64), {**LEARN, "policy.activation": "tanh", **extra}).learn()
    observations = torch.linspace(-1, 1, 21)[:, None]
    with torch.no_grad():
        means = trainer.policy(observations)[0][:, 0].clamp(-0.5, 0.5)
    assert (means - 0.5 * observations[:, 0]).abs().mean() < 0.12


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [{}, {"train.advantage": "vtrace"}, {"train.normalize_observations": True, "train.normalize_returns": True}],
    ids=str,
)
def test_learns_multidiscrete_actions(extra):
    trainer = make_trainer(Pairs(64), {**LEARN, **extra}).learn()
    assert trainer.statistics.mean_return > 0.95


@pytest.mark.slow
def test_value_of_a_truncated_episode_is_that_of_going_on():
    settings = {**LEARN, "train.gamma": 0.8, "train.gae_lambda": 0.5, "train.clip_vloss": False}
    trainer = make_trainer(Cut(length=5), {**settings, "train.total_timesteps": 16 * 16 * 150}).learn()
    assert trainer.rollout.values.mean() == pytest.approx(1 / (1 - 0.8), rel=0.05)


def test_value_of_a_terminated_episode_ends_there():
    settings = {**LEARN, "train.gamma": 0.8, "train.gae_lambda": 0.5, "train.clip_vloss": False}
    trainer = make_trainer(Cut(length=1, terminal=True), {**settings, "train.total_timesteps": 16 * 16 * 100}).learn()
    assert trainer.rollout.values.mean() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    "extra", [{}, {"train.normalize_observations": True, "train.normalize_returns": True}], ids=str
)
def test_masked_rows_change_nothing(extra):
    """NaN in a masked row would spread to the weights, and another number would change them."""
    results = []
    for noise in (np.nan, 0.0, 7.0):
        trainer = make_trainer(Haunted(noise=noise), {"train.total_timesteps": 16 * 16 * 3, **extra}).learn()
        assert trainer.statistics.episodes == trainer.global_step == 16 * 16 * 3
        results.append(weights(trainer))
    assert same_weights(results[0], results[1])
    assert same_weights(results[0], results[2])
    assert all(torch.isfinite(tensor).all() for tensor in results[0].values())


def test_copied_experience_is_the_same_as_experience_written_in_place():
    results = []
    for wrap in (lambda env: env, Indirect):
        trainer = make_trainer(wrap(registry.make("cartpole", num_envs=16, seed=3)))
        results.append((weights(trainer.learn()), list(trainer.statistics.recent_returns)))
    assert same_weights(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cartpole", "squared", "memory", "bandit"])
def test_same_seed_same_weights(name):
    results = []
    for seed in (1, 1, 2):
        config = load_config(name, {**SMALL, "env.num_envs": 16, "train.seed": seed})
        env = load_env(config)
        results.append(weights(PuffeRL(config, env, load_policy(config, env)).learn()))
    assert same_weights(results[0], results[1])
    assert not same_weights(results[0], results[2])


def test_storage_is_handed_to_the_environment_and_to_torch_without_a_copy():
    env = registry.make("cartpole", num_envs=8)
    trainer = make_trainer(env)
    trainer.evaluate()
    assert np.shares_memory(env.observations, trainer.rollout.observations[-1])
    assert np.shares_memory(env.rewards, trainer.rollout.rewards[-1])
    batch = trainer.learner.batch(0.0)
    assert np.shares_memory(batch.observations.numpy(), trainer.rollout.observations)
    for name, tensor in batch.steps._asdict().items():
        array = {"old_log_probs": "log_probs", "old_values": "values"}.get(name, name)
        assert np.shares_memory(tensor.numpy(), getattr(trainer.rollout, array)), name
    last = trainer.rollout.observations[-1].copy()
    trainer.evaluate()
    np.testing.assert_array_equal(trainer.rollout.observations[0], last)


def test_episode_statistics_are_those_of_the_environment():
    env = registry.make("cartpole", num_envs=32)
    trainer = make_trainer(env)
    for _ in range(10):
        trainer.evaluate()
    log = env.log()
    assert trainer.statistics.episodes == log["episodes"] > 32
    trainer.statistics.recent_returns.clear()
    trainer.evaluate()
    assert trainer.statistics.mean_return == pytest.approx(env.log()["episode_return"])
    assert trainer.statistics.mean_return == pytest.approx(trainer.statistics.mean_length, abs=20)


def test_target_kl_stops_the_updates_on_a_rollout():
    counts = []
    for target in (None, 1e-6):
        trainer = make_trainer(
            Pairs(64), {"train.target_kl": target, "train.update_epochs": 5, "train.learning_rate": 0.01}
        )
        trainer.evaluate()
        before = trainer.learner.optimizers[0].state_dict()
        trainer.train()
        steps = trainer.learner.optimizers[0].state_dict()["state"][0]["step"]
        assert before["state"] == {}
        counts.append(int(steps))
    assert counts == [10, 2]


def test_learning_rate_is_annealed_to_zero():
    trainer = make_trainer(Pairs(64), {"train.learning_rate": 1e-2})
    rates = []
    while not trainer.finished:
        trainer.evaluate()
        trainer.train()
        rates.append(trainer.losses["learning_rate"])
    assert rates == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])
    assert trainer.epoch == trainer.total_epochs == 4


def test_learn_takes_a_number_of_steps():
    trainer = make_trainer(Pairs(64)).learn(2048)
    assert trainer.global_step == 2048


def test_gradients_are_clipped():
    trainer = make_trainer(Pairs(64), {"train.max_grad_norm": 1e-3})
    trainer.evaluate()
    trainer.train()
    norm = torch.sqrt(sum(p.grad.square().sum() for p in trainer.policy.parameters()))
    assert norm <= 1.001e-3


def test_takes_any_module():
    policy = OwnPolicy()
    before = policy.actor.weight.clone()
    trainer = make_trainer(registry.make("cartpole", num_envs=16), {"train.total_timesteps": 256}, policy).learn()
    assert policy.calls == {"forward": 8, "forward_eval": 17}
    assert not torch.equal(before, trainer.policy.actor.weight)


class Recorder:
    """A logger that keeps what it gets."""

    def __init__(self):
        self.records, self.closed = [], False

    def log(self, metrics, step):
        self.records.append((step, dict(metrics)))

    def close(self):
        self.closed = True


def test_metrics_reach_the_logger():
    logger = Recorder()
    trainer = make_trainer(registry.make("squared", num_envs=64), {"log.interval": 0.0}, logger=logger).learn()
    trainer.close()
    step, metrics = logger.records[-1]
    assert step == metrics["global_step"] == trainer.global_step
    assert len(logger.records) == trainer.epoch
    assert {"SPS", "uptime", "environment/episode_return", "losses/policy_loss", "performance/learn"} <= set(metrics)
    assert {"losses/explained_variance", "losses/approx_kl", "losses/entropy"} <= set(metrics)
    assert sum(v for k, v in metrics.items() if k.startswith("performance/")) == pytest.approx(1)
    assert logger.closed


def test_train_trains_logs_and_saves(tmp_path, capsys):
    trainer = pufferl.train("squared", {**SMALL, "train.data_dir": str(tmp_path), "log.tensorboard": False})
    assert trainer.last_checkpoint is not None
    assert trainer.last_checkpoint.parent == trainer.run_dir
    assert (trainer.run_dir / "metrics.csv").exists()
    assert "rollout storage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.gamma": 1.5}, r"train\.gamma is 1\.5; allowed: 0 to 1"),
        ({"train.horizon": 0}, r"train\.horizon is 0; allowed: at least 1"),
        ({"train.horizon": 1.5}, r"train\.horizon is 1\.5; allowed: an integer"),
        ({"train.learning_rate": float("nan")}, r"train\.learning_rate is nan"),
        ({"train.optimizer": "sgd"}, r"train\.optimizer is 'sgd'; allowed: adam or muon"),
        ({"policy.activation": "step"}, r"policy\.activation is 'step'; allowed: relu or tanh or gelu"),
        ({"env.num_envs": 0}, r"env\.num_envs is 0; allowed: at least 1"),
        ({"vec.num_threads": 10_000}, r"vec\.num_threads is 10000; Numba has"),
        ({"train.gama": 0.9}, r"unknown setting 'train\.gama'; did you mean train\.gamma"),
        ({"gamma": 0.9}, "unknown setting 'gamma'"),
        ({"env.gravitas": 1.0}, "gravitas"),
        ({"train.device": "abacus"}, r"train\.device is 'abacus', which cannot be used here"),
        ({"train.target_kl": -1.0}, r"train\.target_kl is -1\.0; allowed: above 0, or None"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_used(overrides, message):
    with pytest.raises(APIUsageError, match=message):
        pufferl.make_trainer("cartpole", overrides)


@pytest.mark.parametrize("function", [pufferl.train, pufferl.load_config, pufferl.eval])
def test_an_object_is_no_name(function):
    with pytest.raises(APIUsageError, match=r"expected the name of an environment, not a Aim: a registered name"):
        function(Aim())


def test_environments_that_do_not_reset_at_once_are_refused():
    env = registry.make("cartpole", num_envs=4, autoreset="next-step")
    with pytest.raises(APIUsageError, match="same-step"):
        make_trainer(env)


def test_batches_that_are_not_always_of_the_same_rows_are_refused():
    options = {"num_envs": 4, "num_workers": 4, "batch_size": 2, "zero_copy": False}
    with (
        vector.make("gym:CartPole-v1", **options) as env,
        pytest.raises(APIUsageError, match=r"batches that are always of the same rows; make .* with zero_copy=True"),
    ):
        make_trainer(env)


def test_halves_that_step_while_the_policy_acts_learn_as_the_whole_does():
    """The same experience of the same environments, but for the order in which actions are drawn."""
    env = vector.make("cartpole", num_envs=64, overlap=True)
    trainer = make_trainer(env, {"train.horizon": 16, "train.total_timesteps": 64 * 16 * 2})
    trainer.evaluate()
    rollout, state = trainer.rollout, env.driver_env.state
    whole = registry.make("cartpole", num_envs=64)
    observations, _ = whole.reset(trainer.config.train.seed)
    for t in range(16):
        np.testing.assert_array_equal(rollout.observations[t], observations)
        observations, rewards, terminals, *_ = whole.step(rollout.actions[t])
        np.testing.assert_array_equal(rollout.rewards[t], rewards)
        np.testing.assert_array_equal(rollout.terminals[t], terminals)
    np.testing.assert_array_equal(rollout.observations[16], observations)
    trainer.train()
    held = state.x.copy()
    trainer.evaluate()
    assert (state.x != held).any()
    np.testing.assert_array_equal(rollout.observations[0], observations)
    trainer.close()


def test_asynchronous_workers_with_truncated_episodes(tmp_path):
    """Each batch has its own time; the last observations of its truncated episodes are valued."""
    env = vector.make("gym:Pendulum-v1", env_kwargs={"max_episode_steps": 7}, num_envs=4, num_workers=4, batch_size=1)
    trainer = make_trainer(
        env, {"train.horizon": 16, "train.total_timesteps": 4 * 16 * 3, "train.data_dir": str(tmp_path)}
    )
    trainer.learn()
    rollout = trainer.rollout
    ends = [np.flatnonzero(column).tolist() for column in rollout.truncations.T]
    assert ends == [[2, 9]] * 4  # the third rollout begins with step 32
    assert (rollout.final_values[rollout.truncations] != 0).all()
    assert trainer.global_step == 4 * 16 * 3
    trainer.close()


def test_a_policy_without_parameters_is_refused():
    with pytest.raises(APIUsageError, match="no parameters"):
        make_trainer(Aim(), policy=torch.nn.Identity())


def test_the_optimum_is_not_reached_before_learning():
    """The learning tests above would prove nothing otherwise."""
    env = Aim(64)
    policy = MLP(env, 16, 1, True)
    with torch.no_grad():
        means = policy(torch.linspace(-1, 1, 21)[:, None])[0][:, 0]
    assert (means - 0.5 * torch.linspace(-1, 1, 21)).abs().mean() > 0.2


def test_it_learns_from_a_gymnasium_environment_in_worker_processes(tmp_path):
    overrides = {
        "train.total_timesteps": 60_000,
        "train.target_return": 100.0,
        "train.data_dir": str(tmp_path),
        "log.tensorboard": False,
        "env.num_envs": 32,
        "vec.num_workers": 2,
    }
    trainer = pufferl.train("gym:CartPole-v1", overrides)
    assert trainer.solved


@pytest.mark.parametrize(
    ("num_envs", "large", "together"),
    [(64, 2**17, False), (64, 64, True), (8, 64, False)],
    ids=["small rollout", "large rollout", "too few rows"],
)
def test_minibatches_hold_every_row_once(monkeypatch, num_envs, large, together):
    monkeypatch.setattr(minibatches, "LARGE", large)
    trainer = make_trainer(registry.make("cartpole", num_envs=num_envs))
    first, second = (torch.cat(list(trainer.learner._minibatches(None, recurrent=False))).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(num_envs * 16))
    assert first != second
    neighbours = sum(b == a + 1 for a, b in itertools.pairwise(first))
    assert (neighbours > len(first) / 2) == together


@pytest.mark.parametrize(
    ("name", "overrides", "backend"),
    [
        ("cartpole", {}, "CartPole"),
        ("cartpole", {"vec.overlap": True}, "Overlapped"),
        ("gym:CartPole-v1", {"vec.num_workers": 2, "vec.batch_size": 4}, "Multiprocessing"),
        ("gym:CartPole-v1", {"vec.backend": "serial"}, "Serial"),
    ],
)
def test_settings_of_the_backend(name, overrides, backend):
    config = load_config(name, {"env.num_envs": 8, **overrides})
    with load_env(config) as env:
        assert type(env).__name__ == backend
        assert env.agents_per_batch == (4 if overrides and backend != "Serial" else 8)
    with load_env(config, num_envs=3) as env:  # for an evaluation, together
        assert env.num_agents == env.agents_per_batch == 3


@pytest.mark.slow
def test_a_run_leaves_torchs_threads_and_its_compiler_alone(run_python):
    """Numba starts OpenMP with as many threads as it has, in the first parallel kernel: torch's number, too. And what
    learning needs of torch would import its compiler, which takes a second.
    """
    code = """
        import sys, torch
        from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy
        from tests.helpers.jit_envs import force_threads
        config = load_config("cartpole", {"env.num_envs": 64, "train.horizon": 4, "train.torch_threads": 1})
        env = load_env(config)
        trainer = PuffeRL(config, force_threads(env), load_policy(config, env))
        trainer.evaluate()
        assert torch.get_num_threads() == 1, torch.get_num_threads()
        trainer.train()
        trainer.load_state_dict(trainer.state_dict())
        assert not {"torch._dynamo", "sympy"} & set(sys.modules)
    """
    run_python(textwrap.dedent(code), NUMBA_THREADING_LAYER="omp", NUMBA_NUM_THREADS="2")
