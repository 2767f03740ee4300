"""How much memory there is: what cannot fit is refused by its size, before the system ends the process for it."""

from __future__ import annotations

import os
from pathlib import Path

from puffer_numba.errors import APIUsageError

_SMALL = 2**28  # bytes that are not worth looking


def available() -> int:
    """Bytes that a process can still take here: what the system says is available, or its control group allows."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):  # with what is cached of files
                free = int(line.split()[1]) * 1024
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        free = min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no such file; "max", which is no limit
        pass
    return free


def check_room(what: str, nbytes: int, fix: str) -> None:
    """See that ``nbytes`` fit into memory.

    Args:
        what: would take them.
        fix: what to do where they do not.

    Raises:
        APIUsageError: they do not.
    """
    if nbytes > _SMALL and nbytes > (free := available()):
        raise APIUsageError(f"{what} would take {_size(nbytes)} of memory; {_size(free)} are available. {fix}")


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:,.1f} GiB"
