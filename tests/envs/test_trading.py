"""Trading: accounts against a plain Python ledger, features against plain NumPy, the market, data and their files."""

from __future__ import annotations

import csv
import math
import re
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete
from scipy import stats

import puffer_numba
from puffer_numba import extras, registry
from puffer_numba.envs import _market
from puffer_numba.envs._ohlcv import load_ohlcv
from puffer_numba.envs.trading import BUY, HOLD, SELL, Trading
from puffer_numba.options import env_params
from tests.helpers.paths import DOCS

PAGE = (DOCS / "trading.md").read_text()
WINDOW = 64


def random_bars(rows: int, symbols: int = 1, seed: int = 0, volatility: float = 0.01) -> np.ndarray:
    """Possible prices, (rows, symbols, 5), with gaps between close and open, of scales that differ by symbol."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, volatility, (rows, symbols, 3))
    close = np.exp(np.cumsum(moves[:, :, 0], axis=0)) * 10.0 ** np.arange(1, symbols + 1)
    open_ = np.roll(close, 1, axis=0) * np.exp(moves[:, :, 1] / 4)
    open_[0] = close[0]
    high = np.maximum(open_, close) * np.exp(abs(moves[:, :, 2]) / 2)
    low = np.minimum(open_, close) * np.exp(-abs(rng.normal(0, volatility / 2, (rows, symbols))))
    return np.stack([open_, high, low, close, rng.lognormal(5, 1, (rows, symbols))], axis=2)


DATA = random_bars(400)


def compiled(**params):
    """500 environments of one symbol; those that end stay as they are until they are reset."""
    return Trading(500, autoreset="disabled", **params)


@pytest.fixture(scope="module")
def simulated():
    """Of the simulated market as it is by default."""
    return compiled()


# Accounts


class Ledger:
    """The accounting rules of the documentation, in plain Python."""

    def __init__(self, cash: float, lot_sizes: list[float], limit: int, short: bool, spread: float, fee: float) -> None:
        self.start = self.cash = self.equity = cash
        self.lot_sizes, self.limit, self.least = lot_sizes, limit, -limit if short else 0
        self.spread, self.fee = spread, fee
        self.lots = [0] * len(lot_sizes)
        self.entries: list[list[float]] = [[] for _ in lot_sizes]  # the average price, once for each lot
        self.realized = 0.0

    def step(self, orders: list[int], opens: list[float], closes: list[float]) -> float:
        """Fill the orders; the reward."""
        for k, order in enumerate(orders):
            side = {SELL: -1, HOLD: 0, BUY: 1}[order]
            if side == 0 or not self.least <= self.lots[k] + side <= self.limit:
                continue
            price = opens[k] * (1 + self.spread / 2 if side > 0 else 1 - self.spread / 2)
            value = price * self.lot_sizes[k]
            self.cash -= side * value + self.fee * value
            self.realized -= self.fee * value
            if self.lots[k] * side >= 0:
                average = (sum(self.entries[k]) + price) / (len(self.entries[k]) + 1)
                self.entries[k] = [average] * (len(self.entries[k]) + 1)
            else:
                self.realized += side * (self.entries[k].pop() - price) * self.lot_sizes[k]
            self.lots[k] += side
        before = self.equity
        self.equity = self.cash + sum(n * u * c for n, u, c in zip(self.lots, self.lot_sizes, closes, strict=True))
        return 100 * (self.equity - before) / self.start

    def unrealized(self, closes: list[float]) -> float:
        """Of the open positions, at these prices."""
        signs = [math.copysign(1, n) for n in self.lots]
        parts = zip(self.lot_sizes, closes, self.entries, signs, strict=True)
        return sum(u * sign * (c - entry) for u, c, entries, sign in parts for entry in entries)


def ledgers_of(env: Trading) -> list[Ledger]:
    p = env.params
    rules = (p.position_limit, p.allow_short, float(p.spread), float(p.fee))
    return [Ledger(float(p.cash), sizes, *rules) for sizes in env.state.lot_size.tolist()]


def follow(env: Trading, ticks: int) -> dict[str, int]:
    """Step with random orders, keep ledgers beside, and compare all of the account at every tick."""
    rng = np.random.default_rng(7)
    env.reset(seed=3)
    ledgers = ledgers_of(env)
    s, (info,) = env.state, env._infos
    symbols = env.params.symbols
    seen = {"refused": 0, "realized": 0, "terminated": 0, "truncated": 0}
    alive = np.arange(env.num_envs) < 20
    orders = np.zeros(0)
    for tick in range(1, ticks + 1):
        # each environment goes its own way: in some, one kind of order comes again and again
        orders = rng.integers(0, 3, (env.num_envs, symbols)) if tick % 40 < 25 else orders
        _, rewards, terminals, truncations, _ = env.step(orders[:, 0] if symbols == 1 else orders)
        for i in np.flatnonzero(alive):
            ledger = ledgers[i]
            before = list(ledger.lots)
            reward = ledger.step(orders[i].tolist(), s.open[i].tolist(), s.close[i].tolist())
            seen["refused"] += sum(o != HOLD and a == b for o, a, b in zip(orders[i], before, ledger.lots, strict=True))
            closes = s.close[i].tolist()
            marked = sum(n * u * c for n, u, c in zip(s.lots[i], s.lot_size[i], closes, strict=True))
            assert info["equity"][i] == pytest.approx(s.cash[i] + marked, rel=1e-14)
            assert info["equity"][i] == pytest.approx(ledger.equity, abs=1e-6)
            assert info["realized_pnl"][i] == pytest.approx(ledger.realized, abs=1e-6)
            assert s.cash[i] == pytest.approx(ledger.cash, abs=1e-6)
            assert ledger.start + ledger.realized + ledger.unrealized(closes) == pytest.approx(ledger.equity, abs=1e-6)
            assert rewards[i] == pytest.approx(reward, abs=2e-6)
            assert s.lots[i].tolist() == ledger.lots
            assert info["tick"][i] == tick
            assert terminals[i] == (ledger.equity <= float(env.params.ruin) * ledger.start)
            seen["realized"] += ledger.realized != 0
        ended = alive & (terminals | truncations)
        seen["terminated"] += int((terminals & ended).sum())
        seen["truncated"] += int((truncations & ended).sum())
        alive &= ~ended  # begun anew, but not looked at any more
        if (terminals | truncations).any():
            env.reset(mask=terminals | truncations)
    return seen


@pytest.mark.slow
def test_accounts_are_a_plain_ledgers_over_whole_episodes(simulated):
    seen = follow(simulated, 512)
    assert min(seen["refused"], seen["realized"]) > 1000
    assert seen["truncated"] == 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        {"allow_short": False, "position_limit": 5, "fee": 0.003, "spread": 0.01},
        {"lot_size": 2.5, "ruin": 0.0, "cash": 1e6, "fee": 0.0},
        {"leverage": 5.0, "position_limit": 1, "ruin": 0.8, "volatilities": [0.03], "drifts": [0], "reversions": [0]},
        {"data": DATA, "max_ticks": 200},
        {"data": random_bars(300, 3), "max_ticks": 200, "position_limit": 3},
        {"symbols": 4, "dtype": "float64"},
    ],
    ids=["long only", "fixed lots", "ruin", "data", "three symbols", "float64"],
)
def test_accounts_are_a_plain_ledgers(arguments):
    seen = follow(Trading(6, jit=False, autoreset="disabled", **arguments), 120)
    assert min(seen["refused"], seen["realized"]) > 5
    assert seen["terminated"] > 0 or "volatilities" not in arguments


def test_orders_are_filled_at_the_next_open():
    env = Trading(data=DATA, jit=False, spread=0.01, fee=0.002, lot_size=10.0, max_ticks=50)
    env.reset(seed=0)
    first = int(env.state.row[0])
    env.step([BUY])
    price = DATA[first + 1, 0, 0] * 1.005
    assert env.state.entry[0, 0] == pytest.approx(price, rel=1e-7)
    assert env.state.cash[0] == pytest.approx(10_000 - 10 * price * 1.002, abs=1e-5)
    env.step([SELL])
    assert env.state.realized_pnl[0] == pytest.approx(
        10 * (DATA[first + 2, 0, 0] * 0.995 * 0.998 - price * 1.002), abs=1e-5
    )
    assert env.state.equity[0] == pytest.approx(10_000 + env.state.realized_pnl[0], rel=1e-12)


def test_position_limit_leverage_and_short_sales():
    env = Trading(4, jit=False, symbols=2, position_limit=3, leverage=2.0)
    env.reset(seed=0)
    costs = env.state.lot_size * env.state.close * 3
    np.testing.assert_allclose(costs.sum(axis=1), 20_000, rtol=1e-12)
    for _ in range(5):
        env.step(np.full((4, 2), SELL))
    assert (env.state.lots == -3).all()
    assert (env.state.trades == 6).all()
    env = Trading(4, jit=False, allow_short=False)
    env.reset(seed=0)
    env.step(np.full(4, SELL))
    assert not env.state.lots.any()
    assert (env.state.equity == 10_000).all()


def test_returns_are_the_percent_gained(simulated):
    simulated.reset(seed=5)
    total = np.zeros(500)
    for action in np.random.default_rng(0).integers(0, 3, 200):
        if (simulated.terminals | simulated.truncations).any():
            break
        total += simulated.step(np.full(500, action))[1]
    np.testing.assert_allclose(total, simulated.state.equity / 100 - 100, atol=1e-3)


# Episodes


def test_truncated_at_max_ticks():
    env = Trading(3, jit=False, max_ticks=7)
    observations, _ = env.reset(seed=0)
    assert (observations[:, -1] == 0).all()
    for tick in range(1, 8):
        observations, _, terminals, truncations, _ = env.step([HOLD] * 3)
        assert truncations.all() == truncations.any() == (tick == 7)
        assert not terminals.any()
    np.testing.assert_array_equal(env.final_observations[:, -1], 1)
    assert env.log()["equity"] == 10_000
    assert Trading(jit=False).max_episode_steps == 512
    assert Trading(jit=False, max_episode_steps=20).params.max_ticks == 20
    assert Trading(jit=False, data=DATA, max_ticks=10**6).max_episode_steps == 400 - WINDOW - 1


def test_data_are_walked_through_to_the_last_row():
    env = Trading(2, jit=False, data=DATA[:90])
    env.reset(seed=0)
    for row in range(WINDOW + 1, 90):
        assert not env.truncations.any()
        env.step([HOLD] * 2)
        if row < 89:
            assert (env.state.row == row).all()
            np.testing.assert_array_equal(env.state.close[:, 0], DATA[row, 0, 3])
    assert env.truncations.all()


@pytest.mark.slow
def test_starts_are_uniform_over_the_rows():
    env = Trading(1100, jit=False, debug=False, data=DATA[: WINDOW + 30], max_ticks=19)
    env.reset(seed=1)
    rows, counts = np.unique(env.state.row, return_counts=True)
    assert rows.tolist() == list(range(WINDOW, WINDOW + 11))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_gymnasium():
    env = gymnasium.make("puffer_numba/Trading-v1", max_ticks=30)
    observation, info = env.reset(seed=0)
    assert observation.shape == (54,)
    assert info == {"tick": 0, "equity": 10_000.0, "realized_pnl": 0.0}
    assert env.action_space == Discrete(3)
    ends = [env.step(BUY)[2:4] for _ in range(30)]
    assert [end for end in ends if any(end)] == [(False, True)]
    assert puffer_numba.make("trading", symbols=3, jit=False).single_action_space == MultiDiscrete([3, 3, 3])


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [1, 2])
def test_kernels_do_what_plain_python_does_on_data(symbols):
    data = random_bars(150, symbols)
    envs = [Trading(3, data=data, max_ticks=60, autoreset="disabled", jit=jit) for jit in (True, False)]
    for env in envs:
        env.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(60):
        orders = rng.integers(0, 3, (3, symbols))
        for env in envs:
            env.step(orders[:, 0] if symbols == 1 else orders)
        np.testing.assert_allclose(envs[0].observations, envs[1].observations, atol=1e-5)
        np.testing.assert_allclose(envs[0].state.equity, envs[1].state.equity, rtol=1e-13)
        np.testing.assert_array_equal(envs[0].state.lots, envs[1].state.lots)
    assert envs[0].truncations.all()


# Features


def mean(values, gain):
    """Exponential, of all values so far; a plain mean as long as they are few."""
    out = 0.0
    for t, value in enumerate(values, 1):
        out += max(gain, 1 / t) * (value - out)
    return out


def span(window):
    return 2 / (window + 1)


def clip(x):
    return min(max(x, -1.0), 1.0)


def balance(a, b):
    return (a - b) / (a + b) if a + b > 0 else 0.0


def market_features(bars: np.ndarray) -> dict[str, float]:
    """Of a symbol at the last of these rows of open, high, low, close, volume; row 0 begins the warm-up. As the
    documentation defines them: averages of prices, not of returns."""
    o, h, low, c = np.log(bars[:, :4]).T
    volume = bars[1:, 4]
    r = np.diff(c)
    variance = {w: mean(r**2, span(w)) for w in (4, 8, 16, 32, 64)}
    sigma = max(math.sqrt(variance[64]), 1e-6)
    ema = {w: [mean(c[1 : t + 1], span(w)) for t in range(1, len(c))] for w in (4, 8, 12, 16, 26, 32, 64)}
    f = {f"return_{w}": clip((c[-1] - c[-1 - w]) / (4 * sigma * math.sqrt(w))) for w in (1, 2, 4, 8, 16, 32)}
    f |= {f"lag_{k}": clip(r[-1 - k] / (4 * sigma)) for k in (1, 2, 3)}
    f |= {f"volatility_{w}": balance(variance[w], variance[64]) for w in (4, 8, 16, 32)}
    f["volatility_64"] = clip(1 + math.log10(sigma) / 2)
    f["volatility_range"] = balance(mean((h - low)[1:] ** 2 / (4 * math.log(2)), span(32)), variance[64])
    falls = mean(np.where(r > 0, 0, r**2), span(32))
    f["volatility_down"] = balance(falls, mean(np.where(r > 0, r**2, 0), span(32)))
    f |= {f"ema_{w}": clip((c[-1] - ema[w][-1]) / (2 * sigma * math.sqrt(w))) for w in (4, 8, 16, 32, 64)}
    macd = np.subtract(ema[12], ema[26])
    signal = mean(macd, span(9))
    f |= {"macd": clip(macd[-1] / (4 * sigma)), "macd_signal": clip(signal / (4 * sigma))}
    f["macd_histogram"] = clip((macd[-1] - signal) / (2 * sigma))
    for w in (7, 14, 28):
        f[f"rsi_{w}"] = balance(mean(np.maximum(r, 0), 1 / w), mean(np.maximum(-r, 0), 1 / w))
    top = bottom = 0.0
    stochastic = []
    for t in range(1, len(c)):
        forget = 1 - max(span(16), 1 / t)
        top = max(h[t], c[t] + (top - c[t]) * forget)
        bottom = min(low[t], c[t] - (c[t] - bottom) * forget)
        stochastic.append(balance(c[t] - bottom, top - c[t]))
    f |= {"stochastic_16": stochastic[-1], "stochastic_slow": mean(stochastic, span(3))}
    average = band = 0.0
    for t in range(1, len(c)):
        gain = max(span(32), 1 / t)
        band = (1 - gain) * (band + gain * (c[t] - average) ** 2)
        average += gain * (c[t] - average)
    f["bollinger_32"] = clip((c[-1] - average) / (3 * max(math.sqrt(band), 1e-6)))
    rise, fall = np.maximum(np.diff(h), 0), np.maximum(-np.diff(low), 0)
    rise[0], fall[0] = max(h[1] - c[0], 0), max(c[0] - low[1], 0)  # the range before the first bar is not known
    rise, fall = np.where(rise > fall, rise, 0), np.where(fall > rise, fall, 0)
    true_range = np.maximum(h[1:], c[:-1]) - np.minimum(low[1:], c[:-1])
    means = [[mean(values[:t], 1 / 14) for t in range(1, len(c))] for values in (rise, fall, true_range)]
    f["directional_14"] = clip((means[0][-1] - means[1][-1]) / means[2][-1]) if means[2][-1] else 0.0
    f["adx_14"] = mean([abs(balance(a, b)) for a, b in zip(means[0], means[1], strict=True)], 1 / 14)
    f["atr_14"] = balance(means[2][-1], sigma)
    extent = h[-1] - low[-1] or 1.0
    f |= {"body": (c[-1] - o[-1]) / extent, "close_location": ((c[-1] - low[-1]) - (h[-1] - c[-1])) / extent}
    f |= {"range": clip((h[-1] - low[-1]) / (4 * sigma)), "gap": clip((o[-1] - c[-2]) / (4 * sigma))}
    f["volume_1"] = balance(volume[-1], mean(volume, span(16)))
    f["volume_4"] = balance(mean(volume, span(4)), mean(volume, span(64)))
    total = mean(volume, span(16))
    f["money_flow_16"] = mean(np.sign(r) * volume, span(16)) / total if total else 0.0
    path = 16 * mean(abs(r), span(16))
    f["efficiency_16"] = clip((c[-1] - c[-17]) / path) if path else 0.0
    products = r * np.concatenate([[0], r[:-1]])
    f["autocorrelation_32"] = clip(mean(products, span(32)) / variance[32]) if variance[32] else 0.0
    f["trend_64"] = clip(2 * mean(r, span(64)) / sigma)
    f["skewness_64"] = clip(mean(r**3, span(64)) / (4 * sigma**3))
    return f


def soft(x):
    return x / (abs(x) + 0.1)


def all_features(env: Trading, bars: np.ndarray, i: int, ledger: Ledger, peak: float, held: list[int]) -> list[float]:
    """The whole observation, from the bars (rows, symbols, 5) since the warm-up began and a ledger."""
    p = env.params
    features = []
    closes = bars[-1, :, 3].tolist()
    for k in range(p.symbols):
        market = market_features(bars[:, k])
        sigma = max(math.sqrt(mean(np.diff(np.log(bars[:, k, 3])) ** 2, span(64))), 1e-6)
        profit = ledger.lots[k] * ledger.lot_sizes[k] * (closes[k] - (ledger.entries[k] or [0])[0])
        spread = float(p.spread)
        position = {
            "position": ledger.lots[k] / p.position_limit,
            "position_profit": soft(profit / ledger.start),
            "holding_time": held[k] / (held[k] + 16),
            "spread": spread / (spread + sigma),
        }
        features += [*market.items(), *position.items()]
    value = ledger.equity - ledger.cash
    account = {
        "unrealized_pnl": soft(ledger.unrealized(closes) / ledger.start),
        "realized_pnl": soft(ledger.realized / ledger.start),
        "equity": soft(ledger.equity / ledger.start - 1),
        "drawdown": 1 - ledger.equity / peak,
        "exposure": clip(value / (2 * max(ledger.equity, ledger.start / 100))),
        "time": env.state.tick[i] / p.max_ticks,
    }
    return [*features, *account.items()]


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("volatility", [0.01, 1e-4])
def test_all_54_features_are_as_defined(symbols, volatility):
    data = random_bars(220, symbols, seed=symbols, volatility=volatility)
    data[100:110, :, 4] = 0  # no volume
    data[120:130, 0, :4] = data[119, 0, 3]  # and no trades
    env = Trading(3, jit=False, data=data, max_ticks=100, position_limit=3, autoreset="disabled")
    observations, _ = env.reset(seed=2)
    ledgers = ledgers_of(env)
    first = env.state.row - WINDOW
    rng = np.random.default_rng(0)
    peaks, held = [10_000.0] * 3, [[0] * symbols for _ in range(3)]
    assert len(set(env.feature_names())) == len(env.feature_names()) == 48 * symbols + 6
    for tick in range(100):
        if tick % 9 in (0, 1):
            for i in range(3):
                bars = data[first[i] : env.state.row[i] + 1]
                expected = all_features(env, bars, i, ledgers[i], peaks[i], held[i])
                names = [name.rpartition("/")[2] for name in env.feature_names()]
                assert names == [name for name, _ in expected]
                for name, value, (_, wanted) in zip(env.feature_names(), observations[i], expected, strict=True):
                    assert value == pytest.approx(wanted, abs=1e-4), (name, tick)
        orders = rng.integers(0, 3, (3, symbols))
        observations, *_ = env.step(orders[:, 0] if symbols == 1 else orders)
        for i in range(3):
            bar = data[env.state.row[i]]
            ledgers[i].step(orders[i].tolist(), bar[:, 0].tolist(), bar[:, 3].tolist())
            peaks[i] = max(peaks[i], ledgers[i].equity)
            held[i] = [n + 1 if lots else 0 for n, lots in zip(held[i], ledgers[i].lots, strict=True)]


def test_feature_names():
    names = _market.feature_names()
    assert len(names) == len(set(names)) == 54
    assert Trading(jit=False).feature_names() == names
    three = Trading(jit=False, symbols=3)
    assert three.feature_names()[:2] == ["0/return_1", "0/return_2"]
    assert three.feature_names()[48] == "1/return_1"
    assert three.feature_names()[-6:] == names[-6:]
    assert three.single_observation_space.shape == (len(three.feature_names()),) == (150,)


def test_the_future_is_not_seen():
    runs = []
    for change in (1.0, 1.5):
        data = DATA.copy()
        env = Trading(data=data, jit=False, max_ticks=200, autoreset="disabled")
        env.reset(seed=4)
        now = int(env.state.row[0]) + 30
        data[now + 1 :, :, :4] *= change
        data[now + 1 :, :, 4] += change
        env = Trading(data=data, jit=False, max_ticks=200, autoreset="disabled")
        run = [env.reset(seed=4)[0].copy()]
        run += [env.step([tick % 3])[0].copy() for tick in range(32)]
        runs.append(np.concatenate(run))
    np.testing.assert_array_equal(runs[0][:31], runs[1][:31])
    assert (runs[0][31] != runs[1][31]).sum() > 20


def test_features_depend_on_no_scale():
    scaled = DATA * [1e6, 1e6, 1e6, 1e6, 1e-2]
    observations = [Trading(5, data=data, jit=False).reset(seed=0)[0] for data in (DATA, scaled)]
    np.testing.assert_allclose(*observations, atol=1e-5)


@pytest.mark.parametrize("kind", ["flat", "no volume", "jumps", "huge", "tiny"])
def test_features_are_finite_and_bounded(kind):
    data = DATA.copy()
    if kind == "flat":
        data[:] = [5, 5, 5, 5, 3]
    elif kind == "no volume":
        data[:, :, 4] = 0
    elif kind == "jumps":
        data[::7, :, :4] *= 1e6
    else:
        data[:, :, :4] *= {"huge": 1e200, "tiny": 1e-200}[kind]
    env = Trading(2, jit=False, data=data, max_ticks=40, lot_size=0.0)
    observations, _ = env.reset(seed=0)
    for tick in range(40):
        assert np.isfinite(observations).all()
        assert observations in env.observation_space
        observations, rewards, *_ = env.step([BUY, tick % 3])
        assert np.isfinite(rewards).all()
    if kind == "flat":
        moving = [n for n, v in zip(env.feature_names(), env.reset()[0][0], strict=True) if v != 0]
        assert moving == ["volatility_64", "atr_14", "spread"]


# The simulated market


def bars_of(env: Trading, bars: int) -> np.ndarray:
    """(bars, environments, 5): gap, return, up, down, volume, of all environments one after another."""
    env.reset(seed=11)
    found = []
    for _ in range(bars):
        env.step(np.full(env.num_envs, HOLD))
        found.append(env.state.bar[:, 0].copy())
    return np.stack(found)


def test_market_of_one_regime_is_a_random_walk():
    env = compiled(drifts=[0.002], volatilities=[0.01], reversions=[0.0], jump_rate=0.0)
    gap, r, up, down, volume = np.moveaxis(bars_of(env, 50), 2, 0)
    assert not gap.any()
    assert stats.kstest(r.ravel(), stats.norm(0.002, 0.01).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(r[1:].ravel(), r[:-1].ravel())[0, 1]) < 0.03
    # the highest of a Brownian bridge from 0 to r: P(max > m) = exp(-2 m (m - r) / variance)
    high, low = r + up, r - down
    assert (high >= np.maximum(r, 0)).all()
    assert (low <= np.minimum(r, 0)).all()
    for most, end in ((high, r), (-low, -r)):
        assert stats.kstest(np.exp(-2 * most * (most - end) / 0.01**2).ravel(), "uniform").pvalue > 1e-3
    assert (volume > 0).all()


def test_market_jumps_and_reverts():
    env = compiled(drifts=[0.0], volatilities=[0.001], reversions=[0.5], jump_rate=0.1, jump_size=0.03)
    bars = bars_of(env, 80)
    jumps = bars[:, :, 0][bars[:, :, 0] != 0]
    assert jumps.size == pytest.approx(0.1 * bars[:, :, 0].size, rel=0.05)
    assert stats.kstest(jumps[abs(jumps) < 0.4], stats.laplace(0, 0.03).cdf).pvalue > 1e-3
    change = bars[:, :, 1] - bars[:, :, 0]
    assert np.corrcoef(bars[:-1, :, 1].ravel(), change[1:].ravel())[0, 1] < -0.5


def test_regimes_last_as_long_as_they_should(simulated):
    simulated.reset(seed=1)
    regimes = []
    for _ in range(300):
        simulated.step(np.full(500, HOLD))
        regimes.append(simulated.state.regime[:, 0].copy())
    regimes = np.stack(regimes)
    changes = (regimes[1:] != regimes[:-1]).mean()
    assert changes == pytest.approx(0.02 * 3 / 4, rel=0.05)
    assert np.bincount(regimes.ravel()) / regimes.size == pytest.approx([1 / 4] * 4, abs=0.03)


def test_there_is_something_to_learn(simulated):
    """Who follows the trend gains more than who buys and holds; random trading loses its costs."""
    trend = simulated.feature_names().index("trend_64")
    rng = np.random.default_rng(0)
    policies = {
        "trend": lambda obs: np.where(obs[:, trend] > 0.2, BUY, np.where(obs[:, trend] < -0.2, SELL, HOLD)),
        "buy and hold": lambda obs: np.full(len(obs), BUY),
        "random": lambda obs: rng.integers(0, 3, len(obs)),
    }
    gains = {}
    for name, policy in policies.items():
        simulated.reset(seed=9)
        simulated.log()
        for _ in range(512):
            simulated.step(policy(simulated.observations))
            simulated.reset(mask=simulated.terminals | simulated.truncations)
        gains[name] = simulated.log()["equity"] / 100 - 100
    assert gains["trend"] > 17
    assert gains["buy and hold"] < 13
    assert -5 < gains["random"] < 0


# Data


def write(path: Path, rows: int = 80, **columns) -> Path:
    """`random_bars` in a file of the path's kind, with headers in several cases and orders; other columns beside."""
    names = ("Open", "HIGH", "low", " Close", "Volume")
    table = {"Date": [f"day {row}" for row in range(rows)]}
    table |= dict(zip(names[::-1], random_bars(rows)[:, 0].T.tolist()[::-1], strict=True)) | columns
    if path.suffix == ".parquet":
        table_of = pytest.importorskip("pyarrow").table
        pytest.importorskip("pyarrow.parquet").write_table(table_of(table), path)
    else:
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(table)
            lines.writerows(zip(*table.values(), strict=True))
    return path


