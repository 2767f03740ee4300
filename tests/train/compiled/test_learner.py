"""Compiled learning beside torch's, which is the definition: gradients, updates, whole runs, resuming, messages."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from puffer_numba import registry
from puffer_numba.config import TrainConfig
from puffer_numba.distributions.actions import action_distribution
from puffer_numba.env import APIUsageError
from puffer_numba.models.mlp import MLP
from puffer_numba.train.compiled.forward import CompiledForward
from puffer_numba.train.compiled.learner import CompiledLearner, make_learner
from puffer_numba.train.compiled.network import BLOCK
from puffer_numba.train.distributed import ALONE
from puffer_numba.train.learner import Learner
from puffer_numba.train.loss import LOSS_NAMES
from puffer_numba.train.phases import Phases
from puffer_numba.train.rollout import Rollout
from tests.helpers.trainer_envs import Aim, Pairs
from tests.helpers.training import make_trainer, same_weights, weights

CPU = torch.device("cpu")


def make_rollout(observation_size, actions, rows, horizon, seed):
    """One that a policy might have seen: ratios near 1, some of which are clipped."""
    space = Box(-np.inf, np.inf, (observation_size,), np.float32)
    env = SimpleNamespace(num_agents=rows, single_observation_space=space, single_action_space=actions, emulated=None)
    distribution, rng = action_distribution(actions), np.random.default_rng(seed)
    rollout = Rollout(env, distribution, horizon)
    for name in ("observations", "values", "advantages", "returns"):
        array = getattr(rollout, name)
        array[:] = rng.normal(size=array.shape)
    steps = (horizon, rows)
    chosen = [rng.integers(0, n, steps) for n in distribution.sizes]
    rollout.actions[:] = np.stack(chosen, -1).reshape(rollout.actions.shape)
    rollout.log_probs[:] = rng.normal(-np.log(distribution.sizes).sum(), 0.2, steps)
    return env, distribution, rollout


def both_learners(env, distribution, rollout, settings, **network):
    learners = []
    for name in ("torch", "compiled"):
        torch.manual_seed(0)
        policy = MLP(env, **network)
        for layer in policy.modules():
            if isinstance(layer, nn.Linear):  # heads begin so small that their gradients would hide mistakes
                nn.init.normal_(layer.weight, std=0.5)
                nn.init.normal_(layer.bias)
        config = TrainConfig(learner=name, **settings)
        learners.append(make_learner(config, policy, distribution, rollout, None, ALONE, CPU, Phases()))
    return learners


def assert_alike(by_torch, compiled, scale=1e-5):
    """To ``scale`` of the largest number of all; small ones can be differences of large ones."""
    names, tensors = zip(*by_torch, strict=True)
    largest = max(float(tensor.detach().abs().max()) for tensor in tensors)
    for name, one, other in zip(names, tensors, compiled, strict=True):
        torch.testing.assert_close(
            other, one, rtol=0, atol=scale * largest, msg=lambda text, name=name: f"{name}: {text}"
        )


def grads(policy):
    return [(name, p.grad) for name, p in policy.named_parameters()]


@settings(max_examples=40)
@given(
    hidden_size=st.integers(1, 70),
    num_layers=st.integers(1, 4),
    observation_size=st.integers(1, 9),
    shared=st.booleans(),
    activation=st.sampled_from(["relu", "tanh"]),
    actions=st.sampled_from([Discrete(2), Discrete(7), MultiDiscrete([2, 3, 4])]),
    rows=st.integers(1, 2 * BLOCK + 5),
    minibatches=st.integers(1, 3),
    weighted=st.sampled_from([{}, {"clip_vloss": True}, {"clip_coef": 0.05}, {"norm_adv": False, "prio_alpha": 0.5}]),
    clipped=st.booleans(),
    zero=st.booleans(),
)
@example(3, 1, 1, True, "relu", Discrete(2), 1, 1, {}, False, False)
@example(64, 2, 4, False, "tanh", Discrete(2), BLOCK, 1, {}, True, False)
@example(64, 2, 4, True, "tanh", MultiDiscrete([2, 3, 4]), BLOCK + 1, 1, {}, True, True)
def test_gradients_and_weights_are_those_of_torch(
    hidden_size, num_layers, observation_size, shared, activation, actions, rows, minibatches, weighted, clipped, zero
):
    minibatches = min(minibatches, rows)
    env, distribution, rollout = make_rollout(observation_size, actions, rows, 2, seed=rows)
    if zero:  # advantages of which nothing is learned
        rollout.advantages[:] = 0
    chosen = {"num_minibatches": minibatches, "max_grad_norm": 0.1 if clipped else 0.0, "ent_coef": 0.1, **weighted}
    network = {"hidden_size": hidden_size, "num_layers": num_layers, "shared": shared, "activation": activation}
    learners = both_learners(env, distribution, rollout, chosen, **network)
    records = [[*learner.learn(learner.batch(0.0), None)] for learner in learners]
    assert [type(learner) for learner in learners] == [Learner, CompiledLearner]
    assert len(records[0]) == len(records[1]) == minibatches
    for one, other in zip(*records, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    if minibatches == 1:  # those of later ones are of weights that differ in the last bits
        assert_alike(grads(learners[0].policy), [g for _, g in grads(learners[1].policy)])
    assert_alike(learners[0].policy.named_parameters(), learners[1].policy.parameters(), 3e-5)
    states = [[*learner.optimizers[0].state_dict()["state"].values()] for learner in learners]
    for one, other in zip(*states, strict=True):
        assert one["step"] == other["step"] == minibatches
        for moment in ("exp_avg", "exp_avg_sq"):
            assert_alike([(moment, one[moment])], [other[moment]], 1e-4)


ENVIRONMENTS = {
    "masks": ("tic_tac_toe", {}),
    "normalized": ("cartpole", {"train.normalize_observations": True}),
    "integers": ("minigrid_empty", {"policy.shared": False}),
    "components": (Pairs, {"policy.activation": "tanh"}),
    "prioritized": ("cartpole", {"train.prio_alpha": 0.6}),
    "vtrace": ("cartpole", {"train.advantage": "vtrace"}),
}


@pytest.mark.parametrize(("env", "overrides"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_trainers_learn_the_same(env, overrides):
    trainers = []
    for learner in ("torch", "compiled"):
        vecenv = registry.make(env, num_envs=32) if isinstance(env, str) else env(32)
        trainers.append(make_trainer(vecenv, {**overrides, "train.learner": learner, "train.update_epochs": 2}))
    for _ in range(2):
        for trainer in trainers:
            trainer.evaluate()
            trainer.train()
    one, other = trainers
    assert (one.learner.name, other.learner.name) == ("torch", "compiled")
    assert_alike(one.policy.named_parameters(), other.policy.parameters(), 1e-4)
    for name in LOSS_NAMES:
        assert other.losses[name] == pytest.approx(one.losses[name], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("network", [{}, {"shared": False, "activation": "tanh"}], ids=str)
@pytest.mark.parametrize("rows", [1, 64, BLOCK + 3])
def test_the_forward_pass_is_torchs_also_where_tensors_are_replaced(network, rows):
    env, distribution, _ = make_rollout(5, MultiDiscrete([2, 3]), rows, 1, seed=0)
    policy, observations = MLP(env, hidden_size=20, **network), torch.randn(rows, 5)
    forward = CompiledForward(policy, distribution.num_params)
    for _ in range(2):
        for found, expected in zip(forward(observations), policy(observations), strict=True):
            torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-5)
            assert not found.requires_grad
        for parameter in policy.parameters():
            parameter.data = torch.randn_like(parameter)


def train_from(state, learner, rollouts):
    trainer = make_trainer(registry.make("cartpole", num_envs=32), {"train.learner": learner})
    if state is not None:
        trainer.load_state_dict(state)
    for _ in range(rollouts):
        trainer.evaluate()
        trainer.train()
    return trainer


def test_resuming_is_exact_and_may_change_the_learner():
    whole = train_from(None, "compiled", 4)
    for first, second in (("compiled", "compiled"), ("torch", "compiled"), ("compiled", "torch")):
        half = train_from(None, first, 2)
        resumed = train_from(half.state_dict(), second, 2)
        assert resumed.learner.name == second
        if first == second:
            assert same_weights(weights(whole), weights(resumed))
            state = resumed.learner.optimizers[0].state_dict()["state"]
            for k, fields in whole.learner.optimizers[0].state_dict()["state"].items():
                assert all(torch.equal(tensor, state[k][name]) for name, tensor in fields.items())
        else:
            assert_alike(whole.policy.named_parameters(), resumed.policy.parameters(), 1e-4)


class NaN(Pairs):
    """One observation is NaN."""

    def step(self, actions):
        results = super().step(actions)
        self.observations[3, 0] = np.nan
        return results


def test_what_is_not_finite_is_named_and_reaches_no_weight():
    trainer = make_trainer(NaN(), {"train.learner": "compiled"})
    before = weights(trainer)
    trainer.evaluate()
    trainer.learner.optimizers[0].state.clear()
    with pytest.raises(APIUsageError, match="first in observations"):
        trainer.train()
    trainer.config.train.non_finite = "skip"
    trainer.train()
    assert trainer.learner.skipped > 1
    assert all(tensor.isfinite().all() for tensor in weights(trainer).values())
    assert before.keys() == weights(trainer).keys()


class Derived(MLP):
    """May compute anything."""


def frozen(env):
    policy = MLP(env)
    policy.network[0].weight.requires_grad_(False)
    return policy


def hooked(env):
    policy = MLP(env)
    policy.network[0].register_forward_hook(lambda *_: None)
    return policy


def normed(env):
    policy = MLP(env)
    policy.network.insert(1, nn.LayerNorm(64))
    return policy


def shorter(env):
    policy = MLP(env)
    policy.network = policy.network[:-1]
    return policy


def tied(env):
    policy = MLP(env, num_layers=3)
    policy.network[4] = policy.network[2]
    return policy


@pytest.mark.parametrize(
    ("overrides", "policy", "reason"),
    [
        ({"train.precision": "bfloat16"}, None, r"goes without train\.precision, here bfloat16"),
        ({"train.optimizer": "muon"}, None, r"is for train\.optimizer adam, not muon"),
        ({"policy.lstm": True}, None, r"is for the MLP of puffer_numba\.models; the policy is of the class LSTM"),
        ({"policy.activation": "gelu"}, None, "knows relu and tanh, not GELU"),
        ({}, Derived, "the policy is of the class Derived"),
        ({}, frozen, "trains all weights, in float32; some are frozen or of another dtype"),
        ({}, hooked, "calls no hooks of modules, and the policy has some"),
        ({}, normed, "knows relu and tanh, not LayerNorm"),
        ({}, shorter, "is for the MLP's own layers, which have been replaced"),
        ({}, tied, "is for linear layers alone"),
    ],
)
def test_where_it_cannot_be_used_torch_learns_or_a_line_says_why(overrides, policy, reason):
    def make(learner):
        env = Pairs(4)
        return make_trainer(env, {**overrides, "train.learner": learner}, policy and policy(env))

    assert make("auto").learner.name == "torch"
    with pytest.raises(APIUsageError, match=rf"^train\.learner is 'compiled', which .*{reason}.*; with 'auto', torch"):
        make("compiled")


def test_continuous_actions_are_torchs():
    assert make_trainer(Aim()).learner.name == "torch"
    with pytest.raises(APIUsageError, match="which is for Discrete and MultiDiscrete actions"):
        make_trainer(Aim(), {"train.learner": "compiled"})


def test_the_run_says_which_learns():
    names = {name: make_trainer(Pairs(4), {"train.learner": name}) for name in ("auto", "torch")}
    assert names["auto"].describe().endswith("parameters on cpu, compiled learner")
    assert names["torch"].describe().endswith("parameters on cpu, torch learner")
    with pytest.raises(APIUsageError, match=r"train\.learner is 'numba'; allowed: auto or torch or compiled"):
        make_trainer(Pairs(4), {"train.learner": "numba"})
