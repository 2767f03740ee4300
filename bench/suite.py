"""The speed table: every environment of the suite on one thread and on two, and beside it what others make of it.

::

    python bench/suite.py                    # all; it goes on where it was
    python bench/suite.py pong taxi --again
    python bench/suite.py --write            # only writes the page

It needs the extra ``bench``; what is not installed is left out. Contestants take turns, round by round, so that a
change of the machine's speed hits both alike; the ratio is the median over rounds, of ours on one thread, with 4096
environments, to theirs. Results are kept in ``bench/suite.json``, and ``docs/speed.md`` is written from them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numba
import numpy as np
from compare import rate
from contestants import NotHere, Step

import puffer_numba
from puffer_numba.vector.speed import random_actions

RESULTS = Path(__file__).parent / "suite.json"
PAGE = Path(__file__).parent.parent / "docs" / "speed.md"
NUM_ENVS = 4096
ROUNDS = 7
SECONDS = 0.15

Contestant = tuple[str, Callable[[], Step], int]
"""A name, what makes its ``step()``, and how many environment steps a call of that does, summed over agents."""

GYMNASIUM = {
    "acrobot": "Acrobot-v1",
    "blackjack": "Blackjack-v1",
    "cartpole": "CartPole-v1",
    "cliff_walking": "CliffWalking-v1",
    "frozen_lake": "FrozenLake-v1",
    "frozen_lake_8x8": "FrozenLake8x8-v1",
    "minigrid_doorkey": "minigrid:MiniGrid-DoorKey-8x8-v0",
    "minigrid_empty": "minigrid:MiniGrid-Empty-8x8-v0",
    "mountain_car": "MountainCar-v0",
    "mountain_car_continuous": "MountainCarContinuous-v0",
    "pendulum": "Pendulum-v1",
    "taxi": "Taxi-v4",
}
ENVPOOL = {
    "acrobot": "Acrobot-v1",
    "blackjack": "Blackjack-v1",
    "cartpole": "CartPole-v1",
    "catch": "Catch-v0",
    "cliff_walking": "CliffWalking-v0",
    "frozen_lake": "FrozenLake-v1",
    "frozen_lake_8x8": "FrozenLake8x8-v1",
    "mountain_car": "MountainCar-v0",
    "mountain_car_continuous": "MountainCarContinuous-v0",
    "nchain": "NChain-v0",
    "pendulum": "Pendulum-v1",
    "taxi": "Taxi-v3",
}
PETTINGZOO = {
    "connect_four": ("pettingzoo.classic.connect_four_v3", "aec"),
    "simple_spread": ("mpe2.simple_spread_v3", "parallel"),
    "simple_tag": ("mpe2.simple_tag_v3", "parallel"),
    "tic_tac_toe": ("pettingzoo.classic.tictactoe_v3", "aec"),
}
PUFFERLIB = {
    "squared": 135,
    "cartpole": 49,
    "pong": 43,
    "rware": 22,
    "breakout": 5.9,
    "tetris": 5.8,
    "grid_walk": 5.7,
    "snake": 1.8,
}
"""Million agent steps/s of PufferLib 3's C versions on one thread, measured on such a machine beforehand."""


def contestants(name: str) -> Iterator[Contestant]:
    """Who else has this environment."""
    if name in GYMNASIUM:
        yield "Gymnasium", lambda: gymnasium_one(GYMNASIUM[name]), 1
        yield "Gymnasium, sync vector of 64", lambda: gymnasium_vector(GYMNASIUM[name], "sync"), 64
    if name == "cartpole":
        kind = "vector_entry_point"
        yield "Gymnasium's NumPy version", lambda: gymnasium_vector("CartPole-v1", kind, NUM_ENVS), NUM_ENVS
    if name in ENVPOOL:
        yield "EnvPool", lambda: envpool(ENVPOOL[name]), NUM_ENVS
    if name.startswith("minatar_"):
        yield "minatar", lambda: minatar(name.removeprefix("minatar_")), 1
    if name == "rware":
        yield "rware", rware, 2
    if name in PETTINGZOO:
        module, kind = PETTINGZOO[name]
        agents = puffer_numba.make(name).num_agents if kind == "parallel" else 1
        yield module.split(".")[0], lambda: pettingzoo(module, kind), agents


def gymnasium_one(env_id: str) -> Step:
    """One environment, restarted by hand."""
    import gymnasium

    try:
        env = gymnasium.make(env_id)
    except (ImportError, gymnasium.error.Error) as error:
        raise NotHere(str(error)) from error
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = cycle([env.action_space.sample() for _ in range(1024)])

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    return step


def gymnasium_vector(env_id: str, mode: str, num_envs: int = 64) -> Step:
    """Gymnasium's vector environment."""
    import gymnasium

    try:
        env = gymnasium.make_vec(env_id, num_envs, vectorization_mode=mode)
    except (ImportError, gymnasium.error.Error) as error:
        raise NotHere(str(error)) from error
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = cycle([env.action_space.sample() for _ in range(64)])
    return lambda: env.step(next(actions))


def envpool(env_id: str) -> Step:
    """EnvPool, on as many threads as it chooses."""
    try:
        import envpool
    except ImportError as error:
        raise NotHere(str(error)) from error
    env = envpool.make_gymnasium(env_id, num_envs=NUM_ENVS, seed=0)
    env.reset()
    space = env.action_space
    draws = [np.array([space.sample() for _ in range(NUM_ENVS)]) for _ in range(4)]
    actions = cycle([draw.astype(np.int32) if draw.dtype.kind == "i" else draw for draw in draws])
    return lambda: env.step(next(actions))


