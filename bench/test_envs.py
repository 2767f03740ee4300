"""pytest-benchmark: ``python -m pytest bench --benchmark-group-by=param:num_envs``.

For figures to quote, use bench/compare.py: it takes turns, and gives ratios.
"""

from __future__ import annotations

import pytest
from contestants import NotHere, envpool, gymnasium_vector, hand_written_c, ours

import puffer_numba
from puffer_numba.vector.speed import random_actions


@pytest.mark.parametrize("num_envs", [64, 4096, 65536])
@pytest.mark.parametrize("contestant", [ours, gymnasium_vector, envpool, hand_written_c], ids=lambda f: f.__name__)
def test_cartpole(benchmark, contestant, num_envs):
    try:
        step = contestant(num_envs)
    except NotHere as reason:
        pytest.skip(str(reason))
    step()
    benchmark.extra_info["envs"] = num_envs
    benchmark(step)


@pytest.mark.parametrize("name", puffer_numba.list_envs())
def test_suite(benchmark, name):
    env = puffer_numba.make(name, num_envs=4096)
    env.reset(seed=0)
    (actions,) = random_actions(env, 1)
    env.step(actions)
    benchmark(env.step, actions)
