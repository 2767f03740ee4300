"""Optional parts of the library: a missing one is reported with the command that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtra(ImportError):
    """An optional part of the library is not installed; the message has the command that installs it."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module``, which ``pip install "puffer_numba[extra]"`` brings.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra(
            f'{purpose} needs {module.split(".")[0]}: pip install "puffer_numba[{extra}]"', name=error.name
        ) from error