def test_files(tmp_path):
    write(tmp_path / "prices.csv")
    write(tmp_path / "prices.parquet")
    expected = random_bars(80)
    for name in ("prices.csv", "prices.parquet"):
        np.testing.assert_allclose(load_ohlcv(tmp_path / name), expected, rtol=1e-15)
        env = Trading(data=str(tmp_path / name), jit=False)
        np.testing.assert_allclose(env.params.data, expected, rtol=1e-15)
    both = load_ohlcv([tmp_path / "prices.csv", str(tmp_path / "prices.parquet")])
    assert both.shape == (80, 2, 5)
    env = Trading(data=tmp_path / "prices.csv", jit=False)
    assert env.params.data.dtype == np.float64
    assert not env.params.data.flags.writeable
    np.testing.assert_array_equal(Trading(data=expected[:, 0], jit=False).params.data, expected)


def test_the_command_line_takes_a_file():
    options = env_params(registry.spec("trading"))
    assert options["data"] == ""
    assert {"max_ticks", "spread", "fee", "symbols"} <= set(options)
    assert "max_episode_steps" not in options


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "prices.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(extras.MissingExtra, match=r'Parquet file needs pyarrow: pip install "puffer_numba\[parquet\]"'):
        load_ohlcv(tmp_path / "prices.parquet")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "open,high,low,close\n1,1,1,1\n", r"a.csv', with columns \[.*\]; expected also volume"),
        ("a.csv", "", r"with columns \[\]; expected also open, high, low, close, volume"),
        ("a.csv", "open,high,low,close,volume\n1,1,1,1,1\n1,1,1,one,1\n", "row 1: close is 'one'; expected a number"),
        ("a.csv", "open,high,low,close,volume\n1,1,1,1\n", "row 0: volume is ''; expected a number"),
        ("a.csv", "open,high,low,close,volume\n1,1,1,1,nan\n", "row 0: volume is nan; expected a finite number"),
        ("a.csv", "open,high,low,close,volume\n", r"is an array of shape \(0, 5\); expected numbers of shape"),
        ("a.txt", "", r"a.txt'; expected a file called .csv, .parquet, .pq"),
        ("none", None, r"none.csv'; expected a file, and there is none"),
    ],
)
def test_bad_files(name, text, message, tmp_path):
    path = tmp_path / name if text is not None else tmp_path / "none.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f"^Trading: parameter data.*{message}"):
        Trading(data=path, jit=False)


