"""The error bounds that jit/math.py states, measured against float64."""

from __future__ import annotations

import functools
import math
import platform
import re

import numba
import numpy as np
import pytest

from puffer_numba.jit import math as jit_math
from puffer_numba.jit.compiler.parts import JIT_OPTIONS

NAMES = ("sin", "cos", "tanh", "exp", "log")
F32 = np.finfo(np.float32)


@functools.cache
def compiled(name):
    function = getattr(jit_math, name)

    @numba.njit(**JIT_OPTIONS)
    def loop(x, out):
        for j in range(len(x)):
            i = np.uintp(j)
            out[i] = function(x[i])

    return loop


def evaluate(name, x):
    out = np.full_like(x, 12345)
    compiled(name)(x, out)
    return out


def every_float32(low, high, stride=1):
    """All float32 from low to high (both of one sign), or each stride-th."""
    first, last = sorted(np.array([low, high], np.float32).view(np.int32).tolist())
    return np.arange(first, last + 1, stride, dtype=np.int32).view(np.float32)


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("sign", [1, -1])
def test_sin_and_cos_are_within_1e_7_up_to_8192(name, sign):
    near_zeros = np.arange(0, 5216) * (math.pi / 2)  # where range reduction is hardest
    x = np.concatenate(
        [
            np.linspace(0, 8192, 1_000_001, dtype=np.float32),
            every_float32(1e-30, 8192, 509),
            near_zeros.astype(np.float32),
            np.nextafter(near_zeros.astype(np.float32), np.float32(9999)),
            (near_zeros + math.pi / 4).astype(np.float32),
            np.array([0, F32.smallest_subnormal, F32.tiny, 8192], np.float32),
        ]
    )
    x = sign * x[x <= 8192]
    exact = getattr(np, name)(x.astype(np.float64))
    assert np.abs(evaluate(name, x) - exact).max() < 1e-7


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sin_and_cos_stay_bounded_a_little_beyond(name):
    x = np.linspace(8192, 30000, 300_001, dtype=np.float32)
    assert np.abs(evaluate(name, x) - getattr(np, name)(x.astype(np.float64))).max() < 1e-5


def test_tanh_is_within_4e_7():
    x = np.concatenate([np.linspace(0, 10, 2_000_001, dtype=np.float32), every_float32(1e-30, F32.max, 1009)])
    for sign in (1, -1):
        assert np.abs(evaluate("tanh", sign * x) - np.tanh(sign * x.astype(np.float64))).max() < 4e-7


def test_exp_is_within_2e_7_relative():
    x = np.concatenate(
        [
            np.linspace(-87, 88.37, 2_000_001, dtype=np.float32),
            every_float32(1e-30, 88.37, 1009),
            -every_float32(1e-30, 87, 1009),
            np.array([0, -0.0, 1, F32.smallest_subnormal, -F32.tiny], np.float32),
        ]
    )
    x = x[(x >= -87) & (x <= np.float32(88.37))]
    exact = np.exp(x.astype(np.float64))
    assert np.abs(evaluate("exp", x) / exact - 1).max() < 2e-7


def test_log_is_within_2e_7_relative_or_absolute():
    x = np.concatenate(
        [
            every_float32(F32.tiny, F32.max, 997),
            every_float32(0.5, 2, 7),
            np.array([1, 2, math.e, F32.tiny, F32.max], np.float32),
        ]
    )
    exact = np.log(x.astype(np.float64))
    error = np.abs(evaluate("log", x) - exact)
    assert (error / np.maximum(np.abs(exact), 1)).max() < 2e-7


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("sin", 0.0, 0.0),
        ("cos", 0.0, 1.0),
        ("sin", math.nan, math.nan),
        ("cos", math.nan, math.nan),
        ("tanh", 0.0, 0.0),
        ("tanh", math.nan, math.nan),
        ("exp", 0.0, 1.0),
        ("exp", -0.0, 1.0),
        ("exp", math.inf, math.inf),
        ("exp", -math.inf, 0.0),
        ("exp", math.nan, math.nan),
        ("exp", 88.5, math.inf),
        ("exp", -87.1, 0.0),
        ("exp", 3e38, math.inf),
        ("exp", -3e38, 0.0),
        ("log", 1.0, 0.0),
        ("log", 0.0, -math.inf),
        ("log", -0.0, -math.inf),
        ("log", float(F32.smallest_subnormal), -math.inf),
        ("log", float(F32.tiny) / 2, -math.inf),
        ("log", math.inf, math.inf),
        ("log", -1.0, math.nan),
        ("log", -math.inf, math.nan),
        ("log", -float(F32.smallest_subnormal), math.nan),
        ("log", math.nan, math.nan),
    ],
)
def test_special_values(name, x, expected):
    # 33 of them: vectorized code and the remainder loop must agree
    out = evaluate(name, np.full(33, x, np.float32))
    np.testing.assert_array_equal(out, np.full(33, expected, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_float64_equals_libm(name):
    x = np.linspace(1e-3, 700, 20_001)
    libm = np.array([getattr(math, name)(v) for v in x])
    np.testing.assert_array_max_ulp(evaluate(name, x), libm, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_result_has_the_type_of_the_argument(name, dtype):
    function = getattr(jit_math, name)

    @numba.njit
    def call(x):
        return function(x)

    call(dtype(0.5))
    assert str(call.nopython_signatures[0].return_type) == np.dtype(dtype).name
    assert function(dtype(0.5)).dtype == dtype  # in plain Python
    assert call(dtype(0.5)) == pytest.approx(function(dtype(0.5)), rel=3e-7)


@pytest.mark.parametrize("name", NAMES)
def test_float32_loop_is_vectorized(name):
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("knows x86 instructions only")
    loop = compiled(name)
    loop(np.ones(3, np.float32), np.ones(3, np.float32))
    signature = next(s for s in loop.signatures if s[0].dtype == numba.float32)
    assembly = loop.inspect_asm(signature)
    packed = re.findall(r"\bv?(?:mul|add|sub|fn?m(?:add|sub)\d*)ps\b", assembly)
    assert len(packed) >= 8
    assert not re.findall(rf"\b{name}f?\b@PLT|movabsq\s+\${name}f?,", assembly)
