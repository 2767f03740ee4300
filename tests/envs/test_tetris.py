"""Tetris against its rules, with a board of lists and pieces as drawings that are turned by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.tetris import (
    ALL_CELLS,
    EDGE,
    HARD_DROP,
    HOLD,
    LEFT,
    NAMES,
    NO_CELL,
    NOTHING,
    RIGHT,
    ROTATE,
    SOFT_DROP,
    Tetris,
)
from tests.helpers.parity import TRANSITIONS, step_from

DRAWINGS = {
    "I": ["....", "####", "....", "...."],
    "O": [".##.", ".##.", "...."],
    "T": [".#.", "###", "..."],
    "S": [".##", "##.", "..."],
    "Z": ["##.", ".##", "..."],
    "J": ["#..", "###", "..."],
    "L": ["..#", "###", "..."],
}
HEIGHT, WIDTH = 20, 10


def cells(piece: int, turns: int) -> list[tuple[int, int]]:
    drawing = DRAWINGS[NAMES[piece]]
    for _ in range(0 if NAMES[piece] == "O" else turns):
        drawing = ["".join(column)[::-1] for column in zip(*drawing, strict=True)]
    return [(r, c) for r, line in enumerate(drawing) for c, sign in enumerate(line) if sign == "#"]


@dataclass
class Game:
    board: list[list[int]]
    piece: int
    turns: int
    row: int
    column: int
    held: int
    swapped: bool
    waited: int
    lines: int
    coming: int
    events: list[str] = field(default_factory=list)

    def places(self, row: int, column: int, turns: int) -> list[tuple[int, int]]:
        return [(row + r, column + c) for r, c in cells(self.piece, turns)]

    def fits(self, row: int, column: int, turns: int) -> bool:
        places = self.places(row, column, turns)
        return all(r < HEIGHT and 0 <= c < WIDTH and not self.board[r][c] for r, c in places)

    def bottom(self) -> int:
        row = self.row
        while self.fits(row + 1, self.column, self.turns):
            row += 1
        return row

    def fall_steps(self) -> int:
        return max(3, 6 - (1 + self.lines // 10) // 4)

    def put_down(self) -> float:
        for r, c in self.places(self.row, self.column, self.turns):
            self.board[r][c] = self.piece + 1
        kept = [line for line in self.board if not all(line)]
        cleared = HEIGHT - len(kept)
        self.board = [[0] * WIDTH for _ in range(cleared)] + kept
        self.lines += cleared
        self.events.append(f"{cleared} lines")
        return [0.0, 1.0, 3.0, 5.0, 8.0][cleared]

    def appear(self, piece: int, swapped: bool) -> bool:
        """Whether there is no room."""
        self.piece, self.turns, self.row, self.column, self.waited, self.swapped = piece, 0, 0, 3, 0, swapped
        over = not self.fits(0, 3, 0)
        self.events += ["over"] if over else []
        return over

    def step(self, action: int) -> tuple[float, bool]:
        if action == HOLD and not self.swapped:
            piece, self.held = (self.held - 1 if self.held else self.coming), self.piece + 1
            self.events.append("swap")
            return 0.0, self.appear(piece, True)
        if action == HARD_DROP:
            rows = self.bottom() - self.row
            self.row += rows
            return rows / 64 + self.put_down(), self.appear(self.coming, False)
        reward = 0.0
        row, column, turns = {
            LEFT: (self.row, self.column - 1, self.turns),
            RIGHT: (self.row, self.column + 1, self.turns),
            ROTATE: (self.row, self.column, (self.turns + 1) % 4),
            SOFT_DROP: (self.row + 1, self.column, self.turns),
        }.get(action, (self.row, self.column, self.turns))
        if self.fits(row, column, turns):
            reward = 1 / 128 if action == SOFT_DROP else 0.0
            self.row, self.column, self.turns = row, column, turns
        else:
            self.events.append("blocked")
        self.waited += 1
        if self.waited >= self.fall_steps():
            self.waited = 0
            if not self.fits(self.row + 1, self.column, self.turns):
                return reward + self.put_down(), self.appear(self.coming, False)
            self.row += 1
            self.events.append("fell")
        return reward, False

    def observation(self) -> np.ndarray:
        grid = np.array(self.board) > 0
        image = grid.astype(np.float32)
        for row, sign in ((self.bottom(), -1.0), (self.row, 0.5)):
            for r, c in self.places(row, self.column, self.turns):
                image[r, c] = sign
        numbers = [self.row / HEIGHT, self.column / WIDTH, self.turns / 4]
        numbers += [self.waited / self.fall_steps(), self.fall_steps() / 16, not self.swapped]
        return np.concatenate([image.ravel(), numbers])


def words(board: np.ndarray) -> np.ndarray:
    """The rows of boards ``(n, 20, 10)``, as the environment keeps them."""
    rows = NO_CELL | ((board > 0) << (EDGE + np.arange(WIDTH))).sum(axis=2)
    return np.hstack([rows, np.full((len(board), 4), ALL_CELLS)])


def random_game(rng: np.random.Generator) -> Game:
    """A piece in the air; below it there often is a hole of its shape, open above, in rows that are full otherwise."""
    while True:
        piece, turns, row, column = (int(rng.integers(*b)) for b in ((0, 7), (0, 4), (0, HEIGHT), (-2, WIDTH)))
        board = np.zeros((HEIGHT, WIDTH), np.int64)
        filled = rng.integers(0, 21)
        board[HEIGHT - filled :] = rng.integers(1, 8, (filled, WIDTH))
        if rng.random() < 0.5:
            deep = row + int(rng.integers(0, 20))
            for r, c in cells(piece, turns):
                if 0 <= column + c < WIDTH:
                    board[: deep + r + 1, column + c] = 0
        else:
            board[rng.random((HEIGHT, WIDTH)) < 0.3] = 0
        state = piece, turns, row, column, int(rng.integers(0, 8))
        others = bool(rng.random() < 0.3), int(rng.integers(0, 6)), int(rng.integers(0, 200)), 0
        game = Game(board.tolist(), *state, *others)
        if game.fits(game.row, game.column, game.turns) and not any(all(line) for line in game.board):
            return game


@pytest.mark.slow
def test_transitions():
    rng = np.random.default_rng(0)
    n = TRANSITIONS
    games = [random_game(rng) for _ in range(n)]
    actions = rng.choice(7, n, p=[0.1, 0.1, 0.1, 0.15, 0.1, 0.35, 0.1])
    bags = np.hstack([np.argsort(rng.random((n, 7)), axis=1) for _ in range(2)])
    drawn = rng.integers(0, 14, n)
    for game, bag, k in zip(games, bags, drawn, strict=True):
        game.coming = int(bag[(k + 1) % 14])
    boards = np.array([game.board for game in games])
    names = ("piece", "turns", "row", "column", "held", "swapped", "waited", "lines")
    given = {name: [getattr(game, name) for game in games] for name in names}
    given |= {"board": boards.reshape(n, -1), "rows": words(boards), "bags": bags, "drawn": drawn}
    found = step_from(Tetris, given, actions)

    rewards, over = map(np.array, zip(*map(Game.step, games, actions.tolist()), strict=True))
    np.testing.assert_allclose(found.rewards, rewards, rtol=1e-6)
    np.testing.assert_array_equal(found.terminals, over)
    after = np.array([game.board for game in games])
    np.testing.assert_array_equal(found.state.board, after.reshape(n, -1))
    np.testing.assert_array_equal(found.state.rows, words(after))
    for name in names:
        np.testing.assert_array_equal(getattr(found.state, name), [getattr(game, name) for game in games])
    events = [event for game in games for event in game.events]
    for event in ("1 lines", "2 lines", "3 lines", "4 lines", "over", "swap", "blocked", "fell"):
        assert events.count(event) >= 10, event

    going_on = np.flatnonzero(~over)
    expected = np.array([games[k].observation() for k in going_on])
    np.testing.assert_allclose(found.observations[going_on, :206], expected, atol=1e-6)
    one_hot = found.observations[:, 206:].reshape(n, 4, 7)
    ring = found.state.bags[np.arange(n)[:, None], (found.state.drawn[:, None] + [1, 2]) % 14]
    np.testing.assert_array_equal(one_hot[:, 0], np.eye(7)[found.state.piece])
    np.testing.assert_array_equal(one_hot[:, 1:3], np.eye(7)[ring])
    np.testing.assert_array_equal(one_hot[:, 3], np.eye(8)[found.state.held][:, 1:])

    advanced = found.state.drawn != drawn
    for k in range(n):
        emptied = advanced[k] and found.state.drawn[k] % 7 == 0
        first = 7 - found.state.drawn[k] if emptied else 0
        kept = np.ones(14, np.bool_)
        if emptied:
            kept[first : first + 7] = False
            assert sorted(found.state.bags[k, ~kept]) == list(range(7))
        np.testing.assert_array_equal(found.state.bags[k, kept], bags[k, kept])


def test_pieces_come_from_bags_of_seven():
    env = Tetris(500, height=400)
    env.reset(seed=1)
    pieces = [env.state.piece.copy()]
    for _ in range(48):
        _, _, terminals, _, _ = env.step(np.full(500, HARD_DROP))
        assert not terminals.any()
        pieces.append(env.state.piece.copy())
    bags = np.array(pieces).T.reshape(-1, 7)
    np.testing.assert_array_equal(np.sort(bags, axis=1), np.tile(np.arange(7), (len(bags), 1)))
    for place in range(7):
        assert stats.chisquare(np.bincount(bags[:, place], minlength=7)).pvalue > 1e-4
    assert len(np.unique(bags, axis=0)) > 1500


def test_a_drop_lands_on_the_cells_that_are_shown():
    env = Tetris(64)
    observations = env.reset(seed=2)[0].copy()
    rng = np.random.default_rng(2)
    for _ in range(300):
        shown = observations[:, :200] != 0.5
        board = env.state.board.copy()
        actions = rng.choice([NOTHING, LEFT, RIGHT, ROTATE, HARD_DROP], 64)
        lines = env.state.lines.copy()
        after, _, terminals, _, _ = env.step(actions)
        dropped = (actions == HARD_DROP) & ~terminals & (env.state.lines == lines)
        new = (env.state.board > 0) & (board == 0)
        landed = (observations[:, :200] == -1) | ~shown & new
        np.testing.assert_array_equal(new[dropped], landed[dropped])
        assert (new[dropped].sum(axis=1) == 4).all()
        observations = after.copy()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"height": 3}, "height is 3; expected 4 to 1000"),
        ({"least_fall_steps": 0}, "least_fall_steps is 0; expected 1 to 10000"),
        ({"fall_steps": 2}, "fall_steps is 2; expected least_fall_steps, 3, to 10000"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Tetris: parameter {message}"):
        Tetris(jit=False, **params)


def test_images():
    env = Tetris(jit=False)
    env.reset(seed=0)
    image, text = env.render(), env.render(mode="ansi")
    assert (image.shape, image.dtype) == ((468, 368, 3), np.uint8)
    lines = text.splitlines()
    assert len(lines) == 21
    assert sum(c.islower() for line in lines[:20] for c in line) == 4
    assert lines[20].startswith("next ")
    assert lines[20].endswith("hold -  lines 0")
    env.step([HARD_DROP])
    assert (env.render() != image).any()
    assert sum(c.isupper() for line in env.render(mode="ansi").splitlines()[:20] for c in line) == 4
