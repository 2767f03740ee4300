"""The speed table: every environment of the suite on one thread and on all, and beside it what others make of it.

::

    python -m bench.studies.suite                    # all; it goes on where it was
    python -m bench.studies.suite pong taxi --again
    python -m bench.studies.suite --write            # only writes the page

It needs the extra ``bench``; what is not installed is left out, as is PufferLib where ``PUFFERLIB_SOURCE`` does not
name its sources (see ``bench/contestants.py``). Contestants take turns with ours on one thread, 4096 environments,
round by round. Results are kept in ``bench/studies/suite.json``, each comparison with its machine and date, and
``docs/speed.md`` is written from them: no figure of others is on the page that was not measured beside ours.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numba

import puffer_numba
from bench import timer
from bench.contestants import PUFFERLIB_FLAGS, NotHere, others, ours

RESULTS = Path(__file__).parent / "suite.json"
PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
NUM_ENVS = 4096
ROUNDS = 7
SECONDS = 0.15
ONE, ALL = "1", "all"

COMPILE = """
import sys, time, numpy as np, puffer_numba
name = sys.argv[1]
puffer_numba.make("squared", num_envs=2).reset(seed=0)
started = time.perf_counter()
env = puffer_numba.make(name, num_envs=4096)
env.reset(seed=0)
env.step(np.zeros_like(env.actions))
print(time.perf_counter() - started)
"""


def compile_seconds(name: str) -> float:
    """From making the environment to its first step, in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", COMPILE, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def measure(name: str) -> dict[str, Any]:
    """All figures of one environment."""
    threads = {ONE: 1, ALL: numba.config.NUMBA_NUM_THREADS}
    contestants = {}
    for label, number in threads.items():  # an environment learns in its first steps how many threads it has
        numba.set_num_threads(number)
        contestants[label] = ours(name, NUM_ENVS)
        contestants[label].step()
    speeds = timer.take_turns(contestants, ROUNDS, SECONDS, before=lambda label: numba.set_num_threads(threads[label]))
    return {
        "rates": {label: speed.median for label, speed in speeds.items()},
        "bytes": puffer_numba.make(name, num_envs=NUM_ENVS).nbytes / NUM_ENVS,
        "compile": compile_seconds(name),
        "others": compare(name),
    }


def compare(name: str, only: str | None = None) -> dict[str, Any]:
    """Everybody else who is here, or the ``only`` one, in turns with ours on one thread; with machine and date."""
    numba.set_num_threads(1)
    peers = {}
    for label, make in others(name, NUM_ENVS):
        if only in (None, label):
            try:
                peers[label] = make()
            except NotHere:
                continue
    measured = {"machine": timer.machine(), "date": datetime.date.today().isoformat()}
    speeds = timer.take_turns({"ours": ours(name, NUM_ENVS), **peers}, ROUNDS, SECONDS) if peers else {}
    return {label: {"rate": speeds[label].median, "ratio": speeds[label].ratio, **measured} for label in peers}


def page(results: dict[str, Any]) -> str:
    """The table, in Markdown."""
    lines = [HEADER.rstrip("\n"), ""]
    lines += ["| environment | M steps/s, 1 thread | 2 threads | bytes | compiles in | against | ratio | measured |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, result in sorted(results.items()):
        rates = [f"{rate / 1e6:.3g}" for rate in result["rates"].values()]
        beside = [
            (f"{label}, {_short(other['rate'])}", _ratio(other["ratio"]), other["date"])
            for label, other in result["others"].items()
        ]
        first, *rest = beside or [("", "", "")]
        cells = [f"`{name}`", *rates, f"{result['bytes']:,.0f}", f"{result['compile']:.1f} s", *first]
        lines.append("| " + " | ".join(cells) + " |")
        lines += [f"| | | | | | {label} | {ratio} | {date} |" for label, ratio, date in rest]
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.3g} k/s"


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


HEADER = f"""# How fast the environments are

Through `env.step`, 4096 environments, random actions, resets and episode statistics on. Steps are those of agents, and
moves where two agents take turns (`connect_four`, `tic_tac_toe`). The ratio is that of ours on one thread to the other,
in turns within one run, as the median over 7 rounds. Gymnasium, minatar, minigrid, mpe2 and PettingZoo run one
environment in one process, or 64 in a `SyncVectorEnv`; EnvPool runs 4096 on the threads it likes.

PufferLib's are its C versions without its Python, 4096 environments on one thread, compiled with
`gcc {" ".join(PUFFERLIB_FLAGS)}`, where its rules are about ours, with the same sizes: pong and breakout of 4 frames a
step, 16 snakes on a board, two robots in rware's tiny warehouse; its cartpole ends after 200 steps, ours after 500.

Bytes are all arrays of an environment, observations included; `compiles in` is the first step with an empty cache, in
seconds. Ratios hold from machine to machine far better than rates. Comparisons were measured on the day in the last
column, on two cores of a shared virtual machine: AMD EPYC until November 22, Intel Xeon from November 28 on (other work
ran beside it); ours alone, on the former. Numba 0.68.1.

`python -m bench.studies.suite` makes this page; it runs unattended, and goes on where it was. `pytest bench/` measures
the same with pytest-benchmark.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments; all by default")
    parser.add_argument("--again", action="store_true", help="also repeat what has been done")
    parser.add_argument("--against", metavar="LABEL", help="measure only this peer again, such as 'PufferLib 3 in C'")
    parser.add_argument("--write", action="store_true", help="measure nothing; write the page")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of other libraries' old versions
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in [] if arguments.write else arguments.names or puffer_numba.list_envs():
        if arguments.against:
            results[name]["others"] |= compare(name, arguments.against)
        elif name in results and not arguments.again:
            continue
        else:
            results[name] = measure(name)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        beside = ", ".join(f"{label} x{_ratio(other['ratio'])}" for label, other in results[name]["others"].items())
        speeds = " / ".join(f"{value / 1e6:.3g}" for value in results[name]["rates"].values())
        print(f"{name}: {speeds} M steps/s; {beside or 'nobody else'}", flush=True)
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
