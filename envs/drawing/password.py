"""Images of `password`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4


def render_env(s: Any, p: Any, i: int) -> Frame:
    """The password above, what was said below: right digits in one color, wrong ones in another."""
    cell, length, tick = 64, int(p.length), int(s.tick[i])
    canvas = Canvas(length * cell + 16, 2 * cell + 16)
    for k in range(length):
        right, said = (int(word) >> k & 1 for word in (p.password, s.said[i]))
        color = GRID if k >= tick else TEAL if said == right else CORAL
        for row, (digit, fill) in enumerate([(right, GRID), (said if k < tick else "", color)]):
            x, y = 8 + k * cell, 8 + row * cell
            canvas.rectangle(x + 3, y + 3, cell - 6, cell - 6, fill, radius=8)
            canvas.text(x + 23, y + 13, str(digit), FOREGROUND if fill == GRID else BACKGROUND, 30)
    return canvas.array()
