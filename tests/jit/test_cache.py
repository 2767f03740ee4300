"""Where compiled code goes if neither the installation nor the home can be written to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

PROGRAM = (
    "import puffer_numba; e = puffer_numba.make('bandit', num_envs=2); e.reset(); e.step([0, 0]); print('stepped')"
)


@pytest.fixture(scope="module")
def read_only(tmp_path_factory):
    """A copy of the package in which no folder for compiled code can be made, by the superuser neither."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "puffer_numba", folder / "puffer_numba", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [folder / "puffer_numba", *(p for p in folder.rglob("*") if p.is_dir())]:
        (path / "__pycache__").write_text("a file where the folder should be")
    return folder


def run(read_only, program, **variables):
    env = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    env |= {"PYTHONPATH": str(read_only), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", **variables}
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False, cwd=read_only
    )


@pytest.mark.slow
def test_a_folder_for_temporary_files_is_used_and_named(read_only, tmp_path):
    first = run(read_only, PROGRAM, TMPDIR=str(tmp_path))
    assert first.stdout == "stepped\n", first.stderr
    line = first.stderr.splitlines()[0]
    (folder,) = tmp_path.glob("puffer_numba-*")
    assert f"compiled code is kept in {folder}, as neither" in line
    assert "NUMBA_CACHE_DIR names another folder" in line
    assert folder.stat().st_mode & 0o077 == 0, "nobody else may put code there"
    assert list(folder.rglob("*.nbc"))


def test_another_folder_may_be_named(read_only, tmp_path):
    result = run(read_only, "import puffer_numba.jit", NUMBA_CACHE_DIR=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")


def test_nothing_can_be_written(read_only):
    program = "import tempfile; tempfile.gettempdir = lambda: '/dev/null'; import puffer_numba.jit"
    result = run(read_only, program)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("ImportError: compiled code cannot be kept anywhere")
    assert "NUMBA_CACHE_DIR names a folder for it" in result.stderr
