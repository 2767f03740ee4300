"""MinAtar's Space Invaders: shoot waves of aliens that come down, and stay out of their shots."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from puffer_numba.envs._minatar import FIRE, LEFT, NOOP, RIGHT, MinAtar, clear, sticky
from puffer_numba.jit import kernel

CANNON, ALIEN, ALIEN_LEFT, ALIEN_RIGHT, FRIENDLY_BULLET, ENEMY_BULLET = range(6)
ROWS, COLUMNS = 4, 6  # of a wave
WAVE = 2 ** (ROWS * COLUMNS) - 1
NO_BULLET = -1  # as the row of one
SHOT_COOL_DOWN, ENEMY_SHOT_INTERVAL, ENEMY_MOVE_INTERVAL, FASTEST_INTERVAL = 5, 10, 12, 6


def alien_bit(s, i, y, x):
    """The bit of the alien in this cell, 0 if there is none."""
    row, column = (y - s.top[i]) % 10, x - s.left[i]
    in_wave = (row < ROWS) & (column >= 0) & (column < COLUMNS)
    return s.aliens[i] & (np.int32(1) << (row * COLUMNS + column) if in_wave else np.int32(0))


def column_bits(column):
    """The bits of a column of the wave, 0 if it is none."""
    return np.int32(0b000001_000001_000001_000001) << column if 0 <= column < COLUMNS else np.int32(0)


def move_aliens(s, i):
    """One to the side; or, where one is at the edge, all down and from now on the other way. Whether they landed.

    Aliens of the bottom row that go down reappear at the top; the episode is over by then.
    """
    edge = 0 if s.direction[i] < 0 else 9
    landed = False
    if s.aliens[i] & column_bits(edge - s.left[i]):
        s.direction[i] = -s.direction[i]
        for x in range(10):
            landed |= alien_bit(s, i, 9, x) != 0
        s.top[i] = (s.top[i] + 1) % 10
    else:
        s.left[i] += s.direction[i]
    return landed


def shoot(s, i):
    """The lowest alien of the column nearest to the cannon, of two such the left one, shoots."""
    nearest, distance = 0, 99
    for column in range(COLUMNS):
        away = abs(s.left[i] + column - s.cannon[i])
        if (away < distance) & ((s.aliens[i] & column_bits(column)) != 0):
            nearest, distance = column, away
    for row in range(ROWS):
        if s.aliens[i] >> (row * COLUMNS + nearest) & 1:
            s.enemy_y[i] = max(s.enemy_y[i], (s.top[i] + row) % 10)
    s.enemy_x[i] = s.left[i] + nearest


class MinAtarSpaceInvaders(MinAtar):
    """Aliens march to the side, and a row down at each edge. Shoot them; do not let a shot or an alien hit the cannon.

    - Observation: ``Box(0, 1, (10, 10, 6), uint8)``: row, column, channel: cannon, aliens, aliens that march to the
      left, to the right, bullets of the cannon, bullets of the aliens.
    - Action: ``Discrete(6)``: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire, of which up and down do nothing;
      ``Discrete(4)``: nothing, left, right, fire with ``minimal_actions``. There are five steps between two shots.
    - Reward: 1 for each alien. After the last one comes a new wave, which is faster with ``difficulty_ramping``.
    - Terminated: the cannon was hit by a bullet or an alien, or aliens went below the bottom. There is no time limit.
    - Start: a wave of 4 x 6 aliens at the top, the cannon in the middle.

    Source: Young & Tian (2019), arXiv 1903.03176; transitions are those of their package ``minatar`` 1.0.15.
    """

    info = ("ramp_index",)
    channels = ("cannon", "alien", "alien_left", "alien_right", "friendly_bullet", "enemy_bullet")
    minimal_action_set = (NOOP, LEFT, RIGHT, FIRE)

    class State(NamedTuple):
        cannon: np.int8  # column
        shot_timer: np.int8
        # A wave keeps its shape: aliens are bits, row by row, of a block whose top left corner is (top, left).
        aliens: int
        remaining: np.int8  # aliens
        top: np.int8
        left: np.int8  # may be out of the screen, where columns of the block are empty
        direction: np.int8
        move_interval: np.int8
        move_timer: np.int8
        ramp_index: np.int8  # how often it became harder
        # Shots are five steps apart and fly for nine: two at most. The younger one is first.
        bullet_x: Annotated[np.int8, 2]
        bullet_y: Annotated[np.int8, 2]  # row, or NO_BULLET
        # The aliens' are ten steps apart and fly for at most ten: there is only one.
        enemy_shot_timer: np.int8
        enemy_x: np.int8
        enemy_y: np.int8  # row, or NO_BULLET
        last_action: np.int8

    @kernel
    def reset_env(s, p, i, rng):
        s.cannon[i] = 5
        s.aliens[i], s.remaining[i] = WAVE, ROWS * COLUMNS
        s.left[i] = 2
        s.direction[i] = -1
        s.move_interval[i] = s.move_timer[i] = ENEMY_MOVE_INTERVAL
        s.enemy_shot_timer[i] = ENEMY_SHOT_INTERVAL
        s.enemy_y[i] = s.bullet_y[i, 0] = s.bullet_y[i, 1] = NO_BULLET

    @kernel
    def step_env(s, p, i, action, rng):
        action = sticky(s, p, i, action, rng)
        cannon = min(max(s.cannon[i] + (action == RIGHT) - (action == LEFT), 0), 9)
        s.cannon[i] = cannon
        if (action == FIRE) & (s.shot_timer[i] == 0):
            s.bullet_x[i, 1], s.bullet_y[i, 1] = s.bullet_x[i, 0], s.bullet_y[i, 0]
            s.bullet_x[i, 0], s.bullet_y[i, 0] = cannon, 9
            s.shot_timer[i] = SHOT_COOL_DOWN
        for k in range(2):
            s.bullet_y[i, k] = max(s.bullet_y[i, k] - 1, NO_BULLET)
        enemy_y = s.enemy_y[i]
        enemy_y = NO_BULLET if (enemy_y == NO_BULLET) | (enemy_y == 9) else enemy_y + 1
        s.enemy_y[i] = enemy_y

        dead = ((enemy_y == 9) & (s.enemy_x[i] == cannon)) | (alien_bit(s, i, 9, cannon) != 0)
        if s.move_timer[i] == 0:
            s.move_timer[i] = min(s.remaining[i], s.move_interval[i])
            dead |= move_aliens(s, i)
            dead |= alien_bit(s, i, 9, cannon) != 0
        if s.enemy_shot_timer[i] == 0:
            s.enemy_shot_timer[i] = ENEMY_SHOT_INTERVAL
            shoot(s, i)

        killed = 0
        for k in range(2):
            if s.bullet_y[i, k] != NO_BULLET:
                bit = alien_bit(s, i, s.bullet_y[i, k], s.bullet_x[i, k])
                if bit != 0:
                    s.aliens[i] &= ~bit
                    s.bullet_y[i, k] = NO_BULLET
                    killed += 1
        s.remaining[i] -= killed

        s.shot_timer[i] = max(s.shot_timer[i] - 1, 0)
        s.move_timer[i] -= 1
        s.enemy_shot_timer[i] -= 1
        if s.remaining[i] == 0:
            harder = p.difficulty_ramping & (s.move_interval[i] > FASTEST_INTERVAL)
            s.move_interval[i] -= harder
            s.ramp_index[i] += harder
            s.aliens[i], s.remaining[i] = WAVE, ROWS * COLUMNS
            s.top[i], s.left[i] = 0, 2
        return float(killed), dead

    @kernel
    def observe_env(s, p, i, obs):
        clear(obs, i)
        heading = ALIEN_LEFT if s.direction[i] < 0 else ALIEN_RIGHT
        for row in range(ROWS):
            y = (s.top[i] + row) % 10
            for column in range(COLUMNS):
                if s.aliens[i] >> (row * COLUMNS + column) & 1:
                    x = s.left[i] + column
                    obs[i, y, x, ALIEN] = 1
                    obs[i, y, x, heading] = 1
        obs[i, 9, s.cannon[i], CANNON] = 1
        for k in range(2):
            obs[i, max(s.bullet_y[i, k], 0), s.bullet_x[i, k], FRIENDLY_BULLET] |= s.bullet_y[i, k] != NO_BULLET
        obs[i, max(s.enemy_y[i], 0), s.enemy_x[i], ENEMY_BULLET] = s.enemy_y[i] != NO_BULLET
