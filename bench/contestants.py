"""Environments as several libraries run them, each behind a function that makes a `Contestant`.

All step with random actions, drawn beforehand, and reset ended episodes themselves. One that needs what this machine
lacks raises `NotHere`.

PufferLib's environments are compiled from its own sources: where the variable ``PUFFERLIB_SOURCE`` names the unpacked
archive of the sources of PufferLib 3.0.0 (https://pypi.org/project/pufferlib/3.0.0/#files), and gcc is installed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np

import puffer_numba
from bench.timer import Contestant
from puffer_numba.vector.speed import random_actions

Make = Callable[[], Contestant]


class NotHere(Exception):
    """This contestant needs something that this machine lacks."""


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


class Native(NamedTuple):
    """The shape of one of PufferLib's environments, as ``pufferlib.c`` makes it."""

    agents: int
    row_bytes: int
    """Of an agent's observation."""
    actions: type = np.int32


PUFFERLIB = {
    "breakout": Native(1, 118 * 4, np.float32),
    "cartpole": Native(1, 4 * 4, np.float32),
    "pong": Native(1, 8 * 4, np.float32),
    "rware": Native(2, 27 * 4),
    "snake": Native(16, 11 * 11),
    "squared": Native(1, 11 * 11),
    "tetris": Native(1, (20 * 10 + 6 + 7 * 4) * 4),
}
TAKE_TURNS = {"connect_four", "tic_tac_toe"}
"""Where one of two agents moves in a step: a step is a move, though both have a row."""


def others(name: str, num_envs: int) -> Iterator[tuple[str, Make]]:
    """Who else has the environment called ``name``: a label, and what makes the contestant."""
    if name in GYMNASIUM:
        yield "Gymnasium", partial(gymnasium_one, GYMNASIUM[name])
        yield "Gymnasium, sync vector of 64", partial(gymnasium_vector, GYMNASIUM[name], "sync", 64)
    if name == "cartpole":
        yield "Gymnasium's NumPy version", partial(gymnasium_vector, "CartPole-v1", "vector_entry_point", num_envs)
        yield "C by hand", partial(hand_written_c, num_envs)
    if name in ENVPOOL:
        yield "EnvPool", partial(envpool, ENVPOOL[name], num_envs)
    if name in PUFFERLIB:
        yield "PufferLib 3 in C", partial(pufferlib, name, num_envs)
    if name.startswith("minatar_"):
        yield "minatar", partial(minatar, name.removeprefix("minatar_"))
    if name == "rware":
        yield "rware", rware
    if name in PETTINGZOO:
        module, kind = PETTINGZOO[name]
        yield module.split(".")[0], partial(pettingzoo, module, kind)


def ours(name: str, num_envs: int) -> Contestant:
    """puffer_numba, through ``env.step``, on as many threads as Numba has at its first step."""
    env = puffer_numba.make(name, num_envs=num_envs)
    env.reset(seed=0)
    actions = cycle(random_actions(env, 8))
    return Contestant(lambda: env.step(next(actions)), num_envs if name in TAKE_TURNS else env.num_agents)


def gymnasium_one(env_id: str) -> Contestant:
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

    return Contestant(step)


def gymnasium_vector(env_id: str, mode: str, num_envs: int) -> Contestant:
    """Gymnasium's vector environment."""
    import gymnasium

    try:
        env = gymnasium.make_vec(env_id, num_envs, vectorization_mode=mode)
    except (ImportError, gymnasium.error.Error) as error:
        raise NotHere(str(error)) from error
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = cycle([env.action_space.sample() for _ in range(64)])
    return Contestant(lambda: env.step(next(actions)), num_envs)


def envpool(env_id: str, num_envs: int) -> Contestant:
    """EnvPool, on as many threads as it chooses."""
    try:
        import envpool
    except ImportError as error:
        raise NotHere(str(error)) from error
    env = envpool.make_gymnasium(env_id, num_envs=num_envs, seed=0)
    env.reset()
    space = env.action_space
    draws = [np.array([space.sample() for _ in range(num_envs)]) for _ in range(4)]
    actions = cycle([draw.astype(np.int32) if draw.dtype.kind == "i" else draw for draw in draws])
    return Contestant(lambda: env.step(next(actions)), num_envs)


def minatar(game: str) -> Contestant:
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

    return Contestant(step)


