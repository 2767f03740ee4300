"""PPO and PPOConfig: the trainer under the names of Stable-Baselines3."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from stable_baselines3.common.evaluation import evaluate_policy

import puffer_numba
from puffer_numba import PPO, PPOConfig
from puffer_numba.env import APIUsageError
from puffer_numba.envs import GridWalk
from puffer_numba.models.mlp import MLP
from tests.helpers.trainer_envs import Aim
from tests.helpers.training import same_weights

SMALL = PPOConfig(n_envs=8, n_steps=16, batch_size=32, n_epochs=2)


@pytest.mark.slow
def test_a_name_and_a_config_learn_cartpole_as_stable_baselines3_measures_it():
    model = PPO("cartpole", PPOConfig(seed=3)).learn(total_timesteps=100_000)
    assert model.num_timesteps >= 100_000
    mean, _ = evaluate_policy(model, gymnasium.make("CartPole-v1"), n_eval_episodes=20, warn=False)
    assert mean > 400


def test_settings_are_those_of_the_trainer():
    model = PPO("cartpole", PPOConfig(n_envs=8, n_steps=32, batch_size=64, clip_range=0.1, clip_range_vf=0.3, seed=7))
    train = model.config.train
    assert (train.horizon, train.num_minibatches, train.clip_coef, train.seed) == (32, 4, 0.1, 7)
    assert (train.clip_vloss, train.vf_clip_coef) == (True, 0.3)
    recommended = puffer_numba.pufferl.load_config("cartpole").train
    assert train.learning_rate == recommended.learning_rate
    assert PPO("cartpole", PPOConfig(overrides={"env.gravity": 1.6})).env.params.gravity == pytest.approx(1.6)


def test_settings_under_operants_names():
    config = PPOConfig(lr=2e-3, clip_eps=0.3, n_steps=32, batch_size=64, normalize_rewards=False)
    assert (config.learning_rate, config.clip_range) == (2e-3, 0.3)
    assert dataclasses.replace(config, gamma=0.9).learning_rate == 2e-3
    train = PPO("squared", dataclasses.replace(config, n_envs=8)).config.train
    assert (train.learning_rate, train.clip_coef, train.horizon) == (2e-3, 0.3, 32)
    assert (train.num_minibatches, train.normalize_returns) == (4, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"learning_rte": 1e-3},
            r"has no setting 'learning_rte'\. Did you mean 'learning_rate'.*It has learning_rate, ",
        ),
        ({"policy_kwargs": {}}, r"'policy_kwargs'\. It has .*overrides: \{'policy\.hidden_size': 128\}"),
        ({"lr": 1e-3, "learning_rate": 1e-3}, "lr and learning_rate are one setting; give one of them"),
        ({"checkpoint_interval": 3}, "checkpoint_interval needs checkpoint_dir"),
        ({"checkpoint_interval": 0, "checkpoint_dir": "x"}, "checkpoint_interval is 0; expected at least 1"),
    ],
)
def test_settings_that_cannot_be_used(settings, message):
    with pytest.raises(APIUsageError, match=message):
        PPOConfig(**settings)
    with pytest.raises(APIUsageError, match=message):
        PPO("squared", **settings)


def test_checkpoints_at_an_interval_of_updates(tmp_path):
    env = GridWalk(num_envs=8, grid_size=4)
    config = PPOConfig(lr=1e-3, n_steps=16, batch_size=64, checkpoint_dir=tmp_path / "saved", checkpoint_interval=2)
    PPO(env, config=config).learn(total_timesteps=5 * 128)
    steps = sorted(int(path.name.removeprefix("checkpoint_")) for path in (tmp_path / "saved").iterdir())
    assert steps == [256, 512, 640]
    again = PPO.load(tmp_path / "saved" / "checkpoint_000000000640", GridWalk(num_envs=8, grid_size=4))
    assert again.num_timesteps == 640


def test_without_a_folder_nothing_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PPO("squared", SMALL).learn(256)
    assert list(tmp_path.iterdir()) == []


def test_the_call_of_stable_baselines3(capsys):
    env = gymnasium.make("CartPole-v1")
    model = PPO("MlpPolicy", env, learning_rate=1e-3, n_steps=32, batch_size=32, verbose=1)
    assert model.config.train.learning_rate == 1e-3
    assert model.learn(total_timesteps=64).num_timesteps == 64
    assert "step 64" in capsys.readouterr().out
    with pytest.raises(APIUsageError, match="got config and gamma, which belongs into the config"):
        PPO(env, PPOConfig(), gamma=0.9)
    with pytest.raises(APIUsageError, match="'squared' for config; expected a PPOConfig"):
        PPO(env, "squared")


@pytest.mark.parametrize(
    "env",
    [
        lambda: gymnasium.make("CartPole-v1"),
        lambda: Aim(8),
        lambda: puffer_numba.make("pendulum", num_envs=8),
        lambda: lambda: gymnasium.make("CartPole-v1"),
    ],
    ids=["gymnasium", "puffer", "jit", "function"],
)
def test_environments_of_all_kinds(env):
    config = PPOConfig(n_envs=4, n_steps=64, batch_size=32)
    model = PPO(env(), config).learn(512)
    assert model.num_timesteps >= 512
    model.close()


def test_steps_are_trained_for_although_the_target_of_puffer_train_is_reached():
    """Seed 2 solves cartpole after 90,112 steps."""
    model = PPO("cartpole", PPOConfig(seed=2)).learn(100_000)
    assert model.num_timesteps >= 100_000
    assert model.learn(4096).num_timesteps >= 104_096
    assert PPO("cartpole", PPOConfig(overrides={"train.target_return": 20.0})).learn(100_000).num_timesteps < 50_000


def test_learning_goes_on_where_it_was():
    model = PPO("squared", SMALL).learn(256).learn(256)
    assert model.num_timesteps == 512


@pytest.mark.parametrize(("name", "overrides"), [("cartpole", {}), ("memory", {"policy.lstm": True}), ("pendulum", {})])
def test_what_is_saved_is_loaded(name, overrides, tmp_path):
    config = PPOConfig(n_envs=8, n_steps=16, batch_size=32, overrides=overrides)
    model = PPO(name, config).learn(512)
    path = model.save(tmp_path / "model")
    again = PPO.load(path)
    assert same_weights(model.policy.state_dict(), again.policy.state_dict())
    observations = model.env.observations.copy()
    actions, state = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(actions, again.predict(observations, deterministic=True)[0])
    assert (state is None) == (not overrides)
    for one in (model, again):
        one.learn(256)
    assert same_weights(model.policy.state_dict(), again.policy.state_dict())


def test_a_policy_and_an_environment_of_ones_own(tmp_path):
    env = Aim(8)
    model = PPO(env, SMALL, MLP(env, hidden_size=8)).learn(256)
    path = model.save(tmp_path / "model")
    with pytest.raises(APIUsageError, match=r"of an environment without a name; pass it: PPO.load\(path, env\)"):
        PPO.load(path)
    other = Aim(8)
    with pytest.warns(UserWarning, match="start new episodes"):
        again = PPO.load(path, other, MLP(other, hidden_size=8))
    assert same_weights(model.policy.state_dict(), again.policy.state_dict())


def test_prediction_of_one_observation_and_of_many():
    model = PPO("cartpole", SMALL)
    one, _ = model.predict(np.zeros(4), deterministic=True)
    many, _ = model.predict(np.zeros((5, 4)), deterministic=True)
    assert one.shape == ()
    assert many.tolist() == [one] * 5
    assert {int(model.predict(np.zeros(4))[0]) for _ in range(50)} == {0, 1}
    with pytest.raises(APIUsageError, match=r"shape \(3,\); expected \(4,\), or a batch \(rows, 4\)"):
        model.predict(np.zeros(3))


def test_what_is_remembered_is_forgotten_where_an_episode_begins():
    model = PPO("memory", PPOConfig(n_envs=4, n_steps=16, overrides={"policy.lstm": True}))
    observation = np.ones((2, *model.env.single_observation_space.shape), np.float32)
    _, fresh = model.predict(observation)
    _, later = model.predict(observation, fresh)
    _, half = model.predict(observation, later, np.array([True, False]))
    np.testing.assert_allclose(half[:, 0], fresh[:, 0])
    assert not np.allclose(half[:, 1], fresh[:, 1])


class Lamp(gymnasium.Env):
    """Observations are a Dict."""

    observation_space = Dict({"light": Discrete(3), "heat": Box(0, 1, (2,), np.float32)})
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"light": 1, "heat": np.zeros(2, np.float32)}, {}

    def step(self, action):
        return {"light": 2, "heat": np.ones(2, np.float32)}, float(action), True, False, {}


def test_a_dict_is_an_observation():
    model = PPO(Lamp(), PPOConfig(n_steps=128, n_epochs=4, learning_rate=0.01)).learn(1280)
    action, _ = model.predict({"light": 1, "heat": np.zeros(2, np.float32)}, deterministic=True)
    assert action == 1
    model.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PPO(3), "PPO() got 3; expected a name such as 'cartpole', a PufferEnv"),
        (lambda: PPO("cartpol"), "Did you mean 'cartpole'?"),
        (lambda: PPO("cartpole", PPOConfig(gamma=2.0)), "train.gamma is 2.0; allowed: 0 to 1"),
        (lambda: PPO("cartpole", PPOConfig(n_envs=8, n_steps=16, batch_size=100)), "expected a divisor of the 128"),
        (lambda: PPO("cartpole", PPOConfig(overrides={"train.gama": 0.9})), "did you mean train.gamma"),
    ],
    ids=["no environment", "no such name", "bad value", "batch size", "no such setting"],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(APIUsageError) as error:
        make()
    assert message in str(error.value)


def test_torch_is_imported_only_when_it_is_needed():
    assert torch.is_tensor(next(PPO("bandit", SMALL).policy.parameters()))
    with pytest.raises(AttributeError, match="has no attribute 'PPOO'"):
        puffer_numba.PPOO  # noqa: B018
