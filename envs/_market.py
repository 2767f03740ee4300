"""A market for one symbol: bars that are simulated or read, the indicators that follow them, what of it is observed.

All in log prices, so that nothing depends on the price's scale. ``r`` is the log return from close to close; ``up``
and ``down`` are the distances of the bar's high and low from its close; ``gap`` is the log return from the last close
to the open. ``(i, k)``: symbol ``k`` of environment ``i``.

Every indicator is a recursion, a step of which costs the same whatever its window. A mean over a window of ``w`` bars
is exponential, with a gain of 2 / (w + 1) for each new bar (pandas' ``ewm(span=w)``), or of 1 / w in those of Wilder
(1978). An exponential average of the log price ``x`` needs the distance ``d = x - mean`` alone, for which ``d' = (1 -
gain) * (d + r)``: float32 is exact enough, whatever the price.
"""

from __future__ import annotations

import math
from enum import IntEnum, auto
from typing import Any

import numpy as np
from numba import types

from puffer_numba.jit.compiler.parts import JIT_OPTIONS, OVERLOADED, part
from puffer_numba.jit.math import exp, log
from puffer_numba.jit.random import integer, normal, random

WINDOW = 64
"""Bars before the first tick of an episode, which warm up the indicators."""
HISTORY = 64  # closes that are kept; a power of two
RETURN_WINDOWS = np.array((1, 2, 4, 8, 16, 32))
LAGS = np.array((1, 2, 3))
RSI_WINDOWS = np.array((7, 14, 28))
VARIANCE_WINDOWS = np.array((4, 8, 16, 32, 64))
EMA_WINDOWS = np.array((4, 8, 16, 32, 64, 12, 26))  # the last two for MACD
EMA_GAINS, VARIANCE_GAINS, RSI_GAINS = 2 / (EMA_WINDOWS + 1), 2 / (VARIANCE_WINDOWS + 1), 1 / RSI_WINDOWS
RETURN_SCALES, EMA_SCALES = 1 / np.sqrt(RETURN_WINDOWS), 2 / np.sqrt(EMA_WINDOWS)
EMA_32, EMA_12, EMA_26 = 3, 5, 6

GAP, CHANGE, UP, DOWN, VOLUME = range(5)
"""Elements of a bar."""
BAR = 5

VARIANCE, GAIN, LOSS = 0, 5, 8  # where the means of several windows begin
VARIANCE_32, VARIANCE_64 = 3, 4
SIGNAL, BAND, TOP, BOTTOM, SLOW, ATR, RISE, FALL, ADX, EXTENT, UPSIDE, LAGGED = range(11, 23)
PATH, TREND, CUBE, VOLUME_4, VOLUME_16, VOLUME_64, FLOW = range(23, 30)
MEANS = 30


