"""``puffer new``: write a small environment to start from, and its test."""

from __future__ import annotations

import keyword
import re
import shlex
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import tyro

from puffer_numba.cli.arguments import parse
from puffer_numba.env import APIUsageError


@dataclass
class New:
    """Write a small environment that works, and its test, to start from: for NAME my_walk, my_walk.py and
    test_my_walk.py."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """What the file is to be called, in lower case: my_walk."""
    multi_agent: bool = False
    """One of two agents."""
    continuous: bool = False
    """One whose actions are numbers, not choices."""
    folder: Path = Path()
    """Where to write; by default here."""


def run(args: list[str]) -> int:
    options = parse(New, "puffer new", args)
    kind = {
        (False, False): "discrete",
        (False, True): "continuous",
        (True, False): "multi_agent",
        (True, True): "multi_agent_continuous",
    }[options.multi_agent, options.continuous]
    class_name = "".join(part[:1].upper() + part[1:] for part in options.name.split("_"))
    templates = files("puffer_numba.cli") / "templates"
    texts = {
        options.folder / f"{prefix}{options.name}.py": (templates / f"{prefix}{kind}.py.txt").read_text(
            encoding="utf-8"
        )
        for prefix in ("", "test_")
    }
    _check_free(texts)
    _check_name(options.name, class_name, "".join(texts.values()))
    options.folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text.replace("MyWalk", class_name).replace("my_walk", options.name))
    environment, test = texts
    print(f"wrote {environment} and {test}. Next:\n")
    for command in ("check", "train", "play", "bench"):
        print(shlex.join(["puffer", command, f"{environment}:{class_name}"]))
    return 0


def _check_name(name: str, class_name: str, text: str) -> None:
    """Raise unless the module and the class can be called so."""
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        raise APIUsageError(
            f"puffer new: NAME is {name!r}; expected a name for a module of Python: letters, digits and '_', a letter "
            "first, and no word of the language, such as my_walk."
        )
    if re.search(rf"\b{class_name}\b", text.replace("MyWalk", "")):
        raise APIUsageError(
            f"puffer new: the class would be called {class_name}, as something that its file uses; choose another name."
        )
    spec = find_spec(name)
    if spec is not None and spec.origin is not None and Path(spec.origin).parent != Path.cwd():
        raise APIUsageError(
            f"puffer new: {name}.py would hide the module {name!r} that is installed; choose another name."
        )


def _check_free(paths: dict[Path, str]) -> None:
    taken = [str(path) for path in paths if path.exists()]
    if taken:
        raise APIUsageError(f"puffer new: {' and '.join(taken)} would be overwritten; choose another name or --folder.")
