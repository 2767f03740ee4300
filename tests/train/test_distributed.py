"""Two processes that train together end where one does that has all their environments."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors import safe_open

from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.runs import checkpoint
from puffer_numba.train.distributed import World, shard
from tests.helpers.paths import ROOT
from tests.helpers.ranks import CASES
from tests.helpers.ranks import main as train_cases


def torchrun(*args, cwd=ROOT):
    """Two processes; what they printed, with their exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with what one process has learned, and one with what each of two has."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    result = torchrun("-m", "tests.helpers.ranks", together)
    assert result.returncode == 0, result.stderr
    train_cases(alone)
    return alone, together


def read(path):
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(runs, case):
    alone, together = runs
    (one, counts), (first, first_counts), (second, _) = (
        read(path)
        for path in (alone / f"{case}.0.safetensors", *(together / f"{case}.{k}.safetensors" for k in (0, 1)))
    )
    assert one.keys() == first.keys() == second.keys()
    for key, tensor in one.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], tensor, atol=2e-5, rtol=1e-4)
    assert counts == first_counts


def test_many_minibatches_learn_too(runs):
    """Each process draws its own; the target is out of reach of a policy that is not trained."""
    for folder, ranks in zip(runs, (1, 2), strict=True):
        assert len({(folder / f"return.{rank}").read_text() for rank in range(ranks)}) == 1
        assert float((folder / "return.0").read_text()) > 0.9


def test_one_command_logs_saves_and_resumes(tmp_path):
    command = ["-m", "puffer_numba", "train", "cartpole", "--env.num-envs", "16", "--log.no-tensorboard"]
    first = torchrun(*command, "--train.total-timesteps", 8192, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("saved ") == 1
    (run,) = (tmp_path / "runs" / "cartpole").iterdir()
    assert {path.name for path in run.iterdir()} >= {"checkpoint_000000008192", "metrics.csv", "run.json"}
    saved = checkpoint.load(run / "checkpoint_000000008192")
    assert saved.data["ranks"] == 2
    assert saved.arrays["rank1.rollout.observations"].shape == saved.arrays["rollout.observations"].shape == (8, 4)
    more = torchrun(*command, "--train.total-timesteps", 16384, "--resume", "latest", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "start new episodes" not in more.stderr
    assert checkpoint.load(checkpoint.find("latest", "cartpole", tmp_path / "runs")).data["global_step"] == 16384


def test_what_cannot_be_shared_is_said_once(tmp_path):
    result = torchrun("-m", "puffer_numba", "train", "cartpole", "--env.num-envs", "5", cwd=tmp_path)
    assert result.returncode != 0
    assert result.stderr.count("puffer: env.num_envs is 5, which 2 processes cannot share evenly.") == 1


def test_a_shard_is_an_even_part():
    config = Config().update({"env.num_envs": 64, "vec.batch_size": 32})
    part = shard(config, World(1, 4, 4))
    assert (part.env.num_envs, part.vec.batch_size, part.vec.num_threads) == (16, 8, 1)
    assert config.env.num_envs == 64
    with pytest.raises(APIUsageError, match=r"vec\.batch_size is 32, which 3 processes cannot share evenly"):
        shard(config, World(0, 3, 3))
