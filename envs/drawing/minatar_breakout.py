"""Images of `minatar_breakout`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.drawing._minatar import draw
from puffer_numba.envs.minatar_breakout import MinAtarBreakout
from puffer_numba.render.canvas import AMBER, FOREGROUND, TEAL, Frame

COLORS = (
    TEAL,  # paddle
    FOREGROUND,  # ball
    (84, 100, 120),  # trail
    AMBER,  # brick
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    return draw(MinAtarBreakout, COLORS, s, p, i)
