"""Drawing actions on the CPU, in one pass over the policy's outputs.

For a few dozen rows, sampling with torch takes longer than the policy's forward pass: half a dozen calls of a
few microseconds each. One kernel takes two. Its random numbers are keyed by (seed, step, row): they are the same in
whatever order batches of rows act, and however many processes share the rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from puffer_numba.jit.compiler.announce import trainer_kernel
from puffer_numba.jit.compiler.functions import kernel_function
from puffer_numba.jit.random import GAMMA, mix

_mix = kernel_function(mix)
_LOG_SQRT_2PI = np.float32(0.5 * math.log(2 * math.pi))


@trainer_kernel
def _uniform(counter: np.uint64) -> np.float32:
    """Uniform in (0, 1), from the top 24 bits of SplitMix64 (Steele, Lea & Flood, 2014)."""
    return (np.float32(_mix(counter) >> np.uint64(40)) + np.float32(0.5)) * np.float32(2**-24)


@trainer_kernel
def _start(stream: NDArray[np.uint64], row: int) -> np.uint64:
    """Where row ``row`` of a call begins to draw: scattered over SplitMix64's cycle, as environments' streams are."""
    step = _mix(stream[0] + stream[1] * GAMMA)
    return _mix(step ^ _mix((stream[2] + np.uint64(row) + np.uint64(1)) * GAMMA))


@trainer_kernel
def sample_categorical(
    logits: NDArray[np.float32],
    sizes: NDArray[np.int64],
    stream: NDArray[np.uint64],
    actions: NDArray[np.int64],
    log_probs: NDArray[np.float32],
) -> None:
    """Sample from each component's distribution by inverting its cumulative sum.

    Args:
        logits: ``(rows, sum(sizes))``.
        sizes: ``(components,)``: number of choices of each.
        stream: ``(3,)``: key, step and first row, as from `seed_stream`.
        actions: ``(rows, components)``, the samples.
        log_probs: ``(rows,)``, their log-probabilities, summed over the components.
    """
    for row in range(logits.shape[0]):
        counter = _start(stream, row)
        total = np.float32(0)
        first = 0
        for c in range(len(sizes)):
            size = sizes[c]
            top = logits[row, first]
            for k in range(1, size):
                top = max(top, logits[row, first + k])
            norm = np.float32(0)
            for k in range(size):
                norm += math.exp(logits[row, first + k] - top)
            counter += GAMMA
            left = _uniform(counter) * norm
            choice = 0
            for k in range(size):
                weight = math.exp(logits[row, first + k] - top)
                if weight > 0:  # rounding can leave a rest after the last choice; never pick one of weight 0
                    choice = k
                left -= weight
                if left <= 0 and weight > 0:
                    break
            actions[row, c] = choice
            total += logits[row, first + choice] - top - math.log(norm)
            first += size
        log_probs[row] = total


@trainer_kernel
def sample_gaussian(
    params: NDArray[np.float32],
    stream: NDArray[np.uint64],
    actions: NDArray[np.float32],
    log_probs: NDArray[np.float32],
) -> None:
    """Sample from independent normal distributions, by Box and Muller's transform.

    Args:
        params: ``(rows, 2 * size)``: means, then log standard deviations.
        stream: ``(3,)``: as for `sample_categorical`.
        actions: ``(rows, size)``, the samples.
        log_probs: ``(rows,)``, their log-probability densities, summed over the components.
    """
    size = actions.shape[1]
    for row in range(params.shape[0]):
        counter = _start(stream, row)
        total = np.float32(0)
        for k in range(size):
            radius = math.sqrt(np.float32(-2) * math.log(_uniform(counter + GAMMA)))
            counter += GAMMA + GAMMA
            noise = radius * math.cos(np.float32(2 * math.pi) * _uniform(counter))
            log_std = params[row, size + k]
            actions[row, k] = params[row, k] + math.exp(log_std) * noise
            total -= np.float32(0.5) * noise * noise + log_std + _LOG_SQRT_2PI
        log_probs[row] = total
