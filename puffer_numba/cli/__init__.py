"""The command ``puffer``; each subcommand is a module of `puffer_numba.cli.commands`.

Bad input ends in one line and exit code 2; what went wrong while working, in a traceback. Only the commands that train
or run a policy import torch.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from puffer_numba.cli.aliases import help_text
from puffer_numba.env import APIUsageError
from puffer_numba.extras import MissingExtra
from puffer_numba.runs.signals import Terminated, termination_raises

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
    try:
        code = _main(argv)
    except SystemExit as end:  # help was printed
        raise SystemExit(_flushed(end.code)) from None
    return int(_flushed(code) or 0)


def _main(argv: Sequence[str] | None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        if not args or args[0] in ("-h", "--help"):
            print(USAGE + help_text())
            return 0 if args else 2
        command, rest = args[0], args[1:]
        if command not in COMMANDS:
            raise APIUsageError(f"no command {command!r}; there are {', '.join(COMMANDS)}.")
        with _warnings_in_one_line(), termination_raises():
            code = int(import_module(f"puffer_numba.cli.commands.{command}").run(rest))
    except (APIUsageError, MissingExtra, OSError) as error:
        if isinstance(error, OSError) and _is_of_stdout(error):
            return _unwritten(error)
        _say(str(error))
        return 2
    except KeyboardInterrupt as interrupt:
        code, said = 130, "; ".join(["interrupted", *map(str, interrupt.args)])
    except Terminated as ended:
        code, said = ended.code, "; ".join(filter(None, [f"ended by {ended.name}", ended.message]))
    else:
        if os.environ.get("WORLD_SIZE", "1") != "1":  # threads of torch.distributed abort some on their way out
            _exit_at_once(code)
        return code
    _say(said)
    if "torch" in sys.modules:  # which Python would spend most of a second on taking down; everything is closed
        _exit_at_once(code)
    return code


def _flushed(code: Any) -> Any:
    """The exit code, ``code`` if all that was printed could be written."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return code


def _unwritten(error: OSError) -> int:
    """The exit code where stdout cannot be written; what is still to be written is dropped.

    Who reads it may have enough, as ``head`` has: that is nothing to be told of, and 141 as of any command there.
    """
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
    if isinstance(error, BrokenPipeError):
        return 128 + signal.SIGPIPE
    _say(f"cannot write the output: {error.strerror}.")
    return 2


def _is_of_stdout(error: BaseException) -> bool:
    """Whether ``error`` came from printing: nobody reads the pipe any more, or the disk is full that it goes to."""
    if isinstance(error, BrokenPipeError):
        poll = select.poll()
        poll.register(1)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    return type(error) is OSError and error.errno == errno.ENOSPC and error.filename is None


def _say(what: str) -> None:
    """One line on stderr; of several processes that torchrun started, which all say the same, from the first."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        if os.environ.get("RANK", "0") == "0":
            print(f"puffer: {what}", file=sys.stderr)


def _exit_at_once(code: int) -> NoReturn:
    gc.collect()  # semaphores of workers that are no more, which multiprocessing would call leaked
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
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
