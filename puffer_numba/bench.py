"""Steps per second of environments, measured through ``env.step`` with random actions, resets and statistics on."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from puffer_numba import registry
from puffer_numba.env import PufferEnv
from puffer_numba.jit.threads import MAX_THREADS

_ROUNDS = 9
_SECONDS_PER_ROUND = 0.1
_ACTION_SETS = 16


@dataclass(frozen=True)
class Measurement:
    """One row of the table. Rates count agent steps: ``num_agents`` for each call of ``step``."""

    env: str
    num_envs: int
    threads: int
    steps_per_second: float
    """Median over the rounds."""
    slowest: float
    fastest: float
    microseconds_per_call: float
    """Of ``env.step``, at the median."""
    first_call_seconds: float
    """Construction, reset and first step: compilation, or loading from the cache."""
    bytes_per_env: float
    """All arrays of the environment: state, random streams, statistics, buffers."""


def measure(name: str, num_envs: int, threads: int, **params: Any) -> Measurement:
    """Measure ``num_envs`` copies of the environment called ``name``, on this many threads.

    Raises:
        APIUsageError: no such environment or parameter.
        ValueError: more threads than Numba was started with.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        started = time.perf_counter()
        env = registry.make(name, num_envs=num_envs, **params)
        env.reset(seed=0)
        actions = random_actions(env, _ACTION_SETS)
        env.step(actions[0])
        first_call = time.perf_counter() - started
        rates = sorted(_rounds(env, actions))
    finally:
        numba.set_num_threads(before)
    median = statistics.median(rates)
    return Measurement(
        env=name,
        num_envs=num_envs,
        threads=threads,
        steps_per_second=median,
        slowest=rates[0],
        fastest=rates[-1],
        microseconds_per_call=env.num_agents / median * 1e6,
        first_call_seconds=first_call,
        bytes_per_env=env.nbytes / num_envs,
    )


def random_actions(env: PufferEnv, count: int) -> list[NDArray[Any]]:
    """``count`` batches of actions drawn from the action space, of the dtype of ``env.actions``."""
    env.action_space.seed(0)
    return [np.ascontiguousarray(env.action_space.sample(), env.actions.dtype) for _ in range(count)]


def _rounds(env: PufferEnv, actions: Sequence[NDArray[Any]]) -> Iterator[float]:
    """Agent steps per second, round by round; the first round warms up and is left out."""
    calls = 64
    for round_ in range(_ROUNDS + 1):
        started = time.perf_counter()
        for k in range(calls):
            env.step(actions[k % _ACTION_SETS])
        elapsed = time.perf_counter() - started
        if round_ > 0:
            yield calls * env.num_agents / elapsed
        calls = max(16, int(calls * _SECONDS_PER_ROUND / max(elapsed, 1e-6)))


def main(names: Sequence[str], num_envs: Sequence[int], json_path: str | Path | None = None) -> list[Measurement]:
    """Measure every combination, on one thread and on all, print a table, and write JSON if asked to.

    Raises:
        APIUsageError: an unknown name; before anything is measured.
        OSError: ``json_path`` cannot be written; before anything is measured.
    """
    from rich.console import Console
    from rich.live import Live

    for name in names:
        registry.spec(name)
    if json_path is not None:
        Path(json_path).open("a").close()
    threads = sorted({1, MAX_THREADS})
    results: list[Measurement] = []
    with Live(_table(results), console=Console()) as live:
        for name in names:
            for n in num_envs:
                for count in threads:
                    results.append(measure(name, n, count))
                    live.update(_table(results))
    if json_path is not None:
        Path(json_path).write_text(json.dumps(_report(results), indent=2) + "\n")
    return results


def _table(results: Iterable[Measurement]) -> Any:
    from rich.table import Table

    table = Table(title="millions of steps per second: median, and slowest to fastest round", title_justify="left")
    table.add_column("environment", no_wrap=True)
    for column in ("envs", "threads", "M/s", "spread", "us/call", "first s", "B/env"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        table.add_row(
            r.env,
            f"{r.num_envs}",
            f"{r.threads}",
            f"{r.steps_per_second / 1e6:.2f}",
            f"{r.slowest / 1e6:.1f}-{r.fastest / 1e6:.1f}",
            f"{r.microseconds_per_call:.2f}",
            f"{r.first_call_seconds:.2f}",
            f"{r.bytes_per_env:.0f}",
        )
    return table


def _report(results: Iterable[Measurement]) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numba", "numpy", "gymnasium", "puffer_numba")},
        "threads_available": MAX_THREADS,
        "results": [asdict(result) for result in results],
    }
