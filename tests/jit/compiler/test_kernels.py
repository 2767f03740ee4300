"""Kernels: every row is stepped, whatever the blocks and chunks; memory; what is compiled, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba import kernel
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.jit.compiler.kernels import BLOCK
from tests.helpers.jit_envs import Team, Walk, force_threads


@pytest.mark.parametrize("num_envs", [1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1, 5000])
@pytest.mark.parametrize("threaded", [False, True])
def test_every_row_is_stepped_once(num_envs, threaded):
    """Guards against numba issues 5872, 7135 and 10338: writes that silently disappear in a parallel loop."""
    env = Walk(num_envs=num_envs, size=1000)
    if threaded:
        force_threads(env)
    env.reset(seed=0)
    env.state.position[:] = np.arange(num_envs) % 300 + 100
    env.observations[:] = env.rewards[:] = 9
    env.terminals[:] = env.truncations[:] = True
    expected = env.state.position + 1
    streams = env._streams.copy()
    env.step(np.ones(num_envs, int))
    np.testing.assert_array_equal(env.state.position, expected)
    np.testing.assert_array_equal(env.observations[:, 0], expected)
    np.testing.assert_array_equal(env.state.ticks, 1)
    np.testing.assert_array_equal(env.rewards, -0.125)
    np.testing.assert_array_equal(env._episodes.lengths, 1)
    assert (env._streams != streams).all()
    assert not env.terminals.any()
    assert not env.truncations.any()


def test_every_row_of_teams_is_stepped_once_on_threads():
    env = force_threads(Team(num_envs=1000, lifetimes=np.full(3, 9)))
    env.reset(seed=0)
    env.step(np.ones(3000, int))
    np.testing.assert_array_equal(env.state.tick, 1)
    np.testing.assert_array_equal(env.rewards.reshape(1000, 3), [[1, 2, 3]] * 1000)


def test_a_cartpole_takes_less_than_100_bytes():
    n = 65536
    env = CartPole(num_envs=n)
    episodes = [a for a in env._episodes if isinstance(a, np.ndarray)]
    arrays = [*env.state, env._streams, *episodes, *env.buffers]
    small = {id(env.agent_ids), id(env._low), id(env._high)}
    owned = {id(a) for a in vars(env).values() if isinstance(a, np.ndarray) and a.base is None}
    assert owned - {id(a) for a in arrays} <= small  # so nothing was left out
    assert sum(a.nbytes for a in arrays) / n < 100
    assert env.nbytes / n < 100


def test_one_class_is_compiled_once_for_any_number_of_environments_and_params():
    envs = [Walk(num_envs=n, size=n + 2, max_episode_steps=limit) for n, limit in ((1, None), (7, 3), (300, 9))]
    for env in envs:
        env.reset()
        env.step(np.zeros(env.num_envs, np.int32))
    assert len({id(env._step_kernel) for env in envs}) == 1
    assert len(envs[0]._reset_kernel.signatures) == 1


def test_another_class_of_the_same_name_has_its_own_kernels():
    def make(step):
        class Walker(Walk):
            @kernel
            def step_env(s, p, i, action, rng):
                return step, False

        return Walker(num_envs=2)

    for step in (3.0, 4.0):
        env = make(step)
        env.reset()
        env.step(np.zeros(2, np.int32))
        np.testing.assert_array_equal(env.rewards, step)


def test_reset_of_a_subclass_may_be_inherited():
    class Lazy(Walk):
        @kernel
        def step_env(s, p, i, action, rng):
            return 0.5, False

    env = Lazy(num_envs=3)
    start = env.reset(seed=0)[0].copy()
    np.testing.assert_array_equal(start, Walk(num_envs=3).reset(seed=0)[0])
    env.step([0, 1, 0])
    np.testing.assert_array_equal(env.observations, start)
