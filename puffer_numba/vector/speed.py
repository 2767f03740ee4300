"""Steps per second of environments, measured through ``env.step`` with random actions, resets and statistics on."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from puffer_numba import vector
from puffer_numba.env import PufferEnv
from puffer_numba.jit import JitEnv
from puffer_numba.jit.compiler.threads import MAX_THREADS
from puffer_numba.naming import is_jit, makes_batch

NUM_ENVS = (1, 64, 4096, 65536)
NUM_PYTHON_ENVS = (1, 16, 64)
_ROUNDS = 9
_SECONDS_PER_ROUND = 0.1
_ACTION_SETS = 16


@dataclass(frozen=True)
class Measurement:
    """One row of the table. Rates count agent steps: ``num_agents`` for each call of ``step``."""

    env: str
    num_envs: int
    backend: str
    """native, serial or multiprocessing."""
    threads: int
    """That kernels may use; 1 for environments that are not compiled."""
    workers: int
    """Processes besides this one."""
    steps_per_second: float
    """Median over the rounds."""
    slowest: float
    fastest: float
    microseconds_per_call: float
    """Of ``env.step``, at the median."""
    first_call_seconds: float
    """Construction, reset and first step: compilation or loading from the cache, and the start of processes."""
    bytes_per_env: float | None
    """All arrays of the environment: state, random streams, statistics, buffers. None where it is not compiled."""
    params: dict[str, Any] = field(default_factory=dict)
    """Of the environment, where they differ from its own."""


def measure(name: str, num_envs: int, threads: int, **params: Any) -> Measurement:
    """Measure ``num_envs`` copies of the compiled environment called ``name``, on this many threads.

    Raises:
        APIUsageError: no such environment or parameter.
        ValueError: more threads than Numba was started with.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        return _measure(name, num_envs, "native", threads, env_kwargs=params)
    finally:
        numba.set_num_threads(before)


def measure_python(name: str, num_envs: int, backend: str, **params: Any) -> Measurement:
    """Measure ``num_envs`` copies of an environment that is not compiled, in this process or in workers.

    Args:
        backend: "serial"; "multiprocessing", with as many workers as there are cores; of a vector environment "native".

    Raises:
        APIUsageError: no such environment or parameter.
        WorkerError: an environment failed.
    """
    return _measure(name, num_envs, backend, 1, env_kwargs=params)


def _measure(name: str, num_envs: int, backend: str, threads: int, **options: Any) -> Measurement:
    started = time.perf_counter()
    with vector.make(name, num_envs=num_envs, backend=backend, **options) as env:
        env.reset(seed=0)
        actions = random_actions(env, _ACTION_SETS)
        env.step(actions[0])
        first_call = time.perf_counter() - started
        rates = sorted(_rounds(env, actions))
        median = statistics.median(rates)
        return Measurement(
            env=name,
            num_envs=num_envs,
            backend=backend,
            threads=threads,
            workers=getattr(env, "num_workers", 0),
            steps_per_second=median,
            slowest=rates[0],
            fastest=rates[-1],
            microseconds_per_call=env.num_agents / median * 1e6,
            first_call_seconds=first_call,
            bytes_per_env=env.nbytes / num_envs if isinstance(env, JitEnv) else None,
            params=dict(options["env_kwargs"]),
        )


def random_actions(env: PufferEnv, count: int) -> list[NDArray[Any]]:
    """``count`` batches of actions sampled from the action space, of the dtype of ``env.actions``."""
    env.action_space.seed(0)
    return [np.ascontiguousarray(env.action_space.sample(), env.actions.dtype) for _ in range(count)]


def _rounds(env: PufferEnv, actions: Sequence[NDArray[Any]]) -> Iterator[float]:
    """Agent steps per second, round by round, once it is warm and known how many calls a round takes."""

    def seconds_of(calls: int) -> float:
        started = time.perf_counter()
        for k in range(calls):
            env.step(actions[k % _ACTION_SETS])
        return time.perf_counter() - started

    calls = 1
    while (elapsed := seconds_of(calls)) < _SECONDS_PER_ROUND / 2:
        calls *= 2
    calls = max(1, int(calls * _SECONDS_PER_ROUND / elapsed))
    for _ in range(_ROUNDS):
        yield calls * env.num_agents / seconds_of(calls)


def main(
    names: Sequence[str],
    num_envs: Sequence[int] | None = None,
    json_path: str | Path | None = None,
    params: Mapping[str, Any] | None = None,
) -> list[Measurement]:
    """Measure every combination, print a table, and write JSON if asked to.

    Compiled environments are measured on one thread and on all; others in this process and in workers, unless they are
    vector environments, which have threads of their own.

    Args:
        names: as for `puffer_numba.vector.env_creator`.
        num_envs: by default `NUM_ENVS` of those that are compiled, and `NUM_PYTHON_ENVS` of others.
        json_path: file to write the results to.
        params: of the environments.

    Raises:
        APIUsageError: an unknown name; before anything is measured.
        OSError: ``json_path`` cannot be written; before anything is measured.
    """
    from rich.console import Console
    from rich.live import Live

    runs = [run for name in names for run in _runs(name, num_envs, params or {})]
    if json_path is not None:
        Path(json_path).open("a").close()
    results: list[Measurement] = []
    with Live(_table(results), console=Console()) as live:
        for run in runs:
            results.append(run())
            live.update(_table(results))
    if json_path is not None:
        Path(json_path).write_text(json.dumps(_report(results), indent=2) + "\n")
    return results


def _runs(name: str, num_envs: Sequence[int] | None, params: Mapping[str, Any]) -> Iterator[Callable[[], Measurement]]:
    creator = vector.env_creator(name)
    if is_jit(creator):
        for n in num_envs or NUM_ENVS:
            for threads in sorted({1, MAX_THREADS}):
                yield partial(measure, name, n, threads, **params)
    else:
        for n in num_envs or NUM_PYTHON_ENVS:
            for backend in ("native",) if makes_batch(creator) else ("serial", "multiprocessing"):
                yield partial(measure_python, name, n, backend, **params)


def _table(results: Sequence[Measurement]) -> Any:
    from rich.table import Table

    compiled = any(r.bytes_per_env is not None for r in results)
    unit, scale = ("M/s", 1e6) if compiled else ("k/s", 1e3)
    table = Table(
        title=f"{'millions' if compiled else 'thousands'} of steps per second: median, and slowest to fastest round",
        title_justify="left",
    )
    table.add_column("environment", overflow="fold")
    threads, memory = (("threads",), ("B/env",)) if compiled else ((), ())
    workers = ("workers",) if any(r.workers for r in results) else ()
    for column in ("envs", *threads, *workers, unit, "spread", "us/call", "first s", *memory):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        cells = {
            "envs": f"{r.num_envs}",
            "threads": f"{r.threads}",
            "workers": f"{r.workers or '-'}",
            unit: f"{r.steps_per_second / scale:.2f}",
            "spread": f"{r.slowest / scale:.1f}-{r.fastest / scale:.1f}",
            "us/call": f"{r.microseconds_per_call:.2f}",
            "first s": f"{r.first_call_seconds:.2f}",
            "B/env": "-" if r.bytes_per_env is None else f"{r.bytes_per_env:.0f}",
        }
        table.add_row(r.env, *(cells[str(column.header)] for column in table.columns[1:]))
    return table


def _report(results: Sequence[Measurement]) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numba", "numpy", "gymnasium", "puffer_numba")},
        "threads_available": MAX_THREADS,
        "results": [asdict(result) for result in results],
    }
