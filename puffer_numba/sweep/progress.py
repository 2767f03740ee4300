"""What a sweep shows while it runs: a table on a terminal, one line for each trial elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from puffer_numba.runs.dashboard import number
from puffer_numba.sweep.study import Trial, score_text

_ENDED = 8  # trials that stay in sight


@dataclass(frozen=True)
class Running:
    """A trial that is being trained."""

    number: int
    used: float
    """Part of its budget, 0 to 1."""
    progress: float | None
    settings: Mapping[str, Any]


class Progress(Protocol):
    """Shows the progress of a sweep."""

    def running(self, running: Sequence[Running]) -> None:
        """What is trained now; called several times each second."""

    def ended(self, trial: Trial, best: Trial | None, done: int) -> None:
        """A trial ended, as number ``done``; ``best`` is the best so far."""

    def close(self) -> None:
        """Leave the last state on display, and give the terminal back."""


def make_progress(title: str, total: int, console: Console | None = None) -> Progress:
    """A `LiveProgress` where the output is a terminal, else a `PlainProgress`."""
    console = console or Console()
    return (LiveProgress if console.is_terminal and not console.is_dumb_terminal else PlainProgress)(
        title, total, console
    )


class PlainProgress:
    """One line for each trial that ends."""

    def __init__(self, title: str, total: int, console: Console | None = None) -> None:
        self.title, self.total, self.console = title, total, console or Console()
        self._began = False

    def running(self, running: Sequence[Running]) -> None:
        """Print the title, the first time."""
        if not self._began:
            self._print(self.title)
            self._began = True

    def ended(self, trial: Trial, best: Trial | None, done: int) -> None:
        """Print a line."""
        record = f"best {score_text(best)} (trial {best.number})" if best else "none complete yet"
        self._print(f"{done}/{self.total} trial {trial.number} {describe(trial)} | {record} | {brief(trial.settings)}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held back."""


class LiveProgress:
    """A table that is redrawn in place: what runs, and what ended last."""

    def __init__(self, title: str, total: int, console: Console | None = None) -> None:
        self.title, self.total = title, total
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)
        self._done = 0
        self._best: Trial | None = None
        self._ended: deque[Trial] = deque(maxlen=_ENDED)

    def running(self, running: Sequence[Running]) -> None:
        """Redraw."""
        self._live.start()
        self._live.update(self.render(running), refresh=True)

    def ended(self, trial: Trial, best: Trial | None, done: int) -> None:
        """Keep, to be drawn next time."""
        self._ended.append(trial)
        self._best, self._done = best, done

    def render(self, running: Sequence[Running]) -> RenderableType:
        """The sweep as a progress bar above a line for each trial."""
        best = f"best {score_text(self._best)}, trial {self._best.number}" if self._best else "none complete yet"
        head = Text.assemble((f"{self._done}", "bold"), f" of {self.total} trials", ("   " + best, "bold green"))
        table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="cyan")
        for name in ("trial", "", "settings"):
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if name == "settings" else None)
        for trial in self._ended:
            table.add_row(str(trial.number), describe(trial), brief(trial.settings), style="dim")
        for job in running:
            state = "starting" if job.used == 0 else f"{job.used:4.0%}"
            state += "" if job.progress is None else f"  return {number(job.progress)}"
            table.add_row(str(job.number), state, brief(job.settings))
        bar = ProgressBar(total=self.total, completed=min(self._done, self.total))
        return Panel(
            Group(head, bar, Text(), table), title=f"[bold]puffer_numba[/] [cyan]{self.title}[/]", padding=(1, 2)
        )

    def close(self) -> None:
        """Take the table away; results are printed in its place."""
        self._live.stop()


def describe(trial: Trial) -> str:
    """How a trial ended."""
    if trial.state == "failed":
        return f"failed: {trial.error}"
    seconds = "" if trial.seconds is None else f" after {trial.seconds:.1f} s"
    return f"pruned at {score_text(trial)}{seconds}" if trial.state == "pruned" else f"{score_text(trial)}{seconds}"


def brief(settings: Mapping[str, Any]) -> str:
    """Settings in one line, without their sections."""
    return " ".join(f"{name.rpartition('.')[2]}={value}" for name, value in settings.items())
