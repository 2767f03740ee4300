"""Connect Four: two players drop pieces into columns; four in a row win."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Dict, Discrete

from puffer_numba.envs._turns import end_turn
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

ROWS, COLUMNS = 6, 7
STRIDE = ROWS + 1  # bits for a column: its cells from the bottom, and one that stays empty, so that no line wraps
BOTTOM = sum(1 << STRIDE * column for column in range(COLUMNS))


def has_four(pieces):
    """Whether a player's pieces have four in a row: each shift pairs neighbours, then pairs of pairs."""
    won = False
    for shift in (1, STRIDE, STRIDE - 1, STRIDE + 1):  # up, right, and both diagonals
        pairs = pieces & (pieces >> shift)
        won |= (pairs & (pairs >> 2 * shift)) != 0
    return won


def drop(occupied, column):
    """The bit of a piece that falls into a column; 0 where it is full."""
    # adding the bottom cell carries through the pieces of the column, into the lowest cell that is free
    return (occupied + (1 << STRIDE * column)) & (((1 << ROWS) - 1) << STRIDE * column)


class ConnectFour(JitEnv):
    """Two players in turn drop a piece into one of seven columns of six cells. Four in a row, in any direction, win.

    - Agents: 2. One acts, and the other waits: its mask is False. The first one begins.
    - Observation: ``Dict(action_mask=Box(0, 1, (7,), int8), observation=Box(0, 1, (6, 7, 2), int8))``: which columns
      have room, all 0 for who waits; the own pieces and the other's, rows from the top.
    - Action: ``Discrete(7)``: the column. That of who waits is ignored.
    - Reward: 1 for the winner and -1 for the loser, 0 for a draw. A piece in a full column loses at once, with -1 for
      who put it there and 0 for the other.
    - Terminated: at the end of the game, for both.
    - Start: an empty board; with ``opening``, one with some random moves, none of which wins.

    Source: PettingZoo's ``connect_four_v3``, with its spaces; the boards are bits, as in Tromp's Fhourstones.
    """

    agents = 2
    metrics = ("draw",)
    single_observation_space: Any = Dict(
        action_mask=Box(0, 1, (COLUMNS,), np.int8), observation=Box(0, 1, (ROWS, COLUMNS, 2), np.int8)
    )
    single_action_space = Discrete(COLUMNS)

    class State(NamedTuple):
        pieces: Annotated[np.int64, 2]  # of each player: bit ``column * STRIDE + height``
        turn: np.int8
        moves: np.int8
        draw: bool

    class Params(NamedTuple):
        opening: Annotated[int, Ge(0), Le(ROWS * COLUMNS // 2)] = 0
        """random moves before the players' own, at most; a new number of them in each game"""

    @kernel
    def reset_env(s, p, i, rng, team):
        if p.opening > 0:
            for _ in range(integer(rng, p.opening + 1)):
                piece = drop(s.pieces[i, 0] | s.pieces[i, 1], np.int64(integer(rng, COLUMNS)))
                if piece != 0 and not has_four(s.pieces[i, s.turn[i]] | piece):
                    s.pieces[i, s.turn[i]] |= piece
                    s.turn[i] = 1 - s.turn[i]
                    s.moves[i] += 1
        team.alive[i, 1 - s.turn[i]] = False

    @kernel
    def step_env(s, p, i, action, rng, team):
        player = s.turn[i]
        column = np.int64(action[player])
        piece = drop(s.pieces[i, 0] | s.pieces[i, 1], column)
        if piece == 0:
            team.reward[i, player] = -1.0
            return True
        s.pieces[i, player] |= piece
        s.moves[i] += 1
        won = has_four(s.pieces[i, player])
        end_turn(s, i, team, player, won)
        s.draw[i] = (not won) & (s.moves[i] == ROWS * COLUMNS)
        return won | s.draw[i]

    @kernel
    def observe_env(s, p, i, obs):
        occupied = s.pieces[i, 0] | s.pieces[i, 1]
        for a in range(2):
            for column in range(COLUMNS):
                has_room = (occupied >> (STRIDE * column + ROWS - 1)) & 1 == 0
                obs.action_mask[i, a, column] = has_room & (s.turn[i] == a)
                for row in range(ROWS):
                    bit = STRIDE * column + ROWS - 1 - row
                    cell = COLUMNS + 2 * (row * COLUMNS + column)  # of the flat observation: a fifth faster
                    obs[i, a, cell] = (s.pieces[i, a] >> bit) & 1
                    obs[i, a, cell + 1] = (s.pieces[i, 1 - a] >> bit) & 1
