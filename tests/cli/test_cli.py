"""The command line, run as its users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from puffer_numba import cli
from puffer_numba.cli import COMMANDS, main
from puffer_numba.env import APIUsageError
from puffer_numba.render.window import window
from tests.helpers.command_line import QUICK, fails, puffer


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """A folder in which a short training run has left its checkpoint."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "cartpole", *QUICK]) == 0
    capsys.readouterr()
    return tmp_path


def test_help_names_the_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"puffer {command}" in text
    assert main([]) == 2


def test_help_of_train_shows_the_environments_parameters(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "cartpole", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for piece in ("--env.gravity FLOAT", "--env.num-envs INT", "--train.learning-rate FLOAT", "--policy.hidden-size"):
        assert piece in text
    assert "Step size of the optimizer" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"usage: puffer {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["play", "gym:CartPole-v1"],
            "puffer play is for environments of this library; gymnasium.utils.play",
        ),
        (["train", "cartpole", "--vec.batch-size", "0"], "vec.batch_size is 0; allowed: at least 1, or None"),
        (["frobnicate"], f"no command 'frobnicate'; there are {', '.join(COMMANDS)}."),
        (["train"], "needs the name of an environment: a registered name, 'my_file.py:MyEnv', 'gym:LunarLander-v3'"),
        (["train", "cartpol"], "no environment is called 'cartpol'. Did you mean 'cartpole'?"),
        (["sweep", "cartpol"], "Did you mean 'cartpole'?"),
        (["eval", "cartpol"], "Did you mean 'cartpole'?"),
        (["check", "cartpol"], "Did you mean 'cartpole'?"),
        (["bench", "cartpol"], "Did you mean 'cartpole'?"),
        (["autotune", "cartpol"], "Did you mean 'cartpole'?"),
        (["train", "CartPole-v1"], "For Gymnasium's, write 'gym:CartPole-v1'."),
        (["train", "gym:Carpole-v1"], "Environment `Carpole` doesn't exist. Did you mean: `CartPole`?"),
        (["bench", "gym:CartPole"], "No registered env with id: CartPole Did you mean 'CartPole-v1'"),
        (["check", "gym:LunarLander-v2"], "deprecated. Please use `LunarLander-v3` instead."),
        (["check", "pettingzoo:classic.rsp.rps"], "Did you mean 'pettingzoo.classic.rps'"),
        (["autotune", "no_such_module:make"], "there is no module no_such_module; install the package that has it."),
        (["eval", "gymnasim.envs:make"], "there is no module gymnasim.envs. Did you mean 'gymnasium"),
        (["bench", "gymnasium:mak"], "module gymnasium has no function or class 'mak'. Did you mean 'make'"),
        (["train", "cartpole", "--train.gama", "0.9"], "did you mean --train.gamma"),
        (["train", "cartpole", "--env.gravitas", "1"], "--env.gravitas"),
        (["train", "cartpole", "--train.gamma", "much"], "--train.gamma: could not convert string to float: 'much'"),
        (["train", "cartpole", "--train.gamma", "2"], "train.gamma is 2.0; allowed: 0 to 1"),
        (["train", "cartpole", "--train.optimizer", "sgd"], "sgd"),
        (["train", "cartpole", "--env.num-envs", "0"], "env.num_envs is 0; allowed: at least 1"),
        (["train", "squared", "--env.size", "1"], "size is 1"),
        (["train", "cartpole", "--train.device", "abacus"], "train.device is 'abacus'"),
        (["train", "cartpole", "--resume", "nowhere"], "no checkpoint at nowhere"),
        (["eval", "cartpole", "--checkpoint", "nowhere"], "no checkpoint at nowhere"),
        (["eval", "cartpole", "--data-dir", "nowhere"], "no checkpoint of 'cartpole' under nowhere"),
        (["push", "cartpol", "me/cartpole"], "Did you mean 'cartpole'?"),
        (["push", "cartpole"], "REPO_ID The repository, such as me/cartpole"),
        (["push", "cartpole", "me/cartpole", "--checkpoint", "nowhere"], "no checkpoint at nowhere"),
        (["pull"], "REPO_ID The repository, such as me/cartpole"),
        (["pull", "not/a/name"], "no repository can be called 'not/a/name'; expected a name such as me/cartpole."),
        (["export", "cartpol"], "Did you mean 'cartpole'?"),
        (
            ["export", "cartpole", "--output", "p.h5"],
            "cannot export to p.h5; expected a name that ends in .onnx, .pt2, .pt",
        ),
        (["export", "cartpole", "--output", "p.pt", "--checkpoint", "nowhere"], "no checkpoint at nowhere"),
        (["bench"], "Registered: acrobot, bandit, blackjack"),
        (["bench", "cartpole", "--num-envs", "1,many"], "--num-envs is '1,many'"),
        (["autotune"], "needs the name of an environment: "),
        (["autotune", "cartpole", "--seconds", "0"], "autotune: seconds is 0.0; expected a number above 0"),
        (["autotune", "cartpole", "--max-envs", "0"], "autotune: max_envs is 0; expected at least 1"),
        (["autotune", "cartpole", "--max-workers", "no"], "Error parsing --max-workers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_in_one_line(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, *args)


@pytest.mark.slow
def test_train_then_eval(trained, capsys):
    assert main(["eval", "cartpole", "--episodes", "7", "--deterministic"]) == 0
    out = capsys.readouterr().out
    assert "cartpole: 7 episodes" in out
    assert all(name in out for name in ("mean", "std", "min", "max", "return", "length"))


def test_settings_reach_the_run(trained):
    overrides = ["--env.gravity", "1.6", "--policy.hidden-size", "8", "--train.learning-rate", "1e-3"]
    assert main(["train", "cartpole", *QUICK, *overrides]) == 0
    newest = max((trained / "runs").rglob("state.json"), key=lambda file: file.stat().st_mtime_ns)
    config = json.loads(newest.read_text())["config"]
    assert config["env"] == {"num_envs": 16, "params": {"gravity": 1.6}}
    assert config["policy"]["hidden_size"] == 8
    assert config["train"]["learning_rate"] == 1e-3


def test_resume_goes_on_with_the_settings_of_the_run(trained, capsys):
    assert main(["train", "cartpole", "--resume", "latest"]) == 0
    assert "nothing to do: 2048 steps are done" in capsys.readouterr().out
    assert main(["train", "cartpole", "--resume", "latest", "--train.total-timesteps", "4096"]) == 0
    newest = max((trained / "runs").rglob("state.json"), key=lambda file: file.stat().st_mtime_ns)
    state = json.loads(newest.read_text())
    assert state["global_step"] == 4096
    assert state["config"]["env"]["num_envs"] == 16


def test_eval_in_other_circumstances(trained, capsys):
    means = []
    for gravity in ("9.8", "30"):
        assert main(["eval", "cartpole", "--episodes", "30", "--env.gravity", gravity]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("return"))
        means.append(float(line.split()[1]))
    assert means[0] > means[1]


def test_eval_records_a_gif(trained, capsys):
    assert main(["eval", "cartpole", "--gif", "out/cartpole.gif"]) == 0
    assert "recorded" in capsys.readouterr().out
    with Image.open(trained / "out" / "cartpole.gif") as image:
        assert image.n_frames > 5
        assert image.info["duration"] == 20


def test_only_the_first_of_many_episodes_is_recorded(trained, capsys):
    assert main(["eval", "cartpole", "--episodes", "5", "--gif", "one.gif"]) == 0
    output = capsys.readouterr().out
    assert "5 episodes" in output
    longest = float(output.split("length")[1].split()[3])
    with Image.open(trained / "one.gif") as image:
        assert 1 < image.n_frames <= longest


def test_a_gymnasium_environment_is_trained_and_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "gym:CartPole-v1", *QUICK, "--vec.num-workers", "1"]) == 0
    assert main(["eval", "gym:CartPole-v1", "--episodes", "3"]) == 0
    assert "gym:CartPole-v1: 3 episodes" in capsys.readouterr().out


