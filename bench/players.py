"""Players of board games that look at the board, to measure trained policies against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import PufferEnv
from puffer_numba.envs.connect_four import ROWS, STRIDE, ConnectFour, has_four
from puffer_numba.envs.tic_tac_toe import TicTacToe, has_line
from puffer_numba.spaces.observations import action_masks
from puffer_numba.train.episodes import Player

Actions = NDArray[np.int64]


def random_player(seed: int) -> Player:
    """Any legal move, each as likely as the others."""
    rng = np.random.default_rng(seed)
    return lambda env, begins: _any_of(_legal(env), rng)


def one_ply(seed: int) -> Player:
    """Wins where it can, prevents that the other wins with the next move where it can, and else moves at random."""
    rng = np.random.default_rng(seed)

    def act(env: PufferEnv, begins: NDArray[np.bool_]) -> Actions:
        legal = _legal(env)
        own, others = (legal & _completes(env, turned) for turned in (False, True))
        wanted = np.where(own.any(1)[:, None], own, np.where(others.any(1)[:, None], others, legal))
        return _any_of(wanted, rng)

    return act


def _legal(env: PufferEnv) -> NDArray[np.bool_]:
    """Which moves each row has; who waits, all: it does not matter."""
    masks = action_masks(env)
    assert masks is not None
    return masks | ~masks.any(1)[:, None]


def _any_of(wanted: NDArray[np.bool_], rng: np.random.Generator) -> Actions:
    return (rng.random(wanted.shape) * wanted).argmax(1)


def _completes(env: PufferEnv, turned: bool) -> NDArray[np.bool_]:
    """For each row and move: whether a piece of its own there, or with ``turned`` one of the other, makes a line."""
    sides = [1, 0] if turned else [0, 1]
    if isinstance(env, ConnectFour):
        pieces = env.state.pieces
        occupied = np.repeat(pieces[:, 0] | pieces[:, 1], 2)[:, None]
        bottoms = np.int64(1) << STRIDE * np.arange(STRIDE, dtype=np.int64)
        placed = (occupied + bottoms) & (bottoms * ((1 << ROWS) - 1))
        return _holds(has_four, pieces[:, sides].reshape(-1, 1) | placed)
    assert isinstance(env, TicTacToe)
    return _holds(has_line, env.state.marks[:, sides].reshape(-1, 1) | (1 << np.arange(9)))


def _holds(wins: Callable[[NDArray[np.int64]], NDArray[np.bool_]], boards: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(wins(boards), np.bool_)
