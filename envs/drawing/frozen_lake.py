"""Images and text of `frozen_lake`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.utils import colorize

from puffer_numba.envs.frozen_lake import GOAL, HOLE, START
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 4
KEYS = {"left": 0, "down": 1, "right": 2, "up": 3}

ICE: Color = (74, 112, 140)


def ansi_env(s: Any, p: Any, i: int) -> str:
    lines = [[chr(letter) for letter in row] for row in p.desc.tolist()]
    row, column = divmod(int(s.cell[i]), p.desc.shape[1])
    lines[row][column] = colorize(lines[row][column], "red", highlight=True)
    title = ("", "  (Left)", "  (Down)", "  (Right)", "  (Up)")[int(s.last_action[i])]
    return "\n".join([title, *map("".join, lines), ""])


def render_env(s: Any, p: Any, i: int) -> Frame:
    rows, columns = p.desc.shape
    size = max(4, 480 // max(rows, columns))
    canvas = Canvas(columns * size, rows * size)
    agent = divmod(int(s.cell[i]), columns)
    for (row, column), tile in np.ndenumerate(p.desc):
        x, y = column * size, row * size
        middle = (x + size / 2, y + size / 2)
        canvas.rectangle(x + 1, y + 1, size - 2, size - 2, ICE, size / 12)
        if tile == HOLE:
            canvas.circle(*middle, size * 0.4, GRID)
            canvas.circle(middle[0], middle[1] + size * 0.04, size * 0.35, BACKGROUND)
        elif tile == GOAL:
            pole = x + size * 0.36
            canvas.line((pole, y + size * 0.2), (pole, y + size * 0.85), FOREGROUND, size / 24)
            flag = [(pole, y + size * 0.18), (x + size * 0.8, y + size * 0.33), (pole, y + size * 0.48)]
            canvas.polygon(flag, AMBER)
        elif tile == START:
            canvas.rectangle(x + size * 0.12, y + size * 0.12, size * 0.76, size * 0.76, GRID, size / 12)
            canvas.rectangle(x + size * 0.17, y + size * 0.17, size * 0.66, size * 0.66, ICE, size / 12)
        if (row, column) == agent:
            canvas.circle(*middle, size * 0.26, CORAL if tile == HOLE else TEAL)
    return canvas.array()