MY_MODULE = """
import gymnasium
from puffer_numba.envs.cartpole import CartPole

class Mine(CartPole):
    train_config = {"train.horizon": 8}

def make_env():
    return gymnasium.make("CartPole-v1")
"""


SHORT = ["--train.total-timesteps", "512", "--env.num-envs", "8", "--train.horizon", "16", "--vec.num-workers", "2"]


@pytest.mark.slow
def test_a_module_of_the_current_folder(tmp_path):
    """With the installed command, which does not look there by itself, nor do worker processes."""
    (tmp_path / "my_module.py").write_text(MY_MODULE)
    command = Path(sys.executable).with_name("puffer")
    arguments = ["train", "my_module:make_env", *SHORT, "--log.no-tensorboard"]
    done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_command_takes_a_module_of_the_current_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())  # to which the current folder is added
    (tmp_path / "third_module.py").write_text(MY_MODULE)

    def run(*args):
        capsys.readouterr()
        assert main(args) == 0
        return capsys.readouterr().out

    for name in ("third_module:Mine", "third_module:make_env"):
        run("train", name, *SHORT, "--log.no-tensorboard")
    assert f"{name}: 3 episodes" in run("eval", name, "--episodes", "3")
    assert "0 problems" in run("check", name)
    assert "steps per second" in run("bench", name, "--num-envs", "2")
    assert f"puffer train {name} --env.num-envs 2" in run("autotune", name, "--seconds", "0.1", "--max-envs", "2")


def test_parameters_and_settings_of_a_class_of_a_module(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())  # to which the current folder is added
    (tmp_path / "another_module.py").write_text(MY_MODULE)
    with pytest.raises(SystemExit):
        main(["train", "another_module:Mine", "--help"])
    text = capsys.readouterr().out
    assert "--env.gravity FLOAT" in text
    assert re.search(r"--train.horizon INT.*?default: 8", text, re.DOTALL)


