"""What the views of a `PufferEnv` as an environment of Gymnasium, PettingZoo or Stable-Baselines3 share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from puffer_numba.emulation.emulated import EmulatedEnv
from puffer_numba.emulation.from_gymnasium_vector import VectorPufferEnv
from puffer_numba.env import DISABLED, APIUsageError, PufferEnv
from puffer_numba.errors import is_integer
from puffer_numba.jit import JitEnv
from puffer_numba.registry import make, spec
from puffer_numba.spaces.actions import ActionLayout
from puffer_numba.spaces.observations import ObservationLayout


class ClosedError(APIUsageError, gymnasium.error.ClosedEnvironmentError):
    """A closed environment was used: also as Gymnasium's error."""


class UsageTypeError(APIUsageError, TypeError):
    """Wrong use where Gymnasium raises a TypeError."""


class UsageValueError(APIUsageError, ValueError):
    """Wrong use where Gymnasium raises a ValueError."""


def source_env(env: PufferEnv) -> PufferEnv:
    """One of the environments themselves: within wrappers, and the first one behind a vector backend."""
    env = env.unwrapped
    return source_env(env.driver_env) if is_backend(env) else env


def is_backend(env: PufferEnv) -> bool:
    """Whether ``env`` is one of `puffer_numba.vector`: others behind one object."""
    return env.driver_env is not env


def own_layouts(env: PufferEnv) -> tuple[ObservationLayout | None, ActionLayout | None]:
    """How observations and actions of wrapped environments lie in flat ones.

    None where ``env`` shows them as they are: nothing is wrapped, or a wrapper has changed the space.
    """
    emulated = env.emulated
    if emulated is None:
        return None, None
    observations, actions = ObservationLayout(emulated.observation_space), ActionLayout(emulated.action_space)
    return (
        observations if observations.flat_space == env.single_observation_space else None,
        actions if actions.flat_space == env.single_action_space else None,
    )


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


def check_single(env: PufferEnv, view: str) -> None:
    """Raise unless ``env`` is one environment that waits for a reset when its episode has ended."""
    if not isinstance(env, JitEnv):
        raise APIUsageError(f"{view} takes a JitEnv, not a {type(env).__name__}.")
    if env.num_envs != 1:
        raise APIUsageError(f"{view} takes a JitEnv of one environment, not of {env.num_envs}: num_envs=1.")
    if env.autoreset != DISABLED:
        raise APIUsageError(f"{view} takes a JitEnv that does not reset itself: autoreset='disabled'.")


def render_metadata(env: PufferEnv) -> dict[str, Any]:
    """``render_modes`` and ``render_fps``; the latter is the environment's own, where it declares one."""
    env = source_env(env)
    if isinstance(env, EmulatedEnv):
        return dict(env.env.metadata)
    return {"render_modes": env.render_modes, "render_fps": env.render_fps}


def find_render_mode(env: PufferEnv, render_mode: str | None, fix: str) -> str | None:
    """The render mode of a view of ``env``: Gymnasium's and PettingZoo's environments have theirs from the start."""
    source = source_env(env)
    if not isinstance(source, EmulatedEnv):
        check_render_mode(source, render_mode, fix)
        return render_mode
    own: str | None = getattr(source.env, "render_mode", None)
    if render_mode not in (None, own):
        raise APIUsageError(
            f"render_mode is {render_mode!r}, but {source.env} was made with {own!r}; make it with "
            f"render_mode={render_mode!r}."
        )
    return own


def check_render_mode(env: PufferEnv, render_mode: str | None, fix: str) -> None:
    """Raise unless ``render_mode`` is None or one that ``env`` has."""
    modes = env.render_modes
    if render_mode is None or render_mode in modes:
        return
    name = type(env).__name__
    if not modes:
        raise APIUsageError(f"{name}: render_mode is {render_mode!r}, but it renders nothing; expected None.")
    expected = ", ".join(map(repr, modes))
    raise APIUsageError(f"{name}: render_mode is {render_mode!r}; expected {expected} or None. {fix}")


