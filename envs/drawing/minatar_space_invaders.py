"""Images of `minatar_space_invaders`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.drawing._minatar import draw
from puffer_numba.envs.minatar_space_invaders import MinAtarSpaceInvaders
from puffer_numba.render.canvas import AMBER, CORAL, FOREGROUND, TEAL, Frame

COLORS = (
    TEAL,  # cannon
    CORAL,  # alien
    CORAL,  # alien_left
    CORAL,  # alien_right
    FOREGROUND,  # friendly_bullet
    AMBER,  # enemy_bullet
)


def render_env(s: Any, p: Any, i: int) -> Frame:
    return draw(MinAtarSpaceInvaders, COLORS, s, p, i)