def test_check_of_other_environments(capsys):
    assert main(["check", "gym:CartPole-v1"]) == 0
    output = capsys.readouterr().out
    assert "0 problems in 8 checks" in output
    assert "Gymnasium's check_env" in output
    assert main(["check", "tests.helpers.vector_envs:Rows"]) == 1  # it observes nothing but its seed
    assert "stale" in capsys.readouterr().out


@pytest.mark.slow
def test_autotune_to_a_file(tmp_path, capsys):
    args = ["--seconds", "0.1", "--max-envs", "4", "--max-workers", "1", "--json", str(tmp_path / "tuned.json")]
    assert main(["autotune", "gym:CartPole-v1", *args]) == 0
    output = capsys.readouterr().out
    assert "puffer train gym:CartPole-v1 --env.num-envs" in output
    assert json.loads((tmp_path / "tuned.json").read_text())["code"] in output


def test_without_a_display_no_window_is_shown_invisibly(trained, monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    for command in (["play", "cartpole"], ["eval", "cartpole", "--render-mode", "human"]):
        assert "no window can be shown here: there is no display" in fails(capsys, *command)


def test_sdl_falls_back_on_nothing_to_be_seen(monkeypatch):
    """A display that is set but not there."""
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("DISPLAY", ":1234")
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(APIUsageError, match="there is no display"), window("a title", 50):
        pass
    assert not pygame.display.get_init()


def test_eval_records_an_mp4_or_says_why_not(trained, monkeypatch, capsys):
    assert main(["eval", "cartpole", "--gif", "episode.mp4"]) == 0
    assert (trained / "episode.mp4").read_bytes()[4:8] == b"ftyp"
    capsys.readouterr()
    assert "cannot record episode.avi; expected a name that ends in .gif or .mp4" in fails(
        capsys, "eval", "cartpole", "--gif", "episode.avi"
    )
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert 'recording .mp4 needs imageio_ffmpeg: pip install "puffer_numba[video]"' in fails(
        capsys, "eval", "cartpole", "--gif", "episode.mp4"
    )


def test_eval_shows_a_window(trained, monkeypatch, capsys):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert main(["eval", "cartpole", "--render-mode", "human", "--fps", "1000"]) == 0
    assert "1 episodes" in capsys.readouterr().out


def test_an_environment_without_images_says_so(trained, capsys):
    name = "tests.helpers.jit_envs:Walk"
    assert main(["train", name, *QUICK]) == 0
    capsys.readouterr()
    assert "renders no images" in fails(capsys, "eval", name, "--gif", "walk.gif")


WITHOUT_TORCH = [
    ["list"],
    ["--help"],
    ["train", "cartpole", "--help"],
    ["sweep", "cartpole", "--help"],
    ["eval", "--help"],
    ["check", "bandit"],
    ["autotune", "bandit", "--seconds", "0.1", "--max-envs", "2"],
    ["bench", "bandit", "--num-envs", "1", "--json", "bench.json"],
]


@pytest.mark.slow
def test_list_check_and_bench_do_not_import_torch(run_python, tmp_path):
    """In one process: what any of them imports stays imported."""
    code = f"""
import sys
from puffer_numba.cli import main
for args in {WITHOUT_TORCH}:
    try:
        code = main(args)
    except SystemExit as end:
        code = end.code
    assert code == 0, args
    assert "torch" not in sys.modules, args
"""
    run_python(code)
    assert json.loads((tmp_path / "bench.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "safetensors", "tensorboard"])
def test_a_missing_extra_is_named(missing, tmp_path):
    code = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
    result = puffer("train", "cartpole", *QUICK[:-1], cwd=tmp_path, code=code)
    assert result.returncode == 2
    assert 'pip install "puffer_numba[train]"' in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.slow
def test_ctrl_c_saves_and_leaves(tmp_path):
    command = [sys.executable, "-m", "puffer_numba", "train", "cartpole", "--train.total-timesteps", "1000000000"]
    command += ["--train.target-return", "None", "--train.data-dir", str(tmp_path)]  # or it ends by itself
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        for line in process.stdout:
            if "episode_return" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted; saved" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    checkpoints = list(tmp_path.rglob("state.json"))
    assert len(checkpoints) == 1
    assert main(["eval", "cartpole", "--episodes", "2", "--data-dir", str(tmp_path)]) == 0


def test_warnings_of_this_library_are_one_line():
    with cli._warnings_in_one_line():
        ours = warnings.formatwarning("the disk is full.", UserWarning, cli.__file__, 12)
        others = warnings.formatwarning("old", UserWarning, os.__file__, 12)
    assert ours == "puffer: the disk is full.\n"
    assert others.startswith(f"{os.__file__}:12: UserWarning: old")
    assert ours not in warnings.formatwarning("the disk is full.", UserWarning, cli.__file__, 12)


def test_running_the_module_is_the_same_command():
    result = subprocess.run([sys.executable, "-m", "puffer_numba", "list"], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "cartpole" in result.stdout
