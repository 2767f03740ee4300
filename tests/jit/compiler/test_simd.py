"""The SIMD report: what was vectorized, and which line is to blame where it was not."""

from __future__ import annotations

import math
import multiprocessing
import platform
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import puffer_numba
from puffer_numba import JitEnv, kernel
from puffer_numba.jit.compiler.simd import TEAMS, analyze, simd_report
from puffer_numba.jit.math import sin

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="SIMD widths below are those of x86-64")


class Walk(JitEnv):
    single_observation_space = Box(-1, 1, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        x: float
        tick: int

    class Params(NamedTuple):
        size: int = 3

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = 0.5

    @kernel
    def step_env(s, p, i, action, rng):
        s.x[i] += math.sin(s.x[i])
        return s.x[i], s.tick[i] > 9

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]


class Divides(Walk):
    @kernel
    def step_env(s, p, i, action, rng):
        s.x[i] += s.tick[i] / p.size
        return s.x[i], False


class Loops(Walk):
    @kernel
    def step_env(s, p, i, action, rng):
        while s.x[i] < 10.0:
            s.x[i] += s.x[i] * s.x[i]
        return s.x[i], False


class Halves(Walk):  # without a round of the loop, the rest could be vectorized
    @kernel
    def step_env(s, p, i, action, rng):
        s.tick[i] += 1
        for _ in range(p.size):
            s.x[i] *= 0.5
        return s.x[i], s.tick[i] > 9


class Asserts(Walk):
    @kernel
    def step_env(s, p, i, action, rng):
        s.tick[i] += 1
        assert s.tick[i] < 100
        return s.x[i], False


class Picks(Walk):
    class State(NamedTuple):
        x: float
        tick: int
        row: Annotated[np.float32, 9]

    @kernel
    def step_env(s, p, i, action, rng):
        s.row[i, s.tick[i]] += 1.0
        s.tick[i] = (s.tick[i] + 1) % 9
        return s.x[i], False


class Remainders(Walk):
    @kernel
    def step_env(s, p, i, action, rng):
        s.tick[i] = (s.tick[i] + action) % p.size
        return s.x[i], False


class Prints(Walk):
    @kernel
    def step_env(s, p, i, action, rng):
        if s.tick[i] > 1000:
            print(s.x[i])
        return s.x[i], False


def share(amount, parts):
    return amount / parts


class Sines(Walk):  # of float64, though by the function that vectorizes
    @kernel
    def step_env(s, p, i, action, rng):
        s.x[i] = sin(s.tick[i] * 0.5)
        return s.x[i], False


class Doubles(Walk):  # in each of the three functions, and in a helper
    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = s.tick[i] / 5

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = share(s.tick[i], p.size)


class Team(JitEnv):
    agents = 3
    single_observation_space = Box(-1, 1, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        x: Annotated[np.float32, 3]
        tick: int

    @kernel
    def reset_env(s, p, i, rng, team):
        s.tick[i] = 0

    @kernel
    def step_env(s, p, i, action, rng, team):
        s.tick[i] += 1
        for a in range(s.tick[i] % 3):
            team.reward[i, a] = math.cos(s.x[i, a])
        while s.x[i, 0] < 10.0:
            s.x[i, 0] += s.x[i, 0] * s.x[i, 0] + s.tick[i] / 3
        return s.tick[i] > 9

    @kernel
    def observe_env(s, p, i, obs):
        for a in range(3):
            obs[i, a, 0] = s.x[i, a]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Any]:
    """Where LLVM can talk: a process for all of these."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        yield lambda env_class: executor.submit(analyze, env_class, {}).result()


@pytest.mark.slow
def test_cartpole_is_vectorized_in_float32() -> None:
    report = simd_report(puffer_numba.make("cartpole"))
    assert report.width >= 4
    assert report.lines == report.float64_lines == []
    assert str(report) == f"vectorized, {report.width} wide"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_class", "reason", "lines"),
    [
        (Walk, "a call", ["calls sin (that of puffer_numba.jit.math vectorizes): s.x[i] += math.sin(s.x[i])"]),
        (Loops, "a loop", ["a loop that runs a number of times that only its values tell: while s.x[i] < 10.0:"]),
        (Halves, "a loop", ["a loop: for _ in range(p.size):"]),
        (Asserts, "a line", ["may be left by assert, raise or break: assert s.tick[i] < 100"]),
        (Picks, "a line", ["reads or writes at places that are computed: s.row[i, s.tick[i]] += 1.0"]),
        (
            Sines,
            "a call",
            ["calls sin of float64 (that of puffer_numba.jit.math vectorizes, in float32): s.x[i] = sin("],
        ),
        (Prints, "a call", ["calls print: print(s.x[i])"]),
    ],
)
def test_the_line_that_prevents_it_is_named(env_class: Any, reason: str, lines: list[str], elsewhere: Any) -> None:
    report = elsewhere(env_class)
    assert report.width == 1
    assert report.reason.startswith(reason)
    assert len(report.lines) == len(lines)
    assert all(line.split(": ", 1)[1].startswith(start) for line, start in zip(report.lines, lines, strict=True))
    assert all(line.startswith("test_simd.py:") for line in report.lines)


@pytest.mark.slow
def test_the_line_that_makes_it_slower_is_named(elsewhere: Any) -> None:
    report = elsewhere(Remainders)
    assert report.width > 1
    (line,) = report.lines
    assert "integers are divided one by one: s.tick[i] = (s.tick[i] + action) % p.size" in line


@pytest.mark.slow
def test_several_agents_have_a_report_on_the_loops_inside(elsewhere: Any) -> None:
    report = elsewhere(Team)
    assert report.reason == TEAMS
    assert [line.split(": ", 1)[1] for line in report.lines] == [
        "a loop: for a in range(s.tick[i] % 3):",
        "calls cos (that of puffer_numba.jit.math vectorizes): team.reward[i, a] = math.cos(s.x[i, a])",
        "a loop that runs a number of times that only its values tell: while s.x[i, 0] < 10.0:",
    ]
    assert [line.split(": ", 1)[1] for line in report.float64_lines] == [
        "s.x[i, 0] += s.x[i, 0] * s.x[i, 0] + s.tick[i] / 3"
    ]


@pytest.mark.slow
def test_float64_arithmetic_is_found(elsewhere: Any) -> None:
    report = elsewhere(Divides)
    assert any("s.tick[i] / p.size" in line for line in report.float64_lines)
    assert "computes in float64" in str(report)
    everywhere = [line.split(": ", 1)[1] for line in elsewhere(Doubles).float64_lines]
    assert everywhere == ["return amount / parts", "s.x[i] = s.tick[i] / 5", "obs[i, 0] = share(s.tick[i], p.size)"]


def test_a_class_inside_a_function_cannot_be_analyzed_and_says_why() -> None:
    class Local(Walk):
        pass

    with pytest.raises(RuntimeError, match="define it at a module's top level"):
        simd_report(Local())
