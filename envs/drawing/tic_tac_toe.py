"""Images and text of `tic_tac_toe`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.tic_tac_toe import CELLS
from puffer_numba.render.canvas import CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 2
KEYS = {key: cell for cell, key in enumerate("789456123")}  # as on a keypad


def render_env(s: Any, p: Any, i: int) -> Frame:
    canvas = Canvas(360, 360)
    for k in (1, 2):
        canvas.line((120 * k, 20), (120 * k, 340), GRID, 6)
        canvas.line((20, 120 * k), (340, 120 * k), GRID, 6)
    for cell in range(CELLS):
        x, y = cell % 3 * 120 + 60, cell // 3 * 120 + 60
        if s.marks[i, 0] >> cell & 1:
            canvas.line((x - 30, y - 30), (x + 30, y + 30), TEAL, 12)
            canvas.line((x - 30, y + 30), (x + 30, y - 30), TEAL, 12)
        elif s.marks[i, 1] >> cell & 1:
            canvas.circle(x, y, 38, CORAL)
            canvas.circle(x, y, 26, (14, 22, 32))
    return canvas.array()


def ansi_env(s: Any, p: Any, i: int) -> str:
    cells = ["X" if s.marks[i, 0] >> c & 1 else "O" if s.marks[i, 1] >> c & 1 else "." for c in range(CELLS)]
    lines = [" ".join(cells[row * 3 : row * 3 + 3]) for row in range(3)]
    return "\n".join([*lines, f"{'XO'[s.turn[i]]} to move"])
