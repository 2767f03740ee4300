"""What the Gymnasium and PettingZoo views of a `JitEnv` share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.jit import JitEnv
from puffer_numba.jit.kernels import DISABLED
from puffer_numba.registry import make, spec

DEFAULT_FPS = 30


def make_single(name: str, view: str, kwargs: dict[str, Any]) -> JitEnv:
    """The environment registered under ``name``, as `check_single` wants it. Its ``seed`` is None unless given.

    Raises:
        APIUsageError: there is none, it is not a JitEnv, or ``kwargs`` has what ``view`` alone decides.
    """
    env_class = spec(name).env_class
    if not issubclass(env_class, JitEnv):
        raise APIUsageError(
            f"{view}: {name!r} is a {env_class.__name__}, which is not a JitEnv and cannot stop at the end of an "
            "episode; use gymnasium.make_vec, or puffer_numba.make."
        )
    decided = sorted({"num_envs", "autoreset"} & set(kwargs))
    if decided:
        raise APIUsageError(
            f"{view} got {', '.join(decided)}, but makes one environment that does not reset itself; "
            "for others use gymnasium.make_vec, or puffer_numba.make."
        )
    env = make(name, 1, autoreset="disabled", **{"seed": None, **kwargs})
    assert isinstance(env, JitEnv)
    return env


def check_single(env: JitEnv, view: str) -> None:
    """Raise unless ``env`` is one environment that waits for a reset when its episode has ended."""
    if not isinstance(env, JitEnv):
        raise APIUsageError(f"{view} takes a JitEnv, not a {type(env).__name__}.")
    if env.num_envs != 1:
        raise APIUsageError(f"{view} takes a JitEnv of one environment, not of {env.num_envs}: num_envs=1.")
    if env.autoreset != DISABLED:
        raise APIUsageError(f"{view} takes a JitEnv that does not reset itself: autoreset='disabled'.")


def renders(env: PufferEnv) -> bool:
    """Whether `PufferEnv.render` gives pictures."""
    return isinstance(env, JitEnv) and env.render_env is not None


def render_metadata(env: PufferEnv) -> dict[str, Any]:
    """``render_modes`` and ``render_fps``; the latter is the environment's own, where it declares one."""
    modes = ["rgb_array"] if renders(env) else []
    return {"render_modes": modes, "render_fps": getattr(env, "render_fps", DEFAULT_FPS)}


def check_render_mode(env: PufferEnv, render_mode: str | None, mend: str) -> None:
    """Raise unless ``render_mode`` is None or "rgb_array" and ``env`` draws pictures."""
    if render_mode is None:
        return
    name = type(env).__name__
    if not renders(env):
        raise APIUsageError(f"{name}: render_mode is {render_mode!r}, but it draws nothing; expected None.")
    if render_mode != "rgb_array":
        raise APIUsageError(f"{name}: render_mode is {render_mode!r}; expected 'rgb_array' or None. {mend}")


def info_views(env: PufferEnv) -> dict[str, NDArray[Any]]:
    """The State fields that the environment shows its user: ``(num_envs, ...)`` each, without a copy."""
    return {name: getattr(env.state, name) for name in env.info} if isinstance(env, JitEnv) else {}


def first_info(views: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Those of the first environment: Python numbers, and copies of arrays."""
    return {name: view[0].copy() if view.ndim > 1 else view[0].item() for name, view in views.items()}


def bounded_zeros(space: Any) -> NDArray[Any]:
    """An action that is in ``space``, as near to 0 as can be."""
    if hasattr(space, "low"):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    return np.zeros(space.shape, np.int64) + space.start
