"""Images of `multiagent`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4


def render_env(s: Any, p: Any, i: int) -> Frame:
    """A row for each agent: its own number, and under which one its last choice was."""
    cell, players = 48, int(p.players)
    canvas = Canvas(players * cell + 16, players * cell + 16)
    for a in range(players):
        for k in range(players):
            x, y = 8 + k * cell, 8 + a * cell
            picked = int(s.picked[i, a]) == k + 1
            color = GRID if not picked else TEAL if k == a else CORAL
            canvas.rectangle(x + 3, y + 3, cell - 6, cell - 6, color, radius=6)
            if k == a:
                canvas.text(x + 16, y + 10, str(a), BACKGROUND if picked else FOREGROUND, 22)
    return canvas.array()
