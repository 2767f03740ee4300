"""Environments in files: names such as ``my_walk.py:MyWalk`` or ``path/to/my_walk.py``.

A file is imported as the module that it is for a script beside it: its folder, or that of the outermost package that it
is in, comes onto ``sys.path``. Worker processes start with the same ``sys.path``, so what the file defines reaches them
as what any other module defines does; to other machines it goes by value. A file that has been edited is imported anew
when its name is used again.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cloudpickle
import gymnasium
from pettingzoo import AECEnv, ParallelEnv

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.errors import did_you_mean

_NAME = re.compile(r"(.*\.py)(?::(.*))?")
_imported: dict[str, tuple[Path, int, int]] = {}  # by the name of the module: its file, when it was changed, its size
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{k}" for kind in ("com", "lpt") for k in range(1, 10))}  # of Windows
_BASES = (PufferEnv, gymnasium.Env, ParallelEnv, AECEnv)


class InFile(NamedTuple):
    """An environment in a file."""

    name: str
    """The one that all its names stand for: the file as it is called from the present folder, and what makes it."""
    creator: Callable[..., Any]


def is_file_name(name: str) -> bool:
    """Whether ``name`` is one of a file, or of something in it."""
    return _NAME.fullmatch(name) is not None


def load(name: str) -> InFile:
    """The environment called ``name``: ``FILE:CLASS``, ``FILE:FUNCTION``, or ``FILE`` where it has one environment.

    Raises:
        APIUsageError: there is no such file, or it cannot be imported; or it does not have what is named, or several
            environments where none is.
    """
    path, attribute = _split(name)
    file = _seen_from_here(path)
    module = _import(path, name)
    defined = environments(module)
    if not attribute:
        attribute = _only(defined, name, file)
    found = getattr(module, attribute, None)
    if not callable(found):
        close = did_you_mean(attribute, [n for n in dir(module) if callable(getattr(module, n)) and n[0] != "_"])
        has = f" Its environments: {', '.join(defined)}." if defined else ""
        raise APIUsageError(f"{name}: {file} has no function or class {attribute!r}.{close}{has}")
    return InFile(f"{file}:{attribute}", found)


def only_class(name: str, base: type, kind: str) -> type:
    """The only subclass of ``base`` that the file ``name`` defines.

    Args:
        kind: what such a class is called.

    Raises:
        APIUsageError: there is no such file, it cannot be imported, or it defines none or several.
    """
    path, _ = _split(name)
    module = _import(path, name)
    found = [
        cls
        for attribute, cls in vars(module).items()
        if isinstance(cls, type)
        and issubclass(cls, base)
        and cls.__module__ == module.__name__
        and not attribute.startswith("_")
    ]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found)
        fix = f"say which: {name}:{found[0].__name__}" if found else f"name a class or function: {name}:MyPolicy"
        raise APIUsageError(f"{name}: {_seen_from_here(path)} defines {names or f'no {kind}'}; {fix}.")
    return found[0]


@contextmanager
def by_value() -> Iterator[None]:
    """While this lasts, cloudpickle puts what files define into what it writes, for machines that do not have them."""
    modules = [sys.modules[name] for name in _imported if name in sys.modules]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def environments(module: ModuleType) -> list[str]:
    """Names of the environments that a module defines, in its order, but for private ones."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, _BASES)
        and not issubclass(value, gymnasium.Wrapper)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def run_folder(name: str) -> str:
    """What the folder of an environment's runs is called: its name, in which every file system takes what it holds.

    ``my_walk.MyWalk`` for ``my_walk.py:MyWalk``, ``games.my_walk.MyWalk`` for ``games/my_walk.py:MyWalk``,
    ``gym.LunarLander-v3`` for ``gym:LunarLander-v3``.
    """
    match = _NAME.fullmatch(name)
    path, attribute = match.groups() if match else (name, None)
    parts = [part for part in re.split(r"[/\\:]", path.removesuffix(".py")) if part not in ("", ".", "..")]
    folder = re.sub(r"[^\w.-]", "_", ".".join(filter(None, [*parts, attribute]))).rstrip(".")
    return f"_{folder}" if folder.partition(".")[0].lower() in _DEVICES else folder


