"""Images of `simple_tag`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs.drawing._particles import Ground
from puffer_numba.envs.simple_tag import OBSTACLE_SIZE, size
from puffer_numba.render.canvas import CORAL, TEAL, Color, Frame

RENDER_FPS = 10

OBSTACLE: Color = (84, 104, 128)


def render_env(s: Any, p: Any, i: int) -> Frame:
    """Coral adversaries, teal prey."""
    ground = Ground(np.concatenate([s.position[i], s.obstacle[i]]))
    for obstacle in s.obstacle[i, : p.num_obstacles]:
        ground.body(obstacle, OBSTACLE_SIZE, OBSTACLE)
    for a, position in enumerate(s.position[i]):
        hunts = a < p.num_adversaries
        ground.body(position, float(size(p, a)), CORAL if hunts else TEAL, s.velocity[i, a])
    return ground.canvas.array()
