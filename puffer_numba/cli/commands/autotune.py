"""``puffer autotune``: find the fastest way to run copies of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from puffer_numba import vector
from puffer_numba.cli.arguments import parse, take_name, wants_help


@dataclass
class Autotune:
    """Measure the settings of vector.make that make sense on this machine; print them, and the fastest."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the environment."""
    seconds: float = 30.0
    """Time for all measurements."""
    max_envs: int | None = None
    """Largest number of copies; by default as many as memory has room for, up to 65536 that are compiled, or 256."""
    max_workers: int | None = None
    """Largest number of processes; by default as many as there are cores."""
    json: Path | None = None
    """Write the results to this file too."""


def run(args: list[str]) -> int:
    if not wants_help(args):
        take_name("autotune", args)
    options = parse(Autotune, "puffer autotune", args)
    result = vector.autotune(
        options.name,
        seconds=options.seconds,
        max_envs=options.max_envs,
        max_workers=options.max_workers,
        json_path=options.json,
    )
    if result.command:
        print(f"\n{result.command}")
    return 0
