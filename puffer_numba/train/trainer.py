"""PuffeRL: proximal policy optimization, as in CleanRL's ``ppo.py``, over batched environments.

One iteration is `PuffeRL.evaluate`, which collects a rollout, and `PuffeRL.train`, which learns from it::

    config = load_config("cartpole", {"train.learning_rate": 1e-3})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    while not trainer.finished:
        trainer.evaluate()
        trainer.train()
    trainer.close()

The details follow "The 37 Implementation Details of Proximal Policy Optimization" (Huang et al., 2022). What
differs: a truncated episode is bootstrapped with the value of its last observation; rows that are masked
out take no part; and experience is stored time first, so that environments write into the storage themselves.
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import torch
from torch import Tensor, nn

from puffer_numba.config import Config, TrainConfig
from puffer_numba.distributions.actions import CategoricalActions, action_distribution, action_params
from puffer_numba.env import SAME_STEP, APIUsageError, PufferEnv
from puffer_numba.models.actor import Actor, is_recurrent
from puffer_numba.models.encoders import StructuredEncoder, is_structured
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.runs import checkpoint
from puffer_numba.runs.dashboard import Dashboard, PlainDashboard, Snapshot
from puffer_numba.runs.loggers import Logger
from puffer_numba.train import resume
from puffer_numba.train.acceleration import accelerate
from puffer_numba.train.advantage import discounted_returns, gae, vtrace
from puffer_numba.train.collector import Collector
from puffer_numba.train.distributed import ALONE, World
from puffer_numba.train.loss import LOSS_NAMES, discrete_backward, ppo_loss
from puffer_numba.train.minibatches import drawn_rows, row_chances, shuffled_rows, shuffled_steps
from puffer_numba.train.optimizer import make_optimizer, set_learning_rate
from puffer_numba.train.rollout import EpisodeStatistics, Rollout
from puffer_numba.train.self_play import League

OWN_STATISTICS = frozenset({"episodes", "episode_return", "episode_length"})


class NonFiniteError(APIUsageError):
    """A loss or gradient is NaN or infinite; the message names the first tensor that is, and the step."""


class PuffeRL:
    """Trains ``policy`` on ``vecenv``.

    Args:
        config: from `load_config`, or made by hand.
        vecenv: any `PufferEnv`. A `JitEnv` writes straight into the rollout storage; results of others are
            copied there, as they may read their own last observations back.
        policy: a torch module; see `puffer_numba.models.mlp` for what it takes and returns. Moved to
            ``config.train.device``.
        logger: receives the metrics of `mean_and_log`.
        dashboard: shown while training; without one, `print_dashboard` prints a line.
        world: the processes that train together, and this one's place among them; see `puffer_numba.train.distributed`.

    Attributes:
        global_step: steps done, summed over the rows of all processes.
        epoch: rollouts done; total_epochs: rollouts to do.
        finished: whether ``total_timesteps`` or ``target_return`` has been reached.
        losses: means over the last call of `train`. skipped: minibatches that were not finite.
        statistics: `EpisodeStatistics` of the run.
        rollout: the experience of the last `evaluate`, which ``collector`` put there.

    Raises:
        APIUsageError: a setting that cannot be used; a device that is not there; an environment that does not
            reset itself in the step in which an episode ends, or whose batches are of other rows each time.
    """

    def __init__(
        self,
        config: Config,
        vecenv: PufferEnv,
        policy: nn.Module,
        logger: Logger | None = None,
        dashboard: Dashboard | None = None,
        world: World = ALONE,
    ) -> None:
        config.validate()
        _check_autoreset(vecenv)
        _check_batches(vecenv)
        _check_rows(config, vecenv, policy)
        train = config.train
        self.config, self.vecenv, self.logger, self.dashboard, self.world = config, vecenv, logger, dashboard, world
        numba.get_num_threads()  # starts Numba's threads, which sets torch's to as many where both use OpenMP
        torch.set_num_threads(train.torch_threads)
        self.device = _device(train.device)
        self.policy = policy.to(self.device)
        world.broadcast(self.policy)
        self.distribution = action_distribution(vecenv.single_action_space, policy)
        self.optimizer = make_optimizer(policy, train, self.device)
        self._moments = _moments(vecenv, policy, self.device) if train.normalize_observations else None
        self.normalizer = self._moments if isinstance(self._moments, RunningNormalizer) else None
        self.return_scale = RunningNormalizer(()) if train.normalize_returns else None
        self._forward = accelerate(self.policy, train, self.device)
        self._forward_eval = accelerate(getattr(policy, "forward_eval", policy), train, self.device)

        self.rollout = Rollout(vecenv, self.distribution, train.horizon, pinned=self.device.type == "cuda")
        self.statistics = EpisodeStatistics(self.rollout)
        self.discounted = np.zeros(self.rollout.rows, np.float32)
        discrete = isinstance(self.distribution, CategoricalActions)
        self._fast_loss = discrete and self.device.type == "cpu"
        self.league = self._make_league() if train.self_play else None
        self.profile = dict.fromkeys(("env", "forward", "learn", "copy"), 0.0)
        actor = self._make_actor(vecenv.num_agents)
        self.collector = Collector(
            vecenv,
            self.rollout,
            actor,
            self.distribution,
            seed=train.seed,
            profile=self.profile,
            world=world,
            league=self.league,
        )

        self.global_step = self.epoch = self._rollout_start = 0
        self.losses: dict[str, float] = {}
        self.skipped = 0
        self.generator = torch.Generator().manual_seed(train.seed)
        self._started = self._last_log = time.perf_counter()
        self._last_log_step = self._last_checkpoint_step = 0
        self._run_dir: Path | None = None
        self.last_checkpoint: Path | None = None
        self.snapshot: Snapshot | None = None

    def _make_actor(self, rows: int) -> Actor:
        return Actor(self.policy, rows, self.normalizer, self.device, self._forward_eval)

    def _make_league(self) -> League:
        if self.vecenv.agents_per_batch != self.vecenv.num_agents:
            raise APIUsageError("train.self_play needs environments that step together: no vec.batch_size or overlap.")
        return League(self.config, self.vecenv, self.device, self.policy)

    # -- experience ---------------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Collect one rollout: ``horizon`` steps of every row.

        Raises:
            APIUsageError: every row was masked out at every step.
        """
        self._rollout_start = self.global_step
        if self.league is not None and self.league.is_due(self.global_step):
            self.league.add(self.policy, self.normalizer, self.global_step)
        self.collector.collect()
        steps = int(self.world.sum(float(np.count_nonzero(self.rollout.masks[:-1])))[0])
        if steps == 0:
            raise APIUsageError("no row acted in a whole rollout: the environment's masks are all False.")
        self.statistics.add(self.rollout, self.world)
        self.global_step += steps
        self.epoch += 1

    # -- learning -----------------------------------------------------------------------------------------

    def train(self) -> dict[str, float] | None:
        """Learn from the rollout; then log, show and save where that is due.

        Returns:
            The metrics, where it was time to log them, as PufferLib does; else None.
        """
        begin = time.perf_counter()
        config = self.config.train
        if config.anneal_lr:
            left = max(0.0, 1.0 - self._rollout_start / config.total_timesteps)
            set_learning_rate(self.optimizer, config.learning_rate * left)
        self._scale_rewards()
        batch = self._batch()
        records: list[Tensor] = []
        skipped = self.skipped
        for epoch in range(config.update_epochs):
            if epoch == 0 or config.advantage == "vtrace":
                self._advantages(batch, epoch)
            updates = (self._update(batch, *minibatch) for minibatch in self._draw_minibatches())
            records += [record for record in updates if record is not None]
            if config.target_kl is not None and records and float(records[-1][3]) > config.target_kl:
                break
        if self._moments is not None:
            valid = torch.from_numpy(self.rollout.masks[:-1]).flatten().to(self.device)
            if self.skipped > skipped:
                valid = valid & batch["observations"].flatten(1).isfinite().all(1)
            self._moments.update(batch["observations"][valid], self.world)
        if records:
            means = torch.stack(records).mean(0).tolist()
            self.losses = dict(zip(LOSS_NAMES, means, strict=True))
        if self.skipped:
            self.losses["skipped_minibatches"] = float(self.skipped)
        self.losses["learning_rate"] = self.optimizer[0].param_groups[0]["lr"]
        self.profile["learn"] += time.perf_counter() - begin
        return self._after_update()

    def _scale_rewards(self) -> None:
        """Divide the rollout's rewards by the deviation of the discounted return, as VecNormalize does."""
        if self.return_scale is None:
            return
        rollout = self.rollout
        valid = rollout.masks[:-1]
        returns = np.empty_like(rollout.rewards)
        ends = rollout.terminals | rollout.truncations
        discounted_returns(rollout.rewards, ends, valid, self.config.train.gamma, self.discounted, returns)
        if math.isfinite(self.world.sum(returns.sum())[0]):
            self.return_scale.update(torch.from_numpy(returns[valid]), self.world)
        else:  # a reward that is not finite; minibatches with its step are dealt with in the update
            self.discounted[~np.isfinite(self.discounted)] = 0
        rollout.rewards /= math.sqrt(float(self.return_scale.var) + 1e-8)
        np.clip(rollout.rewards, -10, 10, out=rollout.rewards)

    def _batch(self) -> dict[str, Tensor]:
        """The rollout as flat tensors on the device: on the CPU, the very same memory."""
        rollout, begin = self.rollout, time.perf_counter()
        arrays = {
            "observations": rollout.observations[:-1],
            "actions": rollout.actions,
            "old_log_probs": rollout.log_probs,
            "old_values": rollout.values[:-1],
        }
        batch = {
            name: torch.from_numpy(array).flatten(0, 1).to(self.device, non_blocking=True)
            for name, array in arrays.items()
        }
        copied = time.perf_counter() - begin
        self.profile["copy"] += copied
        self.profile["learn"] -= copied
        return batch

    def _advantages(self, batch: dict[str, Tensor], epoch: int) -> None:
        """Advantages and value targets, by `gae` or `vtrace`, into ``batch``."""
        rollout, config = self.rollout, self.config.train
        values = rollout.values
        ends = (rollout.terminals, rollout.truncations, rollout.final_values, rollout.masks)
        if config.advantage == "gae":
            gae(rollout.rewards, values, *ends, config.gamma, config.gae_lambda, rollout.advantages)
        else:
            ratios = np.ones_like(rollout.rewards)
            if epoch > 0:
                values, ratios = self._current_values_and_ratios(batch)
            clips = (config.vtrace_rho_clip, config.vtrace_c_clip)
            vtrace(rollout.rewards, values, *ends, ratios, config.gamma, config.gae_lambda, *clips, rollout.advantages)
        batch["advantages"] = torch.from_numpy(rollout.advantages).flatten().to(self.device)
        batch["returns"] = batch["advantages"] + torch.from_numpy(values[:-1]).flatten().to(self.device)

    @torch.no_grad()
    def _current_values_and_ratios(self, batch: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Values ``(horizon + 1, rows)`` and importance ratios ``(horizon, rows)`` of the policy as it is now."""
        rollout = self.rollout
        values, ratios = np.empty_like(rollout.values), np.empty_like(rollout.log_probs)
        actor = self._make_actor(rollout.rows)
        actor.state = None if self.collector.first_state is None else self.collector.first_state.clone()
        for t, observations in enumerate(self.collector.observation_slots):
            params, value = actor.act(observations, rollout.masks[t])
            values[t] = value.cpu().numpy()
            if t < rollout.horizon:
                actor.forget(rollout.terminals[t] | rollout.truncations[t])
                rows = slice(t * rollout.rows, (t + 1) * rollout.rows)
                log_probs, _ = self.distribution.log_prob_entropy(params, batch["actions"][rows])
                ratios[t] = (log_probs - batch["old_log_probs"][rows]).exp().cpu().numpy()
        return values, ratios

    def _draw_minibatches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """One pass over the rollout: indices of each minibatch, and weights of its advantages, if there are any."""
        config, rollout, weights = self.config.train, self.rollout, None
        count, has_memory = config.num_minibatches, self.collector.first_state is not None
        if config.prio_alpha > 0:
            chances = row_chances(rollout, config.prio_alpha)
            done = min(self._rollout_start / config.total_timesteps, 1.0)
            beta = config.prio_beta + (1 - config.prio_beta) * config.prio_alpha * done
            weights = ((rollout.rows * chances) ** -beta).float().to(self.device)
            parts = drawn_rows(rollout, count, chances, self.generator)
            if not has_memory:
                acts = torch.from_numpy(rollout.masks[:-1]).flatten()
                parts = (rows.flatten()[acts[rows.flatten()]] for rows in parts)
        else:
            parts = (shuffled_rows if has_memory else shuffled_steps)(rollout, count, self.generator)
        for rows in parts:
            if len(rows) or self.world.size > 1:  # others may have some
                yield rows.to(self.device), weights

    def _evaluate_actions(self, batch: dict[str, Tensor], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Action parameters and values of a minibatch, and which rows of the batch they are of."""
        observations = batch["observations"][rows]
        if self.normalizer is not None:
            observations = self.normalizer(observations)
        if self.collector.first_state is None:
            output, values = self._forward(observations)
            return action_params(output), values, rows
        rollout, columns = self.rollout, rows[0] % self.rollout.rows
        masks, ends = (
            torch.from_numpy(a).to(self.device)[:, columns]
            for a in (rollout.masks[:-1], rollout.terminals | rollout.truncations)
        )
        params, values = self._forward(observations, self.collector.first_state[:, columns], masks, ends)
        rows = rows.flatten()
        if not masks.all():
            acting = masks.flatten().nonzero()[:, 0]
            params, values, rows = params[acting], values[acting], rows[acting]
        return params, values, rows

    def _update(self, batch: dict[str, Tensor], rows: Tensor, weights: Tensor | None = None) -> Tensor | None:
        """One optimizer step on one minibatch.

        Args:
            batch: the whole rollout.
            rows: the minibatch's indices in it.
            weights: of the advantages, for each row of the rollout; None: all alike.

        Returns:
            The losses that `LOSS_NAMES` lists; None if the minibatch was skipped.
        """
        config = self.config.train
        params, values, rows = self._evaluate_actions(batch, rows)
        for optimizer in self.optimizer:
            optimizer.zero_grad(set_to_none=True)
        if weights is not None or (self.world.size > 1 and config.norm_adv):
            batch, config = self._scale_advantages(batch, rows, weights)
        record = self._backward(config, params, values, batch, rows)
        self.world.average_gradients(self.policy, record, len(rows))
        if not self._step_optimizers():
            self._not_finite(batch, rows, params, values)
            return None
        return record

    def _backward(
        self, config: TrainConfig, params: Tensor, values: Tensor, batch: dict[str, Tensor], rows: Tensor
    ) -> Tensor:
        """Gradients of the loss; what `LOSS_NAMES` lists."""
        if len(rows) == 0:
            return torch.zeros(len(LOSS_NAMES), device=self.device)
        if self._fast_loss and params.dtype == values.dtype == torch.float32:
            return discrete_backward(config, self.distribution, params, values, batch, rows)
        log_probs, entropy = self.distribution.log_prob_entropy(params, batch["actions"][rows])
        old = {name: batch[name][rows] for name in ("old_log_probs", "old_values", "advantages", "returns")}
        loss, record = ppo_loss(config, log_probs, values.reshape(-1), entropy, **old)
        loss.backward()
        return record

    def _step_optimizers(self) -> bool:
        """Clip the gradient and take a step; False, and no step, where it is not finite."""
        max_norm = self.config.train.max_grad_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.policy.parameters(), max_norm)
        if not math.isfinite(norm):
            return False
        for optimizer in self.optimizer:
            optimizer.step()
        return True

    def _scale_advantages(
        self, batch: dict[str, Tensor], rows: Tensor, weights: Tensor | None
    ) -> tuple[dict[str, Tensor], TrainConfig]:
        """The batch with this minibatch's advantages normalized, over all processes, and weighted; and settings that
        leave them as they are then.
        """
        chosen = batch["advantages"][rows].double()
        n, total, squares = self.world.sum(len(rows), float(chosen.sum()), float(chosen.square().sum()))
        mean = total / max(n, 1)
        deviation = math.sqrt(max(squares - n * mean * mean, 0) / (n - 1)) if n > 1 else 1.0
        if self.config.train.norm_adv:
            chosen = (chosen - mean) / (deviation + 1e-8)
        if weights is not None:
            chosen = chosen * weights[rows % self.rollout.rows]
        advantages = batch.setdefault("scaled_advantages", torch.empty_like(batch["advantages"]))
        advantages[rows] = chosen.to(advantages.dtype)  # the loss reads no others
        return {**batch, "advantages": advantages}, dataclasses.replace(self.config.train, norm_adv=False)

    def _not_finite(self, batch: dict[str, Tensor], rows: Tensor, params: Tensor, values: Tensor) -> None:
        """The gradient is not finite: count the minibatch as skipped, or stop."""
        self.skipped += 1
        if self.config.train.non_finite == "skip":
            return
        rewards = torch.from_numpy(self.rollout.rewards).flatten().to(self.device)
        suspects = {
            "observations": batch["observations"][rows],
            "rewards": rewards[rows],
            "values of the rollout": batch["old_values"][rows],
            "advantages": batch["advantages"][rows],
            "the policy's action parameters": params,
            "the policy's values": values,
            **{f"gradient of {name}": p.grad for name, p in self.policy.named_parameters() if p.grad is not None},
        }
        found = next((name for name, x in suspects.items() if not x.isfinite().all()), "the gradient's length")
        raise NonFiniteError(
            f"training stopped at step {self.global_step:,}: NaN or infinity, first in {found}. A smaller "
            "train.learning_rate may help, or train.non_finite=skip, which passes over such minibatches."
        )

    # -- the run ------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the run has done its steps, or reached its target."""
        return self.global_step >= self.config.train.total_timesteps or self.solved

    @property
    def solved(self) -> bool:
        """Whether the mean return of the last 100 episodes has reached ``train.target_return``."""
        target = self.config.train.target_return
        return target is not None and self.statistics.episodes >= 100 and self.statistics.mean_return >= target

    @property
    def total_epochs(self) -> int:
        """Rollouts in ``total_timesteps``, where no row is masked out."""
        return -(-self.config.train.total_timesteps // (self.rollout.horizon * self.rollout.rows * self.world.size))

    def learn(self, total_timesteps: int | None = None) -> PuffeRL:
        """Train until `finished`: collect, learn, log, show and save. Returns self.

        Args:
            total_timesteps: in place of ``config.train.total_timesteps``.
        """
        if total_timesteps is not None:
            self.config.update({"train.total_timesteps": total_timesteps})
            self.config.train.validate()
        self.start_clock()
        if self.dashboard is not None:
            self.dashboard.update(self._snapshot(steps_per_second=0.0, uptime=0.0, statistics={}))
        while not self.finished:
            self.evaluate()
            self.train()
        return self

    def _after_update(self) -> dict[str, float] | None:
        """Save and log where that is due."""
        config = self.config.train
        interval = config.checkpoint_interval
        if interval and self.global_step - self._last_checkpoint_step >= interval:
            self._save_or_warn()
        is_due = self.finished or time.perf_counter() - self._last_log >= self.config.log.interval
        if not (is_due and self.world.is_first):
            return None
        metrics = self.mean_and_log()
        if self.dashboard is not None:
            self.print_dashboard()
        return metrics

    def mean_and_log(self) -> dict[str, float]:
        """Metrics of the run as it is now, also passed to the logger.

        Names are PufferLib's: SPS, global_step, uptime, epoch, ``environment/*``, ``losses/*``, ``performance/*``.
        """
        now = time.perf_counter()
        speed = (self.global_step - self._last_log_step) / max(now - self._last_log, 1e-9)
        self._last_log, self._last_log_step = now, self.global_step
        statistics = self.statistics.summary()
        own = {name: float(value) for name, value in self.vecenv.log().items() if name not in OWN_STATISTICS}
        statistics.update(own)
        if self.league is not None:
            statistics.update(self.league.summary())
        if self.losses:
            self.losses["explained_variance"] = self._explained_variance()
        self.snapshot = self._snapshot(speed, now - self._started, statistics)
        metrics = {
            "SPS": speed,
            "global_step": float(self.global_step),
            "uptime": self.snapshot.uptime,
            "epoch": float(self.epoch),
            **{f"environment/{name}": value for name, value in statistics.items()},
            **{f"losses/{name}": value for name, value in self.losses.items()},
            **{f"performance/{name}": share for name, share in self.snapshot.shares().items()},
        }
        if self.logger is not None:
            self.logger.log(metrics, self.global_step)
        return metrics

    def _snapshot(self, steps_per_second: float, uptime: float, statistics: dict[str, float]) -> Snapshot:
        return Snapshot(
            env_name=self.config.env_name or type(self.vecenv).__name__,
            global_step=self.global_step,
            total_timesteps=self.config.train.total_timesteps,
            steps_per_second=steps_per_second,
            uptime=uptime,
            epoch=self.epoch,
            description=self.describe(),
            profile=dict(self.profile),
            losses=dict(self.losses),
            statistics=statistics,
        )

    def _explained_variance(self) -> float:
        """1: the values foretold the returns; 0: no better than a constant. NaN where all returns are equal."""
        valid = self.rollout.masks[:-1]
        advantages = self.rollout.advantages[valid]
        variance = float(np.var(advantages + self.rollout.values[:-1][valid]))
        return 1.0 - float(np.var(advantages)) / variance if variance > 0 else float("nan")

    def describe(self) -> str:
        """Sizes of the batch, the rollout storage and the network."""
        rows, horizon = self.rollout.rows, self.rollout.horizon
        parameters = sum(p.numel() for p in self.policy.parameters())
        mebibytes = self.rollout.nbytes / 2**20
        processes = f" in each of {self.world.size} processes" if self.world.size > 1 else ""
        return (
            f"{rows} rows x {horizon} steps, rollout storage {mebibytes:.1f} MiB, "
            f"{parameters:,} parameters on {self.device}{processes}"
        )

    def print_dashboard(self) -> None:
        """Show the run as of the last `mean_and_log`: on the dashboard, or as a line where there is none."""
        if self.snapshot is None:
            self.mean_and_log()
        assert self.snapshot is not None
        (self.dashboard or PlainDashboard()).update(self.snapshot)

    @property
    def run_dir(self) -> Path:
        """Folder of this run: ``data_dir/env_name/run``; made when first asked for."""
        if self._run_dir is None:
            config = self.config
            self._run_dir = checkpoint.new_run_dir(Path(config.train.data_dir) / (config.env_name or "custom"))
        return self._run_dir

    @run_dir.setter
    def run_dir(self, path: Path) -> None:
        self._run_dir = path

    def save_checkpoint(self, together: bool = True) -> Path | None:
        """Save everything needed to evaluate and to go on. See `puffer_numba.runs.checkpoint`.

        Args:
            together: with the environments of all processes, each of which must call this; False saves those of this
                process alone.

        Returns:
            The checkpoint's folder; None where another process has written it.

        Raises:
            SaveError: it could not be written; those before it are as they were.
        """
        self._last_checkpoint_step = self.global_step
        state = resume.trainer_state(self, together)
        if not self.world.is_first:
            return None
        path = self.run_dir / f"checkpoint_{self.global_step:012d}"
        try:
            self.last_checkpoint = checkpoint.save(path, self.policy.state_dict(), *state)
        except OSError as error:
            last = (
                f"the last good checkpoint is {self.last_checkpoint}"
                if self.last_checkpoint
                else "none was saved before"
            )
            raise checkpoint.SaveError(f"cannot save {path}: {error.strerror or error}; {last}.") from error
        return self.last_checkpoint

    def _save_or_warn(self) -> None:
        try:
            self.save_checkpoint()
        except checkpoint.SaveError as error:
            warnings.warn(f"{error} Training goes on.", stacklevel=2)

    def load_checkpoint(self, path: str | Path) -> None:
        """Go on where the run that wrote ``path`` was; bit for bit, where the environments can be saved.

        Raises:
            CheckpointError: it is missing, damaged, or of another policy, environment or optimizer.
        """
        resume.restore_trainer(self, checkpoint.load(path))
        self.last_checkpoint = Path(path)

    def start_clock(self) -> None:
        """Measure speed and time from now."""
        self._started = self._last_log = time.perf_counter()
        self._last_log_step = self._last_checkpoint_step = self.global_step

    def close(self) -> None:
        """Close the environments, the logger and the dashboard."""
        self.vecenv.close()
        if self.logger is not None:
            self.logger.close()
        if self.dashboard is not None:
            self.dashboard.close()


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise APIUsageError(f"train.device is {name!r}, which cannot be used here: {reason}") from error
    return device


def _moments(env: PufferEnv, policy: nn.Module, device: torch.device) -> RunningNormalizer | StructuredEncoder:
    """What keeps the mean and deviation of observations: where these are structured, the policy's own encoder."""
    if not is_structured(env):
        return RunningNormalizer(env.single_observation_space.shape, device)
    encoder = getattr(policy, "encoder", None)
    if not isinstance(encoder, StructuredEncoder):
        raise APIUsageError(
            "train.normalize_observations is on, but observations are of several kinds, flattened to "
            f"{env.single_observation_space.dtype}, and the policy has no StructuredEncoder named encoder; turn it "
            "off, and normalize the numbers in the policy."
        )
    return encoder


def _check_autoreset(env: PufferEnv) -> None:
    if env.autoreset != SAME_STEP:
        raise APIUsageError(
            "the trainer needs environments that reset in the step that ends an episode: autoreset='same-step'."
        )


def _check_batches(env: PufferEnv) -> None:
    if not env.zero_copy:
        raise APIUsageError(
            "the trainer needs batches that are always of the same rows; make the environments with zero_copy=True."
        )


def _check_rows(config: Config, env: PufferEnv, policy: nn.Module) -> None:
    what = "a recurrent policy" if is_recurrent(policy) else "train.prio_alpha" if config.train.prio_alpha > 0 else None
    if what is not None and config.train.num_minibatches > env.num_agents:
        raise APIUsageError(
            f"{what} learns from whole rows, of which there are {env.num_agents}: train.num_minibatches is "
            f"{config.train.num_minibatches}; expected at most that."
        )
