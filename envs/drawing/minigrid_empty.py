"""Images of `minigrid_empty`."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs._minigrid import room
from puffer_numba.envs.drawing._minigrid import draw
from puffer_numba.render.canvas import Frame


def render_env(s: Any, p: Any, i: int) -> Frame:
    x, y, direction = int(s.x[i]), int(s.y[i]), int(s.direction[i])
    observation = p.views[(y * p.size + x) * 4 + direction]
    return draw(room(int(p.size)), x, y, direction, False, observation)
