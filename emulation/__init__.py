"""Standing in for Gymnasium and PettingZoo, in both directions.

Theirs as ours:

- `GymnasiumPufferEnv`, `PettingZooPufferEnv`: an existing environment as a `PufferEnv`; `puffer_numba.vector.make`
  does this for many at once
- `VectorPufferEnv`: an existing vector environment, such as EnvPool's; `puffer_numba.vector.make` does this, too
- `ActionMaskFromInfo`: masks that an environment tells in its infos, where policies look for them
- `HybridSpace`: flat actions of which some are integers and some are real

Ours as theirs:

- `make_env`, `JitGymnasiumEnv`: one JitEnv as a `gymnasium.Env`
- `make_vector_env`, `PufferVectorEnv`: any PufferEnv or vector backend as a `gymnasium.vector.VectorEnv`
- `make_parallel_env`, `JitParallelEnv`, `PufferParallelEnv`: one environment of several agents as a PettingZoo
  `ParallelEnv`
- `TradingEnv`, `VecTradingEnv`: the market of the suite with the calls of a trading gym
- `puffer_numba.emulation.as_sb3.SB3VecEnv`: any PufferEnv or vector backend as a Stable-Baselines3 `VecEnv`
"""

from puffer_numba.emulation.as_gymnasium import JitGymnasiumEnv, make_env
from puffer_numba.emulation.as_gymnasium_vector import PufferVectorEnv, make_vector_env
from puffer_numba.emulation.as_pettingzoo import JitParallelEnv, PufferParallelEnv, make_parallel_env
from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.emulation.from_gymnasium_vector import VectorPufferEnv
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.emulation.masks import ActionMaskFromInfo
from puffer_numba.emulation.trading import TradingEnv, VecTradingEnv
from puffer_numba.spaces.actions import HybridSpace

__all__ = [
    "ActionMaskFromInfo",
    "GymnasiumPufferEnv",
    "HybridSpace",
    "JitGymnasiumEnv",
    "JitParallelEnv",
    "PettingZooPufferEnv",
    "PufferParallelEnv",
    "PufferVectorEnv",
    "TradingEnv",
    "VecTradingEnv",
    "VectorPufferEnv",
    "make_env",
    "make_parallel_env",
    "make_vector_env",
]
