"""Policies that return something else than the trainer reads are told so at their first call, not read beyond."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from puffer_numba import registry
from puffer_numba.cli import main
from puffer_numba.distributions.actions import action_distribution, seed_stream
from puffer_numba.env import APIUsageError
from puffer_numba.models.lstm import LSTM
from puffer_numba.models.output import check_output
from puffer_numba.pufferl import PuffeRL, load_config
from puffer_numba.spaces.actions import ActionLayout
from tests.helpers.command_line import QUICK, at_work_in, fails
from tests.helpers.training import SMALL, OwnPolicy

ROWS = 6
HYBRID = ActionLayout(Dict(a=Discrete(3), b=Box(-1, 1, (2,)))).flat_space
SPACES = [
    (Discrete(2), 2, "a logit for each of 2 choices"),
    (MultiDiscrete([2, 3]), 5, r"a logit for each of 2 \+ 3 choices"),
    (Box(-1, 1, (3,)), 6, "3 means, then 3 log standard deviations"),
    (HYBRID, 7, "a logit for each of 3 choices, then 2 means, then 2 log standard deviations"),
]


@pytest.mark.parametrize(("space", "size", "meaning"), SPACES, ids=lambda v: type(v).__name__)
def test_action_parameters_of_another_shape_or_dtype(space, size, meaning):
    distribution, values = action_distribution(space), torch.zeros(ROWS, 1)
    check_output((torch.zeros(ROWS, size), values), "P", ROWS, distribution, None)
    check_output((torch.zeros(ROWS, size, dtype=torch.float64), values[:, 0]), "P", ROWS, distribution, None)
    for params, got in [
        (torch.zeros(ROWS, size - 1), rf"torch.float32 \({ROWS}, {size - 1}\)"),
        (torch.zeros(ROWS, size + 1), rf"torch.float32 \({ROWS}, {size + 1}\)"),
        (torch.zeros(1, size), rf"torch.float32 \(1, {size}\)"),
        (torch.zeros(ROWS, 1, size), "torch.float32"),
        (torch.zeros(ROWS, size, dtype=torch.int64), rf"torch.int64 \({ROWS}, {size}\)"),
        (np.zeros((ROWS, size), np.float32), "ndarray"),
    ]:
        expected = rf"P returned action parameters {got}.*; expected torch.float32 \({ROWS}, {size}\): {meaning}\."
        with pytest.raises(APIUsageError, match=expected):
            check_output((params, values), "P", ROWS, distribution, None)


@pytest.mark.parametrize("space", [space for space, *_ in SPACES], ids=lambda v: type(v).__name__)
def test_nothing_is_sampled_from_too_few_parameters(space):
    """Also after the first call, whose output is checked thoroughly."""
    distribution = action_distribution(space)
    params = torch.zeros(ROWS, distribution.num_params - 1)
    with pytest.raises((APIUsageError, RuntimeError), match=r"expected|split"):
        distribution.sample(params, seed_stream(0), *distribution.storage(ROWS))


@pytest.mark.parametrize(
    ("output", "state", "message"),
    [
        ((torch.zeros(ROWS, 2), torch.zeros(ROWS + 1)), None, r"values torch.float32 \(7,\); .*\(6,\) or \(6, 1\)"),
        ((torch.zeros(ROWS, 2), torch.zeros(1)), None, r"values torch.float32 \(1,\)"),
        ((torch.zeros(ROWS, 2), torch.zeros(ROWS, dtype=torch.int32)), None, r"values torch.int32 \(6,\)"),
        (torch.zeros(ROWS, 2), None, r"returned Tensor; expected \(action_params, values\)"),
        ((torch.zeros(ROWS, 2),), None, r"returned 1 results; expected \(action_params, values\)"),
        (([torch.zeros(ROWS, 1), torch.zeros(2, 1)], torch.zeros(ROWS)), None, "that cannot be put together"),
        ((torch.zeros(ROWS, 2), torch.zeros(ROWS)), torch.zeros(2, ROWS, 8), r"2 results; .* values, state\)"),
        (
            (torch.zeros(ROWS, 2), torch.zeros(ROWS), torch.zeros(2, 8)),
            torch.zeros(2, ROWS, 8),
            r"a state torch.float32 \(2, 8\); expected torch.float32 \(2, 6, 8\)",
        ),
    ],
)  # fmt: skip
def test_other_results(output, state, message):
    with pytest.raises(APIUsageError, match=message):
        check_output(output, "P", ROWS, action_distribution(Discrete(2)), state)


class OneLogit(OwnPolicy):
    """Acts and learns with as many rows, or logits, as these say."""

    acting, learning = (slice(None), slice(1)), (slice(None), slice(None))

    def forward_eval(self, observations, state=None):
        logits, values = super().forward_eval(observations)
        return logits[self.acting], values

    def forward(self, observations, state=None):
        logits, values = super().forward(observations)
        return logits[self.learning], values


class OneLogitLearning(OneLogit):
    acting, learning = OneLogit.learning, OneLogit.acting


class FewerLater(OneLogitLearning):
    """Right at first."""

    @property
    def learning(self):
        return (slice(None), slice(1 if self.calls["forward"] > 2 else 2))


@pytest.mark.parametrize("policy", [OneLogit, OneLogitLearning, FewerLater])
def test_a_policy_with_a_wrong_head_is_stopped(policy):
    config = load_config("cartpole", SMALL)
    trainer = PuffeRL(config, registry.make("cartpole", num_envs=16), policy())
    with pytest.raises(APIUsageError, match=r"returned action parameters torch.float32 \(\d+, 1\); expected .*, 2\)"):
        trainer.learn()
    trainer.close()


def test_a_recurrent_policy_with_a_wrong_head_is_stopped():
    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden_size, self.body, self.head = 8, torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)

        def encode_observations(self, observations):
            return self.body(observations)

        def decode_actions(self, hidden):
            return self.head(hidden), self.head(hidden)[:, 0]

    trainer = PuffeRL(load_config("cartpole", SMALL), registry.make("cartpole", num_envs=16), LSTM(Half()))
    with pytest.raises(APIUsageError, match=r"LSTM returned action parameters torch.float32 \(16, 3\); expected"):
        trainer.learn()
    trainer.close()


FILE = """
import torch

