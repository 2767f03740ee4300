"""Images and text of `connect_four`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.connect_four import COLUMNS, ROWS, STRIDE
from puffer_numba.render.canvas import CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 2
KEYS = {str(column): column for column in range(7)}


def render_env(s: Any, p: Any, i: int) -> Frame:
    canvas = Canvas(COLUMNS * 60 + 20, ROWS * 60 + 20)
    canvas.rectangle(6, 6, COLUMNS * 60 + 8, ROWS * 60 + 8, GRID, radius=14)
    for row, column, player in _cells(s, i):
        color = (TEAL, CORAL, (14, 22, 32))[player]
        canvas.circle(10 + column * 60 + 30, 10 + row * 60 + 30, 24, color)
    return canvas.array()


def ansi_env(s: Any, p: Any, i: int) -> str:
    cells = ["XO."[player] for _, _, player in _cells(s, i)]
    lines = [" ".join(cells[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS)]
    return "\n".join([*lines, " ".join(map(str, range(COLUMNS))), f"{'XO'[s.turn[i]]} to move"])


def _cells(s: Any, i: int) -> list[tuple[int, int, int]]:
    """Row, column, and 0 or 1 for a player's piece there, or 2 for none."""
    cells = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            bit = STRIDE * column + ROWS - 1 - row
            mine = [int(s.pieces[i, player]) >> bit & 1 for player in range(2)]
            cells.append((row, column, mine.index(1) if any(mine) else 2))
    return cells
