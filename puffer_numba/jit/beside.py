"""What stands in a file of its own beside an environment's rules: how it is drawn, and how it is trained.

`JitEnv` has these as attributes that are looked up when they are asked for. A class attribute of the same name comes
first, as Python finds it without asking.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from puffer_numba import presets

_SUITE = "puffer_numba.envs"


class Preset:
    """``train_config`` of a class that has none: the preset of the suite's environment that it is or derives from."""

    def __get__(self, instance: Any, owner: type) -> dict[str, Any]:
        for cls in owner.__mro__:
            package, _, name = cls.__module__.rpartition(".")
            if package == _SUITE and name in presets.names():
                return presets.settings(name)
        return {}


class Drawing:
    """An attribute of a class that has none: that of ``drawing/NAME.py`` beside its module ``NAME.py``.

    A function has the attribute's name there, a constant that name in capitals. Where a class has no such file, or the
    file no such name, its base's is taken, or else the default. The file is imported when it is first needed.
    """

    def __init__(self, default: Any = None) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._names = (name, name.upper())

    def __get__(self, instance: Any, owner: type) -> Any:
        for cls in owner.__mro__:
            drawing = vars(_drawing_module(cls.__module__) or object)
            for name in self._names:
                if name in drawing:
                    return drawing[name]
        return self._default


@cache
def _drawing_module(module: str) -> ModuleType | None:
    """``package.drawing.name`` for ``package.name``, if there is one."""
    package, _, name = module.rpartition(".")
    folders = getattr(sys.modules.get(package), "__path__", None)
    found = None
    for found_name in (f"{package}.drawing", f"{package}.drawing.{name}"):
        # without importing it: it may be somebody's module that has nothing to do with this
        found = PathFinder.find_spec(found_name, folders) if folders else None
        folders = found.submodule_search_locations if found else None
    return import_module(found.name) if found else None
