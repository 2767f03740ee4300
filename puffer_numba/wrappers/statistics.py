"""Returns and lengths of episodes, where an environment keeps none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import PufferEnv
from puffer_numba.wrappers.base import Wrapper, _compiled

# ---------------------------------------------------------------------- statistics of episodes


class EpisodeStats(Wrapper):
    """Returns and lengths of episodes: in ``episode_returns`` and ``episode_lengths``, and on average in `log`.

    For PufferEnvs that keep none. An agent's episode begins with the first step in which its mask is set.
    """

    def __init__(self, env: PufferEnv) -> None:
        super().__init__(env)
        rows = self.num_agents
        self.episode_returns, self.episode_lengths = np.zeros(rows, np.float32), np.zeros(rows, np.int32)
        self._returns, self._lengths = np.zeros(rows, np.float64), np.zeros(rows, np.int64)
        self._acts = np.zeros(rows, np.bool_)
        self._totals = np.zeros(3)  # episodes, and the sums of their returns and lengths

    def update(self, rows: NDArray[np.int64]) -> None:
        """Count a step of ``rows``."""
        _count_episodes(
            rows,
            self.fresh,
            self.rewards,
            self.terminals,
            self.truncations,
            self.masks,
            self._acts,
            self._returns,
            self._lengths,
            self.episode_returns,
            self.episode_lengths,
            self._totals,
        )

    def log(self) -> dict[str, float]:
        """``episodes`` that ended since the last call, their mean ``episode_return`` and ``episode_length``; and what
        the wrapped environment's log has besides.
        """
        episodes, returns, lengths = self._totals.tolist()
        self._totals[:] = 0
        means = {"episode_return": returns / episodes, "episode_length": lengths / episodes} if episodes else {}
        return {**self.env.log(), "episodes": episodes, **means}


@_compiled
def _count_episodes(
    rows: NDArray,
    fresh: NDArray,
    rewards: NDArray,
    terminals: NDArray,
    truncations: NDArray,
    masks: NDArray,
    acts: NDArray,
    returns: NDArray,
    lengths: NDArray,
    final_returns: NDArray,
    final_lengths: NDArray,
    totals: NDArray,
) -> None:
    for row in rows:
        if fresh[row]:
            returns[row] = lengths[row] = 0
        elif acts[row] or lengths[row] > 0:
            returns[row] += rewards[row]
            lengths[row] += 1
            if terminals[row] or truncations[row]:
                final_returns[row] = returns[row]
                final_lengths[row] = lengths[row]
                totals[0] += 1
                totals[1] += returns[row]
                totals[2] += lengths[row]
                returns[row] = lengths[row] = 0
        acts[row] = masks[row]
