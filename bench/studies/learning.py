"""The learning table: what ``puffer train NAME`` reaches with no options, for every environment and several seeds.

::

    python -m bench.studies.learning                          # interrupted, it goes on where it was
    python -m bench.studies.learning cartpole taxi --seeds 3
    python -m bench.studies.learning --write                  # only writes the table

Each run is a line of ``bench/studies/learning.jsonl``; a run that is there, with the settings that the environment has
now, is not repeated. ``docs/learning.md`` is written from these lines. The score is the mean return of episodes that
the trained policy plays afterwards, with sampled and with greedy actions; for board games, the share of games
won and lost.
Seconds are those of training alone: a short run before it compiles what must be compiled.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

import puffer_numba
from bench.studies.players import one_ply, random_player
from puffer_numba import presets
from puffer_numba.config import SECTIONS, Config
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy
from puffer_numba.train.episodes import policy_player, run_episodes
from puffer_numba.train.matches import play

RUNS = Path(__file__).parent / "learning.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "learning.md"
SEEDS = 5
EPISODES = 640
MORE_EPISODES = {
    "blackjack": 400_000,
    "frozen_lake": 20_000,
    "frozen_lake_8x8": 20_000,
    "taxi": 20_000,
    "nchain": 5_000,
}
"""Where luck decides much of an episode."""
GAMES = 1000
EVALUATION_SEED = 10_000
GAMES_OF_TWO = ("connect_four", "tic_tac_toe")


class Reference(NamedTuple):
    """A score to compare with."""

    score: float
    what: str


REFERENCES: dict[str, Reference] = {
    "acrobot": Reference(-100, "solved"),
    "bandit": Reference(1.0, "optimum"),
    "blackjack": Reference(-0.0431, "optimum"),
    "cartpole": Reference(475, "solved"),
    "catch": Reference(1.0, "optimum"),
    "cliff_walking": Reference(-13, "optimum"),
    "connect_four, wins against a random player": Reference(0.95, "wanted"),
    "connect_four, wins against a one-ply player": Reference(0.80, "wanted"),
    "continuous": Reference(5.0, "every target reached"),
    "deep_sea": Reference(0.99, "optimum"),
    "frozen_lake": Reference(0.740, "optimum of policies that do not see the time"),
    "frozen_lake_8x8": Reference(0.894, "optimum of policies that do not see the time"),
    "grid_walk": Reference(0.943, "optimum"),
    "gym:LunarLander-v3": Reference(200, "solved"),
    "gym:Pendulum-v1": Reference(-200, "PPO of RL Baselines3 Zoo"),
    "memory": Reference(1.0, "optimum, with an LSTM"),
    "minatar_asterix": Reference(15, "about, DQN in Young & Tian (2019)"),
    "minatar_breakout": Reference(9, "about, DQN in Young & Tian (2019)"),
    "minatar_freeway": Reference(50, "about, DQN in Young & Tian (2019)"),
    "minatar_seaquest": Reference(20, "about, DQN in Young & Tian (2019)"),
    "minatar_space_invaders": Reference(45, "about, DQN in Young & Tian (2019)"),
    "minigrid_doorkey": Reference(0.9, "solved"),
    "minigrid_empty": Reference(0.961, "optimum"),
    "mountain_car": Reference(-110, "solved"),
    "mountain_car_continuous": Reference(90, "solved"),
    "multiagent": Reference(1.0, "optimum"),
    "nchain": Reference(3666, "optimum"),
    "password": Reference(1.0, "optimum"),
    "pendulum": Reference(-200, "PPO of RL Baselines3 Zoo"),
    "pong": Reference(21, "most"),
    "squared": Reference(1.0, "optimum"),
    "stochastic": Reference(1.0, "optimum"),
    "taxi": Reference(7.93, "optimum"),
    "tic_tac_toe, losses against a random player": Reference(0.0, "optimum"),
    "tic_tac_toe, losses against a one-ply player": Reference(0.0, "optimum"),
    "trading": Reference(8.9, "buy and hold"),
}


class Run(NamedTuple):
    """One training run: a line of the file."""

    env: str
    seed: int
    settings: str
    """Digest of all settings but the seed."""
    untrained: dict[str, float]
    """Scores of the policy before training, whose actions are nearly uniform."""
    sampled: dict[str, float]
    """Scores of the trained policy with sampled actions."""
    greedy: dict[str, float]
    """And with greedy ones."""
    steps: int
    seconds: float
    """Of the processor, which do not depend on what else the machine does."""


def names() -> list[str]:
    """The suite, and Gymnasium's environments that have settings here."""
    return [*puffer_numba.list_envs(), *(name for name in presets.names() if name.startswith("gym:"))]


def settings_of(name: str) -> str:
    """A digest that changes when the environment's training settings do: those that are not the defaults."""
    config, default = load_config(name).to_dict(), Config().to_dict()
    chosen = {
        f"{section}.{key}": value
        for section in SECTIONS
        for key, value in config[section].items()
        if value != default[section][key]
    }
    return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:12]


def train(name: str, seed: int, data_dir: str) -> Run:
    """Train, save a checkpoint, and measure."""
    config = load_config(name, {"train.seed": seed, "train.data_dir": data_dir, "log.tensorboard": False})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    untrained = measure(name, trainer, deterministic=False)
    started = time.process_time()
    trainer.learn()
    seconds = round(time.process_time() - started, 2)
    trainer.save_checkpoint()
    sampled, greedy = (measure(name, trainer, deterministic) for deterministic in (False, True))
    trainer.close()
    return Run(name, seed, settings_of(name), untrained, sampled, greedy, trainer.global_step, seconds)


