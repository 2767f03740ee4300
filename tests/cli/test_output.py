"""Where what is printed cannot be written: quiet, and the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from puffer_numba import pufferl
from puffer_numba.cli import main
from puffer_numba.runs.dashboard import LiveDashboard, PlainDashboard, make_dashboard
from puffer_numba.sweep.progress import PlainProgress, make_progress
from tests.helpers.command_line import QUICK

PUFFER = [sys.executable, "-m", "puffer_numba"]


def into_a_closed_pipe(*args, cwd):
    """Exit code and stderr of a command whose reader is gone."""
    there, here = os.pipe()
    os.close(there)
    with os.fdopen(here, "w") as pipe:
        result = subprocess.run([*PUFFER, *args], cwd=cwd, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    return result.returncode, result.stderr


@pytest.mark.parametrize(
    "args", [["--help"], ["list"], ["train", "--help"], ["eval", "cartpole", "--help"]], ids=" ".join
)
def test_nobody_reads(args, tmp_path):
    assert into_a_closed_pipe(*args, cwd=tmp_path) == (141, "")


@pytest.mark.slow
def test_a_run_that_nobody_reads_is_saved_and_ends(tmp_path):
    assert into_a_closed_pipe("train", "cartpole", *QUICK, "--log.interval", "0", cwd=tmp_path) == (141, "")
    assert not list(tmp_path.rglob("state.json")), "it ended before there was anything to save"
    there, here = os.pipe()
    command = [*PUFFER, "train", "cartpole", *QUICK, "--log.interval", "0", "--train.total-timesteps", "1000000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=here, stderr=subprocess.PIPE, text=True) as process:
        os.close(here)
        text = ""
        while "episode_return" not in text:
            text += os.read(there, 4096).decode()
        os.close(there)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")
    assert len(list(tmp_path.rglob("state.json"))) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
@pytest.mark.parametrize("args", [["list"], ["--help"], ["train", "cartpole", "--help"]], ids=" ".join)
def test_a_full_disk(args, tmp_path):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*PUFFER, *args], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (result.returncode, result.stderr) == (2, "puffer: cannot write the output: No space left on device.\n")


def test_training_goes_on_where_the_dashboard_cannot_be_written(tmp_path):
    def update(snapshot):
        raise OSError(28, "No space left on device")

    broken = SimpleNamespace(update=update, close=lambda: None)
    overrides = {"train.total_timesteps": 4096, "train.data_dir": str(tmp_path), "log.tensorboard": False}
    with pytest.warns(
        UserWarning, match="the dashboard cannot be written: No space left on device. Training continues"
    ):
        trainer = pufferl.train("cartpole", overrides, dashboard=broken)
    assert trainer.global_step == 4096


def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch):
    assert isinstance(make_dashboard(Console(force_terminal=True)), LiveDashboard)
    monkeypatch.setenv("TERM", "dumb")
    dumb = Console(force_terminal=True)
    assert isinstance(make_dashboard(dumb), PlainDashboard)
    assert isinstance(make_progress("a sweep", 3, dumb), PlainProgress)


def test_help_of_eval_has_the_defaults_that_count(capsys):
    with pytest.raises(SystemExit):
        main(["eval", "cartpole", "--help"])
    text = " ".join(capsys.readouterr().out.replace("\u2502", " ").split())
    assert "m/s^2 (default: as the checkpoint was trained)" in text
    assert "How many to run. (default: 100, or 1 if shown or recorded)" in text
