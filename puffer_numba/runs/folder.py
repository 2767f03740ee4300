"""The folder of a run. Its ``run.json`` has the configuration, and the id by which tracking services know the run."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from puffer_numba.config import Config

RUN, METRICS = "run.json", "metrics.csv"


def record(folder: Path, config: Config) -> str:
    """Write ``config`` into the run's ``folder``; the run's id, which stays the same when it is resumed there.

    Raises:
        OSError: the file cannot be written.
    """
    run_id = read(folder).get("id") or uuid.uuid4().hex[:12]
    write_whole(folder / RUN, json.dumps({"id": run_id, "config": config.to_dict()}, indent=1) + "\n")
    return run_id


def read(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says; nothing where it is missing or damaged."""
    try:
        data = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_whole(path: Path, text: str) -> None:
    """Replace the file at ``path``. Where that fails, the old one stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
