"""Images of `minatar_asterix`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.drawing._minatar import draw
from puffer_numba.envs.minatar_asterix import MinAtarAsterix
from puffer_numba.render.canvas import AMBER, CORAL, TEAL, Frame

COLORS = (
    TEAL,  # player
    CORAL,  # enemy
    (84, 100, 120),  # trail
    AMBER,  # gold
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    return draw(MinAtarAsterix, COLORS, s, p, i)
