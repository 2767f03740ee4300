"""Images of `simple_spread`."""

from __future__ import annotations

from typing import Any

import numpy as np

from puffer_numba.envs.drawing._particles import Ground
from puffer_numba.envs.simple_spread import SIZE
from puffer_numba.render.canvas import AMBER, CORAL, TEAL, Frame

RENDER_FPS = 10


def render_env(s: Any, p: Any, i: int) -> Frame:
    """Amber landmarks; agents are coral while they touch another one."""
    ground = Ground(np.concatenate([s.position[i], s.landmark[i]]))
    distances = np.linalg.norm(s.position[i, :, None] - s.position[i], axis=-1)
    touching = (distances < 2 * SIZE).sum(axis=1) > 1  # itself is one
    for a in range(int(p.players)):
        ground.body(s.position[i, a], SIZE, CORAL if touching[a] else TEAL, s.velocity[i, a])
    for landmark in s.landmark[i]:
        ground.body(landmark, 0.05, AMBER)
    return ground.canvas.array()
