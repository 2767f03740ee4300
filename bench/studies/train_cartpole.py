"""Time to solve CartPole-v1: until the mean return of the last 100 episodes is 475, over 10 seeds.

Imports and compilation are not counted: a short run comes first. With ``--sb3``, Stable-Baselines3 is measured
beside it, with the settings that its zoo tuned for CartPole-v1; with ``--sb3-python``, in another interpreter.

    python -m bench.studies.train_cartpole --seeds 10 --sb3
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

TARGET = 475.0
LIMIT = 500_000

Result = dict[str, float]


def run_puffer(seed: int, total_timesteps: int = LIMIT) -> Result:
    """One run of the trainer with the settings that the environment recommends."""
    from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

    config = load_config("cartpole", {"train.seed": seed, "train.target_return": TARGET})
    if total_timesteps < LIMIT:
        config.train.total_timesteps = total_timesteps
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    start = time.perf_counter()
    trainer.learn()
    seconds = time.perf_counter() - start
    return {"seed": seed, "seconds": seconds, "steps": trainer.global_step, "solved": float(trainer.solved)}


def run_sb3(seed: int, total_timesteps: int = LIMIT) -> Result:
    """One run of Stable-Baselines3's PPO, with the settings of RL Baselines3 Zoo; they anneal over 100,000 steps."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class StopWhenSolved(BaseCallback):
        def __init__(self) -> None:
            super().__init__()
            self.returns: deque[float] = deque(maxlen=100)
            self.solved = False

        def _on_step(self) -> bool:
            for info in self.locals["infos"]:
                if "episode" in info:
                    self.returns.append(info["episode"]["r"])
            self.solved = len(self.returns) == 100 and statistics.fmean(self.returns) >= TARGET
            return not self.solved

    torch.set_num_threads(1)
    horizon = min(100_000, total_timesteps)
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=seed),
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: left * 1e-3,
        clip_range=lambda left: left * 0.2,
        seed=seed,
        device="cpu",
    )
    callback = StopWhenSolved()
    start = time.perf_counter()
    model.learn(horizon, callback=callback)
    seconds = time.perf_counter() - start
    return {"seed": seed, "seconds": seconds, "steps": model.num_timesteps, "solved": float(callback.solved)}


def measure(name: str, seeds: int) -> list[Result]:
    """A short run to compile and import, then one for each seed."""
    run = {"puffer_numba": run_puffer, "sb3": run_sb3}[name]
    run(0, 4096)
    return [run(seed) for seed in range(1, seeds + 1)]


def measure_elsewhere(python: str, name: str, seeds: int) -> list[Result]:
    """The same in another interpreter."""
    command = [python, __file__, "--only", name, "--seeds", str(seeds), "--json", "-"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    results: dict[str, list[Result]] = json.loads(output.splitlines()[-1])
    return results[name]


def table(results: dict[str, list[Result]]) -> str:
    """One row for each trainer."""
    lines = [f"{'':14}{'solved':>8}{'median s':>10}{'min s':>8}{'max s':>8}{'median steps':>14}"]
    for name, runs in results.items():
        seconds = [run["seconds"] for run in runs]
        solved = f"{sum(run['solved'] for run in runs):.0f}/{len(runs)}"
        steps = statistics.median(run["steps"] for run in runs)
        lines.append(
            f"{name:14}{solved:>8}{statistics.median(seconds):10.2f}{min(seconds):8.2f}{max(seconds):8.2f}{steps:14,.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sb3", action="store_true", help="measure Stable-Baselines3 too")
    parser.add_argument("--sb3-python", help="interpreter that has Stable-Baselines3")
    parser.add_argument("--only", choices=["puffer_numba", "sb3"], help="measure only this one")
    parser.add_argument("--json", help="write the results to this file; - for standard output")
    args = parser.parse_args()

    results: dict[str, list[Result]] = {}
    if args.only != "sb3":
        results["puffer_numba"] = measure("puffer_numba", args.seeds)
    if args.sb3_python:
        results["sb3"] = measure_elsewhere(args.sb3_python, "sb3", args.seeds)
    elif args.sb3 or args.only == "sb3":
        results["sb3"] = measure("sb3", args.seeds)

    print(table(results), file=sys.stderr if args.json == "-" else sys.stdout)
    if args.json == "-":
        print(json.dumps(results))
    elif args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
