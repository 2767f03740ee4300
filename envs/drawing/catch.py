"""Images and text of `catch`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 8
KEYS = {"left": 0, "": 1, "right": 2}


def ansi_env(s: Any, p: Any, i: int) -> str:
    board = [["."] * int(p.columns) for _ in range(int(p.rows))]
    board[int(s.ball_row[i])][int(s.ball_column[i])] = "o"
    caught = s.ball_row[i] == p.rows - 1 and s.paddle[i] == s.ball_column[i]
    board[-1][int(s.paddle[i])] = "@" if caught else "="
    return "\n".join([*map("".join, board), ""])


def render_env(s: Any, p: Any, i: int) -> Frame:
    rows, columns = int(p.rows), int(p.columns)
    size = max(4, 480 // max(rows, columns))
    canvas = Canvas(columns * size, rows * size)
    for k in range(rows * columns):
        canvas.rectangle(k % columns * size + 1, k // columns * size + 1, size - 2, size - 2, GRID, size / 10)
    left, top = int(s.paddle[i]) * size, (rows - 1) * size
    canvas.rectangle(left + size * 0.06, top + size * 0.66, size * 0.88, size * 0.22, TEAL, size / 10)
    canvas.circle((s.ball_column[i] + 0.5) * size, (s.ball_row[i] + 0.4) * size, size * 0.24, CORAL)
    return canvas.array()
