"""What the MiniGrid environments share: the agent's moves, its view and the time limit.

The view is 7 x 7 cells: the agent is in the middle of the nearest row. Sets of its cells are bitboards, numbers with a
byte for each row, the nearest first, and in it a bit for each cell, from the agent's left. Columns of the grid are
numbered from its left, rows from its top, walls included.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray

from puffer_numba.jit import JitEnv

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)

EMPTY, WALL, DOOR, KEY, GOAL = 0x000001, 0x000502, 0x000404, 0x000405, 0x000108  # from the right: type, color, state
OPEN, CLOSED, LOCKED = range(3)  # states of a door
STATE = 1 << 16

VIEW = 7  # cells along a side of the view
SIDE = VIEW // 2
ROW = (1 << VIEW) - 1
COLUMN = sum(1 << 8 * row for row in range(VIEW))
NOWHERE = VIEW  # a bit that no bitboard has
_TO_ROW = sum(1 << 7 * row for row in range(VIEW))  # as a factor it brings a column's bits side by side, from bit 42 on
IMAGE = 8  # where the image starts in the flat observation; before it is the direction, behind it padding
IMAGE_END = IMAGE + VIEW * VIEW * 3


def heading(direction):
    """Columns and rows from a cell to the next one in a direction: 0 right, 1 down, 2 left, 3 up."""
    across = 1 - (direction & 1)
    return (1 - direction) * across, (2 - direction) * (1 - across)


def turned(direction, action):
    """The direction after an action."""
    return (direction + int(action == RIGHT) - int(action == LEFT)) & 3


def goal_reward(tick, max_steps):
    """What the goal is worth after so many steps."""
    return 1.0 - 0.9 * (float(tick) / float(max_steps))


def bit_of(column, row, x, y, ahead_x, ahead_y):
    """Which bit is a cell of the grid, for an agent at (x, y)? NOWHERE if it is not in the view."""
    distance = int((column - x) * ahead_x + (row - y) * ahead_y)
    side = int(SIDE + (row - y) * ahead_x - (column - x) * ahead_y)
    is_inside = (distance >= 0) & (distance < VIEW) & (side >= 0) & (side < VIEW)
    return distance * 8 + side if is_inside else NOWHERE


def column_of(column, x, ahead_x, ahead_y):
    """A column of the grid as a bitboard: a row of the view, or a column of it."""
    across = int(SIDE - (column - x) * ahead_y)
    along = int((column - x) * ahead_x)
    if ahead_x == 0:
        return COLUMN << across if (across >= 0) & (across < VIEW) else 0
    return ROW << 8 * along if (along >= 0) & (along < VIEW) else 0


def visible_cells(clear, light):
    """Which cells the agent sees where light passes through clear ones; ``light`` is of `Tables`."""
    visible = 0
    lit = 1 << SIDE
    for distance in range(VIEW):
        spread = int(light[(clear >> 8 * distance) & ROW, lit])
        visible |= (lit | spread) << 8 * distance
        lit = spread
    return visible


def bits_of_column(board, side):
    """The cells of a column of the view, the nearest first, as a number of 7 bits."""
    return ((int((board >> side) & COLUMN) * _TO_ROW) >> 42) & ROW


def write_cell(obs, i, bit, cell):
    """Show what is on a cell of the view."""
    first = IMAGE + 3 * ((bit & 7) * VIEW + VIEW - 1 - (bit >> 3))
    obs[i, first] = cell & 255
    obs[i, first + 1] = (cell >> 8) & 255
    obs[i, first + 2] = cell >> 16


def write_view(obs, i, direction, visible, walls, pieces):
    """Show the direction, and the visible cells as wall or empty; ``pieces`` is of `Tables`."""
    obs[i, 0] = direction
    for k in range(1, IMAGE):
        obs[i, k] = 0
    for side in range(VIEW):
        seen = bits_of_column(visible, side)
        blocked = bits_of_column(walls, side) & seen
        first = IMAGE + 3 * VIEW * side
        for word in range(3):  # 24 bytes for 21: the next column overwrites the rest, and after the last is padding
            eight = pieces[0, seen, word] + pieces[1, blocked, word]
            for k in range(8):  # one store of eight bytes, for LLVM
                obs[i, first + 8 * word + k] = (eight >> 8 * k) & 255
    for k in range(IMAGE_END, obs.shape[1]):
        obs[i, k] = 0


class Tables(NamedTuple):
    """For observations where walls hide what is behind."""

    light: NDArray[np.uint8]
    """(128, 128): the lit cells of the next row, by the clear and the lit cells of a row. Light goes along the row
    through clear cells, and from each of these to the three before it."""
    pieces: NDArray[np.int64]
    """(2, 128, 3): columns of the image, as three numbers of eight bytes, by the visible cells of a column; and what is
    to be added, by the walls among them."""


def tables() -> Tables:
    """Both."""
    clear, lit = np.indices((1 << VIEW, 1 << VIEW))
    runs = clear & lit
    for _ in range(VIEW - 1):
        runs |= (runs << 1 | runs >> 1) & clear
    light = (runs | runs << 1 | runs >> 1) & ROW
    columns = np.zeros((2, 1 << VIEW, 24), np.uint8)
    bits = np.arange(1 << VIEW)
    for distance in range(VIEW):
        is_set, first = bits >> distance & 1 == 1, 3 * (VIEW - 1 - distance)
        columns[0, is_set, first : first + 3] = _bytes(EMPTY)
        columns[1, is_set, first : first + 3] = _bytes(WALL) - _bytes(EMPTY)
    return Tables(light.astype(np.uint8), columns.view("<i8").astype(np.int64))


def _bytes(cells: Any) -> NDArray[np.uint8]:
    return (np.asarray(cells)[..., np.newaxis] >> np.array([0, 8, 16])).astype(np.uint8)


class Views(NamedTuple):
    """What follows from where the agent is in an empty room: by row, column and direction, (size * size * 4, ...)."""

    observations: NDArray[np.uint8]
    """``(..., bytes)``: with the goal, walls hiding nothing."""
    inside: NDArray[np.int64]
    """``(...)``: bitboards of the cells that are not walls."""


def views(size: int) -> Views:
    """Those of all cells."""
    cells = room(size)
    row, column, direction = (axis.ravel() for axis in np.indices((size, size, 4)))
    ahead_x, ahead_y = heading(direction)
    inside = np.zeros(len(row), np.int64)
    observations = np.zeros((len(row), MiniGrid.observation_bytes), np.uint8)
    observations[:, 0] = direction
    image = observations[:, IMAGE:IMAGE_END].reshape(-1, VIEW, VIEW, 3)
    for distance, side in np.ndindex(VIEW, VIEW):
        rows = np.clip(row + ahead_y * distance + ahead_x * (side - SIDE), 0, size - 1)
        columns = np.clip(column + ahead_x * distance - ahead_y * (side - SIDE), 0, size - 1)
        seen = cells[rows, columns]
        inside |= (seen != WALL).astype(np.int64) << distance * 8 + side
        image[:, side, VIEW - 1 - distance] = _bytes(seen)
    image[:, SIDE, VIEW - 1] = _bytes(EMPTY)  # the agent's own cell
    return Views(observations, inside)


class MiniGrid(JitEnv):
    """Base of the environments: each adds State, kernels, ``size`` and ``max_steps`` to its params.

    The mission, which MiniGrid's observations also have, is left out: it is the same text at every step.

    Source: Chevalier-Boisvert et al. (2023), "Minigrid & Miniworld: Modular & customizable reinforcement learning
    environments for goal-oriented tasks", as in version 3 of the authors' package ``minigrid``.
    """

    single_observation_space: Any = Dict(direction=Discrete(4), image=Box(0, 255, (VIEW, VIEW, 3), np.uint8))
    single_action_space = Discrete(7)
    observation_bytes = IMAGE + -(-VIEW * VIEW * 3 // 8) * 8
    steps_for_each_cell: ClassVar[int]
    """Steps of an episode in a square of ``size`` cells a side, for each cell, where ``max_steps`` is 0."""

    @classmethod
    def setup(cls, params: Any) -> Any:
        return params._replace(max_steps=params.max_steps or cls.steps_for_each_cell * params.size**2)

    @classmethod
    def time_limit(cls, params: Any) -> int:
        return int(params.max_steps)


def room(size: int) -> NDArray[np.int32]:
    """Cells ``(size, size)`` of an empty room with the goal in its lower right corner."""
    cells = np.full((size, size), WALL, np.int32)
    cells[1:-1, 1:-1] = EMPTY
    cells[-2, -2] = GOAL
    return cells
