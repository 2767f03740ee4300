"""``puffer plot``: draw learning curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from puffer_numba.cli.arguments import parse
from puffer_numba.env import APIUsageError


@dataclass
class Plot:
    """Draw learning curves, by steps and by time: of runs that differ only in their seed, the mean, the lowest and the
    highest; of several environments, a row each."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Runs' folders, folders of runs such as runs/cartpole, files like metrics.csv."""
    out: Path = Path("curves.png")
    """File to write; a PNG and an SVG of that name are."""
    metric: str = "environment/episode_return"
    """Column of metrics.csv, or what follows the slash in its name."""
    smooth: int = 1
    """Each point becomes the mean of so many logged values around it."""
    labels: tuple[str, ...] = ()
    """One for each of the runs or folders; by default, the settings that differ."""
    title: str | None = None
    """Above everything."""


def run(args: list[str]) -> int:
    options = parse(Plot, "puffer plot", args)
    if not options.runs:
        raise APIUsageError(
            "puffer plot needs a run's folder, a folder of runs such as runs/cartpole, or a metrics.csv."
        )
    from puffer_numba.runs.plot import plot

    files = plot(
        options.runs,
        options.out,
        metric=options.metric,
        smooth=options.smooth,
        labels=options.labels,
        title=options.title,
    )
    print(f"drew {' and '.join(map(str, files))}")
    return 0
