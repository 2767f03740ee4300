"""Action masks that an environment tells in its infos, moved to where policies look for them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.utils import RecordConstructorArgs

from puffer_numba.env import APIUsageError
from puffer_numba.spaces.observations import ACTION_MASK


class ActionMaskFromInfo(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Observations become ``{"observation": ..., "action_mask": ...}``, the mask being the info's of that name.

    The policies of this library give actions with a 0 there probability 0::

        vector.make(lambda: ActionMaskFromInfo(gymnasium.make("Taxi-v4")), num_envs=8)

    Args:
        env: its actions are Discrete, or MultiDiscrete; its infos have a mask after each reset and step, with an
            element for each choice.
        key: of the mask in the infos.

    Raises:
        APIUsageError: actions of another kind; an info without a mask, or with one of another length.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], key: str = ACTION_MASK) -> None:
        RecordConstructorArgs.__init__(self, key=key)
        gymnasium.Wrapper.__init__(self, env)
        space = env.action_space
        if not isinstance(space, Discrete | MultiDiscrete):
            raise APIUsageError(f"ActionMaskFromInfo takes Discrete or MultiDiscrete actions, not {space}.")
        self.key = key
        self._size = int(space.n) if isinstance(space, Discrete) else int(space.nvec.sum())
        mask = Box(0, 1, (self._size,), np.int8)
        self.observation_space = Dict({"observation": env.observation_space, ACTION_MASK: mask})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take an action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(observation, info), reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        if self.key not in info:
            raise APIUsageError(f"{self.env} told no {self.key!r} in its info; there are {sorted(info)}.")
        mask = np.asarray(info[self.key], np.int8)
        if mask.shape != (self._size,):
            raise APIUsageError(
                f"info[{self.key!r}] of {self.env} has shape {mask.shape}; expected ({self._size},): one for each "
                "choice."
            )
        return {"observation": observation, ACTION_MASK: mask}
