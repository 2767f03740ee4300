"""Optional parts of the library: a missing one is reported with the command that installs it."""

from __future__ import annotations

import importlib
import importlib.util
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
        raise _missing(module, extra, purpose) from error


def require_installed(module: str, extra: str, purpose: str) -> None:
    """The same without the import, for what another process needs.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise _missing(module, extra, purpose)


def _missing(module: str, extra: str, purpose: str) -> MissingExtra:
    package = module.split(".")[0]
    return MissingExtra(f'{purpose} needs {package}: pip install "puffer_numba[{extra}]"', name=package)
