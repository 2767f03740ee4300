"""MinAtar's Asterix: catch gold that crosses the screen, and keep away from enemies that do so too."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from puffer_numba.envs._minatar import DOWN, LEFT, NOOP, RIGHT, UP, MinAtar, clear, sticky
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer, random

PLAYER, ENEMY, TRAIL, GOLD = range(4)
NONE = 0  # the kind of an empty row; others are ENEMY and GOLD
RAMP_INTERVAL = 100


def spawn(s, i, rng):
    """An enemy, or with probability 1/3 gold, from either side in a row that is empty, if there is one."""
    from_left = random(rng) < 1 / 2
    is_gold = random(rng) < 1 / 3
    empty = 0
    for k in range(8):
        empty += s.kind[i, k] == NONE
    if empty > 0:
        skip = integer(rng, empty)
        for k in range(8):
            if s.kind[i, k] == NONE:
                if skip == 0:
                    s.kind[i, k] = GOLD if is_gold else ENEMY
                    s.x[i, k] = 0 if from_left else 9
                    s.direction[i, k] = 1 if from_left else -1
                skip -= 1


def meet(s, i):
    """The player and what is in its cell: the gold taken, and whether it met an enemy. A row holds one entity."""
    k = s.player_y[i] - 1
    kind = s.kind[i, k] if s.x[i, k] == s.player_x[i] else NONE
    if kind == GOLD:
        s.kind[i, k] = NONE
        s.direction[i, k] = 0
    return kind == GOLD, kind == ENEMY


def ramp(s, i):
    """More things, which move faster, every 100 steps or so."""
    if (s.spawn_speed[i] > 1) | (s.move_speed[i] > 1):
        if s.ramp_timer[i] >= 0:
            s.ramp_timer[i] -= 1
        else:
            s.move_speed[i] -= (s.move_speed[i] > 1) & (s.ramp_index[i] % 2 == 1)
            s.spawn_speed[i] -= s.spawn_speed[i] > 1
            s.ramp_index[i] += 1
            s.ramp_timer[i] = RAMP_INTERVAL


class MinAtarAsterix(MinAtar):
    """Gold and enemies cross the screen in eight rows, ever faster. Catch the gold; do not touch an enemy.

    - Observation: ``Box(0, 1, (10, 10, 4), uint8)``: row, column, channel: player, enemies, trails (the cell behind
      whatever moves), gold.
    - Action: ``Discrete(6)``: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire (nothing here); ``Discrete(5)``, without
      the last one, with ``minimal_actions``.
    - Reward: 1 for each gold.
    - Terminated: the player met an enemy. There is no time limit.
    - Start: the player in the middle, no one else on the screen.

    Source: Young & Tian (2019), arXiv 1903.03176; transitions are those of their package ``minatar`` 1.0.15.
    """

    info = ("ramp_index",)
    channels = ("player", "enemy", "trail", "gold")
    minimal_action_set = (NOOP, LEFT, UP, RIGHT, DOWN)

    class State(NamedTuple):
        player_x: np.int8  # column
        player_y: np.int8  # row, 1 to 8
        kind: Annotated[np.int8, 8]  # what is in row k + 1: NONE, ENEMY or GOLD
        x: Annotated[np.int8, 8]  # its column
        direction: Annotated[np.int8, 8]  # 1 to the right, -1 to the left, 0 for NONE
        spawn_timer: np.int8
        spawn_speed: np.int8  # steps from one spawn to the next
        move_timer: np.int8
        move_speed: np.int8  # steps from one move to the next
        ramp_timer: np.int8
        ramp_index: np.int8  # how often it became harder
        last_action: np.int8

    @kernel
    def reset_env(s, p, i, rng):
        s.player_x[i] = s.player_y[i] = 5
        s.spawn_speed[i] = s.spawn_timer[i] = 10
        s.move_speed[i] = s.move_timer[i] = 5
        s.ramp_timer[i] = RAMP_INTERVAL

    @kernel
    def step_env(s, p, i, action, rng):
        action = sticky(s, p, i, action, rng)
        if s.spawn_timer[i] == 0:
            spawn(s, i, rng)
            s.spawn_timer[i] = s.spawn_speed[i]
        s.player_x[i] = min(max(s.player_x[i] + (action == RIGHT) - (action == LEFT), 0), 9)
        s.player_y[i] = min(max(s.player_y[i] + (action == DOWN) - (action == UP), 1), 8)
        gold, caught = meet(s, i)
        if s.move_timer[i] == 0:
            s.move_timer[i] = s.move_speed[i]
            for k in range(8):
                x = s.x[i, k] + s.direction[i, k]
                inside = (x >= 0) & (x <= 9)
                s.x[i, k] = x if inside else 0
                s.kind[i, k] = s.kind[i, k] if inside else NONE
                s.direction[i, k] = s.direction[i, k] if inside else 0
            more_gold, caught_again = meet(s, i)
            gold |= more_gold
            caught |= caught_again
        s.spawn_timer[i] -= 1
        s.move_timer[i] -= 1
        if p.difficulty_ramping:
            ramp(s, i)
        return 1.0 if gold else 0.0, caught

    @kernel
    def observe_env(s, p, i, obs):
        clear(obs, i)
        for k in range(8):
            x, kind = s.x[i, k], s.kind[i, k]
            behind = x - s.direction[i, k]
            inside = (behind >= 0) & (behind <= 9)
            obs[i, k + 1, x, ENEMY] = kind == ENEMY
            obs[i, k + 1, x, GOLD] = kind == GOLD
            obs[i, k + 1, behind if inside else 0, TRAIL] = inside & (kind != NONE)
        obs[i, s.player_y[i], s.player_x[i], PLAYER] = 1
