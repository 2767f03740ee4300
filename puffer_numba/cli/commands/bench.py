"""``puffer bench``: measure steps per second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from puffer_numba.cli.arguments import creator_of, params_of, parse, parse_with_params, take_name
from puffer_numba.env import APIUsageError


@dataclass
class Bench:
    """Measure steps per second of environments: on threads, or of those that are not compiled in processes."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Names of environments."""
    num_envs: str | None = None
    """Numbers of copies to measure, separated by commas; by default 1,64,4096,65536, and fewer in processes."""
    json: Path | None = None
    """Write the results to this file too."""


def run(args: list[str]) -> int:
    params: dict[str, Any] = {}
    if args and not args[0].startswith("-"):
        spec, _ = take_name("bench", args)
        options = parse_with_params(Bench, spec, "puffer bench", args)
        params = params_of(spec, options)
    else:
        options = parse(Bench, "puffer bench", args)
    if not options.names:
        take_name("bench", [])
    if params and len(options.names) > 1:
        raise APIUsageError(f"--env.{next(iter(params))} is for one environment, not for {', '.join(options.names)}.")
    for name in options.names:
        creator_of(name)
    from puffer_numba.vector.speed import main as bench

    bench(options.names, _numbers(options.num_envs), options.json, params)
    return 0


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise APIUsageError(f"--num-envs is {text!r}; expected positive integers, such as 1,64,4096.")
    return numbers
