"""Training and evaluation by name, as PufferLib's module of this name has them: the whole run around the trainer.

::

    from puffer_numba.pufferl import train

    trainer = train("cartpole", {"train.learning_rate": 1e-3})

The trainer itself, for loops of one's own, is `puffer_numba.train.trainer.PuffeRL`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from puffer_numba.config import Config
from puffer_numba.models.load import load_policy
from puffer_numba.runs import checkpoint
from puffer_numba.runs.dashboard import Dashboard, make_dashboard
from puffer_numba.runs.evaluation import evaluate as eval
from puffer_numba.runs.loggers import make_logger
from puffer_numba.train import distributed
from puffer_numba.train.setup import load_config, load_env
from puffer_numba.train.trainer import NonFiniteError, PuffeRL

__all__ = ["PuffeRL", "eval", "load_config", "load_env", "load_policy", "make_trainer", "run", "train"]


def train(
    env_name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    config: Config | None = None,
    resume_from: str | Path | None = None,
    dashboard: Dashboard | None = None,
    save: bool = True,
) -> PuffeRL:
    """Train a policy, with dashboard, logs and checkpoints.

    Ctrl-C saves a checkpoint before the `KeyboardInterrupt` is passed on.

    Args:
        env_name: a name in the registry, or one that `puffer_numba.vector.env_creator` knows: ``gym:Acrobot-v1``.
        overrides: dotted settings, as for `load_config`.
        config: in place of the environment's own; ``overrides`` then apply to it.
        resume_from: a checkpoint's or run's folder, or "latest".
        dashboard: by default a live table on a terminal, and plain lines elsewhere.
        save: whether to write logs and checkpoints.

    Returns:
        The trainer, closed.

    Raises:
        APIUsageError: a name, setting or checkpoint that cannot be used.
        ImportError: a logger is wanted that is not installed.
    """
    trainer = make_trainer(env_name, overrides, config=config, resume_from=resume_from, dashboard=dashboard)
    return run(trainer, save=save)


def make_trainer(
    env_name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    config: Config | None = None,
    resume_from: str | Path | None = None,
    dashboard: Dashboard | None = None,
) -> PuffeRL:
    """A trainer with environments, policy and dashboard, ready to `run`; arguments as for `train`."""
    config = load_config(env_name, overrides) if config is None else config.update(overrides or {})
    config.validate()
    path = None
    if resume_from is not None:
        path = checkpoint.find(resume_from, env_name, config.train.data_dir)
    world = distributed.join(config)
    env = load_env(distributed.shard(config, world))
    if world.is_first:
        dashboard = dashboard or make_dashboard()
    trainer = PuffeRL(config, env, load_policy(config, env), dashboard=dashboard, world=world)
    if path is not None:
        trainer.load_checkpoint(path)
        run_dir = checkpoint.run_to_continue(path, config.env_name, config.train.data_dir)
        if run_dir is not None:
            trainer.run_dir = run_dir
    return trainer


def run(trainer: PuffeRL, *, save: bool = True) -> PuffeRL:
    """Train to the end with logs and checkpoints, and close everything; also after Ctrl-C or a failure.

    Raises:
        APIUsageError: the run's folder cannot be made, or a logger not be started; found before training starts.
        NonFiniteError: a loss or gradient is not finite; the message names the last good checkpoint.
        SaveError: the last checkpoint could not be written; the message says which is the last good one.
    """
    try:
        if save:
            if trainer.world.is_first:
                trainer.logger = make_logger(trainer.config, trainer.run_dir, trainer.global_step)
            _learn_and_save(trainer)
        else:
            trainer.learn()
    finally:
        trainer.close()
    distributed.leave()
    return trainer


def _learn_and_save(trainer: PuffeRL) -> None:
    """Train, and save a checkpoint whatever happens. Of two failures, the first is passed on."""
    try:
        trainer.learn()
    except Exception as error:
        try:
            if all(bool(p.isfinite().all()) for p in trainer.policy.parameters()):
                _save_alone(trainer)
        except checkpoint.SaveError as failure:
            warnings.warn(str(failure), stacklevel=2)
        if isinstance(error, NonFiniteError):
            last = trainer.last_checkpoint or "none"
            raise NonFiniteError(f"{error} The last good checkpoint: {last}") from error
        raise
    except BaseException:  # Ctrl-C
        _save_alone(trainer)
        raise
    trainer.save_checkpoint()


def _save_alone(trainer: PuffeRL) -> Path | None:
    """Other processes may be anywhere, and cannot take part."""
    return trainer.save_checkpoint(together=False) if trainer.global_step > 0 else None
