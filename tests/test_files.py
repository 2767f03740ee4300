"""Environments in files: `puffer_numba.files`, and the names of them wherever a name is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from puffer_numba import files, naming, vector
from puffer_numba.cli import main
from puffer_numba.env import APIUsageError
from puffer_numba.pufferl import train
from puffer_numba.render import play as play_module
from puffer_numba.runs import checkpoint
from tests.helpers.command_line import at_work_in, fails

WALK = '''
from typing import NamedTuple
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_numba import JitEnv, kernel
from lengths import STRIDE


class Walk(JitEnv):
    """Walk to the right."""

    max_episode_steps = 20
    single_observation_space = Box(-100, 100, (1,), np.float32)
    single_action_space = Discrete(2)
    train_config = {"train.horizon": 8}
    render_fps = 1000

    class State(NamedTuple):
        x: float

    class Params(NamedTuple):
        goal: float = 3.0  # where the walk ends

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = 0.0

    @kernel
    def step_env(s, p, i, action, rng):
        s.x[i] += STRIDE if action == 1 else -STRIDE
        return 1.0, s.x[i] >= p.goal

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.x[i]

    @staticmethod
    def render_env(s, p, i):
        return np.zeros((8, 8, 3), np.uint8)


def make_env(goal=1.0):
    return Walk(goal=goal)
'''
TWO = "from puffer_numba.envs.cartpole import CartPole\nclass A(CartPole): pass\nclass B(CartPole): pass\n"
SHORT = ["--train.total-timesteps", "512", "--env.num-envs", "8", "--train.horizon", "16", "--log.no-tensorboard"]


@pytest.fixture
def here(tmp_path):
    """A folder to work in, with an environment in ``games/walk.py``."""
    (tmp_path / "games").mkdir()
    (tmp_path / "games" / "walk.py").write_text(WALK)
    (tmp_path / "games" / "lengths.py").write_text("STRIDE = 1.0\n")  # found beside it
    with at_work_in(tmp_path):
        yield tmp_path


@pytest.mark.parametrize(
    "name", ["games/walk.py:Walk", "./games/walk.py:Walk", "games/walk.py", "games/../games/walk.py:"]
)
def test_names_of_one_environment(here, name):
    assert naming.env_creator(name).__name__ == "Walk"
    assert naming.full_name(name) == "games/walk.py:Walk"
    assert naming.load_spec(name).env_class is naming.env_creator("games/walk.py:Walk")


def test_a_file_elsewhere_has_its_whole_path(here, monkeypatch):
    file = here / "games" / "walk.py"
    monkeypatch.chdir("/")
    assert naming.full_name(f"{file}:Walk") == f"{str(file)[1:]}:Walk"
    (here / "empty").mkdir()
    monkeypatch.chdir(here / "empty")
    assert naming.full_name("../games/walk.py") == f"{file}:Walk"


def test_a_function_of_a_file(here):
    with vector.make("games/walk.py:make_env", num_envs=2, backend="serial") as env:
        assert env.reset()[0].shape == (2, 1)


def test_a_file_of_a_package_may_import_from_it(here):
    (here / "games" / "__init__.py").touch()
    (here / "games" / "more.py").write_text("from .walk import Walk\nclass Longer(Walk): max_episode_steps = 30\n")
    (here / "games" / "walk.py").write_text(WALK.replace("from lengths", "from .lengths"))
    env_class = naming.env_creator("games/more.py")
    assert (env_class.__module__, env_class.__name__) == ("games.more", "Longer")


def test_an_edit_of_a_file_takes_effect_when_its_name_is_used_again(here):
    first = naming.env_creator("games/walk.py")
    assert naming.env_creator("games/walk.py:Walk") is first
    file = here / "games" / "walk.py"
    file.write_text(WALK.replace("class Walk(", "class Run(").replace("return Walk(", "return Run("))
    assert naming.full_name("games/walk.py") == "games/walk.py:Run"
    file.write_text("a mistake")
    with pytest.raises(APIUsageError, match=r"cannot be imported: games/walk.py:1: SyntaxError"):
        naming.env_creator("games/walk.py")
    file.write_text(WALK.replace("return 1.0, ", "return 2.5, "))
    options = {"num_envs": 1, "num_workers": 1}
    for backend in ("native", "multiprocessing"):
        with vector.make("games/walk.py", backend=backend, **options) as env:
            env.reset()
            assert env.step(np.ones(1, np.int32))[1].tolist() == [2.5]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cartpole", "cartpole"),
        ("walk-2", "walk-2"),
        ("gym:CartPole-v1", "gym.CartPole-v1"),
        ("gym:ale_py:ALE/Pong-v5", "gym.ale_py.ALE.Pong-v5"),
        ("my_package.my_module:make_env", "my_package.my_module.make_env"),
        ("con", "_con"),
        ("aux.py:Walk", "_aux.Walk"),
        ('gym:A"b?c*<d>|-v0', "gym.A_b_c__d__-v0"),
        ("walk.py:Walk", "walk.Walk"),
        ("games/my walk.py:Walk", "games.my_walk.Walk"),
        ("/home/me/walk.py:Walk", "home.me.walk.Walk"),
    ],
)
def test_folders_of_runs(name, folder):
    assert files.run_folder(name) == folder


def test_one_environment_under_two_names():
    assert files.is_same("games/walk.py:Walk", "/home/me/games/walk.py:Walk")
    assert not files.is_same("walk.py:Walk", "walk.py:Run")
    assert not files.is_same("walk.py:Walk", "run.py:Walk")
    assert not files.is_same("walk.py:Walk", "cartpole")
    assert files.is_same("games/walk.py:Walk", "games.walk:Walk")
    assert not files.is_same("one.walk:Walk", "two.walk:Walk")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wlk.py:Walk", None, "wlk.py:Walk: there is no file wlk.py. Did you mean 'walk.py'?"),
        ("no/walk.py:Walk", None, "no/walk.py:Walk: there is no file no/walk.py."),
        ("walk.py:Wakl", None, "walk.py has no function or class 'Wakl'. Did you mean 'Walk'? Its environments: Walk."),
        ("two.py", TWO, "two.py: two.py defines A, B; say which: two.py:A."),
        ("none.py", "x = 1", "none.py: none.py defines no environment; expected a subclass of puffer_numba.JitEnv"),
        (
            "raises.py:Walk",
            "import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n",
            "raises.py:Walk cannot be imported: raises.py:5: JSONDecodeError: Expecting property name",
        ),
        ("syntax.py:C", "x = 1\ndef f(:\n", "syntax.py:C cannot be imported: syntax.py:2: SyntaxError: invalid syntax"),
        ("ends.py", "import sys\nsys.exit(3)\n", "ends.py cannot be imported: ends.py:2: SystemExit: 3"),
        ("silent.py", "assert False\n", "silent.py cannot be imported: silent.py:1: AssertionError"),
        ("needs.py", "import nothing_like_it\n", "needs.py:1: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("raises:Walk", "x = 1\nx / 0\n", "raises:Walk cannot be imported: raises.py:2: ZeroDivisionError: division"),
        ("json.py:Walk", "", "there is another module 'json' in this process already"),
        ("walk.v2.py", "", "Python cannot import a file with a dot in its name, walk.v2.py; rename it."),
        ("./walk:Walk", None, "'./walk' is no name of a module; one of a file ends in .py: ./walk.py:Walk."),
        ("walk", None, "no environment is called 'walk'; for the file here, write walk.py."),
    ],
    ids=lambda value: value if value and value.endswith(".py") else "",
)
def test_what_is_wrong_with_a_file_is_one_line(here, monkeypatch, capsys, name, content, message):
    monkeypatch.chdir(here / "games")
    if content is not None:
        file = name.partition(":")[0]
        Path(file if file.endswith(".py") else f"{file}.py").write_text(content)
    assert message in fails(capsys, "check", name)


def test_a_second_file_of_a_name(here):
    (here / "walk.py").write_text(WALK)
    naming.env_creator("games/walk.py:Walk")
    with pytest.raises(APIUsageError, match=r"another module 'walk' in this process already, .*games/walk.py; rename"):
        naming.env_creator("walk.py:Walk")


def test_runs_are_found_under_each_name(here, capsys):
    """The folder that is the present one may change, as long as the checkpoint is named."""
    trainer = train("games/walk.py", {"train.total_timesteps": 512, "env.num_envs": 8, "log.tensorboard": False})
    assert trainer.config.env_name == "games/walk.py:Walk"
    assert trainer.config.train.horizon == 8
    assert trainer.run_dir.parent == Path("runs") / "games.walk.Walk"
    saved = checkpoint.load_of("./games/walk.py", "latest", "runs")
    assert saved.config.env_name == "games/walk.py:Walk"
    path = saved.path.resolve()
    assert main(["train", "./games/walk.py:Walk", "--resume", "latest", "--train.total-timesteps", "1024"]) == 0
    assert [p.name for p in (here / "runs").iterdir()] == ["games.walk.Walk"]
    capsys.readouterr()
    (here / "games" / "below").mkdir()
    os.chdir(here / "games" / "below")
    assert main(["eval", "../walk.py:Walk", "--checkpoint", str(path), "--episodes", "3"]) == 0
    assert f"{here}/games/walk.py:Walk: 3 episodes" in capsys.readouterr().out
    assert "is of 'games/walk.py:Walk', not of 'cartpole'" in fails(capsys, "train", "cartpole", "--resume", str(path))


@pytest.mark.slow
@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_workers_import_the_file(here, context):
    creator = naming.env_creator("games/walk.py:Walk")
    options = {"num_envs": 4, "num_workers": 2, "backend": "multiprocessing", "context": context}
    with vector.make("games/walk.py:Walk", env_kwargs={"goal": 2.0}, **options) as env:
        env.reset()
        for _ in range(2):
            _, _, terminals, _, _ = env.step(np.ones(4, np.int32))
        assert terminals.all()
    assert creator.__module__ == "walk"


@pytest.mark.slow
def test_every_command_takes_a_file(here, monkeypatch, capsys):
    """The trainer's workers, too; and parameters are options of each."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def run(*args):
        capsys.readouterr()
        assert main(args) == 0
        return capsys.readouterr().out

    name = "games/walk.py:Walk"
    workers = ["--vec.backend", "multiprocessing", "--vec.num-workers", "2"]
    run("train", name, *SHORT, *workers, "--env.goal", "2.5")
    (state,) = (here / "runs" / "games.walk.Walk").rglob("state.json")
    assert json.loads(state.read_text())["config"]["env"]["params"] == {"goal": 2.5}
    assert f"{name}: 3 episodes" in run("eval", name, "--episodes", "3")
    assert f"{name}: 0 problems" in run("check", name, "--env.goal", "2")
    run("bench", name, "--num-envs", "2", "--env.goal", "2", "--json", "bench.json")
    assert {r["params"]["goal"] for r in json.loads((here / "bench.json").read_text())["results"]} == {2.0}
    tuned = run("autotune", name, "--seconds", "0.1", "--max-envs", "2", "--env.goal", "2")
    assert f"puffer train {name} --env.num-envs 2" in tuned
    assert tuned.rstrip().endswith("--env.goal 2.0")
    assert "steps/s" in run("profile", name, "--seconds", "0.1", "--env.num-envs", "8")


