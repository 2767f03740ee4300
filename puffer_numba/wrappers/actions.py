"""Wrappers that change actions."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.spaces.actions import ActionChecker, HybridSpace
from puffer_numba.wrappers.base import AnyArray, Wrapper

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
