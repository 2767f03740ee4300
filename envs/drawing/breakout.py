"""Images of `breakout`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.render.canvas import AMBER, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 15
KEYS = {"": 0, "left": 1, "right": 2}

ROW_COLORS = (CORAL, (251, 146, 60), AMBER, (163, 214, 84), TEAL, (96, 165, 250))


def render_env(s: Any, p: Any, i: int) -> Frame:
    width, height = round(float(p.width)), round(float(p.height))
    canvas = Canvas(width, height)
    for k in np.flatnonzero(~s.broken[i]).tolist():
        row, column = divmod(k, int(p.columns))
        x, y = column * float(p.brick_width), float(p.top) + row * float(p.brick_height)
        color = ROW_COLORS[row % len(ROW_COLORS)]
        canvas.rectangle(x + 1, y + 1, float(p.brick_width) - 2, float(p.brick_height) - 2, color, radius=2)
    for ball in range(int(s.balls[i])):
        canvas.circle(18 + 16 * ball, 18, 5, FOREGROUND)
    canvas.text(width - 120, 8, f"bricks {int(s.bricks[i])}", FOREGROUND, 18)
    y = height - float(p.paddle_height) - 10
    canvas.rectangle(0, height - 2, width, 2, GRID)
    canvas.rectangle(float(s.paddle_x[i]), y, float(s.paddle_width[i]), float(p.paddle_height), TEAL, radius=4)
    half = float(p.ball) / 2
    canvas.rectangle(float(s.x[i]), float(s.y[i]), 2 * half, 2 * half, FOREGROUND, radius=half / 2)
    return canvas.array()
