"""Arguments on the command line for environments of other libraries, and making them to be seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from puffer_numba.cli import main
from puffer_numba.cli.arguments import parse_with_params
from puffer_numba.cli.commands.play import Play
from puffer_numba.config import EnvConfig
from puffer_numba.naming import load_spec, render_modes
from puffer_numba.options import chosen_params, env_params, option_words
from tests.helpers.command_line import at_work_in, fails

LAKE = "gym:FrozenLake-v1"
SHORT = ["--timesteps", "64", "--num-envs", "2", "--train.horizon", "16", "--train.num-minibatches", "2"]
SHORT += ["--vec.backend", "serial", "--log.no-tensorboard"]

MINE = """
import gymnasium

def make_env(mass: float = 1, level=None, *, names=("a", "b"), render_mode=None, seed=0):
    env = gymnasium.make("CartPole-v1", render_mode=render_mode)
    env.unwrapped.masscart, env.unwrapped.level, env.unwrapped.names = mass, level, names
    return env
"""


def chosen(name, *args):
    """The parameters that a command line gives to the environment."""
    spec = load_spec(name)
    return chosen_params(spec, parse_with_params(Play, spec, "puffer play", args).env, EnvConfig())


@pytest.mark.parametrize(
    ("args", "params"),
    [
        ([], {}),
        (["--env.is-slippery", "False"], {"is_slippery": False}),
        (["--env.no-is-slippery", "--env.map-name", "8x8"], {"is_slippery": False, "map_name": "8x8"}),
        (["--env.kwargs", '{"map_name": "8x8", "desc": null}'], {"map_name": "8x8", "desc": None}),
        (["--env.kwargs", '{"map_name": "8x8"}', "--env.map-name", "3x3"], {"map_name": "3x3"}),
        (["--env.desc", '["SF", "FG"]'], {"desc": ["SF", "FG"]}),
        (["--env.reward-schedule", "(2, 0, 0)"], {"reward_schedule": (2, 0, 0)}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_arguments_of_a_gymnasium_environment(args, params):
    assert chosen(LAKE, *args) == params


def test_defaults_are_those_of_the_registry_and_of_the_signature():
    assert env_params(load_spec(LAKE)) == {"map_name": "4x4", "is_slippery": True, "success_rate": 1 / 3}
    assert env_params(load_spec("gym:Blackjack-v1")) == {"natural": False, "sab": True}
    assert env_params(load_spec("pettingzoo:mpe2.simple_spread_v3"))["N"] == 3


def test_a_function_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine_to_make.py").write_text(MINE)
    name = "mine_to_make.py:make_env"
    assert env_params(load_spec(name)) == {"mass": 1}
    assert chosen(name, "--env.mass", "0.5", "--env.level", "hard", "--env.names", "[]") == {
        "mass": 0.5, "level": "hard", "names": [],
    }  # fmt: skip
    assert chosen(name, "--env.level", "3") == {"level": 3}


def test_arguments_as_words_are_read_back():
    params = {"is_slippery": False, "map_name": "my map", "desc": ["SF", "FG"]}
    words = option_words({f"env.{name}": value for name, value in params.items()})
    assert chosen(LAKE, *words) == params


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--env.kwargs", "{map"], "--env.kwargs is '{map', which is no JSON: "),
        (["--env.kwargs", "3"], """--env.kwargs is '3'; expected a JSON object, such as '{"map_name": "8x8"}'."""),
        (
            ["--env.slippery", "False"],
            "did you mean --env.is-slippery? Other arguments of the environment go into --env.k",
        ),
        (["--env.kwargs", '{"depth": 3}', "--vec.backend", "serial"], "cannot make gym:FrozenLake-v1: "),
    ],
    ids=["no JSON", "no object", "unknown option", "unknown argument"],
)
def test_bad_arguments_end_in_one_line(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, "train", LAKE, *args)


def test_what_can_be_made_to_be_seen():
    assert render_modes(LAKE) == ("human", "ansi", "rgb_array")
    assert render_modes("cartpole") == ()
    assert render_modes("tests.helpers.vector_envs:Counter") == ()


def test_training_with_arguments_and_watching(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert main(["train", LAKE, *SHORT, "--env.is-slippery", "False", "--env.kwargs", '{"map_name": "8x8"}']) == 0
    (state,) = tmp_path.glob("runs/gym.FrozenLake-v1/*/*/state.json")
    assert json.loads(state.read_text())["config"]["env"]["params"] == {"is_slippery": False, "map_name": "8x8"}
    assert main(["eval", LAKE, "--gif", "lake.gif", "--render-mode", "human", "--fps", "1000"]) == 0
    with Image.open("lake.gif") as image:
        assert image.n_frames > 1


SHOWS_ITSELF = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

class Shown(CartPoleEnv):
    metadata = {"render_modes": ["human"]}
    frames = 0

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        Shown.frames += self.render_mode == "human"
"""


def test_an_environment_with_a_window_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with at_work_in(tmp_path):
        Path("shows_itself.py").write_text(SHOWS_ITSELF)
        assert main(["train", "shows_itself.py", *SHORT]) == 0
        assert main(["eval", "shows_itself.py", "--render-mode", "human"]) == 0
        assert sys.modules["shows_itself"].Shown.frames > 5
        capsys.readouterr()
        assert "renders no images" in fails(capsys, "eval", "shows_itself.py", "--gif", "x.gif").splitlines()[-1]


@pytest.mark.filterwarnings("ignore:the environments' state was not saved")
def test_runs_of_earlier_versions_are_found(tmp_path, monkeypatch, capsys):
    """Their folders had the name of the environment, with its colon."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", LAKE, *SHORT]) == 0
    Path("runs/gym.FrozenLake-v1").rename(f"runs/{LAKE}")
    assert main(["train", LAKE, "--resume", "latest", "--timesteps", "128"]) == 0
    (run,) = Path("runs", LAKE).iterdir()
    assert len(list(run.glob("checkpoint_*"))) == 2  # it was continued there
    assert main(["eval", LAKE, "--episodes", "2"]) == 0
    assert f"runs/{LAKE}/" in capsys.readouterr().out
