"""Exported policies: the file alone does what the policy does, whatever is observed and however it acts."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile

import gymnasium
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf, Text, Tuple
from torch import nn

import puffer_numba
from puffer_numba import vector
from puffer_numba.cli import main
from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.extras import MissingExtra
from puffer_numba.models.encoders import StructuredEncoder
from puffer_numba.models.load import load_policy
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.pufferl import make_trainer
from puffer_numba.runs import checkpoint
from puffer_numba.runs.checkpoint import CheckpointError
from puffer_numba.runs.evaluation import load_trained
from puffer_numba.share import export
from puffer_numba.share.export import ExportError, export_policy
from puffer_numba.train.episodes import policy_player
from puffer_numba.train.setup import load_env
from tests.helpers.trainer_envs import Throw

ALL = (".onnx", ".pt2", ".pt")


class Sampled(gymnasium.Env):
    """Observes something random."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert action in self.action_space
        return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.3), False, {}


class Everything(Sampled):
    """Observes something of every kind, and acts in two."""

    observation_space = Dict(
        camera=Box(0, 255, (36, 36, 3), np.uint8),
        radar=Tuple([Box(-np.inf, np.inf, (2, 2), np.float64), Discrete(1000, start=-3)]),
        order=Text(4, min_length=0, charset="go"),
        either=OneOf([Discrete(3), Box(-1, 1, (1,), np.float32)]),
        flags=MultiDiscrete([2, 5], start=[1, 0]),
    )
    action_space = Dict(gear=Discrete(3, start=-1), wheel=Box(-0.01, 0.01, (1,), np.float64))


class Numbers(Sampled):
    """A Dict of floats alone, of which the flat observation is one Box."""

    observation_space = Dict(a=Box(-1, 1, (2, 2), np.float32), b=Box(50, 100, (), np.float32))
    action_space = MultiDiscrete([2, 3], start=[0, 5])


class Grid(Sampled):
    """A image of bits."""

    observation_space = Box(0, 1, (6, 7, 2), np.bool_)
    action_space = Box(-0.01, np.inf, (2, 2), np.float32)


def make(env, **settings):
    """Environment, untrained policy and normalizer."""
    registered = isinstance(env, str)
    env = puffer_numba.make(env, num_envs=4) if registered else vector.make(env, num_envs=4, backend="serial")
    normalize = settings.pop("normalize", False)
    config = Config().update({f"policy.{name}": value for name, value in settings.items()})
    config.update({"policy.hidden_size": 16, "train.normalize_observations": normalize})
    policy = load_policy(config, env)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # outputs that are not as small as at the start
    if not normalize:
        return env, policy, None
    env.reset(seed=0)
    observations = torch.from_numpy(env.observations)
    if isinstance(policy.encoder, StructuredEncoder):
        policy.encoder.update(observations)
        return env, policy, None
    normalizer = RunningNormalizer(env.single_observation_space.shape)
    normalizer.update(observations)
    return env, policy, normalizer


