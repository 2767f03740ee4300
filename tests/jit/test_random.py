"""Random numbers in kernels: known answers, distributions, independence of streams, the same in plain Python."""

from __future__ import annotations

import functools
import itertools

import numba
import numpy as np
import pytest
from scipy import stats

from puffer_numba.jit.compiler.functions import specialize
from puffer_numba.jit.compiler.tuples import Stream
from puffer_numba.jit.math import log
from puffer_numba.jit.random import bits, categorical, choice, integer, mix, normal, random, stream_starts, uniform

N = 200_000
P_VALUE = 1e-3  # seeds are fixed, so a test that passes once passes always


@functools.cache
def compiled(function, float_type=np.float32):
    """A kernel that fills ``out`` from one stream: ``function(rng, *args)`` for each row."""
    jitted = specialize(function, float_type)

    @numba.njit
    def fill(state, out, *args):
        for k in range(len(out)):
            out[k] = jitted(Stream(state, 0), *args)

    return fill


def draw(function, *args, count=N, seed=1, stream=0, dtype=np.float64, float_type=np.float32):
    out = np.zeros(count, dtype)
    compiled(function, float_type)(stream_starts(seed, stream, 1), out, *args)
    return out


def draw_in_python(function, *args, count, seed=1):
    state = stream_starts(seed, 0, 1)
    with np.errstate(over="ignore"):
        return [function(Stream(state, 0), *args) for _ in range(count)]


def test_bits_are_splitmix64():
    """Reference values for seed 1234567: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64"""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    state = np.array([1234567], np.uint64)
    with np.errstate(over="ignore"):
        assert [int(bits(Stream(state, 0))) for _ in range(5)] == expected
    out = np.zeros(5, np.uint64)
    compiled(bits)(np.array([1234567], np.uint64), out)
    assert out.tolist() == expected


@pytest.mark.parametrize(
    ("function", "args", "dtype"),
    [
        (bits, (), np.uint64),
        (random, (), np.float32),
        (integer, (7,), np.int64),
        (integer, (2**32 - 1,), np.int64),
        (categorical, (np.array([0.25, 0, 2, 1], np.float32),), np.int64),
    ],
)
def test_kernels_draw_exactly_what_plain_python_draws(function, args, dtype):
    in_kernel = draw(function, *args, count=500, dtype=dtype)
    np.testing.assert_array_equal(in_kernel, np.array(draw_in_python(function, *args, count=500), dtype))


@pytest.mark.parametrize(("function", "args"), [(uniform, (np.float32(-3), np.float32(5))), (normal, ())])
def test_kernels_draw_what_plain_python_draws_up_to_rounding(function, args):
    in_kernel = draw(function, *args, count=500, dtype=np.float32)
    np.testing.assert_allclose(in_kernel, draw_in_python(function, *args, count=500), rtol=0, atol=2e-6)


def test_choice_in_a_kernel_equals_plain_python():
    def pick(rng, n, out):
        choice(rng, n, out)
        return 0

    states, rows = stream_starts(5, 0, 2), np.zeros((2, 6), np.int32)
    compiled(pick)(states[:1], np.zeros(1), 9, rows[0])
    with np.errstate(over="ignore"):
        choice(Stream(stream_starts(5, 0, 1), 0), 9, rows[1])
    np.testing.assert_array_equal(rows[0], rows[1])


@pytest.mark.parametrize("float_type", [np.float32, np.float64])
@pytest.mark.parametrize("function", [random, normal])
def test_numbers_have_the_float_type_of_the_environment(function, float_type):
    jitted = specialize(function, float_type)

    @numba.njit
    def call(state):
        return jitted(Stream(state, 0))

    call(stream_starts(0, 0, 1))
    assert str(call.nopython_signatures[0].return_type) == float_type.__name__


def test_random_is_uniform_on_multiples_of_2_to_the_minus_24():
    x = draw(random)
    assert x.min() >= 0
    assert x.max() < 1
    np.testing.assert_array_equal(x * 2**24, np.floor(x * 2**24))
    assert stats.kstest(x, "uniform").pvalue > P_VALUE


