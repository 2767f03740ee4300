"""The README's code works as pasted, and CI runs the README's own test command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_works_as_pasted(code: str, tmp_path: Path) -> None:
    script = tmp_path / "pasted.py"
    script.write_text(code)
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_there_is_python_for_every_job() -> None:
    assert len(PYTHON_BLOCKS) >= 3


def test_ci_runs_the_readmes_test_command() -> None:
    extract = re.search(r"^commands=\$\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert extract is not None
    command = subprocess.run(["bash", "-c", extract[1]], cwd=ROOT, capture_output=True, text=True).stdout
    assert command.count("\n") == 1
    assert command in README
    assert "pytest" in command


def test_every_path_in_the_layout_exists() -> None:
    table = README.partition("## What is where")[2]
    paths = re.findall(r"`((?:puffer_numba|envs|emulation|tests|bench|examples|docs)/[\w/.]*)`", table)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_images_exist_and_have_addresses_that_also_show_on_pypi() -> None:
    images = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    where = "https://raw.githubusercontent.com/puffer-numba/puffer_numba/main/"
    assert images
    assert [image for image in images if not image.startswith(where)] == []
    assert [image for image in images if not (ROOT / image.removeprefix(where)).exists()] == []
