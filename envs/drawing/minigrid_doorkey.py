"""Images of `minigrid_doorkey`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs._minigrid import DOOR, KEY, STATE, WALL, MiniGrid, room
from puffer_numba.envs.drawing._minigrid import draw
from puffer_numba.envs.minigrid_doorkey import MiniGridDoorKey
from puffer_numba.render.canvas import Frame


def render_env(s: Any, p: Any, i: int) -> Frame:
    cells = room(int(p.size))
    cells[:, s.split[i]] = WALL
    cells[s.door_row[i], s.split[i]] = DOOR + s.door[i] * STATE
    carries = bool(s.key_x[i] == 0)
    if not carries:
        cells[s.key_y[i], s.key_x[i]] = KEY
    observation = np.zeros((i + 1, MiniGrid.observation_bytes), np.uint8)
    MiniGridDoorKey.observe_env(s, p, i, observation)
    return draw(cells, int(s.x[i]), int(s.y[i]), int(s.direction[i]), carries, observation[i])
