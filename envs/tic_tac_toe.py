"""Tic-tac-toe: two players put marks on a board of three by three; three in a row win."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Dict, Discrete

from puffer_numba.envs._turns import end_turn
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

CELLS = 9
LINES = (0o007, 0o070, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124)  # rows, columns, diagonals, a bit for each cell


def has_line(marks):
    """Whether a player's marks hold one of the eight lines."""
    won = False
    for line in LINES:
        won |= (marks & line) == line
    return won


class TicTacToe(JitEnv):
    """Two players in turn mark one of nine cells. Three in a row, in any direction, win.

    - Agents: 2. One acts, and the other waits: its mask is False. The first one begins.
    - Observation: ``Dict(action_mask=Box(0, 1, (9,), int8), observation=Box(0, 1, (3, 3, 2), int8))``: which cells are
      free, all 0 for who waits; the own marks and the other's.
    - Action: ``Discrete(9)``: the cell, row by row. That of who waits is ignored.
    - Reward: 1 for the winner and -1 for the loser, 0 for a draw. Marking a cell that is taken loses at once, with -1
      for who did it and 0 for the other.
    - Terminated: at the end of the game, for both. Perfect players always draw.
    - Start: an empty board; with ``opening``, one with some random moves, none of which wins.

    Source: PettingZoo's ``tictactoe_v3``, which counts cells column by column.
    """

    agents = 2
    metrics = ("draw",)
    single_observation_space: Any = Dict(
        action_mask=Box(0, 1, (CELLS,), np.int8), observation=Box(0, 1, (3, 3, 2), np.int8)
    )
    single_action_space = Discrete(CELLS)

    class State(NamedTuple):
        marks: Annotated[np.int16, 2]  # of each player, a bit for each cell
        turn: np.int8
        draw: bool

    class Params(NamedTuple):
        opening: Annotated[int, Ge(0), Le(CELLS // 2)] = 0
        """random moves before the players' own, at most; a new number of them in each game"""

    @kernel
    def reset_env(s, p, i, rng, team):
        if p.opening > 0:
            for _ in range(integer(rng, p.opening + 1)):
                mark = np.int16(1 << integer(rng, CELLS))
                is_free = (s.marks[i, 0] | s.marks[i, 1]) & mark == 0
                if is_free and not has_line(s.marks[i, s.turn[i]] | mark):
                    s.marks[i, s.turn[i]] |= mark
                    s.turn[i] = 1 - s.turn[i]
        team.alive[i, 1 - s.turn[i]] = False

    @kernel
    def step_env(s, p, i, action, rng, team):
        player = s.turn[i]
        mark = np.int16(1 << action[player])
        if (s.marks[i, 0] | s.marks[i, 1]) & mark:
            team.reward[i, player] = -1.0
            return True
        s.marks[i, player] |= mark
        won = has_line(s.marks[i, player])
        end_turn(s, i, team, player, won)
        s.draw[i] = (not won) & ((s.marks[i, 0] | s.marks[i, 1]) == (1 << CELLS) - 1)
        return won | s.draw[i]

    @kernel
    def observe_env(s, p, i, obs):
        taken = s.marks[i, 0] | s.marks[i, 1]
        for a in range(2):
            for cell in range(CELLS):
                row, column = cell // 3, cell % 3
                obs.action_mask[i, a, cell] = ((taken >> cell) & 1 == 0) & (s.turn[i] == a)
                obs.observation[i, a, row, column, 0] = (s.marks[i, a] >> cell) & 1
                obs.observation[i, a, row, column, 1] = (s.marks[i, 1 - a] >> cell) & 1
