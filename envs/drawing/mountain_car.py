"""Images of `mountain_car`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from puffer_numba.render.canvas import AMBER, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

KEYS = {"left": 0, "": 1, "right": 2}


def render_env(s: Any, p: Any, i: int) -> Frame:
    width, height = 600, 400
    scale = width / float(p.max_position - p.min_position)

    def at(position: float) -> tuple[float, float]:
        return (position - float(p.min_position)) * scale, height - 60 - (math.sin(3 * position) + 1) * 0.45 * scale

    positions = np.linspace(float(p.min_position), float(p.max_position), 100).tolist()
    canvas = Canvas(width, height)
    canvas.polygon([(0, height), *map(at, positions), (width, height)], GRID)
    x, y = at(float(p.goal_position))
    canvas.line((x, y), (x, y - 60), FOREGROUND, 2)
    canvas.polygon([(x, y - 60), (x + 28, y - 51), (x, y - 42)], AMBER)
    slope = math.atan(math.cos(3 * float(s.position[i])) * 3 * 0.45)
    x, y = at(float(s.position[i]))

    def on_car(forward: float, up: float) -> tuple[float, float]:
        turn = (math.cos(slope), math.sin(slope))
        return x + forward * turn[0] - up * turn[1], y - forward * turn[1] - up * turn[0]

    canvas.polygon([on_car(-26, 10), on_car(26, 10), on_car(20, 28), on_car(-20, 28)], TEAL)
    for forward in (-15, 15):
        canvas.circle(*on_car(forward, 8), 8, CORAL)
    return canvas.array()
