"""Images of `grid_walk`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.grid_walk import DOWN, LEFT, RIGHT, UP
from puffer_numba.render.canvas import AMBER, GRID, TEAL, Canvas, Frame

KEYS = {"up": UP, "down": DOWN, "left": LEFT, "right": RIGHT}


def render_env(s: Any, p: Any, i: int) -> Frame:
    size = int(p.size)
    cell = max(4, 440 // size)
    canvas = Canvas(size * cell, size * cell)
    for k in range(size * size):
        canvas.rectangle(k % size * cell + 1, k // size * cell + 1, cell - 2, cell - 2, GRID, cell / 8)
    canvas.rectangle(s.goal_x[i] * cell + 1, s.goal_y[i] * cell + 1, cell - 2, cell - 2, AMBER, cell / 8)
    canvas.circle((s.x[i] + 0.5) * cell, (s.y[i] + 0.5) * cell, cell * 0.3, TEAL)
    return canvas.array()
