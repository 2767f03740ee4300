"""The loss of proximal policy optimization: in torch, and for discrete actions on the CPU as one kernel.

`ppo_loss` is the definition, for any action space and device. `discrete_ppo_gradients` is the same arithmetic
with its derivative written out by hand, for the case that matters most here: small networks on the CPU, where
the fifty-odd torch operations of the loss and its backward pass take longer than those of the network. A test
holds the two together.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_numba.config import TrainConfig
from puffer_numba.distributions import CategoricalActions
from puffer_numba.jit.compiler.announce import trainer_kernel
from puffer_numba.jit.math import exp, log
from puffer_numba.train.torch_parts import backward

LOSS_NAMES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


class Steps(NamedTuple):
    """What the loss is computed from, of a whole rollout or of a minibatch; tensors, or for the kernel arrays."""

    actions: Any
    """``(rows, *action_shape)``; for the kernel ``(rows, components)`` int64."""
    old_log_probs: Any
    """``(rows,)``, like all that follow, float32: log-probability of the action when it was chosen."""
    old_values: Any
    advantages: Any
    """Of a minibatch: normalized and weighted, where that is wanted."""
    returns: Any
    """Targets of the value."""


class LossWeights(NamedTuple):
    """The settings of the loss, as the kernel takes them; see `TrainConfig`."""

    clip_coef: float
    clip_vloss: bool
    vf_clip_coef: float
    vf_coef: float
    ent_coef: float

    @classmethod
    def of(cls, config: TrainConfig) -> LossWeights:
        """Those of ``config``."""
        return cls(*(getattr(config, name) for name in cls._fields))


LANES = 64
"""Rows whose exponentials are computed together: a few vectors."""


class Softmax(NamedTuple):
    """Of up to `LANES` rows."""

    probabilities: NDArray[np.float32]
    """``(rows, logits)``."""
    log_norms: NDArray[np.float32]
    """``(rows, components)``: logarithms of the denominators."""
    totals: NDArray[np.float32]
    """Of the same shape: the denominators, each divided by its largest exponential."""


class LossGradients(NamedTuple):
    """What the kernel writes."""

    logits: NDArray[np.float32]
    """Gradients with respect to the policy's logits, ``(rows, logits)``."""
    values: NDArray[np.float32]
    """Gradients with respect to its values, ``(rows,)``."""
    record: NDArray[np.float32]
    """``(5,)``, the means that `LOSS_NAMES` lists, to which it adds."""


def ppo_loss(
    config: TrainConfig, log_probs: Tensor, values: Tensor, entropy: Tensor, batch: Steps
) -> tuple[Tensor, Tensor]:
    """The clipped objective of Schulman et al. (2017) over one minibatch; every tensor is ``(rows,)``.

    Returns:
        The loss to minimize, and a detached tensor of `LOSS_NAMES`.
    """
    log_ratio = log_probs - batch.old_log_probs
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
    policy_loss = torch.max(-batch.advantages * ratio, -batch.advantages * clipped).mean()

    error = (values - batch.returns).square()
    if config.clip_vloss:
        change = (values - batch.old_values).clamp(-config.vf_clip_coef, config.vf_clip_coef)
        error = torch.max(error, (batch.old_values + change - batch.returns).square())
    value_loss = 0.5 * error.mean()

    entropy_mean = entropy.mean()
    loss = policy_loss + config.vf_coef * value_loss - config.ent_coef * entropy_mean
    with torch.no_grad():
        approx_kl = (ratio - 1 - log_ratio).mean()
        clip_fraction = ((ratio - 1).abs() > config.clip_coef).float().mean()
        record = torch.stack([policy_loss, value_loss, entropy_mean, approx_kl, clip_fraction])
    return loss, record


