"""Squashed and state-dependent Gaussians, PufferLib's policies as they are, and rows drawn by their advantages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from puffer_numba import pufferl, registry
from puffer_numba.distributions.actions import GaussianActions
from puffer_numba.env import APIUsageError
from puffer_numba.models.mlp import LOG_STD_BOUNDS, MLP
from tests.helpers.trainer_envs import Aim, Haunted, Pairs
from tests.helpers.training import make_trainer

LEARNING = {"train.total_timesteps": 64 * 16 * 60, "train.learning_rate": 1e-2, "train.ent_coef": 0.0}


# -- continuous actions ------------------------------------------------------------------------------------


def test_squashed_actions_end_inside_the_box_and_have_the_entropy_of_torchs_own():
    space = Box(np.float32([-2, 0]), np.float32([2, 1]))
    distribution = GaussianActions(space, squash=True)
    sent = distribution.to_env(np.float32([[0, 0], [-50, 50], [0.5, -0.5]]))
    assert sent.dtype == np.float32
    np.testing.assert_allclose(sent[:2], [[0, 0.5], [-2, 1]])
    greedy = distribution.mode(torch.tensor([[0.5, -0.5, 0, 0]])).numpy()
    np.testing.assert_allclose(greedy[0], sent[2], rtol=1e-6)
    assert space.contains(sent[2])

    torch.manual_seed(1)
    params = torch.tensor([[0.3, -0.4, -0.5, 0.2]]).expand(200_000, -1)
    stored = torch.zeros(len(params), 2)
    _, entropy = distribution.log_prob_entropy(params, stored)
    torchs = TransformedDistribution(Normal(params[:, :2], params[:, 2:].exp()), TanhTransform())
    drawn = torchs.sample()
    expected = -torchs.log_prob(drawn).sum(-1).mean() + float(np.log([2, 0.5]).sum())
    assert float(entropy.mean()) == pytest.approx(float(expected), abs=0.02)


def test_actions_without_bounds_cannot_be_squashed():
    with pytest.raises(APIUsageError, match=r"policy.squash is on, but the actions' Box.* is not bounded"):
        GaussianActions(Box(-np.inf, 1, (1,), np.float32), squash=True)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    "settings", [{"policy.squash": True}, {"policy.state_dependent_std": True}], ids=["squash", "state-dependent"]
)
def test_continuous_actions_are_learned(settings, shared):
    trainer = make_trainer(Aim(64), {**LEARNING, **settings, "policy.shared": shared, "policy.log_std": -1.0}).learn()
    assert trainer.statistics.mean_return > -0.01  # by chance -0.11


def test_the_deviation_depends_on_the_observation_within_bounds():
    env = registry.make("pendulum", num_envs=4)
    policy = MLP(env, state_dependent_std=True, log_std=-0.7)
    params, _ = policy(torch.zeros(3, 3))
    torch.testing.assert_close(params[:, 1], torch.full((3,), -0.7))
    policy.network[-1].weight.data.fill_(1.0)
    low, high = (policy(torch.full((1, 3), x))[0][0, 1] for x in (0.1, 100.0))
    assert low < high == LOG_STD_BOUNDS[1]
    assert not hasattr(policy, "log_std")


def test_a_squashed_policy_is_evaluated_squashed(tmp_path):
    overrides = {"policy.squash": True, "train.total_timesteps": 2048, "train.data_dir": str(tmp_path)}
    trainer = pufferl.train("pendulum", {**overrides, "env.num_envs": 8, "log.tensorboard": False})
    assert trainer.distribution.to_env(np.float32([[9.0]])).item() == pytest.approx(2, abs=1e-4)
    assert len(pufferl.eval("pendulum", episodes=4, data_dir=tmp_path).returns) == 4


# -- policies as PufferLib has them -------------------------------------------------------------------------


class PufferLibPolicy(nn.Module):
    """Written for PufferLib 3: a state that nobody needs, logits in a tuple or a Normal, values ``(rows, 1)``."""

    def __init__(self, env):
        super().__init__()
        self.hidden_size = 32
        self.is_continuous = isinstance(env.single_action_space, Box)
        self.encoder = nn.Sequential(nn.Linear(int(np.prod(env.single_observation_space.shape)), 32), nn.ReLU())
        sizes = [1] if self.is_continuous else env.single_action_space.nvec.tolist()
        self.heads = nn.ModuleList(nn.Linear(32, size) for size in sizes)
        self.log_std = nn.Parameter(torch.full((1,), -1.0))
        self.value = nn.Linear(32, 1)

    def forward_eval(self, observations, state=None):
        return self.decode_actions(self.encode_observations(observations, state))

    def forward(self, observations, state=None):
        return self.forward_eval(observations, state)

    def encode_observations(self, observations, state=None):
        return self.encoder(observations.view(len(observations), -1).float())

    def decode_actions(self, hidden):
        outputs = tuple(head(hidden) for head in self.heads)
        actions = Normal(outputs[0], self.log_std.exp().expand_as(outputs[0])) if self.is_continuous else outputs
        return actions, self.value(hidden)


@pytest.mark.parametrize("env_class", [Aim, Pairs], ids=["Normal", "tuple"])
def test_pufferlibs_policies_learn_as_they_are(env_class):
    env = env_class(64)
    trainer = make_trainer(env, LEARNING, PufferLibPolicy(env)).learn()
    assert trainer.statistics.mean_return > {Aim: -0.01, Pairs: 0.9}[env_class]


@pytest.mark.slow
def test_pufferlibs_policies_get_a_memory():
    from puffer_numba.models.lstm import LSTM

    env = Pairs(64)
    trainer = make_trainer(env, LEARNING, LSTM(PufferLibPolicy(env))).learn()
    assert trainer.statistics.mean_return > 0.9


# -- prioritized rows ---------------------------------------------------------------------------------------


def test_rows_are_drawn_by_the_size_of_their_advantages():
    trainer = make_trainer(Haunted(), {"train.prio_alpha": 0.5, "train.prio_beta": 0.4, "train.num_minibatches": 4})
    trainer.evaluate()
    rollout = trainer.rollout
    rollout.advantages[:] = np.where(rollout.masks[:-1], np.arange(rollout.rows), 1e6)  # masked ones must not count
    batch, drawn = trainer.learner.batch(progress=0.0), []
    for _ in range(300):
        for rows in trainer.learner._minibatches(batch.chances, recurrent=False):
            assert rollout.masks[:-1].reshape(-1)[rows.numpy()].all()
            columns = (rows % rollout.rows).unique()
            assert len(columns) <= rollout.rows // 4
            drawn += columns.tolist()
    acted = rollout.masks[:-1].any(0)
    sizes = np.abs(rollout.advantages * rollout.masks[:-1]).sum(0)
    found = np.bincount(drawn, minlength=rollout.rows) / len(drawn)
    assert found[~acted].sum() == 0
    assert np.corrcoef(found[acted], np.sqrt(sizes[acted]))[0, 1] > 0.97
    chances = (np.sqrt(sizes) + 1e-6) / (np.sqrt(sizes) + 1e-6).sum()
    np.testing.assert_allclose(batch.weights, (rollout.rows * chances) ** -0.4, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("lstm", [False, True], ids=["mlp", "lstm"])
def test_it_learns_from_prioritized_rows(lstm):
    settings = {"train.prio_alpha": 0.8, "train.advantage": "vtrace", "policy.lstm": lstm}
    trainer = make_trainer(Pairs(64), {**LEARNING, **settings}).learn()
    assert trainer.statistics.mean_return > 0.9


def test_more_minibatches_than_rows_are_refused():
    with pytest.raises(APIUsageError, match=r"train.prio_alpha learns from whole rows, of which there are 4: train"):
        make_trainer(Aim(4), {"train.prio_alpha": 0.5, "train.num_minibatches": 8})