def minatar(game: str) -> Step:
    """The authors' package, with the observation, which costs it as much as the step."""
    try:
        from minatar import Environment
    except ImportError as error:
        raise NotHere(str(error)) from error
    env = Environment(game)
    actions = cycle(np.random.default_rng(0).integers(0, 6, 1024).tolist())

    def step() -> None:
        _, terminated = env.act(next(actions))
        env.state()
        if terminated:
            env.reset()

    return step


def rware() -> Step:
    """The authors' package: its smallest warehouse, with two robots."""
    try:
        from rware.warehouse import Warehouse
    except ImportError as error:
        raise NotHere(str(error)) from error
    import gymnasium

    env = gymnasium.make("rware:rware-tiny-2ag-v2").unwrapped
    assert isinstance(env, Warehouse)
    env.reset(seed=0)
    actions = cycle(np.random.default_rng(0).integers(0, 5, (1024, 2)).tolist())

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    return step


def pettingzoo(module: str, kind: str) -> Step:
    """One environment of PettingZoo's or mpe2's: all agents at once, or by turns with legal moves."""
    from importlib import import_module

    try:
        imported = import_module(module)
    except ImportError as error:
        raise NotHere(str(error)) from error
    rng = np.random.default_rng(0)
    if kind == "parallel":
        env = imported.parallel_env()
        env.reset(seed=0)
        spaces = {agent: env.action_space(agent) for agent in env.agents}
        actions = cycle([{a: int(rng.integers(space.n)) for a, space in spaces.items()} for _ in range(256)])

        def step() -> None:
            env.step(next(actions))
            if not env.agents:
                env.reset()

        return step
    game = imported.env()
    game.reset(seed=0)

    def move() -> None:
        observation, _, terminated, truncated, _ = game.last()
        if terminated or truncated:
            game.reset()
            observation = game.observe(game.agent_selection)
        game.step(int(rng.choice(np.flatnonzero(observation["action_mask"]))))

    return move


def ours(name: str, threads: int) -> tuple[Step, int, float]:
    """A step of 4096 environments, how many agents' steps that is, and bytes for each environment."""
    numba.set_num_threads(threads)
    env = puffer_numba.make(name, num_envs=NUM_ENVS)
    env.reset(seed=0)
    actions = cycle(random_actions(env, 8))
    return lambda: env.step(next(actions)), env.num_agents, env.nbytes / NUM_ENVS


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
    rates: dict[int, float] = {}
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        step, rows, size = ours(name, threads)
        rate(step, rows)
        rates[threads] = statistics.median(rate(step, rows, SECONDS) for _ in range(ROUNDS))
    result: dict[str, Any] = {
        "rates": {str(threads): value for threads, value in rates.items()},
        "bytes": size,
        "compile": compile_seconds(name),
        "others": {},
    }
    step, rows, _ = ours(name, 1)
    rate(step, rows)
    for label, make, steps in contestants(name):
        try:
            other = make()
        except NotHere:
            continue
        rate(other, steps)
        pairs = [(rate(step, rows, SECONDS), rate(other, steps, SECONDS)) for _ in range(ROUNDS)]
        ratio = statistics.median(a / b for a, b in pairs)
        result["others"][label] = {"rate": statistics.median(b for _, b in pairs), "ratio": ratio}
    return result


def page(results: dict[str, Any]) -> str:
    """The table, in Markdown."""
    lines = [HEADER.rstrip("\n"), ""]
    lines += ["| environment | M steps/s, 1 thread | 2 threads | bytes | compiles in | against | ratio |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for name, result in sorted(results.items()):
        rates = [f"{rate / 1e6:.3g}" for rate in result["rates"].values()]
        one = result["rates"]["1"] / 1e6
        others = [
            (f"{label}, {_short(other['rate'])}", f"{other['ratio']:,.0f}") for label, other in result["others"].items()
        ]
        if name in PUFFERLIB:
            others.append((f"PufferLib 3 in C, {PUFFERLIB[name]} M/s", f"{one / PUFFERLIB[name]:.1f}"))
        first, *rest = others or [("", "")]
        cells = [f"`{name}`", *rates, f"{result['bytes']:,.0f}", f"{result['compile']:.1f} s", *first]
        lines.append("| " + " | ".join(cells) + " |")
        lines += [f"| | | | | | {label} | {ratio} |" for label, ratio in rest]
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.3g} k/s"


HEADER = """# How fast the environments are

Through `env.step`, 4096 environments, random actions, resets and episode statistics on; steps are those of agents. The
ratio is that of ours on one thread to the other, in turns within one run. Gymnasium, minatar, minigrid, mpe2 and
PettingZoo run one environment in one process, or 64 in a `SyncVectorEnv`; EnvPool runs 4096 on the threads it likes.
PufferLib's figures are of its C versions on one thread of such a machine, taken beforehand. Bytes are all arrays of an
environment, observations included; `compiles in` is the first step with an empty cache, in seconds. On 2 cores (AMD
EPYC), Numba 0.68.1.

`python bench/suite.py` makes this page; it runs unattended, and goes on where it was.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments; all by default")
    parser.add_argument("--again", action="store_true", help="also repeat what has been done")
    parser.add_argument("--write", action="store_true", help="measure nothing; write the page")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of other libraries' old versions
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in [] if arguments.write else arguments.names or puffer_numba.list_envs():
        if name in results and not arguments.again:
            continue
        results[name] = measure(name)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        others = ", ".join(f"{label} x{other['ratio']:,.0f}" for label, other in results[name]["others"].items())
        speeds = " / ".join(f"{value / 1e6:.3g}" for value in results[name]["rates"].values())
        print(f"{name}: {speeds} M steps/s; {others or 'nobody else'}", flush=True)
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