CASES = {
    "normalized": ("cartpole", {"normalize": True}, (".pt",)),
    "two trunks": (Grid, {"shared": False}, (".pt",)),
    "convolutions": (Grid, {"cnn": "small"}, (".pt",)),
    "memory": ("memory", {"lstm": True}, (".pt",)),
    "legal actions": ("tic_tac_toe", {}, ALL),
    "legal actions, memory": ("tic_tac_toe", {"lstm": True}, (".pt",)),
    "integer and real actions": (Throw, {}, (".pt",)),
    "squashed": ("pendulum", {"squash": True, "state_dependent_std": True}, (".pt", ".onnx")),
    "everything": (Everything, {"lstm": True, "normalize": True}, ALL),
    "numbers": (Numbers, {"normalize": True}, (".pt",)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("case", "suffix"), [(case, suffix) for case in CASES for suffix in CASES[case][2]])
def test_a_file_does_what_the_policy_does(case, suffix, tmp_path):
    """`export_policy` compares them itself; that it would notice is tested below."""
    cls, settings, _ = CASES[case]
    env, policy, normalizer = make(cls, **settings)
    file = tmp_path / f"policy{suffix}"
    result = export_policy(policy, env, file, normalizer=normalizer)
    env.close()
    assert result.difference < 1e-5
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs with a checkpoint of a policy that has a memory and normalizes."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"policy.lstm": True, "policy.hidden_size": 16, "train.normalize_observations": True}
    settings |= {"env.num_envs": 8, "train.horizon": 32, "train.num_minibatches": 2, "env.gravity": 9.5}
    trainer = make_trainer("cartpole", {**settings, "train.data_dir": str(folder)})
    trainer.evaluate()
    trainer.train()
    trainer.save_checkpoint()
    return folder


@pytest.fixture(scope="module")
def onnx_file(runs, tmp_path_factory):
    """The policy of that checkpoint."""
    file = tmp_path_factory.mktemp("onnx") / "new" / "policy.onnx"
    assert main(["export", "cartpole", "--output", str(file), "--data-dir", str(runs)]) == 0
    return file


@pytest.mark.slow
def test_an_exported_policy_plays_the_same_games(runs, onnx_file):
    """With its own memory of 8 rows, which each episode begins anew."""
    session = onnxruntime.InferenceSession(onnx_file)
    saved = checkpoint.load_of("cartpole", "latest", runs)
    with load_env(saved.config, 8) as env:
        policy, normalizer = load_trained(saved, env)
        player = policy_player(policy, env.single_action_space, normalizer=normalizer, deterministic=True)
        env.reset(seed=3)
        begins, state = np.ones(8, np.bool_), np.zeros((8, 2, 16), np.float32)
        episodes = 0
        for _ in range(60):
            state[begins] = 0
            action, _, _, state = session.run(None, {"observation": env.observations, "state": state})
            expected = player(env, begins)
            assert action.tolist() == expected.tolist()
            _, _, terminals, truncations, _ = env.step(expected)
            begins = terminals | truncations
            episodes += begins.sum()
        assert episodes > 3


def test_the_command_says_what_is_in_the_file(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "cartpole", "--output", "policy.pt", "--data-dir", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "wrote policy.pt",
        "  input   observation: float32 (batch, 4)",
        "  input   state: float32 (batch, 2, 16)",
        "  output  action: int64 (batch)",
    ]
    assert lines[-1].endswith("on 512 observations")


def read_metadata(file):
    """As a program without this library would."""
    if file.suffix == ".onnx":
        return {p.key: p.value for p in onnx.load(file).metadata_props}
    if file.suffix == ".pt2":
        extra = dict.fromkeys(METADATA, "")
        torch.export.load(file, extra_files=extra)
        return extra
    extra = dict.fromkeys(METADATA, "")
    with pytest.warns(DeprecationWarning, match="torch.jit.load"):
        torch.jit.load(file, _extra_files=extra)
    return {name: value.decode() for name, value in extra.items()}


METADATA = [
    *("library", "observation_space", "action_space", "flat_action_space", "inputs", "outputs"),
    *("environment", "environment_params", "checkpoint", "steps", "weights_sha256"),
]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ALL)
def test_metadata_tells_what_the_policy_is_for(suffix, runs, onnx_file, tmp_path):
    file = onnx_file
    if suffix != ".onnx":
        file = tmp_path / f"policy{suffix}"
        export.export("cartpole", file, data_dir=runs)
    found = read_metadata(file)
    saved = checkpoint.find("latest", "cartpole", runs)
    assert set(found) == set(METADATA)
    assert found["library"] == f"puffer_numba {puffer_numba.__version__}"
    assert (found["environment"], json.loads(found["environment_params"])) == ("cartpole", {"gravity": 9.5})
    assert found["action_space"] == "Discrete(2)"
    assert json.loads(found["inputs"]) == {"observation": "float32 (batch, 4)", "state": "float32 (batch, 2, 16)"}
    assert list(json.loads(found["outputs"])) == ["action", "params", "value", "next_state"]
    assert (found["checkpoint"], found["steps"]) == (f"{saved.parent.name}/{saved.name}", "256")
    digest = hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest()
    assert found["weights_sha256"] == digest


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ALL)
def test_no_folder_of_this_machine_is_named(suffix, tmp_path):
    """PyTorch would write the stack trace of each operation into the file."""
    env, policy, _ = make("memory", lstm=True)
    file = tmp_path / f"policy{suffix}"
    export_policy(policy, env, file)
    contents = [file.read_bytes()]
    if suffix != ".onnx":
        with zipfile.ZipFile(file) as archive:
            contents = [archive.read(name) for name in archive.namelist()]
    for folder in (puffer_numba.__path__[0], torch.__path__[0], str(tmp_path)):
        assert not [content for content in contents if folder.encode() in content]


