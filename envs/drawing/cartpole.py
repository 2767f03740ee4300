"""Images of `cartpole`."""

from __future__ import annotations

import math
from typing import Any

from puffer_numba.render.canvas import AMBER, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 50
KEYS = {"left": 0, "right": 1}


def render_env(s: Any, p: Any, i: int) -> Frame:
    width, height, track = 600, 400, 300
    scale = width / (2 * float(p.x_limit) * 1.1)
    cart = width / 2 + float(s.x[i]) * scale
    theta = float(s.theta[i])
    tip = 2 * float(p.half_length) * scale
    hinge = (cart, track - 24)
    canvas = Canvas(width, height)
    canvas.rectangle(0, track, width, 2, GRID)
    for edge in (-p.x_limit, p.x_limit):
        canvas.rectangle(width / 2 + float(edge) * scale - 1, track - 14, 2, 28, CORAL)
    canvas.rectangle(cart - 34, track - 30, 68, 24, FOREGROUND, radius=5)
    for wheel in (-20, 20):
        canvas.circle(cart + wheel, track - 6, 6, GRID)
    canvas.line(hinge, (hinge[0] + tip * math.sin(theta), hinge[1] - tip * math.cos(theta)), TEAL, 9)
    canvas.circle(*hinge, 5, AMBER)
    return canvas.array()
