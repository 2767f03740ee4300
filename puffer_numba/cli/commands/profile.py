"""``puffer profile``: where a training step spends its time."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import tyro

from puffer_numba.cli.arguments import parse, require_trainer, take_name, wants_help
from puffer_numba.cli.commands.train import GenericTrain
from puffer_numba.env import APIUsageError
from puffer_numba.options import chosen_config, run_options
from puffer_numba.train.setup import load_config

_SECONDS = "How long to measure, after two rollouts that compile what must be compiled."
_TRACE = "Also write a trace to this file, for chrome://tracing or ui.perfetto.dev."


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(GenericTrain, "puffer profile NAME", args)
    spec, args = take_name("profile", args)
    config = load_config(spec.name)
    own: list[tuple[str, Any, Any]] = [
        ("seconds", Annotated[float, tyro.conf.arg(help=_SECONDS)], field(default=5.0)),
        ("trace", Annotated[Path | None, tyro.conf.arg(help=_TRACE)], field(default=None)),
    ]
    doc = f"Train on {spec.name} for some seconds, and show where the time goes. Nothing is saved."
    options: Any = parse(run_options(spec, config, doc, *own), f"puffer profile {spec.name}", args)
    if options.seconds <= 0:
        raise APIUsageError(f"--seconds is {options.seconds}; expected a number above 0.")
    pufferl = require_trainer()
    from puffer_numba.train.profiling import profile, save_trace

    trainer = pufferl.make_trainer(spec.name, config=chosen_config(spec, options, config))
    trainer.dashboard = None
    measured = profile(trainer, options.seconds)
    print(trainer.describe())
    print("\n".join(measured.table()))
    print(f"{measured.steps / measured.total:,.0f} steps/s; {measured.overhead:.1%} of the time is not the network's")
    if options.trace is not None:
        save_trace(trainer, options.trace)
        print(f"wrote {options.trace}")
    trainer.close()
    return 0
