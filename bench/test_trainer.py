"""Training: learning from a rollout beside CleanRL's code, and whole iterations beside Stable-Baselines3's."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

import puffer_numba
from bench.conftest import Make
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


TWO_TANH_NETWORKS = {"policy.shared": False, "policy.activation": "tanh"}


def trainer(settings: dict[str, Any]) -> Make:
    """A contestant: a rollout of CartPoles, and learning from it."""

    def make(stack: ExitStack) -> Contestant:
        from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

        own = {"train.target_kl": None, "train.target_return": None, "train.total_timesteps": 10**9}
        config = load_config("cartpole", {"policy.hidden_size": 64, "policy.num_layers": 2, **own, **settings})
        env = stack.enter_context(load_env(config))
        trained = PuffeRL(config, env, load_policy(config, env))

        def iterate() -> None:
            trained.evaluate()
            trained.train()

        return Contestant(iterate, config.env.num_envs * config.train.horizon)

    return make


our_trainer = trainer(
    {
        "env.num_envs": NUM_ENVS,
        "train.horizon": HORIZON,
        "train.num_minibatches": MINIBATCHES,
        "train.update_epochs": 1,
        **TWO_TANH_NETWORKS,
    }
)


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


LEARNERS = {
    "4096 envs, 128 units": {
        "env.num_envs": 4096,
        "train.update_epochs": 1,
        "policy.hidden_size": 128,
        "policy.num_layers": 1,
    },
    "4096 envs, two tanh networks": {"env.num_envs": 4096, "train.update_epochs": 1, **TWO_TANH_NETWORKS},
    "64 envs": {"env.num_envs": 64, "train.update_epochs": 3},
    "64 envs, two tanh networks": {"env.num_envs": 64, "train.update_epochs": 3, **TWO_TANH_NETWORKS},
}
"""Settings beside a horizon of 64 and 8 minibatches."""


@pytest.mark.parametrize("settings", LEARNERS.values(), ids=LEARNERS)
def test_the_torch_learner_beside_the_compiled_one(measure: Any, settings: dict[str, Any]) -> None:
    """Whole iterations: acting, environments and learning."""
    pytest.importorskip("torch")
    settings = {"train.horizon": HORIZON, "train.num_minibatches": MINIBATCHES, **settings}
    torch, compiled = (trainer({**settings, "train.learner": name}) for name in ("torch", "compiled"))
    measure("training, torch's learner", torch, compiled)
