"""2048 against lists of tiles that are merged one after the other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.game_2048 import DOWN, LEFT, RIGHT, UP, Game2048
from tests.helpers.parity import step_from

TURNS = {LEFT: 0, UP: 1, RIGHT: 2, DOWN: 3}  # quarter turns to the left after which the tiles go left


def slide(line: list[int]) -> tuple[list[int], int]:
    """A line of exponents moved to the left, and its score."""
    tiles = [exponent for exponent in line if exponent]
    merged, score = [], 0
    while tiles:
        tile = tiles.pop(0)
        if tiles and tiles[0] == tile:
            tile = tiles.pop(0) + 1
            score += 2**tile
        merged.append(tile)
    return merged + [0] * (len(line) - len(merged)), score


LINES = list(itertools.product(range(17), repeat=4))
"""Every line but those with a tile of 2 ** 17, the largest that can be reached: these come from merges only."""


def slide_board(board: np.ndarray, action: int) -> tuple[np.ndarray, int]:
    turned = np.rot90(board, TURNS[action])
    lines = [slide(line) for line in turned.tolist()]
    return np.rot90(np.array([line for line, _ in lines]), -TURNS[action]), sum(score for _, score in lines)


def check(boards: np.ndarray, action: int) -> np.ndarray:
    """Step all boards ``(n, 4, 4)``; where new tiles appeared, as (board, cell, exponent)."""
    found = step_from(Game2048, {"board": boards.reshape(-1, 16)}, np.full(len(boards), action))
    outcomes = [slide_board(board, action) for board in boards]
    expected, scores = np.array([board for board, _ in outcomes]), np.array([score for _, score in outcomes])
    moved = (expected != boards).any(axis=(1, 2))
    after = found.state.board.reshape(-1, 4, 4)
    new = after != expected
    np.testing.assert_array_equal(new.sum(axis=(1, 2)), moved)
    assert not expected[new].any()
    np.testing.assert_allclose(found.rewards, np.where(moved, scores / 128, -0.1), rtol=1e-6)
    np.testing.assert_array_equal(found.state.score, scores)
    largest = np.where(moved, 2 ** after.max(axis=(1, 2)).astype(int), 0)
    np.testing.assert_array_equal(found.state.largest, largest)
    np.testing.assert_array_equal(found.state.reached_1024, largest >= 1024)
    np.testing.assert_array_equal(found.state.reached_2048, largest >= 2048)
    legal = np.array([[(slide_board(board, a)[0] != board).any() for a in range(4)] for board in after])
    np.testing.assert_array_equal(found.observations, np.hstack([legal, after.reshape(-1, 16)]))
    np.testing.assert_array_equal(found.terminals, ~legal.any(axis=1))
    return np.column_stack([np.flatnonzero(moved), np.flatnonzero(new.reshape(-1)) % 16, after[new]])


@pytest.mark.slow
@pytest.mark.parametrize("action", [UP, DOWN, LEFT, RIGHT])
def test_all_lines(action):
    """Each of the 17 ** 4 lines on some board, which is turned so that the action slides it."""
    lines = np.array(LINES)
    lines = np.random.default_rng(0).permutation(np.vstack([lines, lines[:3]]))  # a multiple of 4
    check(np.rot90(lines.reshape(-1, 4, 4), -TURNS[action], axes=(1, 2)), action)


@pytest.mark.slow
def test_boards_that_are_full_or_almost():
    rng = np.random.default_rng(1)
    boards = rng.integers(1, 4, size=(4000, 4, 4))
    rows, columns = np.indices((4, 4))
    boards[:2000] = 1 + (rows + columns) % 2  # a checkerboard is stuck
    boards[:2000, 0, 0] = rng.integers(0, 4, 2000)
    boards[:1000, 2, 2] = rng.integers(0, 4, 1000)
    for action in range(4):
        check(boards, action)
    stuck = step_from(Game2048, {"board": boards[:2000].reshape(-1, 16)}, np.zeros(2000, np.int64)).terminals
    assert 100 < stuck.sum() < 1900


@pytest.mark.slow
def test_new_tiles():
    """Anywhere, each empty cell alike, and one in ten is a 4."""
    board = np.zeros((20_000, 4, 4), np.int64)
    board[:, 1, 2] = 5
    board[:, 3] = [1, 2, 3, 4]
    cells, exponents = check(board, LEFT).T[1:]
    counts = np.bincount(cells, minlength=16)
    assert (counts > 0).tolist() == [*[True] * 4, False, *[True] * 7, *[False] * 4]
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    assert set(exponents) == {1, 2}
    assert stats.binomtest(int((exponents == 2).sum()), 20_000, 0.1).pvalue > 1e-3


def test_start():
    observations = Game2048(20_000).reset(seed=2)[0][:, 4:]
    assert (np.sort(observations, axis=1)[:, :-2] == 0).all()
    tiles = observations > 0
    assert (tiles.sum(axis=1) == 2).all()
    assert stats.chisquare(tiles.sum(axis=0)).pvalue > 1e-3
    assert set(observations[tiles]) == {1, 2}


def test_whole_games():
    """Down if it is legal, else left or right, and up if nothing else is."""
    env = Game2048(64)
    observations = env.reset(seed=0)[0]
    rng = np.random.default_rng(0)
    for _ in range(3000):
        legal = observations[:, :4] > 0
        sideways = np.where(legal[:, LEFT] & (rng.random(64) < 0.5) | ~legal[:, RIGHT], LEFT, RIGHT)
        actions = np.where(legal[:, DOWN], DOWN, np.where(legal[:, LEFT] | legal[:, RIGHT], sideways, UP))
        observations = env.step(actions)[0]
    log = env.log()
    assert log["episodes"] > 64
    assert 64 < log["largest"] < 2048
    assert log["score"] == pytest.approx(log["episode_return"] * 128)  # what is legal is never idle


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reward_scale": 0.0}, "reward_scale is 0; expected more than 0"),
        ({"idle_cost": -1.0}, "idle_cost is -1; expected at least 0"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Game2048: parameter {message}"):
        Game2048(jit=False, **params)


def test_images():
    env = Game2048(jit=False)
    env.reset(seed=0)
    env.state.board[0] = np.arange(16)
    image = env.render()
    assert (image.shape, image.dtype) == ((444, 400, 3), np.uint8)
    assert env.render(mode="ansi").splitlines()[:2] == ["      .      2      4      8", "     16     32     64    128"]
    env.step([UP])
    env.step([LEFT])
    assert (env.render() != image).any()
