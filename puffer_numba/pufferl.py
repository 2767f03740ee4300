"""Training and evaluation by name, as PufferLib's module of this name has them: the whole run around the trainer.

::

    from puffer_numba.pufferl import train

    trainer = train("cartpole", {"train.learning_rate": 1e-3})

For a loop of one's own::

    config = load_config("cartpole", {"train.learning_rate": 1e-3})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    while not trainer.finished:
        trainer.evaluate()
        trainer.train()
    trainer.close()

The algorithm itself is `puffer_numba.train.trainer.Trainer`.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from puffer_numba.config import Config
from puffer_numba.env import PufferEnv
from puffer_numba.files import run_folder
from puffer_numba.models import load_policy
from puffer_numba.render.window import video_kind
from puffer_numba.runs import checkpoint
from puffer_numba.runs.callbacks import Callbacks, Episode
from puffer_numba.runs.dashboard import Dashboard, PlainDashboard, Snapshot, make_dashboard
from puffer_numba.runs.evaluation import Evaluator
from puffer_numba.runs.evaluation import evaluate as eval
from puffer_numba.runs.loggers import Logger, make_logger
from puffer_numba.runs.rotation import Rotation
from puffer_numba.runs.signals import termination_raises
from puffer_numba.sweep import sweep
from puffer_numba.train import distributed
from puffer_numba.train.distributed import ALONE, World
from puffer_numba.train.learner import NonFiniteError
from puffer_numba.train.phases import ACTING, COPY, ENVIRONMENT, EVALUATING, LOGGING, SAMPLING, SAVING
from puffer_numba.train.setup import load_config, load_env
from puffer_numba.train.trainer import Trainer

__all__ = ["PuffeRL", "eval", "load_config", "load_env", "load_policy", "make_trainer", "run", "sweep", "train"]


CHECKPOINT_SECONDS = 120.0  # between two, where train.checkpoint_interval does not say otherwise
OWN_STATISTICS = frozenset({"episodes", "episode_return", "episode_length"})


class PuffeRL(Trainer):
    """A trainer that logs, shows and saves, with the names of PufferLib's.

    Args:
        config, vecenv, policy, world: as for `Trainer`.
        logger: receives the metrics of `mean_and_log`.
        dashboard: shown while training; without one, `print_dashboard` prints a line.
        callbacks: objects with some of the methods of `puffer_numba.runs.callbacks.Callback`.

    Attributes:
        evaluation: mean return, mean length and number of episodes of the last evaluation; empty before the first.
        last_checkpoint: folder of the newest one; None before the first.
        saves: whether to save checkpoints by itself: every two minutes, where ``train.checkpoint_interval`` is None,
            and the best by evaluation.
        snapshot: the run as of the last `mean_and_log`.
    """

    def __init__(
        self,
        config: Config,
        vecenv: PufferEnv,
        policy: nn.Module,
        logger: Logger | None = None,
        dashboard: Dashboard | None = None,
        world: World = ALONE,
        callbacks: Sequence[Any] = (),
    ) -> None:
        super().__init__(config, vecenv, policy, world)
        self.logger, self.dashboard, self._callbacks = logger, dashboard, Callbacks(callbacks)
        self._evaluator: Evaluator | None = None
        self.evaluation: dict[str, float] = {}
        self._best_evaluation = -math.inf
        self._last_evaluation_step = 0
        self._started = self._last_shown = self._last_checkpoint_time = time.perf_counter()
        self._last_shown_step = self._last_checkpoint_step = 0
        self._last_checkpoint_time = self._started
        self._rotation: Rotation | None = None
        self._resumed_from: Path | None = None
        self._run_dir: Path | None = None
        self.last_checkpoint: Path | None = None
        self.saves = False
        self.snapshot: Snapshot | None = None

    def evaluate(self) -> None:
        """Collect one rollout, as `Trainer.evaluate`; then tell the callbacks."""
        super().evaluate()
        if self._callbacks.has("on_episode"):
            for episode in zip(*(values.tolist() for values in self.statistics.last_episodes), strict=True):
                self._tell("on_episode", Episode(*episode))
        self._tell("on_rollout")

    def train(self) -> dict[str, float] | None:
        """Learn from the rollout; then evaluate, log, show and save where that is due.

        Returns:
            The metrics, where it was time to log them, as PufferLib does; else None.
        """
        super().train()
        self._tell("on_update")
        evaluated = self._evaluate_policy() if self._evaluation_is_due() else False
        if self._checkpoint_is_due():
            self._save_or_warn()
        now = time.perf_counter()
        is_time = self.finished or now - self._last_shown >= self.config.log.interval
        if not (self.world.is_first and (is_time or evaluated or self._is_point())):
            return None
        metrics = self.mean_and_log()
        if is_time:
            self._last_shown, self._last_shown_step = now, self.global_step
            if self.dashboard is not None:
                self.print_dashboard()
        return metrics

    def _is_point(self) -> bool:
        """Whether this is one of the rollouts after which metrics are logged whatever the time."""
        points = self.config.log.points if self.logger is not None else 0
        return points > 0 and self.epoch % -(-self.total_epochs // points) == 0

    def _tell(self, hook: str, *arguments: Any) -> None:
        if self._callbacks.has(hook) and not self._callbacks.call(hook, self, *arguments):
            self.stopped = True

    @property
    def finished(self) -> bool:
        """Whether the run has done its steps, reached a target, or was stopped."""
        return super().finished or self.evaluated_well

    @property
    def evaluated_well(self) -> bool:
        """Whether the last evaluation has reached ``eval.target_return``."""
        target = self.config.eval.target_return
        return target is not None and self.evaluation.get("episode_return", -math.inf) >= target

    def _evaluation_is_due(self) -> bool:
        every = self.config.eval.every
        return every > 0 and (self.finished or self.global_step - self._last_evaluation_step >= every)

    def _evaluate_policy(self) -> bool:
        """Evaluate the policy, in the first process; save it where it is the best so far."""
        self._last_evaluation_step = self.global_step
        with self.phases(EVALUATING):
            own = self._evaluated() if self.world.is_first else (0.0, 0.0, 0)
            result = self.world.sum(*own)
        self.evaluation = dict(zip(("episode_return", "episode_length", "episodes"), result, strict=True))
        if self.evaluation["episode_return"] > self._best_evaluation:
            self._best_evaluation = self.evaluation["episode_return"]
            if self.saves:
                self._save_or_warn()
        return True

    def _evaluated(self) -> tuple[float, float, int]:
        """Mean return and length of the episodes of an evaluation, and their number."""
        if self._evaluator is None:
            self._evaluator = Evaluator(self.config)
        video = None
        if self.config.eval.video:
            video = self.run_dir / "videos" / f"step_{self.global_step:012d}{video_kind()}"
        returns, lengths = self._evaluator(self.policy, self.normalizer, video)
        return float(returns.mean()), float(lengths.mean()), len(returns)

    def learn(self, total_timesteps: int | None = None) -> PuffeRL:
        """Train until `finished`: collect, learn, log, show and save. Returns self.

        Args:
            total_timesteps: in place of ``config.train.total_timesteps``.
        """
        self.start_clock()
        if self.dashboard is not None:
            self._show(self._snapshot(steps_per_second=0.0, uptime=0.0, statistics={}))
        super().learn(total_timesteps)
        return self

    def mean_and_log(self) -> dict[str, float]:
        """Metrics of the run as it is now, also passed to the logger.

        Names are PufferLib's: SPS, global_step, uptime, epoch, ``environment/*``, ``losses/*``, ``performance/*``.
        """
        with self.phases(LOGGING):
            now = time.perf_counter()
            speed = (self.global_step - self._last_shown_step) / max(now - self._last_shown, 1e-9)
            numbers = {k: v for k, v in self.collector.infos.summary().items() if k not in OWN_STATISTICS}
            own = {name: float(value) for name, value in self.vecenv.log().items() if name not in OWN_STATISTICS}
            if self.losses:
                self.losses["explained_variance"] = self.explained_variance()
            self.snapshot = self._snapshot(speed, now - self._started, self.statistics.summary() | numbers | own)
            metrics = self._metrics(self.snapshot)
            if self.logger is not None:
                self.logger.log(metrics, self.global_step)
        return metrics

    def _metrics(self, snapshot: Snapshot) -> dict[str, float]:
        return {
            "SPS": snapshot.steps_per_second,
            "global_step": float(self.global_step),
            "uptime": snapshot.uptime,
            "epoch": float(self.epoch),
            **{f"environment/{name}": value for name, value in snapshot.statistics.items()},
            **self._evaluation_metrics(),
            **{f"losses/{name}": value for name, value in self.losses.items()},
            **{f"performance/{name}": share for name, share in snapshot.shares().items()},
        }

    def _evaluation_metrics(self) -> dict[str, float]:
        """Of an evaluation at this very step."""
        if not self.evaluation or self._last_evaluation_step != self.global_step:
            return {}
        return {f"evaluation/{name}": value for name, value in self.evaluation.items()}

    def _snapshot(self, steps_per_second: float, uptime: float, statistics: dict[str, float]) -> Snapshot:
        return Snapshot(
            env_name=self.config.env_name or type(self.vecenv.unwrapped).__name__,
            global_step=self.global_step,
            total_timesteps=self.config.train.total_timesteps,
            steps_per_second=steps_per_second,
            uptime=uptime,
            epoch=self.epoch,
            description=self.describe(),
            profile=self.seconds_by_part(),
            losses=dict(self.losses),
            statistics=statistics,
            evaluation=self.evaluation,
        )

    def seconds_by_part(self) -> dict[str, float]:
        """Seconds under PufferLib's names: env, forward, copy; learn is all the rest."""
        total = self.phases.total
        env, forward, copy = total(ENVIRONMENT), total(ACTING, SAMPLING), total(COPY)
        evaluating = total(EVALUATING)
        return {
            "env": env,
            "forward": forward,
            "learn": total(*self.phases.seconds) - env - forward - copy - evaluating,
            "copy": copy,
            **({"evaluate": evaluating} if evaluating else {}),
        }

    def print_dashboard(self) -> None:
        """Show the run as of the last `mean_and_log`: on the dashboard, or as a line where there is none."""
        if self.snapshot is None:
            self.mean_and_log()
        assert self.snapshot is not None
        with self.phases(LOGGING):
            self._show(self.snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        """On the dashboard; one that fails, as the disk is full that it is written to, is dropped with a warning."""
        try:
            (self.dashboard or PlainDashboard()).update(snapshot)
        except BrokenPipeError:  # nobody reads it any more, so nobody waits for the run
            raise
        except OSError as error:
            self.dashboard = None
            warnings.warn(
                f"the dashboard cannot be written: {error.strerror or error}. Training continues.", stacklevel=2
            )

    @property
    def run_dir(self) -> Path:
        """Folder of this run: ``data_dir/env_name/run``; made when first asked for."""
        if self._run_dir is None:
            config = self.config
            self._run_dir = checkpoint.new_run_dir(
                Path(config.train.data_dir) / (run_folder(config.env_name) or "custom")
            )
        return self._run_dir

    @run_dir.setter
    def run_dir(self, path: Path) -> None:
        self._run_dir = path

    def _checkpoint_is_due(self) -> bool:
        interval = self.config.train.checkpoint_interval
        if interval is not None:
            return interval > 0 and self.global_step - self._last_checkpoint_step >= interval
        if not self.saves:
            return False
        is_due = time.perf_counter() - self._last_checkpoint_time >= CHECKPOINT_SECONDS
        return self.world.sum(is_due)[0] > 0  # clocks differ, and all processes save together

    def save_checkpoint(self, together: bool = True) -> Path | None:
        """Save everything needed to evaluate and to continue. It stays. See `puffer_numba.runs.checkpoint`.

        Args:
            together: with the environments of all processes, each of which must call this; False saves those of this
                process alone.

        Returns:
            The checkpoint's folder; None where another process has written it.

        Raises:
            SaveError: it could not be written; those before it are as they were.
        """
        return self._save(together, automatic=False)

    def _save(self, together: bool = True, automatic: bool = True) -> Path | None:
        """The same; of ``automatic`` ones, only the last few and the best are kept."""
        self._last_checkpoint_step, self._last_checkpoint_time = self.global_step, time.perf_counter()
        with self.phases(SAVING):
            state = self.state_dict(together)
            if not self.world.is_first:
                return None
            evaluated = bool(self.evaluation) and self._last_evaluation_step == self.global_step
            score = self.evaluation["episode_return"] if evaluated else self.statistics.mean_return
            state.data |= {
                "automatic": automatic,
                "score": score if math.isfinite(score) else None,
                "evaluated": evaluated,
                "last_evaluation": self._last_evaluation_step,
                "best_evaluation": self._best_evaluation if math.isfinite(self._best_evaluation) else None,
            }
            path = self.run_dir / f"checkpoint_{self.global_step:012d}"
            try:
                self.last_checkpoint = checkpoint.save(path, state)
            except OSError as error:
                last = self.last_checkpoint
                what = f"the last good checkpoint is {last}" if last else "none was saved before"
                raise checkpoint.SaveError(f"cannot save {path}: {error.strerror or error}; {what}.") from error
            if self._rotation is None:
                self._rotation = Rotation(self.run_dir, self.config.train.keep_checkpoints, self._resumed_from)
            self._rotation.add(path, state.data)
        return self.last_checkpoint

    def _save_or_warn(self) -> None:
        try:
            self._save()
        except checkpoint.SaveError as error:
            warnings.warn(f"{error} Training continues.", stacklevel=2)

    def load_checkpoint(self, path: str | Path) -> None:
        """Continue where the run that wrote ``path`` was; bit for bit, where the environments can be saved.

        Raises:
            CheckpointError: it is missing, damaged, or of another policy, environment or optimizer.
        """
        saved = checkpoint.load(path)
        saved.load_into(self)
        self.start_clock()
        self._last_evaluation_step = saved.data.get("last_evaluation", self.global_step)
        best = saved.data.get("best_evaluation")
        self._best_evaluation = -math.inf if best is None else best
        self.last_checkpoint = self._resumed_from = Path(path)

    def start_clock(self) -> None:
        """Measure speed and time from now."""
        self._started = self._last_shown = self._last_checkpoint_time = time.perf_counter()
        self._last_shown_step = self._last_checkpoint_step = self.global_step

    def close(self) -> None:
        """Close all environments, the logger and the dashboard."""
        super().close()
        if self._evaluator is not None:
            self._evaluator.close()
        if self.logger is not None:
            self.logger.close()
        if self.dashboard is not None:
            self.dashboard.close()


def train(
    env_name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    config: Config | None = None,
    resume_from: str | Path | None = None,
    dashboard: Dashboard | None = None,
    save: bool = True,
    callbacks: Sequence[Any] = (),
) -> PuffeRL:
    """Train a policy, with dashboard, logs and checkpoints.

    Ctrl-C saves a checkpoint before the `KeyboardInterrupt` is passed on. So do SIGTERM and SIGHUP, where the program
    does not handle them, which then raise `puffer_numba.runs.signals.Terminated`, a `SystemExit`.

    Args:
        env_name: as for `puffer_numba.vector.env_creator`: ``cartpole``, ``my_walk.py:MyWalk``, ``gym:Acrobot-v1``.
        overrides: dotted settings, as for `load_config`.
        config: in place of the environment's own; ``overrides`` then apply to it.
        resume_from: a checkpoint's or run's folder, "latest" or "best".
        dashboard: by default a live table on a terminal, and plain lines elsewhere.
        save: whether to write logs and checkpoints.
        callbacks: objects with some of the methods of `puffer_numba.runs.callbacks.Callback`: ``on_rollout``,
            ``on_episode``, ``on_update``.

    Returns:
        The trainer, closed.

    Raises:
        APIUsageError: a name, setting or checkpoint that cannot be used.
        ImportError: a logger is wanted that is not installed.
    """
    trainer = make_trainer(
        env_name, overrides, config=config, resume_from=resume_from, dashboard=dashboard, callbacks=callbacks
    )
    return run(trainer, save=save)


def make_trainer(
    env_name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    config: Config | None = None,
    resume_from: str | Path | None = None,
    dashboard: Dashboard | None = None,
    callbacks: Sequence[Any] = (),
) -> PuffeRL:
    """A trainer with environments, policy and dashboard, ready to `run`; arguments as for `train`."""
    if config is None:
        config = with_its_policy(load_config(env_name, overrides))
    config.update(overrides or {})
    config.validate()
    path = None
    if resume_from is not None:
        path = checkpoint.find(resume_from, env_name, config.train.data_dir)
    world = distributed.join(config)
    env = load_env(distributed.shard(config, world))
    if world.is_first:
        dashboard = dashboard or make_dashboard()
    trainer = PuffeRL(config, env, load_policy(config, env), dashboard=dashboard, world=world, callbacks=callbacks)
    if path is None:
        begin_as_set(trainer)
    else:
        trainer.load_checkpoint(path)
        run_dir = checkpoint.run_to_continue(path, config.env_name, config.train.data_dir)
        if run_dir is not None:
            trainer.run_dir = run_dir
    return trainer


def begin_as_set(trainer: Trainer) -> None:
    """Let a trainer that has not begun begin with the policy of another run, where ``policy.from`` says so.

    Raises:
        CheckpointError: it is missing, or does not fit.
    """
    config = trainer.config
    if config.policy.from_ is not None:
        checkpoint.load(checkpoint.find(config.policy.from_, config.env_name, config.train.data_dir)).begin(trainer)


def with_its_policy(config: Config) -> Config:
    """``config`` with the settings of the policy that it begins with, where ``policy.from`` names a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged; or its policy is code, which ``policy.name`` has to name.
    """
    which = config.policy.from_
    if which is None:
        return config
    saved = checkpoint.load(checkpoint.find(which, config.env_name, config.train.data_dir))
    saved.allow_policy(config.policy.name, config.train.data_dir)
    there = saved.config
    train = replace(config.train, normalize_observations=there.train.normalize_observations)
    return replace(config, policy=replace(there.policy, from_=str(which)), train=train)


def run(trainer: PuffeRL, *, save: bool = True) -> PuffeRL:
    """Train to the end with logs and checkpoints, and close everything; also after Ctrl-C, a signal or a failure.

    Raises:
        APIUsageError: the run's folder cannot be made, or a logger not be started; found before training starts.
        NonFiniteError: a loss or gradient is not finite; the message names the last good checkpoint.
        SaveError: the last checkpoint could not be written; the message says which is the last good one.
    """
    try:
        with termination_raises():
            if save:
                if trainer.world.is_first:
                    trainer.logger = make_logger(trainer.config, trainer.run_dir, trainer.global_step)
                trainer.saves = True
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
        _learn_or_explain(trainer)
    except Exception:
        raise
    except BaseException:  # Ctrl-C or a signal, also where that has made other processes end and so this one fail
        _save_alone(trainer)
        raise
    trainer.save_checkpoint()


def _learn_or_explain(trainer: PuffeRL) -> None:
    """Train; what fails is raised once a checkpoint is saved, unless the weights are of no use."""
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


def _save_alone(trainer: PuffeRL) -> None:
    """Other processes may be anywhere, and cannot take part."""
    if trainer.global_step > 0:
        trainer._save(together=False)
