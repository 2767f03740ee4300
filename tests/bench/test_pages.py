"""The scripts that make the pages of docs/: tables of scores and speeds, and the gallery."""

from __future__ import annotations

import json
import re
import sys

import gallery
import learning
import pytest
import suite
from PIL import Image

import puffer_numba
from bench import contestants


def run(module, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    module.main()


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "RUNS", tmp_path / "learning.jsonl")
    monkeypatch.setattr(learning, "PAGE", tmp_path / "learning.md")
    return lambda *arguments: run(learning, monkeypatch, *arguments, "--data-dir", str(tmp_path / "runs"))


@pytest.mark.slow
def test_learning_goes_on_where_it_was(table, monkeypatch, capsys):
    table("bandit", "--seeds", "1")
    assert "bandit seed 1: return " in capsys.readouterr().out
    table("bandit", "--seeds", "2")
    again = capsys.readouterr().out
    assert "bandit seed 2" in again
    assert "bandit seed 1" not in again
    page = learning.PAGE.read_text()
    row = r"bandit \| 1.000 optimum \| 0.\d+ \| [01].\d+ ± .* \| 1.000 ± 0.000 \(1.000\) \| 2 \| 0.02 M \|"
    assert re.search(row, page)
    assert "`puffer train bandit` |" in page
    monkeypatch.setitem(puffer_numba.registry.spec("bandit").env_class.train_config, "train.gamma", 0.5)
    table("bandit", "--seeds", "1")
    assert "bandit seed 1" in capsys.readouterr().out  # with other settings it is another run


@pytest.mark.slow
def test_board_games_are_measured_by_games(table, monkeypatch):
    monkeypatch.setattr(learning, "GAMES", 100)
    game = puffer_numba.registry.spec("tic_tac_toe").env_class
    monkeypatch.setitem(game.train_config, "train.total_timesteps", 10_000)
    monkeypatch.setitem(game.train_config, "env.num_envs", 32)
    table("tic_tac_toe", "--seeds", "1")
    (line,) = learning.RUNS.read_text().splitlines()
    scores = json.loads(line)["greedy"]
    opponents = ("a random player", "a one-ply player")
    assert list(scores) == [f"{what} against {who}" for who in opponents for what in ("wins", "losses")]
    assert all(0 <= score <= 1 for score in scores.values())
    assert "| tic_tac_toe, losses against a one-ply player | 0.000 optimum |" in learning.PAGE.read_text()


def test_speeds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "RESULTS", tmp_path / "suite.json")
    monkeypatch.setattr(suite, "PAGE", tmp_path / "speed.md")
    monkeypatch.setattr(suite, "SECONDS", 0.002)
    monkeypatch.setattr(suite, "ROUNDS", 1)
    monkeypatch.delenv("PUFFERLIB_SOURCE", raising=False)
    monkeypatch.setattr(suite, "compile_seconds", lambda name: 1.5)  # an empty cache takes long
    run(suite, monkeypatch, "cliff_walking", "squared")
    assert "cliff_walking: " in capsys.readouterr().out
    page = suite.PAGE.read_text()
    assert "| `cliff_walking` |" in page
    assert "Gymnasium, sync vector of 64" in page
    assert "PufferLib" not in page.partition("| `cliff_walking` |")[2]  # its sources are not here: it is left out
    run(suite, monkeypatch, "cliff_walking")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_every_contestant_steps():
    """Those that are installed here; a contestant that raised would end a long run."""
    for name in puffer_numba.list_envs():
        for _, make in contestants.others(name, 64):
            try:
                contestant = make()
            except contestants.NotHere:
                continue
            assert contestant.steps >= 1
            for _ in range(3):
                contestant.step()


def test_a_move_of_a_board_game_is_one_step():
    """Though both players have a row."""
    assert contestants.ours("tic_tac_toe", 8).steps == 8
    assert contestants.ours("simple_spread", 8).steps == 24


@pytest.mark.slow
def test_gallery(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gallery, "FOLDER", tmp_path / "gallery")
    monkeypatch.setattr(gallery, "PAGE", tmp_path / "environments.md")
    run(gallery, monkeypatch, "bandit", "--data-dir", str(tmp_path / "runs"))
    with Image.open(tmp_path / "gallery" / "bandit.gif") as image:
        assert image.n_frames > 2  # before and after each pull
        assert max(image.size) <= gallery.SIDE
    page = gallery.PAGE.read_text()
    assert "![bandit](gallery/bandit.gif)<br>`bandit`" in page
    for name in puffer_numba.list_envs():
        assert f"| `{name}` | " in page


def test_the_pages_name_every_environment():
    """As they are in the repository. What an environment that is new lacks is said: its rows take hours to make."""
    pages = {
        "python -m bench.studies.learning": lambda name: f"`puffer train {name}`" in learning.PAGE.read_text(),
        "python docs/gallery.py": lambda name: (
            f"| `{name}` | " in gallery.PAGE.read_text() and (gallery.FOLDER / f"{name}.gif").exists()
        ),
        "python -m bench.studies.suite": lambda name: f"| `{name}` | " in suite.PAGE.read_text(),
    }
    lacking = {script: [n for n in puffer_numba.list_envs() if not has(n)] for script, has in pages.items()}
    commands = [" ".join([script, *names]) for script, names in lacking.items() if names]
    if commands:
        pytest.skip(f"to complete the pages of docs/: {'; '.join(commands)}")
