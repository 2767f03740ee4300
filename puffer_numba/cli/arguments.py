"""Reading command lines: what all commands share."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from puffer_numba import registry, vector
from puffer_numba.env import APIUsageError
from puffer_numba.extras import require
from puffer_numba.naming import FORMS, load_spec

Parsed = TypeVar("Parsed")


def parse(cls: type[Parsed], prog: str, args: Sequence[str]) -> Parsed:
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


def take_name(command: str, args: list[str]) -> tuple[registry.EnvSpec, list[str]]:
    """The environment that the first argument names, and the other arguments."""
    if not args or args[0].startswith("-"):
        raise APIUsageError(
            f"puffer {command} needs the name of an environment: {FORMS}. Registered: "
            f"{', '.join(registry.list_envs())}."
        )
    name = args[0]
    _look_here()
    return load_spec(name), args[1:]


def creator_of(name: str) -> Callable[..., Any]:
    """What makes the environment called ``name``, which may be in a module of the current folder."""
    _look_here()
    return vector.env_creator(name)


def _look_here() -> None:
    """Import from the current folder too, as ``python -m`` does, but not an installed command."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def wants_help(args: list[str]) -> bool:
    return bool(args) and args[0] in ("-h", "--help")


def require_trainer() -> Any:
    """The module `puffer_numba.pufferl`, once everything it needs is known to be there."""
    for module in ("torch", "safetensors"):
        require(module, "train", "training")
    from puffer_numba import pufferl

    return pufferl


def given_names(args: Sequence[str]) -> set[str]:
    """Dotted names of the settings that ``args`` set, to whatever value."""
    options = (arg.lstrip("-").partition("=")[0].replace("-", "_") for arg in args if arg.startswith("--"))
    return {option.replace(".no_", ".") for option in options if "." in option}
