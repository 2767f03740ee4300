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

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numba
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.actions import ActionChecker, HybridSpace
from puffer_numba.env import APIUsageError, Buffers, Infos, PufferEnv, RecvResult, StepResult
from puffer_numba.extras import require
from puffer_numba.jit import JitEnv, kernels
from puffer_numba.jit.announce import announce

AnyArray = NDArray[Any]


def _compiled(function: Callable[..., Any]) -> Any:
    return announce(numba.njit(function, cache=True, nogil=True, error_model="numpy"), "wrappers")


class Wrapper(PufferEnv):
    """A `PufferEnv` around another. By itself it changes nothing.

    A subclass names the arrays that it writes itself in ``own``, all others are those of the wrapped environment, and
    overrides `update`, which writes them, or `take`, which changes actions::

        class NegateReward(Wrapper):
            own = frozenset({"rewards"})

            def update(self, rows):
                self.rewards[rows] = -self.env.rewards[rows]

    Args:
        env: the environment, which resets itself in the same step.
        observation_space, action_space: of one row, where they differ from the wrapped environment's.

    Attributes:
        env: the wrapped environment.
        fresh: ``(num_agents,)`` bool: in `update`, whether the row comes from a reset, not from a step.
        emulated: as the wrapped environment's; None where observations are no longer such.

    Raises:
        APIUsageError: ``env`` is no PufferEnv, or a JitEnv with another ``autoreset``.
    """

    own: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, env: PufferEnv, observation_space: Box | None = None, action_space: Box | None = None) -> None:
        name = type(self).__name__
        if not isinstance(env, PufferEnv):
            raise APIUsageError(
                f"{name} takes a PufferEnv, not a {type(env).__name__}; a Gymnasium environment has wrappers of its "
                "own, or becomes one with puffer_numba.vector.make."
            )
        if isinstance(env, JitEnv) and env.autoreset != kernels.SAME_STEP:
            raise APIUsageError(f"{name} takes a JitEnv that resets itself in the same step: autoreset='same-step'.")
        self.env = env
        self.single_observation_space = observation_space or env.single_observation_space
        self.single_action_space = action_space or env.single_action_space
        self.num_agents = env.num_agents
        self.agents_per_batch = getattr(env, "agents_per_batch", env.num_agents)
        self.emulated = getattr(env, "emulated", None)
        self.episode_returns, self.episode_lengths = env.episode_returns, env.episode_lengths
        self.fresh = np.ones(self.num_agents, np.bool_)
        self._bound: dict[int, tuple[Buffers, Buffers]] = {}
        super().__init__({field: array for field, array in env.buffers._asdict().items() if field not in self.own})

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return self.env.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of the wrapped environment, and of the arrays that this one has beside."""
        return self.env.nbytes + sum(getattr(self, name).nbytes for name in self.own)

    def bind(self, buffers: Buffers) -> None:
        """Write the next steps into ``buffers``, which must be as `make_buffers` makes them; if ``env`` can."""
        if hasattr(self, "buffers"):
            if id(buffers) not in self._bound:  # both are kept, as a JitEnv looks up buffers that it knows
                shared = buffers._replace(**{name: getattr(self.env.buffers, name) for name in self.own})
                self._bound[id(buffers)] = buffers, shared
            self.env.bind(self._bound[id(buffers)][1])
        super().bind(buffers)

    def take(self, actions: ArrayLike) -> ArrayLike:
        """The actions that the wrapped environment gets."""
        return actions

    def update(self, rows: NDArray[np.int64]) -> None:
        """Write ``own`` arrays; those of the wrapped environment have just been written.

        Args:
            rows: their numbers: all, or one batch of an asynchronous backend.
        """

    def _received(self, rows: NDArray[np.int64]) -> None:
        self.update(rows)
        self.fresh[rows] = False

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[AnyArray, Infos]:
        """Start every environment anew; arguments go to the wrapped environment, ``options`` where there are any."""
        arguments = {} if options is None else {"options": options}
        _, infos = self.env.reset(seed, **arguments)
        self.fresh[:] = True
        self._received(self.agent_ids)
        return self.observations, infos

    def step(self, actions: ArrayLike) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_agents, *action_shape)``.
        """
        infos = self.env.step(self.take(actions))[4]
        self._received(self.agent_ids)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def async_reset(self, seed: Any = None) -> None:
        """Like `reset`; the result is fetched with `recv`."""
        self.env.async_reset(seed)
        self.fresh[:] = True

    def send(self, actions: ArrayLike, env_ids: NDArray[np.int64] | None = None) -> None:
        """Like `step`; the result is fetched with `recv`. ``env_ids``: the rows that these are for, as from `recv`."""
        self.env.send(self.take(actions), env_ids)

    def recv(self) -> RecvResult:
        """Results of the last `send` or `async_reset`, or of the rows that are ready first, as ``env`` gives them."""
        *_, infos, rows, masks = self.env.recv()
        self._received(rows)
        if len(rows) == self.num_agents:
            return self.observations, self.rewards, self.terminals, self.truncations, infos, rows, masks
        which = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] == len(rows) - 1 else rows
        b = self.buffers
        results = (b.observations[which], b.rewards[which], b.terminals[which], b.truncations[which])
        return *results, infos, rows, masks

    def render(self) -> Any:
        """As the wrapped environment's."""
        return self.env.render()

    def log(self) -> dict[str, float]:
        """As the wrapped environment's."""
        return self.env.log()

    def close(self) -> None:
        """Close the wrapped environment. Calling it again does nothing."""
        self.env.close()
        self._bound.clear()
        super().close()


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


