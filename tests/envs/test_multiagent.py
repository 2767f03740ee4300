"""Multiagent: each agent's own number, and nobody else's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from puffer_numba.emulation import make_parallel_env
from puffer_numba.envs.multiagent import Multiagent

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PettingZoo 1.27's tests import its own deprecated names
    from pettingzoo.test import parallel_api_test


@pytest.mark.parametrize("players", [2, 3, 7])
def test_each_agent_earns_by_its_own_number(players):
    env = Multiagent(50, players=players)
    observations, _ = env.reset()
    numbers = np.tile(np.arange(players), 50)
    rng = np.random.default_rng(0)
    for _ in range(20):
        np.testing.assert_array_equal(observations[:, 0], numbers)
        actions = np.where(rng.random(len(numbers)) < 0.5, numbers, rng.integers(players, size=len(numbers)))
        observations, rewards, terminals, truncations, _ = env.step(actions)
        np.testing.assert_array_equal(rewards, actions == numbers)
        assert terminals.all()
        assert not truncations.any()
        right = (actions == numbers).reshape(50, players)
        log = env.log()
        assert log["episode_return"] == pytest.approx(right.mean())
        assert log["solved"] == pytest.approx(right.all(axis=1).mean())


@pytest.mark.slow
def test_pettingzoo():
    env = make_parallel_env("multiagent", players=3)
    parallel_api_test(env, num_cycles=20)
    observations, _ = env.reset(seed=0)
    rewards = env.step({agent: int(number) for agent, number in observations.items()})[1]
    assert rewards == {"agent_0": 1, "agent_1": 1, "agent_2": 1}


def test_bad_params():
    with pytest.raises(ValueError, match="Multiagent: parameter players is 1; expected at least 2"):
        Multiagent(players=1, jit=False)


def test_image():
    env = Multiagent(jit=False, autoreset="disabled")  # otherwise the next episode is on the image already
    env.reset()
    image = env.render()
    assert (image.shape, image.dtype) == ((112, 112, 3), np.uint8)
    env.step([0, 0])
    assert (env.render() != image).any()
