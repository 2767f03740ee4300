"""Does it learn as well as others? Returns of this trainer, Stable-Baselines3's PPO and CleanRL's, at equal settings.

::

    python -m bench.studies.against                     # interrupted, it goes on where it was
    python -m bench.studies.against CartPole-v1 --seeds 3
    python -m bench.studies.against --write             # only writes the page and the plot

All three have the same networks (two of 64 x 64, tanh), batches, learning rates and so on, which are those of RL
Baselines3 Zoo but for normalization and schedules of the clipping range. What is compared is the mean return of the
last 100 episodes of training: the interquartile mean over the seeds, with 95% intervals by bootstrap (Agarwal et al.,
2021), and the probability that a run of ours is better than one of theirs. Runs are lines of
``bench/studies/against.jsonl``; ``docs/against.md`` and ``docs/against.png`` are made of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RUNS = Path(__file__).parent / "against.jsonl"
DOCS = Path(__file__).parents[2] / "docs"
SEEDS = 10
LAST = 100


class Settings(NamedTuple):
    """One task, in Stable-Baselines3's words."""

    ours: str
    total_timesteps: int
    n_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    learning_rate: float
    gamma: float
    gae_lambda: float
    ent_coef: float


TASKS = {
    "CartPole-v1": Settings("cartpole", 100_000, 8, 32, 256, 20, 1e-3, 0.98, 0.8, 0.0),
    "Acrobot-v1": Settings("acrobot", 100_000, 16, 256, 64, 4, 3e-4, 0.99, 0.94, 0.0),
    "Pendulum-v1": Settings("pendulum", 100_000, 4, 1024, 64, 10, 1e-3, 0.9, 0.95, 0.0),
    "LunarLander-v3": Settings("gym:LunarLander-v3", 200_000, 16, 1024, 64, 4, 3e-4, 0.999, 0.98, 0.01),
}


def ours(task: str, seed: int) -> list[float]:
    """Returns of the last episodes of this library's trainer."""
    from puffer_numba import PPO, PPOConfig

    settings = TASKS[task]
    given = settings._asdict()
    name, total = given.pop("ours"), given.pop("total_timesteps")
    overrides = {
        "train.normalize_returns": False,
        "train.normalize_observations": False,
        "train.anneal_lr": True,
        "train.clip_vloss": False,
        "train.target_return": None,
        "train.target_kl": None,
        "policy.shared": False,
        "policy.activation": "tanh",
        "policy.hidden_size": 64,
        "policy.num_layers": 2,
        "policy.log_std": 0.0,
        "vec.num_workers": 1 if name.startswith("gym:") else None,
    }
    config = PPOConfig(**given, clip_range=0.2, vf_coef=0.5, max_grad_norm=0.5, seed=seed, overrides=overrides)
    model = PPO(name, config).learn(total)
    returns = list(model.trainer.statistics.recent_returns)
    model.close()
    return returns


def sb3(task: str, seed: int) -> list[float]:
    """Returns of the last episodes of Stable-Baselines3's PPO."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    settings = TASKS[task]
    model = PPO(
        "MlpPolicy",
        make_vec_env(task, settings.n_envs, seed=seed),
        n_steps=settings.n_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.n_epochs,
        learning_rate=lambda left: left * settings.learning_rate,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        ent_coef=settings.ent_coef,
        seed=seed,
        device="cpu",
        stats_window_size=LAST,
    )
    model.learn(settings.total_timesteps)
    return [episode["r"] for episode in model.ep_info_buffer or ()]


def cleanrl(task: str, seed: int) -> list[float]:
    """Returns of the last episodes of CleanRL's PPO."""
    import torch

    from bench.studies.cleanrl_ppo import Args, train

    torch.set_num_threads(1)
    settings = TASKS[task]
    args = Args(
        total_timesteps=settings.total_timesteps,
        num_envs=settings.n_envs,
        num_steps=settings.n_steps,
        num_minibatches=settings.n_envs * settings.n_steps // settings.batch_size,
        update_epochs=settings.n_epochs,
        learning_rate=settings.learning_rate,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        ent_coef=settings.ent_coef,
        clip_vloss=False,
    )
    return train(task, args, seed)[-LAST:]


CONTESTANTS: dict[str, Callable[[str, int], list[float]]] = {
    "puffer_numba": ours,
    "Stable-Baselines3": sb3,
    "CleanRL": cleanrl,
}


