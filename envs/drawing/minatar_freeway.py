"""Images of `minatar_freeway`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.drawing._minatar import draw
from puffer_numba.envs.minatar_freeway import MinAtarFreeway
from puffer_numba.render.canvas import AMBER, CORAL, Frame

COLORS = (
    AMBER,  # chicken
    CORAL,  # car
    (122, 62, 62),  # speed 1
    (106, 58, 62),  # speed 2
    (92, 54, 62),  # speed 3
    (78, 50, 62),  # speed 4
    (66, 48, 62),  # speed 5
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    return draw(MinAtarFreeway, COLORS, s, p, i)
