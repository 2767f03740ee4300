"""Two processes that train together end where one does that has all their environments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open

from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.runs import checkpoint
from puffer_numba.train.distributed import World, shard
from tests.helpers.paths import ROOT
from tests.helpers.ranks import CASES, train_cases

COMMAND = ["train", "cartpole", "--env.num-envs", "16", "--log.no-tensorboard", "--train.total-timesteps"]


def torchrun(*args, cwd):
    """Two processes; what they printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, args)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result


class Runs(NamedTuple):
    """What one process has learned, and what each of two has, who were started twice."""

    alone: Path
    together: Path
    outputs: list[subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    train_cases(alone)  # first, because both of two would compile the same
    first = torchrun("-m", "puffer_numba", *COMMAND, 8192, cwd=together)
    more = torchrun("-m", "tests.helpers.ranks", together, *COMMAND, 16384, "--resume", "latest", cwd=together)
    return Runs(alone, together, [first, more])


def read(path):
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(runs, case):
    alone, together, _ = runs
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
    for folder, ranks in ((runs.alone, 1), (runs.together, 2)):
        assert len({(folder / f"return.{rank}").read_text() for rank in range(ranks)}) == 1
        assert float((folder / "return.0").read_text()) > 0.9


def test_one_command_logs_saves_and_resumes(runs):
    _, folder, (first, more) = runs
    assert first.stdout.count("saved ") == more.stdout.count("saved ") == 1
    (run,) = (folder / "runs" / "cartpole").iterdir()
    assert {path.name for path in run.iterdir()} >= {"checkpoint_000000008192", "metrics.csv", "run.json"}
    saved = checkpoint.load(run / "checkpoint_000000008192")
    assert saved.data["ranks"] == 2
    assert saved.arrays["rank1.rollout.observations"].shape == saved.arrays["rollout.observations"].shape == (8, 4)
    assert "start new episodes" not in more.stderr
    assert checkpoint.load(checkpoint.find("latest", "cartpole", folder / "runs")).data["global_step"] == 16384


def test_what_cannot_be_shared_is_said_once(runs):
    said = (runs.together / "refused.txt").read_text()
    assert said == "puffer: env.num_envs is 5, which 2 processes cannot share evenly.\n"


def test_a_shard_is_an_even_part():
    config = Config().update({"env.num_envs": 64, "vec.batch_size": 32})
    part = shard(config, World(1, 4, 4))
    assert (part.env.num_envs, part.vec.batch_size, part.vec.num_threads) == (16, 8, 1)
    assert config.env.num_envs == 64
    with pytest.raises(APIUsageError, match=r"vec\.batch_size is 32, which 3 processes cannot share evenly"):
        shard(config, World(0, 3, 3))
