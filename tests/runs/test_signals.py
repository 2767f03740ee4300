"""SIGTERM and SIGHUP save the run, as Ctrl-C does, wherever they find it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from puffer_numba import pufferl
from puffer_numba.runs import checkpoint, folder
from puffer_numba.runs.signals import Terminated, termination_raises
from puffer_numba.train.collector import Collector
from puffer_numba.train.compiled.learner import CompiledLearner
from tests.helpers.paths import ROOT
from tests.helpers.processes import descendants, gone

STEPS = 16 * 16
QUICK = {"env.num_envs": 16, "train.horizon": 16, "train.num_minibatches": 2, "log.tensorboard": False}


class Quiet:
    def update(self, snapshot):
        pass

    def close(self):
        pass


def in_the_third(cls, method, number):
    """Send this process a signal in the third call of a method, and another while that is dealt with."""
    real, calls = getattr(cls, method), []

    def call(self, *args):
        calls.append(None)
        if len(calls) == 3:
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)
        return real(self, *args)

    return call


@pytest.mark.parametrize(
    ("cls", "method", "number", "steps"),
    [(Collector, "collect", signal.SIGTERM, 2), (CompiledLearner, "_update", signal.SIGHUP, 1)],
    ids=["evaluating", "updating"],
)
def test_a_signal_saves_the_run_and_ends_it(cls, method, number, steps, tmp_path, monkeypatch):
    monkeypatch.setattr(cls, method, in_the_third(cls, method, number))
    if cls is CompiledLearner:  # the first rollout has two minibatches for each of its epochs
        steps = 1
    with pytest.raises(Terminated) as ended:
        pufferl.train("cartpole", {**QUICK, "train.data_dir": str(tmp_path)}, dashboard=Quiet())
    assert (ended.value.code, ended.value.name) == (128 + number, signal.Signals(number).name)
    assert checkpoint.load(checkpoint.find("latest", "cartpole", tmp_path)).data["global_step"] == steps * STEPS
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_a_program_does_with_signals_itself_is_left_alone():
    seen = []
    before = [signal.signal(signal.SIGTERM, lambda *_: seen.append(1)), signal.signal(signal.SIGHUP, signal.SIG_IGN)]
    try:
        with termination_raises():
            for number in (signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), number)
        assert seen == [1]
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)


def start(*command, cwd):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    options = ["--train.total-timesteps", "1000000000", "--train.target-return", "None", "--log.interval", "0"]
    return subprocess.Popen(
        [sys.executable, "-m", *command, *options],
        cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_training(process):
    for line in process.stdout:
        if "episode_return" in line:
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_all_processes_of_a_run(number, code, tmp_path):
    """As Slurm and a closed terminal send it: workers must not be gone before the run is saved."""
    command = ["puffer_numba", "train", "gym:CartPole-v1", "--env.num-envs", "4", "--vec.num-workers", "2"]
    with start(*command, cwd=tmp_path) as process:
        wait_for_training(process)
        children = descendants(process.pid)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    # Of SIGHUP, multiprocessing's own resource tracker has something to say, too.
    (said,) = errors.splitlines() if number == signal.SIGTERM else re.findall("^puffer: .*", errors, re.MULTILINE)
    assert said.startswith(f"puffer: ended by {signal.Signals(number).name}; saved runs/")
    assert "continue with --resume runs/" in said
    assert len(list(tmp_path.rglob("state.json"))) == 1
    assert len(children) >= 2
    assert all(gone(child, within=5) for child in children)


@pytest.mark.slow
def test_a_signal_to_torchrun(tmp_path):
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "puffer_numba", "train", "cartpole"]
    with start(*command, "--env.num-envs", "16", cwd=tmp_path) as process:
        wait_for_training(process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    said = [line for line in errors.splitlines() if line.startswith("puffer:")]
    assert len(said) == 1, errors
    assert said[0].startswith("puffer: ended by SIGTERM; saved runs/")
    assert checkpoint.load(checkpoint.find("latest", "cartpole", tmp_path / "runs")).data["global_step"] > 0


def test_a_checkpoint_is_saved_every_so_many_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(pufferl, "CHECKPOINT_SECONDS", 0.05)
    overrides = {**QUICK, "train.data_dir": str(tmp_path), "train.total_timesteps": 8 * STEPS}
    trainer = pufferl.make_trainer("cartpole", overrides, dashboard=Quiet())
    train = trainer.train

    def slowly():
        time.sleep(0.03)
        return train()

    monkeypatch.setattr(trainer, "train", slowly)
    pufferl.run(trainer)
    assert 3 <= len(list(trainer.run_dir.glob("checkpoint_*"))) <= 5, "three by the clock, the best and the last"


def test_only_the_last_few_the_best_and_those_asked_for_are_kept(tmp_path, monkeypatch):
    overrides = {**QUICK, "train.data_dir": str(tmp_path), "train.checkpoint_interval": STEPS}
    trainer = pufferl.make_trainer("cartpole", {**overrides, "train.keep_checkpoints": 2}, dashboard=Quiet())
    folder.record(trainer.run_dir, trainer.config)  # so that it is one to be continued
    returns = iter([5.0, 30.0, 6.0, 7.0, 8.0, 9.0, 9.5, 9.75])
    train = trainer.train

    def scored():
        trainer.statistics.recent_returns.clear()
        trainer.statistics.recent_returns.append(next(returns))
        result = train()
        if trainer.epoch == 3:
            trainer.save_checkpoint()
        return result

    monkeypatch.setattr(trainer, "train", scored)
    trainer.learn(6 * STEPS)

    def kept():
        return [int(path.name[-12:]) // STEPS for path in sorted(trainer.run_dir.glob("checkpoint_*"))]

    assert kept() == [2, 3, 5, 6], "the best, the one asked for, and the last two"
    assert int(checkpoint.find("best", "cartpole", tmp_path).name[-12:]) == 2 * STEPS
    resumed = pufferl.make_trainer("cartpole", config=trainer.config, resume_from=trainer.run_dir, dashboard=Quiet())
    assert resumed.run_dir == trainer.run_dir
    resumed.learn(8 * STEPS)
    assert kept() == [2, 3, 6, 7, 8], "also the one that it was resumed from"
    assert not list(trainer.run_dir.glob(".*"))
    for t in (trainer, resumed):
        t.close()
