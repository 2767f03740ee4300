"""The guide to writing environments says what is true."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from puffer_numba.checks.native import check
from tests.helpers.paths import ROOT

GUIDE = (ROOT / "docs" / "authoring.md").read_text()


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the guide's environment leaves behind when it is run as a script."""
    code = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert code is not None
    path: Path = tmp_path_factory.mktemp("guide") / "lander.py"
    path.write_text(code[1])
    return runpy.run_path(str(path), run_name="lander")


def test_its_environment_runs(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert names["terminals"].shape == (1024,)
    assert names["env"].state.fuel.max() == 50


def test_its_environment_has_no_problem(names: dict[str, Any]) -> None:
    findings = check(names["Lander"](), simd=False)
    assert [finding for finding in findings if finding.level != "ok"] == []
