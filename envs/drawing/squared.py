"""Images of `squared`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 8
KEYS = {"down": 1, "up": 2, "left": 3, "right": 4}


def render_env(s: Any, p: Any, i: int) -> Frame:
    size = int(p.size)
    pixels = max(4, 440 // size)
    canvas = Canvas(size * pixels, size * pixels)
    for k in range(size * size):
        color = TEAL if k == s.row[i] * size + s.column[i] else CORAL if k == s.target[i] else GRID
        canvas.rectangle(k % size * pixels + 1, k // size * pixels + 1, pixels - 2, pixels - 2, color, pixels / 6)
    return canvas.array()
