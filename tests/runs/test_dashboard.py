"""The dashboard shows everything on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from puffer_numba.runs.dashboard import LiveDashboard, PlainDashboard, Snapshot, duration, make_dashboard, number


@pytest.fixture
def snapshot():
    return Snapshot(
        env_name="cartpole",
        global_step=250_000,
        total_timesteps=1_000_000,
        steps_per_second=125_000.0,
        uptime=2.0,
        epoch=3,
        description="64 rows x 32 steps, rollout storage 0.1 MiB, 1,027 parameters on cpu",
        profile={"env": 1.0, "forward": 2.0, "learn": 1.0, "copy": 0.0},
        losses={"policy_loss": -0.01234, "entropy": 0.5},
        statistics={"episode_return": 195.5, "episodes": 120.0},
    )


def console(**kwargs):
    return Console(file=io.StringIO(), width=100, **kwargs)


def test_on_a_terminal_everything_is_shown(snapshot):
    terminal = console(force_terminal=True, color_system=None)
    dashboard = make_dashboard(terminal)
    assert isinstance(dashboard, LiveDashboard)
    dashboard.update(snapshot)
    snapshot.global_step = 500_000
    dashboard.update(snapshot)
    dashboard.close()
    text = terminal.file.getvalue()
    for piece in ("cartpole", "250k / 1M", "125k", "6.0s", "episode return", "195.5", "policy loss", "-0.01234"):
        assert piece in text
    for piece in ("forward", "50%", "rollout storage 0.1 MiB", "500k / 1M", "4.0s"):
        assert piece in text


def test_elsewhere_there_is_one_line_for_each_update(snapshot):
    plain = console()
    dashboard = make_dashboard(plain)
    assert isinstance(dashboard, PlainDashboard)
    dashboard.update(snapshot)
    dashboard.update(snapshot)
    dashboard.close()
    lines = plain.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "cartpole: 64 rows x 32 steps, rollout storage 0.1 MiB, 1,027 parameters on cpu"
    assert "25% step 250k 125k steps/s left 6.0s | episode_return 195.5" in lines[1]
    assert "env 25% forward 50% learn 25% copy 0%" in lines[1]


def test_sizes_are_told_before_training_begins():
    empty = Snapshot("x", 0, 100, 0.0, 0.0, 0, "rollout storage 1.5 MiB")
    assert empty.remaining == float("inf")
    plain = console()
    PlainDashboard(plain).update(empty)
    assert plain.file.getvalue() == "x: rollout storage 1.5 MiB\n"
    live = console(force_terminal=True, color_system=None)
    dashboard = LiveDashboard(live)
    dashboard.update(empty)
    dashboard.close()
    assert "rollout storage 1.5 MiB" in live.file.getvalue()
    assert "left -" in live.file.getvalue()


def test_a_dashboard_that_was_never_shown_is_closed():
    LiveDashboard(console(force_terminal=True)).close()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (9999, "9999"), (12_345, "12.35k"), (2.5e6, "2.5M"), (-3e9, "-3G"), (0.00012, "0.00012")],
)
def test_number(value, text):
    assert number(value) == text
    assert number(float("nan")) == "nan"
    assert number(float("inf")) == "inf"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2s"), (59, "59.0s"), (61, "1m 01s"), (3_725, "1h 02m"), (float("inf"), "-")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