def rware() -> Contestant:
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

    return Contestant(step, 2)


def pettingzoo(module: str, kind: str) -> Contestant:
    """One environment of PettingZoo's or mpe2's: all agents at once, or by turns with legal moves."""
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

        return Contestant(step, len(spaces))
    game = imported.env()
    game.reset(seed=0)

    def move() -> None:
        observation, _, terminated, truncated, _ = game.last()
        if terminated or truncated:
            game.reset()
            observation = game.observe(game.agent_selection)
        game.step(int(rng.choice(np.flatnonzero(observation["action_mask"]))))

    return Contestant(move)


def pufferlib(name: str, num_envs: int) -> Contestant:
    """PufferLib 3's C, on one thread, without its Python: what is copied in Python are the actions."""
    library, native = _compiled_pufferlib(name), PUFFERLIB[name]
    rows = num_envs * native.agents
    given = np.zeros(rows, native.actions)
    arrays = (
        np.zeros((rows + 1) * native.row_bytes, np.uint8),
        given,
        np.zeros(rows, np.float32),
        np.zeros(rows, np.bool_),
    )
    observations, actions, rewards, terminals = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
    library.make.restype = ctypes.c_void_p
    envs = ctypes.c_void_p(
        library.make(num_envs, native.agents, observations, native.row_bytes, actions, rewards, terminals)
    )
    space = puffer_numba.make(name, num_envs=1).single_action_space
    rng = np.random.default_rng(0)
    draws = cycle([rng.integers(0, space.n, rows).astype(native.actions) for _ in range(8)])

    def step(keep_alive: object = arrays) -> None:
        given[:] = next(draws)
        library.step(envs, num_envs)

    return Contestant(step, rows)


@cache
def _compiled_pufferlib(name: str) -> ctypes.CDLL:
    source = Path(os.environ.get("PUFFERLIB_SOURCE", ""))
    ocean = source / "pufferlib" / "ocean"
    raylib = next(source.glob("raylib*/include"), None)
    if not ocean.is_dir() or raylib is None:
        raise NotHere("PUFFERLIB_SOURCE does not name the unpacked sources of PufferLib 3.0.0")
    # what draws is left out: it would need raylib itself
    unused = ["-fvisibility=hidden", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    flags = [*PUFFERLIB_FLAGS, "-w", *unused, f"-DENVIRONMENT_{name}=1", f"-I{ocean}", f"-I{raylib}"]
    return _compile("pufferlib.c", flags)


PUFFERLIB_FLAGS = ["-O3", "-march=native"]


def hand_written_c(num_envs: int) -> Contestant:
    """bench/cartpole.c, compiled for this machine: one thread, explicit SIMD."""
    library = _compile("cartpole.c", ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd"])
    arrays = {name: np.zeros(max(8, num_envs) * columns, dtype) for name, (dtype, columns) in _C_FIELDS.items()}
    arrays["streams"][:] = np.random.default_rng(0).integers(0, 2**63, num_envs)
    pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays.values()))
    library.reset(pointers, num_envs)
    actions = cycle(np.random.default_rng(0).integers(0, 2, (16, num_envs)).astype(np.int32))
    step = library.step
    step.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]

    def run(keep_alive: object = arrays) -> int:
        return step(pointers, next(actions).ctypes.data, num_envs)

    return Contestant(run, num_envs)


_C_FIELDS = {  # in the order of the struct: dtype, and columns
    "x": (np.float32, 1),
    "x_dot": (np.float32, 1),
    "theta": (np.float32, 1),
    "theta_dot": (np.float32, 1),
    "streams": (np.uint64, 1),
    "returns": (np.float32, 1),
    "final_returns": (np.float32, 1),
    "lengths": (np.int32, 1),
    "final_lengths": (np.int32, 1),
    "observations": (np.float32, 4),
    "final_observations": (np.float32, 4),
    "rewards": (np.float32, 1),
    "terminals": (np.uint8, 1),
    "truncations": (np.uint8, 1),
    "log": (np.float64, 1),
}


def _compile(source: str, flags: list[str]) -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        raise NotHere("gcc is missing")
    target = Path(tempfile.mkdtemp()) / "library.so"
    path = Path(__file__).with_name(source)
    subprocess.run(["gcc", *flags, "-shared", "-fPIC", path, "-o", target, "-lm"], check=True)
    return ctypes.CDLL(str(target))
