"""MinAtar's Freeway: walk a chicken over a road of eight lanes, again and again.

What there is eight times is in one int64 here, a byte for each lane of the road, so that all cars drive in a few
instructions (Lamport, 1975, "Multiple byte processing with full-word instructions"). A byte holds 0 to 127, in between
too, and so none carries into the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from puffer_numba.envs._minatar import DOWN, NOOP, UP, MinAtar, clear, sticky
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer, random

CHICKEN, CAR, SPEED_1 = range(3)  # SPEED_1 and the four channels after it: where a car was, by how often it moves
COLUMN, BOTTOM = 4, 9  # the chicken's column, and the row it starts from
LEFT, RIGHT = 9, 1  # by how many columns a car moves, on a ring of ten
PLAYER_SPEED = 3
TIME_LIMIT = 2500

LANES = 8
EACH = np.int64(0x0101010101010101)
"""1 in each lane; times n, it is n in each."""


def lane(numbers, k):
    """The number of lane ``k``."""
    return numbers >> 8 * k & 127


def at_least(numbers, n):
    """1 in lanes whose number is ``n``, 1 to 128, or more; else 0."""
    return numbers + EACH * (128 - n) >> 7 & EACH


def only(which, numbers):
    """The numbers of lanes where ``which`` is 1; else 0."""
    return which * 255 & numbers


def around(columns):
    """The road is a ring: columns from 10 on are those from 0 on."""
    return columns - at_least(columns, 10) * 10


def randomize_cars(s, i, rng):
    """New speeds and directions; first all speeds, then all directions."""
    interval = forward = 0
    for k in range(LANES):
        interval |= 1 + integer(rng, 5) << 8 * k
    for k in range(LANES):
        forward |= (RIGHT if random(rng) > 0.5 else LEFT) << 8 * k
    s.interval[i] = s.timer[i] = interval
    s.forward[i] = forward


class MinAtarFreeway(MinAtar):
    """Cars drive around in eight lanes. Walk from the bottom to the top as often as you can; who is hit starts over.

    - Observation: ``Box(0, 1, (10, 10, 7), uint8)``: row, column, channel: chicken, cars, and the cell behind each car
      in one of five channels, which says whether it waits 1, 2, ... or 5 steps between two moves.
    - Action: ``Discrete(6)``: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire, of which only up and down do something,
      every third step at most; ``Discrete(3)``: nothing, up, down with ``minimal_actions``.
    - Reward: 1 at the top. The chicken is then back at the bottom, and cars get new speeds and directions.
    - Terminated: after 2501 steps.
    - Start: the chicken at the bottom, all cars in the first column, their speeds and directions uniform.

    Source: Young & Tian (2019), arXiv 1903.03176; transitions are those of their package ``minatar`` 1.0.15.
    """

    channels = ("chicken", "car", "speed 1", "speed 2", "speed 3", "speed 4", "speed 5")
    minimal_action_set = (NOOP, UP, DOWN)

    class State(NamedTuple):
        y: np.int8  # row of the chicken
        move_timer: np.int8  # steps until the chicken can move
        # Of the cars, a byte for each lane, the topmost in the lowest:
        x: np.int64  # column
        interval: np.int64  # steps it waits between two moves, 1 to 5
        timer: np.int64  # of which are left
        forward: np.int64  # LEFT or RIGHT
        time_left: np.int16
        last_action: np.int8

    @kernel
    def reset_env(s, p, i, rng):
        randomize_cars(s, i, rng)
        s.y[i] = BOTTOM
        s.move_timer[i] = PLAYER_SPEED
        s.time_left[i] = TIME_LIMIT

    @kernel
    def step_env(s, p, i, action, rng):
        action = sticky(s, p, i, action, rng)
        moves = (s.move_timer[i] == 0) & ((action == UP) | (action == DOWN))
        y = min(s.y[i] + (1 if action == DOWN else -1), BOTTOM) if moves else s.y[i]
        move_timer = PLAYER_SPEED if moves else s.move_timer[i]
        won = y == 0
        if won:
            randomize_cars(s, i, rng)
            y = BOTTOM

        x = s.x[i]
        waits = at_least(s.timer[i], 1)
        drives = EACH - waits
        moved = around(x + only(drives, s.forward[i]))
        s.x[i] = moved
        s.timer[i] = s.timer[i] - waits + only(drives, s.interval[i])
        car = min(max(y - 1, 0), 7)  # in the chicken's row; at the bottom there is none, and a hit changes nothing
        hit = (lane(x, car) == COLUMN) | (lane(moved, car) == COLUMN)

        s.y[i] = BOTTOM if hit else y
        s.move_timer[i] = max(move_timer - 1, 0)
        s.time_left[i] -= 1
        return 1.0 if won else 0.0, s.time_left[i] < 0

    @kernel
    def observe_env(s, p, i, obs):
        clear(obs, i)
        x, interval = s.x[i], s.interval[i]
        behind = around(x + EACH * 10 - s.forward[i])
        for k in range(LANES):
            obs[i, k + 1, lane(x, k), CAR] = 1
            obs[i, k + 1, lane(behind, k), SPEED_1 - 1 + lane(interval, k)] = 1
        obs[i, s.y[i], COLUMN, CHICKEN] = 1
