"""Images and text of `cliff_walking`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.cliff_walking import COLUMNS, ROWS
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4
KEYS = {"up": 0, "right": 1, "down": 2, "left": 3}


def ansi_env(s: Any, p: Any, i: int) -> str:
    grid = [["o"] * COLUMNS for _ in range(ROWS)]
    grid[-1][1:] = [*["C"] * (COLUMNS - 2), "T"]
    grid[int(s.row[i])][int(s.column[i])] = "x"
    return "\n".join([*map("  ".join, grid), "", ""])


def render_env(s: Any, p: Any, i: int) -> Frame:
    size = 60
    canvas = Canvas(COLUMNS * size, ROWS * size)
    for row in range(ROWS):
        for column in range(COLUMNS):
            cliff = row == ROWS - 1 and 0 < column < COLUMNS - 1
            x, y = column * size, row * size
            if cliff:  # rocks down in the dark
                canvas.rectangle(x, y, size, 5, CORAL)
                for left, height in ((4, 22), (24, 34), (42, 18)):
                    base = y + size
                    canvas.polygon([(x + left, base), (x + left + 9, base - height), (x + left + 18, base)], GRID)
            else:
                canvas.rectangle(x + 1, y + 1, size - 2, size - 2, GRID, 5)
    pole, top = (COLUMNS - 1) * size + 22, (ROWS - 1) * size + 12
    canvas.line((pole, top), (pole, top + 40), FOREGROUND, 3)
    canvas.polygon([(pole, top), (pole + 26, top + 9), (pole, top + 18)], AMBER)
    canvas.rectangle(8, (ROWS - 1) * size + 8, size - 16, size - 16, BACKGROUND, 5)
    canvas.circle((int(s.column[i]) + 0.5) * size, (int(s.row[i]) + 0.5) * size, 16, TEAL)
    return canvas.array()
