"""Fixtures of all tests."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
Process = subprocess.CompletedProcess[str]


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


# Some shells and CI runners start their background jobs with Ctrl-C ignored, and children inherit that; those of the
# tests that interrupt a process would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
