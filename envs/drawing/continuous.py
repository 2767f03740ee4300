"""Images of `continuous`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 10
KEYS = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, 1.0),
    "down": (0.0, -1.0),
    "": (0.0, 0.0),
}


def render_env(s: Any, p: Any, i: int) -> Frame:
    size, margin = 400, 20
    scale = size / 2 - margin

    def at(x: Any, y: Any) -> tuple[float, float]:
        return size / 2 + scale * float(x), size / 2 - scale * float(y)

    canvas = Canvas(size, size)
    canvas.rectangle(margin, margin, 2 * scale, 2 * scale, GRID, radius=8)
    canvas.circle(*at(s.target_x[i], s.target_y[i]), float(p.radius) * scale, CORAL)
    here = at(s.x[i], s.y[i])
    canvas.line(here, at(s.x[i] + s.vx[i], s.y[i] + s.vy[i]), FOREGROUND, 3)
    canvas.circle(*here, 8, TEAL)
    return canvas.array()
