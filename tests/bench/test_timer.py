"""The timer of the benchmarks, and that ``pytest bench/`` measures, compares, and says on which machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from bench import timer
from bench.timer import Contestant
from tests.helpers.paths import ROOT


def test_a_slow_contestant_is_called_once():
    calls = []
    assert timer.rate(Contestant(lambda: calls.append(time.sleep(0.02)), 10), 0.001) < 10 / 0.02
    assert len(calls) == 1
    assert timer.rate(Contestant(lambda: None, 2), 0) > 0


def test_contestants_take_turns_and_ratios_are_of_the_first():
    turns = []
    quick, slow = Contestant(lambda: time.sleep(0.001)), Contestant(lambda: time.sleep(0.01))
    speeds = timer.take_turns({"quick": quick, "slow": slow}, rounds=3, seconds=0.005, before=turns.append)
    assert turns == ["quick", "slow"] * 4
    assert speeds["quick"].ratio == 1
    assert speeds["slow"].ratio > 1
    for speed in speeds.values():
        assert speed.slowest <= speed.median <= speed.fastest


def test_the_machine_is_described():
    machine = timer.machine()
    assert machine["numba"]
    assert str(machine["processor"]) in timer.described()


@pytest.mark.slow
def test_benchmarks_run_and_know_their_ratios(tmp_path):
    wanted = "ten_mixed_leaves or (test_environment and squared) or test_peer and taxi and sync"
    command = [sys.executable, "-m", "pytest", "bench", "-q", "-k", wanted, f"--benchmark-json={tmp_path / 'out.json'}"]
    brief = ["--benchmark-max-time=0.01", "--benchmark-min-rounds=1", "-p", "no:cacheprovider"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_XDIST_WORKER"}  # or it does not measure
    done = subprocess.run([*command, *brief], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "how many times as fast ours is, in turns" in done.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["machine_info"]["puffer_numba"]["numba"]
    found = {benchmark["name"]: benchmark for benchmark in report["benchmarks"]}
    assert found["test_environment[squared]"]["extra_info"]["steps_per_call"] == 4096
    peers = [b for name, b in found.items() if "flatten" in name or "test_peer" in name]
    assert len(peers) == 2
    for peer in peers:
        assert peer["extra_info"]["ratio"] > 1
        assert peer["extra_info"]["steps_per_second"] > 0
    assert {benchmark["group"] for benchmark in peers} == {"taxi", "a Dict of ten mixed leaves to one array"}
