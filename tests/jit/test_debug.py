"""Compiled code with bounds checks: it raises, with all that plain Python can say, and changes nothing."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import puffer_numba
from puffer_numba import JitEnv, kernel
from puffer_numba.jit.checked import DebugError, DebugIndexError
from puffer_numba.jit.random import integer
from tests.helpers.jit_envs import Walk
from tests.helpers.trajectories import assert_same, record


class Reaches(JitEnv):
    """Counts upwards in its row, too far in the end; starts too far with ``start``."""

    single_observation_space: Any = Box(-1000, 1000, (1,), np.float32)
    single_action_space: Any = Discrete(2)

    class State(NamedTuple):
        cells: Annotated[np.int32, 4]
        at: int
        less: np.uint8
        more: np.uint8

    class Params(NamedTuple):
        start: int = 0

    @kernel
    def reset_env(s, p, i, rng):
        s.at[i] = p.start + integer(rng, 1)
        s.cells[i, s.at[i]] = 7

    @kernel
    def step_env(s, p, i, action, rng):
        s.at[i] += action
        s.cells[i, s.at[i]] = 1
        return 0.0, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.cells[i, 3]


class Wraps(Reaches):
    """What is below zero in Python is a very large index in Numba, where uint8 minus uint8 is unsigned."""

    @kernel
    def step_env(s, p, i, action, rng):
        s.more[i] = 1
        difference = s.less[i] - s.more[i]
        if difference >= 0:
            s.cells[i, difference] = 1
        return 0.0, False


def walk_to_the_end(env):
    env.reset(seed=0)
    for _ in range(3):
        env.step([0, 1])
    return env.get_state()


def test_an_index_too_far_names_environment_array_index_and_line_and_changes_nothing():
    env = Reaches(num_envs=2, debug=True)
    before = walk_to_the_end(env)
    with pytest.raises(
        DebugIndexError,
        match=r"^test_debug\.py:\d+: s\.cells\[i, 4\]: index 4 is out of bounds for axis 1 of size 4 "
        r"\(environment 1\)\n +s\.cells\[i, s\.at\[i\]\] = 1$",
    ):
        env.step([1, 1])
    after = env.get_state()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    env.step([1, 0])  # it goes on from there
    assert env.state.at.tolist() == [1, 3]


def test_a_reset_is_checked_too():
    with pytest.raises(DebugIndexError, match=r"s\.cells\[i, 9\]: index 9 is out of bounds .* \(environment 0\)"):
        Reaches(num_envs=2, debug=True, start=9).reset(seed=0)


def test_what_only_compiled_code_does_is_said_to_be_so():
    env = Wraps(num_envs=2, debug=True)
    env.reset(seed=0)
    with pytest.raises(
        DebugIndexError, match="Wraps: index is out of bounds, in compiled code; the same step in plain"
    ):
        env.step([0, 0])
    assert not env.state.more.any()
    plain = Wraps(num_envs=2, jit=False)
    plain.reset(seed=0)
    plain.step([0, 0])


def test_debug_changes_no_trajectory():
    checked, fast = Walk(num_envs=7, debug=True), Walk(num_envs=7)
    assert_same(record(checked, 30, seed=2), record(fast, 30, seed=2))
    assert checked.log() == fast.log()


SCRIPT = """
import sys
import numpy as np
import puffer_numba
from tests.jit.test_debug import Reaches

env = Reaches(num_envs=2)
env.reset(seed=0)
try:
    for _ in range(4):
        env.step([0, 1])
except puffer_numba.APIUsageError as error:
    print(env.debug, type(error).__name__, error)
else:
    print(env.debug, "no error")
"""


@pytest.mark.slow
def test_debug_has_a_cache_of_its_own(run_python, tmp_path):
    """What is compiled one way is never loaded in the other."""
    for variables, expected in (
        ({}, "False no error"),
        ({"PUFFER_NUMBA_DEBUG": "1"}, "True DebugIndexError test_debug.py:"),
        ({"PUFFER_NUMBA_DEBUG": "0"}, "False no error"),
        ({"NUMBA_BOUNDSCHECK": "1"}, "True DebugIndexError test_debug.py:"),
    ):
        done = run_python(SCRIPT, NUMBA_CACHE_DIR=str(tmp_path), **variables)
        assert done.stdout.startswith(expected), (variables, done.stdout)


def test_debug_is_an_argument_of_make():
    assert puffer_numba.make("cartpole", debug=True).debug  # type: ignore[attr-defined]
    with pytest.raises(DebugError):
        puffer_numba.make("catch", jit=False).guard._state.paddle[0:1]  # type: ignore[attr-defined]
