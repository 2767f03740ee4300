"""The speed table of the README: CartPole against other libraries, as ratios within one run.

    python bench/compare.py

Contestants take turns, round by round, so that a change of the machine's speed hits both alike; the ratio is the
median over rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numba
from contestants import NotHere, Step, envpool, gymnasium_sync, gymnasium_vector, hand_written_c, ours
from rich.console import Console
from rich.table import Table

ROUNDS = 11
SECONDS = 0.15


@dataclass
class Row:
    """One line of the table."""

    what: str
    ours: float
    other: float
    ratio: float
    target: str


def rate(step: Step, num_envs: int, seconds: float = SECONDS) -> float:
    """Environment steps per second over about this long."""
    calls, elapsed, started = 0, 0.0, time.perf_counter()
    while elapsed < seconds:
        for _ in range(8):
            step()
        calls += 8
        elapsed = time.perf_counter() - started
    return calls * num_envs / elapsed


def duel(what: str, num_envs: int, other: Callable[[int], Step], threads: int, target: str) -> Row:
    """Ours on this many threads against another contestant, in turns."""
    numba.set_num_threads(threads)
    a, b = ours(num_envs), other(num_envs)
    rate(a, num_envs), rate(b, num_envs)
    pairs = [(rate(a, num_envs), rate(b, num_envs)) for _ in range(ROUNDS)]
    return _row(what, pairs, target)


def scaling(num_envs: int, target: str) -> Row:
    """All threads against one."""
    everything, steps = numba.config.NUMBA_NUM_THREADS, {}
    for threads in (1, everything):  # an environment learns in its first steps how many threads it has
        numba.set_num_threads(threads)
        steps[threads] = ours(num_envs)
        rate(steps[threads], num_envs)
    pairs = []
    for _ in range(ROUNDS + 1):
        numba.set_num_threads(everything)
        fast = rate(steps[everything], num_envs)
        numba.set_num_threads(1)
        pairs.append((fast, rate(steps[1], num_envs)))
    return _row(f"all threads / one thread, {num_envs} envs", pairs[1:], target)


def _row(what: str, pairs: list[tuple[float, float]], target: str) -> Row:
    columns = list(zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(what, statistics.median(columns[0]), statistics.median(columns[1]), ratio, target)


FIRST_CALL = """
import time, numpy as np, puffer_numba
actions = np.zeros(4096, np.int64)
started = time.perf_counter()
env = puffer_numba.make("cartpole", num_envs=4096)
env.reset(seed=0)
env.step(actions)
print(time.perf_counter() - started)
"""


def first_call_from_cache() -> float:
    """Seconds from making an environment to its first step, in a new process whose cache is warm."""
    runs = [subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True) for _ in range(6)]
    return statistics.median(float(run.stdout) for run in runs[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    everything = numba.config.NUMBA_NUM_THREADS
    duels = [
        ("Gymnasium CartPoleVectorEnv, 4096 envs", 4096, gymnasium_vector, everything, "15"),
        ("Gymnasium SyncVectorEnv, 64 envs", 64, gymnasium_sync, everything, ""),
        ("EnvPool, 4096 envs", 4096, envpool, everything, "250"),
        ("hand-written C, 65536 envs, one thread", 65536, hand_written_c, 1, "0.8"),
        ("hand-written C, 4096 envs, one thread", 4096, hand_written_c, 1, ""),
    ]
    rows, missing = [], []
    for duel_arguments in duels:
        try:
            rows.append(duel(*duel_arguments))
        except NotHere as reason:
            missing.append(f"{duel_arguments[0]}: left out, {reason}")
    rows.append(scaling(65536, "1.8"))

    table = Table("against", "ours, M steps/s", "theirs", "ratio", "target", title="CartPole through env.step")
    for row in rows:
        table.add_row(row.what, f"{row.ours / 1e6:.1f}", f"{row.other / 1e6:.3g}", f"{row.ratio:.3g}", row.target)
    console = Console(width=110)
    console.print(table, *missing, sep="\n")

    numba.set_num_threads(everything)
    small = rate(ours(64), 64)
    seconds = first_call_from_cache()
    bytes_per_env = _bytes_per_env()
    console.print(f"64 envs: {small / 1e6:.1f} M steps/s, {64 / small * 1e6:.2f} us a call (target 25, or 2.5 us)")
    console.print(f"first call from the cache, new process: {seconds:.3f} s (target 0.3)")
    console.print(f"memory of one environment, all buffers: {bytes_per_env:.1f} bytes (target 100)")
    if arguments.json:
        figures = {
            "rows": [asdict(row) for row in rows],
            "small": small,
            "first_call": seconds,
            "bytes": bytes_per_env,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def _bytes_per_env() -> float:
    import puffer_numba

    return puffer_numba.make("cartpole", num_envs=65536).nbytes / 65536


if __name__ == "__main__":
    main()
