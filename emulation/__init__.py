"""Standing in for Gymnasium and PettingZoo, in both directions.

Theirs as ours:

- `GymnasiumPufferEnv`, `PettingZooPufferEnv`: an existing environment as a `PufferEnv`; `puffer_numba.vector.make`
  does this for many at once

Ours as theirs:

- `make_env`, `JitGymnasiumEnv`: one environment as a `gymnasium.Env`
- `make_vector_env`, `PufferVectorEnv`: many as a `gymnasium.vector.VectorEnv`
- `make_parallel_env`, `JitParallelEnv`: one environment of several agents as a PettingZoo `ParallelEnv`
"""

from puffer_numba.emulation.gymnasium import JitGymnasiumEnv, PufferVectorEnv, make_env, make_vector_env
from puffer_numba.emulation.pettingzoo import JitParallelEnv, make_parallel_env
from puffer_numba.emulation.wrap import GymnasiumPufferEnv, PettingZooPufferEnv

__all__ = [
    "GymnasiumPufferEnv",
    "JitGymnasiumEnv",
    "JitParallelEnv",
    "PettingZooPufferEnv",
    "PufferVectorEnv",
    "make_env",
    "make_parallel_env",
    "make_vector_env",
]
