"""Which of a run's checkpoints are kept: the last few, the best, and all that were asked for.

Those that a run saves by itself, every so often or when it is interrupted, are marked as automatic, with the score of
the policy at that moment, in their ``state.json``. Only these are ever deleted.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from puffer_numba.runs.checkpoint import best_of, read_data, score_of


class Rotation:
    """The automatic checkpoints of one run.

    Args:
        folder: of the run, which may have some from before it was resumed.
        keep: how many of the newest are kept, besides the best; 0: all.
        spared: the one that the run was resumed from, which stays.
    """

    def __init__(self, folder: Path, keep: int, spared: Path | None = None) -> None:
        self._keep = keep
        self._scores = {
            path: score_of(data)
            for path in folder.glob("checkpoint_*")
            if (data := read_data(path)).get("automatic") and (spared is None or path.resolve() != spared.resolve())
        }

    def add(self, path: Path, data: dict[str, Any]) -> None:
        """Take note of a checkpoint that was just saved, and delete what is no longer to be kept."""
        self._scores.pop(path, None)
        if data["automatic"]:
            self._scores[path] = score_of(data)
        newest = sorted(self._scores)[-self._keep :]
        best = best_of(self._scores)
        for old in [old for old in self._scores if old not in (*newest, best)]:
            del self._scores[old]
            _delete(old)


def _delete(path: Path) -> None:
    """Out of sight at once, as it takes a moment: nobody is to find half of a checkpoint."""
    hidden = path.with_name(f".{path.name}.old")
    with contextlib.suppress(OSError):
        path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
