"""Storage for one rollout, and the statistics of the episodes that end in it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_numba.distributions.actions import ActionDistribution
from puffer_numba.env import Buffers, PufferEnv
from puffer_numba.memory import check_room
from puffer_numba.models.normalizer import Gather, only_here
from puffer_numba.train.advantage import finished_episodes

_BYTES_OF_STEP = 40  # of a row in a rollout, besides its observation
RECENT = 100
"""Episodes over which returns and lengths are averaged."""


class Rollout:
    """Time-major arrays: ``horizon`` steps of ``rows`` rows.

    Time comes first so that each step is one contiguous slice, into which an environment can write directly.
    Slot ``horizon`` of observations, masks and values belongs to the step after the rollout.

    Args:
        env: gives rows and spaces.
        distribution: gives shape and dtype of actions.
        horizon: steps.
        pinned: keep what a GPU reads in memory that is never swapped out, from where it copies by itself.

    Attributes:
        observations: ``(horizon + 1, rows, *shape)``, dtype of the observation space.
        masks: ``(horizon + 1, rows)`` bool: whether the row acts on this observation.
        values: ``(horizon + 1, rows)`` float32.
        actions: ``(horizon, rows, *shape)``; int64 for discrete actions, else float32.
        log_probs, rewards, advantages: ``(horizon, rows)`` float32.
        returns: ``(horizon, rows)`` float32: targets of the values.
        terminals, truncations: ``(horizon, rows)`` bool.
        final_values: ``(horizon, rows)`` float32: value of a truncated episode's last observation.
    """

    def __init__(self, env: PufferEnv, distribution: ActionDistribution, horizon: int, pinned: bool = False) -> None:
        rows, space = env.num_agents, env.single_observation_space
        self.horizon, self.rows = horizon, rows
        step = math.prod(space.shape) * space.dtype.itemsize + _BYTES_OF_STEP
        check_room(
            f"a rollout of {horizon} steps of {rows:,} rows (train.horizon, env.num_envs)",
            horizon * rows * step,
            "Choose fewer of one of them.",
        )
        self.observations: NDArray[Any] = _zeros((horizon + 1, rows, *space.shape), space.dtype, pinned)
        self.masks = np.ones((horizon + 1, rows), np.bool_)
        self.values = _zeros((horizon + 1, rows), np.float32, pinned)
        self.actions: NDArray[Any] = _zeros((horizon, rows, *distribution.shape), distribution.array_dtype, pinned)
        self.log_probs, self.rewards, self.final_values = np.zeros((3, horizon, rows), np.float32)
        self.advantages, self.returns = np.zeros((2, horizon, rows), np.float32)
        self.terminals, self.truncations = np.zeros((2, horizon, rows), np.bool_)

    def buffers(self, env: PufferEnv) -> list[Buffers]:
        """Where ``env`` is to write each step's results: right here."""
        return [
            Buffers(
                observations=self.observations[t + 1],
                rewards=self.rewards[t],
                terminals=self.terminals[t],
                truncations=self.truncations[t],
                masks=self.masks[t + 1],
                final_observations=env.final_observations,
                actions=env.actions,
            )
            for t in range(self.horizon)
        ]

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        return sum(a.nbytes for a in vars(self).values() if isinstance(a, np.ndarray))


def _zeros(shape: tuple[int, ...], dtype: Any, pinned: bool) -> NDArray[Any]:
    """Zeros that begin at a multiple of 64 bytes.

    Matrix products can differ in the last bit with the alignment of their operands, and a run is to be the same
    each time.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = torch.zeros(size + 64, dtype=torch.uint8, pin_memory=pinned).numpy()
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


class EpisodeStatistics:
    """Returns and lengths of the episodes of a run, gathered once for each rollout.

    Attributes:
        recent_returns, recent_lengths: of the last 100 episodes.
        episodes: how many ended.
        last_episodes: returns and lengths of those of this process that ended in the last rollout, until the next one.
    """

    def __init__(self, rollout: Rollout) -> None:
        self.recent_returns: deque[float] = deque(maxlen=RECENT)
        self.recent_lengths: deque[int] = deque(maxlen=RECENT)
        self.episodes = 0
        self.running_returns = np.zeros(rollout.rows, np.float64)
        self.running_lengths = np.zeros(rollout.rows, np.int64)
        self._returns = np.zeros(rollout.rewards.size, np.float64)
        self._lengths = np.zeros(rollout.rewards.size, np.int64)
        self.last_episodes = self._returns[:0], self._lengths[:0]

    def add(self, rollout: Rollout, gather: Gather = only_here, processes: int = 1) -> None:
        """Count the episodes that ended in ``rollout``, and in those of the other ``processes``."""
        count = finished_episodes(
            rollout.rewards,
            rollout.terminals,
            rollout.truncations,
            rollout.masks,
            self.running_returns,
            self.running_lengths,
            self._returns,
            self._lengths,
        )
        maximum = -(-RECENT // processes)  # of each process
        self.last_episodes = self._returns[:count], self._lengths[:count]
        newest = slice(max(0, count - maximum), count)
        mine = torch.full((3, maximum), torch.nan, dtype=torch.float64)
        mine[2] = count
        for row, values in enumerate((self._returns, self._lengths)):
            mine[row, : len(values[newest])] = torch.from_numpy(values[newest])
        for returns, lengths, counts in gather(mine):
            ended = int(counts[0])
            self.episodes += ended
            self.recent_returns.extend(returns[:ended].tolist())
            self.recent_lengths.extend(lengths[:ended].long().tolist())

    @property
    def mean_return(self) -> float:
        """Over the last 100 episodes; NaN before the first has ended."""
        return float(np.mean(self.recent_returns)) if self.recent_returns else float("nan")

    @property
    def mean_length(self) -> float:
        """Over the last 100 episodes; NaN before the first has ended."""
        return float(np.mean(self.recent_lengths)) if self.recent_lengths else float("nan")

    def summary(self) -> dict[str, float]:
        """Mean return and length over the last 100 episodes, and how many ended in all."""
        means = {"episode_return": self.mean_return, "episode_length": self.mean_length} if self.episodes else {}
        return {**means, "episodes": float(self.episodes)}
