"""Proximal policy optimization, as in CleanRL's ``ppo.py``, over batched environments.

One iteration is `Trainer.evaluate`, which collects a rollout, and `Trainer.train`, which learns from it. `Trainer` is
the algorithm alone; `puffer_numba.pufferl.PuffeRL` is a trainer with logs, a dashboard and checkpoints.

The details follow "The 37 Implementation Details of Proximal Policy Optimization" (Huang et al., 2022). What
differs: a truncated episode is bootstrapped with the value of its last observation; rows that are masked
out take no part; and experience is stored time first, so that environments write into the storage themselves.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor, nn

from puffer_numba.config import Config
from puffer_numba.distributions import action_distribution
from puffer_numba.env import SAME_STEP, APIUsageError, PufferEnv
from puffer_numba.models.actor import Actor, is_recurrent
from puffer_numba.models.encoders import StructuredEncoder, is_structured
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.train.acceleration import accelerate
from puffer_numba.train.advantage import discounted_returns, gae, vtrace
from puffer_numba.train.collector import Collector
from puffer_numba.train.compiled.learner import make_learner
from puffer_numba.train.distributed import ALONE, World
from puffer_numba.train.learner import NonFiniteError
from puffer_numba.train.loss import LOSS_NAMES
from puffer_numba.train.phases import ADVANTAGES, LEARNING, STATISTICS, Phases
from puffer_numba.train.rollout import EpisodeStatistics, Rollout
from puffer_numba.train.self_play import SelfPlay
from puffer_numba.train.setup import load_env
from puffer_numba.train.state import TrainerState, load_state, state_of


class Trainer:
    """Trains ``policy`` on ``vecenv``.

    Args:
        config: from `load_config`, or made by hand.
        vecenv: any `PufferEnv`. One that takes ``out``, as a `JitEnv` does, writes straight into the rollout storage;
            results of others are copied there, as they may read their own last observations back.
        policy: a torch module; see `puffer_numba.models` for what it takes and returns. Moved to
            ``config.train.device``.
        world: the processes that train together, and this one's place among them; see
            `puffer_numba.train.distributed`.

    Attributes:
        vecenv: the environments; in `SelfPlay`, where that is on.
        self_play: that wrapper, or None.
        global_step: steps done, summed over the rows of all processes.
        epoch: rollouts done; total_epochs: rollouts to do.
        finished: whether ``total_timesteps`` or ``target_return`` has been reached, or the trainer was ``stopped``.
        stopped: set this to end the run after the present rollout.
        losses: means over the last call of `train`.
        statistics: `EpisodeStatistics` of the run.
        rollout: the experience of the last `evaluate`, which ``collector`` put there.
        learner: what learns from it.
        phases: where the time goes.

    Raises:
        APIUsageError: a setting that cannot be used; a device that is not there; an environment that does not
            reset itself in the step in which an episode ends, or whose batches are of other rows each time.
    """

    def __init__(self, config: Config, vecenv: PufferEnv, policy: nn.Module, world: World = ALONE) -> None:
        config.validate()
        _check_environments(vecenv)
        _check_rows(config, vecenv, policy)
        train = config.train
        self.config, self.world, self.phases = config, world, Phases()
        numba.get_num_threads()  # starts Numba's threads, which sets torch's to as many where both use OpenMP
        torch.set_num_threads(train.torch_threads)
        self.device = _device(train.device)
        self.policy = policy.to(self.device)
        world.broadcast(self.policy)
        self.distribution = action_distribution(vecenv.single_action_space, policy)
        self._moments = _moments(vecenv, policy, self.device) if train.normalize_observations else None
        self.normalizer = self._moments if isinstance(self._moments, RunningNormalizer) else None
        self.return_scale = RunningNormalizer(()) if train.normalize_returns else None
        self.self_play = self._in_self_play(vecenv) if train.self_play else None
        self.vecenv = self.self_play or vecenv

        self.rollout = Rollout(vecenv, self.distribution, train.horizon, pinned=self.device.type == "cuda")
        self.statistics = EpisodeStatistics(self.rollout)
        self.discounted = np.zeros(self.rollout.rows, np.float32)
        self.learner = make_learner(
            train, self.policy, self.distribution, self.rollout, self.normalizer, world, self.device, self.phases
        )
        forward_eval = accelerate(getattr(policy, "forward_eval", policy), train, self.device)
        self._forward_eval = self.learner.acting(forward_eval)
        self.collector = Collector(
            self.vecenv,
            self.rollout,
            self._make_actor(),
            self.distribution,
            seed=train.seed,
            phases=self.phases,
            part=world.rank,
        )
        self.global_step = self.epoch = self._rollout_start = 0
        self.losses: dict[str, float] = {}
        self.stopped = False

    def _make_actor(self) -> Actor:
        return Actor(self.policy, self.rollout.rows, self.normalizer, self._forward_eval, self.distribution)

    def _in_self_play(self, vecenv: PufferEnv) -> SelfPlay:
        config, name = self.config, self.config.env_name or type(vecenv).__name__
        first_row = self.world.rank * vecenv.num_agents
        return SelfPlay(
            vecenv, self.policy, self.normalizer, config.train, lambda n: load_env(config, n), name, first_row
        )

    # -- experience ---------------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Collect one rollout: ``horizon`` steps of every row.

        Raises:
            APIUsageError: every row was masked out at every step.
        """
        self._rollout_start = self.global_step
        self.collector.collect()
        with self.phases(STATISTICS):
            steps = int(self.world.sum(float(np.count_nonzero(self.rollout.masks[:-1])))[0])
            if steps == 0:
                raise APIUsageError("no row acted in a whole rollout: the environment's masks are all False.")
            self.statistics.add(self.rollout, self.world.gather, self.world.size)
        self.global_step += steps
        self.epoch += 1

    # -- learning -----------------------------------------------------------------------------------------

    def train(self) -> dict[str, float] | None:
        """Learn from the rollout.

        Returns:
            None; a trainer that logs returns the metrics where it was time to log them, as PufferLib's does.

        Raises:
            NonFiniteError: a loss or gradient is NaN or infinite, and ``train.non_finite`` is "stop".
        """
        config, learner = self.config.train, self.learner
        progress = min(self._rollout_start / config.total_timesteps, 1.0)
        if config.anneal_lr:
            learner.learning_rate = config.learning_rate * (1.0 - progress)
        with self.phases(ADVANTAGES):
            self._scale_rewards()
        skipped = learner.skipped
        try:
            records = self._learn(progress)
        except NonFiniteError as error:
            raise NonFiniteError(f"training stopped at step {self.global_step:,}: {error}") from None
        if self._moments is not None:
            with self.phases(LEARNING):
                self._update_moments(without_non_finite=learner.skipped > skipped)
        if records:
            means = torch.stack(records).mean(0).tolist()
            self.losses = dict(zip(LOSS_NAMES, means, strict=True))
        if learner.skipped:
            self.losses["skipped_minibatches"] = float(learner.skipped)
        self.losses["learning_rate"] = learner.learning_rate
        return None

    def _learn(self, progress: float) -> list[Tensor]:
        """The epochs of one rollout; what `LOSS_NAMES` lists, of each minibatch that was learned from."""
        config, records = self.config.train, list[Tensor]()
        batch = None
        for epoch in range(config.update_epochs):
            if batch is None or config.advantage == "vtrace":
                with self.phases(ADVANTAGES):
                    self._estimate_advantages(epoch)
                batch = self.learner.batch(progress)
            minibatches = self.learner.learn(batch, self.collector.first_state)
            records += [record for record in minibatches if record is not None]
            if config.target_kl is not None and records and float(records[-1][3]) > config.target_kl:
                break
        return records

    @np.errstate(over="ignore", invalid="ignore")
    def _scale_rewards(self) -> None:
        """Divide the rollout's rewards by the standard deviation of the discounted return, as VecNormalize does."""
        if self.return_scale is None:
            return
        rollout = self.rollout
        valid = rollout.masks[:-1]
        returns = np.empty_like(rollout.rewards)
        ends = rollout.terminals | rollout.truncations
        discounted_returns(rollout.rewards, ends, valid, self.config.train.gamma, self.discounted, returns)
        if math.isfinite(self.world.sum(returns.sum())[0]):
            self.return_scale.update(torch.from_numpy(returns[valid]), self.world.gather)
        else:  # a reward that is not finite; minibatches with its step are dealt with in the update
            self.discounted[~np.isfinite(self.discounted)] = 0
        infinite = None if math.isfinite(rollout.rewards.sum()) else np.isinf(rollout.rewards)
        rollout.rewards /= math.sqrt(float(self.return_scale.var) + 1e-8)
        np.clip(rollout.rewards, -10, 10, out=rollout.rewards)
        if infinite is not None:  # not to be taken for a good one
            rollout.rewards[infinite] = np.inf

    def _estimate_advantages(self, epoch: int) -> None:
        """Advantages and value targets, by `gae` or `vtrace`, into the rollout."""
        rollout, config = self.rollout, self.config.train
        values = rollout.values
        ends = (rollout.terminals, rollout.truncations, rollout.final_values, rollout.masks)
        if config.advantage == "gae":
            gae(rollout.rewards, values, *ends, config.gamma, config.gae_lambda, rollout.advantages)
        else:
            ratios = np.ones_like(rollout.rewards)
            if epoch > 0:
                values, ratios = self._current_values_and_ratios()
            clips = (config.vtrace_rho_clip, config.vtrace_c_clip)
            vtrace(rollout.rewards, values, *ends, ratios, config.gamma, config.gae_lambda, *clips, rollout.advantages)
        np.add(rollout.advantages, values[:-1], out=rollout.returns)

    @torch.no_grad()
    def _current_values_and_ratios(self) -> tuple[np.ndarray, np.ndarray]:
        """Values ``(horizon + 1, rows)`` and importance ratios ``(horizon, rows)`` of the policy as it is now."""
        rollout = self.rollout
        values, ratios = np.empty_like(rollout.values), np.empty_like(rollout.log_probs)
        actor = self._make_actor()
        actor.state = None if self.collector.first_state is None else self.collector.first_state.clone()
        for t, observations in enumerate(self.collector.observation_slots):
            params, value = actor.act(observations, rollout.masks[t])
            values[t] = value.cpu().numpy()
            if t < rollout.horizon:
                actor.reset_state(rollout.terminals[t] | rollout.truncations[t])
                actions = torch.from_numpy(rollout.actions[t]).to(self.device)
                log_probs, _ = self.distribution.log_prob_entropy(params, actions)
                ratios[t] = np.exp(log_probs.cpu().numpy() - rollout.log_probs[t])
        return values, ratios

    def _update_moments(self, without_non_finite: bool) -> None:
        """Fold the rollout's observations into the statistics that normalize them."""
        assert self._moments is not None
        observations = self.learner.to_device(self.rollout.observations[:-1])
        valid = torch.from_numpy(self.rollout.masks[:-1]).flatten().to(self.device)
        if without_non_finite:
            valid = valid & observations.flatten(1).isfinite().all(1)
        self._moments.update(observations[valid], self.world.gather)

    # -- the run ------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the run has done its steps, reached its target, or was stopped."""
        return self.global_step >= self.config.train.total_timesteps or self.stopped or self.solved

    @property
    def solved(self) -> bool:
        """Whether the mean return of the last 100 episodes has reached ``train.target_return``."""
        target = self.config.train.target_return
        mean_return = self.statistics.mean_return
        return target is not None and self.statistics.episodes >= 100 and target <= mean_return < math.inf

    @property
    def total_epochs(self) -> int:
        """Rollouts in ``total_timesteps``, where no row is masked out."""
        return -(-self.config.train.total_timesteps // (self.rollout.horizon * self.rollout.rows * self.world.size))

    def learn(self, total_timesteps: int | None = None) -> Trainer:
        """Train until `finished`: collect, learn. Returns self.

        Args:
            total_timesteps: in place of ``config.train.total_timesteps``.
        """
        if total_timesteps is not None:
            self.config.update({"train.total_timesteps": total_timesteps})
            self.config.train.validate()
        while not self.finished:
            self.evaluate()
            self.train()
        return self

    @np.errstate(over="ignore", invalid="ignore")
    def explained_variance(self) -> float:
        """1: the values predicted the returns; 0: no better than a constant. NaN where all returns are equal."""
        valid = self.rollout.masks[:-1]
        variance = float(np.var(self.rollout.returns[valid]))
        return 1.0 - float(np.var(self.rollout.advantages[valid])) / variance if variance > 0 else float("nan")

    def describe(self) -> str:
        """Sizes of the batch, the rollout storage and the network, and what learns."""
        rows, horizon = self.rollout.rows, self.rollout.horizon
        parameters = sum(p.numel() for p in self.policy.parameters())
        mebibytes = self.rollout.nbytes / 2**20
        processes = f" in each of {self.world.size} processes" if self.world.size > 1 else ""
        return (
            f"{rows} rows x {horizon} steps, rollout storage {mebibytes:.1f} MiB, "
            f"{parameters:,} parameters on {self.device}{processes}, "
            f"{self.learner.name} learner"
        )

    def state_dict(self, together: bool = True) -> TrainerState:
        """All that determines the rest of the run, from which `load_state_dict` continues.

        Args:
            together: with what each process has of its own; all of them must call this. Only the first gets it all.
        """
        return state_of(self, together)

    def load_state_dict(self, state: TrainerState) -> None:
        """Continue where the trainer was that ``state`` is of: bit for bit, where the environments can be saved.

        Raises:
            StateMismatch: it is of another policy, environment or optimizer.
        """
        load_state(self, state)

    def close(self) -> None:
        """Close the environments."""
        self.vecenv.close()


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise APIUsageError(f"train.device is {name!r}, which cannot be used here: {reason}") from error
    return device


def _moments(env: PufferEnv, policy: nn.Module, device: torch.device) -> RunningNormalizer | StructuredEncoder:
    """What keeps mean and standard deviation of observations: where these are structured, the policy's own encoder."""
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


def _check_environments(env: PufferEnv) -> None:
    if env.autoreset != SAME_STEP:
        raise APIUsageError(
            "the trainer needs environments that reset in the step that ends an episode: autoreset='same-step'."
        )
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
