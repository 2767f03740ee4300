"""The SIMD report: what was vectorized, and which line is to blame where it was not."""

from __future__ import annotations

import math
import platform
from typing import NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import puffer_numba
from puffer_numba import JitEnv, kernel
from puffer_numba.jit.compiler.simd import simd_report

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


@pytest.mark.slow
def test_cartpole_is_vectorized_in_float32() -> None:
    report = simd_report(puffer_numba.make("cartpole"))
    assert report.width >= 4
    assert report.float64_lines == []
    assert str(report).startswith("vectorized, ")


@pytest.mark.slow
def test_a_call_to_libm_is_blamed_on_its_line() -> None:
    report = simd_report(Walk())
    assert report.width == 1
    assert "calls sin" in report.reason
    assert any("math.sin(s.x[i])" in line for line in report.lines)


def test_a_loop_is_blamed_on_its_line() -> None:
    report = simd_report(Loops())
    assert report.width == 1
    assert any("while s.x[i] < 10.0" in line for line in report.lines)


@pytest.mark.slow
def test_float64_arithmetic_is_found() -> None:
    report = simd_report(Divides())
    assert any("s.tick[i] / p.size" in line for line in report.float64_lines)
    assert "computes in float64" in str(report)


def test_a_class_inside_a_function_cannot_be_analyzed_and_says_why() -> None:
    class Local(Walk):
        pass

    with pytest.raises(RuntimeError, match="define it at a module's top level"):
        simd_report(Local())
