"""`SB3VecEnv` under the name of its module in version 0.1; it is now `puffer_numba.emulation.as_sb3`."""

from puffer_numba.emulation.as_sb3 import SB3VecEnv

__all__ = ["SB3VecEnv"]
