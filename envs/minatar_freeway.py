"""MinAtar's Freeway: walk a chicken over a road of eight lanes, again and again."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from puffer_numba.envs._minatar import DOWN, NOOP, TRAIN_CONFIG, UP, MinAtar, clear, picture, sticky
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer, random
from puffer_numba.render import AMBER, CORAL

CHICKEN, CAR, SPEED_1 = range(3)  # SPEED_1 and the four channels after it: where a car was, by how often it moves
COLUMN, BOTTOM = 4, 9  # the chicken's column, and the row it starts from
PLAYER_SPEED = 3
TIME_LIMIT = 2500


def randomize_cars(s, i, rng):
    """New speeds and directions; first all speeds are drawn, then all directions."""
    for k in range(8):
        s.interval[i, k] = s.timer[i, k] = 1 + integer(rng, 5)
    for k in range(8):
        s.direction[i, k] = 1 if random(rng) > 0.5 else -1


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

    train_config: ClassVar[dict[str, Any]] = {
        **TRAIN_CONFIG,
        "train.total_timesteps": 6_000_000,
        "train.target_return": 58.0,
        "train.gamma": 0.997,
    }
    channels = (
        ("chicken", AMBER),
        ("car", CORAL),
        ("speed 1", (122, 62, 62)),
        ("speed 2", (106, 58, 62)),
        ("speed 3", (92, 54, 62)),
        ("speed 4", (78, 50, 62)),
        ("speed 5", (66, 48, 62)),
    )
    minimal_action_set = (NOOP, UP, DOWN)

    class State(NamedTuple):
        y: np.int8  # row of the chicken
        move_timer: np.int8  # steps until the chicken can move
        x: Annotated[np.int8, 8]  # column of the car in row k + 1
        interval: Annotated[np.int8, 8]  # steps it waits between two moves, 1 to 5
        timer: Annotated[np.int8, 8]  # of which are left
        direction: Annotated[np.int8, 8]  # 1 to the right, -1 to the left
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

        lane = min(max(y - 1, 0), 7)
        hit = s.x[i, lane] == COLUMN
        for k in range(8):
            drives = s.timer[i, k] == 0
            x = s.x[i, k] + s.direction[i, k]
            x = 9 if x < 0 else 0 if x > 9 else x
            s.x[i, k] = x if drives else s.x[i, k]
            s.timer[i, k] = s.interval[i, k] if drives else s.timer[i, k] - 1
        hit |= s.x[i, lane] == COLUMN

        s.y[i] = BOTTOM if hit else y  # in the bottom row, too, nothing changes
        s.move_timer[i] = max(move_timer - 1, 0)
        s.time_left[i] -= 1
        return 1.0 if won else 0.0, s.time_left[i] < 0

    @kernel
    def observe_env(s, p, i, obs):
        clear(obs, i)
        for k in range(8):
            x = s.x[i, k]
            behind = x - s.direction[i, k]
            behind = 9 if behind < 0 else 0 if behind > 9 else behind
            obs[i, k + 1, x, CAR] = 1
            obs[i, k + 1, behind, SPEED_1 - 1 + s.interval[i, k]] = 1
        obs[i, s.y[i], COLUMN, CHICKEN] = 1

    @staticmethod
    def render_env(s: Any, p: Any, i: int) -> np.ndarray[Any, Any]:
        return picture(MinAtarFreeway, s, p, i)
