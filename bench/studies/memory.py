"""What worker processes share, and what they cost in memory (Linux): ``python -m bench.studies.memory``.

An image is copied once, by the worker that draws it: `reset` and `step` return the very memory that the workers have
mapped. And how much memory a wrapped environment takes in a worker, as the system counts it.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from bench import timer
from bench.test_vector import Pixels
from bench.timer import Contestant
from puffer_numba import vector

make_cartpole = partial(gymnasium.make, "CartPole-v1")


def sharing() -> None:
    """8 environments of 84 x 84 x 4 bytes in 2 workers: where the observations are."""
    with vector.make(Pixels, num_envs=8, num_workers=2) as env:
        first, _ = env.reset()
        second = env.step(np.zeros(8, np.int64))[0]
        address = first.__array_interface__["data"][0]
        (file,) = [file for start, end, file in shared_memory(os.getpid()) if start <= address < end]
        mapped = all(file in [own for _, _, own in shared_memory(worker.process.pid)] for worker in env._workers)
    image, source = np.zeros((84, 84, 4), np.uint8), Pixels().frames[0]
    writes = timer.rate(Contestant(lambda: image.__setitem__(..., source)), 0.5)
    print(f"reset and step return the same memory: {np.shares_memory(first, second)}, at {address:#x}")
    print(f"both workers have mapped that very memory (device and inode {file}): {mapped}")
    print(f"the worker's own write of an image takes {1e6 / writes:.2f} us; nothing is copied after it")


def shared_memory(pid: int) -> list[tuple[int, int, str]]:
    """Start, end, and device and inode, of what a process shares with others."""
    lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    shared = [
        (*(int(number, 16) for number in line[0].split("-")), f"{line[3]}/{line[4]}")
        for line in lines
        if line[1][3] == "s"
    ]
    return shared  # type: ignore[return-value]


def sizes() -> None:
    """1,000 wrapped CartPoles in 2 workers: shared pages by halves."""

    def megabytes(env: Any) -> float:
        pids = [worker.process.pid for worker in env._workers]
        lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    found = {}
    for num_envs in (2, 1000):
        with vector.make(make_cartpole, num_envs=num_envs, num_workers=2) as env:
            env.reset()
            env.step(np.zeros(num_envs, np.int64))
            found[num_envs] = megabytes(env)
    each = (found[1000] - found[2]) / 998 * 1024
    print(f"2 workers: {found[2]:.0f} MiB with 2 CartPoles, {found[1000]:.0f} MiB with 1,000: {each:.1f} KiB for each")


if __name__ == "__main__":
    print(timer.described())
    sharing()
    sizes()
