"""Checkpoints: resumed runs go on bit for bit, nothing runs on loading, damage is reported in one sentence."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import torch

from puffer_numba import PPO, PPOConfig, pufferl
from puffer_numba.env import APIUsageError
from puffer_numba.pufferl import make_trainer
from puffer_numba.runs import checkpoint
from puffer_numba.runs import folder as runs
from puffer_numba.runs.checkpoint import CheckpointError
from puffer_numba.train.state import TrainerState
from tests.helpers.trainer_envs import Aim, Pairs
from tests.helpers.training import OwnPolicy, same_weights, weights
from tests.helpers.training import make_trainer as trainer_on

STEPS = 16 * 16
BASE = {
    "env.num_envs": 16,
    "train.horizon": 16,
    "train.num_minibatches": 2,
    "train.total_timesteps": 8 * STEPS,
    "log.tensorboard": False,
    "policy.hidden_size": 64,
    "policy.shared": False,
}
VARIANTS = [
    ("cartpole", {}),
    ("cartpole", {"train.optimizer": "muon", "train.normalize_observations": True, "train.normalize_returns": True}),
    ("squared", {"train.advantage": "vtrace", "policy.shared": True}),
    ("memory", {"train.anneal_lr": False, "policy.shared": True}),
    ("bandit", {"train.target_kl": 1e-4}),
]


@pytest.fixture
def saved(tmp_path):
    """The folder of a small checkpoint."""
    trainer = make_trainer("cartpole", {**BASE, "train.data_dir": str(tmp_path)})
    trainer.evaluate()
    trainer.train()
    return trainer.save_checkpoint()


@pytest.mark.parametrize(("name", "extra"), VARIANTS, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_a_resumed_run_ends_as_the_uninterrupted_one(name, extra, tmp_path):
    overrides = {**BASE, **extra, "train.data_dir": str(tmp_path)}
    whole = make_trainer(name, overrides).learn()

    first = make_trainer(name, overrides)
    for _ in range(3):
        first.evaluate()
        first.train()
    path = first.save_checkpoint()
    torch.rand(5)  # the process's own random stream must not matter
    second = make_trainer(name, overrides, resume_from=path)
    assert (second.global_step, second.epoch) == (3 * STEPS, 3)
    second.learn()
    assert same_weights(weights(whole), weights(second))
    assert whole.global_step == second.global_step
    assert list(whole.statistics.recent_returns) == list(second.statistics.recent_returns)
    assert whole.statistics.episodes == second.statistics.episodes


def test_latest_and_a_runs_folder_stand_for_the_newest_checkpoint(tmp_path):
    overrides = {**BASE, "train.data_dir": str(tmp_path), "train.checkpoint_interval": 2 * STEPS}
    trainer = pufferl.train("cartpole", {**overrides, "train.keep_checkpoints": 0})
    names = sorted(path.name for path in trainer.run_dir.glob("checkpoint_*"))
    assert names == [f"checkpoint_{k * STEPS:012d}" for k in (2, 4, 6, 8)]
    assert checkpoint.find("latest", "cartpole", tmp_path).name == names[-1]
    assert checkpoint.find(trainer.run_dir, "cartpole", "elsewhere").name == names[-1]
    exact = trainer.run_dir / names[0]
    assert checkpoint.find(exact, "cartpole", "elsewhere") == exact


def rows(run_dir):
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_a_resumed_run_goes_on_in_its_folder(tmp_path):
    overrides = {**BASE, "train.data_dir": str(tmp_path), "train.total_timesteps": 3 * STEPS, "log.interval": 0.0}
    first = pufferl.train("cartpole", overrides)
    run_id = runs.read(first.run_dir)["id"]
    overrides["train.total_timesteps"] = 5 * STEPS
    second = pufferl.train("cartpole", overrides, resume_from="latest")
    assert second.run_dir == first.run_dir
    assert rows(first.run_dir) == [k * STEPS for k in (1, 2, 3, 4, 5)]
    assert runs.read(first.run_dir) == {"id": run_id, "config": second.config.to_dict()}


def test_a_run_resumed_from_an_older_checkpoint_or_to_another_place_has_a_folder_of_its_own(tmp_path):
    overrides = {**BASE, "train.data_dir": str(tmp_path / "here"), "train.total_timesteps": 4 * STEPS}
    first = pufferl.train("cartpole", {**overrides, "train.checkpoint_interval": 2 * STEPS})
    older, newest = sorted(first.run_dir.glob("checkpoint_*"))
    branch = pufferl.train("cartpole", overrides, resume_from=older)
    overrides |= {"train.data_dir": str(tmp_path / "there"), "train.total_timesteps": 5 * STEPS}
    away = pufferl.train("cartpole", overrides, resume_from=newest)
    assert len({first.run_dir, branch.run_dir, away.run_dir}) == 3
    assert away.run_dir.is_relative_to(tmp_path / "there")
    assert rows(away.run_dir) == [5 * STEPS]


def test_runs_started_at_once_have_folders_of_their_own(tmp_path):
    folders = {checkpoint.new_run_dir(tmp_path) for _ in range(5)}
    assert len(folders) == 5


def test_files_are_safetensors_and_json(saved):
    assert sorted(os.listdir(saved)) == ["SHA256SUMS", "state.json", "state.safetensors", "weights.safetensors"]
    for name in ("state.safetensors", "weights.safetensors"):
        content = (saved / name).read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert header
    assert json.loads((saved / "state.json").read_text())["config"]["env_name"] == "cartpole"


def test_saving_again_replaces_and_leaves_nothing_behind(saved):
    weight = torch.ones(3)
    checkpoint.save(saved, TrainerState({"w": weight}, {"a": np.zeros((), np.float64)}, {"n": 1}))
    loaded = checkpoint.load(saved)
    assert torch.equal(loaded.weights["w"], weight)
    assert loaded.arrays["a"].shape == ()
    assert loaded.data["n"] == 1
    assert os.listdir(saved.parent) == [saved.name]


def test_a_failed_save_leaves_the_old_checkpoint(saved):
    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    with pytest.raises(TypeError):
        checkpoint.save(saved, TrainerState({}, {}, {"not json": object()}))
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("name", ["weights.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "garbage", "empty"])
def test_damage_is_reported(saved, name, damage):
    file = saved / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes({"truncated": content[:-20], "garbage": b"\x80" * 100, "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=r"is incomplete: " + name if damage == "missing" else "is damaged"):
        checkpoint.load(saved)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.safetensors", "state.json"])
def test_a_single_flipped_bit_is_found(saved, name):
    """The files still have their format: only the digests tell."""
    file = saved / name
    content = bytearray(file.read_bytes())
    at = content.index(b'"epoch": ') + 9 if name == "state.json" else len(content) - 5
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"is damaged: {name} is not what SHA256SUMS says"):
        checkpoint.load(saved)


def test_sha256sum_reads_the_digests(saved):
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=saved, check=True, capture_output=True)


def test_the_newest_whole_checkpoint_before_a_damaged_one_is_named(tmp_path):
    overrides = {**BASE, "train.data_dir": str(tmp_path), "train.checkpoint_interval": 2 * STEPS}
    trainer = pufferl.train("cartpole", {**overrides, "train.keep_checkpoints": 0})
    first, second, third, last = sorted(trainer.run_dir.glob("checkpoint_*"))
    for path in (third, last):
        os.truncate(path / "weights.safetensors", 100)
    with pytest.raises(CheckpointError) as error:
        make_trainer("cartpole", overrides, resume_from="latest")
    assert f"checkpoint {last} is damaged" in str(error.value)
    assert str(error.value).endswith(f"The one before it is whole: {second}")
    assert make_trainer("cartpole", overrides, resume_from=second).global_step == 4 * STEPS
    assert first.exists()


def test_a_missing_checkpoint_is_reported(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no checkpoint of 'cartpole' under"):
        checkpoint.find("latest", "cartpole", tmp_path)


def test_a_checkpoint_of_a_later_format_is_refused(saved):
    data = json.loads((saved / "state.json").read_text())
    (saved / "state.json").write_text(json.dumps({**data, "format": 99}))
    with pytest.raises(CheckpointError, match="has format 99"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("name", "extra", "message"),
    [
        ("cartpole", {"policy.hidden_size": 8}, r"actor\.0\.weight is \(64, 4\) there, \(8, 4\) here"),
        ("cartpole", {"policy.shared": True}, r"does not fit this policy"),
        ("acrobot", {}, r"is of 'cartpole', not of 'acrobot'\. --policy\.from takes its weights"),
        ("cartpole", {"train.optimizer": "muon"}, r"optimizer"),
        ("cartpole", {"train.normalize_observations": True}, r"trained without train\.normalize_observations; resume"),
        ("cartpole", {"train.normalize_returns": False}, r"trained with train\.normalize_returns; resume"),
    ],
    ids=["size", "trunk", "environment", "optimizer", "normalizer", "return scale"],
)
def test_a_checkpoint_of_something_else_is_refused(saved, name, extra, message):
    with pytest.raises(APIUsageError, match=message):
        make_trainer(name, {**BASE, **extra}, resume_from=saved)


@pytest.fixture(scope="module")
def run_of_three(tmp_path_factory):
    """The checkpoint of three rollouts of Tic-tac-toe without self-play, and its settings."""
    overrides = {**BASE, "train.self_play": False, "train.normalize_observations": False}
    overrides["train.data_dir"] = str(tmp_path_factory.mktemp("runs"))
    trainer = make_trainer("tic_tac_toe", overrides)
    trainer.learn(3 * trainer.rollout.horizon * 16)
    return trainer.save_checkpoint(), overrides, trainer


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"env.num_envs": 32}, "there were 32 rows in each process, now there are 64"),
        ({"env.max_episode_steps": 7}, "other parameters of the environment: max_episode_steps"),
        ({"train.self_play": True}, "train.self_play was off"),
    ],
)
def test_with_other_environments_new_episodes_start_and_all_else_continues(changes, why, run_of_three):
    path, overrides, before = run_of_three
    with pytest.warns(UserWarning, match=f"^{why}; the environments start new episodes, and all else continues"):
        resumed = make_trainer("tic_tac_toe", {**overrides, **changes}, resume_from=path)
    assert (resumed.global_step, resumed.epoch) == (before.global_step, before.epoch)
    assert same_weights(weights(before), weights(resumed))
    resumed.learn(resumed.global_step + 1)
    assert resumed.vecenv.num_envs == changes.get("env.num_envs", 16)
    resumed.close()


def test_a_new_run_begins_with_the_policy_of_another(tmp_path):
    """With its settings of the policy, and what normalized its observations."""
    kept = {"policy.hidden_size": 24, "policy.activation": "tanh", "train.normalize_observations": True}
    first = make_trainer("cartpole", {**BASE, **kept, "train.data_dir": str(tmp_path)})
    first.learn(2 * STEPS)
    path = first.save_checkpoint()
    others = {name: value for name, value in BASE.items() if not name.startswith("policy.")}
    second = make_trainer("cartpole", {**others, "policy.from": str(path), "env.gravity": 12.0})
    assert (second.config.policy.hidden_size, second.config.policy.activation) == (24, "tanh")
    assert same_weights(weights(first), weights(second))
    assert torch.equal(first.normalizer.mean, second.normalizer.mean)
    assert (second.global_step, second.config.env.params) == (0, {"gravity": 12.0})
    with pytest.raises(CheckpointError, match="trained with normalized observations; set --train"):
        make_trainer("cartpole", {"policy.from": str(path), "train.normalize_observations": False})
    model = PPO("cartpole", PPOConfig(overrides={"policy.from": str(path), **kept}))
    assert same_weights(weights(first), model.policy.state_dict())
    model.close()
    with pytest.raises(CheckpointError, match=r"network.0.weight|actor.0.weight"):
        make_trainer("acrobot", {"policy.from": str(path)})


def test_environments_that_cannot_be_saved_start_new_episodes(tmp_path):
    overrides = {"train.data_dir": str(tmp_path)}
    trainer = trainer_on(Pairs(8), overrides)
    trainer.evaluate()
    trainer.train()
    path = trainer.save_checkpoint()
    other = trainer_on(Pairs(8), overrides)
    with pytest.warns(UserWarning, match="start new episodes"):
        other.load_checkpoint(path)
    assert same_weights(weights(trainer), weights(other))
    other.evaluate()
    assert other.global_step == 2 * trainer.global_step


def test_a_checkpoint_from_before_the_first_step(tmp_path):
    trainer = trainer_on(Aim(8), {"train.data_dir": str(tmp_path)})
    path = trainer.save_checkpoint()
    other = trainer_on(Aim(8), {"train.seed": 9})
    other.load_checkpoint(path)
    assert same_weights(weights(trainer), weights(other))


def test_weights_load_without_this_library(saved):
    from safetensors.torch import load_file

    state = load_file(saved / "weights.safetensors")
    assert set(state) == {
        f"{part}.{k}.{name}" for part in ("actor", "critic") for k in (0, 2, 4) for name in ("weight", "bias")
    }


def test_tied_weights_can_be_saved(tmp_path):
    policy = OwnPolicy()
    policy.twin = policy.body
    checkpoint.save(tmp_path / "c", TrainerState(policy.state_dict(), {}, {}))
    checkpoint.load(tmp_path / "c").load_policy(policy)


def test_a_checkpoint_may_be_moved(saved, tmp_path):
    moved = tmp_path / "moved"
    shutil.move(saved, moved)
    assert checkpoint.load(moved).config.env_name == "cartpole"
