"""What a training run shows: a live table on a terminal, one line for each interval elsewhere."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


@dataclass
class Snapshot:
    """The state of a run at one moment."""

    env_name: str
    global_step: int
    total_timesteps: int
    steps_per_second: float
    uptime: float
    """Seconds since training began."""
    epoch: int
    """Rollouts done; 0 before training begins, when nothing is known but the sizes."""
    description: str = ""
    """Sizes of batch, storage and network."""
    profile: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each part."""
    losses: dict[str, float] = field(default_factory=dict)
    statistics: dict[str, float] = field(default_factory=dict)
    """Of the episodes: episode_return, episode_length, episodes, and the environment's own."""
    evaluation: dict[str, float] = field(default_factory=dict)
    """Of the last evaluation: episode_return, episode_length, episodes; empty before the first."""

    def shown_statistics(self) -> dict[str, float]:
        """The statistics, and the mean return of the last evaluation."""
        evaluated = {"evaluated": self.evaluation["episode_return"]} if self.evaluation else {}
        return self.statistics | evaluated

    @property
    def remaining(self) -> float:
        """Seconds until total_timesteps, at the present speed; infinite before the first step."""
        left = max(0, self.total_timesteps - self.global_step)
        return left / self.steps_per_second if self.steps_per_second > 0 else float("inf")

    def shares(self) -> dict[str, float]:
        """Each part's share of the time spent, 0 to 1."""
        total = sum(self.profile.values()) or 1.0
        return {name: seconds / total for name, seconds in self.profile.items()}


class Dashboard(Protocol):
    """Shows snapshots of a run."""

    def update(self, snapshot: Snapshot) -> None:
        """Show the run as it is now."""

    def close(self) -> None:
        """Leave the last state on display, and give the terminal back."""


def make_dashboard(console: Console | None = None) -> Dashboard:
    """A `LiveDashboard` where the output is a terminal that can redraw, else a `PlainDashboard`."""
    console = console or _Console()
    moves = console.is_terminal and not console.is_dumb_terminal
    return LiveDashboard(console) if moves else PlainDashboard(console)


class _Console(Console):
    """One that says that nobody reads any more; rich would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise `BrokenPipeError`."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class PlainDashboard:
    """One line for each update."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _Console()
        self._began = False

    def update(self, snapshot: Snapshot) -> None:
        """Print one line; before the first, the sizes of the run."""
        if not self._began:
            self._print(f"{snapshot.env_name}: {snapshot.description}")
            self._began = True
        if snapshot.epoch > 0:
            self._print(plain_line(snapshot))

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held back."""


class LiveDashboard:
    """A table that is redrawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(), auto_refresh=False, transient=False)

    def update(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._live.start()
        self._live.update(render(snapshot), refresh=True)

    def close(self) -> None:
        """Stop redrawing; the last table stays."""
        self._live.stop()


def plain_line(snapshot: Snapshot) -> str:
    """The run in one line of text."""
    speed, left = number(snapshot.steps_per_second), duration(snapshot.remaining)
    shares = " ".join(f"{name} {share:.0%}" for name, share in snapshot.shares().items())
    statistics = " ".join(f"{name} {number(value)}" for name, value in snapshot.shown_statistics().items())
    percent = min(1.0, snapshot.global_step / snapshot.total_timesteps)
    return (
        f"{snapshot.uptime:7.1f}s {percent:4.0%} step {number(snapshot.global_step)} "
        f"{speed} steps/s left {left} | {statistics} | {shares}"
    )


def render(snapshot: Snapshot) -> RenderableType:
    """The run as a table of three columns below a progress bar."""
    columns = Table.grid(expand=True, padding=(0, 2))
    for _ in range(3):
        columns.add_column(ratio=1)
    shares = {name: f"{share:.0%}" for name, share in snapshot.shares().items()}
    columns.add_row(
        _section("episodes", {name: number(value) for name, value in snapshot.shown_statistics().items()}),
        _section("losses", {name: number(value) for name, value in snapshot.losses.items()}),
        _section("time", shares),
    )
    bar = ProgressBar(total=snapshot.total_timesteps, completed=min(snapshot.global_step, snapshot.total_timesteps))
    head = Table.grid(expand=True, padding=(0, 2))
    for _ in range(4):
        head.add_column(ratio=1)
    head.add_row(
        _pair("steps", f"{number(snapshot.global_step)} / {number(snapshot.total_timesteps)}"),
        _pair("steps/s", number(snapshot.steps_per_second)),
        _pair("time", duration(snapshot.uptime)),
        _pair("left", duration(snapshot.remaining)),
    )
    title = f"[bold]puffer_numba[/] [cyan]{snapshot.env_name}[/]"
    return Panel(Group(head, bar, Text(), columns), title=title, subtitle=snapshot.description, padding=(1, 2))


def _pair(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "bold"))


def _section(title: str, values: dict[str, str]) -> Table:
    table = Table(box=None, expand=True, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(title, header_style="cyan", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in values.items():
        table.add_row(name.replace("_", " "), value)
    return table


def number(value: float) -> str:
    """Four digits or fewer, with a suffix from ten thousand on."""
    size = abs(value)
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if limit <= size < float("inf"):
            return f"{value / min(limit, 1e3 if suffix == 'k' else limit):.4g}{suffix}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """As hours, minutes and seconds; a dash where nothing is known."""
    if not seconds < float("inf"):
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"
