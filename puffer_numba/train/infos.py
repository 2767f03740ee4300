"""Numbers that environments put into infos, such as success or score, averaged over the last episodes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import Infos, PufferEnv
from puffer_numba.train.rollout import RECENT

MAX_NAMES = 64  # of which a mean is kept: some environments have a key for each level, or each object
_OTHERS = frozenset({"reset_info", "final_info", "final_obs", "final_observation", "TimeLimit.truncated"})


class InfoStatistics:
    """Means of the numbers in infos: over the last 100 times that each was told.

    Of a wrapped environment, whose info comes with each step, that of the step in which an episode ends counts. What
    other PufferEnvs tell, they tell when it is to be known, as PufferLib's do, and all of it counts.

    Args:
        env: that the infos are of.
    """

    def __init__(self, env: PufferEnv) -> None:
        driver = env.driver_env
        self._at_ends = driver.emulated is not None
        self._agents = frozenset(getattr(driver, "possible_agents", ()))
        self._rows = env.num_agents // env.num_envs  # of each environment
        self._recent: dict[str, deque[float]] = {}

    def add(self, infos: Infos, ended: NDArray[np.bool_]) -> None:
        """Take what is to be counted.

        Args:
            infos: of a step.
            ended: ``(num_agents,)``: whether the row's episode ended in it.
        """
        if not self._at_ends:
            for info in infos:
                self._take(info)
        elif ended.any():
            numbers = getattr(infos, "numbers", range(len(infos)))
            open_ = set((np.flatnonzero(ended) // self._rows).tolist())
            for number, info in zip(numbers, infos, strict=False):
                if number in open_:  # what follows is the next episode's
                    open_.discard(number)
                    self._take(info)

    def _take(self, info: Mapping[str, Any]) -> None:
        for name, value in _numbers(info, self._agents):
            if name not in self._recent:
                if len(self._recent) == MAX_NAMES:
                    continue
                self._recent[name] = deque(maxlen=RECENT)
            self._recent[name].append(value)

    def summary(self) -> dict[str, float]:
        """The mean of each number, by name."""
        return {name: sum(values) / len(values) for name, values in self._recent.items()}


def _numbers(info: Mapping[str, Any], agents: frozenset[str], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Names and values of the finite numbers in an info; those of agents have one name for all of them."""
    for key, value in info.items():
        name = str(key)
        if name in _OTHERS or name.startswith("_"):
            continue
        if isinstance(value, Mapping):
            yield from _numbers(value, agents, prefix if key in agents else f"{prefix}{name}/")
        elif isinstance(value, int | float | np.number | np.bool_) or (
            isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "biuf"
        ):
            number = float(value if not isinstance(value, np.ndarray) else value.item())
            if math.isfinite(number):
                yield prefix + name, number
