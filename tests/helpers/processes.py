"""Looking at other processes."""

from __future__ import annotations

import time
from pathlib import Path


def gone(pid: int, within: float = 2.0) -> bool:
    """Whether a process is no more, or only waits for its parent to be told so."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def descendants(pid: int) -> set[int]:
    """Of a process that may end while it is looked at."""
    found: set[int] = set()
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= {int(child)} | descendants(int(child))
    except OSError:
        pass
    return found
