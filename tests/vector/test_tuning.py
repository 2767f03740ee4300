"""`autotune`: what it measures, prints and leaves behind; which settings are fastest is for the machine to say."""

from __future__ import annotations

import json
import mmap
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from puffer_numba import vector
from puffer_numba.env import APIUsageError
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.vector.tuning import Setting
from tests.helpers.paths import ROOT
from tests.helpers.processes import descendants, gone
from tests.helpers.vector_envs import Counter


@pytest.mark.slow
def test_python_environments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "tuned.json"
    result = vector.autotune("gym:CartPole-v1", seconds=12, max_envs=8, max_workers=2, json_path=target)
    settings = [trial.setting for trial in result.trials]
    assert result.left_out == 0
    assert len(set(settings)) == len(settings) > 5
    assert {(s.backend, s.batch_size is not None) for s in settings} == {
        ("serial", False),
        ("multiprocessing", False),
        ("multiprocessing", True),
    }
    assert all(s.num_envs <= 8 and (s.num_workers or 1) <= 2 for s in settings)
    assert not any(trial.problem for trial in result.trials)
    rates = [trial.steps_per_second for trial in result.trials]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0
    assert 0 < result.step_seconds < 0.01
    assert 0 < result.reset_share < 1
    assert result.bytes_per_env >= 43  # the buffers
    assert result.best == settings[0]
    with eval(result.code, {"vector": vector}) as env:  # what is printed can be pasted
        assert env.num_envs == settings[0].num_envs
    options = r"--env.num-envs \d --vec.num-workers [12]( --vec.batch-size \d)?"
    assert re.fullmatch(rf"puffer train gym:CartPole-v1 {options}", result.command)
    output = capsys.readouterr().out
    assert result.code in output
    report = json.loads(target.read_text())
    assert len(report["trials"]) == len(settings)


@pytest.mark.slow
def test_compiled_environments() -> None:
    before = numba.get_num_threads()
    result = vector.autotune(CartPole, {"gravity": 1.6}, seconds=12, max_envs=300)
    assert numba.get_num_threads() == before
    settings = {trial.setting for trial in result.trials}
    everything = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    assert {s.num_envs for s in settings} == {64, 256, 300}
    assert {s.threads for s in settings} >= {1, everything}
    assert Setting("native", 300, overlap=True, threads=everything) in settings
    assert not any(trial.problem for trial in result.trials)
    assert 80 < result.bytes_per_env < 200
    assert "vector.make(CartPole, num_envs=" in result.code
    assert result.command == ""  # it has no name to type


@pytest.mark.slow
def test_a_setting_that_fails_is_a_row_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def only_here() -> Counter:
        if "multiprocessing" in sys.modules and sys.modules["multiprocessing"].parent_process() is not None:
            raise ValueError("no display in a worker")
        return Counter()

    result = vector.autotune(only_here, seconds=10, max_envs=2, max_workers=1)
    failed = [trial for trial in result.trials if trial.problem]
    assert {trial.setting.backend for trial in failed} == {"multiprocessing"}
    assert all("no display in a worker" in trial.problem for trial in failed)
    assert result.best is not None
    assert result.best.backend == "serial"
    assert result.command == ""
    assert "display" in capsys.readouterr().out


class Heavy(Counter):
    """Takes 3 MB."""

    def __init__(self) -> None:
        super().__init__()
        self.heavy = mmap.mmap(-1, 3_000_000)  # not of what the process has freed before, which it would not see
        self.heavy.write(bytes(3_000_000))


@pytest.mark.slow
def test_memory_limits_the_number_of_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Setting.__module__], "available", lambda: 20_000_000)
    result = vector.autotune(Heavy, seconds=10)
    assert 2.8e6 < result.bytes_per_env < 4e6
    assert {trial.setting.num_envs for trial in result.trials} <= {1, 2, 3}


@pytest.mark.slow
def test_when_the_time_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    result = vector.autotune("gym:CartPole-v1", seconds=0.01)
    assert len(result.trials) == 1
    assert f"{result.left_out} more settings were left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "autotune: seconds is 0; expected a number above 0"),
        ({"seconds": "long"}, "autotune: seconds is 'long'; expected a number above 0"),
        ({"max_envs": 0}, "autotune: max_envs is 0; expected at least 1"),
        ({"max_workers": 1.5}, "autotune: max_workers is 1.5; expected an integer of at least 1"),
    ],
)
def test_wrong_use(options: dict[str, Any], message: str) -> None:
    with pytest.raises(APIUsageError, match=message):
        vector.autotune("gym:CartPole-v1", **options)


def test_what_a_single_environment_raises() -> None:
    with pytest.raises(ValueError, match="no such level"):
        vector.autotune(Counter, {"fail": "constructor"})


@pytest.mark.slow
def test_a_script_without_a_guard(run_python: Callable[..., Any]) -> None:
    code = """
import gymnasium
from puffer_numba import vector

def make_env():
    return gymnasium.make("CartPole-v1")

print("once")
vector.autotune(make_env, seconds=0.5, max_envs=4, max_workers=2)
"""
    done = run_python(code)
    assert done.stdout.count("once") == 1
    assert "vector.make(make_env, num_envs=" in done.stdout


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind() -> None:
    code = "from puffer_numba import vector; vector.autotune('gym:CartPole-v1', seconds=100)"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    with process:
        workers: set[int] = set()
        deadline = time.monotonic() + 60
        while len(workers) < 3 and time.monotonic() < deadline:  # the server that forks them, and two
            workers |= descendants(process.pid)
            time.sleep(0.01)
        workers |= descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert len(workers) >= 3
    assert all(gone(pid, 10) for pid in workers)
