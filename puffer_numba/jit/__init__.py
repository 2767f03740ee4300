"""Writing environments in plain Python that Numba compiles: `JitEnv`, and what its functions may use."""

from typing import Annotated as Array

from puffer_numba.jit.env import JitEnv
from puffer_numba.jit.functions import kernel

__all__ = ["Array", "JitEnv", "kernel"]
