"""What wrapping costs: structured observations to one array, and Gymnasium environments in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import SyncVectorEnv

from bench.timer import Contestant
from puffer_numba import vector
from puffer_numba.spaces.observations import ObservationLayout

make_cartpole = partial(gymnasium.make, "CartPole-v1")
NUM_ENVS = 8

SPACE = Dict(
    {f"box{k}": Box(0, 1, (4,), np.float32) for k in range(3)}
    | {f"image{k}": Box(0, 255, (8, 8), np.uint8) for k in range(2)}
    | {f"number{k}": Discrete(5) for k in range(2)}
    | {"many": MultiDiscrete([3, 4]), "flags": MultiBinary(4), "speed": Box(-1, 1, (), np.float64)}
)


def layout(_: ExitStack) -> Contestant:
    flat = ObservationLayout(SPACE)
    write = flat.writer(np.zeros(flat.flat_space.shape, flat.flat_space.dtype))
    return Contestant(partial(write, SPACE.sample()))


def flatten(_: ExitStack) -> Contestant:
    return Contestant(partial(gymnasium.spaces.flatten, SPACE, SPACE.sample()))


@pytest.mark.parametrize("contestant", [layout, flatten], ids=["ObservationLayout.writer", "gymnasium.spaces.flatten"])
def test_a_dict_of_ten_mixed_leaves(measure: Any, contestant: Any) -> None:
    measure("a Dict of ten mixed leaves to one array", contestant, None if contestant is layout else layout)


def _actions() -> Callable[[], Any]:
    return cycle(np.random.default_rng(0).integers(0, 2, (64, NUM_ENVS))).__next__


def serial(stack: ExitStack) -> Contestant:
    env = stack.enter_context(vector.make(make_cartpole, num_envs=NUM_ENVS, backend="serial"))
    env.reset(seed=0)
    actions = _actions()
    return Contestant(lambda: env.step(actions()), NUM_ENVS)


def sync(stack: ExitStack) -> Contestant:
    env = SyncVectorEnv([make_cartpole] * NUM_ENVS)
    stack.callback(env.close)
    env.reset(seed=0)
    actions = _actions()
    return Contestant(lambda: env.step(actions()), NUM_ENVS)


def bare(_: ExitStack) -> Contestant:
    """The most that is possible."""
    envs = [make_cartpole() for _ in range(NUM_ENVS)]
    for number, env in enumerate(envs):
        env.reset(seed=number)
    actions = _actions()

    def step() -> None:
        for env, action in zip(envs, actions(), strict=True):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return Contestant(step, NUM_ENVS)


@pytest.mark.parametrize(
    "contestant", [serial, sync, bare], ids=["Serial", "gymnasium SyncVectorEnv", "a bare loop over env.step"]
)
def test_eight_cartpoles_in_this_process(measure: Any, contestant: Any) -> None:
    measure("8 Gymnasium CartPoles in this process", contestant, None if contestant is serial else serial)
