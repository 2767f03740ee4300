"""Images of `pendulum`."""

from __future__ import annotations

import math
from typing import Any

from puffer_numba.render.canvas import AMBER, CORAL, GRID, TEAL, Canvas, Frame

KEYS = {"left": -2.0, "": 0.0, "right": 2.0}


def render_env(s: Any, p: Any, i: int) -> Frame:
    size, length = 400, 150
    theta, middle = float(s.theta[i]), (200.0, 200.0)
    tip = (middle[0] + length * math.sin(theta), middle[1] - length * math.cos(theta))
    canvas = Canvas(size, size)
    canvas.circle(*middle, length + 14, GRID)
    canvas.circle(*middle, length + 11, (14, 22, 32))
    canvas.line(middle, tip, TEAL, 16)
    canvas.circle(*tip, 14, CORAL)
    canvas.circle(*middle, 6, AMBER)
    return canvas.array()
