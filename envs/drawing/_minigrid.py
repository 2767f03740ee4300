"""Images of MiniGrid's environments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from puffer_numba.envs._minigrid import (
    CLOSED,
    DONE,
    DOOR,
    DROP,
    FORWARD,
    GOAL,
    IMAGE,
    IMAGE_END,
    KEY,
    LEFT,
    LOCKED,
    PICKUP,
    RIGHT,
    SIDE,
    STATE,
    TOGGLE,
    VIEW,
    WALL,
    heading,
)
from puffer_numba.render.canvas import AMBER, BACKGROUND, CORAL, FOREGROUND, GRID, TEAL, Canvas, Color, Frame

RENDER_FPS = 10
KEYS = {
    "left": LEFT,
    "right": RIGHT,
    "up": FORWARD,
    "tab": PICKUP,
    "left shift": DROP,
    "space": TOGGLE,
    "return": DONE,
}

_FLOOR: Color = (24, 35, 48)
_STONE: Color = (100, 116, 139)


def draw(
    cells: NDArray[np.int32], x: int, y: int, direction: int, carries: bool, observation: NDArray[np.uint8]
) -> Frame:
    """The image of a grid ``(size, size)``; cells that the agent sees, by its flat observation, are lighter."""
    size = len(cells)
    image = observation[IMAGE:IMAGE_END].reshape(VIEW, VIEW, 3)
    pixels = max(6, 480 // size)
    canvas = Canvas(size * pixels, size * pixels)
    ahead_x, ahead_y = heading(direction)
    seen = set()
    for side, k in np.argwhere(image[:, :, 0] > 0).tolist():
        distance, aside = VIEW - 1 - k, side - SIDE
        seen.add((x + ahead_x * distance - ahead_y * aside, y + ahead_y * distance + ahead_x * aside))
    for row, column in np.ndindex(size, size):
        _draw_cell(canvas, int(cells[row, column]), column * pixels, row * pixels, pixels, (column, row) in seen)
    middle = (x + 0.5) * pixels, (y + 0.5) * pixels
    points = [
        (middle[0] + (ahead_x * a - ahead_y * b) * pixels, middle[1] + (ahead_y * a + ahead_x * b) * pixels)
        for a, b in ((0.36, 0.0), (-0.28, 0.3), (-0.28, -0.3))
    ]
    canvas.polygon(points, TEAL)
    if carries:
        _draw_key(canvas, middle[0] - pixels / 4, middle[1] - pixels / 4, pixels / 2, BACKGROUND)
    return canvas.array()


def _draw_cell(canvas: Canvas, cell: int, x: float, y: float, pixels: float, seen: bool) -> None:
    inner, radius = pixels - 2, pixels / 10
    canvas.rectangle(x + 1, y + 1, inner, inner, GRID if seen else _FLOOR, radius)
    if cell == WALL:
        canvas.rectangle(x, y, pixels, pixels, _STONE)
    elif cell == GOAL:
        canvas.rectangle(x + 1, y + 1, inner, inner, (74, 222, 128), radius)
    elif cell == KEY:
        _draw_key(canvas, x, y, pixels, AMBER)
    elif cell == DOOR:
        canvas.rectangle(x, y, pixels * 0.16, pixels, AMBER)
    elif cell in (DOOR + CLOSED * STATE, DOOR + LOCKED * STATE):
        canvas.rectangle(x, y, pixels, pixels, AMBER)
        frame = pixels * 0.1
        canvas.rectangle(x + frame, y + frame, pixels - 2 * frame, pixels - 2 * frame, (120, 84, 22))
        if cell == DOOR + LOCKED * STATE:
            canvas.circle(x + pixels / 2, y + pixels * 0.42, pixels * 0.12, CORAL)
            canvas.rectangle(x + pixels * 0.45, y + pixels * 0.45, pixels * 0.1, pixels * 0.28, CORAL)
        else:
            canvas.circle(x + pixels * 0.76, y + pixels / 2, pixels * 0.07, FOREGROUND)


def _draw_key(canvas: Canvas, x: float, y: float, pixels: float, color: Color) -> None:
    canvas.circle(x + pixels * 0.5, y + pixels * 0.3, pixels * 0.17, color)
    canvas.circle(x + pixels * 0.5, y + pixels * 0.3, pixels * 0.07, GRID)
    canvas.rectangle(x + pixels * 0.46, y + pixels * 0.44, pixels * 0.09, pixels * 0.42, color)
    for tooth in (0.62, 0.76):
        canvas.rectangle(x + pixels * 0.5, y + pixels * tooth, pixels * 0.17, pixels * 0.08, color)
