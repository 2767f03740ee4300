"""Catch against bsuite's, and against its rules."""

from __future__ import annotations

import numpy as np
import pytest
from bsuite.environments import catch
from scipy import stats

from puffer_numba.envs.catch import Catch
from tests.helpers.parity import step_from
from tests.helpers.tables import Draws


@pytest.mark.filterwarnings("ignore:Deprecated method")
@pytest.mark.parametrize(("rows", "columns"), [(10, 5), (2, 3), (6, 9)])
def test_games_are_bsuites_draw_by_draw(rows, columns):
    reference = catch.Catch(rows, columns)
    env = Catch(autoreset="disabled", rows=rows, columns=columns)
    env.reset(seed=0)
    draws = reference._rng = Draws(env)
    rng = np.random.default_rng(0)
    returns = []
    for _ in range(3000 // rows):
        draws.follow()
        observations, _ = env.reset()
        expected = reference.reset()
        while True:
            np.testing.assert_array_equal(observations[0], expected.observation)
            action = rng.integers(3)
            observations, rewards, terminals, _, _ = env.step([action])
            expected = reference.step(action)
            assert (rewards[0], terminals[0]) == (expected.reward, expected.last())
            if terminals[0]:
                returns.append(rewards[0])
                break
    assert set(returns) == {1, -1}


def test_every_transition():
    grid = np.array(np.meshgrid(range(9), range(5), range(5), range(3), indexing="ij")).reshape(4, -1)
    row, column, paddle, action = grid
    found = step_from(Catch, {"ball_row": row, "ball_column": column, "paddle": paddle}, action)
    moved = np.clip(paddle + action - 1, 0, 4)
    np.testing.assert_array_equal(found.state.paddle, moved)
    np.testing.assert_array_equal(found.state.ball_row, row + 1)
    np.testing.assert_array_equal(found.state.ball_column, column)
    np.testing.assert_array_equal(found.terminals, row == 8)
    np.testing.assert_array_equal(found.rewards, np.where(row < 8, 0, np.where(moved == column, 1, -1)))
    board = np.zeros((len(row), 10, 5), np.float32)
    board[np.arange(len(row)), row + 1, column] = 1
    board[np.arange(len(row)), 9, moved] = 1
    np.testing.assert_array_equal(found.observations, board)


def test_first_states_and_the_best_return():
    env = Catch(5000)
    observations, _ = env.reset(seed=0)
    assert (env.state.paddle == 2).all()
    assert (observations.sum(axis=(1, 2)) == 2).all()
    assert stats.chisquare(np.unique(env.state.ball_column, return_counts=True)[1]).pvalue > 1e-3
    for _ in range(9):
        env.step(1 + np.sign(env.state.ball_column - env.state.paddle).astype(np.int64))
    assert env.log() == {"episodes": 5000, "episode_return": 1, "episode_length": 9}


@pytest.mark.parametrize(("name", "value", "least"), [("rows", 1, 2), ("columns", 0, 1), ("rows", 2000, 2)])
def test_bad_params(name, value, least):
    with pytest.raises(ValueError, match=f"Catch: parameter {name} is {value}; expected {least} to 1024"):
        Catch(jit=False, **{name: value})


def test_images():
    env = Catch(jit=False)
    env.reset(seed=0)
    image, text = env.render(), env.render(mode="ansi")
    assert (image.shape, image.dtype) == ((480, 240, 3), np.uint8)
    assert (text.count("o"), text.count("="), text.count("\n")) == (1, 1, 10)
    env.step([0])
    assert (env.render() != image).any()
    assert env.render(mode="ansi") != text
