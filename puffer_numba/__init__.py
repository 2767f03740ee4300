"""Reinforcement-learning environments written in plain Python, compiled to run at the speed of C.

- `make`, `register`, `list_envs`: environments by name
- `JitEnv`, `kernel`: write one
- `PufferEnv`: the contract of every batched environment
- `check`: find what is wrong with one
- `puffer_numba.pufferl`: the PPO trainer (needs the extra ``train``)
"""

from puffer_numba.env import APIUsageError, Buffers, PufferEnv
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.check import check
from puffer_numba.registry import list_envs, make, register

__all__ = [
    "APIUsageError",
    "Buffers",
    "JitEnv",
    "PufferEnv",
    "check",
    "kernel",
    "list_envs",
    "make",
    "register",
]
__version__ = "0.1.0"
