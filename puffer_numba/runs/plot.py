"""Learning curves of runs: one metric by steps and by time, as mean and spread over runs that differ in their seed.

All comes from the metrics.csv that every run writes. Its settings, which tell what the run belongs with, are in its
``run.json`` or in its checkpoints.
"""

from __future__ import annotations

import csv
import json
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from puffer_numba.errors import APIUsageError, close_matches
from puffer_numba.extras import require
from puffer_numba.runs import folder as runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
RETURN = "environment/episode_return"
IGNORED = ("train.seed", "train.data_dir", "train.checkpoint_interval", "train.keep_checkpoints", "log.")
"""Settings, or beginnings of their names, in which runs of one group may differ."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
DASHES = ("-", "--", ":")
"""Of the first groups, of those for which there is no colour left, and so on."""
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "legend.fontsize": "small",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "puffer_numba",  # and the same runs give the same file
}
POINTS = 400
CAPTION = "Thick: mean over runs that differ only in their seed. Shaded: the lowest to the highest. Thin: each run."


@dataclass
class Curve:
    """One metric over one run."""

    path: Path
    """Of the metrics.csv."""
    steps: Floats
    seconds: Floats
    """Since training began; the time between an end and a resumption does not count."""
    values: Floats
    settings: dict[str, Any] = field(default_factory=dict)
    """By dotted name; empty where they are unknown."""
    label: str | None = None
    """Of its group, as given by the caller."""

    @property
    def environment(self) -> str:
        """The environment's name: as in the settings, or that of the folder which has its runs."""
        return str(self.settings.get("env_name") or self.path.resolve().parent.parent.name)


def plot(
    paths: Sequence[str | Path],
    out: str | Path = "curves.png",
    *,
    metric: str = RETURN,
    smooth: int = 1,
    labels: Sequence[str] = (),
    title: str | None = None,
) -> list[Path]:
    """Draw a row of two panels for each environment: ``metric`` by steps and by time.

    Runs that differ in their seed alone are one group. A group of several is drawn as their mean, interpolated to
    common points from where the last of them begins to where the first of them ends; the band goes from the lowest to
    the highest.

    Args:
        paths: runs' folders, folders of runs, files like metrics.csv.
        out: a file; both a PNG and an SVG of that name are written.
        metric: a column of metrics.csv, or what follows the slash in its name.
        smooth: each point becomes the mean of so many logged values around it.
        labels: one for each path; its runs are then a group, whatever their settings.
        title: above everything.

    Returns:
        The files written.

    Raises:
        APIUsageError: no runs there, or none with the metric.
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", "plot", "drawing curves")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if smooth < 1:
        raise APIUsageError(f"smooth is {smooth}; expected at least 1.")
    if labels and len(labels) != len(paths):
        raise APIUsageError(f"there are {len(labels)} labels for {len(paths)} paths; expected one for each.")
    files = _files(Path(out))
    environments = _groups(_curves(paths, metric, smooth, labels))
    with rc_context(STYLE):
        figure = Figure(figsize=(10, 3.4 * len(environments) + 0.4), layout="constrained")
        axes = figure.subplots(len(environments), 2, squeeze=False, sharey="row")
        for row, (environment, groups) in zip(axes, environments.items(), strict=True):
            _draw_row(row, environment, groups, metric.rpartition("/")[2].replace("_", " "))
        if any(len(curves) > 1 for groups in environments.values() for curves in groups.values()):
            figure.supxlabel(CAPTION, fontsize="small", color="0.4")
        if title:
            figure.suptitle(title)
        for file in files:
            figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else {})
    return files


def _files(out: Path) -> list[Path]:
    if out.suffix not in ("", ".png", ".svg"):
        raise APIUsageError(f"the file to write is {out}; expected a name that ends in .png or .svg: both are written.")
    out.parent.mkdir(parents=True, exist_ok=True)
    return [out.with_suffix(".png"), out.with_suffix(".svg")]


# -- reading ----------------------------------------------------------------------------------------------


def _curves(paths: Sequence[str | Path], metric: str, smooth: int, labels: Sequence[str]) -> list[Curve]:
    """Those of all runs at ``paths``. Runs that cannot be used are skipped with a warning, if there are others."""
    curves: dict[Path, Curve] = {}
    unusable: list[str] = []
    for k, path in enumerate(paths):
        for file in _find(Path(path)):
            try:
                curve = read_curve(file, metric)
            except APIUsageError as error:
                unusable.append(str(error))
                continue
            curve.values = _smoothed(curve.values, smooth)
            curve.label = labels[k] if labels else None
            curves[file.resolve()] = curve
    if not curves:
        raise APIUsageError(unusable[0] if unusable else "no runs to plot.")
    for reason in unusable:
        warnings.warn(f"left out: {reason}", stacklevel=3)
    return list(curves.values())


def _find(path: Path) -> list[Path]:
    """The metrics.csv at, in or anywhere below ``path``."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise APIUsageError(f"there is no {path}; expected a run's folder, a folder of runs, or a {runs.METRICS}.")
    found = sorted(path.rglob(runs.METRICS))
    if not found:
        raise APIUsageError(f"no run in {path}: neither there nor below is a {runs.METRICS}.")
    return found


