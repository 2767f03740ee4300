"""Images and text of `nchain`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import AMBER, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4


def ansi_env(s: Any, p: Any, i: int) -> str:
    chain = ["o"] * int(p.n)
    chain[int(s.state[i])] = "x"
    return "-".join(chain) + "\n"


def render_env(s: Any, p: Any, i: int) -> Frame:
    shown = min(int(p.n), 20)  # of a longer chain, the part around the state
    first = min(max(int(s.state[i]) - shown // 2, 0), int(p.n) - shown)
    size = max(32, 600 // shown)
    canvas = Canvas(shown * size, size * 2)
    canvas.rectangle(0, size - 2, shown * size, 4, GRID)
    for k in range(shown):
        state = first + k
        x = (k + 0.5) * size
        color = AMBER if state == p.n - 1 else GRID
        canvas.circle(x, size, size * 0.36, color)
        if state == s.state[i]:
            canvas.circle(x, size, size * 0.26, TEAL)
        canvas.text(x - size * 0.06, size * 1.45, str(state), FOREGROUND, size * 0.18)
    return canvas.array()
