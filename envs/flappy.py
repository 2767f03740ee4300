"""Flappy: fly through the gaps between pipes, by flapping or not."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import uniform
from puffer_numba.render import AMBER, CORAL, FOREGROUND, GRID, TEAL, Canvas


class Flappy(JitEnv):
    """A bird falls, unless it flaps, while pipes with a gap come towards it from the right.

    The field is 1 high. The bird is a square; it stays where it is, and the pipes move by ``speed`` in each step.

    - Observation: ``Box((7,), float32)``: the bird's height, its velocity, and of the next two pairs of pipes: how far
      their far end is, and by how much the middle of the gap is above the bird; last, how far the one after is that
      cannot be seen yet.
    - Action: ``Discrete(2)``: nothing (0), flap (1), which sets the velocity to ``flap`` upwards.
    - Reward: 1 for each pair of pipes passed, else 0.
    - Terminated: the bird touches a pipe, the ground or the ceiling.
    - Truncated: after 10000 steps, 500 pairs of pipes.
    - Start: in the middle, at rest; the first pipes are as far away as three pairs are from one another.

    Source: after Nguyen's Flappy Bird (2013); rules and constants are our own.
    """

    train_config: ClassVar[dict[str, Any]] = {}
    max_episode_steps = 10_000
    metrics = ("passed",)
