"""`CompiledLearner`: the update of a minibatch in one call of compiled code; and when that is possible."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from puffer_numba.config import TrainConfig
from puffer_numba.distributions import ActionDistribution, CategoricalActions
from puffer_numba.env import APIUsageError
from puffer_numba.models.encoders import BoxEncoder
from puffer_numba.models.mlp import MLP
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.train.compiled.blas import one_thread
from puffer_numba.train.compiled.forward import CompiledForward, features_of
from puffer_numba.train.compiled.network import bind, new_network, trained, trunks
from puffer_numba.train.compiled.update import AdamSettings, Minibatch, update
from puffer_numba.train.distributed import World
from puffer_numba.train.learner import Batch, Learner
from puffer_numba.train.loss import LOSS_NAMES, LossWeights, Steps
from puffer_numba.train.phases import COMPILED, LEARNING, Phases
from puffer_numba.train.rollout import Rollout


def make_learner(
    config: TrainConfig,
    policy: nn.Module,
    distribution: ActionDistribution,
    rollout: Rollout,
    normalizer: RunningNormalizer | None,
    world: World,
    device: torch.device,
    phases: Phases,
) -> Learner:
    """The learner that ``config.learner`` asks for; arguments are those of `Learner`.

    Raises:
        APIUsageError: "compiled" is asked for, and cannot be used; the message says why.
    """
    reason = None if config.learner == "torch" else why_not(config, policy, distribution, world, device)
    if config.learner == "compiled" and reason is not None:
        raise APIUsageError(f"train.learner is 'compiled', which {reason}; with 'auto', torch learns here.")
    kind = Learner if config.learner == "torch" or reason is not None else CompiledLearner
    return kind(config, policy, distribution, rollout, normalizer, world, device, phases)


def why_not(
    config: TrainConfig, policy: nn.Module, distribution: ActionDistribution, world: World, device: torch.device
) -> str | None:
    """Why compiled code cannot learn here, as the end of a sentence that says so; None where it can."""
    if device.type != "cpu":
        return f"is for the CPU; train.device is {config.device}"
    if config.precision != "float32" or config.compile != "off":
        name, value = ("compile", config.compile) if config.compile != "off" else ("precision", config.precision)
        return f"goes without train.{name}, here {value}"
    if config.optimizer != "adam":
        return f"is for train.optimizer adam, not {config.optimizer}"
    if world.size > 1:
        return f"is for one process, not {world.size}"
    if not isinstance(distribution, CategoricalActions):
        return "is for Discrete and MultiDiscrete actions"
    if type(policy) is not MLP:
        return f"is for the MLP of puffer_numba.models; the policy is of the class {type(policy).__name__}"
    missing = [name for name in ("scipy", "threadpoolctl") if importlib.util.find_spec(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}: pip install {' '.join(missing)}"
    return _why_not_these_layers(policy)


def _why_not_these_layers(policy: MLP) -> str | None:
    for trunk in trunks(policy):
        linear, between = list(trunk)[::2], list(trunk)[1::2]
        other = next((m for m in between if type(m) is not type(between[0]) or type(m) not in (nn.ReLU, nn.Tanh)), None)
        if other is not None:
            return f"knows relu and tanh, not {type(other).__name__}"
        if len(linear) != len(between) + 1 or any(type(m) is not nn.Linear or m.bias is None for m in linear):
            return "is for the MLP's own layers, which have been replaced"
    own = trained(policy)
    if [id(p) for p in own] != [id(p) for p in policy.parameters()]:
        return "is for linear layers alone; the policy has convolutions, embeddings or parameters of another kind"
    if not all(p.requires_grad and p.dtype == torch.float32 and p.is_contiguous() for p in own):
        return "trains all weights, in float32; some are frozen or of another dtype"
    if any(_has_hooks(module) for module in policy.modules()):
        return "calls no hooks of modules, and the policy has some"
    return None


def _has_hooks(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind, None) for kind in kinds)


class CompiledLearner(Learner):
    """A `Learner` whose updates are compiled code; weights and the optimizer's state stay torch's, in its memory.

    Where a gradient is not finite, torch does that minibatch again, which finds out and says where.
    """

    name = "compiled"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._mlp, self._discrete = cast(MLP, self.policy), cast(CategoricalActions, self.distribution)
        encoder, dtype = self._mlp.encoder, self.rollout.observations.dtype
        self._as_they_are = (  # observations are features
            type(encoder) is BoxEncoder and encoder.scale == 1.0 and dtype == np.float32 and self.normalizer is None
        )
        self._network = new_network(self._mlp)
        self._steps: Steps

    def acting(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """See `Learner.acting`: the forward pass, as compiled code too."""
        return CompiledForward(self._mlp, self._discrete.num_params)

    def learn(self, batch: Batch, first_state: Tensor | None) -> Iterator[Tensor | None]:
        """See `Learner.learn`."""
        self._network = bind(self._network, self._mlp, self.optimizers[0])  # anew, as resuming replaces tensors
        actions = batch.steps.actions.reshape(-1, len(self._discrete.sizes))
        self._steps = Steps(*(tensor.numpy() for tensor in batch.steps._replace(actions=actions)))
        return super().learn(batch, first_state)

    def _update(self, batch: Batch, rows: Tensor, first_state: Tensor | None) -> Tensor | None:
        with self.phases(LEARNING):
            minibatch = self._minibatch(batch, rows)
        with self.phases(COMPILED), one_thread():
            record = torch.empty(len(LOSS_NAMES))
            stepped = update(minibatch, self._network, LossWeights.of(self.config), self._adam(), record.numpy())
        return record if stepped else super()._update(batch, rows, first_state)

    @torch.no_grad()
    def _minibatch(self, batch: Batch, rows: Tensor) -> Minibatch:
        observations, places = batch.observations, rows
        if not self._as_they_are:
            observations, places = observations[rows], torch.arange(len(rows))
            observations = observations if self.normalizer is None else self.normalizer(observations)
        features, legal = features_of(self._mlp, observations)
        advantages = self._scaled_advantages(batch, rows).numpy()
        return Minibatch(features, places.numpy(), legal, self._steps, rows.numpy(), advantages, self._discrete.sizes)

    def _adam(self) -> AdamSettings:
        config = self.config
        limit = config.max_grad_norm or math.inf
        return AdamSettings(self.learning_rate, config.adam_beta1, config.adam_beta2, config.adam_eps, limit)