def run_folders(data_dir: str | Path, name: str) -> list[Path]:
    """Where an environment's runs are: the folder for new ones, and the one that versions up to 0.1 gave it."""
    folders = [Path(data_dir) / run_folder(name)]
    before = Path(data_dir) / name
    return folders if is_file_name(name) or before == folders[0] else [*folders, before]


def is_same(name: str, other: str) -> bool:
    """Whether two names are one environment's, as far as they can tell: a file may have moved, or be a module."""
    if not (is_file_name(name) or is_file_name(other)):
        return name == other
    return _file_and_attribute(name) == _file_and_attribute(other)


def _file_and_attribute(name: str) -> tuple[str, str]:
    """Of ``games/my_walk.py:MyWalk``, and of the module ``games.my_walk:MyWalk`` that it may be: my_walk and MyWalk."""
    path, _, attribute = name.rpartition(":")
    return re.split(r"[/\\.]", path.removesuffix(".py"))[-1], attribute


def import_failure(name: str, error: BaseException, files: tuple[str, ...]) -> APIUsageError:
    """What to say where importing the environment ``name`` raised ``error``: what, and the line of the user that did.

    Args:
        name: of the environment.
        error: what was raised.
        files: how the paths of the user's files end. The last line that ran in one of them is named.
    """
    return APIUsageError(f"{name} cannot be imported: {where_raised(error, files)}")


def where_raised(error: BaseException, files: tuple[str, ...] = ()) -> str:
    """Line, kind and message of an error: the last line that ran in one of ``files``, or else the last of all."""
    if isinstance(error, SyntaxError) and error.filename:
        where, message = f"{_seen_from_here(Path(error.filename))}:{error.lineno}", error.msg
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
        frame = ([f for f in frames if f.filename.endswith(files)] or frames)[-1]
        where, message = f"{_seen_from_here(Path(frame.filename))}:{frame.lineno}", str(error).strip()
    first = message.splitlines()[0] if message else ""
    return f"{where}: {': '.join(filter(None, [type(error).__name__, first]))}"


def _split(name: str) -> tuple[Path, str]:
    """The file's whole path, and what is named in it, "" for nothing."""
    path, attribute = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
    return Path(os.path.abspath(path)), attribute or ""


def _seen_from_here(path: Path) -> str:
    """The path from the present folder to what is in it; to all else the whole one."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _only(defined: list[str], name: str, file: str) -> str:
    """The only environment of a file."""
    if not defined:
        raise APIUsageError(
            f"{name}: {file} defines no environment; expected a subclass of puffer_numba.JitEnv, or of another "
            f"library's environment. A function that makes one is named as {file}:FUNCTION."
        )
    if len(defined) > 1:
        raise APIUsageError(f"{name}: {file} defines {', '.join(defined)}; say which: {file}:{defined[0]}.")
    return defined[0]


def _import(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        others = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise APIUsageError(f"{name}: there is no file {_seen_from_here(path)}.{did_you_mean(path.name, others)}")
    module_name, root = _module_of(path)
    if "." in path.stem:
        raise APIUsageError(f"{name}: Python cannot import a file with a dot in its name, {path.name}; rename it.")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()  # the file may have just been written
    status = path.stat()
    version = path, status.st_mtime_ns, status.st_size
    before = _imported.get(module_name, version)
    if before[0] == path and before != version:
        sys.modules.pop(module_name, None)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise import_failure(name, error, (str(path),)) from error
    there = getattr(module, "__file__", None)
    if there is None or not os.path.samefile(there, path):
        where = f", {there}" if there else ""
        raise APIUsageError(
            f"{name}: there is another module {module_name!r} in this process already{where}; rename the file."
        )
    _imported[module_name] = version
    return module


def _module_of(path: Path) -> tuple[str, Path]:
    """Name of the module that a file is, and the folder that Python finds it from."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder
