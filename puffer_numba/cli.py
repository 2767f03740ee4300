"""The command ``puffer``: train, eval, bench, autotune, check and list.

Bad input ends in one line and exit code 2; what went wrong while working, in a traceback. Only train and eval
import torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from gymnasium.spaces import Box

from puffer_numba import registry, vector
from puffer_numba.config import Config, LogConfig, PolicyConfig, TrainConfig, VecConfig
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.extras import MissingExtra, require
from puffer_numba.jit import JitEnv
from puffer_numba.load import load_config
from puffer_numba.options import chosen_params, env_options
from puffer_numba.vector.creators import FORMS, is_jit

USAGE = """\
usage: puffer COMMAND [NAME] [OPTIONS]

Reinforcement-learning environments at the speed of C, and a PPO trainer for them.

  puffer list                     the environments there are
  puffer train NAME [OPTIONS]     train a policy
  puffer eval NAME [OPTIONS]      run a trained policy: statistics, a window, a GIF
  puffer play NAME                play an environment with the keyboard
  puffer bench NAME... [OPTIONS]  measure steps per second
  puffer autotune NAME [OPTIONS]  find the fastest way to run copies of an environment on this machine
  puffer check NAME               look for mistakes in an environment

NAME is one of the list, or gym:LunarLander-v3, pettingzoo:mpe2.simple_spread_v3, my_package.my_module:make_env.
puffer COMMAND --help and puffer train NAME --help tell more. For example:

  puffer train cartpole --train.learning-rate 1e-3 --env.num-envs 64 --env.gravity 1.6
  puffer eval cartpole --episodes 20 --gif cartpole.gif
  puffer autotune gym:LunarLander-v3
"""

Parsed = TypeVar("Parsed")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default the process's own; the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if args else 2
    command, rest = args[0], args[1:]
    try:
        if command not in COMMANDS:
            raise APIUsageError(f"no command {command!r}; there are {', '.join(COMMANDS)}.")
        return COMMANDS[command](rest)
    except (APIUsageError, MissingExtra, OSError) as error:
        print(f"puffer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print("; ".join(["puffer: interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Everything is saved and closed. Python would spend most of a second on taking torch and Numba down.
        os._exit(130)


def _parse(cls: type[Parsed], prog: str, args: Sequence[str]) -> Parsed:
    """`tyro.cli`, with its boxed errors cut down to one line."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(cls, prog=prog, args=list(args))
    except SystemExit as end:
        if not end.code:
            raise
        raise APIUsageError(f"{_one_line(errors.getvalue())} See {prog} --help") from None


def _one_line(box: str) -> str:
    """The complaint in tyro's box, which is its first part, and the options that it suggests."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip(" │|") for line in plain.splitlines() if line and line[0] not in "╭╰+"]
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip("─-"):
            parts[-1].append(line)
        else:
            parts.append([])
    if "╭" not in plain:  # on a terminal without line-drawing characters, the title is a part of its own
        parts = parts[1:] or [[]]
    complaint = " ".join(parts[0]).rstrip(".")
    suggested = [line.split()[0] for part in parts[1:] for line in part if line.startswith("--")]
    if complaint.startswith("Unrecognized") and suggested:
        return f"{complaint}; did you mean {' or '.join(suggested[:3])}?"
    return f"{complaint}."


def _take_name(command: str, args: list[str]) -> tuple[registry.EnvSpec, list[str]]:
    """The environment that the first argument names, and the other arguments."""
    if not args or args[0].startswith("-"):
        raise APIUsageError(
            f"puffer {command} needs the name of an environment: {FORMS}. Registered: "
            f"{', '.join(registry.list_envs())}."
        )
    name = args[0]
    if ":" not in name:
        return registry.spec(name), args[1:]
    creator = _creator(name)
    return registry.EnvSpec(name, creator if isinstance(creator, type) and is_jit(creator) else PufferEnv), args[1:]


def _creator(name: str) -> Callable[..., Any]:
    """What makes the environment called ``name``, which may be in a module of the current folder."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as for ``python -m``, but not for an installed command
    return vector.env_creator(name)


def _wants_help(args: list[str]) -> bool:
    return bool(args) and args[0] in ("-h", "--help")


def _require_trainer() -> Any:
    """The module `puffer_numba.pufferl`, once everything it needs is known to be there."""
    for module in ("torch", "safetensors"):
        require(module, "train", "training")
    from puffer_numba import pufferl

    return pufferl


# -- train ----------------------------------------------------------------------------------------------