class Feature(IntEnum):
    """Where each feature of a symbol stands in its block: 44 of its market, and 4 of the position in it."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count

    return_1 = auto()
    return_2 = auto()
    return_4 = auto()
    return_8 = auto()
    return_16 = auto()
    return_32 = auto()
    lag_1 = auto()
    lag_2 = auto()
    lag_3 = auto()
    volatility_4 = auto()
    volatility_8 = auto()
    volatility_16 = auto()
    volatility_32 = auto()
    volatility_64 = auto()
    volatility_range = auto()
    volatility_down = auto()
    ema_4 = auto()
    ema_8 = auto()
    ema_16 = auto()
    ema_32 = auto()
    ema_64 = auto()
    macd = auto()
    macd_signal = auto()
    macd_histogram = auto()
    rsi_7 = auto()
    rsi_14 = auto()
    rsi_28 = auto()
    stochastic_16 = auto()
    stochastic_slow = auto()
    bollinger_32 = auto()
    directional_14 = auto()
    adx_14 = auto()
    atr_14 = auto()
    body = auto()
    close_location = auto()
    range = auto()
    gap = auto()
    volume_1 = auto()
    volume_4 = auto()
    money_flow_16 = auto()
    efficiency_16 = auto()
    autocorrelation_32 = auto()
    trend_64 = auto()
    skewness_64 = auto()

    position = auto()
    position_profit = auto()
    holding_time = auto()
    spread = auto()


class AccountFeature(IntEnum):
    """Where each feature of the account stands, after the blocks of all symbols."""

    unrealized_pnl = 0
    realized_pnl = 1
    equity = 2
    drawdown = 3
    exposure = 4
    time = 5


SYMBOL_FEATURES = len(Feature)

_MAX_RETURN = 0.5  # of a simulated bar's log return
_MIN_SIGMA = 1e-6  # volatility that normalizes, where prices stand still
_TINY = 1e-30  # keeps 0 / 0 from being NaN
_LN_10, _PARKINSON = math.log(10), 4 * math.log(2)


def feature_names(symbols: int = 1) -> list[str]:
    """Names of the observation's elements, in their order: 48 for each symbol, then 6 of the account.

    With several symbols, names of the first 48 of each begin with its number: ``"0/return_1"``.
    """
    block = list(Feature.__members__)
    blocks = [block] if symbols == 1 else [[f"{k}/{name}" for name in block] for k in range(symbols)]
    return [name for names in (*blocks, AccountFeature.__members__) for name in names]


def simulate_bar(p: Any, regime: Any, distance: Any, rng: Any) -> Any:
    """A bar of a regime, ``distance`` above the average of 32 bars: gap, return from open to close, up, down, volume.

    A random walk of the regime's drift and volatility that may be pulled to its average, with jumps at the open, double
    exponential (Kou, 2002). High and low are those of a Brownian bridge from the open to the close.
    """
    sigma = p.volatilities[regime]
    u = random(rng)
    jumps = u < p.jump_rate
    side = 2.0 * u / max(p.jump_rate, _TINY) - 1.0  # uniform on [-1, 1), given that there is a jump
    size = min(-p.jump_size * log(max(abs(side), 1e-6)), _MAX_RETURN)
    gap = (size if side > 0.0 else -size) if jumps else 0.0
    z = normal(rng)
    change = min(max(p.drifts[regime] - p.reversions[regime] * distance + sigma * z, -_MAX_RETURN), _MAX_RETURN)
    above = math.sqrt(change * change - 2.0 * sigma * sigma * log(1.0 - random(rng)))
    below = math.sqrt(change * change - 2.0 * sigma * sigma * log(1.0 - random(rng)))
    volume = 1000.0 * (0.2 + abs(z)) * (0.5 + random(rng)) * (5.0 if jumps else 1.0)
    return gap, change, max(0.5 * (above - change), 0.0), max(0.5 * (below + change), 0.0), volume


def next_bar(s: Any, p: Any, i: Any, k: Any, rng: Any, clock: Any, slowest: Any) -> None:
    """Go on by one bar, simulated or that of row ``s.row[i]``. ``clock`` counts the bars, those of the warm-up too.

    ``slowest``: the smallest gain of a mean: 1 / clock while it warms up, for a plain mean over the bars so far.
    """
    ema, mean, bar = s.ema[i, k], s.mean[i, k], s.bar[i, k]
    if p.data.shape[0] > 0:
        row = s.row[i]
        s.open[i, k] = p.data[row, k, 0]
        s.close[i, k] = p.data[row, k, 3]
        table = p.bars[row, k]
        gap, r, up, down, volume = table[0], table[1], table[2], table[3], table[4]
    else:
        regime = s.regime[i, k]
        u = random(rng)
        if u < p.switch_rate:
            regime = np.uint8(integer(rng, len(p.drifts)))
            s.regime[i, k] = regime
        gap, change, up, down, volume = simulate_bar(p, regime, ema[EMA_32], rng)
        r = gap + change
        s.open[i, k] = s.close[i, k] * exp(gap)
        s.close[i, k] = min(max(s.open[i, k] * exp(change), 1e-6), 1e12)
    update_indicators(ema, mean, bar, gap, r, up, down, volume, slowest)
    s.history[i, k, clock & (HISTORY - 1)] = s.history[i, k, (clock - 1) & (HISTORY - 1)] + r


def toward(mean: Any, value: Any, gain: Any, slowest: Any) -> Any:
    """An exponential mean after one more value."""
    return mean + max(gain, slowest) * (value - mean)


def update_indicators(
    ema: Any, mean: Any, bar: Any, gap: Any, r: Any, up: Any, down: Any, volume: Any, slowest: Any
) -> None:
    """Take one more bar into the averages ``ema``, the ``mean`` values and the last ``bar`` of a symbol."""
    # Wilder's directional movement: the part of this bar's range beyond the last one's
    rise = max(r + up - bar[UP], 0.0)
    fall = max(down - r - bar[DOWN], 0.0)
    wilder = 1.0 / 14.0
    true_range = max(r + up, 0.0) - min(r - down, 0.0)
    mean[ATR] = toward(mean[ATR], true_range, wilder, slowest)
    mean[RISE] = toward(mean[RISE], rise if rise > fall else 0.0, wilder, slowest)
    mean[FALL] = toward(mean[FALL], fall if fall > rise else 0.0, wilder, slowest)
    index = abs(mean[RISE] - mean[FALL]) / max(mean[RISE] + mean[FALL], _TINY)
    mean[ADX] = toward(mean[ADX], index, wilder, slowest)

    square = r * r
    deviation = ema[EMA_32] + r
    gain = max(2.0 / 33.0, slowest)
    mean[BAND] = (1.0 - gain) * (mean[BAND] + gain * deviation * deviation)
    for j in range(len(EMA_WINDOWS)):
        ema[j] = (1.0 - max(float(EMA_GAINS[j]), slowest)) * (ema[j] + r)
    for j in range(len(VARIANCE_WINDOWS)):
        mean[VARIANCE + j] = toward(mean[VARIANCE + j], square, float(VARIANCE_GAINS[j]), slowest)
    for j in range(len(RSI_WINDOWS)):
        gain = float(RSI_GAINS[j])
        mean[GAIN + j] = toward(mean[GAIN + j], max(r, 0.0), gain, slowest)
        mean[LOSS + j] = toward(mean[LOSS + j], max(-r, 0.0), gain, slowest)
    mean[SIGNAL] = toward(mean[SIGNAL], ema[EMA_26] - ema[EMA_12], 2.0 / 10.0, slowest)

    # distances of the highest high and the lowest low, which draw nearer with every bar
    forget = 1.0 - max(2.0 / 17.0, slowest)
    mean[TOP] = max(up, (mean[TOP] - r) * forget)
    mean[BOTTOM] = max(down, (mean[BOTTOM] + r) * forget)
    mean[SLOW] = toward(mean[SLOW], balance(mean[BOTTOM], mean[TOP]), 2.0 / 4.0, slowest)

    # Parkinson (1980): what a bar's range says of its variance
    extent = (up + down) * (up + down) / _PARKINSON
    mean[EXTENT] = toward(mean[EXTENT], extent, 2.0 / 33.0, slowest)
    mean[UPSIDE] = toward(mean[UPSIDE], square if r > 0.0 else 0.0, 2.0 / 33.0, slowest)
    mean[LAGGED] = toward(mean[LAGGED], r * bar[CHANGE], 2.0 / 33.0, slowest)
    mean[PATH] = toward(mean[PATH], abs(r), 2.0 / 17.0, slowest)
    mean[TREND] = toward(mean[TREND], r, 2.0 / 65.0, slowest)
    mean[CUBE] = toward(mean[CUBE], square * r, 2.0 / 65.0, slowest)
    mean[VOLUME_4] = toward(mean[VOLUME_4], volume, 2.0 / 5.0, slowest)
    mean[VOLUME_16] = toward(mean[VOLUME_16], volume, 2.0 / 17.0, slowest)
    mean[VOLUME_64] = toward(mean[VOLUME_64], volume, 2.0 / 65.0, slowest)
    flow = volume if r > 0.0 else -volume if r < 0.0 else 0.0
    mean[FLOW] = toward(mean[FLOW], flow, 2.0 / 17.0, slowest)

    bar[GAP], bar[CHANGE], bar[UP], bar[DOWN], bar[VOLUME] = gap, r, up, down, volume


def clip(x: Any) -> Any:
    """``x``, or the nearest of -1 and 1."""
    return min(max(x, -1.0), 1.0)


def balance(a: Any, b: Any) -> Any:
    """How much of ``a + b`` the first has over the second, both not negative: -1 to 1."""
    return clip((a - b) / max(a + b, _TINY))  # clipped, as a reciprocal may be used to divide


def soft(x: Any) -> Any:
    """Profit as a part of the starting cash, on (-1, 1): a tenth gives 0.5."""
    return x / (abs(x) + 0.1)


def back(history: Any, clock: Any, bars: Any) -> Any:
    """The log price some bars ago."""
    return history[(clock - bars) & (HISTORY - 1)]


def volatility(mean: Any) -> Any:
    """Standard deviation of a bar's log return, over 64 bars."""
    return max(math.sqrt(mean[VARIANCE_64]), _MIN_SIGMA)


