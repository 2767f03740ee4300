"""The one timer of everything here.

Contestants take turns, round by round, so that a change of the machine's speed hits all alike. What counts is the
ratio within a round, whose median is taken; absolute figures drift with the machine, and are for orientation.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

Step = Callable[[], object]
"""One call of what is measured."""

_BATCH = 64  # calls between two looks at the clock, at most


class Contestant(NamedTuple):
    """Something to be measured."""

    step: Step
    steps: int = 1
    """Steps that one call does, summed over environments and agents; moves, where agents take turns."""


class Speed(NamedTuple):
    """What one contestant did, over the rounds."""

    median: float
    """Steps per second."""
    slowest: float
    fastest: float
    ratio: float
    """How many times as fast the first contestant is: the median over the rounds."""


def rate(contestant: Contestant, seconds: float) -> float:
    """Steps per second over about this long, and one call at least."""
    step = contestant.step
    calls, elapsed, started = 0, 0.0, time.perf_counter()
    while calls == 0 or elapsed < seconds:
        batch = min(max(calls, 1), _BATCH)
        for _ in range(batch):
            step()
        calls += batch
        elapsed = time.perf_counter() - started
    return calls * contestant.steps / elapsed


def take_turns(
    contestants: Mapping[str, Contestant], rounds: int = 7, seconds: float = 0.15, before: Callable[[str], None] = str
) -> dict[str, Speed]:
    """Measure all in turns, after a round that does not count: it compiles, and fills caches.

    Args:
        contestants: by name; ratios are of the first one's speed to each.
        rounds: that count.
        seconds: of each contestant in each round.
        before: called with a contestant's name before its turn, such as to set the number of threads.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, contestant in contestants.items():
            before(name)
            rates[name].append(rate(contestant, seconds))
    counted = {name: measured[1:] for name, measured in rates.items()}
    first = next(iter(counted.values()))
    return {
        name: Speed(
            statistics.median(measured),
            min(measured),
            max(measured),
            statistics.median(a / b for a, b in zip(first, measured, strict=True)),
        )
        for name, measured in counted.items()
    }


def machine() -> dict[str, object]:
    """The processor, how many cores there are for us, how busy they are, and versions: what a figure depends on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("numba", "numpy", "gymnasium", "torch")},
    }


def described() -> str:
    """`machine` in one line."""
    facts = machine()
    versions = ", ".join(f"{name} {facts[name]}" for name in ("python", "numba", "numpy", "gymnasium", "torch"))
    return f"{facts['processor']}, {facts['cores']} cores, load {facts['load']} at the start; {versions}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
