"""Compiled policies and bfloat16, as far as they go without a GPU."""

from __future__ import annotations

import pytest
import torch

from puffer_numba import registry
from puffer_numba.config import TrainConfig
from puffer_numba.env import APIUsageError
from puffer_numba.train.acceleration import accelerate
from tests.helpers.trainer_envs import Aim
from tests.helpers.training import make_trainer, weights

CPU = torch.device("cpu")


def trained(**settings):
    """A trainer whose minibatches have as many rows as its rollouts' steps: a compiled policy is compiled for these."""
    overrides = {"train.total_timesteps": 2 * 64 * 16, "train.num_minibatches": 16}
    overrides |= {f"train.{name}": value for name, value in settings.items()}
    return make_trainer(registry.make("squared", num_envs=64), overrides)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of inductor's own
def test_a_compiled_policy_learns_the_same_within_rounding():
    plain, compiled = trained().learn(), trained(compile="default").learn()
    assert compiled.learner._forward is not compiled.policy
    for name, weight in weights(plain).items():
        torch.testing.assert_close(weights(compiled)[name], weight, atol=1e-4, rtol=1e-3)


def test_bfloat16_is_for_the_policy_alone():
    trainer = trained(precision="bfloat16")
    observations = torch.rand(8, 121)
    params, values = trainer.learner._forward(observations)
    assert params.dtype == values.dtype == torch.float32
    exact, _ = trainer.policy(observations)
    torch.testing.assert_close(params, exact, atol=0.01, rtol=0.02)
    assert not torch.equal(params, exact)
    trainer.learn()
    assert {p.dtype for p in trainer.policy.parameters()} == {torch.float32}


@pytest.mark.slow
def test_it_learns_in_bfloat16():
    settings = {"train.total_timesteps": 64 * 16 * 60, "train.learning_rate": 1e-2, "policy.log_std": -1.0}
    trainer = make_trainer(Aim(64), {**settings, "train.precision": "bfloat16"}).learn()
    assert trainer.statistics.mean_return > -0.01


def test_nothing_is_wrapped_where_nothing_is_wanted():
    policy = torch.nn.Linear(2, 2)
    assert accelerate(policy, TrainConfig(), CPU) is policy


def test_modes_that_do_not_exist_are_refused():
    with pytest.raises(APIUsageError, match=r"train\.compile is 'fast'; allowed: off or default or reduce-overhead"):
        TrainConfig(compile="fast").validate()
