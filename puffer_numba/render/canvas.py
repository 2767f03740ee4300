"""A canvas to draw environments on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Color = tuple[int, int, int]
Point = tuple[float, float]
BACKGROUND: Color = (14, 22, 32)
GRID: Color = (38, 52, 68)
FOREGROUND: Color = (226, 232, 240)
TEAL: Color = (45, 212, 191)
CORAL: Color = (251, 113, 99)
AMBER: Color = (251, 191, 36)
_OVERSAMPLING = 2


class Canvas:
    """A picture of ``width x height`` pixels, the origin at the top left.

    Drawn larger and scaled down, for smooth edges.

    Raises:
        ImportError: Pillow is missing; the message names the extra that brings it.
    """

    def __init__(self, width: int, height: int, background: Color = BACKGROUND) -> None:
        try:
            from PIL import Image, ImageDraw
        except ImportError as error:
            raise ImportError('drawing needs Pillow: pip install "puffer_numba[render]"') from error
        self._image = Image.new("RGB", (width * _OVERSAMPLING, height * _OVERSAMPLING), background)
        self._draw = ImageDraw.Draw(self._image)

    def rectangle(self, x: float, y: float, width: float, height: float, color: Color, radius: float = 0) -> None:
        """A filled rectangle with its top left corner at (x, y)."""
        box = _scaled([(x, y), (x + width, y + height)])
        self._draw.rounded_rectangle(box, radius * _OVERSAMPLING, fill=color)

    def circle(self, x: float, y: float, radius: float, color: Color) -> None:
        """A filled circle."""
        self._draw.ellipse(_scaled([(x - radius, y - radius), (x + radius, y + radius)]), fill=color)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """A filled polygon."""
        self._draw.polygon(_scaled(points), fill=color)

    def line(self, start: Point, end: Point, color: Color, width: float = 1) -> None:
        """A straight line with round ends."""
        self._draw.line(_scaled([start, end]), fill=color, width=max(1, round(width * _OVERSAMPLING)))
        for x, y in (start, end):
            self.circle(x, y, width / 2, color)

    def polyline(self, points: Sequence[Point], color: Color, width: float = 1) -> None:
        """Lines from each point to the next, with rounded corners."""
        self._draw.line(_scaled(points), fill=color, width=max(1, round(width * _OVERSAMPLING)), joint="curve")

    def text(self, x: float, y: float, text: str, color: Color = FOREGROUND, size: float = 14) -> None:
        """Text with its top left corner at (x, y)."""
        from PIL import ImageFont

        self._draw.text(_scaled([(x, y)])[0], text, fill=color, font=ImageFont.load_default(size * _OVERSAMPLING))

    def array(self) -> NDArray[np.uint8]:
        """The picture: uint8 (height, width, 3)."""
        return np.asarray(self._image.reduce(_OVERSAMPLING))


def _scaled(points: Sequence[Point]) -> list[Any]:
    return [(x * _OVERSAMPLING, y * _OVERSAMPLING) for x, y in points]
