"""Training throughput: CartPole, 4096 environments, horizon 64, one epoch, 128 hidden units (1,027 parameters).

The size of PufferLib 3's default policy. Counts everything from the first step to the last update, with
statistics, resets and diagnostics; imports and compilation come before.

    python -m bench.studies.train_throughput --torch-threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from bench import timer
from bench.timer import Contestant

SETTINGS = {
    "env.num_envs": 4096,
    "train.horizon": 64,
    "train.update_epochs": 1,
    "train.num_minibatches": 32,
    "train.target_return": None,
    "train.target_kl": None,
    "train.total_timesteps": 10**9,
    "policy.hidden_size": 128,
    "policy.num_layers": 1,
    "policy.shared": True,
    "policy.activation": "relu",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--activation", default="relu", choices=["relu", "tanh", "gelu"])
    parser.add_argument("--json", help="write the result to this file")
    args = parser.parse_args()

    from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

    overrides = {"train.torch_threads": args.torch_threads, "policy.activation": args.activation}
    config = load_config("cartpole", {**SETTINGS, **overrides})
    env = load_env(config)
    policy = load_policy(config, env)
    trainer = PuffeRL(config, env, policy)
    trainer.evaluate()
    trainer.train()

    trainer.phases.reset()

    def iterate() -> None:
        trainer.evaluate()
        trainer.train()

    iteration = Contestant(iterate, config.env.num_envs * config.train.horizon)
    speeds = [timer.rate(iteration, 0) for _ in range(args.iterations)]
    parts = trainer.seconds_by_part()
    total = sum(parts.values())
    result = {
        "steps_per_second": statistics.median(speeds),
        "slowest": min(speeds),
        "fastest": max(speeds),
        "parameters": sum(p.numel() for p in policy.parameters()),
        "torch_threads": args.torch_threads,
        "shares": {name: seconds / total for name, seconds in parts.items()},
    }
    shares = " ".join(f"{name} {share:.0%}" for name, share in result["shares"].items())
    print(
        f"{result['steps_per_second'] / 1e6:.2f} million steps/s "
        f"({result['slowest'] / 1e6:.2f} to {result['fastest'] / 1e6:.2f}), {result['parameters']} parameters, "
        f"{args.torch_threads} torch threads | {shares}"
    )
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
