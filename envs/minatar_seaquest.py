"""MinAtar's Seaquest: a submarine rescues divers, shoots fish and submarines, and must surface for air."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from puffer_numba.envs._minatar import DOWN, FIRE, LEFT, NOOP, RIGHT, UP, MinAtar, clear, sticky
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer, random

FRONT, BACK, FRIENDLY_BULLET, TRAIL, ENEMY_BULLET, FISH, SUBMARINE, OXYGEN, DIVERS, DIVER = range(10)
X, Y, DIRECTION, MOVE_TIMER, KIND, SHOT_TIMER = range(6)
"""Of an enemy; a diver has the first four, a bullet the first three. The direction is 1 to the right, -1 to the left;
of a diver or bullet that is not there, 0."""
GONE = 0  # the kind of an enemy that was shot or left; others are FISH and SUBMARINE
# The steps from one spawn to the next are one at least, and then an enemy moves every third step: it is there for 30.
# Before that there are fewer: while an enemy takes four steps for a move (40 in all) or more, spawns are 15 apart.
MAX_ENEMIES = 30
MAX_OXYGEN, MAX_DIVERS = 200, 6
SHOT_COOL_DOWN, ENEMY_SHOT_INTERVAL = 5, 10
SPAWN_SPEED, DIVER_SPAWN_SPEED = 20, 30
MOVE_SPEED, DIVER_MOVE_SPEED, FASTEST = 5, 5, 2


def spawn_enemy(s, i, rng):
    """A fish, or with probability 1/3 a submarine; not in a row where something comes from the other side."""
    direction = 1 if random(rng) < 1 / 2 else -1
    kind = SUBMARINE if random(rng) < 1 / 3 else FISH
    y = 1 + integer(rng, 8)
    free = True
    for k in range(s.enemies[i]):
        other = s.enemy[i, k]
        free &= (other[Y] != y) | (other[DIRECTION] == direction)
    if free:
        enemy = s.enemy[i, s.enemies[i]]
        enemy[X], enemy[Y], enemy[DIRECTION] = 0 if direction > 0 else 9, y, direction
        enemy[MOVE_TIMER], enemy[SHOT_TIMER] = s.move_speed[i], ENEMY_SHOT_INTERVAL
        enemy[KIND] = kind
        s.enemies[i] += 1


def spawn_diver(s, i, rng):
    direction = 1 if random(rng) < 1 / 2 else -1
    diver, older = s.diver[i, 0], s.diver[i, 1]
    copy(diver, older)
    diver[X], diver[Y], diver[DIRECTION] = 0 if direction > 0 else 9, 1 + integer(rng, 8), direction
    diver[MOVE_TIMER] = DIVER_MOVE_SPEED


def fire(s, i):
    bullet, older = s.bullet[i, 0], s.bullet[i, 1]
    copy(bullet, older)
    bullet[X], bullet[Y], bullet[DIRECTION] = s.x[i], s.y[i], 1 if s.faces_right[i] else -1
    s.shot_timer[i] = SHOT_COOL_DOWN


def copy(source, target):
    """All elements."""
    for k in range(len(source)):
        target[k] = source[k]


def move_bullets(s, i):
    """The player's, the younger one first; how many enemies they hit. A fish in the cell goes before a submarine."""
    hits = 0
    for b in range(2):
        bullet = s.bullet[i, b]
        if bullet[DIRECTION] != 0:
            x, y = bullet[X] + bullet[DIRECTION], bullet[Y]
            target = -1
            for k in range(s.enemies[i]):
                enemy = s.enemy[i, k]
                here = (enemy[KIND] != GONE) & (enemy[X] == x) & (enemy[Y] == y)
                if here and (target < 0 or enemy[KIND] < s.enemy[i, target, KIND]):
                    target = k
            if target >= 0:
                s.enemy[i, target, KIND] = GONE
                hits += 1
            inside = (x >= 0) & (x <= 9)
            bullet[X] = x if inside else 0
            bullet[DIRECTION] = bullet[DIRECTION] if inside & (target < 0) else 0
    return hits


def move_divers(s, i):
    """The younger one first. Those that the player meets come aboard, while there is room."""
    for k in range(2):
        diver = s.diver[i, k]
        if diver[DIRECTION] != 0:
            taken = at_player(s, i, diver[X], diver[Y]) & (s.divers[i] < MAX_DIVERS)
            gone = taken
            if not taken:
                if diver[MOVE_TIMER] == 0:
                    diver[MOVE_TIMER] = DIVER_MOVE_SPEED
                    diver[X] += diver[DIRECTION]
                    taken = at_player(s, i, diver[X], diver[Y]) & (s.divers[i] < MAX_DIVERS)
                    gone = taken | (diver[X] < 0) | (diver[X] > 9)
                else:
                    diver[MOVE_TIMER] -= 1
            s.divers[i] += taken
            if gone:
                diver[DIRECTION] = 0
                diver[X] = 0


