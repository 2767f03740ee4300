"""Memory: what was shown must be said again."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.envs.memory import Memory


def play(length: int, delay: int, num_envs: int, remember: bool) -> dict[str, float]:
    """Statistics of one episode in each environment, with a policy that repeats what it saw, or guesses."""
    env = Memory(num_envs, mem_length=length, mem_delay=delay)
    observations, _ = env.reset(seed=7)
    rng = np.random.default_rng(0)
    seen = np.zeros((length, num_envs), np.int64)
    for step in range(2 * length + delay):
        if step < length:
            assert set(np.unique(observations)) <= {0, 1}
            seen[step] = observations[:, 0]
        else:
            assert (observations == -1).all()
        recall = step - length - delay
        actions = seen[recall] if remember and recall >= 0 else rng.integers(2, size=num_envs)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        assert terminals.all() == terminals.any() == (step == 2 * length + delay - 1)
        assert not truncations.any()
        assert recall >= 0 or not rewards.any()
    return env.log()


@pytest.mark.parametrize(("length", "delay"), [(1, 0), (4, 0), (3, 5)])
def test_remembering_is_optimal(length, delay):
    log = play(length, delay, 64, remember=True)
    assert log["episode_return"] == length
    assert log["episode_length"] == 2 * length + delay
    assert log["solved"] == 1


def test_guessing_gets_half():
    log = play(4, 1, 2_000, remember=False)
    assert log["episode_return"] == pytest.approx(2, abs=0.1)
    assert log["solved"] == pytest.approx(1 / 16, abs=0.025)


def test_digits_are_fair_and_independent():
    env = Memory(20_000, mem_length=2)
    digits = [env.reset(seed=3)[0].copy(), env.step(np.zeros(20_000, np.int64))[0]]
    counts = np.unique(np.hstack(digits), axis=0, return_counts=True)[1]
    assert counts == pytest.approx([5000] * 4, abs=300)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mem_length": 0}, "mem_length is 0; expected at least 1"),
        ({"mem_delay": -1}, "mem_delay is -1; expected at least 0"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Memory: parameter {message}"):
        Memory(jit=False, **params)
