"""Compiled once: the second process loads machine code, and never of something that was edited since."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = """
from typing import NamedTuple
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_numba import JitEnv, kernel
import helpers

class Tiny(JitEnv):
    single_observation_space = Box(-1, 100, (1,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        value: float

    @kernel
    def reset_env(s, p, i, rng):
        s.value[i] = helpers.start(i)

    @kernel
    def step_env(s, p, i, action, rng):
        s.value[i] += 1.0
        return s.value[i], False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.value[i]
"""
HELPERS = """
import enum
import numpy as np

TABLE = np.arange(5000.0, dtype=np.float32)
TABLES = (np.arange(5000.0, dtype=np.float32), np.arange(3.0, dtype=np.float32))
SCALE = 2.0

class Bonus(enum.IntEnum):
    SMALL = 10

def deeper(i):
    return i + 1

def start(i):
    return (deeper(np.int64(i)) + Bonus.SMALL) * SCALE + TABLE[2500] + TABLES[0][2500]
"""
RUN = """
import numpy as np
env = Tiny(num_envs=3)
print(env.reset()[0][:, 0].tolist())
if STEP:
    print(env.step(np.zeros(3, np.int32))[1].tolist())
used = [k.stats for k in (env._step_kernel, env._reset_kernel) if k.signatures]
hits, misses = (sum(sum(getattr(s, n).values()) for s in used) for n in ("cache_hits", "cache_misses"))
print("hits", hits, "misses", misses)
"""


def write(folder, helpers=HELPERS, *, main=True, step=True):
    """A script to run, with the environment in it, or in a module beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "helpers.py").write_text(helpers)
    (folder / "tiny.py").write_text(ENVIRONMENT)
    script = folder / "script.py"
    script.write_text((ENVIRONMENT if main else "from tiny import Tiny") + RUN.replace("STEP", str(step)))
    return script


@pytest.fixture
def run(run_python, tmp_path):
    """Runs a script with a cache of this test's own."""
    return lambda script: run_python(script, NUMBA_CACHE_DIR=str(tmp_path / "cache"), PYTHONDONTWRITEBYTECODE="1")


@pytest.mark.parametrize("main", [True, False], ids=["in the script that is run", "in a module"])
def test_second_process_loads_what_the_first_compiled(run, tmp_path, main):
    script = write(tmp_path / "work", main=main)
    first, second = run(script), run(script)
    assert "hits 0 misses 2" in first.stdout
    assert "hits 2 misses 0" in second.stdout
    assert first.stdout.splitlines()[:2] == second.stdout.splitlines()[:2]
    assert Counter(first.stderr.splitlines()) == {"compiling Tiny (first run only)": 1}
    assert second.stderr == ""


def test_edits_of_what_a_kernel_reaches_are_never_served_stale(run, tmp_path):
    """One after the other, in the module of the helpers: each changes the first observation."""
    edits = [
        ("i + 1", "i + 2"),
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("TABLE = np.arange(5000.0, dtype=np.float32)", "TABLE = np.full(5000, 7, np.float32)"),
        ("(np.arange(5000.0, dtype=np.float32), np", "(np.arange(5000.0, dtype=np.float32) * 2, np"),
        ("SMALL = 10", "SMALL = 20"),
    ]
    values, source = [], HELPERS
    for old, new in [("", ""), *edits]:
        assert old in source
        source = source.replace(old, new) if old else source
        result = run(write(tmp_path / "work", source, step=False))
        values.append(eval(result.stdout.splitlines()[0])[0])
    two = 2500.0
    assert values == [
        11 * 2 + two + two,
        12 * 2 + two + two,
        12 * 3 + two + two,
        12 * 3 + 7 + two,
        12 * 3 + 7 + 2 * two,
        22 * 3 + 7 + 2 * two,
    ]


def test_an_edit_of_a_comment_is_still_a_hit(run, tmp_path):
    run(write(tmp_path / "work", step=False))
    edited = HELPERS.replace("return i + 1", "# a comment\n    return i + 1  # another")
    assert "hits 1 misses 0" in run(write(tmp_path / "work", edited, step=False)).stdout


def test_a_copy_of_an_environment_loads_what_the_original_compiled_though_that_is_gone(run, tmp_path):
    run(write(tmp_path / "work", main=False))
    (tmp_path / "work" / "tiny.py").unlink()
    copied = write(tmp_path / "work", main=True)
    (tmp_path / "work" / "tiny.py").unlink()
    assert "hits 2 misses 0" in run(copied).stdout


def test_a_package_folder_that_is_not_writable_is_cached_in_the_users_folder(run_python, tmp_path):
    site, cache = tmp_path / "site", tmp_path / "home-cache"
    shutil.copytree(ROOT / "puffer_numba", site / "puffer_numba", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "puffer_numba" / "jit" / "compiler" / "__pycache__").write_text(
        "a file, so that even root can make no folder here"
    )
    script = write(site, step=False)
    variables = {"NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(site)}
    first = run_python(script, **variables)
    assert "misses 1" in first.stdout
    assert list(cache.rglob("*.nbi"))
    assert "hits 1 misses 0" in run_python(script, **variables).stdout


def test_two_processes_that_compile_at_once_do_not_spoil_the_cache(run, tmp_path, monkeypatch):
    script = write(tmp_path / "work", step=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    both = [subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    third = run(script).stdout.splitlines()
    assert third[1] == "hits 1 misses 0"
    assert outputs[0][0] == outputs[1][0] == third[0]
