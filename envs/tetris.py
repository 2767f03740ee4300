"""Tetris: fit falling pieces together and clear full lines."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

NOTHING, LEFT, RIGHT, ROTATE, SOFT_DROP, HARD_DROP, HOLD = range(7)
WIDTH = 10
PREVIEW = 2
BAG = 7
NUMBERS = 6
NAMES = "IOTSZJL"


def _boxes() -> np.ndarray[Any, Any]:
    """Cells of all pieces as they appear and after 1, 2 and 3 turns: bool (7, 4, 4, 4). Each turns about its box."""
    drawings = ("....####........", ".##..##.", ".#.###...", ".####....", "##..##...", "#..###...", "..####...")
    boxes = np.zeros((len(NAMES), 4, 4, 4), np.bool_)
    for piece, drawing in enumerate(drawings):
        cells = np.array([c == "#" for c in drawing])
        if NAMES[piece] == "O":  # it does not turn
            boxes[piece, :, :2] = cells.reshape(2, 4)
            continue
        size = 4 if NAMES[piece] == "I" else 3
        for turns in range(4):
            boxes[piece, turns, :size, :size] = np.rot90(cells.reshape(size, size), -turns)
    return boxes


BOXES = _boxes()
CELLS = np.argwhere(BOXES)[:, 2:].reshape(len(NAMES), 4, 4, 2).astype(np.int32)
"""Row and column of each of a piece's four cells in its box: int32 (7, 4 turns, 4 cells, 2)."""

# A row of the board is a word of 15 bits: three of wall, one for each column, two of wall. Four rows below one another
# make a word of 64 bits, as do the four rows of a piece's box: they collide where these have a bit in common.
EDGE = 3
NO_CELL = 0b110000000000111
ALL_CELLS = 0b111111111111111
MASKS = (BOXES * (1 << (16 * np.arange(4)[:, None] + np.arange(4)))).sum(axis=(2, 3))
"""Of each piece and turn, with its box at the left end of the words: int64 (7, 4)."""


def window(rows, i, row):
    """Four rows of the board, from this one down, as one word."""
    first, second = np.int64(rows[i, row]), np.int64(rows[i, row + 1])
    third, fourth = np.int64(rows[i, row + 2]), np.int64(rows[i, row + 3])
    return first | second << 16 | third << 32 | fourth << 48


def fits(rows, i, mask, row, column):
    return window(rows, i, row) & (mask << (column + EDGE)) == 0


def landing_row(rows, i, mask, row, column):
    """Where the piece comes to lie if it drops from here."""
    mask = mask << (column + EDGE)
    below = window(rows, i, row + 1)
    while below & mask == 0:
        row += 1
        below = below >> 16 | np.int64(rows[i, row + 4]) << 48
    return row


def shuffle(bags, i, first, rng):
    """A new bag of seven at ``first``, each piece once (Fisher & Yates)."""
    for k in range(BAG):
        bags[i, first + k] = k
    for k in range(BAG - 1, 0, -1):
        other = integer(rng, k + 1)
        bags[i, first + k], bags[i, first + other] = bags[i, first + other], bags[i, first + k]


def clear_lines(rows, board, i, height):
    """Take out full lines; how many."""
    to = height - 1
    for row in range(height - 1, -1, -1):
        if rows[i, row] != ALL_CELLS:
            if to != row:
                rows[i, to] = rows[i, row]
                for column in range(WIDTH):
                    board[i, to * WIDTH + column] = board[i, row * WIDTH + column]
            to -= 1
    for row in range(to + 1):
        rows[i, row] = NO_CELL
        for column in range(WIDTH):
            board[i, row * WIDTH + column] = 0
    return to + 1


