"""Wrappers that normalize observations and rewards by running statistics over all rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.wrappers.base import AnyArray, Wrapper, _compiled, refuse_mask
from puffer_numba.wrappers.moments import merged

# ---------------------------------------------------------------------- normalization


class NormalizeObservation(Wrapper):
    """Observations less their running mean, divided by their running standard deviation, each element by itself.

    Statistics are those of all rows whose mask is set, first and last observations of episodes included, as with
    `gymnasium.wrappers.NormalizeObservation`. ``final_observations`` are normalized likewise.

    Args:
        env: observations are a Box of numbers; not bytes of several dtypes.
        epsilon: added to the variance.
        clip: the maximum absolute value that is left.

    Attributes:
        training: whether statistics are updated. Set it to False to evaluate.
        mean, var: float64, of the observation's shape.

    Raises:
        APIUsageError: observations are not such, or epsilon or clip is not positive.
    """

    own = frozenset({"observations", "final_observations"})

    def __init__(self, env: PufferEnv, epsilon: float = 1e-8, clip: float = 10.0) -> None:
        _check_positive(self, epsilon=epsilon, clip=clip)
        emulated = env.emulated
        if emulated is not None and len({leaf.dtype for leaf in emulated.leaves}) > 1:
            raise APIUsageError(
                f"NormalizeObservation cannot normalize {emulated.observation_space}, which is bytes of several dtypes "
                "here; put gymnasium.wrappers.NormalizeObservation around its parts, or normalize in the policy."
            )
        refuse_mask(self, env)
        shape = env.single_observation_space.shape
        super().__init__(env, Box(-clip, clip, shape, np.float32))
        self.emulated = None
        self.epsilon, self.clip, self.training = epsilon, clip, True
        self.mean, self.var = np.zeros(shape), np.ones(shape)
        self._count = np.full(1, _INITIAL_COUNT)
        self._sums = np.zeros((2, max(1, math.prod(shape))))
        self._chosen = np.zeros((3, self.num_agents), np.bool_)

    def update(self, rows: NDArray[np.int64]) -> None:
        """Normalize the observations of ``rows``."""
        env, n = self.env, self.num_agents
        _normalize_observations(
            rows,
            self.fresh,
            env.observations.reshape(n, -1),
            env.final_observations.reshape(n, -1),
            self.terminals,
            self.truncations,
            self.masks,
            self.observations.reshape(n, -1),
            self.final_observations.reshape(n, -1),
            self.mean.reshape(-1),
            self.var.reshape(-1),
            self._count,
            self._sums,
            self._chosen,
            self.training,
            self.epsilon,
            self.clip,
        )

    def state_dict(self) -> dict[str, AnyArray]:
        """Copies of the statistics: ``mean``, ``var``, ``count``."""
        return {"mean": self.mean.copy(), "var": self.var.copy(), "count": self._count.copy()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Continue from what `state_dict` returned.

        Raises:
            APIUsageError: an array is missing, unknown, or of another shape. Nothing has changed then.
        """
        _load(self, {"mean": self.mean, "var": self.var, "count": self._count}, state)


