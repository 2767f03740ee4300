"""Writing environments in plain Python that Numba compiles: `JitEnv`, and what its functions may use."""

from puffer_numba.jit.compiler.functions import kernel
from puffer_numba.jit.env import JitEnv

__all__ = ["JitEnv", "kernel"]
