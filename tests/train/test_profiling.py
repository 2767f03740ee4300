"""The parts of a training step add up, and are found where they are."""

from __future__ import annotations

import json
import time

import pytest

from puffer_numba import registry
from puffer_numba.cli import main
from puffer_numba.train import phases as phases_module
from puffer_numba.train.phases import ACTING, BACKWARD, COPY, ENVIRONMENT, LEARNING, OPTIMIZER, Phases
from puffer_numba.train.profiling import profile
from tests.helpers.trainer_envs import Aim
from tests.helpers.training import make_trainer, same_weights, weights


class Slow(Aim):
    """Takes its time."""

    def step(self, actions):
        time.sleep(0.005)
        return super().step(actions)


def test_parts_add_up_and_a_slow_environment_is_seen():
    begin = time.perf_counter()
    measured = profile(make_trainer(Slow()), seconds=0.5)
    assert 0.49 <= measured.total <= time.perf_counter() - begin
    assert measured.seconds[ENVIRONMENT] >= 0.005 * 16 * measured.rollouts
    assert measured.seconds[ENVIRONMENT] > 0.4 * measured.total
    assert measured.steps == 64 * 16 * measured.rollouts
    for part, calls in ((ACTING, 17), (LEARNING, 8), (BACKWARD, 8), (OPTIMIZER, 8), (COPY, 17)):
        assert measured.calls[part] == calls * measured.rollouts, part
    assert measured.overhead > measured.seconds[ENVIRONMENT] / measured.total


def test_what_is_profiled_learns_the_same():
    plain, profiled = (make_trainer(registry.make("squared", num_envs=64)) for _ in range(2))
    measured = profile(profiled, seconds=1e-9)
    for _ in range(2 + measured.rollouts):
        plain.evaluate()
        plain.train()
    assert same_weights(weights(plain), weights(profiled))


def test_the_command_prints_a_table_and_writes_a_trace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--env.num-envs", "16", "--train.horizon", "32", "--seconds", "0.2", "--trace", "trace.json"]
    options += ["--train.learner", "torch"]
    assert main(["profile", "cartpole", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["phase", "share", "ms", "a", "rollout", "calls", "a", "rollout"]
    shares = [float(line[20:28].rstrip("% ")) for line in lines[2:-3]]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert shares == sorted(shares, reverse=True)
    assert "steps/s" in lines[-2]
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    named = {event["name"] for event in events}
    assert {ENVIRONMENT, OPTIMIZER, "aten::addmm"} <= named  # the phases, and torch's operators
    assert not (tmp_path / "runs").exists()


def test_the_time_of_an_inner_phase_does_not_count_for_the_outer_one(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(phases_module.time, "perf_counter", lambda: now[0])
    phases = Phases()
    for _ in range(2):
        with phases("outer"):
            now[0] += 1
            with phases("inner"):
                now[0] += 5
            now[0] += 2
    assert phases.seconds == {"outer": 6, "inner": 10}
    assert phases.calls == {"outer": 2, "inner": 2}
    phases.reset()
    assert phases.total("outer", "inner", "never") == 0
