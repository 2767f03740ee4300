"""``puffer play``: play an environment with the keyboard."""

from __future__ import annotations

from dataclasses import dataclass

from puffer_numba.cli.arguments import params_of, parse, parse_with_params, take_name, wants_help
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv


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
    options = parse_with_params(Play, spec, f"puffer play {spec.name}", args)
    from puffer_numba.render.play import play

    params = {**spec.defaults, **params_of(spec, options), "num_envs": 1, "seed": options.seed}
    with spec.env_class(**params) as env:
        play(env, options.fps)
    return 0
