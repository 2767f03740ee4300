"""`puffer bench`: what it measures and writes; how fast this machine is, is for bench/."""

from __future__ import annotations

import json
from pathlib import Path

import numba
import pytest

from puffer_numba.env import APIUsageError
from puffer_numba.vector import speed as bench


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_SECONDS_PER_ROUND", 0.001)


def test_a_measurement_is_consistent() -> None:
    result = bench.measure("cartpole", 64, 1)
    assert 0 < result.slowest <= result.steps_per_second <= result.fastest
    assert result.microseconds_per_call == pytest.approx(64 / result.steps_per_second * 1e6)
    assert 80 < result.bytes_per_env < 100
    assert result.first_call_seconds > 0


def test_the_number_of_threads_is_restored() -> None:
    before = numba.get_num_threads()
    bench.measure("bandit", 8, 1)
    assert numba.get_num_threads() == before


def test_table_and_json_have_every_combination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "bench.json"
    results = bench.main(["bandit", "memory"], [1, 16], target)
    report = json.loads(target.read_text())
    assert len(report["results"]) == len(results) == 2 * 2 * len({1, numba.config.NUMBA_NUM_THREADS})
    assert {(r["env"], r["num_envs"]) for r in report["results"]} == {
        (name, n) for name in ("bandit", "memory") for n in (1, 16)
    }
    assert report["versions"]["numba"] == numba.__version__
    assert "memory" in capsys.readouterr().out


def test_environments_that_are_not_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = bench.main(["gym:CartPole-v1", "pettingzoo:classic.rps.rps"], [2], tmp_path / "bench.json")
    assert [(r.env[:3], r.num_envs, r.backend) for r in results] == [
        (env, 2, backend) for env in ("gym", "pet") for backend in ("serial", "multiprocessing")
    ]
    assert [r.workers for r in results if r.backend == "serial"] == [0, 0]
    assert all(r.workers >= 1 for r in results if r.backend == "multiprocessing")
    assert all(0 < r.slowest <= r.steps_per_second <= r.fastest for r in results)
    assert all(r.bytes_per_env is None for r in results)
    agents = 2  # of rock, paper, scissors
    assert results[-1].microseconds_per_call == pytest.approx(2 * agents / results[-1].steps_per_second * 1e6)
    assert "thousands of steps per second" in capsys.readouterr().out


def test_default_numbers_of_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "NUM_ENVS", (3,))
    monkeypatch.setattr(bench, "NUM_PYTHON_ENVS", (2,))
    assert {(r.env, r.num_envs) for r in bench.main(["bandit", "gym:CartPole-v1"])} == {
        ("bandit", 3),
        ("gym:CartPole-v1", 2),
    }


def test_an_unknown_name_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(APIUsageError, match="Did you mean 'cartpole'"):
        bench.main(["memory", "cartpol"], [1])
    assert capsys.readouterr().out == ""


def test_an_unwritable_file_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="no_such_folder"):
        bench.main(["memory"], [1], tmp_path / "no_such_folder" / "bench.json")
    assert capsys.readouterr().out == ""
