"""Connect Four and tic-tac-toe against PettingZoo's, move by move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pettingzoo
import pytest

from puffer_numba.envs.connect_four import ConnectFour, has_four
from puffer_numba.envs.tic_tac_toe import TicTacToe, has_line
from puffer_numba.jit import JitEnv

GAMES: list[Any] = [
    (ConnectFour, "classic/connect_four-v3", lambda column: column),
    (TicTacToe, "classic/tictactoe-v3", lambda cell: cell % 3 * 3 + cell // 3),  # which counts column by column
]


def observed(env: JitEnv) -> Any:
    """Both players' observations, structured."""
    return env.observations.view(env.emulated.emulated_observation_dtype)[:, 0]  # type: ignore[union-attr]


def legal_moves(env: JitEnv) -> tuple[int, Any]:
    """Who is to move, and the moves there are."""
    player = int(env.masks.argmax())
    return player, np.flatnonzero(observed(env)["action_mask"][player])


@pytest.mark.slow
@pytest.mark.parametrize(("env_class", "reference", "rename"), GAMES)
def test_random_games_are_pettingzoos(env_class, reference, rename):
    """More than 10,000 moves: boards, masks, winners and draws."""
    env, zoo = env_class(), pettingzoo.make("aec", reference).unwrapped
    env.reset()
    rng = np.random.default_rng(0)
    results, moves = [], 0
    zoo.reset()
    while moves < 10_000 or len(set(results)) < 3:
        player, legal = legal_moves(env)
        agent = zoo.agent_selection
        assert zoo.possible_agents.index(agent) == player
        expected = zoo.observe(agent)
        assert sorted(rename(move) for move in legal) == np.flatnonzero(expected["action_mask"]).tolist()
        board = expected["observation"]
        ours = observed(env)["observation"][player]
        np.testing.assert_array_equal(ours, board.swapaxes(0, 1) if env_class is TicTacToe else board)
        assert not observed(env)["action_mask"][1 - player].any()
        move = int(rng.choice(legal))
        actions = np.full(2, 7 if env_class is TicTacToe else 0)
        actions[player] = move
        _, rewards, terminals, *_ = env.step(actions)
        zoo.step(rename(move))
        moves += 1
        assert terminals.all() == terminals.any() == any(zoo.terminations.values())
        assert rewards.tolist() == [zoo.rewards[name] for name in zoo.possible_agents]
        if terminals.any():
            results.append(tuple(rewards))
            zoo.reset()
    assert set(results) == {(1, -1), (-1, 1), (0, 0)}


@pytest.mark.parametrize(("env_class", "moves"), [(ConnectFour, [3] * 7), (TicTacToe, [4, 4])])
def test_illegal_moves_lose(env_class, moves):
    env = env_class()
    env.reset()
    for k, move in enumerate(moves):
        _, rewards, terminals, *_ = env.step([move, move])
        assert terminals.all() == terminals.any() == (k == len(moves) - 1)
    loser = (len(moves) - 1) % 2
    assert rewards[loser] == -1
    assert rewards[1 - loser] == 0


def test_a_draw_is_counted():
    env = TicTacToe()
    env.reset()
    for cell in (0, 1, 2, 4, 3, 5, 7, 6, 8):
        env.step([cell, cell])
    log = env.log()
    assert (log["episodes"], log["draw"], log["episode_length"]) == (1, 1, 9)


@pytest.mark.parametrize(("env_class", "size"), [(ConnectFour, (380, 440, 3)), (TicTacToe, (360, 360, 3))])
def test_images_and_text(env_class, size):
    env = env_class(jit=False)
    env.reset()
    empty = env.render()
    assert (empty.shape, empty.dtype) == (size, np.uint8)
    env.step([2, 0])
    env.step([0, 5])
    assert (env.render() != empty).any()
    text = env.render(mode="ansi")
    assert text.count("X") == 2  # one on the board, and to move
    assert text.endswith("X to move")


@pytest.mark.parametrize(
    ("env_class", "boards", "is_won", "most"),
    [(ConnectFour, "pieces", has_four, 6), (TicTacToe, "marks", has_line, 4)],
)
def test_an_opening_of_random_moves(env_class, boards, is_won, most):
    """By turns, on free cells and without a winner; then the one whose turn it is acts."""
    env = env_class(2000, seed=0, opening=most)
    env.reset()
    boards, turn = getattr(env.state, boards), env.state.turn
    counts = np.array([[int(board).bit_count() for board in row] for row in boards])
    moves = counts.sum(1)
    np.testing.assert_array_equal(counts[:, 0] - counts[:, 1], moves % 2)
    np.testing.assert_array_equal(turn, moves % 2)
    np.testing.assert_array_equal(env.masks.reshape(-1, 2).argmax(1), turn)
    assert (boards[:, 0] & boards[:, 1] == 0).all()
    assert not is_won(boards).any()
    assert set(moves.tolist()) == set(range(most + 1))


@pytest.mark.parametrize(("env_class", "most"), [(ConnectFour, 21), (TicTacToe, 4)])
def test_bad_openings(env_class, most):
    with pytest.raises(ValueError, match=f"{env_class.__name__}: parameter opening is 22; expected 0 to {most}"):
        env_class(opening=22)