def measure(name: str, trainer: PuffeRL, deterministic: bool) -> dict[str, float]:
    """Scores of the policy as it is, in environments of their own."""
    if name in GAMES_OF_TWO:
        with puffer_numba.make(name, 100) as env:
            own = policy_player(
                trainer.policy, env.single_action_space, normalizer=trainer.normalizer, deterministic=deterministic
            )
            opponents = {"a random player": random_player, "a one-ply player": one_ply}
            results = {who: play(env, [own, make(EVALUATION_SEED)], GAMES)[:, 0] for who, make in opponents.items()}
            return {
                f"{what} against {who}": float(np.mean(shares))
                for who, returns in results.items()
                for what, shares in (("wins", returns > 0), ("losses", returns < 0))
            }
    with load_env(trainer.config, 64) as env:
        episodes = MORE_EPISODES.get(name, EPISODES)
        returns, _ = run_episodes(env, trainer.policy, episodes, trainer.normalizer, deterministic, EVALUATION_SEED)
    return {"return": float(returns.mean())}


def load_runs() -> dict[tuple[str, int], Run]:
    """Runs by environment and seed, of the settings as they are now."""
    if not RUNS.exists():
        return {}
    runs = [Run(**json.loads(line)) for line in RUNS.read_text().splitlines()]
    known = {name: settings_of(name) for name in {run.env for run in runs} & set(names())}
    return {(run.env, run.seed): run for run in runs if run.settings == known.get(run.env)}


def store(runs: Iterable[Run]) -> None:
    """Write the file anew, in order."""
    ordered = sorted(runs, key=lambda run: (run.env, run.seed))
    temporary = RUNS.with_suffix(".new")
    temporary.write_text("".join(json.dumps(run._asdict()) + "\n" for run in ordered))
    temporary.replace(RUNS)


def compile_for(name: str) -> None:
    """Train for two rollouts, so that no timed run compiles."""
    config = load_config(name, {"log.tensorboard": False})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    trainer.learn(2 * config.train.horizon * env.num_agents)
    trainer.close()


def lines(runs: dict[tuple[str, int], Run]) -> Iterator[str]:
    """The table's rows, in Markdown."""
    columns = ("environment", "reference", "untrained", "sampled actions", "greedy actions", "seeds", "steps")
    yield "| " + " | ".join([*columns, "seconds", "command"]) + " |"
    yield "|" + " --- |" * (len(columns) + 2)
    for name in names():
        mine = [run for (env, _), run in sorted(runs.items()) if env == name]
        if not mine:
            yield f"| {name} | {' '.join(_reference(name, 'return'))} | not run yet | | | | | | `puffer train {name}` |"
        for what in mine[0].sampled if mine else ():
            reference, note = _reference(name, what)
            label = name if what == "return" else f"{name}, {what}"
            untrained = _short(statistics.fmean(run.untrained[what] for run in mine))
            sampled = _spread(what, [run.sampled[what] for run in mine])
            greedy = _spread(what, [run.greedy[what] for run in mine])
            steps = f"{statistics.median(run.steps for run in mine) / 1e6:.2f} M"
            seconds = f"{statistics.median(run.seconds for run in mine):.1f}"
            cells = (
                label,
                f"{reference} {note}",
                untrained,
                sampled,
                greedy,
                str(len(mine)),
                steps,
                seconds,
                f"`puffer train {name}`",
            )
            yield "| " + " | ".join(cells) + " |"


def _spread(what: str, scores: Sequence[float]) -> str:
    worst = max(scores) if what.startswith("losses") else min(scores)
    return f"{_short(statistics.fmean(scores))} ± {_short(statistics.pstdev(scores))} ({_short(worst)})"


def _reference(name: str, what: str) -> tuple[str, str]:
    found = REFERENCES.get(f"{name}, {what}" if what != "return" else name)
    return (_short(found.score), found.what) if found else ("none", "")


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 20 else f"{value:.3f}"


HEADER = """# What the trainer reaches

`puffer train NAME` with no options, on each environment of the suite and on those of Gymnasium's that have settings
here. Scores are those of the trained policy, once with sampled and once with greedy actions: the mean return over
{episodes} episodes or more; for board games the shares of {games} games, in half of which the policy moves first.
Mean ± standard deviation (worst) of up to {seeds} seeds; steps and seconds are medians. Untrained is the policy before
training, with sampled actions. Seconds are processor time (AMD EPYC) without compilation; on 2 free cores a run takes
a little less.

`python -m bench.studies.learning` makes this page; it runs unattended and continues where it was interrupted.

"""


def write(runs: dict[tuple[str, int], Run], seeds: int) -> None:
    """Write the page."""
    header = HEADER.format(episodes=EPISODES, games=GAMES, seeds=seeds)
    PAGE.write_text(header + "\n".join(lines(runs)) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments; all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="1 to this (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="also repeat what has been done")
    parser.add_argument("--write", action="store_true", help="train nothing; write the page")
    parser.add_argument("--data-dir", default="runs", help="folder of the checkpoints (default: %(default)s)")
    args = parser.parse_args()
    console, runs = Console(highlight=False), load_runs()
    for name in [] if args.write else args.names or names():
        todo = [seed for seed in range(1, args.seeds + 1) if args.again or (name, seed) not in runs]
        if todo:
            compile_for(name)
        for seed in todo:
            run = train(name, seed, args.data_dir)
            runs = load_runs() | {(name, seed): run}  # another process may have written meanwhile
            store(runs.values())
            scores = ", ".join(f"{what} {_short(s)} / {_short(run.greedy[what])}" for what, s in run.sampled.items())
            console.print(f"{name} seed {seed}: {scores}; {run.steps:,} steps, {run.seconds:.1f} s")
    write(runs, args.seeds)


if __name__ == "__main__":
    main()
