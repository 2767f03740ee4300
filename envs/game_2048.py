"""2048: slide numbered tiles together until one is 2048, or as large as can be."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Positive
from puffer_numba.jit.random import integer

UP, DOWN, LEFT, RIGHT = range(4)
SIZE = 4
CELLS = SIZE * SIZE
LARGEST = 17  # as an exponent of 2: no larger tile is possible


def slide(a, b, c, d):
    """A line of four exponents (0 is empty), moved towards ``a``: the new line and what its merges score.

    Each tile merges once, those in front first.
    """
    for _ in range(3):  # gaps move to the end
        a, b = (b, 0) if a == 0 else (a, b)
        b, c = (c, 0) if b == 0 else (b, c)
        c, d = (d, 0) if c == 0 else (c, d)
    score = 0
    if (a > 0) & (a == b):
        score += 2 << a
        a, b, c, d = a + 1, c, d, 0
    if (b > 0) & (b == c):
        score += 2 << b
        b, c, d = b + 1, d, 0
    if (c > 0) & (c == d):
        score += 2 << c
        c, d = c + 1, 0
    return a, b, c, d, score


def add_tile(board, i, empty, rng):
    """A 2, or one time in ten a 4, on one of the ``empty`` cells that are left."""
    place = integer(rng, empty)
    exponent = 2 if integer(rng, 10) == 0 else 1
    for k in range(CELLS):
        if board[i, k] == 0:
            if place == 0:
                board[i, k] = exponent
            place -= 1


def find_legal(board, i, legal):
    """Which actions move a tile: one does where, of two neighbours, the one in front is empty, or both are equal."""
    up = down = left = right = False
    for k in range(CELLS):
        tile = board[i, k]
        if k % SIZE < SIZE - 1:
            other = board[i, k + 1]
            left |= (other > 0) & ((tile == 0) | (tile == other))
            right |= (tile > 0) & ((other == 0) | (tile == other))
        if k < CELLS - SIZE:
            other = board[i, k + SIZE]
            up |= (other > 0) & ((tile == 0) | (tile == other))
            down |= (tile > 0) & ((other == 0) | (tile == other))
    legal[i, UP], legal[i, DOWN], legal[i, LEFT], legal[i, RIGHT] = up, down, left, right


class Game2048(JitEnv):
    """All tiles slide as far as they can; equal ones that meet become one of their sum. Then a new tile appears.

    - Observation: ``Dict(action_mask=Box(0, 1, (4,), int8), observation=MultiDiscrete([18] * 16))``: which actions
      move a tile; the cells, row by row: 0 empty, else the exponent of the tile, of 2. All int8.
    - Action: ``Discrete(4)``: slide up (0), down (1), left (2), right (3).
    - Reward: the sum of the tiles that come from merges, over ``reward_scale``; the game's score is their total. An
      action that moves nothing changes nothing, and is charged ``idle_cost``.
    - Terminated: no tile can move.
    - Truncated: after 20000 steps.
    - Start: two tiles. Each new tile is a 2 with probability 0.9, else a 4, on any empty cell.

    Source: Cirulli's game 2048 (2014); PufferLib 3, Ocean's ``g2048``, where a merge pays by its exponent, and the end
    of the game costs 1.
    """

    max_episode_steps = 20_000
    metrics = ("score", "largest", "reached_1024", "reached_2048")
    single_observation_space: Any = Dict(
        action_mask=Box(0, 1, (4,), np.int8), observation=MultiDiscrete([LARGEST + 1] * CELLS, dtype=np.int8)
    )
    single_action_space = Discrete(4)

    class State(NamedTuple):
        board: Annotated[np.int8, 16]
        legal: Annotated[np.int8, 4]
        score: int
        largest: int
        reached_1024: bool
        reached_2048: bool

    class Params(NamedTuple):
        reward_scale: Positive = 128.0  # score that earns a reward of 1; a power of 2, so that rewards are exact
        idle_cost: Annotated[float, Ge(0)] = 0.1  # of a move that moves nothing

    @kernel
    def reset_env(s, p, i, rng):
        add_tile(s.board, i, CELLS, rng)
        add_tile(s.board, i, CELLS - 1, rng)
        find_legal(s.board, i, s.legal)

    @kernel
    def step_env(s, p, i, action, rng):
        # the cells of a line are `along` apart, the lines `across`; `first` is the corner that tiles slide to
        along = -SIZE if action == DOWN else SIZE if action == UP else -1 if action == RIGHT else 1
        across = 1 if action <= DOWN else SIZE
        first = (CELLS - SIZE) if action == DOWN else (SIZE - 1) if action == RIGHT else 0
        gained = 0
        moved = False
        for line in range(SIZE):
            k = first + line * across
            a, b = np.int32(s.board[i, k]), np.int32(s.board[i, k + along])
            c, d = np.int32(s.board[i, k + 2 * along]), np.int32(s.board[i, k + 3 * along])
            new_a, new_b, new_c, new_d, score = slide(a, b, c, d)
            moved |= (new_a != a) | (new_b != b) | (new_c != c) | (new_d != d)
            s.board[i, k], s.board[i, k + along] = new_a, new_b
            s.board[i, k + 2 * along], s.board[i, k + 3 * along] = new_c, new_d
            gained += score
        if moved:
            empty = 0
            largest = 0
            for k in range(CELLS):
                empty += s.board[i, k] == 0
                largest = max(largest, s.board[i, k])
            add_tile(s.board, i, empty, rng)
            s.score[i] += gained
            s.largest[i] = 1 << largest
            s.reached_1024[i] = largest >= 10
            s.reached_2048[i] = largest >= 11
        reward = float(gained) / p.reward_scale if moved else -p.idle_cost
        find_legal(s.board, i, s.legal)
        stuck = s.legal[i, UP] + s.legal[i, DOWN] + s.legal[i, LEFT] + s.legal[i, RIGHT] == 0
        return reward, stuck

    @kernel
    def observe_env(s, p, i, obs):
        for action in range(4):
            obs.action_mask[i, action] = s.legal[i, action]
        for k in range(CELLS):
            obs.observation[i, k] = s.board[i, k]
