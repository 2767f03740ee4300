"""Play an environment with the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.render.window import check_display, image_of, window
from puffer_numba.spaces.observations import action_masks

IDLE = ""


Player = Callable[[JitEnv, NDArray[np.bool_]], NDArray[Any]]
"""From an environment, and which of its rows begin an episode, to actions for all rows."""


def play(env: JitEnv, fps: int | None = None, episodes: int | None = None, player: Player | None = None) -> list[float]:
    """Show an environment in a window, and act by the keys that its class names in ``keys``, or by digits.

    Where ``keys`` has an action for "", no key at all, the game runs by itself; else each step waits for a key.
    With several agents the keys are the first one's; the others make random legal moves.

    Args:
        env: one environment, as `puffer_numba.make` makes it.
        fps: steps for each second; by default the environment's own ``render_fps``.
        episodes: how many; by default until the window is closed.
        player: acts for the other agents, and for the first one while no key is pressed; the game then runs by itself.

    Returns:
        The returns of the episodes that ended, of the agents' mean where there are several.

    Raises:
        APIUsageError: the environment draws nothing, is several, or has actions that no key stands for; there is no
            display.
    """
    if not isinstance(env, JitEnv) or env.num_envs != 1:
        raise APIUsageError("play() takes a JitEnv of one environment; gymnasium.utils.play is for Gymnasium's.")
    keys = key_actions(env)
    check_display()
    env.reset()
    env.action_space.seed(0)
    rng = np.random.default_rng(0)
    returns: list[float] = []
    begins = np.ones(env.num_agents, np.bool_)
    name = type(env).__name__
    with window(f"{name}: {describe(keys)}; Escape ends", fps or env.render_fps) as show:
        try:
            while episodes is None or len(returns) < episodes:
                pressed = [key for key in show(image_of(env)) if key in keys]
                key = pressed[0] if pressed else IDLE
                if player is not None:
                    _step(env, keys.get(key) if key != IDLE else None, player(env, begins))
                elif key in keys or not env.masks[0]:
                    _step(env, keys.get(key), _random(env, rng))
                begins = env.terminals | env.truncations
                log = env.log()
                if log["episodes"]:
                    returns.append(log["episode_return"])
                    print(f"{name}: {log['episode_length']:.0f} steps, return {returns[-1]:g}", flush=True)
        except KeyboardInterrupt:
            pass
    return returns


def key_actions(env: JitEnv) -> dict[str, Any]:
    """Actions by the names of keys."""
    if env.keys:
        return dict(env.keys)
    space = env.single_action_space
    count = int(getattr(space, "n", 0))
    if not 0 < count <= 10:
        raise APIUsageError(f"{type(env).__name__} names no keys for {space}; its class needs them: keys = {{...}}.")
    return {str(k): k for k in range(count)}


def describe(keys: dict[str, Any]) -> str:
    """The keys, for people."""
    return ", ".join(key for key in keys if key != IDLE)


def _random(env: JitEnv, rng: np.random.Generator) -> NDArray[Any]:
    legal = action_masks(env)
    return np.array(env.action_space.sample()) if legal is None else (rng.random(legal.shape) * legal).argmax(1)


def _step(env: JitEnv, action: Any, actions: NDArray[Any]) -> None:
    """With ``action`` for the first agent, unless it is None."""
    actions = actions.astype(env.actions.dtype)
    if action is not None:
        actions[0] = action
    env.step(actions)