def read_curve(path: Path, metric: str = RETURN) -> Curve:
    """One metric of the run whose metrics.csv is at ``path``, where it was logged.

    Of steps that a resumed run did again, the later ones count.

    Raises:
        APIUsageError: the file is empty, has no such metric, or is something else.
    """
    try:
        return _read_curve(path, metric)
    except ValueError as error:
        raise APIUsageError(f"{path} is no {runs.METRICS} of a run: {error}.") from error


def _read_curve(path: Path, metric: str) -> Curve:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(line for line in file if line.endswith("\n"))  # not one that was cut short
        columns, lines = list(reader.fieldnames or ()), list(reader)
    if not lines or "step" not in columns:
        raise APIUsageError(f"{path} has no metrics of a run in it.")
    points: list[tuple[float, float, float]] = []
    name, offset, latest = _column(metric, columns, path), 0.0, 0.0
    for line in lines:
        step, value = float(line["step"]), float(line[name] or "nan")
        uptime = float(line.get("uptime") or "nan")
        while points and points[-1][0] >= step:
            points.pop()
        if uptime < latest:  # resumed: the clock has started again
            offset = points[-1][1] if points else 0.0
        latest = uptime
        if math.isfinite(value):
            points.append((step, offset + uptime, value))
    if not points:
        raise APIUsageError(f"{path} has no value of {name}.")
    steps, seconds, values = np.array(points).T
    return Curve(path, steps, seconds, values, _flat(_config(path.parent)))


def _column(metric: str, columns: list[str], path: Path) -> str:
    matching = [name for name in columns if name == metric or name.rpartition("/")[2] == metric]
    if matching:
        return matching[0]
    short = {name.rpartition("/")[2]: name for name in columns}
    close = [short.get(name, name) for name in close_matches(metric, [*columns, *short])]
    hint = f"did you mean {' or '.join(dict.fromkeys(close))}?" if close else f"it has {', '.join(columns)}."
    raise APIUsageError(f"no metric {metric!r} in {path}; {hint}")


def _config(folder: Path) -> dict[str, Any]:
    """The configuration of the run in ``folder``, from wherever it can be had; empty where it cannot."""
    config = runs.read(folder).get("config")
    for state in sorted(folder.glob("checkpoint_*/state.json"), reverse=True):
        if config is not None:
            break
        try:
            config = json.loads(state.read_text(encoding="utf-8")).get("config")
        except (OSError, ValueError):
            continue
    return config or {}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _smoothed(values: Floats, window: int) -> Floats:
    """Means over ``window`` values around each, at the ends over those that there are."""
    ones = np.ones(min(window, len(values)))
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def _groups(curves: Sequence[Curve]) -> dict[str, dict[str, list[Curve]]]:
    """By environment and label."""
    environments: dict[str, list[Curve]] = {}
    for curve in curves:
        environments.setdefault(curve.environment, []).append(curve)
    groups: dict[str, dict[str, list[Curve]]] = {}
    for environment, members in environments.items():
        differing = _differing([curve.settings for curve in members if curve.settings])
        of_environment = groups.setdefault(environment, {})
        for curve in members:
            label = _own_label(curve, differing) if curve.label is None else curve.label
            of_environment.setdefault(label, []).append(curve)
    return groups


