"""``puffer eval``: run a trained policy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from puffer_numba.cli.arguments import parse, require_trainer, take_name, wants_help
from puffer_numba.config import TrainConfig
from puffer_numba.options import chosen_params, with_params


@dataclass
class Eval:
    """Run a trained policy, and print mean, standard deviation, minimum and maximum of return and length."""

    checkpoint: str = "latest"
    """A checkpoint's or run's folder, "latest": the newest of this environment, or "best": of that run's."""
    policy: str | None = None
    """A policy of your own, such as my_module:MyPolicy; by default, of runs in data_dir, that which was trained."""
    episodes: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: 100, or 1 if shown or recorded)")] = (
        None
    )
    """How many to run."""
    deterministic: bool = False
    """Take the greedy action instead of sampling one."""
    render_mode: Literal["human"] | None = None
    """human: show a window."""
    gif: Path | None = None
    """Record the first episode to this file: .gif, or .mp4 with the extra video."""
    fps: int = 50
    """Frames for each second, shown and recorded."""
    seed: int = 0
    """Of environments and actions."""
    device: str | None = None
    """Device of the policy: cpu, cuda; by default that of training."""
    data_dir: str = TrainConfig.data_dir
    """Where "latest" looks for checkpoints."""


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(Eval, "puffer eval NAME", args)
    spec, args = take_name("eval", args)
    options: Any = parse(with_params(Eval, spec, None), f"puffer eval {spec.name}", args)
    pufferl = require_trainer()
    named = {f.name: getattr(options, f.name) for f in dataclasses.fields(Eval) if f.name != "device"}
    changed = {f"env.{name}": value for name, value in chosen_params(spec, options.env, None).items()}
    if options.device is not None:
        changed["train.device"] = options.device
    result = pufferl.eval(spec.name, overrides=changed, **named)
    print(f"{spec.name}: {len(result.returns)} episodes of {result.checkpoint}")
    print(f"{'':8}{'mean':>12}{'std':>12}{'min':>12}{'max':>12}")
    for name, row in result.summary().items():
        print(f"{name:8}{row['mean']:12.2f}{row['std']:12.2f}{row['min']:12.2f}{row['max']:12.2f}")
    if options.gif is not None:
        print(f"recorded {options.gif}")
    return 0
