"""Scores of PPO on Gymnasium's environments, with the settings of `puffer_numba.recommended`: the trained policies'
mean return over 100 episodes, acting greedily, and what the training took.

::

    python bench/train_gymnasium.py --seeds 5
    python bench/train_gymnasium.py --only gym:LunarLander-v3 --seeds 3
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from puffer_numba.pufferl import PuffeRL, eval, load_config, load_env, load_policy
from puffer_numba.recommended import RECOMMENDED

PUBLISHED = {"gym:LunarLander-v3": 200.0, "gym:Pendulum-v1": -200.0}
"""Gymnasium's threshold for LunarLander; for Pendulum, which has none, what RL Baselines3 Zoo's PPO reaches."""


def run(name: str, seed: int) -> tuple[float, int, float]:
    """Mean return of the trained policy, steps, and seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(name, {"train.seed": seed, "train.data_dir": folder, "train.tensorboard": False})
        env = load_env(config)
        trainer = PuffeRL(config, env, load_policy(config, env))
        started = time.perf_counter()
        trainer.learn()
        seconds = time.perf_counter() - started
        saved = trainer.save_checkpoint()
        trainer.close()
        result = eval(name, checkpoint=str(saved), episodes=100, deterministic=True, seed=10_000 + seed)
    return statistics.fmean(result.returns), trainer.global_step, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=list(RECOMMENDED))
    args = parser.parse_args()
    print(f"{'':24}{'published':>10}{'mean':>9}{'std':>8}{'worst':>9}{'steps':>10}{'seconds':>9}")
    for name in [args.only] if args.only else RECOMMENDED:
        runs = [run(name, seed) for seed in range(1, args.seeds + 1)]
        returns = [score for score, _, _ in runs]
        print(
            f"{name:24}{PUBLISHED[name]:10.0f}{statistics.fmean(returns):9.1f}{statistics.pstdev(returns):8.1f}"
            f"{min(returns):9.1f}{runs[0][1]:10,}{statistics.median(s for _, _, s in runs):9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