# ---------------------------------------------------------------------- actions


class ClipAction(Wrapper):
    """Takes any real numbers for a Box of actions, and clips them to its bounds, as `gymnasium.wrappers.ClipAction`."""

    own = frozenset({"actions"})

    def __init__(self, env: PufferEnv) -> None:
        space = _box_of_actions(env, "ClipAction")
        super().__init__(env, action_space=Box(-np.inf, np.inf, space.shape, space.dtype.type))
        self._check = ActionChecker(self.single_action_space, self.agents_per_batch)
        self._taken = np.zeros((self.agents_per_batch, *space.shape), space.dtype)

    def take(self, actions: ArrayLike) -> AnyArray:
        """The clipped actions."""
        space = self.env.single_action_space
        return np.clip(self._check(actions), space.low, space.high, out=self._taken, casting="unsafe")


class RescaleAction(Wrapper):
    """Maps a Box of actions from other bounds linearly to its own, as `gymnasium.wrappers.RescaleAction`.

    Args:
        env: with a bounded Box of actions.
        low, high: the bounds that actions now have: numbers, or arrays of the action's shape.

    Raises:
        APIUsageError: the Box is not bounded; or bounds of the wrong shape, not finite, or not one below the other.
    """

    own = frozenset({"actions"})

    def __init__(self, env: PufferEnv, low: ArrayLike = -1.0, high: ArrayLike = 1.0) -> None:
        space = _box_of_actions(env, "RescaleAction")
        if not space.is_bounded():
            raise APIUsageError(f"RescaleAction needs bounds to scale to, which {space} lacks; use ClipAction.")
        try:
            lows, highs = (np.broadcast_to(bound, space.shape).astype(space.dtype) for bound in (low, high))
        except ValueError:
            raise APIUsageError(
                f"RescaleAction: low and high have shapes {np.shape(low)} and {np.shape(high)}; expected numbers, or "
                f"arrays of shape {space.shape}."
            ) from None
        if not (np.isfinite(lows).all() and np.isfinite(highs).all() and (lows < highs).all()):
            raise APIUsageError(
                f"RescaleAction: low is {low!r} and high is {high!r}; expected finite bounds, low < high."
            )
        super().__init__(env, action_space=Box(lows, highs, dtype=space.dtype.type))
        self._check = ActionChecker(self.single_action_space, self.agents_per_batch)
        self._taken = np.zeros((self.agents_per_batch, *space.shape), space.dtype)
        self._low, self._scale = lows, (space.high - space.low) / (highs - lows)

    def take(self, actions: ArrayLike) -> AnyArray:
        """The rescaled actions."""
        space, taken = self.env.single_action_space, self._taken
        np.subtract(self._check(actions), self._low, out=taken, casting="unsafe")
        taken *= self._scale
        taken += space.low
        return np.clip(taken, space.low, space.high, out=taken)  # what rounding has put outside


def _box_of_actions(env: PufferEnv, name: str) -> Box:
    space = env.single_action_space
    if not isinstance(space, Box) or isinstance(space, HybridSpace) or np.dtype(space.dtype).kind != "f":
        raise APIUsageError(f"{name} needs a Box of floats for actions; {type(env).__name__} has {space}.")
    return space


# ---------------------------------------------------------------------- normalization


