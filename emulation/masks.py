"""Action masks that an environment tells in its infos, moved to where policies look for them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from pettingzoo.utils.wrappers import BaseParallelWrapper

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
        self.key = key
        self._size = _choices("ActionMaskFromInfo", env.action_space)
        self.observation_space = _with_mask_space(env.observation_space, self._size)

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
        return {"observation": observation, ACTION_MASK: _mask(self.env, info, self.key, self._size)}


class ActionMasksFromInfos(BaseParallelWrapper[Any, Any, Any]):
    """The same for a `pettingzoo.ParallelEnv`, whose infos by agent have masks: shimmy's OpenSpiel, for example.

    All actions are legal for an agent whose info has no mask.

    Args:
        env: each agent's actions are Discrete or MultiDiscrete.
        key: of the mask in each agent's info.

    Raises:
        APIUsageError: actions of another kind; at a reset no info with a mask, or a mask of another length.
    """

    def __init__(self, env: ParallelEnv[Any, Any, Any], key: str = ACTION_MASK) -> None:
        super().__init__(env)
        self.key = key
        self._spaces: dict[Any, Dict] = {}
        self._sizes: dict[Any, int] = {}

    def observation_space(self, agent: Any) -> Dict:
        """The agent's own, always the same object."""
        if agent not in self._spaces:
            self._sizes[agent] = _choices(f"info_masks: {agent!r}", self.env.action_space(agent))
            self._spaces[agent] = _with_mask_space(self.env.observation_space(agent), self._sizes[agent])
        return self._spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Start an episode."""
        observations, infos = self.env.reset(seed=seed, options=options)
        if not any(self.key in info for info in infos.values()):
            told = sorted({str(key) for info in infos.values() for key in info})
            raise APIUsageError(f"info_masks: {self.env} told no {self.key!r} in its infos; there are {told}.")
        return self._with_masks(observations, infos), infos

    def step(self, actions: Any) -> Any:
        """Take an action of each agent."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        return self._with_masks(observations, infos), rewards, terminations, truncations, infos

    def _with_masks(self, observations: Any, infos: Any) -> dict[Any, Any]:
        return {
            agent: {"observation": observation, ACTION_MASK: self._mask(agent, infos.get(agent, {}))}
            for agent, observation in observations.items()
        }

    def _mask(self, agent: Any, info: Any) -> NDArray[np.int8]:
        self.observation_space(agent)
        size = self._sizes[agent]
        return _mask(f"{agent!r} of {self.env}", info, self.key, size) if self.key in info else np.ones(size, np.int8)


def _choices(what: str, space: Any) -> int:
    if not isinstance(space, Discrete | MultiDiscrete):
        raise APIUsageError(f"{what} takes Discrete or MultiDiscrete actions, not {space}.")
    return int(space.n) if isinstance(space, Discrete) else int(space.nvec.sum())


def _with_mask_space(space: Any, size: int) -> Dict:
    return Dict({"observation": space, ACTION_MASK: Box(0, 1, (size,), np.int8)})


def _mask(env: Any, info: Any, key: str, size: int) -> NDArray[np.int8]:
    mask = np.asarray(info[key], np.int8)
    if mask.shape != (size,):
        raise APIUsageError(f"info[{key!r}] of {env} has shape {mask.shape}; expected ({size},): one for each choice.")
    return mask