def before_bits(value):
    """The stream whose next 64 bits are ``value``: SplitMix64 backwards."""
    mask = 2**64 - 1

    def unshift(z, by):
        result = z
        for _ in range(64 // by):
            result = z ^ (result >> by)
        return result

    z = unshift(value, 31) * pow(0x94D049BB133111EB, -1, 2**64) & mask
    z = unshift(z, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & mask
    return np.array([(unshift(z, 30) - 0x9E3779B97F4A7C15) & mask], np.uint64)


def draw_extreme(function, value, *args):
    """What one draw makes of the least or greatest 64 bits."""
    out = np.zeros(1)
    compiled(function)(before_bits(value), out, *args)
    return out[0]


def test_extreme_bits_stay_in_range():
    assert draw_extreme(random, 0) == 0
    assert draw_extreme(random, 2**64 - 1) == 1 - 2**-24
    assert draw_extreme(uniform, 2**64 - 1, np.float32(-1), np.float32(1)) <= 1
    assert draw_extreme(integer, 0, 10) == 0
    assert draw_extreme(integer, 2**64 - 1, 10) == 9
    assert np.isfinite(draw_extreme(normal, 0))
    assert 5.7 < abs(draw_extreme(lambda rng: (-2.0 * log(1.0 - random(rng))) ** 0.5, 2**64 - 1)) < 5.9


def test_categorical_never_takes_an_index_of_weight_zero():
    """The sum of these is rounded, so that the greatest random number is left over at the end."""
    weights = [0.42146784, 0.37224519, 0.85530662, 0.57865095, 0.16969567, 0.30435889, 0.57708853, 0.03914505, 0]
    assert draw_extreme(categorical, 2**64 - 1, np.array(weights, np.float32)) == 7
    assert draw_extreme(categorical, 0, np.array([0, 0, 1, 0], np.float32)) == 2


def test_lowest_bits_are_random_too():
    x = (draw(random) * 2**24).astype(np.int64)
    for bit in range(24):
        ones = int(((x >> bit) & 1).sum())
        assert stats.binomtest(ones, N).pvalue > P_VALUE / 24


@pytest.mark.parametrize(("low", "high"), [(-0.05, 0.05), (3.0, 4.0), (0.0, 1e6)])
def test_uniform_fills_its_interval(low, high):
    x = draw(uniform, np.float32(low), np.float32(high))
    assert x.min() >= np.float32(low)
    assert x.max() <= np.float32(high)
    assert stats.kstest(x, "uniform", (low, high - low)).pvalue > P_VALUE


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 100, 1000])
def test_integer_takes_every_value_equally_often(n):
    x = draw(integer, n, dtype=np.int64)
    assert x.min() >= 0
    assert x.max() < n
    assert n == 1 or stats.chisquare(np.bincount(x, minlength=n)).pvalue > P_VALUE


def test_integer_of_a_large_range_is_uniform():
    n = 2**32 - 1
    x = draw(integer, n, dtype=np.int64)
    assert x.max() < n
    assert stats.kstest(x / n, "uniform").pvalue > P_VALUE


def test_normal_is_standard_normal():
    x = draw(normal)
    assert stats.kstest(x, "norm").pvalue > P_VALUE
    assert abs(x).max() < 5.9
    assert np.isfinite(x).all()


def test_normal_has_the_tails_of_the_normal():
    x = draw(normal, count=2_000_000)
    for sigmas in (2, 3, 4):
        beyond = int((abs(x) > sigmas).sum())
        assert stats.binomtest(beyond, len(x), 2 * stats.norm.sf(sigmas)).pvalue > P_VALUE


@pytest.mark.parametrize("weights", [[1, 2, 3, 4], [0, 1, 0, 3], [5], [0.001, 0.999, 0], [1e-3, 1e3, 1]])
def test_categorical_follows_its_weights(weights):
    weights = np.array(weights, np.float32)
    counts = np.bincount(draw(categorical, weights, dtype=np.int64), minlength=len(weights))
    assert len(counts) == len(weights)
    assert not counts[weights == 0].any()
    possible = weights > 0
    expected = weights[possible].astype(np.float64) / weights.sum(dtype=np.float64) * N
    assert possible.sum() == 1 or stats.chisquare(counts[possible], expected * (N / expected.sum())).pvalue > P_VALUE


