"""`puffer_numba.envs.trading` with the calls of a trading gym: one market, or several that are stepped by lists.

::

    env = TradingEnv(max_ticks=10_000, seed=42, dtype="float64")
    observation, info = env.reset()
    observation, reward, terminated, truncated, info = env.step(2)  # 0 sell, 1 hold, 2 buy
    print(dict(zip(env.feature_names(), observation)), info["tick"], info["equity"], info["realized_pnl"])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.as_gymnasium import JitGymnasiumEnv
from puffer_numba.emulation.as_gymnasium_vector import PufferVectorEnv
from puffer_numba.env import APIUsageError
from puffer_numba.envs.trading import BUY, SELL, Trading

AnyArray = NDArray[Any]
Infos = list[dict[str, Any]]


class ActionError(APIUsageError, ValueError):
    """An action is none of sell, hold and buy, or there are not as many as environments."""


class Trading64(Trading):
    """The same market with observations of float64, to be made with ``dtype="float64"``."""

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(-np.inf, np.inf, Trading.single_observation_space(p).shape, np.float64)


class TradingEnv(JitGymnasiumEnv):
    """One market as a `gymnasium.Env`; `puffer_numba.envs.trading.Trading` describes it.

    Infos have ``tick``, ``equity`` and ``realized_pnl``. It does not reset itself.

    Args:
        max_ticks: steps of an episode.
        seed: of the first reset, unless that has one; None: fresh entropy.
        dtype: "float32": observations in ``Box(-1, 1, (54,), float32)``. "float64": the same features, computed in
            float64, in ``Box(-inf, inf, (54,), float64)``.
        render_mode: None or "rgb_array".
        **params: of `Trading`: ``data``, ``cash``, ``fee``, ...

    Raises:
        ValueError: a parameter out of its bounds.
    """

    puffer_env: Trading

    def __init__(
        self,
        max_ticks: int = 512,
        seed: int | None = None,
        *,
        dtype: str | type = "float32",
        render_mode: str | None = None,
        **params: Any,
    ) -> None:
        super().__init__(_market(1, max_ticks, seed, dtype, autoreset="disabled", **params), render_mode)

    def step(self, action: ArrayLike) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step.

        Args:
            action: 0 to sell a lot, 1 to hold, 2 to buy; of several symbols, one of these for each.

        Returns:
            ``(observation, reward, terminated, truncated, info)``, as `JitGymnasiumEnv.step` does.

        Raises:
            ActionError: it is something else.
            APIUsageError: the episode has ended or has not begun.
        """
        _check(action)
        return super().step(action)

    def feature_names(self) -> list[str]:
        """Names of the observation's elements, in their order."""
        return self.puffer_env.feature_names()


class VecTradingEnv(PufferVectorEnv):
    """Several markets, stepped together: a `gymnasium.vector.VectorEnv` that takes and returns lists as well.

    Where an episode ends, the next step starts another, whatever its action: Gymnasium's NEXT_STEP autoreset.

    Args:
        num_envs: how many.
        max_ticks: steps of an episode.
        base_seed: environment ``i`` starts as a `TradingEnv` of the seed ``base_seed + i`` does.
        dtype, **params: as for `TradingEnv`.
    """

    puffer_env: Trading

    def __init__(
        self, num_envs: int, max_ticks: int = 512, base_seed: int = 0, *, dtype: str | type = "float32", **params: Any
    ) -> None:
        super().__init__(_market(num_envs, max_ticks, base_seed, dtype, autoreset="next-step", **params))
        self.base_seed = base_seed

    def reset_all(self, seeds: Sequence[int | None] | None = None) -> tuple[AnyArray, Infos]:
        """Start all episodes anew.

        Args:
            seeds: one for each environment; by default ``base_seed``, ``base_seed + 1``, ...

        Returns:
            ``(observations, infos)``: ``(num_envs, features)``, and a dict for each environment.

        Raises:
            APIUsageError: more or fewer seeds than environments.
        """
        seeds = range(self.base_seed, self.base_seed + self.num_envs) if seeds is None else list(seeds)
        observations, infos = self.reset(seed=seeds)
        return observations, self._by_environment(infos)

    def step_all(self, actions: ArrayLike) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, Infos]:
        """One step of every environment.

        Args:
            actions: a list or array with one for each, as `TradingEnv.step` takes it.

        Returns:
            ``(observations, rewards, terminated, truncated, infos)``, an array or list of ``num_envs`` each.

        Raises:
            ActionError: one is none, or there are more or fewer than environments.
            APIUsageError: no reset yet.
        """
        count = len(np.atleast_1d(actions))
        if count != self.num_envs:
            raise ActionError(f"step_all() got {count} actions; expected {self.num_envs}, one for each environment.")
        _check(actions)
        observations, rewards, terminated, truncated, infos = self.step(np.asarray(actions))
        return observations, rewards, terminated, truncated, self._by_environment(infos)

    def _by_environment(self, infos: dict[str, Any]) -> Infos:
        columns = [infos[name].tolist() for name in Trading.info]
        return [dict(zip(Trading.info, row, strict=True)) for row in zip(*columns, strict=True)]

    def feature_names(self) -> list[str]:
        """Names of an observation's elements, in their order."""
        return self.puffer_env.feature_names()


def _market(num_envs: int, max_ticks: int, seed: int | None, dtype: str | type, **params: Any) -> Trading:
    env_class = Trading64 if np.dtype(dtype) == np.float64 else Trading
    return env_class(num_envs, max_ticks=max_ticks, seed=seed, dtype=dtype, **params)


def _check(actions: ArrayLike) -> None:
    array = np.asarray(actions)
    if not (array.dtype.kind in "iu" and ((array >= SELL) & (array <= BUY)).all()):
        raise ActionError(f"action must be 0 (sell), 1 (hold) or 2 (buy), not {actions!r}.")
