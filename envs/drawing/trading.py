"""Images of `trading`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs._market import HISTORY, WINDOW
from puffer_numba.envs.trading import BUY, HOLD, SELL
from puffer_numba.render.canvas import AMBER, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 8
KEYS = {"down": SELL, "": HOLD, "up": BUY}

MUTED: Color = (120, 136, 156)


def render_env(s: Any, p: Any, i: int) -> Frame:
    tick, symbols = int(s.tick[i]), s.close.shape[1]
    shown = min(symbols, 3)
    width, height, top, foot = 720, 480, 56, 96
    canvas = Canvas(width, height)
    clock = tick + WINDOW
    slots = np.arange(clock - HISTORY + 1, clock + 1) % HISTORY
    panel = (height - top - foot) / shown
    for k in range(shown):
        prices = s.close[i, k] * np.exp(s.history[i, k, slots] - s.history[i, k, slots[-1]])
        lots = np.where(np.arange(HISTORY) >= HISTORY - tick, s.lots_history[i, k, slots], 0)
        box = (16, top + k * panel, width - 96, panel - 12)
        _draw_prices(canvas, box, prices, lots, float(s.entry[i, k]) if s.lots[i, k] else None)
    money = s.equity_history[i, slots[max(HISTORY - tick, 0) :]] if tick else s.equity[i : i + 1]
    _draw_line(canvas, (16, height - foot, width - 96, foot - 14), money, float(p.cash), AMBER)
    position = (
        "flat" if not s.lots[i].any() else ", ".join(f"{lot:+d}" if lot else "0" for lot in s.lots[i, :6].tolist())
    )
    profit = float(s.equity[i]) / float(p.cash) - 1
    canvas.text(16, 16, f"{float(s.equity[i]):,.2f}", AMBER, 20)
    canvas.text(150, 20, f"{profit:+.2%}", TEAL if profit >= 0 else CORAL, 15)
    canvas.text(250, 20, f"realized {float(s.realized_pnl[i]):+,.2f}", FOREGROUND, 15)
    canvas.text(430, 20, f"lots {position}", FOREGROUND, 15)
    canvas.text(width - 104, 20, f"{tick} / {int(p.max_ticks)}", MUTED, 15)
    return canvas.array()


def _draw_prices(
    canvas: Canvas, box: tuple[float, float, float, float], prices: Any, lots: Any, entry: float | None
) -> None:
    """A symbol's prices, coloured by the position that was held, and at what price the present one was entered."""
    inside = [entry] if entry is not None else []
    at = _frame(canvas, box, [*prices.tolist(), *inside])
    points = [at(j / (len(prices) - 1), price) for j, price in enumerate(prices.tolist())]
    bottom = box[1] + box[3]
    for j in range(len(points) - 1):  # the area below, darker than the line
        color = _position_color(lots[j + 1])
        shade: Any = tuple((2 * b + c) // 3 if lots[j + 1] else b for b, c in zip(GRID, color, strict=True))
        canvas.polygon([points[j], points[j + 1], (points[j + 1][0], bottom), (points[j][0], bottom)], shade)
    for j in range(len(points) - 1):
        canvas.line(points[j], points[j + 1], _position_color(lots[j + 1]), 2.5)
    canvas.circle(points[-1][0], points[-1][1], 4, FOREGROUND)
    canvas.text(box[0] + box[2] + 8, points[-1][1] - 8, f"{prices[-1]:.5g}", FOREGROUND, 13)
    if entry is not None:
        left, y = at(0, entry)
        for dash in range(int(left), int(box[0] + box[2]), 12):
            canvas.rectangle(dash, y - 1, 6, 2, AMBER)


def _draw_line(
    canvas: Canvas, box: tuple[float, float, float, float], values: Any, reference: float, color: Color
) -> None:
    """Equity, and what one started with."""
    values = [float(value) for value in values]
    at = _frame(canvas, box, [*values, reference])
    first = HISTORY - len(values)
    points = [at((first + j) / (HISTORY - 1), value) for j, value in enumerate(values)]
    y = at(0, reference)[1]
    canvas.rectangle(box[0], y, box[2], 1, MUTED)
    if len(points) > 1:
        canvas.polyline(points, color, 2.5)
    canvas.circle(points[-1][0], points[-1][1], 4, color)
    canvas.text(box[0] + box[2] + 8, points[-1][1] - 8, f"{values[-1]:,.0f}", color, 13)


def _frame(canvas: Canvas, box: tuple[float, float, float, float], values: list[float]) -> Any:
    """Grid lines, and a function from (part of the width, value) to a point."""
    x, y, width, height = box
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) + 1e-4 * abs(high)
    low, high = low - margin, high + margin
    for line in range(4):
        canvas.rectangle(x, y + line * height / 3, width, 1, GRID)

    def at(part: float, value: float) -> tuple[float, float]:
        return x + part * width, y + height * (high - value) / (high - low)

    return at


def _position_color(lots: Any) -> Color:
    return TEAL if lots > 0 else CORAL if lots < 0 else MUTED
