"""Ctrl-C, in real processes: once as ever, twice to end a kernel that does not return."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

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
if "threads" in sys.argv:
    env._run = env._step_parallel
actions = np.zeros(1, np.int32)
env.reset(seed=0)
env.step(actions)  # compiles it
print("ready", flush=True)
"""
STUCK = ENV + "env.step(actions + 1)\nprint('returned', flush=True)"
CAUGHT = (
    ENV
    + """
try:
    while True:
        env.step(actions)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
)
CAUGHT_PLAIN = ENV + "try:\n    env.step(actions + 1)\nexcept KeyboardInterrupt:\n    print('interrupted', flush=True)"
MANY = (
    ENV
    + """
import subprocess
kill = "import os, signal, time\\nwhile os.getppid() == PARENT: time.sleep(0.003); os.kill(PARENT, signal.SIGINT)"
raised = lost = 0

def interrupt_the_step(number, frame):
    global raised
    while frame is not None and frame.f_code is not JitEnv.step.__code__:
        frame = frame.f_back
    if frame is not None:
        raised += 1
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt_the_step)
killer = subprocess.Popen(
    [sys.executable, "-S", "-c", kill.replace("PARENT", str(os.getpid()))], stdout=subprocess.DEVNULL
)
while raised < 200:
    before = raised
    try:
        env.step(actions)
        lost += raised > before
    except KeyboardInterrupt:
        pass
killer.kill()
killer.wait()
print(lost)
"""
)
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
    ENV.replace("ready", "not yet")
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
print("ready", flush=True)
env.step(actions + 1)
"""
)


def start(script, *arguments):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "ready\n":
        assert line == "not yet\n", process.communicate()
    return process


def press(process):
    time.sleep(0.3)  # so that it is in its loop
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(("script", "arguments"), [(STUCK, []), (STUCK, ["threads"]), (FORKED, [])])
def test_the_second_ctrl_c_ends_a_kernel_that_does_not_return_and_says_which(script, arguments):
    process = start(script, *arguments)
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


def test_no_ctrl_c_is_lost_between_python_and_a_kernel(run_python):
    """Numba forgets what is raised while it asks for the type of an argument; of ours it asks no Python code."""
    assert run_python(MANY).stdout == "ready\n0\n"
