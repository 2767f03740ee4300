"""The loss of proximal policy optimization: in torch, and for discrete actions on the CPU as one kernel.

`ppo_loss` is the definition, for any action space and device. `discrete_ppo_gradients` is the same arithmetic
with its derivative written out by hand, for the case that matters most here: small networks on the CPU, where
the fifty-odd torch operations of the loss and its backward pass take longer than those of the network. A test
holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_numba.config import TrainConfig
from puffer_numba.distributions.actions import ActionDistribution, CategoricalActions
from puffer_numba.jit.compiler.announce import trainer_kernel
from puffer_numba.jit.math import exp, log

LOSS_NAMES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


def ppo_loss(
    config: TrainConfig,
    log_probs: Tensor,
    values: Tensor,
    entropy: Tensor,
    *,
    old_log_probs: Tensor,
    old_values: Tensor,
    advantages: Tensor,
    returns: Tensor,
) -> tuple[Tensor, Tensor]:
    """The clipped objective of Schulman et al. (2017) over one minibatch; every tensor is ``(rows,)``.

    Returns:
        The loss to minimize, and a detached tensor of `LOSS_NAMES`.
    """
    log_ratio = log_probs - old_log_probs
    ratio = log_ratio.exp()
    if config.norm_adv and len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    clipped = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
    policy_loss = torch.max(-advantages * ratio, -advantages * clipped).mean()

    error = (values - returns).square()
    if config.clip_vloss:
        near = old_values + (values - old_values).clamp(-config.vf_clip_coef, config.vf_clip_coef)
        error = torch.max(error, (near - returns).square())
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
    distribution: ActionDistribution,
    params: Tensor,
    values: Tensor,
    batch: Mapping[str, Tensor],
    rows: Tensor,
) -> Tensor:
    """`ppo_loss` and its backward pass for discrete actions on the CPU, in float32.

    Args:
        distribution: of the actions, `CategoricalActions`.
        params, values: the policy's outputs for the minibatch, with gradients.
        batch: "actions", "old_log_probs", "old_values", "advantages" and "returns" of the whole rollout.
        rows: ``(minibatch,)`` int64: which rows of it the minibatch is made of.

    Returns:
        A tensor of `LOSS_NAMES`. Gradients have been added to the parameters'.
    """
    assert isinstance(distribution, CategoricalActions)
    sizes = distribution.sizes
    params_gradient, values_gradient = torch.empty_like(params), torch.empty_like(values)
    record = torch.empty(len(LOSS_NAMES))
    discrete_ppo_gradients(
        params.detach().numpy(),
        values.detach().reshape(-1).numpy(),
        sizes,
        rows.numpy(),
        batch["actions"].reshape(-1, len(sizes)).numpy(),
        batch["old_log_probs"].numpy(),
        batch["old_values"].numpy(),
        batch["advantages"].numpy(),
        batch["returns"].numpy(),
        config.norm_adv,
        config.clip_coef,
        config.clip_vloss,
        config.vf_clip_coef,
        config.vf_coef,
        config.ent_coef,
        params_gradient.numpy(),
        values_gradient.view(-1).numpy(),
        record.numpy(),
    )
    torch.autograd.backward([params, values], [params_gradient, values_gradient])
    return record


@trainer_kernel
def _gather(x: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """``x[rows]``. In a loop of its own, cache misses overlap; amid arithmetic, each is waited for."""
    chosen = np.empty(len(rows), x.dtype)
    for b in range(len(rows)):
        chosen[b] = x[rows[b]]
    return chosen


@trainer_kernel
def _normalize(x: NDArray[np.float32]) -> None:
    """Shift and scale to mean 0 and standard deviation 1, in place."""
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


@trainer_kernel
def discrete_ppo_gradients(
    logits: NDArray[np.float32],
    values: NDArray[np.float32],
    sizes: NDArray[np.int64],
    rows: NDArray[np.int64],
    actions: NDArray[np.int64],
    old_log_probs: NDArray[np.float32],
    old_values: NDArray[np.float32],
    advantages: NDArray[np.float32],
    returns: NDArray[np.float32],
    norm_adv: bool,
    clip_coef: float,
    clip_vloss: bool,
    vf_clip_coef: float,
    vf_coef: float,
    ent_coef: float,
    logit_gradients: NDArray[np.float32],
    value_gradients: NDArray[np.float32],
    record: NDArray[np.float32],
) -> None:
    """Gradients of `ppo_loss` with respect to a policy's outputs.

    Args:
        logits: ``(batch, sum(sizes))``; values: ``(batch,)``: the policy's outputs for the minibatch.
        sizes: ``(components,)``: number of choices of each component of the action.
        rows: ``(batch,)``: which rows of the following the minibatch is made of.
        actions: ``(rows, components)``; old_log_probs, old_values, advantages, returns: ``(rows,)``.
        logit_gradients, value_gradients: like logits and values, the result.
        record: ``(5,)``, the means that `LOSS_NAMES` lists.
    """
    count = len(rows)
    advantages, returns = _gather(advantages, rows), _gather(returns, rows)
    old_log_probs, old_values = _gather(old_log_probs, rows), _gather(old_values, rows)
    if norm_adv and count > 1:
        _normalize(advantages)
    one, per_row = np.float32(1), np.float32(1 / count)
    low, high, clip = np.float32(1 - clip_coef), np.float32(1 + clip_coef), np.float32(clip_coef)
    vf_clip, vf_weight, ent_weight = np.float32(vf_clip_coef), np.float32(vf_coef / count), np.float32(ent_coef / count)
    log_norms = np.empty(len(sizes), np.float32)
    policy_loss = value_loss = entropy_sum = kl = clipped = 0.0
    for b in range(count):
        row = rows[b]
        log_prob = np.float32(0)
        first = 0
        for c in range(len(sizes)):
            log_norms[c] = _softmax(logits, b, first, sizes[c], logit_gradients)
            log_prob += logits[b, first + actions[row, c]] - log_norms[c]
            first += sizes[c]

        log_ratio = log_prob - old_log_probs[b]
        ratio = exp(log_ratio)
        advantage = advantages[b]
        unclipped_loss, clipped_loss = -advantage * ratio, -advantage * min(max(ratio, low), high)
        policy_loss += max(unclipped_loss, clipped_loss)
        kl += ratio - one - log_ratio
        clipped += abs(ratio - one) > clip
        # The clipped term is a constant: where it is the larger, the policy is left alone.
        log_prob_gradient = unclipped_loss * per_row if unclipped_loss >= clipped_loss else np.float32(0)

        first = 0
        for c in range(len(sizes)):
            last = first + sizes[c]
            entropy = log_norms[c]
            for k in range(first, last):
                entropy -= logit_gradients[b, k] * logits[b, k]
            entropy_sum += entropy
            for k in range(first, last):
                p = logit_gradients[b, k]
                chosen = np.float32(k == first + actions[row, c])
                by_entropy = p * (logits[b, k] - log_norms[c] + entropy)
                logit_gradients[b, k] = log_prob_gradient * (chosen - p) + ent_weight * by_entropy
            first = last

        change = values[b] - old_values[b]
        error = values[b] - returns[b]
        gradient = error
        if clip_vloss and abs(change) > vf_clip:
            near = old_values[b] + (vf_clip if change > 0 else -vf_clip) - returns[b]
            if near * near > error * error:
                error, gradient = near, np.float32(0)
        value_loss += 0.5 * error * error
        value_gradients[b] = vf_weight * gradient
    record[0] = policy_loss / count
    record[1] = value_loss / count
    record[2] = entropy_sum / count
    record[3] = kl / count
    record[4] = clipped / count


@trainer_kernel
def _softmax(
    logits: NDArray[np.float32], row: int, first: int, size: int, probabilities: NDArray[np.float32]
) -> np.float32:
    """Softmax of ``logits[row, first : first + size]`` into the same places; the logarithm of its denominator."""
    top = logits[row, first]
    for k in range(first + 1, first + size):
        top = max(top, logits[row, k])
    total = np.float32(0)
    for k in range(first, first + size):
        probabilities[row, k] = exp(logits[row, k] - top)
        total += probabilities[row, k]
    for k in range(first, first + size):
        probabilities[row, k] /= total
    return top + log(total)
