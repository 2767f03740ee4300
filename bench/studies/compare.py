"""The speed table of the README: CartPole against other libraries, as ratios within one run.

    python -m bench.studies.compare

Contestants take turns, round by round, so that a change of the machine's speed hits both alike; the ratio is the
median over rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numba
from rich.console import Console
from rich.table import Table

import puffer_numba
from bench import timer
from bench.contestants import NotHere, envpool, gymnasium_vector, hand_written_c, ours
from bench.timer import Contestant

ROUNDS = 11


@dataclass
class Row:
    """One line of the table: million steps/s of ours and of the other, and their ratio."""

    what: str
    ours: float
    other: float
    ratio: float


def duel(what: str, num_envs: int, other: Callable[[], Contestant], threads: int) -> Row:
    """Ours on this many threads against another contestant, in turns."""
    numba.set_num_threads(threads)
    speeds = timer.take_turns({"ours": ours("cartpole", num_envs), "other": other()}, ROUNDS)
    return Row(what, speeds["ours"].median, speeds["other"].median, speeds["other"].ratio)


def scaling(num_envs: int) -> Row:
    """All threads against one."""
    threads = {"all": numba.config.NUMBA_NUM_THREADS, "one": 1}
    contestants = {}
    for label, number in threads.items():  # an environment learns in its first steps how many threads it has
        numba.set_num_threads(number)
        contestants[label] = ours("cartpole", num_envs)
        contestants[label].step()
    speeds = timer.take_turns(contestants, ROUNDS, before=lambda label: numba.set_num_threads(threads[label]))
    return Row(f"one thread, ours on all; {num_envs} envs", *(speeds[k].median for k in threads), speeds["one"].ratio)


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
    numpy_version = partial(gymnasium_vector, "CartPole-v1", "vector_entry_point", 4096)
    duels = [
        ("Gymnasium CartPoleVectorEnv, 4096 envs", 4096, numpy_version, everything),
        ("Gymnasium SyncVectorEnv, 64 envs", 64, partial(gymnasium_vector, "CartPole-v1", "sync", 64), everything),
        ("EnvPool, 4096 envs", 4096, partial(envpool, "CartPole-v1", 4096), everything),
        ("C by hand, 65536 envs, one thread", 65536, partial(hand_written_c, 65536), 1),
        ("C by hand, 4096 envs, one thread", 4096, partial(hand_written_c, 4096), 1),
    ]
    console = Console(width=110)
    console.print(timer.described())
    rows, missing = [], []
    for what, *rest in duels:
        try:
            rows.append(duel(what, *rest))
        except NotHere as reason:
            missing.append(f"{what}: left out, {reason}")
    rows.append(scaling(65536))

    table = Table("against", "ours, M steps/s", "theirs", "ratio", title="CartPole through env.step")
    for row in rows:
        table.add_row(row.what, f"{row.ours / 1e6:.1f}", f"{row.other / 1e6:.3g}", f"{row.ratio:.3g}")
    console.print(table, *missing, sep="\n")

    numba.set_num_threads(everything)
    small = timer.take_turns({"ours": ours("cartpole", 64)}, ROUNDS)["ours"].median
    seconds = first_call_from_cache()
    bytes_per_env = puffer_numba.make("cartpole", num_envs=65536).nbytes / 65536
    console.print(f"64 envs: {small / 1e6:.1f} M steps/s, {64 / small * 1e6:.2f} us a call")
    console.print(f"first call from the cache, new process: {seconds:.3f} s")
    console.print(f"memory of one environment, all buffers: {bytes_per_env:.1f} bytes")
    if arguments.json:
        figures = {
            "machine": timer.machine(),
            "rows": [asdict(row) for row in rows],
            "small": small,
            "first_call": seconds,
            "bytes": bytes_per_env,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
