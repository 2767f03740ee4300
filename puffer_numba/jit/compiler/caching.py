"""Where Numba keeps what it has compiled, where it finds no place by itself: a read-only installation and home.

Numba writes beside the source, or else into the user's cache folder, and raises where it can write to neither.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

import numba

_VARIABLE = "NUMBA_CACHE_DIR"


def find_place() -> None:
    """Have Numba keep compiled code in a folder for temporary files, if it can write to none of its own.

    Raises:
        ImportError: that folder cannot be written either.
    """
    try:
        numba.njit(_probe, cache=True)
    except RuntimeError as error:
        folder = _temporary()
        if folder is None:
            raise ImportError(
                f"compiled code cannot be kept anywhere: neither the folder of puffer_numba, nor the home, nor "
                f"{tempfile.gettempdir()} can be written to. {_VARIABLE} names a folder for it."
            ) from error
        os.environ[_VARIABLE] = folder  # processes that this one starts use it, too
        numba.config.reload_config()
        print(
            f"puffer_numba: compiled code is kept in {folder}, as neither the installation nor the home can be written "
            f"to; {_VARIABLE} names another folder.",
            file=sys.stderr,
        )


def _probe() -> None:
    pass


def _temporary() -> str | None:
    """A folder that is this user's alone: what lies in it is executed."""
    try:
        path = Path(tempfile.gettempdir(), f"puffer_numba-{os.getuid()}")
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            path = Path(tempfile.mkdtemp(prefix="puffer_numba-"))
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return None
    return str(path)
