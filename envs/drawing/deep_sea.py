"""Images and text of `deep_sea`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import AMBER, GRID, TEAL, Canvas, Frame

RENDER_FPS = 8


def ansi_env(s: Any, p: Any, i: int) -> str:
    size = int(p.size)
    sea = [["."] * size for _ in range(size)]
    sea[-1][-1] = "$"
    if s.row[i] < size:
        sea[int(s.row[i])][int(s.column[i])] = "x"
    return "\n".join([*map("".join, sea), ""])


def render_env(s: Any, p: Any, i: int) -> Frame:
    count = int(p.size)
    size = max(4, 480 // count)
    canvas = Canvas(count * size, count * size)
    for row in range(count):
        for column in range(count):
            shade = 0.35 + 0.65 * (1 - row / count)
            color = (round(GRID[0] * shade), round(GRID[1] * 1.4 * shade), round(GRID[2] * 1.6 * shade))
            canvas.rectangle(column * size + 1, row * size + 1, size - 2, size - 2, color, size / 10)
    chest = (count - 1) * size
    canvas.rectangle(chest + size * 0.2, chest + size * 0.35, size * 0.6, size * 0.45, AMBER, size / 10)
    if s.row[i] < count:
        canvas.circle((s.column[i] + 0.5) * size, (s.row[i] + 0.5) * size, size * 0.28, TEAL)
    return canvas.array()
