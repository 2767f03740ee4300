"""CartPole as several libraries run it, each behind a function that makes a ``step()`` of ``num_envs`` environments.

All step with random actions, drawn beforehand (int32; Gymnasium's own int64), and reset ended episodes themselves.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np

import puffer_numba

Step = Callable[[], object]


class NotHere(Exception):
    """This contestant needs something that this machine lacks."""


def _actions(num_envs: int, dtype: type = np.int32) -> cycle[np.ndarray]:
    generator = np.random.default_rng(0)
    return cycle([generator.integers(0, 2, num_envs).astype(dtype) for _ in range(16)])


def ours(num_envs: int) -> Step:
    """puffer_numba, through ``env.step``."""
    env = puffer_numba.make("cartpole", num_envs=num_envs)
    env.reset(seed=0)
    actions = _actions(num_envs)
    return lambda: env.step(next(actions))


def gymnasium_vector(num_envs: int) -> Step:
    """Gymnasium's own NumPy CartPole."""
    import gymnasium

    env = gymnasium.make_vec("CartPole-v1", num_envs, vectorization_mode="vector_entry_point")
    env.reset(seed=0)
    actions = _actions(num_envs, np.int64)
    return lambda: env.step(next(actions))


def gymnasium_sync(num_envs: int) -> Step:
    """Gymnasium's CartPole, one object for each environment."""
    import gymnasium

    env = gymnasium.make_vec("CartPole-v1", num_envs, vectorization_mode="sync")
    env.reset(seed=0)
    actions = _actions(num_envs, np.int64)
    return lambda: env.step(next(actions))


def envpool(num_envs: int) -> Step:
    """EnvPool, in C++ on a pool of threads."""
    try:
        import envpool
    except ImportError as error:
        raise NotHere('EnvPool is missing: pip install -c constraints.txt -e ".[bench]"') from error
    env = envpool.make_gymnasium("CartPole-v1", num_envs=num_envs, seed=0)
    env.reset()
    actions = _actions(num_envs)
    return lambda: env.step(next(actions))


def hand_written_c(num_envs: int) -> Step:
    """bench/cartpole.c, compiled for this machine: one thread, explicit SIMD."""
    library = _compile_c()
    arrays = {name: _c_array(name, num_envs) for name in _C_FIELDS}
    arrays["streams"][:] = np.random.default_rng(0).integers(0, 2**63, num_envs)
    pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays.values()))
    library.reset(pointers, num_envs)
    actions = _actions(num_envs)
    step = library.step
    step.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]

    def run(keep_alive: object = arrays) -> int:
        return step(pointers, next(actions).ctypes.data, num_envs)

    return run


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


def _c_array(name: str, num_envs: int) -> np.ndarray:
    dtype, columns = _C_FIELDS[name]
    return np.zeros(max(8, num_envs) * columns, dtype)


def _compile_c() -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        raise NotHere("gcc is missing")
    target = Path(tempfile.mkdtemp()) / "cartpole.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, Path(__file__).with_name("cartpole.c"), "-o", target, "-lm"], check=True)
    return ctypes.CDLL(str(target))
