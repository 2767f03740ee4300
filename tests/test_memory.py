"""What cannot fit into memory is refused by its size."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import puffer_numba
from puffer_numba import memory, vector
from puffer_numba.cli import main
from puffer_numba.env import APIUsageError, make_buffers
from puffer_numba.pufferl import make_trainer
from tests.helpers.command_line import fails

HUGE = 10**12


@pytest.mark.parametrize("name", ["cartpole", "gym:CartPole-v1"])
def test_a_number_of_environments_that_cannot_fit(name, capsys):
    message = fails(capsys, "train", name, f"--env.num-envs={HUGE}")
    assert "1,000,000,000,000" in message
    assert "GiB of memory" in message
    assert "num" in message
    assert "ewer" in message


def test_everywhere_else():
    with pytest.raises(
        APIUsageError, match=r"num_envs=1,000,000,000,000 of CartPole would take .* GiB of memory; .* are "
    ):
        puffer_numba.make("cartpole", num_envs=HUGE)
    with pytest.raises(APIUsageError, match="environments would take"):
        vector.make(puffer_numba.env.PufferEnv, num_envs=HUGE, backend="serial")
    with pytest.raises(APIUsageError, match=r"1,000,000,000,000 rows of Box.* would take"):
        make_buffers(Box(0, 1, (3,), np.float32), Discrete(2), HUGE)
    with pytest.raises(APIUsageError, match=r"a rollout of 10000000000 steps of 4 rows \(train.horizon"):
        make_trainer("cartpole", {"train.horizon": 10**10, "env.num_envs": 4})


def test_what_fits_is_made():
    assert memory.available() > 2**20
    memory.check_room("a little", 2**20, "")
    assert main(["list"]) == 0
