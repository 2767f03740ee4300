"""Learning from minibatches, in torch: the policy's forward pass, the loss and its gradients, the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from puffer_numba.config import TrainConfig
from puffer_numba.distributions import ActionDistribution, CategoricalActions, action_params
from puffer_numba.env import APIUsageError
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.models.output import check_output
from puffer_numba.train.acceleration import accelerate
from puffer_numba.train.distributed import World
from puffer_numba.train.loss import LOSS_NAMES, Steps, discrete_backward, normalize, ppo_loss
from puffer_numba.train.minibatches import row_chances, sampled_rows, shuffled_rows, shuffled_steps
from puffer_numba.train.optimizer import make_optimizer, set_learning_rate
from puffer_numba.train.phases import BACKWARD, COMMUNICATION, COPY, LEARNING, MINIBATCHES, OPTIMIZER, Phases
from puffer_numba.train.rollout import Rollout

_LARGE = 1e4  # of an observation, which a network takes badly


class NonFiniteError(APIUsageError):
    """A loss or gradient is NaN or infinite; the message names the first tensor that is, and the step."""


class Batch(NamedTuple):
    """A whole rollout as flat tensors on the policy's device: on the CPU, views of the rollout's own memory.

    Row ``t * rows + n`` is step ``t`` of row ``n``.
    """

    observations: Tensor
    steps: Steps
    """What the loss needs, of all steps."""
    chances: Tensor | None
    """Of each row of the rollout, to be in a minibatch; None: rows are not prioritized."""
    weights: Tensor | None
    """Of the advantages of each row, which correct the bias of that."""


class Learner:
    """Learns from rollouts, minibatch by minibatch.

    Args:
        config: the algorithm's settings.
        policy: to be trained, on ``device``.
        distribution: of its actions.
        rollout: where the experience is.
        normalizer: of observations, or None.
        world: the processes that train together.
        phases: time is counted here.

    Attributes:
        optimizers: one, or for Muon two.
        generator: of minibatches.
        skipped: minibatches that were not finite and were passed over.
        name: of what does the arithmetic.
    """

    name = "torch"

    def __init__(
        self,
        config: TrainConfig,
        policy: nn.Module,
        distribution: ActionDistribution,
        rollout: Rollout,
        normalizer: RunningNormalizer | None,
        world: World,
        device: torch.device,
        phases: Phases,
    ) -> None:
        self.config, self.policy, self.distribution, self.rollout = config, policy, distribution, rollout
        self.normalizer, self.world, self.device, self.phases = normalizer, world, device, phases
        self.optimizers = make_optimizer(policy, config, device)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.skipped, self._is_checked = 0, False
        self._forward = accelerate(policy, config, device)
        self._fast_loss = isinstance(distribution, CategoricalActions) and device.type == "cpu"

    def acting(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """What acts: ``forward``, or the same in another way."""
        return forward

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.optimizers[0].param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        set_learning_rate(self.optimizers, value)

    def batch(self, progress: float) -> Batch:
        """The rollout as tensors, once its advantages are there.

        Args:
            progress: part of the run that is done, 0 to 1: how much of the bias of prioritized rows is corrected.
        """
        rollout, config = self.rollout, self.config
        with self.phases(COPY):
            steps = Steps(
                actions=self.to_device(rollout.actions),
                old_log_probs=self.to_device(rollout.log_probs),
                old_values=self.to_device(rollout.values[:-1]),
                advantages=self.to_device(rollout.advantages),
                returns=self.to_device(rollout.returns),
            )
            observations = self.to_device(rollout.observations[:-1])
        if config.prio_alpha == 0:
            return Batch(observations, steps, None, None)
        beta = config.prio_beta + (1 - config.prio_beta) * config.prio_alpha * min(progress, 1.0)
        chances = row_chances(rollout, config.prio_alpha)
        return Batch(observations, steps, chances, ((rollout.rows * chances) ** -beta).float().to(self.device))

    def to_device(self, array: np.ndarray) -> Tensor:
        """``(horizon, rows, ...)`` as ``(horizon * rows, ...)``; on the CPU, a view."""
        return torch.from_numpy(array).flatten(0, 1).to(self.device, non_blocking=True)

    def learn(self, batch: Batch, first_state: Tensor | None) -> Iterator[Tensor | None]:
        """One pass over the rollout.

        Args:
            first_state: of a recurrent policy when the rollout began; None for others.

        Yields:
            After each minibatch the losses that `LOSS_NAMES` lists, or None where it was skipped.
        """
        for rows in self._minibatches(batch.chances, first_state is not None):
            yield self._update(batch, rows, first_state)

    def _minibatches(self, chances: Tensor | None, recurrent: bool) -> Iterator[Tensor]:
        """Indices of each minibatch: ``(steps,)``, or for a recurrent policy ``(horizon, some rows)``."""
        rollout, count = self.rollout, self.config.num_minibatches
        with self.phases(MINIBATCHES):
            if chances is not None:
                parts = list(sampled_rows(rollout, count, chances, self.generator))
                if not recurrent:
                    acts = torch.from_numpy(rollout.masks[:-1]).flatten()
                    parts = [rows.flatten()[acts[rows.flatten()]] for rows in parts]
            else:
                parts = list((shuffled_rows if recurrent else shuffled_steps)(rollout, count, self.generator))
        for rows in parts:
            if len(rows) or self.world.size > 1:  # others may have some
                yield rows.to(self.device)

    def _update(self, batch: Batch, rows: Tensor, first_state: Tensor | None) -> Tensor | None:
        """One optimizer step on one minibatch, ``rows`` of the batch."""
        with self.phases(LEARNING):
            params, values, rows = self._evaluate(batch.observations, rows, first_state)
        with self.phases(BACKWARD):
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            advantages = self._scaled_advantages(batch, rows)
            record = self._backward(params, values, batch.steps, rows, advantages)
        with self.phases(COMMUNICATION):
            self.world.average_gradients(self.policy, record, len(rows))
        with self.phases(OPTIMIZER):
            stepped = self._step_optimizers()
        if stepped:
            return record
        self.skipped += 1
        if self.config.non_finite != "skip":
            self._explain(batch, rows, advantages, params, values)
        return None

    def _evaluate(
        self, observations: Tensor, rows: Tensor, first_state: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Action parameters and values of a minibatch, and which rows of the batch they are of."""
        observations = observations[rows]
        if self.normalizer is not None:
            observations = self.normalizer(observations)
        if first_state is None:
            params, values = self._checked(self._forward(observations), len(rows))
            return params, values, rows
        rollout, columns = self.rollout, rows[0] % self.rollout.rows
        masks, ends = (
            torch.from_numpy(a).to(self.device)[:, columns]
            for a in (rollout.masks[:-1], rollout.terminals | rollout.truncations)
        )
        rows = rows.flatten()
        params, values = self._checked(self._forward(observations, first_state[:, columns], masks, ends), len(rows))
        if not masks.all():
            acting = masks.flatten().nonzero()[:, 0]
            params, values, rows = params[acting], values[acting], rows[acting]
        return params, values, rows

    def _checked(self, output: Any, rows: int) -> tuple[Tensor, Tensor]:
        """What the policy returned for ``rows`` rows, as action parameters and values; the loss reads so many.

        Raises:
            APIUsageError: it is something else.
        """
        if self._is_checked:
            params, values = action_params(output[0]), output[1]
            if params.shape == (rows, self.distribution.num_params) and values.numel() == rows:
                return params, values
        check_output(output, f"{type(self.policy).__name__}.forward", rows, self.distribution, None)
        self._is_checked = True
        return action_params(output[0]), output[1]

    def _scaled_advantages(self, batch: Batch, rows: Tensor) -> Tensor:
        """Advantages of a minibatch, normalized over all processes, and weighted."""
        advantages = batch.steps.advantages.index_select(0, rows)
        if self.config.norm_adv:
            advantages = self._normalized(advantages)
        return advantages if batch.weights is None else advantages * batch.weights[rows % self.rollout.rows]

    def _normalized(self, advantages: Tensor) -> Tensor:
        """To mean 0 and standard deviation 1; a lone step, which has no standard deviation, stays as it is."""
        if self.world.size == 1:
            if len(advantages) < 2:
                return advantages
            if advantages.device.type == "cpu":
                normalize(advantages.numpy())
                return advantages
            std, mean = torch.std_mean(advantages)
            return (advantages - mean) / (std + 1e-8)
        exact = advantages.double()
        n, total, squares = self.world.sum(len(exact), float(exact.sum()), float(exact.square().sum()))
        if n < 2:
            return advantages
        mean_of_all = total / n
        std_of_all = math.sqrt(max(squares - n * mean_of_all * mean_of_all, 0) / (n - 1))
        return ((exact - mean_of_all) / (std_of_all + 1e-8)).to(advantages.dtype)

    def _backward(self, params: Tensor, values: Tensor, steps: Steps, rows: Tensor, advantages: Tensor) -> Tensor:
        """Gradients of the loss; what `LOSS_NAMES` lists."""
        if len(rows) == 0:
            return torch.zeros(len(LOSS_NAMES), device=self.device)
        if self._fast_loss and params.dtype == values.dtype == torch.float32:
            assert isinstance(self.distribution, CategoricalActions)
            return discrete_backward(self.config, self.distribution, params, values, steps, rows, advantages)
        minibatch = Steps(*(tensor.index_select(0, rows) for tensor in steps))._replace(advantages=advantages)
        log_probs, entropy = self.distribution.log_prob_entropy(params, minibatch.actions)
        loss, record = ppo_loss(self.config, log_probs, values.reshape(-1), entropy, minibatch)
        loss.backward()
        return record

    def _step_optimizers(self) -> bool:
        """Clip the gradient and take a step; False, and no step, where it is not finite."""
        norm = nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_grad_norm or math.inf)
        if not math.isfinite(norm):
            return False
        for optimizer in self.optimizers:
            optimizer.step()
        return True

    def _explain(self, batch: Batch, rows: Tensor, advantages: Tensor, params: Tensor, values: Tensor) -> None:
        """Raise `NonFiniteError` that names the first tensor of a minibatch which is not finite."""
        suspects = {
            "observations": batch.observations[rows],
            "rewards": torch.from_numpy(self.rollout.rewards),  # all: advantages of earlier steps have a part of them
            "values of the rollout": batch.steps.old_values[rows],
            "advantages": advantages,
            "the policy's action parameters": params,
            "the policy's values": values,
            **{f"gradient of {name}": p.grad for name, p in self.policy.named_parameters() if p.grad is not None},
        }
        found = next((name for name, x in suspects.items() if not x.isfinite().all()), "the gradient's length")
        raise NonFiniteError(f"NaN or infinity, first in {found}. {self._advice(found, suspects['observations'])}")

    def _advice(self, found: str, observations: Tensor) -> str:
        if found in ("observations", "rewards"):
            return "These come from the environment: puffer check looks for the cause."
        largest = float(observations.abs().max()) if observations.dtype.is_floating_point else 0.0
        if largest > _LARGE and not self.config.normalize_observations:
            return f"Observations reach {largest:.0e}; train.normalize_observations=True scales them."
        return "A smaller train.learning_rate may help, or train.non_finite=skip, which passes over such minibatches."
