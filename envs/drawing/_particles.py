"""Images of the particle environments."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.render.canvas import BACKGROUND, FOREGROUND, GRID, Canvas, Color


class Ground:
    """An image of the plane around the origin, as much of it as bodies are on."""

    PIXELS = 400

    def __init__(self, positions: Any) -> None:
        """Of bodies ``(n, 2)``."""
        self.canvas = Canvas(self.PIXELS, self.PIXELS)
        reach = max(1.0, float(np.nanmax(np.abs(positions))))
        self._scale = 0.45 * self.PIXELS / (reach + 0.1)
        side = 2 * self._scale
        corner = (self.PIXELS - side) / 2
        self.canvas.rectangle(corner - 2, corner - 2, side + 4, side + 4, GRID, radius=6)
        self.canvas.rectangle(corner, corner, side, side, BACKGROUND, radius=5)

    def body(self, position: Any, radius: float, color: Color, velocity: Any = (0.0, 0.0)) -> None:
        """A disc; a line from its middle says where it goes within a fifth of a second."""
        x, y = self._pixels(position)
        self.canvas.circle(x, y, radius * self._scale, color)
        if np.hypot(*velocity) > 0.05:
            ahead = self._pixels(np.asarray(position) + 0.2 * np.asarray(velocity))
            self.canvas.line((x, y), ahead, FOREGROUND, 2)

    def _pixels(self, position: Any) -> tuple[float, float]:
        x, y = (float(v) * self._scale for v in position)
        return self.PIXELS / 2 + x, self.PIXELS / 2 - y