class Run(NamedTuple):
    """A line of the file."""

    task: str
    contestant: str
    seed: int
    score: float
    seconds: float


def load() -> list[Run]:
    """The runs that there are."""
    return [Run(**json.loads(line)) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def scores(runs: list[Run], task: str, contestant: str) -> NDArray[np.float64]:
    """Of all seeds."""
    return np.array([run.score for run in runs if (run.task, run.contestant) == (task, contestant)])


def interquartile_mean(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """The mean without the best and the worst quarter."""
    return stats.trim_mean(values, 0.25, axis=axis)


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95% interval of the interquartile mean, by bootstrap over the seeds."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.bootstrap((values,), interquartile_mean, method="percentile", rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    return float(low), float(high)


def improvement(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float]:
    """Probability that one of ``mine`` is better than one of ``theirs``; and the chance of so few, were they alike."""
    test = stats.mannwhitneyu(mine, theirs, alternative="less")
    return float(test.statistic) / (len(mine) * len(theirs)), float(test.pvalue)


HEADER = """# Against Stable-Baselines3 and CleanRL

The same tasks, networks and settings (`bench/studies/against.py` has them): the mean return of the last 100 episodes of
training, as its interquartile mean over the seeds with the 95% interval of a bootstrap over them. "Better" is the
probability that a run of puffer_numba ends better than one of theirs (0.5: alike), and p the chance of a value so low
if both were alike (Mann and Whitney's test); below 0.05 we would be worse. Seconds are the processor's, medians;
ours of CartPole, Acrobot and Pendulum are with the compiled environments of the suite.

| task | trainer | seeds | return | 95% interval | better | p | seconds |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def rows(runs: list[Run]) -> list[str]:
    """The table, in Markdown."""
    lines = []
    for task in TASKS:
        mine = scores(runs, task, "puffer_numba")
        for contestant in CONTESTANTS:
            values = scores(runs, task, contestant)
            if not len(values):
                continue
            low, high = interval(values)
            compared = ""
            if contestant != "puffer_numba" and len(mine):
                better, p = improvement(mine, values)
                compared = f"{better:.2f} | {p:.2f}"
            seconds = np.median([r.seconds for r in runs if (r.task, r.contestant) == (task, contestant)])
            middle = f"{interquartile_mean(values):.1f} | {low:.1f} to {high:.1f}"
            lines.append(f"| {task} | {contestant} | {len(values)} | {middle} | {compared or ' | '} | {seconds:.1f} |")
    return lines


def write(runs: list[Run]) -> None:
    """The page and the plot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    (DOCS / "against.md").write_text(HEADER + "\n".join(rows(runs)) + "\n\n![Returns](against.png)\n")
    figure, axes = plt.subplots(1, len(TASKS), figsize=(3 * len(TASKS), 2.6), layout="constrained")
    for axis, task in zip(axes, TASKS, strict=True):
        for height, contestant in enumerate(reversed(CONTESTANTS)):
            values = scores(runs, task, contestant)
            if not len(values):
                continue
            low, high = interval(values)
            colour = f"C{len(CONTESTANTS) - 1 - height}"
            axis.barh(height, high - low, left=low, height=0.5, color=colour, alpha=0.4)
            axis.plot([interquartile_mean(values)] * 2, [height - 0.25, height + 0.25], color=colour, linewidth=2)
            axis.plot(values, [height] * len(values), ".", color="black", markersize=3)
        axis.set_title(task)
        axis.set_yticks(range(len(CONTESTANTS)), reversed(CONTESTANTS) if task == next(iter(TASKS)) else [])
        axis.set_xlabel("return")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / "against.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="1 to this (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="train nothing; write the page and the plot")
    args = parser.parse_args()
    done = {(run.task, run.contestant, run.seed) for run in load()}
    for seed in range(1, 0 if args.write else args.seeds + 1):
        for task in args.tasks or TASKS:
            for contestant, train in CONTESTANTS.items():
                if (task, contestant, seed) in done:
                    continue
                begin = time.process_time()
                returns = train(task, seed)
                run = Run(task, contestant, seed, float(np.mean(returns)), round(time.process_time() - begin, 1))
                with RUNS.open("a") as file:
                    file.write(json.dumps(run._asdict()) + "\n")
                print(f"{task} seed {seed}, {contestant}: {run.score:.1f} ({run.seconds:.1f} s)", flush=True)
    write(load())


if __name__ == "__main__":
    main()
