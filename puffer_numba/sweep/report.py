"""What a sweep found: a table, the settings to train with, and plots of its history and of what mattered."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from puffer_numba.config import SECTIONS, Config
from puffer_numba.naming import load_spec
from puffer_numba.options import env_params, option_words
from puffer_numba.runs.dashboard import number
from puffer_numba.sweep.study import Trial, best_of, score_text, trials_of
from puffer_numba.train.setup import load_config

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 20  # of the table that is printed
_WIDE = 10_000  # columns, where nothing limits them
_BLUE, _GREY, _ORANGE = "#1f77b4", "#b0b0b0", "#ff7f0e"


@dataclass(frozen=True)
class SweepResult:
    """What a study has come to so far.

    Attributes:
        study: Optuna's own, for everything else that it can do.
        trials: complete ones first, the best of them at the top; then those that were pruned, and the others.
        best: the first of them; None where none is complete.
        overrides: what ``best`` was trained with, as `load_config` and `puffer_numba.pufferl.train` take it.
        command: the command that trains with them.
        folder: where `write` puts the files.
    """

    study: optuna.Study
    trials: list[Trial]
    best: Trial | None
    overrides: dict[str, Any]
    command: str
    folder: Path

    @classmethod
    def of(cls, study: optuna.Study, config: Config, folder: Path) -> SweepResult:
        """Of a study whose trials started from ``config``."""
        trials = trials_of(study)
        best = best_of(trials)
        overrides = {} if best is None else _overrides(config, best)
        return cls(study, trials, best, overrides, train_command(config.env_name, overrides), folder)

    def importances(self) -> dict[str, float]:
        """How much each parameter matters for a trial to be among the best, by falling share; they add up to 1.

        Names are Optuna's, such as ``log2(train.horizon)``. Empty where scores are too few to tell, or all alike.
        """
        scores = [trial.score for trial in self.trials if trial.state == "complete"]
        if len(scores) < 4 or len(set(scores)) < 2:
            return {}
        return dict(optuna.importance.get_param_importances(self.study))

    def write(self) -> list[Path]:
        """Write trials.csv, and where there is a best trial best.json, history and importance as HTML and PNG.

        Returns:
            The files.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        files = [self._write_csv()]
        if self.best is not None:
            files.append(self.folder / "best.json")
            files[-1].write_text(json.dumps(self.overrides, indent=2, default=str) + "\n")
            files += self._write_plots("history", self._draw_history)
            if self.importances():
                files += self._write_plots("importance", self._draw_importance)
        return files

    def _write_csv(self) -> Path:
        path = self.folder / "trials.csv"
        names = self._names()
        columns = ["trial", "state", "score", "return", "seconds", "steps", *names, "error"]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for t in self.trials:
                settings = [t.settings.get(name) for name in names]
                writer.writerow([t.number, t.state, t.score, t.mean_return, t.seconds, t.steps, *settings, t.error])
        return path

    def _names(self) -> list[str]:
        """Settings that were searched, the most important first."""
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.settings))
        weights = self.importances()
        return sorted(names, key=lambda name: -max((w for label, w in weights.items() if name in label), default=0.0))

    # -- on the terminal ------------------------------------------------------------------------------------

    def print(self, console: Console | None = None) -> None:
        """Print the table, as wide as the terminal, and the command that trains with the best settings."""
        console = console or Console()
        names = self._names()
        if console.is_terminal:
            wide = console.options.update_width(_WIDE)
            while names and Measurement.get(console, wide, self._table(names)).maximum > console.width:
                names.pop()
        else:
            console = Console(file=console.file, width=_WIDE)
        say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
        if any(trial.score is not None for trial in self.trials):
            console.print(self._table(names))
        if self._has_target:
            say("score: the mean return, or where that reached the target, the target plus the part of the budget left")
        counts = Counter(trial.state for trial in self.trials)
        say(", ".join(f"{count} {state}" for state, count in counts.items()) or "no trials")
        failed = next((trial for trial in reversed(self.trials) if trial.state == "failed" and trial.counts), None)
        if failed is not None:
            say(f"trial {failed.number} failed: {failed.error}")
        if self.best is not None:
            say(f"\nthe best settings, of trial {self.best.number}, with plots in {self.folder}:\n{self.command}")

    @property
    def _has_target(self) -> bool:
        return any(map(self._reached_target, self.trials))

    def _reached_target(self, trial: Trial) -> bool:
        target = self.study.user_attrs.get("setup", {}).get("train.target_return")
        return target is not None and trial.score is not None and trial.score > target

    def _table(self, names: list[str]) -> Table:
        """Best first, with a column for each of the settings ``names``."""
        shown = [trial for trial in self.trials if trial.score is not None][:_ROWS]
        columns: dict[str, Callable[[Trial], str]] = {"trial": lambda t: str(t.number), "score": score_text}
        if self._has_target:
            columns["return"] = lambda t: "-" if t.mean_return is None else number(t.mean_return)
        columns["seconds"] = lambda t: "-" if t.seconds is None else f"{t.seconds:.2f}"
        columns["steps"] = lambda t: "-" if t.steps is None else number(t.steps)
        for name in names:
            columns[name.partition(".")[2]] = partial(_setting, name)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
        for title in columns:
            table.add_column(title, justify="right", no_wrap=True)
        for trial in shown:
            style = "bold" if trial is self.best else "dim" if trial.state != "complete" else ""
            table.add_row(*(text(trial) for text in columns.values()), style=style)
        return table

    # -- plots ----------------------------------------------------------------------------------------------

    def _write_plots(self, name: str, draw: Callable[[Figure], None]) -> list[Path]:
        """As a page to look into, by Optuna and Plotly, and as an image, by Matplotlib."""
        from matplotlib.figure import Figure
        from optuna import visualization

        page, image = self.folder / f"{name}.html", self.folder / f"{name}.png"
        plot = {"history": "plot_optimization_history", "importance": "plot_param_importances"}[name]
        label = {"target_name": "score"} if name == "history" else {}
        getattr(visualization, plot)(self.study, **label).write_html(page, include_plotlyjs="directory")
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        figure.suptitle(self.study.study_name)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(image, dpi=120)
        return [page, image]

    def _draw_history(self, figure: Figure) -> None:
        if self._has_target:
            axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
            self._draw_seconds(below)
        else:
            axes = below = figure.subplots()
        points = sorted((t.number, t.score, t.state) for t in self.trials if t.score is not None)
        for kind, color in (("complete", _BLUE), ("pruned", _GREY)):
            some = [(trial, score) for trial, score, state in points if state == kind]
            if some:
                numbers, scores = zip(*some, strict=True)
                axes.scatter(numbers, scores, s=22, color=color, label=kind, zorder=2)
        best, records = float("-inf"), []
        for trial, score, state in points:
            best = max(best, score) if state == "complete" else best
            records.append((trial, best))
        axes.step(*zip(*records, strict=True), where="post", color=_ORANGE, label="best so far", zorder=1)
        axes.set_ylabel("score")
        axes.legend(frameon=False)
        below.set_xlabel("trial")
        below.locator_params(axis="x", integer=True)

    def _draw_seconds(self, axes: Axes) -> None:
        """Of those that reached the target, whose scores are too alike to be told apart above."""
        reached = {t.number: t.seconds for t in self.trials if self._reached_target(t) and t.seconds is not None}
        axes.scatter(list(reached), list(reached.values()), s=22, color=_BLUE)
        axes.set_ylabel("seconds to target")
        axes.set_ylim(bottom=0)

    def _draw_importance(self, figure: Figure) -> None:
        axes, shares = figure.subplots(), dict(reversed(self.importances().items()))
        bars = axes.barh(list(shares), list(shares.values()), color=_BLUE)
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.set_xlabel("importance")
        axes.margins(x=0.1)


def _setting(name: str, trial: Trial) -> str:
    return str(trial.settings.get(name, ""))


def train_command(env_name: str, overrides: dict[str, Any]) -> str:
    """The command line that trains with ``overrides``."""
    return shlex.join(["puffer", "train", env_name, *option_words(overrides)])


def _overrides(config: Config, trial: Trial) -> dict[str, Any]:
    """What sets ``trial`` apart from what `load_config` has for the environment."""
    chosen = Config.from_dict(config.to_dict()).update(trial.settings)
    chosen.train.total_timesteps = trial.total_timesteps or chosen.train.total_timesteps
    new, usual = (_flat(c) for c in (chosen, load_config(config.env_name)))
    return {name: value for name, value in new.items() if value != usual.get(name)}


def _flat(config: Config) -> dict[str, Any]:
    """All settings by dotted name."""
    sections = config.to_dict()
    params = env_params(load_spec(config.env_name)) | sections["env"].pop("params")
    sections["env"] |= params
    return {f"{section}.{key}": value for section in SECTIONS for key, value in sections[section].items()}
