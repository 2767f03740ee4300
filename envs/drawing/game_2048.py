"""Images and text of `game_2048`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.game_2048 import CELLS, SIZE
from puffer_numba.render.canvas import BACKGROUND, FOREGROUND, GRID, Canvas, Color, Frame

RENDER_FPS = 4
KEYS = {"up": 0, "down": 1, "left": 2, "right": 3}

COLORS: tuple[Color, ...] = (
    (94, 116, 138),
    (94, 139, 151),
    (56, 163, 165),
    (45, 190, 172),
    (87, 204, 153),
    (163, 214, 84),
    (251, 191, 36),
    (249, 160, 50),
    (251, 133, 72),
    (251, 113, 99),
    (236, 88, 130),
    (190, 96, 220),
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    cell, margin, top = 96, 8, 44
    canvas = Canvas(SIZE * cell + 2 * margin, SIZE * cell + 2 * margin + top)
    canvas.text(margin + 6, 12, f"score {int(s.score[i])}", FOREGROUND, 22)
    for k, exponent in enumerate(s.board[i].tolist()):
        x, y = margin + k % SIZE * cell, margin + top + k // SIZE * cell
        color = COLORS[min(exponent, len(COLORS)) - 1] if exponent else GRID
        canvas.rectangle(x + 4, y + 4, cell - 8, cell - 8, color, radius=10)
        if exponent:
            text = str(1 << exponent)
            size = (40, 40, 36, 28, 24, 20)[len(text) - 1]
            canvas.text(x + cell / 2 - len(text) * size * 0.29, y + cell / 2 - size * 0.66, text, BACKGROUND, size)
    return canvas.array()


def ansi_env(s: Any, p: Any, i: int) -> str:
    cells = [str(1 << exponent) if exponent else "." for exponent in s.board[i].tolist()]
    lines = ["".join(cell.rjust(7) for cell in cells[k : k + SIZE]) for k in range(0, CELLS, SIZE)]
    return "\n".join([*lines, f"score {int(s.score[i])}"])
