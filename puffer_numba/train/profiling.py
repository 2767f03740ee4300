"""Where a training step spends its time: as a table, and as a trace for chrome://tracing or ui.perfetto.dev."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from puffer_numba.train.phases import NETWORK, OTHER
from puffer_numba.train.trainer import Trainer

_WARM_UP = 2  # rollouts, which compile what must be compiled
_TRACED = 2  # rollouts; a browser shows no more


@dataclass
class Profile:
    """Times of some training steps.

    Attributes:
        seconds, calls: of each phase; together the seconds are all of the time.
        rollouts, steps: that were collected and learned from; steps are summed over rows.
    """

    seconds: dict[str, float]
    calls: dict[str, int]
    rollouts: int
    steps: int

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    @property
    def overhead(self) -> float:
        """Share of the time that is neither the network's forward, backward nor optimizer step, 0 to 1."""
        return 1 - sum(self.seconds.get(phase, 0.0) for phase in NETWORK) / self.total

    def table(self) -> Iterator[str]:
        """Lines of text: each phase's share, time for each rollout, and calls."""
        yield f"{'phase':<20}{'share':>8}{'ms a rollout':>14}{'calls a rollout':>17}"
        for phase, seconds in sorted(self.seconds.items(), key=lambda item: -item[1]):
            milliseconds, calls = 1e3 * seconds / self.rollouts, self.calls[phase] / self.rollouts
            yield f"{phase:<20}{seconds / self.total:>8.1%}{milliseconds:>14.3f}{calls:>17.1f}"
        yield f"{'together':<20}{'':>8}{1e3 * self.total / self.rollouts:>14.3f}"


def profile(trainer: Trainer, seconds: float = 5.0) -> Profile:
    """Train for about ``seconds``, and measure each phase; two rollouts before that compile what must be compiled.

    Args:
        trainer: new, or in the middle of its run.
        seconds: of measurement; at least one rollout is measured.
    """
    phases = trainer.phases
    for _ in range(_WARM_UP):
        _train_once(trainer)
    if trainer.device.type == "cuda":
        phases.synchronize = torch.cuda.synchronize
    phases.reset()
    rollouts, first_step, begin = 0, trainer.global_step, time.perf_counter()
    while rollouts == 0 or time.perf_counter() - begin < seconds:
        with phases(OTHER):
            _train_once(trainer)
        rollouts += 1
    phases.synchronize = None
    measured = {phase: time for phase, time in phases.seconds.items() if phases.calls[phase]}
    return Profile(measured, dict(phases.calls), rollouts, trainer.global_step - first_step)


def save_trace(trainer: Trainer, path: str | Path) -> None:
    """Train a little more under `torch.profiler`, and write its trace: the phases, and torch's operators in them."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if trainer.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        trainer.phases.tracing = True
        for _ in range(_TRACED):
            _train_once(trainer)
        trainer.phases.tracing = False
    profiler.export_chrome_trace(str(path))


def _train_once(trainer: Trainer) -> None:
    trainer.evaluate()
    trainer.train()
