"""One update on one minibatch, as in CleanRL's ``ppo.py``: forward, loss, backward, clipping, Adam's step; and acting.

Samples go through all of it in blocks that stay in the cache, so activations never travel to memory and back. Matrix
products are BLAS's, from ``np.dot``. All sums are in a fixed order: the same minibatch gives the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from puffer_numba.jit.compiler.announce import trainer_kernel
from puffer_numba.jit.math import tanh
from puffer_numba.models.mlp import ILLEGAL
from puffer_numba.train.compiled.network import (
    ACTIVATIONS,
    BIAS,
    BLOCK,
    EXP_AVG,
    EXP_AVG_SQ,
    INPUTS,
    IS_FIRST,
    IS_LAST,
    LANES,
    OUTPUTS,
    PLACE,
    SIZE,
    STEP,
    VALUE,
    WEIGHT,
    Network,
    floats_at,
    matrix,
)
from puffer_numba.train.loss import LossGradients, LossWeights, Steps, discrete_ppo_gradients


class Minibatch(NamedTuple):
    """What an update learns from."""

    features: NDArray[np.float32]
    """``(any, features)``, of which ``places (rows,)`` are those of the minibatch."""
    places: NDArray[np.int64]
    legal: NDArray[np.bool_]
    """``(rows, logits)``, or ``(0, 0)`` where all actions are legal."""
    steps: Steps
    """Of the whole rollout, of which ``rows (rows,)`` are those of the minibatch."""
    rows: NDArray[np.int64]
    advantages: NDArray[np.float32]
    """``(rows,)``, normalized and weighted, where that is wanted."""
    sizes: NDArray[np.int64]
    """``(components,)``: number of choices of each component of the action."""


class AdamSettings(NamedTuple):
    """Of the step; see `TrainConfig`."""

    learning_rate: float
    beta1: float
    beta2: float
    eps: float
    max_grad_norm: float
    """Infinite: no clipping."""


@trainer_kernel
def update(
    batch: Minibatch, network: Network, weights: LossWeights, adam: AdamSettings, record: NDArray[np.float32]
) -> bool:
    """One optimizer step.

    Args:
        batch: what to learn from.
        network: what learns.
        weights: of the loss's parts.
        adam: settings of the step.
        record: ``(5,)``, for the means that `LOSS_NAMES` lists.

    Returns:
        Whether the gradient is finite. Where it is not, no weight has changed.
    """
    gradients(batch, network, weights, record)
    norm = _norm(network.gradient)
    if not math.isfinite(norm):
        return False
    _adam_step(network, adam, min(np.float32(adam.max_grad_norm / (norm + 1e-6)), np.float32(1)))
    return True


@trainer_kernel
def gradients(batch: Minibatch, network: Network, weights: LossWeights, record: NDArray[np.float32]) -> None:
    """The loss's derivatives by all parameters, into ``network.gradient``; see `update`."""
    network.gradient[:] = 0
    record[:] = 0
    count = len(batch.rows)
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        features = _gather(batch.features, batch.places[first:last], network)
        _forward(features, network)
        _loss(batch, first, last, network, weights, record)
        _backward(features, network)


