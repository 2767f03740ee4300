"""Reinforcement-learning environments written in plain Python, compiled to run at the speed of C.

- `make`, `register`, `list_envs`: environments by name
- `JitEnv`, `kernel`: write one
- `PufferEnv`: the contract of every batched environment
- `check`: find what is wrong with one
- `PPO`, `PPOConfig`: train a policy (needs the extra ``train``)
- `puffer_numba.pufferl`: the same trainer, under PufferLib's names
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from puffer_numba.env import APIUsageError, Buffers, PufferEnv
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.registry import list_envs, make, register

if TYPE_CHECKING:
    from puffer_numba.checks.native import check
    from puffer_numba.ppo import PPO, PPOConfig

__all__ = [
    "PPO",
    "APIUsageError",
    "Buffers",
    "JitEnv",
    "PPOConfig",
    "PufferEnv",
    "check",
    "kernel",
    "list_envs",
    "make",
    "register",
]
__version__ = "0.2.0"


_LATER = {"check": "checks.native", "PPO": "ppo", "PPOConfig": "ppo"}  # what takes long to import


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _LATER[name] == "ppo":
        from puffer_numba.extras import require

        require("torch", "train", "training")
    return getattr(import_module(f"puffer_numba.{_LATER[name]}"), name)
