"""Password: only the right digits pay, and only at the end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.password import Password


@pytest.mark.parametrize(("length", "password"), [(1, 0), (1, 1), (5, 0b01101), (7, 0), (8, 0b11111111)])
def test_all_guesses(length, password):
    """One copy for each possible guess."""
    guesses = np.array(list(itertools.product((0, 1), repeat=length)))
    env = Password(len(guesses), length=length, password=password)
    observations, _ = env.reset()
    right = (guesses == [password >> k & 1 for k in range(length)]).all(axis=1)
    assert right.sum() == 1
    for step in range(length):
        expected = np.where(np.arange(length) < step, guesses, -1)
        np.testing.assert_array_equal(observations, expected)
        observations, rewards, terminals, truncations, _ = env.step(guesses[:, step])
        last = step == length - 1
        np.testing.assert_array_equal(rewards, right if last else 0)
        assert terminals.all() == terminals.any() == last
        assert not truncations.any()
    np.testing.assert_array_equal(env.final_observations, guesses)
    assert (observations == -1).all()
    assert env.log()["solved"] == pytest.approx(1 / len(guesses))


def test_password_is_the_same_under_every_seed_of_the_environment():
    assert Password(seed=0, jit=False).params.password == Password(seed=1, jit=False).params.password


def test_password_seed_spreads_over_the_passwords():
    chosen = [Password(length=3, password_seed=seed, jit=False).params.password for seed in range(400)]
    assert stats.chisquare(np.bincount(chosen, minlength=8)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"length": 0}, "length is 0; expected 1 to 30"),
        ({"length": 31}, "length is 31; expected 1 to 30"),
        ({"length": 3, "password": 8}, "password is 8; expected less than 8, for a length of 3"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Password: parameter {message}"):
        Password(jit=False, **params)


def test_image():
    env = Password(jit=False)
    env.reset()
    image = env.render()
    assert (image.shape, image.dtype) == ((144, 336, 3), np.uint8)
    env.step([1])
    assert (env.render() != image).any()
