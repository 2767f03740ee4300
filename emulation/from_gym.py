"""Environments of the old gym as Gymnasium's, by shimmy's converters. Needs the extra ``legacy-gym``.

Whoever has such an environment has gym; it is recognized by its classes' names, without importing gym.
"""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
from gymnasium.spaces import Dict, Discrete, Tuple

from puffer_numba.extras import require


def is_legacy(env: Any) -> bool:
    """Whether ``env`` is an environment of the old gym, or of its shape: with the old gym's spaces."""
    return not isinstance(env, gymnasium.Env) and (_is_gyms(env) or _is_gyms(getattr(env, "observation_space", None)))


def _is_gyms(thing: Any) -> bool:
    return any(cls.__module__.partition(".")[0] == "gym" for cls in type(thing).__mro__)


def convert_legacy(env: Any) -> gymnasium.Env[Any, Any]:
    """An environment of the old gym, of any version, as Gymnasium's.

    Up to gym 0.25, ``reset`` returns an observation, and ``step`` four values: shimmy's ``GymV21CompatibilityV0``.
    From 0.26 they are as Gymnasium's: ``GymV26CompatibilityV0``. Which one it is, the parameters of ``reset`` tell. The
    checker that gym 0.26 puts around environments is taken out, as it does not work with NumPy 2.

    Raises:
        MissingExtra: shimmy is not installed.
    """
    shimmy = require("shimmy", "legacy-gym", f"{type(env).__name__}, an environment of the old gym,")
    env = _without_checker(env)
    parameters = inspect.signature(getattr(env, "unwrapped", env).reset).parameters
    if "seed" in parameters and "return_info" not in parameters:
        converted = shimmy.GymV26CompatibilityV0(env=env)
    else:
        if not hasattr(env, "seed"):  # gym's own did nothing
            env.seed = lambda seed=None: None
        converted = shimmy.GymV21CompatibilityV0(env=env, render_mode=getattr(env, "render_mode", None))
    converted.observation_space = _with_starts(env.observation_space, converted.observation_space)
    converted.action_space = _with_starts(env.action_space, converted.action_space)
    return converted


def _without_checker(env: Any) -> Any:
    if type(env).__name__ == "PassiveEnvChecker":
        return env.env
    if "env" in vars(env):
        env.env = _without_checker(env.env)
    return env


def _with_starts(old: Any, converted: Any) -> Any:
    """The converted space, in which shimmy lets every Discrete count from 0."""
    if isinstance(converted, Discrete):
        return Discrete(converted.n, start=int(getattr(old, "start", 0)))
    if isinstance(converted, Dict):
        return Dict({key: _with_starts(old[key], part) for key, part in converted.items()})
    if isinstance(converted, Tuple):
        return Tuple([_with_starts(old[k], part) for k, part in enumerate(converted.spaces)])
    return converted
