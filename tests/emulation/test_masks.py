"""Masks from infos reach the policy, which then never takes an illegal action."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env

from puffer_numba import vector
from puffer_numba.emulation import ActionMaskFromInfo
from puffer_numba.env import APIUsageError


def taxi():
    return ActionMaskFromInfo(gymnasium.make("Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3"))


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_gymnasiums_checker_is_content():
    check_env(taxi(), skip_render_check=True)


def test_the_emulation_takes_masks_out_of_infos():
    options = {"num_envs": 2, "backend": "serial", "seed": 1}
    with vector.make(lambda: taxi().env, info_masks=True, **options) as env, vector.make(taxi, **options) as wrapped:
        assert env.single_observation_space == wrapped.single_observation_space
        assert np.array_equal(env.reset()[0], wrapped.reset()[0])


def test_a_policy_takes_only_what_the_info_allows():
    pytest.importorskip("torch")
    from puffer_numba.models.mlp import MLP
    from puffer_numba.train.episodes import policy_player

    with vector.make(taxi, num_envs=2, backend="serial", seed=1) as env:
        player = policy_player(MLP(env), env.single_action_space)
        env.reset()
        begins, illegal, allowed = np.ones(2, np.bool_), 0, []
        for _ in range(300):
            legal = env.observations.view(env.emulated.emulated_observation_dtype)["action_mask"].reshape(2, 6)
            allowed.append(legal.mean())
            actions = player(env, begins)
            illegal += int((legal[np.arange(2), actions] == 0).sum())
            _, _, terminals, truncations, _ = env.step(actions)
            begins = terminals | truncations
        assert illegal == 0
        assert 0.2 < np.mean(allowed) < 0.9


class Told(gymnasium.Env):
    """Tells ``info`` after each reset."""

    observation_space = Box(0, 1, (1,), np.float32)
    action_space = Discrete(3)

    def __init__(self, info):
        self.info = info

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), self.info


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"legal": 1}, r"told no 'action_mask' in its info; there are \['legal'\]"),
        ({"action_mask": [1, 0]}, r"has shape \(2,\); expected \(3,\): one for each choice"),
    ],
)
def test_masks_that_are_missing_or_too_short_are_named(info, message):
    with pytest.raises(APIUsageError, match=message):
        ActionMaskFromInfo(Told(info)).reset()


def test_continuous_actions_have_no_mask():
    with pytest.raises(APIUsageError, match=r"takes Discrete or MultiDiscrete actions, not Box"):
        ActionMaskFromInfo(gymnasium.make("Pendulum-v1"))