class MyPolicy(torch.nn.Module):
    def __init__(self, env):
        super().__init__()
        self.actor = torch.nn.Linear(env.single_observation_space.shape[0], env.single_action_space.n)
        self.critic = torch.nn.Linear(env.single_observation_space.shape[0], 1)

    def forward(self, observations):
        return self.actor(observations), self.critic(observations)

class Raises(MyPolicy):
    def __init__(self, env):
        raise KeyError("gone")

def none(env):
    return None
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_policies.py").write_text(FILE)
    with at_work_in(tmp_path) as path:
        yield path


@pytest.mark.parametrize("name", ["my_policies:MyPolicy", "my_policies.py:MyPolicy"])
def test_a_policy_of_ones_own_on_the_command_line(name, folder, capsys, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert main(["train", "cartpole", *QUICK, "--policy", name]) == 0
    assert main(["eval", "cartpole", "--episodes", "2"]) == 0
    assert main(["export", "cartpole", "--output", "policy.pt2"]) == 0
    monkeypatch.setattr(
        "puffer_numba.render.play.play", lambda env, fps, player: env.reset() and player(env, env.masks)
    )
    assert main(["play", "cartpole", "--checkpoint", "latest"]) == 0
    more = ["--train.total-timesteps", "4096"]
    assert main(["train", "cartpole", "--resume", "latest", *more]) == 0
    (folder / "runs").rename(folder / "downloaded")
    capsys.readouterr()
    elsewhere = ["--checkpoint", str(folder / "downloaded" / "cartpole")]
    for command in (["eval", "cartpole", *elsewhere], ["train", "cartpole", "--resume", elsewhere[1]]):
        assert (
            f"is of the policy {name}, which is code, and it is not under runs; --policy {name} says that it may "
            in fails(capsys, *command)
        )
    assert main(["eval", "cartpole", *elsewhere, "--episodes", "2", "--policy", name]) == 0


def test_what_is_no_policy_is_one_line(folder, capsys):
    for name, message in [
        ("my_policies:Raises", "Raises(env) raised my_policies.py:15: KeyError: 'gone'"),
        ("my_policies:none", "none(env) made a NoneType; expected a torch.nn.Module"),
        ("my_policies.py", "defines MyPolicy, Raises; say which: my_policies.py:MyPolicy."),
        ("my_policies", "expected my_module:MyPolicy or my_file.py:MyPolicy"),
        ("my_policies:MyPolice", "Did you mean 'MyPolicy'?"),
    ]:
        assert message in fails(capsys, "train", "cartpole", *QUICK, "--policy", name)
