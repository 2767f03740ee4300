"""Fixtures of all tests."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT

LONGEST = ("vector/test_ray", "test_sweep", "test_distributed", "test_cli", "test_kill", "test_readme", "test_learning")
ENVIRONMENTS = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("envs/test_*.py")}
Process = subprocess.CompletedProcess[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process is left alone with it in the end."""
    places = {ROOT / "tests" / f"{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``: all tests of a file go to one process, and with them those of the same environment elsewhere.

    Else both processes would compile the same kernels at the same time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByKernels(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            parameter = test.partition("[")[2].rstrip("]").partition("-")[0]
            return f"tests/envs/test_{parameter}.py" if parameter in ENVIRONMENTS else file

    config.option.loadscopereorder = False  # by the number of tests
    return ByKernels(config, log)


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