def discrete_backward(
    config: TrainConfig,
    distribution: CategoricalActions,
    params: Tensor,
    values: Tensor,
    steps: Steps,
    rows: Tensor,
    advantages: Tensor,
) -> Tensor:
    """`ppo_loss` and its backward pass for discrete actions on the CPU, in float32.

    Args:
        params, values: the policy's outputs for the minibatch, with gradients.
        steps: of the whole rollout.
        rows: which of them the minibatch is of.
        advantages: of the minibatch, normalized and weighted, where that is wanted.

    Returns:
        A tensor of `LOSS_NAMES`. Gradients have been added to the parameters'.
    """
    sizes = distribution.sizes
    params_gradient, values_gradient = torch.empty_like(params), torch.empty_like(values)
    record = torch.zeros(len(LOSS_NAMES))
    steps = steps._replace(actions=steps.actions.reshape(-1, len(sizes)))
    discrete_ppo_gradients(
        params.detach().numpy(),
        values.detach().reshape(-1).numpy(),
        sizes,
        Steps(*(tensor.numpy() for tensor in steps)),
        rows.numpy(),
        advantages.numpy(),
        len(rows),
        LossWeights.of(config),
        LossGradients(params_gradient.numpy(), values_gradient.view(-1).numpy(), record.numpy()),
    )
    backward([params, values], [params_gradient, values_gradient])
    return record


@trainer_kernel
def discrete_ppo_gradients(
    logits: NDArray[np.float32],
    values: NDArray[np.float32],
    sizes: NDArray[np.int64],
    steps: Steps,
    rows: NDArray[np.int64],
    advantages: NDArray[np.float32],
    count: int,
    weights: LossWeights,
    out: LossGradients,
) -> None:
    """Gradients of `ppo_loss` with respect to a policy's outputs, for a minibatch or a part of one.

    Args:
        logits: ``(rows, sum(sizes))``; values: ``(rows,)``: the policy's outputs.
        sizes: ``(components,)``: number of choices of each component of the action.
        steps: of the whole rollout.
        rows: which of them these are; advantages: ``(rows,)``, theirs.
        count: steps of the whole minibatch, over which the loss is a mean.
        weights: of the loss's parts.
        out: the result.
    """
    columns, components = logits.shape[1], len(sizes)
    probabilities, ratios = np.empty((LANES, columns), np.float32), np.empty((2, LANES), np.float32)
    log_norms, totals = np.empty((LANES, components), np.float32), np.empty((LANES, components), np.float32)
    for first in range(0, len(values), LANES):
        last = min(first + LANES, len(values))
        n = last - first
        softmax = Softmax(probabilities[:n], log_norms[:n], totals[:n])
        policy = LossGradients(out.logits[first:last], out.values[first:last], out.record)
        _softmax(logits[first:last], sizes, softmax)
        _ratios(logits[first:last], sizes, steps, rows[first:last], log_norms, ratios[0, :n], ratios[1, :n])
        _policy_gradients(
            logits[first:last],
            sizes,
            steps.actions,
            rows[first:last],
            advantages[first:last],
            count,
            weights,
            softmax,
            ratios[0, :n],
            ratios[1, :n],
            policy,
        )
        _value_gradients(values[first:last], steps, rows[first:last], count, weights, policy)


@trainer_kernel
def _softmax(logits: NDArray[np.float32], sizes: NDArray[np.int64], out: Softmax) -> None:
    """Of each component of each row; exponentials and logarithms in loops of their own, which vectorize."""
    rows = len(logits)
    for b in range(rows):
        first = 0
        for c in range(len(sizes)):
            last = first + sizes[c]
            top = logits[b, first]
            for k in range(first + 1, last):
                top = max(top, logits[b, k])
            for k in range(first, last):
                out.probabilities[b, k] = logits[b, k] - top
            out.log_norms[b, c] = top
            first = last
    _exp(out.probabilities.reshape(-1), out.probabilities.reshape(-1))
    for b in range(rows):
        first = 0
        for c in range(len(sizes)):
            last = first + sizes[c]
            total = np.float32(0)
            for k in range(first, last):
                total += out.probabilities[b, k]
            for k in range(first, last):
                out.probabilities[b, k] /= total
            out.totals[b, c] = total
            first = last
    log_norms, totals = out.log_norms.reshape(-1), out.totals.reshape(-1)
    for n in range(len(totals)):
        log_norms[n] += log(totals[n])


