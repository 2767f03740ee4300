"""`check` finds the mistakes it is there to find, and only those."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

import puffer_numba
from puffer_numba import JitEnv, PufferEnv, kernel
from puffer_numba.checks.apart import Job
from puffer_numba.checks.findings import Finding, print_findings
from puffer_numba.checks.native import check, check_here
from puffer_numba.env import APIUsageError
from puffer_numba.jit.random import uniform


class Sound(JitEnv):
    """Nothing wrong with it; the others below each have one fault."""

    max_episode_steps = 20
    single_observation_space: Any = Box(-1, 1, (2,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        x: float

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = uniform(rng, -0.5, 0.5)

    @kernel
    def step_env(s, p, i, action, rng):
        s.x[i] += 0.02 * action - 0.01
        return s.x[i], s.x[i] > 0.6

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]
        obs[i, 1] = -s.x[i]


class WritesHalf(Sound):
    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]


class SpillsOver(Sound):
    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]
        obs[i, 1] = s.x[len(s.x) - 1]


class LeavesItsSpace(Sound):
    single_observation_space = Box(-0.1, 0.1, (2,), np.float32)


class NeverEnds(Sound):
    max_episode_steps = None

    @kernel
    def step_env(s, p, i, action, rng):
        return 0.5, False


class DividesByZero(Sound):
    @kernel
    def step_env(s, p, i, action, rng):
        return s.x[i] / (s.x[i] - s.x[i]), False


class IsAllZero(Sound):
    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = 0.0
        obs[i, 1] = 0.0


class HasParts(Sound):
    """Of several dtypes: a number that is too large, and a mask whose first element never changes."""

    single_observation_space = Dict(
        place=Box(-100, 100, (2,), np.float32), action_mask=Box(0, 1, (2,), np.int8), level=Discrete(500)
    )

    @kernel
    def observe_env(s, p, i, obs):
        obs.place[i] = (s.x[i], 50.0 + s.x[i])
        obs.action_mask[i] = (1, s.x[i] > 0)
        obs.level[i] = 400 if s.x[i] > 0 else 450


class ComputesOtherwise(HasParts):
    """NumPy keeps uint8 - uint8 in eight bits."""

    single_observation_space = Dict(a=Box(0, 1e3, (1,), np.float32), b=Box(0, 255, (3,), np.uint8))

    class State(NamedTuple):
        x: float
        small: np.uint8

    @kernel
    def observe_env(s, p, i, obs):
        obs.a[i, 0] = abs(np.uint8(s.small[i]) - np.uint8(2))
        obs.b[i] = 0


class HasLargeRewards(Sound):
    @kernel
    def step_env(s, p, i, action, rng):
        return 1000.0, False


def here(env: JitEnv, **limits: Any) -> list[Finding]:
    """As `check`, in this process."""
    return list(check_here(Job(type(env), env.arguments, 600, False), **limits))


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_sound_environment_passes_everything() -> None:
    findings = check(Sound(), simd=False)
    assert [f for f in findings if f.level != "ok"] == []
    assert len(findings) == 13


@pytest.mark.parametrize(
    ("env_class", "name", "level", "message"),
    [
        (WritesHalf, "observations written", "problem", "observe_env must write every element"),
        (SpillsOver, "isolation", "problem", "index every array with i"),
        (LeavesItsSpace, "observations in space", "problem", r"obs\[i, 0\] = .* is outside the observation space"),
        (NeverEnds, "episodes end", "problem", "set max_episode_steps, or return terminated"),
        (DividesByZero, "rewards", "problem", "a reward is (nan|-?inf)"),
        (IsAllZero, "observations vary", "problem", "every observation is zero"),
        (
            HasParts,
            "observation scale",
            "note",
            r"^observation\['place'\] is from -?[\d.]+ to 5[\d.]+; scale it to about \[-1, 1\]$",
        ),
        (HasParts, "observations vary", "note", r"^1 of 2 elements of observation\['action_mask'\] never change$"),
        (
            ComputesOtherwise,
            "compiled",
            "problem",
            r"observation\['a'\]\[0, 0\] is 254.0 in plain Python and 1.8",
        ),
        (HasLargeRewards, "rewards", "note", "from 1e.03 to 1e.03; scale them"),
    ],
)
def test_each_fault_is_found(env_class: type[JitEnv], name: str, level: str, message: str) -> None:
    finding = by_name(here(env_class()))[name]
    assert finding.level == level

    assert re.search(message, finding.message)


@pytest.mark.slow
def test_several_agents_are_told_of_vectorization_and_float64() -> None:
    found = by_name(check(puffer_numba.make("simple_tag"), steps=30))
    assert found["vectorized"].level == "ok"
    assert found["vectorized"].message.startswith("environments of several agents are stepped one after the other")
    assert "simple_tag.py:" in found["float type"].message


@pytest.mark.slow
def test_the_environment_under_test_is_left_alone() -> None:
    env = Sound(num_envs=3, seed=5)
    observations, _ = env.reset()
    before = observations.copy()
    check(env, steps=30, simd=False)
    assert np.array_equal(env.observations, before)


def test_only_a_jit_env_can_be_checked() -> None:
    class Plain(PufferEnv):
        pass

    with pytest.raises(APIUsageError, match="check\\(\\) takes a JitEnv, not int"):
        check(3)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", puffer_numba.list_envs())
def test_the_suite_has_no_problems(name: str) -> None:
    findings = here(puffer_numba.make(name), plain_steps=20, seconds=0.2)  # type: ignore[arg-type]
    assert [f for f in findings if f.level == "problem"] == []
    assert len(findings) >= 12
    # Gymnasium's Pendulum, too, has torques in [-2, 2], and its checker would rather have [-1, 1]
    levels = {finding.name: finding.level for finding in findings}
    assert levels.get("Gymnasium's check_env", "ok") == ("note" if name == "pendulum" else "ok")


def test_findings_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings("walk", [Finding("float type", "note", "walk.py:3: s.x[i] += 1")])
    assert "s.x[i] += 1" in capsys.readouterr().out
