"""docs/coming_from.md: every cell of its tables runs, as other libraries have it and as this one does."""

from __future__ import annotations

import re
import shlex

import pytest

from puffer_numba.cli import main
from tests.helpers.paths import DOCS

SECTIONS = [
    (text.splitlines()[0].strip(), text)
    for text in re.split(r"^## ", (DOCS / "coming_from.md").read_text(), flags=re.M)
][1:]
SHORT = {
    "train": ["--train.total-timesteps", "2048", "--log.no-tensorboard"],
    "sweep": ["--sweep.seconds", "0.2", "--log.no-tensorboard"],
}
"""What keeps a command short."""


def cells(text: str) -> list[tuple[str, str]]:
    """The code in the two columns of the section's table, row by row."""
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", text, flags=re.M)
    assert len(rows) == len(re.findall(r"^\| `", text, flags=re.M)), "a row that is no pair of code"
    return rows


def is_of_commands(text: str) -> bool:
    return cells(text)[0][0].startswith("puffer ")


@pytest.mark.slow
@pytest.mark.parametrize("text", [text for _, text in SECTIONS if is_of_commands(text)], ids=lambda text: text[:16])
def test_every_command_runs(text, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    for line in [command for row in cells(text) for command in row]:
        _, command, *args = shlex.split(line)
        is_short = any(word in line for word in ("timesteps", "resume", "load-model-path"))
        assert main([command, *args, *([] if is_short else SHORT.get(command, []))]) == 0, line
    if "sweep" in text:
        logged = (tmp_path / "runs/squared/sweep").rglob("*.wandb")
        assert any(b"sweep/score" in file.read_bytes() for file in logged)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the environments' state was not saved")
@pytest.mark.parametrize("text", [text for _, text in SECTIONS if not is_of_commands(text)], ids=lambda text: text[:16])
def test_every_call_runs(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for column in (0, 1):
        names: dict[str, object] = {}
        exec(re.search(r"^```python\n(.*?)^```", text, re.M | re.S).group(1), names)
        for row in cells(text):
            exec(row[column], names)


def test_every_library_has_its_table():
    assert len(SECTIONS) == 7
    assert all(cells(text) for _, text in SECTIONS)
