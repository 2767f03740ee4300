"""Steps per second of Python environments in worker processes, against Gymnasium's own vector environments.

::

    python bench/vector.py                # all of it, in about a minute
    python bench/vector.py --only sync    # one of: sync, async, serial, round_trip, flatten, pixels, memory

Contestants of one table run in turn, several times; the medians are shown, so ratios hold on a busy machine too.
Stable-Baselines3 takes part where it is installed (extra ``sb3``).
"""

from __future__ import annotations

import argparse
import os
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from puffer_numba import vector
from puffer_numba.spaces.observations import ObservationLayout

make_cartpole = partial(gymnasium.make, "CartPole-v1")


class Pixels(gymnasium.Env[Any, Any]):
    """Observes four frames of 84 x 84, drawn beforehand."""

    action_space = Discrete(2)

    def __init__(self, side: int = 84) -> None:
        self.observation_space = Box(0, 255, (side, side, 4), np.uint8)
        self.frames = np.random.default_rng(0).integers(0, 256, (8, side, side, 4), np.uint8)
        self.time = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.frames[0], {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.frames[self.time % 8], 0.0, False, False, {}


class Uneven(gymnasium.Env[Any, Any]):
    """Sleeps 0 to 2 ms in each step."""

    observation_space, action_space = Box(-1, 1, (4,), np.float32), Discrete(2)

    def __init__(self) -> None:
        self.zeros = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.zeros, {}

    def step(self, action: Any) -> Any:
        time.sleep(self.np_random.uniform(0, 0.002))
        return self.zeros, 0.0, False, False, {}


def steps_of(env: Any, num_envs: int, seconds: float) -> float:
    """Environment steps per second with random actions."""
    actions = np.random.default_rng(0).integers(0, 2, (64, num_envs))
    env.reset(seed=0)
    return rate(lambda k: env.step(actions[k % 64]), num_envs, seconds)


def batches_of(env: Any, seconds: float) -> float:
    """The same of an asynchronous environment."""
    actions = np.zeros(env.agents_per_batch, np.int64)
    env.async_reset(seed=0)
    env.recv()

    def turn(_: int) -> None:
        env.send(actions)
        env.recv()

    speed = rate(turn, env.agents_per_batch, seconds)
    env.send(actions)
    return speed


def rate(step: Callable[[int], object], each: int, seconds: float) -> float:
    """``each`` times the calls of ``step`` per second."""
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < seconds:
        step(count)
        count += 1
    return each * count / (time.perf_counter() - started)


def show(title: str, contestants: dict[str, Callable[[], float]], rounds: int = 5, unit: str = "steps/s") -> None:
    """Run the contestants in turn and print their medians, and ratios to the last."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            results[name].append(run())
    last = median(list(results.values())[-1])
    print(f"\n{title}")
    for name, values in results.items():
        print(f"  {name:42s} {median(values):12,.0f} {unit}   x {median(values) / last:.2f}")


def sync() -> None:
    """64 CartPoles in 2 workers; Gymnasium's AsyncVectorEnv has a process for each."""
    ours = vector.make(make_cartpole, num_envs=64, num_workers=2)
    theirs = AsyncVectorEnv([make_cartpole] * 64)
    contestants = {"Multiprocessing, 2 workers": lambda: steps_of(ours, 64, 1.0)}
    sb3 = stable_baselines_env(64)
    if sb3 is not None:
        contestants["stable_baselines3 SubprocVecEnv"] = lambda: steps_of_sb3(sb3, 64, 1.0)
    contestants["gymnasium AsyncVectorEnv"] = lambda: steps_of(theirs, 64, 1.0)
    show("64 Gymnasium CartPoles", contestants)
    for env in (ours, theirs, *([sb3] if sb3 else [])):
        env.close()


def stable_baselines_env(num_envs: int) -> Any:
    """Its CartPoles in a process each; None where it is not installed."""
    try:
        from stable_baselines3.common.vec_env import SubprocVecEnv
    except ImportError:
        return None
    return SubprocVecEnv([make_cartpole] * num_envs)


def steps_of_sb3(env: Any, num_envs: int, seconds: float) -> float:
    """The same of a VecEnv of Stable-Baselines3."""
    actions = np.random.default_rng(0).integers(0, 2, (64, num_envs))
    env.reset()
    return rate(lambda k: env.step(actions[k % 64]), num_envs, seconds)


def asynchronous() -> None:
    """Half batches, with environments of equal and of varying speed."""
    for title, creator, workers, envs in (("64 CartPoles", make_cartpole, 2, 64), ("8 x 0 to 2 ms", Uneven, 8, 8)):
        options = {"num_envs": envs, "num_workers": workers}
        half = vector.make(creator, **options, batch_size=envs // 2, zero_copy=False)  # type: ignore[arg-type]
        whole = vector.make(creator, **options)  # type: ignore[arg-type]
        show(
            f"{title}, {workers} workers",
            {
                "asynchronous, batches of half": partial(batches_of, half, 1.0),
                "synchronous": partial(steps_of, whole, envs, 1.0),
            },
        )
        half.close()
        whole.close()


def serial() -> None:
    """8 CartPoles in this process; the bare loop is the most that is possible."""
    ours = vector.make(make_cartpole, num_envs=8, backend="serial")
    theirs = SyncVectorEnv([make_cartpole] * 8)
    envs = [make_cartpole() for _ in range(8)]

    def bare() -> float:
        for number, env in enumerate(envs):
            env.reset(seed=number)
        actions = np.random.default_rng(0).integers(0, 2, (64, 8))

        def step(k: int) -> None:
            for env, action in zip(envs, actions[k % 64], strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()

        return rate(step, 8, 0.5)

    show(
        "8 CartPoles in this process",
        {
            "Serial": lambda: steps_of(ours, 8, 0.5),
            "gymnasium SyncVectorEnv": lambda: steps_of(theirs, 8, 0.5),
            "bare loop over env.step": bare,
        },
    )


def round_trip() -> None:
    """One CartPole in one worker."""
    with vector.make(make_cartpole, num_envs=1, num_workers=1, backend="multiprocessing") as env:
        print(f"\none CartPole in one worker: {1e6 / median(steps_of(env, 1, 0.5) for _ in range(5)):.1f} us a step")


def flatten() -> None:
    """A Dict of ten mixed leaves."""
    space = Dict(
        {f"box{k}": Box(0, 1, (4,), np.float32) for k in range(3)}
        | {f"image{k}": Box(0, 255, (8, 8), np.uint8) for k in range(2)}
        | {f"number{k}": Discrete(5) for k in range(2)}
        | {"many": MultiDiscrete([3, 4]), "flags": MultiBinary(4), "speed": Box(-1, 1, (), np.float64)}
    )
    layout = ObservationLayout(space)
    write = layout.writer(np.zeros(layout.flat_space.shape, layout.flat_space.dtype))
    sample = space.sample()

    def speed(function: Callable[[], object]) -> float:
        return 2000 / timeit.timeit(function, number=2000)

    show(
        "a Dict of 10 mixed leaves to one array",
        {
            "ObservationLayout.writer": lambda: speed(lambda: write(sample)),
            "gymnasium.spaces.flatten": lambda: speed(lambda: gymnasium.spaces.flatten(space, sample)),
        },
        unit="a second",
    )


def pixels() -> None:
    """8 environments of 84 x 84 x 4 bytes in 2 workers: what is copied, and what that costs."""
    large, small = (vector.make(Pixels, env_kwargs={"side": n}, num_envs=8, num_workers=2) for n in (84, 1))
    theirs = AsyncVectorEnv([Pixels] * 8)
    show(
        "8 environments of 84 x 84 x 4 uint8",
        {
            "Multiprocessing, 2 workers": lambda: steps_of(large, 8, 0.5),
            "the same, of 1 x 1 x 4": lambda: steps_of(small, 8, 0.5),
            "gymnasium AsyncVectorEnv": lambda: steps_of(theirs, 8, 0.5),
        },
    )
    first, _ = large.reset()
    second = large.step(np.zeros(8, np.int64))[0]
    address = first.__array_interface__["data"][0]
    (file,) = [file for start, end, file in shared_memory(os.getpid()) if start <= address < end]
    mapped = all(file in [own for _, _, own in shared_memory(worker.process.pid)] for worker in large._workers)
    image, source = np.zeros((84, 84, 4), np.uint8), Pixels().frames[0]
    write = timeit.timeit(lambda: image.__setitem__(..., source), number=2000) / 2000
    print(f"  reset and step return the same memory: {np.shares_memory(first, second)}, at {address:#x}")
    print(f"  both workers have mapped that very memory (device and inode {file}): {mapped}")
    print(f"  the worker's own write of an image takes {1e6 * write:.2f} us; nothing is copied after it")
    for env in (large, small, theirs):
        env.close()


def shared_memory(pid: int) -> list[tuple[int, int, str]]:
    """Start, end, and device and inode, of what a process shares with others (Linux)."""
    lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    shared = [
        (*(int(number, 16) for number in line[0].split("-")), f"{line[3]}/{line[4]}")
        for line in lines
        if line[1][3] == "s"
    ]
    return shared  # type: ignore[return-value]


def memory() -> None:
    """1,000 wrapped CartPoles in 2 workers, as the system counts it: shared pages by halves (Linux)."""

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
    print(
        f"\n2 workers: {found[2]:.0f} MiB with 2 CartPoles, {found[1000]:.0f} MiB with 1,000: {each:.1f} KiB for each"
    )


PARTS = {
    "sync": sync,
    "async": asynchronous,
    "serial": serial,
    "round_trip": round_trip,
    "flatten": flatten,
    "pixels": pixels,
    "memory": memory,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    only = parser.parse_args().only
    print(f"{len(os.sched_getaffinity(0))} cores, gymnasium {gymnasium.__version__}, NumPy {np.__version__}")
    for name, part in PARTS.items():
        if only in (None, name):
            part()
