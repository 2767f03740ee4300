"""The calls of a trading gym."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from puffer_numba import APIUsageError
from puffer_numba.emulation import TradingEnv, VecTradingEnv


def test_a_single_market():
    env = TradingEnv(max_ticks=3, seed=42)
    check_env(env, skip_render_check=True)
    env = TradingEnv(max_ticks=3, seed=42)
    observation, info = env.reset()
    assert observation.dtype == np.float32
    assert info == {"tick": 0, "equity": 10_000.0, "realized_pnl": 0.0}
    again, _ = TradingEnv(max_ticks=3).reset(seed=42)
    np.testing.assert_array_equal(observation, again)
    for tick, action in enumerate((2, np.int64(1), 0), start=1):
        _, _, terminated, truncated, info = env.step(action)
        assert (info["tick"], terminated, truncated) == (tick, False, tick == 3)
        assert isinstance(info["equity"], float)
    assert info["realized_pnl"] != 0
    assert len(env.feature_names()) == len(set(env.feature_names())) == 54


def test_observations_of_float64_are_computed_in_float64():
    wide, narrow = (TradingEnv(max_ticks=50, seed=1, dtype=dtype) for dtype in ("float64", "float32"))
    assert wide.observation_space == Box(-np.inf, np.inf, (54,), np.float64)
    assert narrow.observation_space == Box(-1, 1, (54,), np.float32)
    ours, theirs = wide.reset()[0], narrow.reset()[0]
    assert ours.dtype == np.float64
    assert (ours != ours.astype(np.float32)).sum() > 20  # more digits than float32 has
    for _ in range(20):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        ours, theirs = wide.step(2)[0], narrow.step(2)[0]


@pytest.mark.parametrize("action", [3, -1, 1.0, True, "buy", None])
def test_what_is_no_action(action):
    env = TradingEnv(max_ticks=10, seed=0)
    env.reset()
    with pytest.raises(ValueError, match=r"action must be 0 \(sell\), 1 \(hold\) or 2 \(buy\), not "):
        env.step(action)
    assert env.puffer_env.state.tick[0] == 0


def test_several_markets_are_those_of_their_seeds():
    many = VecTradingEnv(3, max_ticks=5, base_seed=7)
    alone = [TradingEnv(max_ticks=5, seed=7 + i) for i in range(3)]
    observations, infos = many.reset_all()
    np.testing.assert_array_equal(observations, [env.reset()[0] for env in alone])
    assert infos == [{"tick": 0, "equity": 10_000.0, "realized_pnl": 0.0}] * 3
    for _ in range(5):
        observations, rewards, terminated, truncated, infos = many.step_all([0, 1, 2])
        expected = [env.step(action) for action, env in enumerate(alone)]
        for part, ours in enumerate((observations, rewards, terminated, truncated)):
            np.testing.assert_array_equal(ours, np.array([step[part] for step in expected], ours.dtype))
        assert infos == [step[4] for step in expected]
    assert truncated.all()
    assert [info["tick"] for info in many.step_all([1, 1, 1])[4]] == [0, 0, 0]  # the next episodes
    np.testing.assert_array_equal(
        many.reset_all([8, 8, 7])[0], [env.reset(seed=8)[0] for env in alone[:2]] + [alone[2].reset(seed=7)[0]]
    )


def test_wrong_counts():
    env = VecTradingEnv(num_envs=3, max_ticks=5, base_seed=0)
    with pytest.raises(APIUsageError, match=r"takes 3 seeds, .* got 1 of them"):
        env.reset_all([1])
    env.reset_all()
    for actions in ([1, 1], [1] * 4, 1):
        with pytest.raises(ValueError, match=r"step_all\(\) got \d actions; expected 3, one for each environment"):
            env.step_all(actions)
    with pytest.raises(ValueError, match=r"action must be .*not \[0, 1, 5\]"):
        env.step_all([0, 1, 5])
