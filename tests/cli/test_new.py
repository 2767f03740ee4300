"""``puffer new``: what it writes works."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

import pytest

from puffer_numba.cli import main
from puffer_numba.render import play as play_module
from tests.helpers.command_line import at_work_in, fails

KINDS = {
    "walk_alone": [],
    "walk_far": ["--continuous"],
    "walk_together": ["--multi-agent"],
    "walk_far_together": ["--multi-agent", "--continuous"],
}


@pytest.fixture
def here(tmp_path):
    """An empty folder to work in."""
    with at_work_in(tmp_path):
        yield tmp_path


def test_what_to_do_next(here, capsys):
    assert main(["new", "my_walk", "--folder", "games/first"]) == 0
    written, _, *commands = capsys.readouterr().out.splitlines()
    assert written == "wrote games/first/my_walk.py and games/first/test_my_walk.py. Next:"
    assert commands == [f"puffer {c} games/first/my_walk.py:MyWalk" for c in ("check", "train", "play", "bench")]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_is_checked_tested_and_learned(here, monkeypatch, capsys, name):
    assert main(["new", name, *KINDS[name]]) == 0
    class_name = "".join(map(str.capitalize, name.split("_")))
    source = (here / f"{name}.py").read_text()
    assert f"class {class_name}(JitEnv)" in source
    for text in (source, (here / f"test_{name}.py").read_text()):
        assert "my_walk" not in text
        assert "MyWalk" not in text
    if name == "walk_alone":
        tests = subprocess.run([sys.executable, "-m", "pytest", "-q", here], capture_output=True, text=True, cwd=here)
        assert "4 passed" in tests.stdout, tests.stdout + tests.stderr
    else:  # the same in this process, which keeps what it has compiled
        monkeypatch.syspath_prepend(here)
        tests = [test for found, test in runpy.run_path(f"test_{name}.py").items() if found.startswith("test_")]
        assert len(tests) == 4
        for test in tests:
            test()
    assert main(["check", f"{name}.py"]) == 0
    report = capsys.readouterr().out
    assert "0 problems" in report
    assert "note" not in report  # its loop is vectorized, and in float32
    assert main(["train", f"{name}.py:{class_name}", "--log.no-tensorboard"]) == 0
    assert "solved: the last 100 episodes returned 0.9" in capsys.readouterr().out  # what its train_config aims at


@pytest.mark.slow
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_what_is_written_is_played_and_measured(here, monkeypatch, capsys, options):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    play = play_module.play
    monkeypatch.setattr(play_module, "play", lambda env, fps, **options: play(env, fps, episodes=1, **options))
    assert main(["new", "my_walk", *options]) == 0
    assert main(["play", "my_walk.py:MyWalk", "--fps", "10000", "--seed", "0", "--env.wind", "0.2"]) == 0
    assert re.search(r"MyWalk: \d+ steps, return", capsys.readouterr().out)
    assert main(["bench", "my_walk.py:MyWalk", "--num-envs", "16"]) == 0
    assert "my_walk.py:MyWalk" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_what_is_written_has_rules_of_style(here, options):
    assert main(["new", "my_walk", *options]) == 0
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated"]  # with its default rules
        done = subprocess.run(ruff, capture_output=True, text=True, cwd=here)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(here, capsys):
    (here / "test_my_walk.py").write_text("mine")
    message = "test_my_walk.py would be overwritten; choose another name or --folder."
    assert message in fails(capsys, "new", "my_walk")
    assert [path.name for path in here.iterdir()] == ["test_my_walk.py"]
    assert (here / "test_my_walk.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my-walk", "NAME is 'my-walk'; expected a name for a module of Python: letters, digits and '_'"),
        ("2walk", "NAME is '2walk'; expected a name"),
        ("_walk", "NAME is '_walk'; expected a name"),
        ("games/walk", "NAME is 'games/walk'; expected a name"),
        ("class", "NAME is 'class'; expected a name for a module of Python"),
        ("random", "random.py would hide the module 'random' that is installed; choose another name."),
        ("numpy", "numpy.py would hide the module 'numpy'"),
        ("box", "the class would be called Box, as something that its file uses; choose another name."),
    ],
)
def test_names_that_cannot_be(here, capsys, name, message):
    assert message in fails(capsys, "new", name)
    assert list(here.iterdir()) == []


def test_a_name_is_needed(capsys):
    assert "Missing: NAME What the file is to be called" in fails(capsys, "new")
