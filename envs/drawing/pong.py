"""Images of `pong`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import AMBER, CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 15
KEYS = {"": 0, "up": 1, "down": 2}


def render_env(s: Any, p: Any, i: int) -> Frame:
    margin, scale = 20.0, 0.625
    width, height, ball, paddle = (float(value) for value in (p.width, p.height, p.ball, p.paddle))
    canvas = Canvas(round(width * scale + 2 * margin), round(height * scale))
    for dash in range(6, round(height * scale), 24):
        canvas.rectangle(margin + width * scale / 2 - 2, dash, 4, 12, GRID)
    for score, x in ((s.lost[i], 0.25), (s.points[i], 0.75)):
        canvas.text(margin + width * scale * x - 12, 10, str(score), GRID, 44)
    for low, x, color in ((s.left[i], margin - 10, CORAL), (s.right[i], margin + width * scale, TEAL)):
        canvas.rectangle(x, (height - float(low) - paddle) * scale, 10, paddle * scale, color, radius=3)
    x, y = margin + float(s.x[i]) * scale, (height - float(s.y[i]) - ball) * scale
    canvas.rectangle(x, y, ball * scale, ball * scale, AMBER, radius=5)
    return canvas.array()
