"""Images of `bandit`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 4


def render_env(s: Any, p: Any, i: int) -> Frame:
    """A circle for each arm: the one that was pulled is filled; a ring marks the one that pays."""
    cell, arms, pulled = 64, int(p.num_actions), int(s.arm[i]) - 1
    canvas = Canvas(arms * cell + 16, cell + 16)
    for arm in range(arms):
        x, y = 8 + (arm + 0.5) * cell, 8 + 0.5 * cell
        canvas.circle(x, y, 27, TEAL if arm == p.arm else GRID)
        canvas.circle(x, y, 23, BACKGROUND if arm != pulled else TEAL if arm == p.arm else CORAL)
        canvas.text(x - 7, y - 13, str(arm), BACKGROUND if arm == pulled else FOREGROUND, 22)
    return canvas.array()
