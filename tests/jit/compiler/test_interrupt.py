"""Ctrl-C, in real processes: once as ever, twice to end a kernel that does not return."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.paths import ROOT

ENV = """
import os, signal, sys, time
from typing import Any, NamedTuple
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_numba import JitEnv, kernel
from puffer_numba.jit.compiler import interrupt

class Loops(JitEnv):
    single_observation_space: Any = Box(-1, 1, (1,), np.float32)
    single_action_space: Any = Discrete(2)

    class State(NamedTuple):
        x: int

    @kernel
    def reset_env(s, p, i, rng):
        pass

    @kernel
    def step_env(s, p, i, action, rng):
        while action == 1 and s.x[i] >= 0:
            s.x[i] = (s.x[i] * 5 + 1) % 1000
        return 0.0, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = 0.0

env = Loops(jit="plain" not in sys.argv)
env.reset(seed=0)
env.step([0])
print("ready", flush=True)
"""
STUCK = ENV + "env.step([1])\nprint('returned', flush=True)"
STUCK_ON_THREADS = ENV + "env._run = env._step_parallel\nenv.step([0])\nenv.step([1])"
CAUGHT = (
    ENV
    + """
try:
    while True:
        env.step([0])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
)
CAUGHT_PLAIN = ENV + "try:\n    env.step([1])\nexcept KeyboardInterrupt:\n    print('interrupted', flush=True)"
OWN = (
    """
import os, signal
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
"""
    + ENV
    + """
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print(interrupt._thread, os.read(reader, 1) == bytes([signal.SIGINT]), signal.set_wakeup_fd(-1) == writer)
"""
)
FORKED = (
    ENV
    + """
assert interrupt._thread is not None
child = os.fork()
if child == 0:
    assert interrupt._thread is None and signal.set_wakeup_fd(-1) == -1
    env.reset()
    assert interrupt._thread.is_alive()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
env.reset()
assert interrupt._thread.is_alive()
env.step([1])
"""
)


def start(script, *arguments):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def press(process):
    time.sleep(0.3)  # so that it is in its loop
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("script", [STUCK, STUCK_ON_THREADS, FORKED])
def test_the_second_ctrl_c_ends_a_kernel_that_does_not_return_and_says_which(script):
    process = start(script)
    press(process)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    press(process)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Ctrl-C twice: ended while Loops.step_env ran, which did not return." in err
    assert "returned" not in out


@pytest.mark.parametrize(("script", "arguments"), [(CAUGHT, []), (CAUGHT_PLAIN, ["plain"])])
def test_the_first_one_is_an_ordinary_keyboard_interrupt(script, arguments):
    process = start(script, *arguments)
    press(process)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "interrupted\n"), err


def test_a_program_s_own_wakeup_descriptor_stays(run_python):
    assert run_python(OWN).stdout == "ready\nNone True True\n"
