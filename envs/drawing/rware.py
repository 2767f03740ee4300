"""Images of `rware`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs.rware import GOAL, REQUESTED, SHELF, SHELF_PLACE
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 10

SHELF_COLOR: Color = (84, 104, 128)


def render_env(s: Any, p: Any, i: int) -> Frame:
    """Shelves, amber where they are asked for; goals are outlined. Robots are teal, and coral with a shelf."""
    height, width = p.layout.shape
    size = max(8, 640 // max(height, width))
    canvas = Canvas(width * size, height * size)
    robots = {int(cell): a for a, cell in enumerate(s.cell[i])}
    for (row, column), cell in np.ndenumerate(p.cells.reshape(height, width)):
        x, y = column * size, row * size
        kind, content = int(p.layout[row, column]), int(s.grid[i, cell])
        canvas.rectangle(x + 1, y + 1, size - 2, size - 2, FOREGROUND if kind == GOAL else GRID, size / 8)
        if kind != SHELF_PLACE:
            canvas.rectangle(x + 2, y + 2, size - 4, size - 4, BACKGROUND, size / 10)
        if content & SHELF:
            color = AMBER if content & REQUESTED else SHELF_COLOR
            canvas.rectangle(x + size * 0.1, y + size * 0.1, size * 0.8, size * 0.8, color, size / 10)
        if int(cell) in robots:
            a = robots[int(cell)]
            middle = (x + size / 2, y + size / 2)
            canvas.circle(*middle, size * 0.3, CORAL if s.loaded[i, a] else TEAL)
            dx, dy = ((0, -1), (0, 1), (-1, 0), (1, 0))[int(s.direction[i, a])]
            nose = (middle[0] + dx * size * 0.28, middle[1] + dy * size * 0.28)
            canvas.line(middle, nose, BACKGROUND, size / 12)
    return canvas.array()
