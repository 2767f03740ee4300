"""Pictures of environments: a canvas to draw them on, a window to show them in, a GIF to keep them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.extras import require

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


def picture(env: PufferEnv) -> Frame:
    """What the first environment looks like: ``(height, width, 3)``.

    Raises:
        APIUsageError: it draws nothing.
    """
    frame = env.render()
    if frame is None:
        raise APIUsageError(f"{type(env).__name__} draws no pictures: its render() returns None.")
    return np.asarray(frame, np.uint8)


@contextmanager
def recorder(path: str | Path, fps: int) -> Iterator[Callable[[Frame], None]]:
    """A function that appends frames ``(height, width, 3)`` to a GIF."""
    imageio = require("imageio.v2", "render", "recording a GIF")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with imageio.get_writer(path, format="GIF", duration=1000 / fps, loop=0) as writer:
        yield writer.append_data


@contextmanager
def window(title: str, fps: int) -> Iterator[Callable[[Frame], set[str]]]:
    """A function that shows frames ``(height, width, 3)`` in a window, ``fps`` for each second.

    It returns the names of the keys that are held, or were pressed since the last frame. Closing the window, or
    Escape, raises `KeyboardInterrupt`.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    pygame = require("pygame", "render", "showing a window")
    pygame.display.init()
    pygame.display.set_caption(title)
    next_frame = time.perf_counter()
    held: set[str] = set()

    def show(frame: Frame) -> set[str]:
        nonlocal next_frame
        size = (frame.shape[1], frame.shape[0])
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        screen.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        pressed = set(held)
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                raise KeyboardInterrupt
            if event.type == pygame.KEYDOWN:
                pressed.add(pygame.key.name(event.key))
                held.add(pygame.key.name(event.key))
            elif event.type == pygame.KEYUP:
                held.discard(pygame.key.name(event.key))
        next_frame = max(next_frame + 1 / fps, time.perf_counter())
        time.sleep(max(0.0, next_frame - time.perf_counter()))
        return pressed

    try:
        yield show
    finally:
        pygame.display.quit()
