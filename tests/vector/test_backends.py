"""Same seed, same trajectories: on every backend, with any number of workers, in batches of any size."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

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


class Telling(gymnasium.Env[Any, Any]):
    """Has an info at each step; of what kind, changes with the step and the seed."""

    observation_space = Box(0, 1, (1,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.own = 0, self.np_random.normal()
        return np.zeros(1, np.float32), {"start": self.own}

    def step(self, action: Any) -> Any:
        self.time += 1
        numbers = {
            "x": self.own,
            "n": self.time,
            "b": self.time % 2 == 0,
            "f": np.float32(self.own),
            "i": np.int64(2**40),
        }
        kinds: list[dict[Any, Any]] = [
            numbers,
            {"x": np.float64(self.own * self.time)},
            {"text": "abc", "x": 1.0},
            {"n": 2**60 + 1},
            {"n": -(2**50)},
            {1: 2.0},
            {"array": np.arange(3), "nested": {"x": 1}},
            {},
            {"x": float("nan"), "y": float("inf")},
            {f"k{k}": k for k in range(40)},
        ]
        alike = self.time % 40 > 20  # the same kind in all, or another one in each
        info = kinds[(self.time // 5 if alike else self.time + int(abs(self.own) * 10)) % len(kinds)]
        return np.zeros(1, np.float32), 0.0, self.time % 37 == 0, False, info


def test_infos_are_the_same_from_workers() -> None:
    """Types, too; numbers come through shared memory, the others pickled."""
    serial = vector.make(Telling, num_envs=6, backend="serial")
    workers = vector.make(Telling, num_envs=6, num_workers=2)
    with serial, workers:
        found = [env.reset(seed=3)[1] for env in (workers, serial)]
        for _ in range(200):
            ours, expected = found
            assert ours.numbers == expected.numbers  # type: ignore[attr-defined]
            assert [list(map(type, info.values())) for info in ours] == [list(map(type, i.values())) for i in expected]
            assert [list(info) for info in ours] == [list(info) for info in expected]
            assert repr(ours) == repr(expected)
            found = [env.step(np.zeros(6, np.int64))[4] for env in (workers, serial)]
        assert len(workers._readers[0]._kinds) > 3
