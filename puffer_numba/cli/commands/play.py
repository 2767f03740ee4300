"""``puffer play``: play an environment with the keyboard."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from puffer_numba import registry
from puffer_numba.cli.arguments import parse, take_name, wants_help
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.options import chosen_params, env_options


@dataclass
class Play:
    """Play an environment with the keyboard."""

    fps: int | None = None
    """Steps for each second; by default the environment's own."""
    seed: int | None = None
    """Of the environment; by default another one each time."""


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(Play, "puffer play NAME", args)
    spec, args = take_name("play", args)
    if not issubclass(spec.env_class, JitEnv):
        raise APIUsageError(
            f"puffer play is for environments of this library; gymnasium.utils.play is for {spec.name}."
        )
    env_class = env_options(spec, None)
    cls = dataclasses.make_dataclass(
        "PlayOptions", [("env", env_class, field(default_factory=env_class))], bases=(Play,)
    )
    cls.__doc__ = Play.__doc__
    options: Any = parse(cls, f"puffer play {spec.name}", args)
    from puffer_numba.render.play import play

    params = chosen_params(spec, options.env, None)
    params.pop("num_envs", None)
    with registry.make(spec.name, num_envs=1, seed=options.seed, **params) as env:
        play(env, options.fps)  # type: ignore[arg-type]
    return 0