class NormalizeObservation(Wrapper):
    """Observations less their running mean, divided by their running deviation, each element by itself.

    Statistics are those of all rows whose mask is set, first and last observations of episodes included, as with
    `gymnasium.wrappers.NormalizeObservation`. ``final_observations`` are normalized likewise.

    Args:
        env: observations are a Box of numbers; not bytes of several dtypes.
        epsilon: added to the variance.
        clip: the largest absolute value that is left.

    Attributes:
        training: whether statistics are updated. Set it to False to evaluate.
        mean, var: float64, of the observation's shape.

    Raises:
        APIUsageError: observations are not such, or epsilon or clip is not positive.
    """

    own = frozenset({"observations", "final_observations"})

    def __init__(self, env: PufferEnv, epsilon: float = 1e-8, clip: float = 10.0) -> None:
        _check_positive(self, epsilon=epsilon, clip=clip)
        emulated = getattr(env, "emulated", None)
        if emulated is not None and len({leaf.dtype for leaf in emulated.leaves}) > 1:
            raise APIUsageError(
                f"NormalizeObservation cannot normalize {emulated.observation_space}, which is bytes of several dtypes "
                "here; put gymnasium.wrappers.NormalizeObservation around its parts, or normalize in the policy."
            )
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
        """Go on from what `state_dict` returned.

        Raises:
            APIUsageError: an array is missing, unknown, or of another shape. Nothing has changed then.
        """
        _load(self, {"mean": self.mean, "var": self.var, "count": self._count}, state)


class NormalizeReward(Wrapper):
    """Rewards divided by the deviation of the discounted sum of each row's rewards so far, as in
    `stable_baselines3.common.vec_env.VecNormalize`. The sum starts anew where an episode ends, however it does.

    Statistics are of the rows whose mask was set when they acted. ``episode_returns`` and `log` keep to the
    environment's own rewards.

    Args:
        env: the environment.
        gamma: discount, from 0 to 1; the trainer's own.
        epsilon: added to the variance.
        clip: the largest absolute reward that is left.

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
        """Go on from what `state_dict` returned.

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


@_compiled
def _merged(
    mean: float, var: float, count: float, delta_sum: float, square_sum: float, samples: int
) -> tuple[float, float]:
    """Mean and variance with more samples: their number, and the sums of their differences from ``mean`` and of the
    squares of these (Chan, Golub & LeVeque, 1983).
    """
    delta = delta_sum / samples
    total = count + samples
    squares = var * count + (square_sum - samples * delta * delta) + delta * delta * count * samples / total
    return mean + delta * samples / total, squares / total


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


# ---------------------------------------------------------------------- pictures


class FrameStack(Wrapper):
    """The last ``num_frames`` observations, oldest first, along a new axis.

    Where an episode ends, the stack starts anew in the same step, and ``final_observations`` hold the old one.

    Args:
        env: the environment.
        num_frames: at least 1.
        axis: where the new axis stands in one observation: 0 as in `gymnasium.wrappers.FrameStackObservation`, -1 for
            grey pictures whose channels come last.
        padding: what stands for what was before the first observation: "reset", copies of it, or "zero".

    Raises:
        APIUsageError: an argument is none of these.
    """

    own = frozenset({"observations", "final_observations"})

    def __init__(self, env: PufferEnv, num_frames: int, axis: int = 0, padding: str = "reset") -> None:
        if isinstance(num_frames, bool) or not isinstance(num_frames, int | np.integer) or num_frames < 1:
            raise APIUsageError(f"FrameStack: num_frames is {num_frames!r}; expected a whole number, at least 1.")
        if padding not in ("reset", "zero"):
            raise APIUsageError(f"FrameStack: padding is {padding!r}; expected 'reset' or 'zero'.")
        space = env.single_observation_space
        if not -len(space.shape) - 1 <= axis <= len(space.shape):
            raise APIUsageError(
                f"FrameStack: axis is {axis}, but a stack of {space.shape} has {len(space.shape) + 1} axes."
            )
        low, high = (np.stack([bound] * num_frames, axis) for bound in (space.low, space.high))
        if padding == "zero":
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        super().__init__(env, Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type))
        self.emulated = None
        before = axis % (len(space.shape) + 1)  # axes before the new one
        outer = math.prod(space.shape[:before])
        self._frame = (self.num_agents, outer, math.prod(space.shape[before:]))
        self._shape = (self.num_agents, outer, num_frames, self._frame[2])
        self._stack = np.zeros(self._shape, space.dtype)  # not the observations, which others may bind or write to
        self._zero = padding == "zero"

    def update(self, rows: NDArray[np.int64]) -> None:
        """Stack the observations of ``rows``."""
        _stack_frames(
            rows,
            self.fresh,
            self.env.observations.reshape(self._frame),
            self.env.final_observations.reshape(self._frame),
            self.terminals,
            self.truncations,
            self._stack,
            self.observations.reshape(self._shape),
            self.final_observations.reshape(self._shape),
            self._zero,
        )


