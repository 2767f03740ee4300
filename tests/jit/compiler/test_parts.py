"""Kernels whose parts need more than machine code: what prints or raises has constants that Numba keeps elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = """
from typing import NamedTuple
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_numba.jit import JitEnv, kernel

def doubled(x):
    print("doubled", x)
    return 2 * x

class Loud(JitEnv):
    single_observation_space = Box(0, 9, (1,), np.float32)
    single_action_space = Discrete(4)

    class State(NamedTuple):
        x: int

    @kernel
    def reset_env(s, p, i, rng):
        print("reset", i)

    @kernel
    def step_env(s, p, i, action, rng):
        if action == 3:
            raise ValueError("not 3")
        s.x[i] = doubled(action)
        return 0.5 * s.x[i], False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]

env = Loud(2)
env.reset(seed=0)
print(env.step([1, 2])[0].tolist(), flush=True)
try:
    env.step([3, 3])
except ValueError as error:
    print("raised", error, flush=True)
env._kernels.step_parallel(env._simulation, np.array([0, 0], np.int32), 1)  # two threads would print over each other
"""
PRINTED = ["[[2.0], [4.0]]", "doubled 0", "doubled 0", "doubled 1", "doubled 2", "raised not 3", "reset 0", "reset 1"]


@pytest.mark.slow
def test_what_prints_and_raises_does_so_when_compiled_and_when_loaded(run_python, tmp_path: Path):
    script = tmp_path / "loud.py"
    script.write_text(SCRIPT)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    compiled, loaded = (run_python(script, **cache) for _ in range(2))
    assert sorted(compiled.stdout.splitlines()) == sorted(loaded.stdout.splitlines()) == PRINTED