def first_info(views: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Those of the first environment: Python numbers, and copies of arrays."""
    return {name: view[0].copy() if view.ndim > 1 else view[0].item() for name, view in views.items()}


def bounded_zeros(space: Any) -> NDArray[Any]:
    """An action that is in ``space``, as near to 0 as can be."""
    if hasattr(space, "low"):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    return np.zeros(space.shape, np.int64) + space.start


def check_seeds(seeds: Sequence[Any], count: int) -> list[int | None]:
    """The seeds as a list, one for each of ``count`` environments.

    Raises:
        APIUsageError: there are more or fewer, or one is neither an int nor None.
    """
    odd = [s for s in seeds if s is not None and not is_integer(s)]
    if odd or len(seeds) != count:
        got = f"{odd[0]!r} among them" if odd else f"{len(seeds)} of them"
        raise UsageValueError(f"reset(seed=[...]) takes {count} seeds, each an int or None; got {got}.")
    return [None if seed is None else int(seed) for seed in seeds]


def split_reset_mask(
    options: dict[str, Any] | None, count: int
) -> tuple[NDArray[np.bool_] | None, dict[str, Any] | None]:
    """``options["reset_mask"]``, and the options without it.

    Raises:
        APIUsageError: it is no bool array of shape (count,), or chooses none.
    """
    if options is None or "reset_mask" not in options:
        return None, options
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        got = f"an array of {mask.dtype}" if isinstance(mask, np.ndarray) else f"{type(mask).__name__} {mask!r}"
        raise UsageTypeError(f"options['reset_mask'] is {got}; expected a NumPy array of bool, of shape ({count},).")
    if mask.shape != (count,) or not mask.any():
        got = f"has shape {mask.shape}" if mask.shape != (count,) else "chooses no environment"
        raise UsageValueError(f"options['reset_mask'] {got}; expected shape ({count},), True for those to restart.")
    return mask, {name: value for name, value in options.items() if name != "reset_mask"} or None


def check_one_agent_each(env: PufferEnv, view: str) -> None:
    """Raise unless each environment has one agent, and all are stepped at once."""
    if env.num_agents != env.num_envs:
        raise APIUsageError(
            f"{view} takes environments of one agent; {type(env).__name__} has {env.num_agents} agents in "
            f"{env.num_envs} environments: see puffer_numba.emulation.as_pettingzoo."
        )
    check_synchronous(env, view)


def check_synchronous(env: PufferEnv, view: str) -> None:
    """Raise unless all environments are stepped at once, and none lets a step pass before the next episode."""
    if env.agents_per_batch != env.num_agents:
        raise APIUsageError(f"{view} steps all environments at once; make them without batch_size and overlap.")
    source = source_env(env)
    if isinstance(source, VectorPufferEnv) and source.waits:
        raise APIUsageError(
            f"{view} has no masks, and the environments of a {type(source.env).__name__} wait for a step, masked, "
            "before their next episode; use single ones, or where that is taken, autoreset='next-step'."
        )


def get_attributes(env: PufferEnv, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
    """An attribute of each environment, or of those with these numbers; where they are one object, of that."""
    asked, numbers = _objects_of(env, numbers)
    return asked.get_attr(name, numbers)


def call_each(
    env: PufferEnv, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], numbers: Sequence[int] | None = None
) -> list[Any]:
    """As `get_attributes`, or where it is a method, what that returns; called once where they are one object."""
    asked, numbers = _objects_of(env, numbers)
    return asked.call(name, *args, numbers=numbers, **kwargs)


def set_attributes(env: PufferEnv, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
    """Set an attribute of each environment, or of those with these numbers.

    Args:
        values: a list or tuple with one for each, or one for all.

    Raises:
        APIUsageError: they are not so many; or environments are one object.
    """
    asked, numbers = _objects_of(env, numbers)
    asked.set_attr(name, values, numbers)


def _objects_of(env: PufferEnv, numbers: Sequence[int] | None) -> tuple[PufferEnv, Sequence[int]]:
    """Who has the attributes of these environments: a backend with an object for each, or the only object."""
    inner = env.unwrapped
    one_each = is_backend(inner) and inner.driver_env.num_envs == 1
    if is_backend(inner) and not one_each and isinstance(inner.driver_env, VectorPufferEnv):
        raise APIUsageError(
            f"attributes of {inner.num_envs} environments in several vector environments: ask those, by "
            f"{type(inner).__name__}'s get_attr, set_attr and call, or make one of them all."
        )
    return inner if one_each else source_env(inner), range(env.num_envs) if numbers is None else numbers