@trainer_kernel
def evaluate(
    features: NDArray[np.float32],
    legal: NDArray[np.bool_],
    network: Network,
    logits: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """The forward pass alone, into ``logits (rows, logits)`` and ``values (rows,)``; the rest is as in `Minibatch`."""
    for first in range(0, len(features), BLOCK):
        last = min(first + BLOCK, len(features))
        _forward(features[first:last], network)
        block_logits, block_values = _heads(network.outputs, network.layers, last - first)
        _set_illegal(block_logits, legal[first:last], ILLEGAL)
        logits[first:last] = block_logits
        values[first:last] = block_values


@trainer_kernel
def _gather(features: NDArray[np.float32], places: NDArray[np.int64], network: Network) -> NDArray[np.float32]:
    columns = features.shape[1]
    gathered = matrix(network.features, 0, len(places), columns)
    for b in range(len(places)):
        for k in range(columns):
            gathered[b, k] = features[places[b], k]
    return gathered


@trainer_kernel
def _forward(features: NDArray[np.float32], network: Network) -> None:
    """y = activation(x W^T + b), layer after layer."""
    rows = len(features)
    x = features
    for layer in network.layers:
        if layer[IS_FIRST]:
            x = features
        weight = floats_at(layer[WEIGHT], (layer[OUTPUTS], layer[INPUTS]))
        bias = floats_at(layer[BIAS], (layer[OUTPUTS],))
        y = matrix(network.outputs, layer[ACTIVATIONS], rows, layer[OUTPUTS])
        np.dot(x, weight.T, y)
        if layer[IS_LAST]:
            _add(y, bias)
        elif network.tanh:
            _add_tanh(y, bias)
        else:
            _add_relu(y, bias)
        x = y


@trainer_kernel
def _add(y: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    for b in range(y.shape[0]):
        for k in range(y.shape[1]):
            y[b, k] += bias[k]


@trainer_kernel
def _add_relu(y: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    zero = np.float32(0)
    for b in range(y.shape[0]):
        for k in range(y.shape[1]):
            x = y[b, k] + bias[k]
            y[b, k] = zero if x < zero else x  # NaN stays


@trainer_kernel
def _add_tanh(y: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    for b in range(y.shape[0]):
        for k in range(y.shape[1]):
            y[b, k] = tanh(y[b, k] + bias[k])


@trainer_kernel
def _loss(
    batch: Minibatch, first: int, last: int, network: Network, weights: LossWeights, record: NDArray[np.float32]
) -> None:
    """The loss's derivatives by the outputs of steps ``first`` to ``last`` of the minibatch."""
    logits, values = _heads(network.outputs, network.layers, last - first)
    logit_gradients, value_gradients = _heads(network.output_gradients, network.layers, last - first)
    legal = batch.legal[first:last]
    _set_illegal(logits, legal, ILLEGAL)
    discrete_ppo_gradients(
        logits,
        values,
        batch.sizes,
        batch.steps,
        batch.rows[first:last],
        batch.advantages[first:last],
        len(batch.rows),
        weights,
        LossGradients(logit_gradients, value_gradients, record),
    )
    _set_illegal(logit_gradients, legal, 0.0)  # as their logits are constants


@trainer_kernel
def _heads(
    memory: NDArray[np.float32], layers: NDArray[np.int64], rows: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What belongs to logits ``(rows, logits)`` and values ``(rows,)`` in ``memory``, as large as all outputs."""
    head = layers[-1]
    last = matrix(memory, head[ACTIVATIONS], rows, head[OUTPUTS])
    logits, values = last[:, :-1], last[:, -1]
    for actor in layers[:-1]:
        if actor[IS_LAST]:  # the trunks are two, and the last one is the critic's
            logits = matrix(memory, actor[ACTIVATIONS], rows, actor[OUTPUTS])[:, :]
    return logits, values


@trainer_kernel
def _set_illegal(logits: NDArray[np.float32], legal: NDArray[np.bool_], value: float) -> None:
    for b in range(legal.shape[0]):
        for k in range(legal.shape[1]):
            if not legal[b, k]:
                logits[b, k] = value


@trainer_kernel
def _backward(features: NDArray[np.float32], network: Network) -> None:
    """With G = dL/dy of a layer y = x W^T + b: dL/dW = G^T x, dL/db = sum of G's rows, dL/dx = G W."""
    rows = len(features)
    for k in range(len(network.layers) - 1, -1, -1):
        layer = network.layers[k]
        outputs, inputs, first = layer[OUTPUTS], layer[INPUTS], layer[PLACE]
        g = matrix(network.output_gradients, layer[ACTIVATIONS], rows, outputs)
        x = features
        if not layer[IS_FIRST]:
            at = network.layers[k - 1][ACTIVATIONS]
            x = matrix(network.outputs, at, rows, inputs)
            weight = floats_at(layer[WEIGHT], (outputs, inputs))
            x_gradient = matrix(network.output_gradients, at, rows, inputs)
            np.dot(g, weight, x_gradient)
            _through_activation(x_gradient, x, network.tanh)
        np.dot(g.T, x, matrix(network.layer_gradient, 0, outputs, inputs))
        bias_gradient = network.layer_gradient[outputs * inputs : outputs * (inputs + 1)]
        bias_gradient[:] = 0
        for b in range(rows):
            for j in range(outputs):
                bias_gradient[j] += g[b, j]
        for j in range(outputs * (inputs + 1)):
            network.gradient[first + j] += network.layer_gradient[j]


@trainer_kernel
def _through_activation(g: NDArray[np.float32], y: NDArray[np.float32], is_tanh: bool) -> None:
    """From dL/dy to dL/dx, in place, by y itself: dy/dx is 1 - y^2 for tanh; for relu 1 where y > 0, else 0."""
    zero, one = np.float32(0), np.float32(1)
    for b in range(g.shape[0]):
        if is_tanh:
            for k in range(g.shape[1]):
                g[b, k] *= one - y[b, k] * y[b, k]
        else:
            for k in range(g.shape[1]):
                g[b, k] = zero if y[b, k] <= zero else g[b, k]


@trainer_kernel
def _norm(gradient: NDArray[np.float32]) -> float:
    """Euclidean; as many sums side by side as vectorize, of which each has its order."""
    squares = np.zeros(LANES)
    for first in range(0, len(gradient), LANES):
        for k in range(LANES):
            squares[k] += np.float64(gradient[first + k]) * gradient[first + k]
    return math.sqrt(squares.sum())


@trainer_kernel
def _adam_step(network: Network, adam: AdamSettings, scale: np.float32) -> None:
    """Scale the gradient; Adam's step (Kingma & Ba, 2015), in the memory of torch's parameters and state."""
    first = 0
    for row in network.parameters:
        size = row[SIZE]
        step = floats_at(row[STEP], (1,))
        step[0] += np.float32(1)
        exp_avg, exp_avg_sq = floats_at(row[EXP_AVG], (size,)), floats_at(row[EXP_AVG_SQ], (size,))
        _adam(
            floats_at(row[VALUE], (size,)),
            network.gradient[first : first + size],
            exp_avg,
            exp_avg_sq,
            step[0],
            adam,
            scale,
        )
        first += size


@trainer_kernel
def _adam(
    parameter: NDArray[np.float32],
    gradient: NDArray[np.float32],
    exp_avg: NDArray[np.float32],
    exp_avg_sq: NDArray[np.float32],
    step: float,
    adam: AdamSettings,
    scale: np.float32,
) -> None:
    one = np.float32(1)
    beta1, beta2, eps = np.float32(adam.beta1), np.float32(adam.beta2), np.float32(adam.eps)
    rest1, rest2 = np.float32(1 - adam.beta1), np.float32(1 - adam.beta2)
    size = np.float32(adam.learning_rate / (1 - adam.beta1**step))
    root = one / np.float32(math.sqrt(1 - adam.beta2**step))
    for k in range(len(parameter)):
        g = gradient[k] * scale
        gradient[k] = g
        m = beta1 * exp_avg[k] + rest1 * g
        v = beta2 * exp_avg_sq[k] + rest2 * g * g
        exp_avg[k], exp_avg_sq[k] = m, v
        parameter[k] -= size * m / (np.sqrt(v) * root + eps)
