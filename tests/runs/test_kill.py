"""A run that is killed at any moment and resumed ends with the very weights of one that was left alone."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import numpy as np
import torch

from puffer_numba.cli import main
from puffer_numba.runs import checkpoint

OPTIONS = [
    "train", "cartpole",
    "--env.num-envs", "16", "--train.horizon", "16", "--train.num-minibatches", "2",
    "--train.total-timesteps", "65536", "--train.target-return", "None",
    "--train.normalize-observations", "--train.normalize-returns", "--log.no-tensorboard",
]  # fmt: skip
KILLS = 2


def start(folder, *more):
    command = [sys.executable, "-m", "puffer_numba", *OPTIONS, "--train.data-dir", str(folder)]
    command += ["--train.checkpoint-interval", "512", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def newest(folder):
    return checkpoint.newest(folder / "cartpole")


def wait_for_another(process, folder, before):
    """Until there is another checkpoint than ``before``."""
    while newest(folder) == before:
        assert process.poll() is None
        time.sleep(0.01)


def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_was_not(tmp_path):
    assert main([*OPTIONS, "--train.data-dir", str(tmp_path / "alone")]) == 0
    killed, moments = tmp_path / "killed", []
    rng = random.Random(0)
    for _ in range(KILLS):
        last = newest(killed)
        process = start(killed, *(["--resume", "latest"] if last else []))
        wait_for_another(process, killed, last)
        time.sleep(rng.uniform(0, 0.3))  # in the midst of a rollout, an update, or the writing of a checkpoint
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        moments.append(checkpoint.load(newest(killed)).data["global_step"])
    assert moments == sorted(set(moments)), "each run went on where the one before had been"
    assert moments[-1] < 65536
    last_run = start(killed, "--resume", "latest")
    assert last_run.wait(120) == 0
    ends = [checkpoint.load(newest(folder)) for folder in (tmp_path / "alone", killed)]
    assert [end.data["global_step"] for end in ends] == [65536, 65536]
    assert all(torch.equal(ends[0].weights[name], w) for name, w in ends[1].weights.items())
    assert ends[0].arrays.keys() == ends[1].arrays.keys()
    for name, array in ends[0].arrays.items():
        np.testing.assert_array_equal(array, ends[1].arrays[name], name)
