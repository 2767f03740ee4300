"""MiniGridDoorKey: fetch the key, open the door with it, and walk to the goal behind."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from puffer_numba.envs._minigrid import (
    CLOSED,
    DOOR,
    DROP,
    EMPTY,
    FORWARD,
    GOAL,
    KEY,
    LOCKED,
    OPEN,
    PICKUP,
    SIDE,
    STATE,
    TOGGLE,
    MiniGrid,
    bit_of,
    column_of,
    goal_reward,
    heading,
    tables,
    turned,
    views,
    visible_cells,
    write_cell,
    write_view,
)
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer


class MiniGridDoorKey(MiniGrid):
    """A wall with a locked door divides a room. Agent and key are on its left, the goal is on its right.

    - Observation: ``Dict(direction=Discrete(4), image=Box(0, 255, (7, 7, 3), uint8))``: where the agent looks (0 right,
      1 down, 2 left, 3 up), and type, color and state of the cells ahead, ``image[column, row]``: the agent is at
      [3, 6] and looks up the columns; what it carries is shown there. 0 0 0 is out of sight, 1 0 0 empty, 2 5 0 wall,
      4 4 s door (s: 0 open, 1 closed, 2 locked), 5 4 0 key, 8 1 0 goal. Walls and closed doors hide what is behind.
    - Action: ``Discrete(7)``: turn left (0) or right (1), go forward (2), pick up the key ahead (3), drop it on an
      empty cell ahead (4), toggle the door ahead (5): unlock it with the key, open or close it; done (6) does nothing.
    - Reward: ``1 - 0.9 * steps / max_steps`` at the goal, else 0.
    - Terminated: at the goal.
    - Truncated: after ``max_steps``, ``10 * size * size`` by default.
    - Start: the wall in any column, the door in any row but the last; agent, its direction and the key anywhere on the
      left: uniform.

    Source: MiniGrid (Chevalier-Boisvert et al., 2023): MiniGrid-DoorKey-5x5-v0, 6x6, 8x8 (the default) and 16x16, whose
    transitions it reproduces; without the mission, "use the key to open the door and then get to the goal", which
    never changes.
    """

    class State(NamedTuple):
        x: int
        y: int
        direction: int
        split: int  # column of the wall
        door_row: int
        door: int  # OPEN, CLOSED or LOCKED
        key_x: int  # 0 while it is carried
        key_y: int
        tick: int

    class Params(NamedTuple):
        size: Annotated[int, Ge(5), Le(100)] = 8  # cells along a side, the walls included
        max_steps: Annotated[int, Ge(0)] = 0  # of an episode, and scale of the reward; 0 is 10 * size * size

    class Tables(NamedTuple):
        inside: NDArray[np.int64]  # (cells * 4,): cells of the view that are in the room, by row, column and direction
        light: NDArray[np.uint8]  # (128, 128): how light spreads from row to row of the view
        pieces: NDArray[np.int64]  # (2, 128, 3): columns of the image

    steps_for_each_cell = 10

    @classmethod
    def tables(cls, params: Any) -> Any:
        return cls.Tables(views(params.size).inside, *tables())

    @kernel
    def reset_env(s, p, i, rng):
        s.split[i] = 2 + integer(rng, p.size - 4)
        s.door_row[i] = 1 + integer(rng, p.size - 3)
        s.door[i] = LOCKED
        left = s.split[i] - 1
        cells = left * (p.size - 2)
        agent = integer(rng, cells)
        key = integer(rng, cells - 1)
        key += int(key >= agent)  # any cell but the agent's
        s.x[i], s.y[i] = 1 + agent % left, 1 + agent // left
        s.key_x[i], s.key_y[i] = 1 + key % left, 1 + key // left
        s.direction[i] = integer(rng, 4)

    @kernel
    def step_env(s, p, i, action, rng):
        last = p.size - 2
        ahead_x, ahead_y = heading(s.direction[i])
        x, y, door = s.x[i] + ahead_x, s.y[i] + ahead_y, s.door[i]
        at_goal = (x == last) & (y == last)
        at_door = (x == s.split[i]) & (y == s.door_row[i])
        at_key = (x == s.key_x[i]) & (y == s.key_y[i])
        on_floor = (x >= 1) & (x <= last) & (y >= 1) & (y <= last) & (x != s.split[i]) & (not at_key)
        carries = s.key_x[i] == 0

        walks = (action == FORWARD) & (on_floor | (at_door & (door == OPEN)))
        picks = (action == PICKUP) & at_key
        drops = (action == DROP) & carries & on_floor & (not at_goal)
        toggles = (action == TOGGLE) & at_door & ((door != LOCKED) | carries)
        s.direction[i] = turned(s.direction[i], action)
        s.x[i] = x if walks else s.x[i]
        s.y[i] = y if walks else s.y[i]
        s.key_x[i] = 0 if picks else x if drops else s.key_x[i]
        s.key_y[i] = 0 if picks else y if drops else s.key_y[i]
        s.door[i] = (CLOSED if door == OPEN else OPEN) if toggles else door
        s.tick[i] += 1
        arrives = walks & at_goal
        return goal_reward(s.tick[i], p.max_steps) if arrives else 0.0, arrives

    @kernel
    def observe_env(s, p, i, obs):
        x, y, direction = s.x[i], s.y[i], s.direction[i]
        ahead_x, ahead_y = heading(direction)
        door = bit_of(s.split[i], s.door_row[i], x, y, ahead_x, ahead_y)
        key = bit_of(s.key_x[i], s.key_y[i], x, y, ahead_x, ahead_y)
        goal = bit_of(p.size - 2, p.size - 2, x, y, ahead_x, ahead_y)
        floor = p.inside[np.uintp((y * p.size + x) * 4 + direction)] & ~column_of(s.split[i], x, ahead_x, ahead_y)
        visible = visible_cells(floor | (int(s.door[i] == OPEN) << door), p.light)
        write_view(obs, i, direction, visible, ~floor, p.pieces)
        carries = s.key_x[i] == 0
        if visible >> door & 1:
            write_cell(obs, i, door, DOOR + s.door[i] * STATE)
        if visible >> goal & 1:
            write_cell(obs, i, goal, GOAL)
        if (visible >> key & 1) & (not carries):
            write_cell(obs, i, key, KEY)
        write_cell(obs, i, SIDE, KEY if carries else EMPTY)
