"""Gymnasium's own wrappers around one environment, within a PufferEnv: each step compared with the wrapped one's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.spaces import Box

from puffer_numba import vector
from puffer_numba.emulation import GymnasiumPufferEnv
from tests.helpers.gym_envs import Camera


def pong(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    pytest.importorskip("ale_py")
    return gymnasium.make("ale_py:ALE/Pong-v5", **kwargs)


WRAPPED: dict[str, Callable[[], gymnasium.Env[Any, Any]]] = {
    "RecordEpisodeStatistics": lambda: wrappers.RecordEpisodeStatistics(
        gymnasium.make("CartPole-v1", max_episode_steps=9)
    ),
    "ClipAction": lambda: wrappers.ClipAction(gymnasium.make("Pendulum-v1")),
    "RescaleAction": lambda: wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(-1), np.float32(1)),
    "NormalizeObservation": lambda: wrappers.NormalizeObservation(gymnasium.make("CartPole-v1")),
    "NormalizeReward": lambda: wrappers.NormalizeReward(gymnasium.make("Pendulum-v1", max_episode_steps=9)),
    "FrameStackObservation": lambda: wrappers.FrameStackObservation(gymnasium.make("CartPole-v1"), 3),
    "ResizeObservation": lambda: wrappers.ResizeObservation(Camera((12, 20, 3)), (6, 5)),
    "GrayscaleObservation": lambda: wrappers.GrayscaleObservation(Camera((12, 20, 3))),
    "AtariPreprocessing": lambda: wrappers.AtariPreprocessing(pong(frameskip=1, repeat_action_probability=0.0)),
    "Atari stacked": lambda: wrappers.FrameStackObservation(
        wrappers.AtariPreprocessing(pong(frameskip=1, repeat_action_probability=0.0), terminal_on_life_loss=True), 4
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_same_steps_as_the_wrapped_environment(name: str) -> None:
    env, bare = GymnasiumPufferEnv(WRAPPED[name]()), WRAPPED[name]()
    assert env.single_observation_space == bare.observation_space
    assert env.single_action_space == bare.action_space
    observations, _ = env.reset(seed=3)
    expected, _ = bare.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(60):
        np.testing.assert_array_equal(observations[0], expected)
        action = rng.uniform(-1, 1, 1).astype(np.float32) if isinstance(bare.action_space, Box) else rng.integers(2)
        if name in ("ResizeObservation", "GrayscaleObservation"):
            action = np.float32([0, 1])
        observations, rewards, terminals, truncations, infos = env.step(np.asarray(action)[None])
        expected, reward, terminated, truncated, info = bare.step(action)
        assert rewards[0] == np.float32(reward)
        assert (terminals[0], truncations[0]) == (terminated, truncated)
        if terminated or truncated:
            np.testing.assert_array_equal(env.final_observations[0], expected)
            if name == "RecordEpisodeStatistics":
                assert infos[0]["episode"]["r"] == info["episode"]["r"] == env.episode_returns[0]
            expected, _ = bare.reset()


def test_in_worker_processes() -> None:
    pytest.importorskip("ale_py")

    def preprocessed() -> Any:
        return wrappers.AtariPreprocessing(gymnasium.make("ale_py:ALE/Pong-v5", frameskip=1))

    with vector.make(preprocessed, num_envs=2, num_workers=2) as env:
        observations, _ = env.reset(seed=0)
        assert observations.shape == (2, 84, 84)
        observations, *_ = env.step([2, 3])
        assert observations.any(axis=(1, 2)).all()
