"""What a GPU gains: steps of training per second for each way of running the policy, in one call.

::

    python -m bench.studies.gpu                        # needs a GPU
    python -m bench.studies.gpu --device cpu --quick   # goes through the same code without one

Each row trains for some seconds after its first rollouts, which compile: networks of several sizes and kinds, on the
CPU and on the device; there also in bfloat16, compiled, and with CUDA graphs. Ratios are to the first row of each
network.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench import timer
from bench.timer import Contestant
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "MLP 2 x 64": ("cartpole", {"env.num_envs": 4096, "policy.hidden_size": 64}),
    "MLP 2 x 512": ("cartpole", {"env.num_envs": 4096, "policy.hidden_size": 512}),
    "LSTM 128": ("memory", {"env.num_envs": 4096, "policy.hidden_size": 128, "policy.lstm": True}),
    "CNN (small)": ("minatar_breakout", {"env.num_envs": 2048, "policy.hidden_size": 256, "policy.cnn": "small"}),
}
SHARED = {"train.horizon": 64, "train.update_epochs": 1, "train.num_minibatches": 16, "train.total_timesteps": 10**12}
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"train.precision": "bfloat16"},
    "compiled": {"train.compile": "default"},
    "CUDA graphs": {"train.compile": "reduce-overhead"},
    "CUDA graphs, bfloat16": {"train.compile": "reduce-overhead", "train.precision": "bfloat16"},
}


def measure(name: str, overrides: dict[str, Any], seconds: float) -> tuple[float, dict[str, float]]:
    """Steps per second of training, and the share of each part."""
    config = load_config(name, {**overrides, **SHARED, "train.target_return": None})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    trainer.config.log.interval = float("inf")
    for _ in range(3):  # compiles, and captures graphs
        trainer.evaluate()
        trainer.train()
    trainer.phases.reset()

    def iterate() -> None:
        trainer.evaluate()
        trainer.train()

    speed = timer.rate(Contestant(iterate, config.env.num_envs * config.train.horizon), seconds)
    parts = trainer.seconds_by_part()
    total = sum(parts.values())
    trainer.close()
    return speed, {part: taken / total for part, taken in parts.items()}


def contestants(device: str, ways: list[str]) -> Iterator[tuple[str, str]]:
    """Devices and ways: first the CPU, which is what the others are compared with."""
    yield "cpu", "float32"
    for way in ways:
        if (device, way) != ("cpu", "float32"):
            yield device, way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps, cpu (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row (default: %(default)s)")
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS), metavar="WAY")
    parser.add_argument("--quick", action="store_true", help="small batches, half a second each")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("no GPU here; --device cpu --quick goes through the same code.")
    console, results = Console(), []
    table = Table("network", "device", "policy", "steps/s", "ratio", "env", "forward", "learn", "copy")
    for network in args.networks:
        name, overrides = NETWORKS[network]
        base = None
        for device, way in contestants(args.device, args.ways):
            settings = {**overrides, **WAYS[way], "train.device": device}
            if args.quick:
                settings["env.num_envs"] = 64
            console.print(f"{network}, {device}, {way} ...")
            speed, shares = measure(name, settings, 0.5 if args.quick else args.seconds)
            base = base or speed
            results.append({"network": network, "device": device, "policy": way, "steps_per_second": speed, **shares})
            parts = (f"{shares[part]:.0%}" for part in ("env", "forward", "learn", "copy"))
            table.add_row(network, device, way, f"{speed:,.0f}", f"{speed / base:.2f}", *parts)
    name = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else platform.machine()
    console.print(table, f"torch {torch.__version__}; {name}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
