"""Wrappers of any `PufferEnv`, which is a `PufferEnv` again.

::

    env = NormalizeReward(NormalizeObservation(puffer_numba.make("cartpole", num_envs=64)))

- `EpisodeStats`: returns and lengths of episodes, where an environment keeps none
- `ClipAction`, `RescaleAction`
- `NormalizeObservation`, `NormalizeReward`: by running statistics over all rows
- `FrameStack`, `ResizeObservation`

One environment of Gymnasium has Gymnasium's own wrappers, put around it before it is handed to
`puffer_numba.vector.make`; one of PettingZoo has SuperSuit's. These here are for what needs all rows at once, and for
environments that are batches from the start.
"""

from puffer_numba.wrappers.actions import ClipAction, RescaleAction
from puffer_numba.wrappers.base import Wrapper
from puffer_numba.wrappers.images import FrameStack, ResizeObservation
from puffer_numba.wrappers.normalize import NormalizeObservation, NormalizeReward
from puffer_numba.wrappers.statistics import EpisodeStats

__all__ = [
    "ClipAction",
    "EpisodeStats",
    "FrameStack",
    "NormalizeObservation",
    "NormalizeReward",
    "RescaleAction",
    "ResizeObservation",
    "Wrapper",
]
