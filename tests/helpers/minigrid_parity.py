"""What the tests of the MiniGrid environments share: the reference as it is made, and observations of both kinds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from puffer_numba.envs._minigrid import MiniGrid
from puffer_numba.spaces.observations import ObservationLayout

pytest.importorskip("minigrid")  # its environments register themselves


def make_reference(gym_id: str) -> Any:
    """One of the package's own environments, without wrappers, after a reset."""
    env = gymnasium.make(gym_id).unwrapped
    env.reset(seed=0)
    return env


def flat(observation: dict[str, Any]) -> NDArray[np.uint8]:
    """The reference's observation in the bytes of ours, padding too."""
    layout = ObservationLayout(MiniGrid.single_observation_space)
    row = np.zeros(layout.flat_space.shape, np.uint8)
    layout.writer(row)({"direction": int(observation["direction"]), "image": observation["image"]})
    return row


def assert_drop_in(env: gymnasium.Env[Any, Any], expected: gymnasium.Env[Any, Any]) -> None:
    """Whether spaces are the reference's, but for the mission, and so is the time limit."""
    spaces = dict(expected.observation_space.spaces)  # type: ignore[attr-defined]
    del spaces["mission"]
    assert dict(env.observation_space.spaces) == spaces  # type: ignore[attr-defined]
    assert env.action_space == expected.action_space
    env.reset(seed=0)
    for step in range(1, expected.unwrapped.max_steps + 1):  # type: ignore[attr-defined]
        observation, reward, terminated, truncated, _ = env.step(6)
        assert observation in env.observation_space
        assert not reward
        assert not terminated
        assert truncated == (step == expected.unwrapped.max_steps)  # type: ignore[attr-defined]
