"""What the particle environments share: the physics of MPE, round bodies that push each other apart.

A step takes `DT` seconds and every mass is 1. Source: Lowe et al. (2017) and Mordatch & Abbeel (2018), as in MPE2.
"""

from __future__ import annotations

import math

from gymnasium.spaces import Box, Discrete

from puffer_numba.jit.math import exp, log

DT = 0.1
DAMPING = 0.25  # share of the velocity that a step takes away
CONTACT_FORCE = 100.0
CONTACT_MARGIN = 1e-3  # how soft bodies are
RANGE = 25 * CONTACT_MARGIN  # of its softness: beyond it that changes the force by less than 2e-12
NEAR = 1e-12  # bodies in one place do not push: they would not know where to


def action_space(continuous: bool) -> Box | Discrete:
    """Five choices, stay or a direction; or how much of each."""
    return Box(0.0, 1.0, (5,)) if continuous else Discrete(5)


def steer(action, a):
    """Which way agent ``a`` pushes itself, x and y: 1 left, 2 right, 3 down, 4 up. Numba compiles one branch alone."""
    if action.ndim == 1:
        choice = action[a]
        x = 1.0 if choice == 2 else -1.0 if choice == 1 else 0.0
        y = 1.0 if choice == 4 else -1.0 if choice == 3 else 0.0
    else:
        x = float(action[a, 2] - action[a, 1])
        y = float(action[a, 4] - action[a, 3])
    return x, y


def move(s, i, a, x, y):
    """Agent ``a`` goes on with the velocity it has. Returns the next one, after its own force (x, y) and those of
    the contacts it had, which start anew."""
    vx, vy = s.velocity[i, a, 0], s.velocity[i, a, 1]
    s.position[i, a, 0] += vx * DT
    s.position[i, a, 1] += vy * DT
    vx = vx * (1.0 - DAMPING) + (x + s.force[i, a, 0]) * DT
    vy = vy * (1.0 - DAMPING) + (y + s.force[i, a, 1]) * DT
    s.force[i, a, 0] = 0.0
    s.force[i, a, 1] = 0.0
    return vx, vy


def push(square, reach):
    """The force between two bodies, over their distance, whose square is given; ``reach`` is the sum of their radii."""
    distance = float(math.sqrt(square))
    depth = reach - distance
    force = CONTACT_FORCE * max(depth, 0.0)
    if abs(depth) < RANGE:
        force += CONTACT_FORCE * CONTACT_MARGIN * log(1.0 + exp(-abs(depth) / CONTACT_MARGIN))
    return force / max(distance, NEAR)


def meet(s, i, a, b, reach):
    """Whether agents ``a`` and ``b`` overlap. Adds to `s.force` how they push each other in the next step."""
    dx = s.position[i, a, 0] - s.position[i, b, 0]
    dy = s.position[i, a, 1] - s.position[i, b, 1]
    square = dx * dx + dy * dy
    if square < (reach + RANGE) * (reach + RANGE):  # rarely
        force = push(square, reach)
        s.force[i, a, 0] += force * dx
        s.force[i, a, 1] += force * dy
        s.force[i, b, 0] -= force * dx
        s.force[i, b, 1] -= force * dy
    return square < reach * reach


def bump(s, i, a, x, y, reach):
    """Adds to ``s.force`` how a body that stands at (x, y) pushes agent ``a`` in the next step."""
    dx = s.position[i, a, 0] - x
    dy = s.position[i, a, 1] - y
    square = dx * dx + dy * dy
    if square < (reach + RANGE) * (reach + RANGE):
        force = push(square, reach)
        s.force[i, a, 0] += force * dx
        s.force[i, a, 1] += force * dy