def move_enemies(s, i, kind):
    """Those of one kind, the youngest first; how many ran into bullets, and whether one met the player."""
    hits, caught = 0, False
    for k in range(s.enemies[i] - 1, -1, -1):
        enemy = s.enemy[i, k]
        if enemy[KIND] == kind:
            caught |= at_player(s, i, enemy[X], enemy[Y])
            if enemy[MOVE_TIMER] == 0:
                enemy[MOVE_TIMER] = s.move_speed[i]
                enemy[X] += enemy[DIRECTION]
                if (enemy[X] < 0) | (enemy[X] > 9):
                    enemy[KIND] = GONE
                elif at_player(s, i, enemy[X], enemy[Y]):
                    caught = True
                elif hit_bullet(s, i, enemy[X], enemy[Y]):
                    enemy[KIND] = GONE
                    hits += 1
            else:
                enemy[MOVE_TIMER] -= 1
            if kind == SUBMARINE:
                shoot(s, i, enemy)
    return hits, caught


def shoot(s, i, enemy):
    """What a submarine does in every step, even in that in which it is shot."""
    if enemy[SHOT_TIMER] == 0:
        enemy[SHOT_TIMER] = ENEMY_SHOT_INTERVAL
        if (enemy[X] >= 0) & (enemy[X] <= 9):
            if enemy[DIRECTION] > 0:
                s.right_bullets[i, enemy[Y]] |= np.int16(1) << enemy[X]
            else:
                s.left_bullets[i, enemy[Y]] |= np.int16(1) << enemy[X]
    else:
        enemy[SHOT_TIMER] -= 1


def hit_bullet(s, i, x, y):
    """Take a bullet of the player's from this cell, the older one of two; whether there was one."""
    for b in range(1, -1, -1):
        bullet = s.bullet[i, b]
        if (bullet[DIRECTION] != 0) & (bullet[X] == x) & (bullet[Y] == y):
            bullet[DIRECTION] = 0
            return True
    return False


def move_enemy_bullets(s, i):
    """All of a row at once; whether one was in the player's cell before or after."""
    player = np.int16(1) << s.x[i]
    row = s.y[i]
    caught = ((s.right_bullets[i, row] | s.left_bullets[i, row]) & player) != 0
    for y in range(1, 9):
        s.right_bullets[i, y] = s.right_bullets[i, y] << 1 & 1023
        s.left_bullets[i, y] = s.left_bullets[i, y] >> 1
    return caught | (((s.right_bullets[i, row] | s.left_bullets[i, row]) & player) != 0)


def close_ranks(s, i):
    """Drop enemies that are gone. Their order stays, for it decides which one a bullet hits."""
    n = 0
    for k in range(s.enemies[i]):
        enemy = s.enemy[i, k]
        if enemy[KIND] != GONE:
            copy(enemy, s.enemy[i, n])
            n += 1
    s.enemies[i] = n


def show_swimmer(swimmer, channel, obs, i):
    """An enemy or a diver, and the trail behind it."""
    x, y = swimmer[X], swimmer[Y]
    obs[i, y, x, channel] = 1
    behind = x - swimmer[DIRECTION]
    if (behind >= 0) & (behind <= 9):
        obs[i, y, behind, TRAIL] = 1


def surface(s, p, i):
    """Fill up with oxygen, and hand over one diver, or all six for a reward; it is returned.

    After six, one more is taken away than there are: then the player may surface once or more without any.
    """
    full = s.divers[i] == MAX_DIVERS
    reward = s.oxygen[i] * 10 // MAX_OXYGEN if full else 0
    s.divers[i] = -1 if full else s.divers[i] - 1
    s.oxygen[i] = MAX_OXYGEN
    if p.difficulty_ramping & ((s.spawn_speed[i] > 1) | (s.move_speed[i] > FASTEST)):
        s.move_speed[i] -= (s.move_speed[i] > FASTEST) & (s.ramp_index[i] % 2 == 1)
        s.spawn_speed[i] -= s.spawn_speed[i] > 1
        s.ramp_index[i] += 1
    return reward


def at_player(s, i, x, y):
    return (x == s.x[i]) & (y == s.y[i])


