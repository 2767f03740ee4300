"""The command ``puffer``; each subcommand is a module of `puffer_numba.cli.commands`.

Bad input ends in one line and exit code 2; what went wrong while working, in a traceback. Only the commands that train
or run a policy import torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from puffer_numba.cli.aliases import help_text
from puffer_numba.env import APIUsageError
from puffer_numba.extras import MissingExtra

USAGE = """\
usage: puffer COMMAND [NAME] [OPTIONS]

Reinforcement-learning environments at the speed of C, and a PPO trainer for them.

  puffer new NAME [OPTIONS]       write a small environment to start from, and its test
  puffer list                     list the environments
  puffer train NAME [OPTIONS]     train a policy
  puffer eval NAME [OPTIONS]      run a trained policy: statistics, a window, a GIF
  puffer export NAME [OPTIONS]    save a trained policy as ONNX, torch.export or TorchScript
  puffer push NAME REPO_ID        upload a trained policy to the Hugging Face Hub
  puffer pull REPO_ID             download a trained policy
  puffer sweep NAME [OPTIONS]     search for the hyperparameters that learn best in a given time
  puffer plot RUN... [OPTIONS]    draw learning curves
  puffer play NAME                play an environment with the keyboard
  puffer bench NAME... [OPTIONS]  measure steps per second
  puffer profile NAME [OPTIONS]   show where a training step spends its time
  puffer autotune NAME [OPTIONS]  find the fastest way to run copies of an environment on this machine
  puffer check NAME               look for mistakes in an environment

NAME is a name from the list, which may begin with puffer_, or my_walk.py:MyWalk, gym:LunarLander-v3,
gymvec:CartPole-v1, envpool:Pong-v5, pettingzoo:mpe2.simple_spread_v3, my_package.my_module:make_env. Its arguments
are options: --env.gravity 1.6.
For all options: puffer COMMAND --help, puffer train NAME --help. For example:

  puffer new my_walk
  puffer train my_walk.py:MyWalk
  puffer train cartpole --train.learning-rate 1e-3 --env.num-envs 64 --env.gravity 1.6
  puffer eval cartpole --episodes 20 --gif cartpole.gif
  puffer autotune gym:LunarLander-v3

An option has the same names in every command. These have several, PufferLib's among them:

"""

COMMANDS = (
    "new",
    "train",
    "eval",
    "export",
    "push",
    "pull",
    "sweep",
    "plot",
    "play",
    "bench",
    "profile",
    "autotune",
    "check",
    "list",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default the process's own; the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(USAGE + help_text())
        return 0 if args else 2
    command, rest = args[0], args[1:]
    try:
        if command not in COMMANDS:
            raise APIUsageError(f"no command {command!r}; there are {', '.join(COMMANDS)}.")
        with _warnings_in_one_line():
            code = int(import_module(f"puffer_numba.cli.commands.{command}").run(rest))
    except (APIUsageError, MissingExtra, OSError) as error:
        if os.environ.get("RANK", "0") == "0":  # torchrun starts several processes, which all say the same
            print(f"puffer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print("; ".join(["puffer: interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        if "torch" in sys.modules:  # which Python would spend most of a second on taking down; everything is closed
            _exit_at_once(130)
        return 130
    if os.environ.get("WORLD_SIZE", "1") != "1":  # threads of torch.distributed abort some processes on their way out
        _exit_at_once(code)
    return code


def _exit_at_once(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """This library's warnings without file and line of code, which are for those who call it from Python."""
    usual, here = warnings.formatwarning, str(Path(__file__).parents[1])

    def one_line(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if filename.startswith(here):
            return f"puffer: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = one_line
    try:
        yield
    finally:
        warnings.formatwarning = usual
