"""``puffer sweep``: search for settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from puffer_numba.cli.aliases import translate
from puffer_numba.cli.arguments import given_names, options_of, parse, take_name, wants_help
from puffer_numba.config import LogConfig, PolicyConfig, SweepConfig, TrainConfig, VecConfig
from puffer_numba.options import chosen_config, run_options
from puffer_numba.train.setup import load_config


@dataclass
class GenericSweep:
    """Search for the settings of PPO that learn best in a given time. With NAME, --help also shows the environment's
    own parameters and settings. What is set here is not searched."""

    sweep: SweepConfig = field(default_factory=SweepConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    vec: VecConfig = field(default_factory=VecConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    log: LogConfig = field(default_factory=LogConfig)


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(GenericSweep, "puffer sweep NAME", args)
    spec, args = take_name("sweep", args)
    config = load_config(spec.name)
    doc = f"Search for the settings that learn {spec.name} best in a given time. What is set here is not searched."
    options_class = run_options(spec, config, doc, ("sweep", SweepConfig, field(default_factory=SweepConfig)))
    args = translate(args, options_of(options_class))
    options = parse(options_class, f"puffer sweep {spec.name}", args)
    config = chosen_config(spec, options, config)

    from puffer_numba.sweep import make_search
    from puffer_numba.sweep import run as run_search

    run_search(make_search(config, options.sweep, fixed=given_names(args)))
    return 0