def test_bad_parquet(tmp_path):
    path = write(tmp_path / "a.parquet", low=["low"] * 80)
    with pytest.raises(ValueError, match=r"a.parquet': column low is of .*string; expected numbers"):
        load_ohlcv(path)
    path = write(tmp_path / "a.parquet", low=[1.0, None] * 40)
    with pytest.raises(ValueError, match=r"data, row 1: low is nan; expected a finite number"):
        load_ohlcv(path)
    paths = [write(tmp_path / "a.csv", 70), write(tmp_path / "b.csv", 80)]
    with pytest.raises(ValueError, match=r"files of \[70, 80\] rows; expected as many rows in each"):
        load_ohlcv(paths)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ((7, 0, 3), np.nan, r"row 7, symbol 0: close is nan; expected a finite number"),
        ((7, 1, 1), np.inf, r"row 7, symbol 1: high is inf; expected a finite number"),
        ((9, 1, 0), 0.0, r"row 9, symbol 1: open is 0; expected more than 0"),
        ((9, 0, 2), -2.0, r"row 9, symbol 0: low is -2; expected more than 0"),
        ((3, 0, 1), 0.5, r"row 3, symbol 0: high is 0.5; expected at least the low, "),
        ((3, 0, 0), 1e3, r"row 3, symbol 0: open is 1000; expected at most the high, "),
        ((3, 0, 3), 0.5, r"row 3, symbol 0: close is 0.5; expected at least the low, "),
        ((5, 1, 4), -1.0, r"row 5, symbol 1: volume is -1; expected at least 0"),
        ((5, 1, 4), 1e31, r"row 5, symbol 1: volume is 1e\+31; expected at most 1e30"),
    ],
)
def test_impossible_data(where, value, message):
    data = random_bars(100, 2)
    data[where] = value
    with pytest.raises(ValueError, match=f"^Trading: parameter data, {message}"):
        Trading(data=data, jit=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": DATA[:65]}, "data has 65 rows; expected at least 66: a window of 64 that warms up"),
        ({"data": DATA[:, :, :4]}, r"data is an array of shape \(400, 1, 4\); expected numbers of shape \(rows, 5\)"),
        ({"data": np.zeros((0, 5))}, r"data is an array of shape \(0, 5\); expected numbers of shape"),
        ({"data": 7}, r"data is an array of shape \(\); expected numbers of shape"),
        ({"data": DATA.astype(str)}, r"data is an array of <U32; expected numbers of shape"),
        ({"data": [[1, 2], [3]]}, "data is not an array; expected numbers of shape"),
        ({"data": DATA, "symbols": 3}, "symbols is 3; expected 1, as many as data have"),
        ({"symbols": 0}, "symbols is 0; expected at least 1"),
        ({"symbols": 1.5}, "symbols is 1.5; expected an integer"),
        ({"max_ticks": 0}, "max_ticks is 0; expected an integer of at least 1"),
        ({"max_ticks": 1.5}, "max_ticks is 1.5; expected an integer"),
        ({"max_episode_steps": None}, "max_ticks is None; expected an integer of at least 1"),
        ({"cash": -1.0}, "cash is -1; expected more than 0"),
        ({"cash": math.inf}, "cash is inf; expected more than 0"),
        ({"position_limit": 128}, "position_limit is 128; expected 1 to 127"),
        ({"allow_short": 1}, "allow_short is 1; expected True or False"),
        ({"leverage": 0.0}, "leverage is 0; expected more than 0"),
        ({"lot_size": -1.0}, "lot_size is -1; expected at least 0"),
        ({"spread": 0.6}, "spread is 0.6; expected 0 to 0.5"),
        ({"fee": math.nan}, "fee is nan; expected 0 to 0.5"),
        ({"ruin": 1.0}, "ruin is 1; expected 0 to less than 1"),
        ({"price": 0.0}, r"price is 0; expected 0.001 to 1e\+09"),
        ({"switch_rate": 2.0}, "switch_rate is 2; expected 0 to 1"),
        ({"jump_rate": -0.1}, "jump_rate is -0.1; expected 0 to 1"),
        ({"jump_size": 1.0}, "jump_size is 1; expected 0 to 0.5"),
        ({"drifts": [0.5, 0, 0, 0]}, r"drifts is \[0.5, 0.0, 0.0, 0.0\]; expected 1 to 255 regimes, each -0.1 to 0.1"),
        ({"drifts": []}, r"drifts is \[\]; expected 1 to 255 regimes"),
        ({"volatilities": [[0.1]]}, r"volatilities is .*; expected 1 to 255 regimes, each 0 to 0.1"),
        ({"volatilities": [0.01, 0.02]}, "volatilities has 2 regimes; expected 4, as drifts has"),
        ({"reversions": [0, 0, 0, math.nan]}, r"reversions is .*; expected 1 to 255 regimes, each 0 to 1"),
    ],
)
def test_bad_params(arguments, message):
    with pytest.raises(ValueError, match=f"^Trading: parameter {message}"):
        Trading(jit=False, **arguments)


def test_unknown_options():
    with pytest.raises(
        ValueError, match=r"no parameter 'sprad'\. Did you mean 'spread'\? Par.*: symbols,.* sprad=0.1\."
    ):
        Trading(sprad=0.1)


# Documentation and image


def test_the_page_lists_every_feature_in_order():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(54))
    assert [name for _, name in rows] == _market.feature_names()


@pytest.mark.slow
@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
def test_the_pages_example_works_as_pasted(code, run_python):
    assert run_python(code).stdout


def test_image():
    for arguments in ({}, {"symbols": 5}, {"data": DATA}):
        env = Trading(jit=False, **arguments)
        env.reset(seed=0)
        image = env.render()
        assert (image.shape, image.dtype) == ((480, 720, 3), np.uint8)
        for _ in range(3):
            env.step(np.full(env.action_space.shape, BUY))
        assert (env.render() != image).any()
