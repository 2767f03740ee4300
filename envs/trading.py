"""Trading: sell, hold or buy at every bar of a market, simulated or your own."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from puffer_numba.envs import _market
from puffer_numba.envs._market import (
    HISTORY,
    SYMBOL_FEATURES,
    WINDOW,
    AccountFeature,
    Feature,
    clip,
    component,
    next_bar,
    observe_market,
    soft,
    volatility,
)
from puffer_numba.envs._ohlcv import load_ohlcv, prepare_bars
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Count, Probability
from puffer_numba.jit.random import integer

float64 = np.float64
Money = Annotated[float, np.float64]
SELL, HOLD, BUY = range(3)
SIMULATED = ""
_NO_DATA = np.zeros((0, 0, 5))


class Trading(JitEnv):
    """Trade one symbol or several, on a simulated market or on your own prices, and gain what you can.

    - Observation: ``Box(-1, 1, (48 * symbols + 6,), float32)``, 54 features for one symbol, which `feature_names`
      names: for each symbol 44 of its market (returns, volatility, averages, oscillators, bars, volume) and 4 of the
      position in it; then 6 of the account. docs/trading.md defines each.
    - Action: ``Discrete(3)``: 0 sell, 1 hold, 2 buy; with several symbols ``MultiDiscrete([3] * symbols)``. An order is
      for one lot, and filled at the next bar's open, times 1 + ``spread`` / 2 to buy and 1 - ``spread`` / 2 to sell,
      for a ``fee`` on the value. An order that would exceed ``position_limit`` lots, held or sold short, is not filled.
    - Reward: the change of equity in percent of ``cash``: 100 * change / ``cash``.
    - Terminated: ruin: equity of ``ruin * cash`` or less.
    - Truncated: after ``max_ticks`` steps, 512 by default, or as many as the data have.
    - Start: no position; after 64 bars that warm up the features. Data: at a row uniform over those with ``max_ticks``
      rows to come. Simulated market: in a regime uniform over them, at ``price``.
    - Info: ``tick``, ``equity``, ``realized_pnl``. Equity is always cash plus the position at the last close; accounts
      are kept in float64, whatever ``dtype``.

    ``data`` is a path to a CSV or Parquet file with columns open, high, low, close and volume (several paths for
    several symbols), or an array (rows, 5) or (rows, symbols, 5); see `load_ohlcv`. Without it, each environment and
    symbol has a simulated market of its own: regimes of drift and volatility, between which it jumps at random. By
    default these trends last 67 bars and are far stronger than any real market's, so that there is something to learn.

    Source: none; the market follows Hamilton (1989) in its regimes and Kou (2002) in its jumps.
    """

    info = ("tick", "equity", "realized_pnl")
    metrics = ("equity", "realized_pnl", "trades")

    class State(NamedTuple):
        # account: money, in float64
        tick: int
        row: int  # of the data
        trades: int  # orders that were filled
        cash: np.float64
        equity: np.float64
        peak: np.float64  # the highest equity
        realized_pnl: np.float64
        lots: Annotated[int, "symbols"]  # less than 0: sold short
        lot_size: Annotated[np.float64, "symbols"]  # units of the symbol in a lot
        entry: Annotated[np.float64, "symbols"]  # average price of the position
        held: Annotated[int, "symbols"]  # ticks since the position was opened
        # market: the last bar; see _market
        regime: Annotated[np.uint8, "symbols"]
        open: Annotated[np.float64, "symbols"]
        close: Annotated[np.float64, "symbols"]
        bar: Annotated[float, "symbols", _market.BAR]
        ema: Annotated[float, "symbols", len(_market.EMA_WINDOWS)]  # log price less its average
        mean: Annotated[float, "symbols", _market.MEANS]
        # the last bars, as rings: for exact returns, and for the image
        history: Annotated[np.float64, "symbols", HISTORY]  # log prices
        lots_history: Annotated[np.int8, "symbols", HISTORY]
        equity_history: Annotated[np.float32, HISTORY]

    class Params(NamedTuple):
        symbols: Count = 1  # markets traded together from one account; with data, as many as they have
        max_ticks: int = 512  # steps of an episode
        cash: Annotated[Money, Gt(0), Lt(math.inf)] = 10_000.0  # at the start, in the currency of the prices
        position_limit: Annotated[int, Ge(1), Le(127)] = 2  # lots of each symbol that may be held, or sold short
        allow_short: bool = True  # whether one may sell what one has not
        leverage: Annotated[Money, Gt(0), Lt(math.inf)] = 1.0
        """position_limit lots of each symbol cost this many times cash, all together, at the start of an episode"""
        lot_size: Annotated[Money, Ge(0), Lt(math.inf)] = 0.0
        """units of a symbol in a lot (shares, coins); 0: as leverage has it"""
        spread: Annotated[Money, Ge(0), Le(0.5)] = 0.0002
        """between the prices to buy and to sell at, as a part of the price"""
        fee: Annotated[Money, Ge(0), Le(0.5)] = 0.0001  # of each order, as a part of its value
        ruin: Annotated[Money, Ge(0), Lt(1)] = 0.5  # the episode ends where no more than this part of cash is left
        price: Annotated[float, Ge(1e-3), Le(1e9)] = 100.0  # simulated: before the first bar
        drifts: NDArray[Any] = np.array([0.0, 0.002, -0.002, 0.0])  # simulated, (regimes,): mean log return of a bar
        volatilities: NDArray[Any] = np.array([0.008, 0.008, 0.008, 0.016])
        """simulated, (regimes,): standard deviation of a bar's log return"""
        reversions: NDArray[Any] = np.array([0.1, 0.0, 0.0, 0.0])
        """simulated, (regimes,): part of the distance to the average of 32 bars that a bar makes good"""
        switch_rate: Probability = 0.02
        """simulated: probability, at each bar, that the regime is chosen anew, uniform over all"""
        jump_rate: Probability = 0.005  # simulated: probability of a jump between close and open
        jump_size: Annotated[float, Ge(0), Le(0.5)] = 0.02  # simulated: mean absolute log return of a jump
        data: NDArray[np.float64] = _NO_DATA  # (rows, symbols, 5): open, high, low, close, volume; no rows: simulated

    class Tables(NamedTuple):
        bars: NDArray[np.float32]  # (rows, symbols, 5): the data as `prepare_bars` prepares them

    def __init__(
        self, num_envs: int = 1, *, data: Any = SIMULATED, max_episode_steps: Any = "default", **arguments: Any
    ) -> None:
        """As `JitEnv`; ``max_episode_steps`` is another name for ``max_ticks``.

        Raises:
            ValueError: impossible data, or a parameter out of bounds; the message says which, and what is allowed.
        """
        ticks = arguments.get("max_ticks", self.Params._field_defaults["max_ticks"])
        ticks = ticks if max_episode_steps == "default" else max_episode_steps
        if isinstance(ticks, bool) or not isinstance(ticks, int | np.integer) or not 1 <= ticks < 2**31:
            raise ValueError(f"Trading: parameter max_ticks is {ticks!r}; expected an integer of at least 1.")
        if _is_simulated(data):
            data = _NO_DATA
        else:
            data = load_ohlcv(data)
            if len(data) < WINDOW + 2:
                raise ValueError(
                    f"Trading: parameter data has {len(data)} rows; expected at least {WINDOW + 2}: a window of "
                    f"{WINDOW} that warms up the features, one to start at and one to go to."
                )
            arguments["symbols"] = _count_symbols(data, arguments.get("symbols", 1))
            ticks = min(ticks, len(data) - WINDOW - 1)
        arguments |= {"data": data, "max_ticks": ticks, "max_episode_steps": ticks}
        super().__init__(num_envs, **arguments)

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(-1.0, 1.0, (SYMBOL_FEATURES * p.symbols + len(AccountFeature),), np.float32)

    @staticmethod
    def single_action_space(p: Any) -> Any:
        return Discrete(3) if p.symbols == 1 else MultiDiscrete([3] * p.symbols)

    @classmethod
    def setup(cls, params: Any) -> Any:
        for name, minimum, maximum in (("drifts", -0.1, 0.1), ("volatilities", 0, 0.1), ("reversions", 0, 1)):
            values, regimes = getattr(params, name), len(params.drifts)
            if values.ndim != 1 or not 1 <= len(values) <= 255 or not ((values >= minimum) & (values <= maximum)).all():
                expected = f"1 to 255 regimes, each {minimum:g} to {maximum:g}"
                raise ValueError(f"Trading: parameter {name} is {values.tolist()}; expected {expected}.")
            if len(values) != regimes:
                raise ValueError(
                    f"Trading: parameter {name} has {len(values)} regimes; expected {regimes}, as drifts has."
                )
        return params

    @classmethod
    def tables(cls, params: Any) -> Any:
        return cls.Tables(prepare_bars(params.data) if len(params.data) else np.zeros((0, 0, 5), np.float32))

    def feature_names(self) -> list[str]:
        """Names of the observation's elements, in their order; docs/trading.md defines each."""
        return _market.feature_names(self.params.symbols)

    @kernel
    def reset_env(s, p, i, rng):
        rows = p.data.shape[0]
        s.row[i] = integer(rng, rows - WINDOW - p.max_ticks) if rows > 0 else 0
        for k in range(s.close.shape[1]):
            s.regime[i, k] = integer(rng, len(p.drifts))
            s.close[i, k] = p.data[s.row[i], k, 3] if rows > 0 else p.price
        for bar in range(1, WINDOW + 1):
            s.row[i] += 1
            for k in range(s.close.shape[1]):
                next_bar(s, p, i, k, rng, bar, 1.0 / float(bar))
        for k in range(s.close.shape[1]):
            lots = float64(s.close.shape[1] * p.position_limit) * s.close[i, k]  # as many would cost a lot of one unit
            s.lot_size[i, k] = p.leverage * p.cash / lots if p.lot_size == 0.0 else p.lot_size
        s.cash[i] = p.cash
        s.equity[i] = p.cash
        s.peak[i] = p.cash

    @kernel
    def step_env(s, p, i, action, rng):
        s.tick[i] += 1
        s.row[i] += 1
        clock = s.tick[i] + WINDOW
        value = float64(0)  # of all positions
        for k in range(s.close.shape[1]):
            next_bar(s, p, i, k, rng, clock, 0.0)
            fill(s, p, i, k, component(action, k) - HOLD)
            value += float64(s.lots[i, k]) * s.lot_size[i, k] * s.close[i, k]
            s.lots_history[i, k, clock & (HISTORY - 1)] = s.lots[i, k]
        equity = s.cash[i] + value
        reward = float(100.0 * (equity - s.equity[i]) / p.cash)
        s.equity[i] = equity
        s.peak[i] = max(s.peak[i], equity)
        s.equity_history[i, clock & (HISTORY - 1)] = equity
        return reward, equity <= p.ruin * p.cash

    @kernel
    def observe_env(s, p, i, obs):
        cash = p.cash
        value, unrealized = float64(0), float64(0)
        for k in range(s.close.shape[1]):
            first = k * SYMBOL_FEATURES
            mean = s.mean[i, k]
            observe_market(s.ema[i, k], mean, s.bar[i, k], s.history[i, k], s.tick[i] + WINDOW, obs[i], first)
            units = float64(s.lots[i, k]) * s.lot_size[i, k]
            profit = units * (s.close[i, k] - s.entry[i, k])
            obs[i, first + Feature.position] = float(s.lots[i, k]) / float(p.position_limit)
            obs[i, first + Feature.position_profit] = soft(float(profit / cash))
            obs[i, first + Feature.holding_time] = float(s.held[i, k]) / float(s.held[i, k] + 16)
            obs[i, first + Feature.spread] = float(p.spread) / (float(p.spread) + volatility(mean))
            value += units * s.close[i, k]
            unrealized += profit
        account = s.close.shape[1] * SYMBOL_FEATURES
        equity = s.equity[i]
        obs[i, account + AccountFeature.unrealized_pnl] = soft(float(unrealized / cash))
        obs[i, account + AccountFeature.realized_pnl] = soft(float(s.realized_pnl[i] / cash))
        obs[i, account + AccountFeature.equity] = soft(float((equity - cash) / cash))
        obs[i, account + AccountFeature.drawdown] = clip(float((s.peak[i] - equity) / s.peak[i]))
        obs[i, account + AccountFeature.exposure] = clip(float(0.5 * value / max(equity, 0.01 * cash)))
        obs[i, account + AccountFeature.time] = float(s.tick[i]) / float(p.max_ticks)


