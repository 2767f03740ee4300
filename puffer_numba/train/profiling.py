"""Where a training step spends its time: as a table, and as a trace for chrome://tracing or ui.perfetto.dev.

The methods of one trainer are wrapped in clocks, so that a trainer that is not profiled pays nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from puffer_numba.train.trainer import PuffeRL

ACTING, LEARNING, BACKWARD, OPTIMIZER = "forward, acting", "forward, learning", "loss and backward", "optimizer"
TORCH = (ACTING, LEARNING, BACKWARD, OPTIMIZER)
OTHER = "other"
MOST_EVENTS = 200_000  # of a trace; a browser shows no more


@dataclass
class Profile:
    """Times of some training steps.

    Attributes:
        seconds: by part; together they are all of the time.
        calls: how often each part ran.
        rollouts, steps: that were collected and learned from; steps are summed over rows.
        events: ``(part, begin, seconds)`` of each run of a part, in order of their ends.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    rollouts: int = 0
    steps: int = 0
    events: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())

    @property
    def overhead(self) -> float:
        """Share of the time that is neither torch's forward, backward nor optimizer step, 0 to 1."""
        return 1 - sum(self.seconds.get(part, 0.0) for part in TORCH) / self.total

    def table(self) -> Iterator[str]:
        """Lines of text: each part's share, time for each rollout, and calls."""
        yield f"{'part':<20}{'share':>8}{'ms a rollout':>14}{'calls a rollout':>17}"
        for part, seconds in sorted(self.seconds.items(), key=lambda item: -item[1]):
            milliseconds, calls = 1e3 * seconds / self.rollouts, self.calls[part] / self.rollouts
            yield f"{part:<20}{seconds / self.total:>8.1%}{milliseconds:>14.3f}{calls:>17.1f}"
        yield f"{'together':<20}{'':>8}{1e3 * self.total / self.rollouts:>14.3f}"

    def save_trace(self, path: str | Path) -> None:
        """Write the events in Chrome's trace format."""
        begin = min((start for _, start, _ in self.events), default=0.0)
        events = [
            {"name": part, "ph": "X", "ts": 1e6 * (start - begin), "dur": 1e6 * seconds, "pid": 0, "tid": 0}
            for part, start, seconds in self.events
        ]
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))


class _Clock:
    """Adds up the time of nested parts; that of an inner part does not count for the outer one."""

    def __init__(self, profile: Profile, synchronize: Callable[[], None]) -> None:
        self.profile, self._synchronize = profile, synchronize
        self._running: list[str] = []
        self._inner: list[float] = []  # seconds of the parts within each part that is running

    def measure(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time counts for ``part``."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            if self._running and self._running[-1] == part:  # it calls itself
                return function(*args, **kwargs)
            self._running.append(part)
            self._inner.append(0.0)
            begin = time.perf_counter()
            try:
                result = function(*args, **kwargs)
                self._synchronize()
                return result
            finally:
                self._end(part, begin)

        return measured

    def _end(self, part: str, begin: float) -> None:
        taken, profile = time.perf_counter() - begin, self.profile
        own = taken - self._inner.pop()
        self._running.pop()
        if self._inner:
            self._inner[-1] += taken
        profile.seconds[part] = profile.seconds.get(part, 0.0) + own
        profile.calls[part] = profile.calls.get(part, 0) + 1
        if len(profile.events) < MOST_EVENTS:
            profile.events.append((part, begin, taken))


def profile(trainer: PuffeRL, seconds: float = 5.0) -> Profile:
    """Train for about ``seconds``, and measure each part; two rollouts before that compile what must be compiled.

    Args:
        trainer: new, or in the middle of its run; it is not to be used any more afterwards.
        seconds: of measurement; at least one rollout is measured.
    """
    for _ in range(2):
        trainer.evaluate()
        trainer.train()
    result = Profile()
    clock = _Clock(result, _synchronizer(trainer.device))
    _wrap(trainer, clock)
    evaluate, train = clock.measure(OTHER, trainer.evaluate), clock.measure(OTHER, trainer.train)
    first_step, begin = trainer.global_step, time.perf_counter()
    while result.rollouts == 0 or time.perf_counter() - begin < seconds:
        evaluate()
        train()
        result.rollouts += 1
    result.steps = trainer.global_step - first_step
    return result


def _wrap(trainer: PuffeRL, clock: _Clock) -> None:
    """Put a clock around each part of ``trainer``."""
    parts: list[tuple[Any, str, str]] = [
        (trainer.collector, "_step", "environment"),
        (trainer.collector, "_store", "copy"),
        (trainer, "_batch", "copy"),
        (trainer.collector.actor, "act", ACTING),
        (trainer.collector.actor, "look", ACTING),
        (trainer.distribution, "sample", "drawing actions"),
        (trainer.distribution, "to_env", "drawing actions"),
        (trainer.statistics, "add", "statistics"),
        (trainer, "_scale_rewards", "advantages"),
        (trainer, "_advantages", "advantages"),
        (trainer, "_evaluate_actions", LEARNING),
        (trainer, "_backward", BACKWARD),
        (trainer, "_step_optimizers", OPTIMIZER),
        (trainer.world, "average_gradients", "other processes"),
        (trainer, "mean_and_log", "logging"),
        (trainer, "print_dashboard", "logging"),
        (trainer, "save_checkpoint", "saving"),
    ]
    if trainer.collector.is_asynchronous:
        parts += [(trainer.vecenv, "send", "environment"), (trainer.vecenv, "recv", "environment")]
    for owner, method, part in parts:
        setattr(owner, method, clock.measure(part, getattr(owner, method)))
    draw = trainer._draw_minibatches
    trainer._draw_minibatches = clock.measure("shuffling", lambda: iter(list(draw())))  # type: ignore[method-assign]


def _synchronizer(device: torch.device) -> Callable[[], None]:
    """What waits until ``device`` has done what it was told, so that its time counts for who told it."""
    if device.type == "cuda":
        return torch.cuda.synchronize
    return lambda: None
