"""Drawing actions on the CPU, in one pass over the policy's outputs.

For a few dozen rows, sampling with torch takes longer than the policy's forward pass: half a dozen calls of a
few microseconds each. One kernel takes two. It also keeps the random stream a single number, which a
checkpoint can hold.
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
def sample_categorical(
    logits: NDArray[np.float32],
    sizes: NDArray[np.int64],
    stream: NDArray[np.uint64],
    actions: NDArray[np.int64],
    log_probs: NDArray[np.float32],
) -> None:
    """Draw from each component's distribution by inverting its cumulative sum.

    Args:
        logits: ``(rows, sum(sizes))``.
        sizes: ``(components,)``: number of choices of each.
        stream: ``(3,)``: state of the random stream, advanced by one for each draw; then for how many rows before
            and after these other processes draw from it.
        actions: ``(rows, components)``, the draws.
        log_probs: ``(rows,)``, their log-probabilities, summed over the components.
    """
    draws = GAMMA * np.uint64(len(sizes))
    counter = stream[0] + draws * stream[1]
    for row in range(logits.shape[0]):
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
    stream[0] = counter + draws * stream[2]


@trainer_kernel
def sample_gaussian(
    params: NDArray[np.float32],
    stream: NDArray[np.uint64],
    actions: NDArray[np.float32],
    log_probs: NDArray[np.float32],
) -> None:
    """Draw from independent normal distributions, by Box and Muller's transform.

    Args:
        params: ``(rows, 2 * size)``: means, then log standard deviations.
        stream: ``(3,)``: as for `sample_categorical`; advanced by two for each draw.
        actions: ``(rows, size)``, the draws.
        log_probs: ``(rows,)``, their log-probability densities, summed over the components.
    """
    size = actions.shape[1]
    draws = GAMMA * np.uint64(2 * size)
    counter = stream[0] + draws * stream[1]
    for row in range(params.shape[0]):
        total = np.float32(0)
        for k in range(size):
            radius = math.sqrt(np.float32(-2) * math.log(_uniform(counter + GAMMA)))
            counter += GAMMA + GAMMA
            noise = radius * math.cos(np.float32(2 * math.pi) * _uniform(counter))
            log_std = params[row, size + k]
            actions[row, k] = params[row, k] + math.exp(log_std) * noise
            total -= np.float32(0.5) * noise * noise + log_std + _LOG_SQRT_2PI
        log_probs[row] = total
    stream[0] = counter + draws * stream[2]
