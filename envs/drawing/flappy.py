"""Images of `flappy`."""

from __future__ import annotations

from typing import Any

from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Frame

RENDER_FPS = 30
KEYS = {"": 0, "space": 1, "up": 1}

VIEW = 1.05  # width of the image, in heights of the field


def render_env(s: Any, p: Any, i: int) -> Frame:
    size, ground, bird_x = 400, 14, 0.22
    canvas = Canvas(round(VIEW * size), size + ground)
    width, half = float(p.pipe_width) * size, float(p.gap_height) / 2
    for k, gap in enumerate((float(s.gap[i]), float(s.next_gap[i]))):
        x = (bird_x + float(s.distance[i]) + k * float(p.spacing)) * size
        upper, lower = (1 - gap - half) * size, (1 - gap + half) * size
        canvas.rectangle(x, -10, width, upper + 10, TEAL, radius=5)
        canvas.rectangle(x, lower, width, size - lower + 10, TEAL, radius=5)
        for y in (upper - 16, lower):
            canvas.rectangle(x - 4, y, width + 8, 16, TEAL, radius=4)
            canvas.rectangle(x - 4, y + (15 if y < upper else -1), width + 8, 2, BACKGROUND)
    canvas.rectangle(0, size, VIEW * size, ground, GRID)
    x, y, bird = bird_x * size, (1 - float(s.y[i])) * size, float(p.bird) * size
    tilt = -float(s.velocity[i]) / float(p.flap) * bird / 3
    canvas.rectangle(x - bird / 2, y - bird / 2, bird, bird, AMBER, radius=bird / 3)
    canvas.polygon([(x - bird * 0.45, y), (x + bird * 0.05, y), (x - bird * 0.5, y + tilt)], FOREGROUND)
    canvas.polygon([(x + bird * 0.4, y - 3), (x + bird * 0.75, y + 1), (x + bird * 0.4, y + 5)], CORAL)
    canvas.circle(x + bird * 0.2, y - bird * 0.18, 2.5, BACKGROUND)
    canvas.text(12, 8, str(int(s.passed[i])), FOREGROUND, 26)
    return canvas.array()
