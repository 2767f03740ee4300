"""NaN and infinity stop training before they reach the weights, or are passed over; the message says where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from puffer_numba import pufferl, registry
from puffer_numba.cli import main
from puffer_numba.runs import checkpoint
from puffer_numba.train.learner import NonFiniteError
from tests.helpers.trainer_envs import Aim
from tests.helpers.training import make_trainer, same_weights, weights


class Broken(Aim):
    """From its 40th step on, what ``broken`` names is NaN in one row now and then."""

    broken, value = "rewards", np.nan
    steps = 0

    def step(self, actions):
        results = super().step(np.nan_to_num(actions))  # what is seen as NaN is answered by NaN
        self.steps += 1
        if self.steps > 40 and self.steps % 16 == 0:
            getattr(self, self.broken)[3] = self.value
        return results


class Infinite(Broken):
    """Return scaling would clip it."""

    value = np.inf


class MinusInfinite(Broken):
    value = -np.inf


class BrokenObservations(Broken):
    broken = "observations"


def finite(policy):
    return all(p.isfinite().all() for p in policy.parameters())


@pytest.mark.parametrize("fast", [True, False], ids=["discrete", "continuous"])
def test_a_rate_that_diverges_stops_with_step_and_tensor(fast):
    env = registry.make("cartpole", num_envs=64) if fast else Aim()
    trainer = make_trainer(env, {"train.learning_rate": 1e38, "train.max_grad_norm": 0.0})
    with pytest.raises(NonFiniteError, match=r"stopped at step [\d,]+: NaN or infinity, first in the policy's"):
        trainer.learn()


class Huge(Aim):
    """Observes values of 1e30, at which the policy's outputs overflow in learning."""

    def step(self, actions):
        results = super().step(actions)
        self.observations *= np.float32(1e30)
        return results

    def reward(self, actions):
        return -(actions[:, 0] ** 2)


def test_observations_that_are_too_large_are_named_as_the_cause():
    trainer = make_trainer(Huge(), {"train.total_timesteps": 100_000})
    with pytest.raises(NonFiniteError, match=r"Observations reach \de\+30; train.normalize_observations=True scales"):
        trainer.learn()


@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("env_class", [Broken, Infinite, MinusInfinite, BrokenObservations])
def test_the_first_tensor_that_is_not_finite_is_named_and_the_weights_stay(env_class, scaled):
    where = env_class.broken
    trainer = make_trainer(env_class(), {"train.normalize_observations": True, "train.normalize_returns": scaled})
    with pytest.raises(NonFiniteError, match=f"first in {where}"):
        trainer.learn()
    assert finite(trainer.policy)


@pytest.mark.parametrize("env_class", [Broken, Infinite, BrokenObservations])
def test_skipped_minibatches_leave_no_trace(env_class):
    overrides = {
        "train.non_finite": "skip",
        "train.normalize_observations": True,
        "train.normalize_returns": True,
        "train.num_minibatches": 16,
        "train.total_timesteps": 64 * 16 * 8,
    }
    trainer = make_trainer(env_class(), overrides)
    for _ in range(2):
        trainer.evaluate()
        trainer.train()
    before = weights(trainer)
    trainer.learn()
    assert 0 < trainer.losses["skipped_minibatches"] == trainer.learner.skipped < 16 * 4 * 8
    assert not same_weights(before, weights(trainer))
    assert finite(trainer.policy)
    for normalizer in (trainer.normalizer, trainer.return_scale):
        assert normalizer.mean.isfinite().all()
        assert normalizer.var.isfinite().all()


def test_an_update_that_is_skipped_changes_no_weight():
    trainer = make_trainer(Aim(), {"train.non_finite": "skip", "train.num_minibatches": 1})
    trainer.evaluate()
    trainer.rollout.rewards[0, 0] = np.inf
    before = weights(trainer)
    trainer.train()
    assert trainer.learner.skipped == trainer.config.train.update_epochs
    assert same_weights(before, weights(trainer))
    assert all(torch.equal(p, q) for p, q in zip(trainer.policy.parameters(), before.values(), strict=True))


def test_the_checkpoint_from_before_is_saved_and_named(tmp_path):
    trainer = make_trainer(Broken(), {"train.data_dir": str(tmp_path), "log.tensorboard": False})
    with pytest.raises(NonFiniteError, match="first in rewards") as error:
        pufferl.run(trainer)
    saved = checkpoint.load(str(error.value).rpartition("The last good checkpoint: ")[2])
    assert all(torch.equal(saved.weights[name], w) for name, w in weights(trainer).items())


def test_it_is_what_is_told_although_nothing_can_be_saved(tmp_path):
    trainer = make_trainer(Broken(), {"train.data_dir": str(tmp_path), "log.tensorboard": False})
    path = trainer.run_dir / f"checkpoint_{3 * 64 * 16:012d}"
    path.write_text("a file where the folder should be")
    with (
        pytest.warns(UserWarning, match="cannot save"),
        pytest.raises(NonFiniteError, match=r"first in rewards.* The last good checkpoint: none"),
    ):
        pufferl.run(trainer)


def test_weights_that_are_not_finite_are_not_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--train.learning-rate", "1e38", "--train.max-grad-norm", "0", "--log.no-tensorboard"]
    assert main(["train", "cartpole", *options]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("puffer: training stopped at step ")
    assert line.endswith("The last good checkpoint: none")
    assert not list(tmp_path.rglob("checkpoint_*"))
