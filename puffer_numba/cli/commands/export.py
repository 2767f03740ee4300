"""``puffer export``: write a trained policy to a file that runs without this library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from puffer_numba.cli.arguments import parse, require_trainer, take_name, wants_help
from puffer_numba.config import TrainConfig


@dataclass
class Export:
    """Write a trained policy to one file that runs without this library, and check that it does what the policy does.

    Its inputs are the arrays of an observation, and of a recurrent policy its state; its outputs are the greedy
    action, the parameters that actions are sampled from, the value, and the next state.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the environment."""
    output: Path = Path("policy.onnx")
    """The file: .onnx (needs the extra onnx); .pt2, torch.export's; or .pt, TorchScript, which PyTorch has
    deprecated."""
    checkpoint: str = "latest"
    """A checkpoint's or run's folder, "latest": the newest of this environment, or "best": of that run's."""
    policy: str | None = None
    """A policy of your own, such as my_module:MyPolicy; by default, of runs in data_dir, that which was trained."""
    data_dir: str = TrainConfig.data_dir
    """Where "latest" looks for checkpoints."""


def run(args: list[str]) -> int:
    if not wants_help(args):
        take_name("export", args)
    options = parse(Export, "puffer export", args)
    require_trainer()
    from puffer_numba.share.export import export

    result = export(
        options.name, options.output, checkpoint=options.checkpoint, data_dir=options.data_dir, policy=options.policy
    )
    print(f"wrote {result.path}")
    for kind, arrays in (("input", result.inputs), ("output", result.outputs)):
        for name, description in arrays.items():
            print(f"  {kind:8}{name}: {description}")
    difference = f"{result.difference:.1g} of the largest"
    print(f"differs from the policy by at most {difference}, on {result.samples} observations")
    return 0
