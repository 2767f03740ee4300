"""Writing environments in plain Python that Numba compiles: `JitEnv`, and what its functions may use."""

from puffer_numba.jit.env import JitEnv
from puffer_numba.jit.functions import kernel

__all__ = ["JitEnv", "kernel"]
