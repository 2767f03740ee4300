"""Parts of kernels: linked without machine code of their own, or compiled as Numba does by itself; the results agree.

What prints or raises needs more than machine code: it has constants that Numba keeps elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import numba
import pytest

from puffer_numba.jit.compiler import parts

LOUD = """
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
env._chunks = 1  # two threads would print over each other
env._step_parallel(np.array([0, 0], np.int32))
"""
PRINTED = ["[[2.0], [4.0]]", "doubled 0", "doubled 0", "doubled 1", "doubled 2", "raised not 3", "reset 0", "reset 1"]


ENVIRONMENTS = """
import hashlib
import puffer_numba
from puffer_numba.jit.compiler import parts

print("linked", parts.LINKED)
for name in ("pendulum", "grid_walk", "multiagent"):  # sin and cos; a board; several agents
    env = puffer_numba.make(name, num_envs=37)
    env.action_space.seed(0)
    env.reset(seed=5)
    trajectory = hashlib.sha256()
    for _ in range(100):
        for array in env.step(env.action_space.sample())[:4]:
            trajectory.update(array.tobytes())
    stats = [kernel.stats for kernel in (env._step_kernel, env._reset_kernel) if kernel.signatures]
    compiled = sum(sum(stat.cache_misses.values()) for stat in stats)
    print(name, compiled, trajectory.hexdigest(), flush=True)
"""
BY_ITSELF, PLAIN = {"PUFFER_NUMBA_LINKED_PARTS": None}, {"PUFFER_NUMBA_LINKED_PARTS": "0"}
TOO_OLD = pytest.mark.skipif(numba.version_info.short < parts.TESTED[0], reason="a Numba whose pointers have types")


@pytest.mark.slow
@pytest.mark.parametrize("how", [BY_ITSELF, PLAIN], ids=["linked", "plain"])
def test_what_prints_and_raises_does_so_when_compiled_and_when_loaded(run_python, tmp_path: Path, how):
    script = tmp_path / "loud.py"
    script.write_text(LOUD)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    compiled, loaded = (run_python(script, **cache, **how) for _ in range(2))
    assert sorted(compiled.stdout.splitlines()) == sorted(loaded.stdout.splitlines()) == PRINTED


@pytest.mark.slow
@TOO_OLD
def test_linked_and_plain_parts_give_the_same_trajectories_and_share_no_machine_code(run_python, tmp_path: Path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    linked, plain = (run_python(ENVIRONMENTS, **cache, **how).stdout.splitlines() for how in (BY_ITSELF, PLAIN))
    assert (linked[0], plain[0]) == ("linked True", "linked False")
    assert linked[1:] == plain[1:]
    assert all(int(line.split()[1]) >= 2 for line in plain[1:])  # misses: compiled again, in the other way


@TOO_OLD
def test_this_version_of_numba_is_among_those_that_were_tested():
    """A failure asks for the tests above with a new Numba, and then for a new `TESTED`; or for an older Numba."""
    assert numba.version_info.short <= parts.TESTED[1]