def fill(s: Any, p: Any, i: Any, k: Any, side: Any) -> None:
    """Buy a lot (side 1) or sell one (-1) at the bar's open, if the position may be that large; 0 does nothing.

    A position is entered at the average of its prices; what reduces it realizes the profit against that. The fee is
    part of the realized profit, whether the order opens or closes.
    """
    before = s.lots[i, k]
    lots = before + side
    side = side if (lots <= p.position_limit) & (lots >= (-p.position_limit if p.allow_short else 0)) else 0
    lots = before + side
    price = s.open[i, k] * (1.0 + 0.5 * float64(side) * p.spread)
    units = float64(side) * s.lot_size[i, k]
    fee = abs(units) * price * p.fee
    reduces = side * before < 0
    entry = s.entry[i, k]
    s.realized_pnl[i] -= fee + (units * (price - entry) if reduces else 0.0)
    s.cash[i] -= units * price + fee
    average = (entry * float64(abs(before)) + price * float64(abs(side))) / float64(max(abs(lots), 1))
    s.entry[i, k] = float64(0) if lots == 0 else entry if reduces else average
    s.held[i, k] = 0 if lots == 0 else s.held[i, k] + 1
    s.trades[i] += abs(side)
    s.lots[i, k] = lots


def _is_simulated(data: Any) -> bool:
    return (
        data is None or (isinstance(data, str) and data == SIMULATED) or getattr(data, "shape", None) == _NO_DATA.shape
    )


def _count_symbols(data: NDArray[np.float64], symbols: Any) -> int:
    found = data.shape[1]
    if symbols not in (1, found):
        raise ValueError(f"Trading: parameter symbols is {symbols!r}; expected {found}, as many as data have.")
    return found