@pytest.mark.parametrize(("n", "k"), [(4, 2), (4, 4), (5, 1), (4, 3)])
def test_choice_takes_every_ordered_selection_equally_often(n, k):
    def pick(rng, n, out):
        choice(rng, n, out)
        code = 0
        for value in out:
            code = code * n + value
        return code

    codes = draw(pick, n, np.zeros(k, np.int64), dtype=np.int64, count=50_000)
    selections = [sum(v * n ** (k - 1 - j) for j, v in enumerate(s)) for s in itertools.permutations(range(n), k)]
    counts = np.array([(codes == c).sum() for c in selections])
    assert counts.sum() == len(codes)  # nothing twice in one selection
    assert stats.chisquare(counts).pvalue > P_VALUE


def test_choice_of_many_is_distinct_and_complete():
    out = np.zeros(50, np.int64)
    with np.errstate(over="ignore"):
        choice(Stream(stream_starts(0, 0, 1), 0), 50, out)
    np.testing.assert_array_equal(np.sort(out), np.arange(50))


def test_neighbouring_streams_are_uncorrelated():
    """Streams 0..63 of one seed, at lags of -2 to 2 between one stream and the next."""
    length = 20_000
    rows = np.array([draw(random, count=length, stream=i, seed=7) for i in range(64)]) - 0.5
    bound = stats.norm.isf(P_VALUE / 2 / (63 * 5)) / np.sqrt(length)
    for lag in range(-2, 3):
        one, two = rows[:-1, 2:-2], np.roll(rows[1:], lag, axis=1)[:, 2:-2]
        assert np.abs((one * two).mean(axis=1) * 12).max() < bound


@pytest.mark.parametrize("seeds", [(0, 1), (1, 2), (0, 2**63), (5, -5)])
def test_streams_of_different_seeds_are_uncorrelated(seeds):
    one, two = (draw(random, count=50_000, seed=s) - 0.5 for s in seeds)
    assert abs((one * two).mean() * 12) < stats.norm.isf(P_VALUE / 2) / np.sqrt(50_000)


def test_first_draws_over_streams_are_uniform():
    """What the resets of many environments see: one number of each stream."""
    first = (mix(stream_starts(3, 0, N) + np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) * 2.0**-24
    assert stats.kstest(first, "uniform").pvalue > P_VALUE
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < stats.norm.isf(P_VALUE / 2) / np.sqrt(N)


def test_consecutive_draws_are_uncorrelated():
    x = draw(random) - 0.5
    for lag in (1, 2, 3):
        assert abs((x[lag:] * x[:-lag]).mean() * 12) < stats.norm.isf(P_VALUE / 6) / np.sqrt(N)


@pytest.mark.parametrize("seed", [0, 1, 12345, -1, 2**63, 2**64 - 1])
def test_start_of_a_stream_depends_on_seed_and_index_alone(seed):
    whole = stream_starts(seed, 0, 100)
    for first, count in ((0, 1), (7, 30), (99, 1), (50, 50)):
        np.testing.assert_array_equal(stream_starts(seed, first, count), whole[first : first + count])


def test_no_two_streams_start_alike():
    starts = np.concatenate([stream_starts(seed, 0, 100_000) for seed in (0, 1, 2, -1, 2**32)])
    assert len(np.unique(starts)) == len(starts)


def test_mix_is_a_bijection_with_avalanche():
    x = stream_starts(9, 0, 20_000)
    assert len(np.unique(mix(x))) == len(x)
    for bit in (0, 1, 31, 63):
        flipped = np.bitwise_count(mix(x) ^ mix(x ^ np.uint64(1 << bit)))
        assert abs(flipped.mean() - 32) < 0.2
