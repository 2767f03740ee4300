"""Images of `memory`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4


def render_env(s: Any, p: Any, i: int) -> Frame:
    """Above the sequence as far as it was shown, below what was said: right and wrong in two colors."""
    cell, length, tick = 64, int(p.mem_length), int(s.tick[i])
    canvas = Canvas(length * cell + 16, 2 * cell + 16)
    for k in range(length):
        digit, said = int(s.digits[i, k]), int(s.said[i, k]) - 1
        shown = (str(digit) if k <= tick else "", AMBER if k == tick else GRID)
        answer = ("", GRID) if said < 0 else (str(said), TEAL if said == digit else CORAL)
        for row, (text, fill) in enumerate((shown, answer)):
            x, y = 8 + k * cell, 8 + row * cell
            canvas.rectangle(x + 3, y + 3, cell - 6, cell - 6, fill, radius=8)
            canvas.text(x + 23, y + 13, text, FOREGROUND if fill == GRID else BACKGROUND, 30)
    return canvas.array()