class NormalizeReward(Wrapper):
    """Rewards divided by the standard deviation of the discounted sum of each row's rewards so far, as in
    `stable_baselines3.common.vec_env.VecNormalize`. The sum starts anew where an episode ends, however it does.

    Statistics are of the rows whose mask was set when they acted. ``episode_returns`` and `log` keep to the
    environment's own rewards.

    Args:
        env: the environment.
        gamma: discount, from 0 to 1; the trainer's own.
        epsilon: added to the variance.
        clip: the maximum absolute reward that is left.

    Attributes:
        training: whether statistics are updated. Set it to False to evaluate.

    Raises:
        APIUsageError: gamma is outside 0 to 1, or epsilon or clip is not positive.
    """

    own = frozenset({"rewards"})

    def __init__(self, env: PufferEnv, gamma: float = 0.99, epsilon: float = 1e-8, clip: float = 10.0) -> None:
        if not 0 <= gamma <= 1:
            raise APIUsageError(f"NormalizeReward: gamma is {gamma!r}; expected a discount from 0 to 1.")
        _check_positive(self, epsilon=epsilon, clip=clip)
        super().__init__(env)
        self.gamma, self.epsilon, self.clip, self.training = gamma, epsilon, clip, True
        self._returns = np.zeros(self.num_agents)
        self._acts = np.zeros(self.num_agents, np.bool_)
        self._statistics = np.array([0.0, 1.0, _INITIAL_COUNT])

    @property
    def mean(self) -> float:
        """Of the discounted sums."""
        return float(self._statistics[0])

    @property
    def var(self) -> float:
        """Of the discounted sums."""
        return float(self._statistics[1])

    def update(self, rows: NDArray[np.int64]) -> None:
        """Normalize the rewards of ``rows``."""
        _normalize_rewards(
            rows,
            self.fresh,
            self.env.rewards,
            self.terminals,
            self.truncations,
            self.masks,
            self._acts,
            self._returns,
            self.rewards,
            self._statistics,
            self.training,
            self.gamma,
            self.epsilon,
            self.clip,
        )

    def state_dict(self) -> dict[str, AnyArray]:
        """A copy of the statistics."""
        return {"statistics": self._statistics.copy()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Continue from what `state_dict` returned.

        Raises:
            APIUsageError: an array is missing, unknown, or of another shape. Nothing has changed then.
        """
        _load(self, {"statistics": self._statistics}, state)


_INITIAL_COUNT = 1e-4  # as in Gymnasium and Stable-Baselines3, in place of a division by 0


def _check_positive(wrapper: Wrapper, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise APIUsageError(f"{type(wrapper).__name__}: {name} is {value!r}; expected a number above 0.")


def _load(wrapper: Wrapper, own: Mapping[str, AnyArray], state: Mapping[str, ArrayLike]) -> None:
    found = {name: np.shape(array) for name, array in state.items()}
    expected = {name: array.shape for name, array in own.items()}
    if found != expected:
        raise APIUsageError(f"{type(wrapper).__name__}.load_state_dict got arrays {found}; expected {expected}.")
    for name, array in own.items():
        array[...] = state[name]


_merged_moments = _compiled(merged)


@_compiled
def _merged(
    mean: float, var: float, count: float, delta_sum: float, square_sum: float, samples: int
) -> tuple[float, float]:
    """Mean and variance with more samples: their number, and the sums of their differences from ``mean`` and of the
    squares of these.
    """
    delta = delta_sum / samples
    return _merged_moments(mean, var, count, mean + delta, square_sum / samples - delta * delta, samples)


@_compiled
def _add_observations(
    observations: NDArray, rows: NDArray, chosen: NDArray, mean: NDArray, var: NDArray, count: NDArray, sums: NDArray
) -> None:
    """Add the observations of those ``rows`` that are ``chosen`` to the statistics."""
    sums[:] = 0
    samples = 0
    for k in range(len(rows)):
        if chosen[k]:
            samples += 1
            for e in range(len(mean)):
                delta = observations[rows[k], e] - mean[e]
                sums[0, e] += delta
                sums[1, e] += delta * delta
    if samples > 0:
        for e in range(len(mean)):
            mean[e], var[e] = _merged(mean[e], var[e], count[0], sums[0, e], sums[1, e], samples)
        count[0] += samples


@_compiled
def _normalize_observations(
    rows: NDArray,
    fresh: NDArray,
    observations: NDArray,
    finals: NDArray,
    terminals: NDArray,
    truncations: NDArray,
    masks: NDArray,
    normalized: NDArray,
    normalized_finals: NDArray,
    mean: NDArray,
    var: NDArray,
    count: NDArray,
    sums: NDArray,
    chosen: NDArray,
    training: bool,
    epsilon: float,
    clip: float,
) -> None:
    ended, going, starting = chosen
    for k in range(len(rows)):
        row = rows[k]
        ended[k] = (terminals[row] or truncations[row]) and not fresh[row]
        going[k] = masks[row] and not ended[k]
        starting[k] = masks[row] and ended[k]
    if training:  # first what the step led to, then the first observations of the next episodes
        _add_observations(observations, rows, going, mean, var, count, sums)
        _add_observations(finals, rows, ended, mean, var, count, sums)
    for k in range(len(rows)):
        if ended[k]:
            for e in range(len(mean)):
                value = (finals[rows[k], e] - mean[e]) / math.sqrt(var[e] + epsilon)
                normalized_finals[rows[k], e] = min(max(value, -clip), clip)
    if training:
        _add_observations(observations, rows, starting, mean, var, count, sums)
    for e in range(len(mean)):
        sums[0, e] = 1 / math.sqrt(var[e] + epsilon)
    for row in rows:
        for e in range(len(mean)):
            value = (observations[row, e] - mean[e]) * sums[0, e]
            normalized[row, e] = min(max(value, -clip), clip)


@_compiled
def _normalize_rewards(
    rows: NDArray,
    fresh: NDArray,
    rewards: NDArray,
    terminals: NDArray,
    truncations: NDArray,
    masks: NDArray,
    acts: NDArray,
    returns: NDArray,
    normalized: NDArray,
    statistics: NDArray,
    training: bool,
    gamma: float,
    epsilon: float,
    clip: float,
) -> None:
    mean, var, count = statistics
    delta_sum = square_sum = 0.0
    samples = 0
    for row in rows:
        if fresh[row]:
            returns[row] = 0
            continue
        returns[row] = returns[row] * gamma + rewards[row]
        if acts[row]:
            samples += 1
            delta_sum += returns[row] - mean
            square_sum += (returns[row] - mean) ** 2
    if training and samples > 0:
        mean, var = _merged(mean, var, count, delta_sum, square_sum, samples)
        statistics[0], statistics[1], statistics[2] = mean, var, count + samples
    scale = 1 / math.sqrt(var + epsilon)
    for row in rows:
        normalized[row] = 0.0 if fresh[row] else min(max(rewards[row] * scale, -clip), clip)
        if terminals[row] or truncations[row]:
            returns[row] = 0
        acts[row] = masks[row]
