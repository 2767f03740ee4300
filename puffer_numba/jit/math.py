"""Elementary functions that vectorize: sin, cos, tanh, exp, log, floor.

Without Intel's SVML, a call into libm stops a loop from being vectorized. For float32 these are branchless
polynomials, good to the error stated at each one (``tests/jit/test_math.py`` measures it against float64);
for every other type they are libm's. Polynomials: Moshier's Cephes library, single precision;
tanh: the rational function of Eigen's ``ptanh_float``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from puffer_numba.jit.compiler.functions import content_hash, kernel_function
from puffer_numba.jit.compiler.parts import JIT_OPTIONS, OVERLOADED, part

# Reassociation would undo the range reductions, whose whole point is the order of the operations.
_EXACT_OPTIONS: Any = {**JIT_OPTIONS, "fastmath": {"contract", "nsz"}}

_f = np.float32
_ZERO, _HALF, _ONE = _f(0), _f(0.5), _f(1)

_TWO_OVER_PI = _f(2 / math.pi)
# pi / 2 in three parts, the first two of so few bits that k * part is exact (Cody & Waite, 1980)
_PIO2_A, _PIO2_B, _PIO2_C = _f(1.5703125), _f(4.837512969970703e-4), _f(7.549789948768648e-8)
_S3, _S5, _S7 = _f(-1.6666654611e-1), _f(8.3321608736e-3), _f(-1.9515295891e-4)
_C4, _C6, _C8 = _f(4.166664568298827e-2), _f(-1.388731625493765e-3), _f(2.443315711809948e-5)

_LOG2_E = _f(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440e-4)
_E = tuple(
    _f(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_EXP_MIN, _EXP_MAX = _f(-87.0), _f(88.37)

_SQRT_HALF = _f(0.707106781186547524)
_TINY, _INFINITY, _NAN = _f(1.17549435e-38), _f(math.inf), _f(math.nan)
_L = tuple(
    _f(c)
    for c in (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
)

_TANH_MAX = _f(7.90531110763549805)
_TANH_P = tuple(
    _f(c)
    for c in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-8,
        1.48572235717979e-5,
        6.37261928875436e-4,
        4.89352455891786e-3,
    )
)
_TANH_Q = tuple(_f(c) for c in (1.19825839466702e-6, 1.18534705686654e-4, 2.26843463243900e-3, 4.89352518554385e-3))


def _sin_quadrant(x: Any, shift: Any) -> Any:
    """sin(x + shift * pi / 2)."""
    k = np.int32(x * _TWO_OVER_PI + (_HALF if x >= _ZERO else -_HALF))
    turns = np.float32(k)
    r = ((x - turns * _PIO2_A) - turns * _PIO2_B) - turns * _PIO2_C
    z = r * r
    sine = r + r * z * (_S3 + z * (_S5 + z * _S7))
    cosine = _ONE - _HALF * z + z * z * (_C4 + z * (_C6 + z * _C8))
    quadrant = np.int32(k + np.int32(shift))
    value = cosine if quadrant & np.int32(1) else sine
    return -value if quadrant & np.int32(2) else value


def _sin32(x: Any) -> Any:
    return _sin_quadrant(x, 0)


def _cos32(x: Any) -> Any:
    return _sin_quadrant(x, 1)


def _tanh32(x: Any) -> Any:
    x = _TANH_MAX if x > _TANH_MAX else x
    x = -_TANH_MAX if x < -_TANH_MAX else x
    z = x * x
    p = _TANH_P[0]
    for k in range(1, 7):
        p = p * z + _TANH_P[k]
    q = ((_TANH_Q[0] * z + _TANH_Q[1]) * z + _TANH_Q[2]) * z + _TANH_Q[3]
    return x * p / q


def _exp32(x: Any) -> Any:
    bounded = min(max(x, _EXP_MIN), _EXP_MAX)
    k = np.int32(bounded * _LOG2_E + (_HALF if bounded >= _ZERO else -_HALF))
    turns = np.float32(k)
    r = (bounded - turns * _LN2_HIGH) - turns * _LN2_LOW
    poly = ((((_E[0] * r + _E[1]) * r + _E[2]) * r + _E[3]) * r + _E[4]) * r + _E[5]
    value = _ONE + r + r * r * poly
    value *= np.int32((k + np.int32(127)) << np.int32(23)).view(np.float32)  # 2 ** k
    value = _ZERO if x < _EXP_MIN else value
    value = _INFINITY if x > _EXP_MAX else value
    return value if x == x else x


def _log32(x: Any) -> Any:
    pattern = np.float32(max(x, _TINY)).view(np.int32)
    exponent = np.float32((pattern >> np.int32(23)) - np.int32(126))
    mantissa = np.int32((pattern & np.int32(0x7FFFFF)) | np.int32(0x3F000000)).view(np.float32)  # [0.5, 1)
    small = mantissa < _SQRT_HALF
    exponent = exponent - _ONE if small else exponent
    r = mantissa + mantissa - _ONE if small else mantissa - _ONE
    z = r * r
    poly = _L[0]
    for k in range(1, 9):
        poly = poly * r + _L[k]
    value = ((r * z * poly + exponent * _LN2_LOW) - _HALF * z + r) + exponent * _LN2_HIGH
    value = -_INFINITY if x < _TINY else value
    value = _NAN if x < _ZERO else value
    return value if x < _INFINITY else x  # infinity and NaN


def _floor32(x: Any) -> Any:
    whole = np.float32(np.int32(x))
    return whole - _ONE if whole > x else whole


def _elementary(libm: Callable[[float], float], float32: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decorator: in kernels, ``float32`` for float32 arguments and ``libm`` for others; in Python, NumPy's."""
    fast = kernel_function(float32, _EXACT_OPTIONS)

    def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @part(function, _EXACT_OPTIONS)
        def _choose(x: Any) -> Callable[[Any], Any]:
            return (lambda x: fast(x)) if x == types.float32 else (lambda x: libm(x))

        setattr(function, OVERLOADED, content_hash(float32))
        return function

    return decorate


@_elementary(math.sin, _sin32)
def sin(x: Any) -> Any:
    """Sine, in radians. float32: absolute error below 1e-7 for \\|x\\| <= 8192, growing beyond."""
    return np.sin(x)


@_elementary(math.cos, _cos32)
def cos(x: Any) -> Any:
    """Cosine, in radians. float32: absolute error below 1e-7 for \\|x\\| <= 8192, growing beyond."""
    return np.cos(x)


@_elementary(math.tanh, _tanh32)
def tanh(x: Any) -> Any:
    """Hyperbolic tangent. float32: absolute error below 4e-7."""
    return np.tanh(x)


@_elementary(math.exp, _exp32)
def exp(x: Any) -> Any:
    """Exponential. float32: relative error below 2e-7; 0 below x = -87, infinity above 88.37."""
    return np.exp(x)


@_elementary(math.log, _log32)
def log(x: Any) -> Any:
    """Natural logarithm. float32: error below 2e-7, relative or absolute; denormals count as 0, log(0) = -inf."""
    return np.log(x)


@_elementary(np.floor, _floor32)
def floor(x: Any) -> Any:
    """The largest integer not above ``x``, of its type. float32: for \\|x\\| < 2**31."""
    return np.floor(x)
