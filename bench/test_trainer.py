"""Training: learning from a rollout beside CleanRL's code, and whole iterations beside Stable-Baselines3's."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

import puffer_numba
from bench.timer import Contestant

NUM_ENVS, HORIZON, MINIBATCHES = 1024, 64, 8
LEARNER_ENVS = 64  # of 256 steps


def our_learner(_: ExitStack) -> Contestant:
    from bench.studies.learner import make_learners

    return make_learners(LEARNER_ENVS, torch_threads=1)[1]["puffer_numba"]


def cleanrl_learner(_: ExitStack) -> Contestant:
    from bench.studies.learner import make_learners

    return make_learners(LEARNER_ENVS, torch_threads=1)[1]["CleanRL"]


@pytest.mark.parametrize("contestant", [our_learner, cleanrl_learner], ids=["puffer_numba", "CleanRL"])
def test_learning_from_a_rollout(measure: Any, contestant: Any) -> None:
    """4 epochs over the same samples, two networks of 64 x 64; steps are samples."""
    pytest.importorskip("torch")
    measure("learning from a rollout", contestant, None if contestant is our_learner else our_learner)


def our_trainer(stack: ExitStack) -> Contestant:
    from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

    settings = {
        "env.num_envs": NUM_ENVS,
        "train.horizon": HORIZON,
        "train.num_minibatches": MINIBATCHES,
        "train.update_epochs": 1,
        "train.torch_threads": 1,
        "train.target_kl": None,
        "train.target_return": None,
        "train.total_timesteps": 10**9,
        "policy.hidden_size": 64,
        "policy.num_layers": 2,
        "policy.shared": False,
        "policy.activation": "tanh",
    }
    config = load_config("cartpole", settings)
    env = stack.enter_context(load_env(config))
    trainer = PuffeRL(config, env, load_policy(config, env))

    def iterate() -> None:
        trainer.evaluate()
        trainer.train()

    return Contestant(iterate, NUM_ENVS * HORIZON)


def sb3_trainer(_: ExitStack) -> Contestant:
    """Stable-Baselines3's PPO over our environments, with the same network and sizes."""
    import torch
    from stable_baselines3 import PPO

    from puffer_numba.emulation.as_sb3 import SB3VecEnv

    torch.set_num_threads(1)
    steps = NUM_ENVS * HORIZON
    model = PPO(
        "MlpPolicy",
        SB3VecEnv(puffer_numba.make("cartpole", num_envs=NUM_ENVS)),
        n_steps=HORIZON,
        batch_size=steps // MINIBATCHES,
        n_epochs=1,
        policy_kwargs={"net_arch": [64, 64]},
        device="cpu",
    )
    return Contestant(lambda: model.learn(steps), steps)


@pytest.mark.parametrize("contestant", [our_trainer, sb3_trainer], ids=["puffer_numba", "Stable-Baselines3"])
def test_training(measure: Any, contestant: Any) -> None:
    """A rollout of 64 steps in 1024 CartPoles and one epoch of 8 minibatches, two networks of 64 x 64."""
    pytest.importorskip("torch")
    measure("training", contestant, None if contestant is our_trainer else our_trainer)
