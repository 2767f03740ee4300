"""One trial: training within a budget of seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from puffer_numba.config import Config
from puffer_numba.models.load import load_policy
from puffer_numba.sweep.messages import SLOTS, Budget, Message, Outcome, Report, Started
from puffer_numba.train.setup import load_env
from puffer_numba.train.trainer import Trainer


class TrialError(Exception):
    """A trial that has no score."""


def run_trial(config: Config, budget: Budget, tell: Callable[[Message], None], stop: Callable[[], bool]) -> Outcome:
    """Train with the settings of ``config`` until the budget is used up, or ``train.target_return`` is reached.

    The clock starts after a first short run, which has compiled what must be compiled. A rollout that ends after the
    budget does not count.

    Args:
        config: ``train.total_timesteps`` is set in it as the trial goes on.
        budget: seconds of training, or steps.
        tell: called with `Started` when the clock starts, and with a `Report` at the end of each slot.
        stop: whether the trial was given up; asked once for each rollout.

    Raises:
        TrialError: no episode ended.
        NonFiniteError: a loss or gradient was not finite.
        APIUsageError: settings that do not go together.
    """
    _compile(config)
    env = load_env(config)
    trainer = Trainer(config, env, load_policy(config, env))
    try:
        return _train(trainer, budget, tell, stop)
    finally:
        trainer.close()


def _compile(config: Config) -> None:
    """Train for two short rollouts."""
    brief = {"train.horizon": 2, "train.num_minibatches": 1, "train.update_epochs": 2}
    short = Config.from_dict(config.to_dict()).update(brief)
    env = load_env(short)
    trainer = Trainer(short, env, load_policy(short, env))
    try:
        for _ in range(2):
            trainer.evaluate()
            trainer.train()
    finally:
        trainer.close()


def _train(trainer: Trainer, budget: Budget, tell: Callable[[Message], None], stop: Callable[[], bool]) -> Outcome:
    outcome, slot = None, 0
    tell(Started())
    started = time.perf_counter()
    while True:
        trainer.evaluate()
        seconds = time.perf_counter() - started
        if seconds > budget.seconds:
            break
        used = budget.used(seconds, trainer.global_step)
        # The learning rate falls with the time that has passed: the trainer is told how many steps that makes in all.
        trainer.config.train.total_timesteps = math.ceil(trainer.global_step / used)
        if trainer.statistics.episodes:
            outcome = _outcome(trainer, seconds, used)
            while slot < int(used * SLOTS):
                slot += 1
                tell(Report(slot, outcome.progress))
        if used == 1 or trainer.solved or stop():
            break
        trainer.train()
    if outcome is None:
        raise TrialError(f"no episode ended within {budget.seconds:g} s of training")
    return outcome


def _outcome(trainer: Trainer, seconds: float, used: float) -> Outcome:
    """What the trial would come to if it ended now."""
    mean_return, target = trainer.statistics.mean_return, trainer.config.train.target_return
    if not math.isfinite(mean_return):
        raise TrialError(f"the mean return was not finite after {trainer.global_step:,} steps")
    progress = mean_return if target is None else min(mean_return, target)
    score = progress + (1 - used if trainer.solved else 0.0)
    return Outcome(score, progress, mean_return, seconds, trainer.global_step, trainer.config.train.total_timesteps)
