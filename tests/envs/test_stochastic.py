"""Stochastic: only the right coin does well."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from puffer_numba.envs.stochastic import Stochastic


@pytest.mark.parametrize(("p", "horizon"), [(0.75, 64), (0.5, 50), (0.125, 100)])
def test_every_step_against_exact_arithmetic(p, horizon):
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(2 * horizon, 32))
    env = Stochastic(32, p=p, horizon=horizon)
    assert (env.reset()[0] == 1).all()
    share = Fraction(p)
    zeros, tick = np.zeros(32, np.int64), 0
    for row in actions:
        wanted = [0 if tick == 0 or Fraction(int(n), tick) < share else 1 for n in zeros]
        worth = [1 / (p * horizon), 1 / ((1 - p) * horizon)]
        expected = [worth[action] if action == want else 0 for action, want in zip(row, wanted, strict=True)]
        observations, rewards, terminals, _, _ = env.step(row)
        np.testing.assert_allclose(rewards, expected, rtol=1e-6)
        assert (observations == 1).all()
        zeros, tick = zeros + (row == 0), tick + 1
        assert terminals.all() == terminals.any() == (tick == horizon)
        if tick == horizon:
            assert env.log()["share"] == pytest.approx(zeros.mean() / horizon)
            zeros, tick = np.zeros(32, np.int64), 0


@pytest.mark.parametrize("p", [0.75, 0.3])
def test_the_best_coin_has_the_bias_that_is_asked_for(p):
    rng = np.random.default_rng(1)
    returns = {}
    for q in (0.0, p - 0.15, p, p + 0.15, 1.0):
        env = Stochastic(500, p=p)
        env.reset()
        for _ in range(500):
            env.step((rng.random(500) >= q).astype(np.int64))
        returns[q] = env.log()["episode_return"]
        assert returns[q] == pytest.approx(min(q / p, (1 - q) / (1 - p)), abs=0.03)
    assert max(returns, key=returns.__getitem__) == p


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"p": 0.0}, "p is 0; expected more than 0 and less than 1"),
        ({"p": 1.0}, "p is 1; expected more than 0 and less than 1"),
        ({"horizon": 0}, "horizon is 0; expected at least 1"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Stochastic: parameter {message}"):
        Stochastic(jit=False, **params)


def test_image():
    env = Stochastic(jit=False)
    env.reset()
    image = env.render()
    assert (image.shape, image.dtype) == ((120, 480, 3), np.uint8)
    env.step([0])
    assert (env.render() != image).any()