class MinAtarSeaquest(MinAtar):
    """Fish and submarines cross the sea. Shoot them, and bring divers to the surface before the oxygen ends.

    - Observation: ``Box(0, 1, (10, 10, 10), uint8)``: row, column, channel: front and back of the player's submarine,
      its bullets, trails (the cell behind whatever swims), enemy bullets, fish, enemy submarines, and in the bottom row
      the gauges of oxygen and of divers on board; divers.
    - Action: ``Discrete(6)``: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire; there are five steps between two shots.
    - Reward: 1 for each enemy shot. For surfacing with six divers 10 times the share of oxygen left, rounded down; then
      all are handed over. With fewer there is no reward, and one is handed over. Either way the tank is full again, and
      with ``difficulty_ramping`` enemies come more often, and faster.
    - Terminated: the player met an enemy or its bullet, had no oxygen, or surfaced with no diver. There is no time
      limit.
    - Start: the player at the surface, no one else in the sea, 200 steps of oxygen.

    Source: Young & Tian (2019), arXiv 1903.03176; transitions are those of their package ``minatar`` 1.0.15.
    """

    info = ("ramp_index",)
    channels = (
        "sub_front",
        "sub_back",
        "friendly_bullet",
        "trail",
        "enemy_bullet",
        "enemy_fish",
        "enemy_sub",
        "oxygen_gauge",
        "diver_gauge",
        "diver",
    )
    minimal_action_set = (NOOP, LEFT, UP, RIGHT, DOWN, FIRE)

    class State(NamedTuple):
        x: np.int8  # column of the player's front
        y: np.int8  # row, 0 is the surface
        faces_right: bool
        shot_timer: np.int8
        oxygen: np.int16  # steps below the surface that it lasts for
        divers: int  # on board; may be negative, see surface()
        surfaced: bool  # whether the player is at the surface, and has handed over divers
        # Shots are five steps apart and fly for nine: two at most. The younger one is first.
        bullet: Annotated[np.int8, 2, 3]
        # Divers come every 30 steps and swim for 60, in the last of which they leave: two at most, as with bullets.
        diver: Annotated[np.int8, 2, 4]
        diver_spawn_timer: np.int8
        enemies: np.int8
        enemy: Annotated[np.int8, MAX_ENEMIES, 6]  # the first `enemies` of these, the oldest first
        # Enemy bullets of a row, a bit for each column. They all fly alike, so two in one cell are as good as one.
        right_bullets: Annotated[np.int16, 9]
        left_bullets: Annotated[np.int16, 9]
        spawn_timer: np.int8
        spawn_speed: np.int8  # steps from one spawn of an enemy to the next
        move_speed: np.int8  # steps that an enemy waits between two moves
        ramp_index: np.int8  # how often it became harder
        last_action: np.int8

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = 5
        s.oxygen[i] = MAX_OXYGEN
        s.surfaced[i] = True
        s.diver_spawn_timer[i] = DIVER_SPAWN_SPEED
        s.spawn_speed[i] = s.spawn_timer[i] = SPAWN_SPEED
        s.move_speed[i] = MOVE_SPEED

    @kernel
    def step_env(s, p, i, action, rng):
        action = sticky(s, p, i, action, rng)
        if s.spawn_timer[i] == 0:
            spawn_enemy(s, i, rng)
            s.spawn_timer[i] = s.spawn_speed[i]
        if s.diver_spawn_timer[i] == 0:
            spawn_diver(s, i, rng)
            s.diver_spawn_timer[i] = DIVER_SPAWN_SPEED
        if (action == FIRE) & (s.shot_timer[i] == 0):
            fire(s, i)
        s.x[i] = min(max(s.x[i] + (action == RIGHT) - (action == LEFT), 0), 9)
        s.y[i] = min(max(s.y[i] + (action == DOWN) - (action == UP), 0), 8)
        s.faces_right[i] = (s.faces_right[i] | (action == RIGHT)) & (action != LEFT)

        hits = move_bullets(s, i)
        move_divers(s, i)
        submarines_hit, caught = move_enemies(s, i, SUBMARINE)
        shot = move_enemy_bullets(s, i)
        fish_hit, bitten = move_enemies(s, i, FISH)
        close_ranks(s, i)
        reward = hits + submarines_hit + fish_hit

        s.spawn_timer[i] = max(s.spawn_timer[i] - 1, 0)
        s.diver_spawn_timer[i] = max(s.diver_spawn_timer[i] - 1, 0)
        s.shot_timer[i] = max(s.shot_timer[i] - 1, 0)
        dead = caught | shot | bitten | (s.oxygen[i] <= 0)
        if s.y[i] > 0:
            s.oxygen[i] -= 1
            s.surfaced[i] = False
        elif not s.surfaced[i]:
            if s.divers[i] == 0:
                dead = True
            else:
                s.surfaced[i] = True
                reward += surface(s, p, i)
        return float(reward), dead

    @kernel
    def observe_env(s, p, i, obs):
        clear(obs, i)
        obs[i, s.y[i], s.x[i], FRONT] = 1
        obs[i, s.y[i], s.x[i] - 1 if s.faces_right[i] else s.x[i] + 1, BACK] = 1
        for x in range(max(s.oxygen[i], 0) * 10 // MAX_OXYGEN):
            obs[i, 9, x, OXYGEN] = 1
        for k in range(s.divers[i]):
            obs[i, 9, 8 - k, DIVERS] = 1
        for b in range(2):
            bullet = s.bullet[i, b]
            obs[i, bullet[Y], bullet[X], FRIENDLY_BULLET] |= bullet[DIRECTION] != 0
        for y in range(1, 9):
            bullets = s.right_bullets[i, y] | s.left_bullets[i, y]
            if bullets != 0:
                for x in range(10):
                    obs[i, y, x, ENEMY_BULLET] = bullets >> x & 1
        for k in range(s.enemies[i]):
            show_swimmer(s.enemy[i, k], s.enemy[i, k, KIND], obs, i)
        for k in range(2):
            if s.diver[i, k, DIRECTION] != 0:
                show_swimmer(s.diver[i, k], DIVER, obs, i)
