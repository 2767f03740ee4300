"""Images of MinAtar's games: the observation, with a colour for each channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from puffer_numba.envs._minatar import SIZE, MinAtar
from puffer_numba.render.canvas import GRID, Canvas, Color, Frame

RENDER_FPS = 10

CELL = 40  # pixels


def draw(game: type[MinAtar], colors: Sequence[Color], s: Any, p: Any, i: int) -> Frame:
    """Environment ``i`` of a game; where several channels are set in a cell, the first one is on top."""
    observation = np.zeros((1, SIZE, SIZE, len(game.channels)), np.uint8)
    observe: Callable[..., None] = game.observe_env
    with np.errstate(over="ignore"):  # as in kernels
        observe(type(s)(*(field[i : i + 1] for field in s)), p, 0, observation)
    canvas = Canvas(SIZE * CELL, SIZE * CELL)
    for row in range(SIZE):
        for column in range(SIZE):
            here = np.flatnonzero(observation[0, row, column])
            color = colors[here[0]] if len(here) else GRID
            x, y = column * CELL + 1, row * CELL + 1
            canvas.rectangle(x, y, CELL - 2, CELL - 2, color, radius=6 if len(here) else 3)
    return canvas.array()
