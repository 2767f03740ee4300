"""Images of `minatar_seaquest`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.drawing._minatar import draw
from puffer_numba.envs.minatar_seaquest import MinAtarSeaquest
from puffer_numba.render.canvas import AMBER, CORAL, FOREGROUND, TEAL, Frame

COLORS = (
    TEAL,  # sub_front
    (24, 128, 118),  # sub_back
    FOREGROUND,  # friendly_bullet
    (58, 74, 94),  # trail
    (244, 114, 182),  # enemy_bullet
    CORAL,  # enemy_fish
    (190, 60, 90),  # enemy_sub
    (125, 180, 240),  # oxygen_gauge
    (180, 130, 30),  # diver_gauge
    AMBER,  # diver
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    return draw(MinAtarSeaquest, COLORS, s, p, i)