class Tetris(JitEnv):
    """Pieces of four cells fall onto a board of 10 columns. A line that is full goes away; the game is over when the
    board is, up to where the pieces appear.

    Pieces come from bags of seven, each once in a bag; the next two are known. One can be put on hold, once for each
    that is dropped. A piece falls by itself, one row in ``fall_steps`` steps, faster with every fourth level of 10
    lines, and comes to rest where it cannot. It turns clockwise within its box, where there is room.

    - Observation: ``Box(-1, 1, (height * 10 + 34,), float32)``: for each cell, row by row from the top, 1 where a piece
      has come to rest, 0.5 for the one that falls, -1 where a hard drop would put it, 0 elsewhere; the falling piece's
      row, column and turns, steps since it last fell, how many it takes to fall, whether it can be put on hold; and
      one-hot, in the order I, O, T, S, Z, J, L: the falling piece, the next two, the one on hold.
    - Action: ``Discrete(7)``: nothing (0), left (1), right (2), turn (3), one row down (4), drop (5), hold (6). What
      there is no room for does nothing.
    - Reward: the game's score in hundreds: 1, 3, 5 or 8 for 1 to 4 lines at once; 1/128 for a row down by action 4,
      1/64 for each row of a drop.
    - Terminated: there is no room for the next piece.
    - Truncated: after 10000 steps.

    Source: PufferLib 3, Ocean's ``tetris``. There, a line pays no more than five rows of a drop, turns pay too, the
    place where a drop ends is not shown, pieces turn about the corner of their box, and garbage comes from below.
    """

    max_episode_steps = 10_000
    metrics = ("lines",)
    single_action_space = Discrete(7)

    class State(NamedTuple):
        rows: Annotated[np.uint16, "height + 4"]  # of the board, as words of bits; those below it are full
        board: Annotated[np.int8, "height * 10"]  # 0 empty, else the piece + 1
        bags: Annotated[np.int8, 14]  # the one in use, and the other
        drawn: np.int8  # the falling piece's place in the bags, which are a ring
        piece: np.int8
        turns: np.int8
        row: np.int16  # of its box
        column: np.int16
        held: np.int8  # piece + 1; 0 if none
        swapped: bool  # the falling piece came from hold
        waited: np.int16  # steps since it last fell
        lines: int  # cleared

    class Params(NamedTuple):
        height: Annotated[int, Ge(4), Le(1000)] = 20  # rows of the board
        fall_steps: Annotated[int, Ge(1), Le(10_000)] = 6  # steps in which a piece falls by a row, at first
        least_fall_steps: Annotated[int, Ge(1), Le(10_000)] = 3  # at last

    class Tables(NamedTuple):
        masks: NDArray[np.int64] = MASKS
        cells: NDArray[np.int32] = CELLS

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(-1, 1, (p.height * WIDTH + NUMBERS + (PREVIEW + 2) * len(NAMES),), np.float32)

    @classmethod
    def setup(cls, params: Any) -> Any:
        if params.fall_steps < params.least_fall_steps:
            raise ValueError(
                f"Tetris: parameter fall_steps is {params.fall_steps}; expected least_fall_steps, "
                f"{params.least_fall_steps}, to 10000."
            )
        return params

    @kernel
    def reset_env(s, p, i, rng):
        for row in range(p.height):
            s.rows[i, row] = NO_CELL
        for row in range(4):
            s.rows[i, p.height + row] = ALL_CELLS
        shuffle(s.bags, i, 0, rng)
        shuffle(s.bags, i, BAG, rng)
        s.piece[i] = s.bags[i, 0]
        s.column[i] = 3

    @kernel
    def step_env(s, p, i, action, rng):
        piece, turns, row, column = int(s.piece[i]), int(s.turns[i]), int(s.row[i]), int(s.column[i])
        mask = p.masks[piece, turns]
        reward = 0.0
        rests = False
        swaps = (action == HOLD) & (not s.swapped[i])
        if action == HARD_DROP:
            bottom = landing_row(s.rows, i, mask, row, column)
            reward = 0.015625 * float(bottom - row)
            row, rests = bottom, True
        elif action == ROTATE:
            turned = (turns + 1) % 4
            if fits(s.rows, i, p.masks[piece, turned], row, column):
                turns, mask = turned, p.masks[piece, turned]
        elif (action == LEFT) | (action == RIGHT):
            aside = column - 1 if action == LEFT else column + 1
            column = aside if fits(s.rows, i, mask, row, aside) else column
        elif action == SOFT_DROP and fits(s.rows, i, mask, row + 1, column):
            row, reward = row + 1, 0.0078125

        s.waited[i] += 1
        level = 1 + s.lines[i] // 10
        if (not rests) & (not swaps) & (s.waited[i] >= max(p.fall_steps - level // 4, p.least_fall_steps)):
            s.waited[i] = 0
            rests = not fits(s.rows, i, mask, row + 1, column)
            row += not rests
        over = False
        if rests:
            for k in range(4):
                s.rows[i, row + k] |= ((mask >> (16 * k)) & 15) << (column + EDGE)
                s.board[i, (row + p.cells[piece, turns, k, 0]) * WIDTH + column + p.cells[piece, turns, k, 1]] = (
                    piece + 1
                )
            full = False
            for k in range(4):
                full |= (row + k < p.height) & (s.rows[i, row + k] == ALL_CELLS)
            if full:
                lines = clear_lines(s.rows, s.board, i, p.height)
                s.lines[i] += lines
                reward += float(2 * lines - 1 + (lines == 4))
        if rests | swaps:
            held = int(s.held[i])
            if swaps:
                s.held[i] = piece + 1
            s.swapped[i] = swaps
            if swaps & (held > 0):
                piece = held - 1
            else:
                s.drawn[i] = (s.drawn[i] + 1) % (2 * BAG)
                if s.drawn[i] % BAG == 0:  # the other bag is empty
                    shuffle(s.bags, i, BAG - s.drawn[i], rng)
                piece = int(s.bags[i, s.drawn[i]])
            turns, row, column = 0, 0, 3
            s.waited[i] = 0
            over = not fits(s.rows, i, p.masks[piece, 0], row, column)
        s.piece[i], s.turns[i], s.row[i], s.column[i] = piece, turns, row, column
        return reward, over

    @kernel
    def observe_env(s, p, i, obs):
        cells = obs.shape[1] - NUMBERS - (PREVIEW + 2) * BAG
        for k in range(cells):
            obs[i, k] = 1.0 if s.board[i, k] > 0 else 0.0
        piece, turns, row, column = int(s.piece[i]), int(s.turns[i]), int(s.row[i]), int(s.column[i])
        bottom = landing_row(s.rows, i, p.masks[piece, turns], row, column)
        for k in range(4):
            obs[i, (bottom + p.cells[piece, turns, k, 0]) * WIDTH + column + p.cells[piece, turns, k, 1]] = -1.0
        for k in range(4):
            obs[i, (row + p.cells[piece, turns, k, 0]) * WIDTH + column + p.cells[piece, turns, k, 1]] = 0.5

        level = 1 + s.lines[i] // 10
        fall_steps = max(p.fall_steps - level // 4, p.least_fall_steps)
        obs[i, cells] = float(row) / float(p.height)
        obs[i, cells + 1] = float(column) / float(WIDTH)
        obs[i, cells + 2] = 0.25 * float(turns)
        obs[i, cells + 3] = float(s.waited[i]) / float(fall_steps)
        obs[i, cells + 4] = min(0.0625 * float(fall_steps), 1.0)
        obs[i, cells + 5] = float(not s.swapped[i])
        for k in range(cells + NUMBERS, obs.shape[1]):
            obs[i, k] = 0.0
        first = cells + NUMBERS
        drawn, held = int(s.drawn[i]), int(s.held[i])
        obs[i, first + piece] = 1.0
        for k in range(1, PREVIEW + 1):
            obs[i, first + k * BAG + int(s.bags[i, (drawn + k) % (2 * BAG)])] = 1.0
        if held > 0:
            obs[i, first + (PREVIEW + 1) * BAG + held - 1] = 1.0
