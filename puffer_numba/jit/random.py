"""Random numbers inside kernels: SplitMix64, one stream of 8 bytes for each environment.

The stream of environment ``i`` depends on ``(seed, i)`` alone, so trajectories do not change with the number
of threads, workers or environments beside it. All functions take the ``rng`` that ``reset_env`` and ``step_env``
are given.

Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators". All streams walk
the same cycle of 2**64 values, from starting points that a hash scatters over it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from puffer_numba.jit.math import cos, log

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""By how much a stream's state grows with each draw."""
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_27, _30, _31, _32, _40 = (np.uint64(n) for n in (27, 30, 31, 32, 40))


def mix(z: Any) -> Any:
    """SplitMix64's finalizer: a bijection of uint64, of a scalar or an array."""
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


def stream_starts(seed: int, first: int, count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Starting states of the streams ``first .. first + count - 1`` of this seed: uint64 ``(count,)``."""
    with np.errstate(over="ignore"):
        base = mix(np.array([seed % 2**64], np.uint64) + GAMMA)
        index = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        return np.asarray(mix(base ^ mix(index * GAMMA)))


def bits(rng: Any) -> Any:
    """64 random bits: uint64."""
    z = rng.state[rng.i] + GAMMA
    rng.state[rng.i] = z
    return mix(z)


def random(rng: Any) -> Any:
    """Uniform on [0, 1), of the environment's float type, a multiple of 2**-24."""
    return np.float32(bits(rng) >> _40) * 5.9604644775390625e-08


def uniform(rng: Any, low: Any, high: Any) -> Any:
    """Uniform on [low, high), up to rounding at ``high``."""
    return low + (high - low) * random(rng)


def integer(rng: Any, n: Any) -> Any:
    """Uniform on 0 .. n - 1, for 0 < n < 2**32; int64. The bias is below n / 2**32."""
    return np.int64(((bits(rng) >> _32) * np.uint64(n)) >> _32)


def normal(rng: Any) -> Any:
    """Standard normal (Box & Muller, 1958); its tails end at 5.8 standard deviations."""
    radius = math.sqrt(-2.0 * log(1.0 - random(rng)))
    return radius * cos(6.283185307179586 * random(rng))


def categorical(rng: Any, weights: Any) -> Any:
    """Index ``k`` with probability ``weights[k] / sum(weights)``; weights are not negative, 1-D."""
    total = weights[0] * 0.0
    for k in range(len(weights)):
        total += weights[k]
    left = random(rng) * total
    chosen = 0
    for k in range(len(weights)):
        if weights[k] > 0.0:  # rounding may leave a rest at the end; it never goes to a weight of 0
            chosen = k
            left -= weights[k]
            if left < 0.0:
                break
    return chosen


def choice(rng: Any, n: Any, out: Any) -> None:
    """Fill ``out`` (1-D, integers) with ``len(out)`` different numbers from 0 .. n - 1, in random order.

    Floyd's algorithm and a shuffle (Bentley & Floyd, 1987): no memory beside ``out``. ``len(out) <= n``.
    """
    k = len(out)
    for j in range(k):
        candidate = integer(rng, n - k + j + 1)
        for earlier in range(j):
            if out[earlier] == candidate:
                candidate = n - k + j
                break
        out[j] = candidate
    for j in range(k - 1, 0, -1):
        other = integer(rng, j + 1)
        out[j], out[other] = out[other], out[j]