@_compiled
def _stack_frames(
    rows: NDArray,
    fresh: NDArray,
    frames: NDArray,
    finals: NDArray,
    terminals: NDArray,
    truncations: NDArray,
    stack: NDArray,
    stacked: NDArray,
    stacked_finals: NDArray,
    zero: bool,
) -> None:
    last = stack.shape[2] - 1
    for row in rows:
        ended = (terminals[row] or truncations[row]) and not fresh[row]
        for o in range(stack.shape[1]):
            if ended:
                stacked_finals[row, o, :last] = stack[row, o, 1:]
                stacked_finals[row, o, last] = finals[row, o]
            if ended or fresh[row]:
                for k in range(last):
                    if zero:
                        stack[row, o, k] = 0
                    else:
                        stack[row, o, k] = frames[row, o]
            else:
                for k in range(last):
                    stack[row, o, k] = stack[row, o, k + 1]
            stack[row, o, last] = frames[row, o]
            stacked[row, o] = stack[row, o]


class ResizeObservation(Wrapper):
    """Smaller pictures, each element the mean over its area: what `gymnasium.wrappers.ResizeObservation` gives, but all
    rows in one call of OpenCV. Needs the extra ``atari``.

    Args:
        env: observations are pictures: (height, width) or (height, width, channels), of at most 4 channels.
        shape: ``(height, width)``, neither larger than before.

    Raises:
        APIUsageError: observations are no pictures, or ``shape`` is no such.
        MissingExtra: OpenCV is not installed.
    """

    own = frozenset({"observations", "final_observations"})

    def __init__(self, env: PufferEnv, shape: tuple[int, int]) -> None:
        self._cv2 = require("cv2", "opencv", "ResizeObservation")
        space = env.single_observation_space
        dtype = np.dtype(space.dtype)
        channels = space.shape[2:]
        if len(space.shape) not in (2, 3) or math.prod(channels) > 4 or dtype.name not in _PICTURE_DTYPES:
            raise APIUsageError(
                f"ResizeObservation takes pictures, (height, width) or (height, width, channels), of at most 4 "
                f"channels and {', '.join(_PICTURE_DTYPES)}; {type(env).__name__} has {space}."
            )
        if len(shape) != 2 or not all(1 <= new <= old for new, old in zip(shape, space.shape, strict=False)):
            raise APIUsageError(
                f"ResizeObservation: shape is {shape!r}; expected (height, width), at most {space.shape[:2]}."
            )
        new_shape = (*shape, *channels)
        low, high = (bound.reshape(-1)[0] for bound in (space.low, space.high))
        super().__init__(env, Box(low, high, new_shape, dtype.type))
        self.emulated = None
        self.size = (int(shape[0]), int(shape[1]))

    def update(self, rows: NDArray[np.int64]) -> None:
        """Resize the pictures of ``rows``, and the last ones of those whose episodes ended."""
        if len(rows) == self.num_agents:
            self._resize(self.env.observations, self.observations)
        else:
            self.observations[rows] = self._resized(self.env.observations[rows])
        ended = rows[(self.terminals[rows] | self.truncations[rows]) & ~self.fresh[rows]]
        if len(ended):
            self.final_observations[ended] = self._resized(self.env.final_observations[ended])

    def _resized(self, pictures: AnyArray) -> AnyArray:
        resized = np.empty((len(pictures), *self.single_observation_space.shape), pictures.dtype)
        self._resize(pictures, resized)
        return resized

    def _resize(self, pictures: AnyArray, resized: AnyArray) -> None:
        """All in one, one above the other: no mean over an area reaches into the next picture."""
        tall, target = (a.reshape(-1, *a.shape[2:]) for a in (pictures, resized))
        height, width = self.size
        self._cv2.resize(tall, (width, height * len(pictures)), dst=target, interpolation=self._cv2.INTER_AREA)


_PICTURE_DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
