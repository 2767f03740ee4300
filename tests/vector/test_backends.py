"""Same seed, same trajectories: on every backend, with any number of workers, in batches of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from puffer_numba import vector
from puffer_numba.envs.cartpole import CartPole
from tests.helpers.vector_envs import Counter, by_environment

STEPS, NUM_ENVS = 80, 4
IN_PROCESSES: list[dict[str, Any]] = [
    {"num_workers": 1},
    {"num_workers": 2},
    {"num_workers": 4},
    {"num_workers": 2, "batch_size": 2},
    {"num_workers": 4, "batch_size": 1},
    {"num_workers": 4, "batch_size": 2},
    {"num_workers": 4, "batch_size": 3, "zero_copy": False},
    {"num_workers": 2, "context": "spawn"},
]


def assert_same(found: list[list[Any]], expected: list[list[Any]]) -> None:
    assert len(found) == len(expected) == NUM_ENVS
    for row, (results, its) in enumerate(zip(found, expected, strict=True)):
        for step, (mine, other) in enumerate(zip(results, its, strict=True)):
            assert len(mine) == len(other), (row, step)
            assert all(map(np.array_equal, mine, other)), (row, step)


def made(creator: Any, **options: Any) -> list[list[Any]]:
    return by_environment(vector.make(creator, num_envs=NUM_ENVS, **options), STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("creator", [CartPole, "gym:CartPole-v1", Counter])
@pytest.mark.parametrize("options", IN_PROCESSES, ids=lambda options: " ".join(f"{k}={v}" for k, v in options.items()))
def test_processes(creator: Any, options: dict[str, Any]) -> None:
    expected = made(creator, backend="serial")
    assert any(len(result) > 5 for row in expected for result in row)  # some episodes ended
    assert_same(made(creator, backend="multiprocessing", **options), expected)


def test_threads() -> None:
    expected = made(CartPole, backend="serial")
    assert_same(made(CartPole, backend="native"), expected)
    assert_same(made(CartPole, overlap=True), expected)


def test_different_seeds_differ() -> None:
    for creator in (CartPole, "gym:CartPole-v1"):
        one, other = (by_environment(vector.make(creator, num_envs=2, backend="serial"), 5, seed) for seed in (1, 9))
        assert not np.array_equal(one[0][0][0], other[0][0][0])
        assert not np.array_equal(one[0][0][0], one[1][0][0])