def observe_market(ema: Any, mean: Any, bar: Any, history: Any, clock: Any, out: Any, first: Any) -> None:
    """Write the features of a symbol's market to its block, ``out[first:]``."""
    variance = mean[VARIANCE_64]
    sigma = volatility(mean)
    scale = 0.25 / sigma  # four standard deviations are 1
    r, up, down = bar[CHANGE], bar[UP], bar[DOWN]
    x = back(history, clock, 0)
    for j in range(len(RETURN_WINDOWS)):
        out[first + Feature.return_1 + j] = clip(
            float(x - back(history, clock, RETURN_WINDOWS[j])) * scale * float(RETURN_SCALES[j])
        )
    for j in range(len(LAGS)):
        lag = back(history, clock, LAGS[j]) - back(history, clock, LAGS[j] + 1)
        out[first + Feature.lag_1 + j] = clip(float(lag) * scale)
    for j in range(4):
        out[first + Feature.volatility_4 + j] = balance(mean[VARIANCE + j], variance)
    out[first + Feature.volatility_64] = clip(1.0 + 0.5 * log(sigma) / _LN_10)
    out[first + Feature.volatility_range] = balance(mean[EXTENT], variance)
    out[first + Feature.volatility_down] = clip(
        (mean[VARIANCE_32] - 2.0 * mean[UPSIDE]) / max(mean[VARIANCE_32], _TINY)
    )
    for j in range(5):
        out[first + Feature.ema_4 + j] = clip(ema[j] * scale * float(EMA_SCALES[j]))
    macd = ema[EMA_26] - ema[EMA_12]
    out[first + Feature.macd] = clip(macd * scale)
    out[first + Feature.macd_signal] = clip(mean[SIGNAL] * scale)
    out[first + Feature.macd_histogram] = clip((macd - mean[SIGNAL]) * 2.0 * scale)
    for j in range(3):
        out[first + Feature.rsi_7 + j] = balance(mean[GAIN + j], mean[LOSS + j])
    out[first + Feature.stochastic_16] = balance(mean[BOTTOM], mean[TOP])
    out[first + Feature.stochastic_slow] = clip(mean[SLOW])
    out[first + Feature.bollinger_32] = clip(ema[EMA_32] / (3.0 * max(math.sqrt(mean[BAND]), _MIN_SIGMA)))
    out[first + Feature.directional_14] = clip((mean[RISE] - mean[FALL]) / max(mean[ATR], _TINY))
    out[first + Feature.adx_14] = clip(mean[ADX])
    out[first + Feature.atr_14] = balance(mean[ATR], sigma)
    extent = max(up + down, _TINY)
    out[first + Feature.body] = clip((r - bar[GAP]) / extent)
    out[first + Feature.close_location] = clip((down - up) / extent)
    out[first + Feature.range] = clip((up + down) * scale)
    out[first + Feature.gap] = clip(bar[GAP] * scale)
    out[first + Feature.volume_1] = balance(bar[VOLUME], mean[VOLUME_16])
    out[first + Feature.volume_4] = balance(mean[VOLUME_4], mean[VOLUME_64])
    out[first + Feature.money_flow_16] = clip(mean[FLOW] / max(mean[VOLUME_16], _TINY))
    path = max(16.0 * mean[PATH], _TINY)
    out[first + Feature.efficiency_16] = clip(float(x - back(history, clock, 16)) / path)
    out[first + Feature.autocorrelation_32] = clip(mean[LAGGED] / max(mean[VARIANCE_32], _TINY))
    out[first + Feature.trend_64] = clip(mean[TREND] * 8.0 * scale)
    out[first + Feature.skewness_64] = clip(mean[CUBE] / (4.0 * sigma * sigma * sigma))


def component(action: Any, k: Any) -> Any:
    """Component ``k`` of an action; the action itself where it is one number."""
    return action[k] if np.ndim(action) else action


@part(component, JIT_OPTIONS)
def _component(action: Any, k: Any) -> Any:
    return (lambda action, k: action[k]) if isinstance(action, types.Array) else (lambda action, k: action)


setattr(component, OVERLOADED, "component")
