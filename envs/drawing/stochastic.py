"""Images of `stochastic`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import AMBER, CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4


def render_env(s: Any, p: Any, i: int) -> Frame:
    """A bar for the share of action 0, and a line where it is to be."""
    width, height = 480, 120
    share, wanted = float(s.share[i]), float(p.p)
    canvas = Canvas(width, height)
    canvas.rectangle(20, 40, width - 40, 40, GRID, radius=6)
    canvas.rectangle(20, 40, (width - 40) * share, 40, TEAL if abs(share - wanted) < 0.05 else CORAL, radius=6)
    canvas.rectangle(20 + (width - 40) * wanted - 2, 28, 4, 64, AMBER)
    return canvas.array()
