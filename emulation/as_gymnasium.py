"""A `JitEnv` of one environment as a `gymnasium.Env`."""

from __future__ import annotations

from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import HumanRendering
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.views import (
    check_render_mode,
    check_single,
    first_info,
    make_single,
    own_layouts,
    render_metadata,
)
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.registry import spec

AnyArray = NDArray[Any]


def make_env(name: str, render_mode: str | None = None, **kwargs: Any) -> gymnasium.Env[AnyArray, Any]:
    """One registered environment as a `gymnasium.Env`: what ``gymnasium.make`` calls.

    Where Gymnasium's registry holds a time limit for the environment, Gymnasium's ``TimeLimit`` wrapper keeps it,
    so that ``gymnasium.make(..., max_episode_steps=)`` may shorten or lengthen it; the environment itself then has
    none.

    Args:
        name: as in `puffer_numba.make`.
        render_mode: None; where the environment renders images, "rgb_array", or "human" for a window (pygame).
        **kwargs: for the environment's class. Its ``seed`` is None, fresh entropy, unless given.

    Raises:
        APIUsageError: unknown name, an environment with several agents, or bad arguments.
    """
    registered = gymnasium.registry.get(spec(name).gym_id)
    if registered is not None and registered.max_episode_steps is not None:
        kwargs.setdefault("max_episode_steps", None)
    puffer_env = make_single(name, "gymnasium.make", kwargs)
    if render_mode == "human" and "rgb_array" in puffer_env.render_modes:
        if find_spec("pygame") is None:
            raise ImportError("render_mode='human' needs pygame: pip install 'puffer_numba[render]'")
        return HumanRendering(JitGymnasiumEnv(puffer_env, "rgb_array"))
    return JitGymnasiumEnv(puffer_env, render_mode)


class JitGymnasiumEnv(gymnasium.Env[Any, Any]):
    """A `JitEnv` of one environment and one agent, as a `gymnasium.Env`.

    It does not reset itself: ``step`` after the end of an episode raises. Observations and infos are copies, the
    user's to keep. ``np_random`` is seeded as Gymnasium demands, but the environment draws from its own stream.

    Args:
        env: made with ``num_envs=1, autoreset="disabled"``. Its ``seed`` serves the first reset that has none.
        render_mode: None, or "rgb_array" where the environment renders images.

    Raises:
        APIUsageError: ``env`` or ``render_mode`` is not such.
    """

    def __init__(self, env: JitEnv, render_mode: str | None = None) -> None:
        check_single(env, "JitGymnasiumEnv")
        if env.num_agents != 1:
            raise APIUsageError(
                f"JitGymnasiumEnv takes an environment of one agent; {type(env).__name__} has {env.num_agents}: "
                "see puffer_numba.emulation.as_pettingzoo."
            )
        check_render_mode(env, render_mode, "For a window: gymnasium.make(..., render_mode='human').")
        self.puffer_env = env
        self.render_mode = render_mode
        self.metadata = render_metadata(env)
        if "rgb_array" in env.render_modes and find_spec("pygame") is not None:
            self.metadata["render_modes"].append("human")
        # a class may declare one space for all of its objects; sampling needs a generator of one's own
        self._layout, _ = own_layouts(env)
        self.observation_space = deepcopy(self._layout.space if self._layout else env.single_observation_space)
        self.action_space = deepcopy(env.single_action_space)
        self._info_views = env.info_fields()
        self._ended = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: starts the random stream anew; without one it continues. Not negative.
            options: ignored.

        Returns:
            ``(observation, info)``; the info has the State fields that the environment's class names in ``info``.
        """
        super().reset(seed=seed)
        observations, _ = self.puffer_env.reset(seed)
        self._ended = False
        return self._observation(observations), first_info(self._info_views)

    def _observation(self, observations: AnyArray) -> Any:
        """The only row, as the user's to keep."""
        row = observations[0].copy()
        return self._layout.unflatten(row) if self._layout else row

    def step(self, action: ArrayLike) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step.

        Args:
            action: an element of ``action_space``; any integer type for Discrete.

        Returns:
            ``(observation, reward, terminated, truncated, info)``: a copy, a float, two bools and a new dict.

        Raises:
            APIUsageError: the episode has ended or has not begun, or the action is not in the space.
        """
        if self._ended:
            raise APIUsageError("step() was called after the end of the episode; call env.reset() first.")
        observations, rewards, terminals, truncations, _ = self.puffer_env.step(np.asarray(action)[np.newaxis])
        terminated, truncated = bool(terminals[0]), bool(truncations[0])
        self._ended = terminated or truncated
        return self._observation(observations), float(rewards[0]), terminated, truncated, first_info(self._info_views)

    def render(self) -> Any:
        """The image, uint8 (height, width, 3), with ``render_mode="rgb_array"``; a string with "ansi"; else None."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() shows nothing without a render mode; make the environment with one.")
            return None
        return self.puffer_env.render(mode=self.render_mode)

    def close(self) -> None:
        """Release the arrays."""
        self.puffer_env.close()
