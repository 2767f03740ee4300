"""Images of `snake`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs.snake import BODY, CORPSE, EMPTY, FOOD
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 10
KEYS = {"up": 0, "down": 1, "left": 2, "right": 3}

COLORS: tuple[Color, ...] = (TEAL, CORAL, (167, 120, 245), (132, 204, 80), (96, 145, 250), (249, 146, 60))


def render_env(s: Any, p: Any, i: int) -> Frame:
    size, vision = int(p.size), int(p.vision)
    cell = max(4, 480 // size)
    width = size + 2 * vision
    canvas = Canvas(size * cell + 8, size * cell + 8, GRID)
    canvas.rectangle(4, 4, size * cell, size * cell, BACKGROUND)
    board = s.board[i].reshape(width, width)[vision : vision + size, vision : vision + size]
    heads = set(s.head[i].tolist())
    for row, column in np.argwhere(board != EMPTY).tolist():
        v = int(board[row, column])
        x, y = 4 + column * cell, 4 + row * cell
        if v in (FOOD, CORPSE):
            radius = cell * (0.3 if v == FOOD else 0.2)
            canvas.circle(x + cell / 2, y + cell / 2, radius, AMBER if v == FOOD else FOREGROUND)
            continue
        color = COLORS[(BODY - v) % len(COLORS)]
        canvas.rectangle(x + 0.5, y + 0.5, cell - 1, cell - 1, color, radius=cell / 4)
        if (row + vision) * width + column + vision in heads:
            for eye in (0.32, 0.68):
                canvas.circle(x + cell * eye, y + cell * 0.4, max(1, cell / 9), BACKGROUND)
    return canvas.array()
