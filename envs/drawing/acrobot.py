"""Images of `acrobot`."""

from __future__ import annotations

import math
from typing import Any

from puffer_numba.render.canvas import AMBER, CORAL, GRID, TEAL, Canvas, Frame

RENDER_FPS = 15
KEYS = {"left": 0, "": 1, "right": 2}


def render_env(s: Any, p: Any, i: int) -> Frame:
    size, scale = 400, 90.0
    first, second = float(s.theta1[i]), float(s.theta1[i] + s.theta2[i])
    joint = (200.0, 200.0)
    elbow = (joint[0] + scale * math.sin(first), joint[1] + scale * math.cos(first))
    end = (elbow[0] + scale * math.sin(second), elbow[1] + scale * math.cos(second))
    canvas = Canvas(size, size)
    canvas.rectangle(0, joint[1] - scale - 1, size, 2, AMBER)
    canvas.line(joint, elbow, TEAL, 14)
    canvas.line(elbow, end, CORAL, 14)
    for x, y in (joint, elbow):
        canvas.circle(x, y, 5, GRID)
    return canvas.array()
