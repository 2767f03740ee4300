"""``puffer autotune``: find the fastest way to run copies of an environment."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from puffer_numba import vector
from puffer_numba.cli.arguments import params_of, parse, parse_with_params, take_name, wants_help
from puffer_numba.options import option_words


@dataclass
class Autotune:
    """Measure the settings of vector.make that make sense on this machine; print them, and the fastest."""

    seconds: float = 30.0
    """Time for all measurements."""
    max_envs: int | None = None
    """Largest number of copies; by default as many as memory has room for, up to 65536 that are compiled, or 256."""
    max_workers: int | None = None
    """Largest number of processes; by default as many as there are cores."""
    json: Path | None = None
    """Write the results to this file too."""


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(Autotune, "puffer autotune NAME", args)
    spec, args = take_name("autotune", args)
    options = parse_with_params(Autotune, spec, f"puffer autotune {spec.name}", args)
    params = params_of(spec, options)
    result = vector.autotune(
        spec.name,
        params,
        seconds=options.seconds,
        max_envs=options.max_envs,
        max_workers=options.max_workers,
        json_path=options.json,
    )
    if result.command:
        print(
            "\n"
            + " ".join([result.command, *map(shlex.quote, option_words({f"env.{k}": v for k, v in params.items()}))])
        )
    return 0
