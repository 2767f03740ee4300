"""Options under the names of other libraries and of the other commands."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from importlib import import_module

import pytest

from puffer_numba.cli import COMMANDS, main
from puffer_numba.cli.aliases import REFUSED, SAME, VALUES, translate
from puffer_numba.cli.arguments import options_of
from puffer_numba.cli.commands.eval import Eval
from puffer_numba.cli.commands.sweep import GenericSweep
from puffer_numba.cli.commands.train import GenericTrain
from puffer_numba.env import APIUsageError
from tests.helpers.command_line import fails

TRAIN = {**options_of(GenericTrain), "--env.num-envs": int, "--env.slippery": bool}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--timesteps 100", "--train.total-timesteps 100"),
        ("--timesteps=100", "--train.total-timesteps 100"),
        ("--train.bptt_horizon 8 --lr -1", "--train.horizon 8 --train.learning-rate -1"),
        ("--wandb --tag x", "--log.wandb --log.tag x"),
        ("--no-wandb", "--log.no-wandb"),
        ("--wandb False", "--log.no-wandb"),
        ("--train.anneal-lr true --train.gamma 0.9", "--train.anneal-lr --train.gamma 0.9"),
        ("--env.slippery=False", "--env.no-slippery"),
        ("--env.no-slippery False", "--env.slippery"),
        ("--vec.backend PufferEnv --vec.num-workers auto", "--vec.backend native --vec.num-workers None"),
        ("--load-model-path latest", "--resume latest"),
        ("--data-dir a --seed 3 --vec.num-envs 2", "--train.data-dir a --train.seed 3 --env.num-envs 2"),
        ("stray --log.wandb stray", "stray --log.wandb stray"),
        ("--unknown 3 --help", "--unknown 3 --help"),
        ("--train.gamma", "--train.gamma"),
    ],
)
def test_translation(given, expected):
    translated = translate(given.split(), TRAIN)
    assert translated == expected.split()
    assert translate(translated, TRAIN) == translated


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--load-model-path latest", "--checkpoint latest"),
        ("--resume a/b --train.data-dir runs --train.seed 1", "--checkpoint a/b --data-dir runs --seed 1"),
        ("--render-mode auto --gif-path x.gif", "--render-mode None --gif x.gif"),
        ("--train.device cuda --deterministic True", "--device cuda --deterministic"),
        ("--env.slippery", "--env.slippery True"),
        ("--env.no-slippery", "--env.slippery False"),
        ("--env.slippery False", "--env.slippery False"),
    ],
)
def test_what_another_command_calls_otherwise(given, expected):
    """Parameters of eval have no default: those of training hold."""
    assert translate(given.split(), {**options_of(Eval), "--env.slippery": bool | None}) == expected.split()


def test_a_sweep_has_the_names_of_training_and_its_own():
    options = options_of(GenericSweep)
    assert translate(["--wandb", "--max-runs", "3"], options) == ["--log.wandb", "--sweep.trials", "3"]


def test_one_option_under_two_names_is_refused():
    with pytest.raises(
        APIUsageError, match=r"--timesteps and --train\.total-timesteps are one option, --train\.total-"
    ):
        translate(["--timesteps", "1", "--train.total-timesteps", "2"], TRAIN)


def known_options():
    """Every option of any command; those of profile are train's and its own."""
    known = {"--env.num-envs", "--trace"}
    for command in COMMANDS:
        module = import_module(f"puffer_numba.cli.commands.{command}")
        for value in vars(module).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__:
                known |= options_of(value).keys()
    return known


def test_what_has_one_name_in_two_commands_has_it_in_both():
    groups = {name: names for names in SAME for name in names}
    named = defaultdict(set)
    for option in known_options():
        named[option.rpartition(".")[2].removeprefix("--")].add(option)
    apart = {name: options for name, options in named.items() if len({groups.get(o, (o,)) for o in options}) > 1}
    assert apart == {
        # of evaluations while training, beside those of training
        "seed": {"--train.seed", "--eval.seed", "--seed"},
        "target-return": {"--train.target-return", "--eval.target-return"},
        # of a policy, and of what is made anew or shared
        "name": {"--policy.name", "--name"},
    }


def test_every_name_in_the_table_is_an_option_somewhere_and_no_option_is_refused():
    known = known_options()
    for names in SAME:
        assert any(name in known for name in names), names
    assert len({name for names in SAME for name in names}) == sum(map(len, SAME))
    assert set(VALUES) <= set(known)
    assert not set(REFUSED) & {*known, *(name for names in SAME for name in names)}


def test_help_has_the_table_once(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for names in SAME:
        assert text.count(f"{names[0]:26}{', '.join(names[1:])}\n") == 1


@pytest.mark.parametrize("name", ["--neptune", "--log.neptune", "--neptune-project"])
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_neptune_has_ended(command, name, capsys):
    assert f"{name}: Neptune's service ended" in fails(capsys, command, "bandit", name)


@pytest.mark.parametrize(
    ("option", "hint"),
    [("--train.minibatch-size", "--train.num-minibatches"), ("--load-id", "--checkpoint")],
)
def test_what_there_is_not_says_what_there_is(option, hint, capsys):
    message = fails(capsys, "train", "bandit", option, "8")
    assert f"{option}: " in message
    assert hint in message


def test_a_policy_that_is_not_there_names_the_command_that_trains_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = fails(capsys, "eval", "puffer_bandit", "--episodes", "10")
    assert "no checkpoint of 'bandit' under runs/bandit; train one, puffer train bandit, or give its path" in message


def test_native_is_for_compiled_environments(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = fails(capsys, "train", "gym:CartPole-v1", "--vec.backend", "native")
    assert "backend 'native' takes one JitEnv class" in message
