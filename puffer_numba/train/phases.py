"""Where the time of training goes: seconds of each phase, and marks in torch's own profiler."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

import torch

ENVIRONMENT, COPY = "environment", "copy"
ACTING, SAMPLING = "forward, acting", "sampling actions"
STATISTICS, ADVANTAGES, MINIBATCHES = "statistics", "advantages", "minibatches"
LEARNING, BACKWARD, OPTIMIZER = "forward, learning", "loss and backward", "optimizer"
COMMUNICATION, LOGGING, SAVING = "other processes", "logging", "saving"
COMPILED = "learning, compiled"
EVALUATING = "evaluation"
OTHER = "other"

NETWORK = (ACTING, LEARNING, BACKWARD, OPTIMIZER, COMPILED)
"""Phases that are the network's forward, backward and optimizer step: torch's, or compiled."""


class Phases:
    """Adds up the time of phases; that of an inner phase does not count for the outer one.

    ::

        with phases(LEARNING):
            ...

    Attributes:
        seconds, calls: of each phase so far.
        tracing: whether `torch.profiler` is running and is to see the phases.
        synchronize: called at the end of each phase, so that what a GPU was told to do counts for who told it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.tracing = False
        self.synchronize: Callable[[], None] | None = None
        self._known: dict[str, _Phase] = {}
        self._running: list[str] = []
        self._since = 0.0

    def __call__(self, name: str) -> _Phase:
        """A context in which time counts for ``name``."""
        phase = self._known.get(name)
        if phase is None:
            phase = self._known[name] = _Phase(self, name)
            self.seconds[name], self.calls[name] = 0.0, 0
        return phase

    def reset(self) -> None:
        """Count from 0."""
        self.seconds.update(dict.fromkeys(self.seconds, 0.0))
        self.calls.update(dict.fromkeys(self.calls, 0))

    def total(self, *names: str) -> float:
        """Seconds of these phases together."""
        return sum(self.seconds.get(name, 0.0) for name in names)

    def _enter(self, name: str) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._running.append(name)
        self._since = now

    def _exit(self) -> None:
        if self.synchronize is not None:
            self.synchronize()
        now, name = time.perf_counter(), self._running.pop()
        self.seconds[name] += now - self._since
        self.calls[name] += 1
        self._since = now


class _Phase:
    """One phase, to be entered again and again, but not within itself."""

    __slots__ = ("_name", "_phases", "_record")

    def __init__(self, phases: Phases, name: str) -> None:
        self._phases, self._name = phases, name
        self._record: torch.profiler.record_function | None = None

    def __enter__(self) -> None:
        if self._phases.tracing:
            self._record = torch.profiler.record_function(self._name)
            self._record.__enter__()
        self._phases._enter(self._name)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._phases._exit()
        if self._record is not None:
            self._record.__exit__(exc_type, exc, tb)
            self._record = None
