"""The loop over threads: one machine code for one thread and for many, and what a kernel raises on any of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.compiler import launch
from tests.helpers.jit_envs import Walk, force_threads


class Picky(JitEnv):
    """Raises for action 3."""

    single_observation_space = Discrete(4)
    single_action_space = Discrete(4)

    class State(NamedTuple):
        last: int

    @kernel
    def reset_env(s, p, i, rng):
        s.last[i] = 0

    @kernel
    def step_env(s, p, i, action, rng):
        if action == 3:
            raise ValueError("anything but 3")
        s.last[i] = action
        return 1.0, False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.last[i]


@pytest.mark.parametrize("row", [0, 999])
def test_an_exception_reaches_the_caller_from_any_thread(row):
    env = force_threads(Picky(num_envs=1000))
    env.reset(seed=0)
    actions = np.zeros(1000, np.int32)
    actions[row] = 3
    with pytest.raises(ValueError, match="anything but 3"):
        env.step(actions)
    np.testing.assert_array_equal(env.step(actions * 0 + 2)[0], 2)  # and the next step is as ever


def test_threads_compile_nothing_for_an_environment_that_ran_on_one():
    env = Walk(num_envs=100, size=12)
    env.reset(seed=0)
    actions = np.zeros(100, np.int32)
    env._step_alone(actions)
    compiled = list(env._step_kernel.signatures)
    force_threads(env).step(actions)
    assert env._step_kernel.signatures == compiled


def test_the_loop_is_compiled_once_for_actions_of_one_kind():
    environments = [Walk(num_envs=8, size=12), Picky(num_envs=8)]
    for env in environments:
        env.reset(seed=0)
        force_threads(env).step(np.zeros(8, np.int32))
    kinds = [signature[2] for signature in launch.launch.signatures]
    assert len(kinds) == len(set(kinds))


def test_read_only_and_unaligned_actions_compile_nothing_more():
    env = Picky(num_envs=3)
    env.reset(seed=0)
    actions = np.ones(3, np.int64)
    env.step(actions)
    compiled = len(env._step_kernel.signatures)
    actions.flags.writeable = False
    env.step(actions)
    unaligned = np.zeros(8 * 3 + 1, np.uint8)[1:].view(np.int64)
    assert not unaligned.flags.aligned
    unaligned[:] = 2
    np.testing.assert_array_equal(env.step(unaligned)[0], 2)
    assert len(env._step_kernel.signatures) == compiled


def test_an_address_needs_machine_code():
    """What `address` leans on: Numba compiles, keeps the code, and says where it is."""
    env = Walk(num_envs=3, size=12)
    env.reset(seed=0)
    arguments = (env._simulation, np.zeros(3, np.int32), 0, 1, launch.STEP)
    found = launch.address(env._step_kernel, *arguments)
    assert found == launch.address(env._step_kernel, *arguments) != 0