@dataclass
class _GenericTrain:
    """Train a policy with PPO. With NAME, --help also shows the environment's own parameters and settings."""

    train: TrainConfig = field(default_factory=TrainConfig)
    vec: VecConfig = field(default_factory=VecConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    log: LogConfig = field(default_factory=LogConfig)
    resume: str | None = None
    """Go on from a checkpoint: its folder, its run's folder, or "latest"."""


def _train(args: list[str]) -> int:
    if _wants_help(args):
        _parse(_GenericTrain, "puffer train NAME", args)
    spec, args = _take_name("train", args)
    config = _saved_config(spec.name, args) or load_config(spec.name)
    options = _parse(_train_options(spec, config), f"puffer train {spec.name}", args)
    config = Config(
        env_name=spec.name, train=options.train, env=config.env, vec=options.vec, policy=options.policy, log=options.log
    )
    config.env.num_envs = options.env.num_envs
    config.env.params = chosen_params(spec, options.env, config.env)
    config.validate()

    pufferl = _require_trainer()
    trainer = pufferl.make_trainer(spec.name, config=config, resume_from=options.resume)
    if trainer.finished:
        print(f"nothing to do: {trainer.global_step} steps are done; --train.total-timesteps sets how many to do.")
        return 0
    try:
        pufferl.run(trainer)
    except KeyboardInterrupt:
        saved = trainer.last_checkpoint
        message = f"saved {saved}; go on with --resume {saved}" if saved else "nothing was learned yet"
        raise KeyboardInterrupt(message) from None
    if trainer.league is not None and trainer.league.standings.scores.any():
        _print_standings(trainer.league.standings)
    if trainer.solved:
        print(f"solved: the last 100 episodes returned {trainer.statistics.mean_return:.1f} on average")
    print(f"saved {trainer.last_checkpoint}")
    return 0


def _print_standings(standings: Any) -> None:
    ratings = standings.ratings()
    print(f"{'self at step':>14}{'Elo':>8}{'games':>8}{'won':>8}")
    games = standings.scores + standings.scores.T
    for step, rating, played, won in zip(standings.steps, ratings, games.sum(1), standings.scores.sum(1), strict=True):
        print(f"{step:14,}{rating:8.0f}{played:8.0f}{won / max(played, 1):8.0%}")


def _train_options(spec: registry.EnvSpec, config: Config) -> Any:
    """The options of training ``spec``, with ``config`` as their defaults."""
    env_class = env_options(spec, config.env)
    sections: list[tuple[str, Any, Any]] = [
        ("train", TrainConfig, config.train),
        ("env", env_class, None),
        ("vec", VecConfig, config.vec),
        ("policy", PolicyConfig, config.policy),
        ("log", LogConfig, config.log),
    ]
    resume = Annotated[str | None, tyro.conf.arg(help="A checkpoint's or run's folder, or \"latest\", to go on from.")]
    fields: list[Any] = [(name, cls, _default(cls, value)) for name, cls, value in sections]
    fields.append(("resume", resume, field(default=None)))
    options = dataclasses.make_dataclass("TrainOptions", fields)
    options.__doc__ = f"Train a policy on {spec.name} with PPO."
    return options


def _default(cls: type, value: Any) -> Any:
    return field(default_factory=cls if value is None else lambda: dataclasses.replace(value))


def _saved_config(env_name: str, args: list[str]) -> Config | None:
    """The configuration of the run that ``--resume`` in ``args`` goes on with; None without."""

    @dataclass
    class Where:
        resume: str | None = None
        data_dir: Annotated[str, tyro.conf.arg(name="train.data-dir")] = TrainConfig.data_dir

    where, _ = tyro.cli(Where, args=[a for a in args if a not in ("-h", "--help")], return_unknown_args=True)
    if where.resume is None:
        return None
    _require_trainer()
    from puffer_numba import checkpoint

    return checkpoint.load(checkpoint.find(where.resume, env_name, where.data_dir)).config


# -- eval -----------------------------------------------------------------------------------------------


@dataclass
class _Eval:
    """Run a trained policy, and print mean, standard deviation, minimum and maximum of return and length."""

    checkpoint: str = "latest"
    """A checkpoint's or run's folder, or "latest": the newest of this environment."""
    episodes: int | None = None
    """How many to run; by default 100, or 1 where they are shown or recorded."""
    deterministic: bool = False
    """Take the likeliest action, instead of drawing one."""
    render_mode: Literal["human"] | None = None
    """human: show a window."""
    gif: Path | None = None
    """Record the first episode to this file."""
    fps: int = 50
    """Frames for each second, shown and recorded."""
    seed: int = 0
    """Of environments and actions."""
    data_dir: str = TrainConfig.data_dir
    """Where "latest" looks for checkpoints."""


def _eval(args: list[str]) -> int:
    if _wants_help(args):
        _parse(_Eval, "puffer eval NAME", args)
    spec, args = _take_name("eval", args)
    env_class = env_options(spec, None)
    cls = dataclasses.make_dataclass(
        "EvalOptions", [("env", env_class, field(default_factory=env_class))], bases=(_Eval,)
    )
    cls.__doc__ = _Eval.__doc__
    options: Any = _parse(cls, f"puffer eval {spec.name}", args)
    pufferl = _require_trainer()
    named = {f.name: getattr(options, f.name) for f in dataclasses.fields(_Eval)}
    changed = chosen_params(spec, options.env, None)
    result = pufferl.eval(spec.name, overrides={f"env.{name}": v for name, v in changed.items()}, **named)
    print(f"{spec.name}: {len(result.returns)} episodes of {result.checkpoint}")
    print(f"{'':8}{'mean':>12}{'std':>12}{'min':>12}{'max':>12}")
    for name, row in result.summary().items():
        print(f"{name:8}{row['mean']:12.2f}{row['std']:12.2f}{row['min']:12.2f}{row['max']:12.2f}")
    if options.gif is not None:
        print(f"recorded {options.gif}")
    return 0


# -- bench, check, list ---------------------------------------------------------------------------------


@dataclass
class _Bench:
    """Measure steps per second of environments: on threads, or of those that are not compiled in processes."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Names of environments."""
    num_envs: str | None = None
    """Numbers of copies to measure, separated by commas; by default 1,64,4096,65536, and fewer in processes."""
    json: Path | None = None
    """Write the results to this file too."""


def _bench(args: list[str]) -> int:
    options = _parse(_Bench, "puffer bench", args)
    if not options.names:
        _take_name("bench", [])
    for name in options.names:
        _creator(name)
    from puffer_numba.bench import main as bench

    bench(options.names, _numbers(options.num_envs), options.json)
    return 0


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise APIUsageError(f"--num-envs is {text!r}; expected positive integers, such as 1,64,4096.")
    return numbers


@dataclass
class _Autotune:
    """Measure the settings of vector.make that make sense on this machine; print them, and the fastest."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the environment."""
    seconds: float = 30.0
    """Time for all measurements."""
    max_envs: int | None = None
    """Largest number of copies; by default as many as memory has room for, up to 65536 that are compiled, or 256."""
    max_workers: int | None = None
    """Largest number of processes; by default as many as there are cores."""
    json: Path | None = None
    """Write the results to this file too."""


def _autotune(args: list[str]) -> int:
    if not _wants_help(args):
        _take_name("autotune", args)
    options = _parse(_Autotune, "puffer autotune", args)
    result = vector.autotune(
        options.name,
        seconds=options.seconds,
        max_envs=options.max_envs,
        max_workers=options.max_workers,
        json_path=options.json,
    )
    if result.command:
        print(f"\n{result.command}")
    return 0


@dataclass
class _Check:
    """Look for mistakes in an environment: spaces, resets, leaks, seeding; whether its loop was vectorized, or how it
    is flattened."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the environment."""


def _check(args: list[str]) -> int:
    if not _wants_help(args):
        _take_name("check", args)
    options = _parse(_Check, "puffer check", args)
    from puffer_numba.jit.check import check, print_findings
    from puffer_numba.vector.check import check_python

    creator = _creator(options.name)
    if is_jit(creator):
        with creator(num_envs=1) as env:
            findings = check(env)
    else:
        findings = check_python(creator)
    print_findings(options.name, findings)
    problems = sum(finding.level == "problem" for finding in findings)
    print(f"{options.name}: {problems} problem{'s' * (problems != 1)} in {len(findings)} checks")
    return 1 if problems else 0


@dataclass
class _Play:
    """Play an environment with the keyboard."""

    fps: int | None = None
    """Steps for each second; by default the environment's own."""
    seed: int | None = None
    """Of the environment; by default another one each time."""


def _play(args: list[str]) -> int:
    if _wants_help(args):
        _parse(_Play, "puffer play NAME", args)
    spec, args = _take_name("play", args)
    if not issubclass(spec.env_class, JitEnv):
        raise APIUsageError(
            f"puffer play is for environments of this library; gymnasium.utils.play is for {spec.name}."
        )
    env_class = env_options(spec, None)
    cls = dataclasses.make_dataclass(
        "PlayOptions", [("env", env_class, field(default_factory=env_class))], bases=(_Play,)
    )
    cls.__doc__ = _Play.__doc__
    options: Any = _parse(cls, f"puffer play {spec.name}", args)
    from puffer_numba.play import play

    params = chosen_params(spec, options.env, None)
    params.pop("num_envs", None)
    with registry.make(spec.name, num_envs=1, seed=options.seed, **params) as env:
        play(env, options.fps)  # type: ignore[arg-type]
    return 0


@dataclass
class _List:
    """Print the environments there are, with what they observe and how they act."""


def _list(args: list[str]) -> int:
    _parse(_List, "puffer list", args)
    rows: list[tuple[str, ...]] = []
    for name in registry.list_envs():
        lines = (registry.spec(name).env_class.__doc__ or "").strip().splitlines() or [""]
        with registry.make(name, num_envs=1) as env:
            space = env.single_observation_space
            rows.append((name, f"{space.dtype} {tuple(space.shape)}", _brief(env.single_action_space), lines[0]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        start = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        summary = row[-1]
        room = shutil.get_terminal_size((200, 24)).columns - len(start) - 2
        print(f"{start}  {summary if len(summary) <= room else summary[: max(0, room - 3)] + '...'}")
    return 0


def _brief(space: Any) -> str:
    """An action space, of a Box the shape alone."""
    return f"Box {space.shape}" if isinstance(space, Box) else str(space)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "eval": _eval,
    "bench": _bench,
    "autotune": _autotune,
    "check": _check,
    "play": _play,
    "list": _list,
}

if __name__ == "__main__":
    raise SystemExit(main())
