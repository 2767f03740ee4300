"""From a name and overrides to a configuration, and from that to environments. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba

from puffer_numba import presets, registry, vector
from puffer_numba.config import Config, VecConfig
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.jit.compiler.threads import MAX_THREADS
from puffer_numba.naming import FORMS, full_name, load_spec


def load_config(env_name: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Defaults, then what suits the environment, then ``overrides``.

    What suits it is the class attribute ``train_config``, if its class declares one; else the preset of that name,
    ``puffer_numba/presets/NAME.toml``; of a class that derives from one of the suite's, that one's.

    Args:
        env_name: as for `puffer_numba.vector.env_creator`: ``cartpole``, ``my_walk.py:MyWalk``, ``gym:Acrobot-v1``.
        overrides: dotted names, such as ``{"train.learning_rate": 1e-3, "env.gravity": 1.6}``.

    Raises:
        APIUsageError: no such environment or setting, or a value that is not allowed.
    """
    if not isinstance(env_name, str):
        raise APIUsageError(
            f"expected the name of an environment, not a {type(env_name).__name__}: {FORMS}. Objects are for PPO(env), "
            "or for PuffeRL(config, env, policy)."
        )
    env_name = full_name(env_name)
    config = Config(env_name=env_name)
    made_by = vector.env_creator(env_name) if ":" in env_name else load_spec(env_name).env_class
    config.update(getattr(made_by, "train_config", None) or presets.settings(env_name))
    config.update(overrides or {})
    config.validate()
    return config


def load_env(config: Config, num_envs: int | None = None) -> PufferEnv:
    """The environments of ``config``; or ``num_envs`` of them, stepped together.

    Raises:
        APIUsageError: what the environment says of its parameters; more threads than Numba has.
    """
    threads = config.vec.num_threads
    if threads is not None:
        if threads > MAX_THREADS:
            raise APIUsageError(
                f"vec.num_threads is {threads}; Numba has {MAX_THREADS} "
                "(the environment variable NUMBA_NUM_THREADS raises that)."
            )
        numba.set_num_threads(threads)
    name = full_name(config.env_name)
    params, count, options = config.env.params, num_envs or config.env.num_envs, _vector_options(config, num_envs)
    try:
        if ":" in name or options:
            return vector.make(
                name,
                env_kwargs=params,
                num_envs=count,
                seed=config.train.seed,
                **options,
            )
        return registry.make(name, num_envs=count, seed=config.train.seed, **params)
    except (TypeError, ValueError) as error:
        raise APIUsageError(f"cannot make {name}: {error}") from error


def _vector_options(config: Config, num_envs: int | None) -> dict[str, Any]:
    """What `vector.make` is to be told of ``config.vec``; nothing for a JitEnv's threads."""
    vec = config.vec
    if num_envs is not None:  # not the number that the settings were chosen for
        workers = vec.num_workers and max(w for w in range(1, min(vec.num_workers, num_envs) + 1) if num_envs % w == 0)
        chosen = {"backend": "serial"} if vec.backend == "serial" else {"num_workers": workers} if workers else {}
        return {**chosen, **_emulation_options(vec)}
    given = {
        "backend": None if vec.backend == "auto" else vec.backend,
        "num_workers": vec.num_workers,
        "batch_size": vec.batch_size,
        "overlap": vec.overlap or None,
    }
    return {**{name: value for name, value in given.items() if value is not None}, **_emulation_options(vec)}


def _emulation_options(vec: VecConfig) -> dict[str, Any]:
    """Those that are not the defaults."""
    names = ("checked_steps", "strict", "text_length", "info_masks")
    return {name: getattr(vec, name) for name in names if getattr(vec, name) != getattr(VecConfig, name)}