def test_inputs_are_named_as_python_would_reach_them(tmp_path):
    env, policy, _ = make(Everything)
    result = export_policy(policy, env, tmp_path / "policy.pt")
    assert result.inputs == {
        "observation['camera']": "uint8 (batch, 36, 36, 3)",
        "observation['either'].index": "int64 (batch)",
        "observation['either'][0]": "int64 (batch)",
        "observation['either'][1]": "float32 (batch, 1)",
        "observation['flags']": "int64 (batch, 2)",
        "observation['order']": "uint8 (batch, 4)",
        "observation['radar'][0]": "float64 (batch, 2, 2)",
        "observation['radar'][1]": "int64 (batch)",
    }
    assert result.outputs["action"] == "float64 (batch, 2)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: {**out, "params": out["params"] + 0.01}, "params differs from the policy's by 0.0"),
        (lambda out: {**out, "value": out["value"] * np.nan}, "value differs from the policy's by nan"),
        (lambda out: {**out, "action": 1 - out["action"]}, "action differs from the policy's by 1 of"),
        (lambda out: {**out, "value": out["value"][:1]}, r"value is float32 \(1,\); the policy's is float32 \(512,\)"),
        (lambda out: {**out, "action": out["action"].astype(np.int32)}, "action is int32"),
    ],
    ids=["params", "nan", "action", "batch", "dtype"],
)
def test_a_file_that_does_something_else_is_not_kept(change, message, tmp_path, monkeypatch):
    kind = export.FORMATS[".pt"]

    def open_changed(file):
        run = kind.open(file)
        return lambda inputs: change(run(inputs))

    monkeypatch.setitem(export.FORMATS, ".pt", kind._replace(open=open_changed))
    env, policy, _ = make("cartpole")
    with pytest.raises(ExportError, match=message):
        export_policy(policy, env, tmp_path / "policy.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_onnxruntime_the_file_is_checked_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    env, policy, _ = make("cartpole")
    assert export_policy(policy, env, tmp_path / "policy.onnx").difference < 1e-5


def test_the_extra_that_onnx_needs_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r'writing .onnx needs onnxscript: pip install "puffer_numba\[onnx\]"'):
        export.export("cartpole", tmp_path / "policy.onnx")


class OwnPolicy(nn.Module):
    """Takes flat observations as they come."""

    def __init__(self, env):
        super().__init__()
        self.layer = nn.Linear(env.single_observation_space.shape[0], 6)

    def forward(self, observations):
        out = self.layer(observations.float())
        return out[:, 1:], out[:, :1]


def test_a_policy_of_ones_own(tmp_path):
    env = vector.make(Numbers, num_envs=4, backend="serial")
    policy = OwnPolicy(env)
    result = export_policy(policy, env, tmp_path / "policy.pt", metadata={"author": "me"})
    assert policy.training  # as it was
    assert result.outputs["value"] == "float32 (batch)"
    assert list(result.inputs) == ["observation['a']", "observation['b']"]
    author = {"author": ""}
    with pytest.warns(DeprecationWarning, match="torch.jit.load"):
        torch.jit.load(tmp_path / "policy.pt", _extra_files=author)
    assert author["author"] == b"me"


def test_bytes_that_only_the_policy_understands_are_refused(tmp_path):
    env = vector.make(Everything, num_envs=4, backend="serial")
    with pytest.raises(APIUsageError, match="cannot export a OwnPolicy, which takes observations of several dtypes"):
        export_policy(OwnPolicy(env), env, tmp_path / "policy.pt")


def test_another_environments_checkpoint_is_refused(runs, tmp_path):
    with pytest.raises(CheckpointError, match="is of 'cartpole', not of 'bandit'"):
        export.export("bandit", tmp_path / "policy.pt", checkpoint=runs / "cartpole")
