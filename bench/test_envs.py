"""Steps of the suite's environments, and of the same ones elsewhere: ``pytest bench/test_envs.py -k cartpole``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import puffer_numba
from bench.contestants import envpool, gymnasium_vector, hand_written_c, others, ours, pufferlib
from bench.timer import Contestant

NUM_ENVS = 4096
PEERS = [(name, label, make) for name in puffer_numba.list_envs() for label, make in others(name, NUM_ENVS)]
SIZES = [64, 65536]
CARTPOLES: dict[str, Callable[[int], Contestant]] = {
    "Gymnasium's NumPy version": partial(gymnasium_vector, "CartPole-v1", "vector_entry_point"),
    "EnvPool": partial(envpool, "CartPole-v1"),
    "PufferLib 3 in C": partial(pufferlib, "cartpole"),
    "C by hand": hand_written_c,
}


@pytest.mark.parametrize("name", puffer_numba.list_envs())
def test_environment(measure: Any, name: str) -> None:
    """4096 at once, on all threads."""
    measure(name, lambda _: ours(name, NUM_ENVS))


@pytest.mark.parametrize(
    ("name", "make"), [(n, m) for n, _, m in PEERS], ids=[f"{n}, {label}" for n, label, _ in PEERS]
)
def test_peer(measure: Any, name: str, make: Callable[[], Contestant], one_thread: None) -> None:
    """Others' versions, beside ours on one thread."""
    measure(name, lambda _: make(), lambda _: ours(name, NUM_ENVS))


@pytest.mark.parametrize("num_envs", SIZES)
def test_cartpole_of_other_sizes(measure: Any, num_envs: int) -> None:
    """Few, where the cost of a call shows, and many, where the memory's bandwidth does."""
    measure(f"cartpole, {num_envs} environments", lambda _: ours("cartpole", num_envs))


@pytest.mark.parametrize("num_envs", SIZES)
@pytest.mark.parametrize("peer", CARTPOLES)
def test_cartpole_of_other_sizes_elsewhere(measure: Any, peer: str, num_envs: int, one_thread: None) -> None:
    measure(
        f"cartpole, {num_envs} environments",
        lambda _: CARTPOLES[peer](num_envs),
        lambda _: ours("cartpole", num_envs),
    )
