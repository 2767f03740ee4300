"""Writing environments in plain Python that Numba compiles: `JitEnv`, and what its functions may use."""

from puffer_numba.jit.checked import DebugError
from puffer_numba.jit.compiler.functions import kernel
from puffer_numba.jit.env import JitEnv
from puffer_numba.jit.fields import with_defaults

__all__ = ["DebugError", "JitEnv", "kernel", "with_defaults"]