@pytest.mark.slow
def test_a_sweep_of_a_file(here, capsys):
    args = ["--sweep.trials", "2", "--sweep.steps", "2000", "--env.num-envs", "8"]
    assert main(["sweep", "games/walk.py:Walk", *args]) == 0
    assert "puffer train games/walk.py:Walk" in capsys.readouterr().out
    assert (here / "runs" / "games.walk.Walk").is_dir()


@pytest.mark.slow
def test_the_installed_command_takes_a_file(here):
    """Which does not look into the present folder by itself."""
    command = Path(sys.executable).with_name("puffer")
    arguments = ["train", "games/walk.py:Walk", *SHORT, "--vec.backend", "multiprocessing"]
    done = subprocess.run([command, *arguments], cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["train", "eval", "play", "check", "bench", "autotune", "profile", "sweep"])
def test_help_has_the_parameters_of_the_file(here, capsys, command):
    with pytest.raises(SystemExit) as end:
        main([command, "games/walk.py:Walk", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "--env.goal" in text
    assert "where the walk ends" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("command", ["train", "play", "check", "bench", "autotune"])
def test_a_parameter_out_of_bounds_is_one_line(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "cannot make squared: Squared: parameter size is 1" in fails(capsys, command, "squared", "--env.size", "1")


def test_parameters_are_for_one_environment(capsys):
    message = "--env.gravity is for one environment, not for cartpole, squared."
    assert message in fails(capsys, "bench", "cartpole", "squared", "--env.gravity", "1")


def test_play_takes_a_file_and_a_module(here, monkeypatch, capsys):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    play = play_module.play
    monkeypatch.setattr(play_module, "play", lambda env, fps, player: play(env, fps, episodes=1))
    for name in ("games/walk.py:Walk", "walk:Walk"):
        pygame.display.init()
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code("1")))
        assert main(["play", name, "--env.goal", "2", "--seed", "0"]) == 0
        assert "Walk: 2 steps, return 2" in capsys.readouterr().out
