"""The comparison with Stable-Baselines3 and CleanRL runs, goes on where it was, and says who is better."""

from __future__ import annotations

import sys

import against
import numpy as np
import pytest

SMALL = against.Settings("cartpole", 512, 4, 64, 64, 2, 1e-3, 0.98, 0.8, 0.0)


@pytest.mark.slow
def test_a_small_comparison_becomes_a_page_and_a_plot(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(against, "TASKS", {"CartPole-v1": SMALL, "Pendulum-v1": SMALL._replace(ours="pendulum")})
    monkeypatch.setattr(against, "RUNS", tmp_path / "runs.jsonl")
    monkeypatch.setattr(against, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["against.py", "CartPole-v1", "--seeds", "2"])
    against.main()
    assert capsys.readouterr().out.count("CartPole-v1 seed") == 6
    rows = [line for line in (tmp_path / "against.md").read_text().splitlines() if line.startswith("| CartPole")]
    assert [row.split(" | ")[1] for row in rows] == list(against.CONTESTANTS)
    assert all(9 < float(row.split(" | ")[3]) < 100 for row in rows)
    assert (tmp_path / "against.png").read_bytes().startswith(b"\x89PNG")
    against.main()
    assert capsys.readouterr().out == ""


def test_better_worse_and_alike():
    rng = np.random.default_rng(0)
    low, high = rng.normal(0, 1, 10), rng.normal(5, 1, 10)
    assert against.improvement(high, low) == pytest.approx((1.0, 1.0), abs=1e-3)
    better, p = against.improvement(low, high)
    assert better == 0
    assert p < 0.001
    assert against.improvement(low, low)[0] == 0.5


def test_the_interval_holds_the_interquartile_mean():
    values = np.array([0.0, 1, 2, 3, 4, 5, 6, 100])
    assert against.interquartile_mean(values) == 3.5
    low, high = against.interval(values)
    assert 0 < low < 3.5 < high < 60
    assert against.interval(np.full(5, 7.0)) == (7.0, 7.0)