@trainer_kernel
def _exp(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for n in range(len(x)):
        out[n] = exp(x[n])


@trainer_kernel
def _ratios(
    logits: NDArray[np.float32],
    sizes: NDArray[np.int64],
    steps: Steps,
    rows: NDArray[np.int64],
    log_norms: NDArray[np.float32],
    log_ratios: NDArray[np.float32],
    ratios: NDArray[np.float32],
) -> None:
    """How many times as probable each action is as when it was chosen, and the logarithm of that."""
    for b in range(len(rows)):
        log_prob = np.float32(0)
        first = 0
        for c in range(len(sizes)):
            log_prob += logits[b, first + steps.actions[rows[b], c]] - log_norms[b, c]
            first += sizes[c]
        log_ratios[b] = log_prob - steps.old_log_probs[rows[b]]
    _exp(log_ratios, ratios)


@trainer_kernel
def _policy_gradients(
    logits: NDArray[np.float32],
    sizes: NDArray[np.int64],
    actions: NDArray[np.int64],
    rows: NDArray[np.int64],
    advantages: NDArray[np.float32],
    count: int,
    weights: LossWeights,
    softmax: Softmax,
    log_ratios: NDArray[np.float32],
    ratios: NDArray[np.float32],
    out: LossGradients,
) -> None:
    """Of the clipped objective and the entropy bonus, by the logits."""
    one, per_row, ent_weight = np.float32(1), np.float32(1 / count), np.float32(weights.ent_coef / count)
    clip = np.float32(weights.clip_coef)
    low, high = np.float32(1 - weights.clip_coef), np.float32(1 + weights.clip_coef)
    policy_loss = entropy_sum = kl = clipped = 0.0
    for b in range(len(rows)):
        ratio, advantage = ratios[b], advantages[b]
        unclipped_loss, clipped_loss = -advantage * ratio, -advantage * min(max(ratio, low), high)
        policy_loss += max(unclipped_loss, clipped_loss)
        kl += ratio - one - log_ratios[b]
        clipped += abs(ratio - one) > clip
        # The clipped term is a constant: where it is the larger, the policy is left alone.
        log_prob_gradient = unclipped_loss * per_row if unclipped_loss >= clipped_loss else np.float32(0)

        first = 0
        for c in range(len(sizes)):
            last = first + sizes[c]
            entropy = log_norm = softmax.log_norms[b, c]
            for k in range(first, last):
                entropy -= softmax.probabilities[b, k] * logits[b, k]
            entropy_sum += entropy
            action = first + actions[rows[b], c]
            for k in range(first, last):
                p = softmax.probabilities[b, k]
                by_entropy = p * (logits[b, k] - log_norm + entropy)
                out.logits[b, k] = log_prob_gradient * (np.float32(k == action) - p) + ent_weight * by_entropy
            first = last
    out.record[0] += policy_loss / count
    out.record[2] += entropy_sum / count
    out.record[3] += kl / count
    out.record[4] += clipped / count


@trainer_kernel
def _value_gradients(
    values: NDArray[np.float32],
    steps: Steps,
    rows: NDArray[np.int64],
    count: int,
    weights: LossWeights,
    out: LossGradients,
) -> None:
    vf_clip, vf_weight = np.float32(weights.vf_clip_coef), np.float32(weights.vf_coef / count)
    value_loss = 0.0
    for b in range(len(rows)):
        old_value, target = steps.old_values[rows[b]], steps.returns[rows[b]]
        change = values[b] - old_value
        error = values[b] - target
        gradient = error
        if weights.clip_vloss and abs(change) > vf_clip:
            near = old_value + (vf_clip if change > 0 else -vf_clip) - target
            if near * near > error * error:
                error, gradient = near, np.float32(0)
        value_loss += 0.5 * error * error
        out.values[b] = vf_weight * gradient
    out.record[1] += value_loss / count


@trainer_kernel
def normalize(x: NDArray[np.float32]) -> None:
    """Shift and scale to mean 0 and standard deviation 1, in place; of 512 numbers, in a tenth of torch's time."""
    mean = 0.0
    for value in x:
        mean += value
    mean /= len(x)
    square = 0.0
    for value in x:
        square += (value - mean) ** 2
    shift, scale = np.float32(mean), np.float32(1 / (math.sqrt(square / (len(x) - 1)) + 1e-8))
    for b in range(len(x)):
        x[b] = (x[b] - shift) * scale