def _own_label(curve: Curve, differing: Sequence[str]) -> str:
    """What sets the run apart from others: its settings, or where they are unknown its folder."""
    if not curve.settings:
        return curve.path.resolve().parent.name
    return ", ".join(f"{name}={curve.settings[name]}" for name in differing)


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of settings that all have, and in which some differ; without those that make no other experiment."""
    common = [name for name in settings[0] if all(name in other for other in settings)] if settings else []
    return [
        name
        for name in common
        if not name.startswith(IGNORED) and any(other[name] != settings[0][name] for other in settings)
    ]


# -- drawing ----------------------------------------------------------------------------------------------


def on_common_points(xs: Sequence[Floats], ys: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Curves interpolated linearly to ``POINTS`` common points: where all of them are; none where that is nowhere.

    Returns:
        The points, float64 (points,), and the values there, float64 (curves, points).
    """
    first, last = max(float(x[0]) for x in xs), min(float(x[-1]) for x in xs)
    points = np.linspace(first, last, POINTS) if first < last else np.empty(0)
    return points, np.stack([np.interp(points, x, y) for x, y in zip(xs, ys, strict=True)])


def _draw_row(row: Sequence[Axes], environment: str, groups: Mapping[str, list[Curve]], metric: str) -> None:
    from matplotlib.ticker import EngFormatter

    by_steps, by_time = row
    longest = max(float(curve.seconds[-1]) for curves in groups.values() for curve in curves)
    unit, scale = _time_unit(longest)
    for k, (label, curves) in enumerate(groups.items()):
        count = f"{len(curves)} run{'s' * (len(curves) > 1)}"
        name = textwrap.fill(f"{label} ({count})" if label else count, 50)
        look = {"color": COLORS[k % len(COLORS)], "linestyle": DASHES[k // len(COLORS) % len(DASHES)]}
        _draw(by_steps, [curve.steps for curve in curves], curves, name, look)
        _draw(by_time, [curve.seconds / scale for curve in curves], curves, name, look)
    by_steps.set_title(environment, loc="left", fontweight="bold")
    by_steps.set_xlabel("steps")
    by_steps.xaxis.set_major_formatter(EngFormatter(sep=""))
    by_steps.set_ylabel(metric)
    by_time.set_xlabel(unit)
    for axes in row:
        axes.set_xlim(left=0)
    by_steps.legend()


def _draw(axes: Axes, xs: Sequence[Floats], curves: Sequence[Curve], label: str, look: dict[str, Any]) -> None:
    ys = [curve.values for curve in curves]
    if len(curves) == 1:
        axes.plot(xs[0], ys[0], linewidth=1.8, label=label, **look)
        return
    for x, y in zip(xs, ys, strict=True):
        axes.plot(x, y, linewidth=0.6, alpha=0.5, **look)
    points, values = on_common_points(xs, ys)
    axes.fill_between(points, values.min(0), values.max(0), color=look["color"], alpha=0.2, linewidth=0)
    axes.plot(points, values.mean(0), linewidth=2, label=label, **look)


def _time_unit(seconds: float) -> tuple[str, float]:
    """What to measure so many seconds in, and the seconds in it."""
    if seconds > 2 * 3600:
        return "hours", 3600.0
    return ("minutes", 60.0) if seconds > 5 * 60 else ("seconds", 1.0)
