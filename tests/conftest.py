"""Fixtures of all tests."""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import hypothesis
import numpy as np
import pytest
from gymnasium.utils import seeding

from tests.helpers.paths import ROOT

Process = subprocess.CompletedProcess[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``: a file's tests go to one process, which compiles their kernels once; files in the order above."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # by the number of tests
    return LoadFileScheduling(config, log)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """A test draws the same numbers in each run, also where it gives no seed: Gymnasium's would be the system's.

    With a MonkeyPatch of its own: pytest's would be set up before the test's fixtures, and undone after them, which
    would bring back the folder that a fixture has left.
    """
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - other libraries draw from it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    seeds, np_random = itertools.count(), seeding.np_random
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeding, "np_random", lambda seed=None: np_random(next(seeds) if seed is None else seed))
        yield


@pytest.fixture(autouse=True)
def _same_folder(_seeded: None) -> Iterator[None]:
    """A test that leaves its process in another folder fails, instead of the next ones; ``puffer`` adds a path."""
    folder, path = Path.cwd(), sys.path.copy()
    yield
    left = Path.cwd()
    os.chdir(folder)
    sys.path[:] = path
    assert left == folder, f"the test has left this process in {left}"


hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None)
hypothesis.settings.load_profile("seeded")


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., Process]:
    """Runs Python code, or a file, in a process and folder of its own: ``run_python(code, VARIABLE="x")``.

    Fails with what it printed, unless ``check=False``. A variable that is None is unset.
    """

    def run(script: str | Path, *, check: bool = True, **variables: str | None) -> Process:
        command = [sys.executable, *([str(script)] if isinstance(script, Path) else ["-c", script])]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        env = {n: v for n, v in {**os.environ, "PYTHONPATH": path, **variables}.items() if v is not None}
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            pytest.fail(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone after it, here and in Gymnasium."""
    from puffer_numba import registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


@pytest.fixture
def limit_files() -> Iterator[Callable[[int], None]]:
    """``limit_files(size)``: until the test ends, this process can make no file larger than ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Torch's threads would spin while they wait for one another, and what runs beside them on these cores would wait too.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Some shells and CI runners start their background jobs with Ctrl-C ignored, and children inherit that; those of the
# tests that interrupt a process would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
