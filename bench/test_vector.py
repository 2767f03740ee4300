"""Python environments in worker processes, beside the vector environments of Gymnasium and Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv

from bench.conftest import Make
from bench.timer import Contestant
from puffer_numba import vector

make_cartpole = partial(gymnasium.make, "CartPole-v1")


class Pixels(gymnasium.Env[Any, Any]):
    """Observes four frames of 84 x 84, drawn beforehand."""

    action_space = Discrete(2)

    def __init__(self, side: int = 84) -> None:
        self.observation_space = Box(0, 255, (side, side, 4), np.uint8)
        self.frames = np.random.default_rng(0).integers(0, 256, (8, side, side, 4), np.uint8)
        self.time = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.frames[0], {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.frames[self.time % 8], 0.0, False, False, {}


class Uneven(gymnasium.Env[Any, Any]):
    """Sleeps 0 to 2 ms in each step."""

    observation_space, action_space = Box(-1, 1, (4,), np.float32), Discrete(2)

    def __init__(self) -> None:
        self.zeros = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.zeros, {}

    def step(self, action: Any) -> Any:
        time.sleep(self.np_random.uniform(0, 0.002))
        return self.zeros, 0.0, False, False, {}


def workers(creator: Callable[..., Any], num_envs: int, num_workers: int, **options: Any) -> Make:
    """Ours, all environments in each step."""

    def make(stack: ExitStack) -> Contestant:
        env = vector.make(creator, num_envs=num_envs, num_workers=num_workers, backend="multiprocessing", **options)
        return _stepped(stack.enter_context(env), num_envs)

    return make


def half_batches(creator: Callable[..., Any], num_envs: int, num_workers: int) -> Make:
    """Ours, in turns with whichever half of the workers is ready first."""

    def make(stack: ExitStack) -> Contestant:
        options: dict[str, Any] = {"batch_size": num_envs // 2, "zero_copy": False}
        env = vector.make(creator, num_envs=num_envs, num_workers=num_workers, **options)
        stack.enter_context(env)
        actions = np.zeros(env.agents_per_batch, np.int64)
        env.async_reset(seed=0)

        def turn() -> None:
            env.recv()
            env.send(actions)

        return Contestant(turn, env.agents_per_batch)

    return make


def gymnasium_async(creator: Callable[..., Any], num_envs: int) -> Make:
    """Gymnasium's, with a process for each environment."""

    def make(stack: ExitStack) -> Contestant:
        env = AsyncVectorEnv([creator] * num_envs)
        stack.callback(env.close)
        return _stepped(env, num_envs)

    return make


def sb3_subprocesses(stack: ExitStack) -> Contestant:
    """Stable-Baselines3's, with a process for each environment."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    env = SubprocVecEnv([make_cartpole] * 64)
    stack.callback(env.close)
    env.reset()
    actions = _actions(64)
    return Contestant(lambda: env.step(next(actions)), 64)


def _stepped(env: Any, num_envs: int) -> Contestant:
    env.reset(seed=0)
    actions = _actions(num_envs)
    return Contestant(lambda: env.step(next(actions)), num_envs)


def _actions(num_envs: int) -> cycle[Any]:
    return cycle(np.random.default_rng(0).integers(0, 2, (64, num_envs)))


GROUPS: dict[str, dict[str, Make]] = {  # ours first
    "64 CartPoles": {
        "Multiprocessing, 2 workers": workers(make_cartpole, 64, 2),
        "half batches": half_batches(make_cartpole, 64, 2),
        "gymnasium AsyncVectorEnv": gymnasium_async(make_cartpole, 64),
        "stable_baselines3 SubprocVecEnv": sb3_subprocesses,
    },
    "8 environments of 0 to 2 ms in 8 workers": {
        "half batches": half_batches(Uneven, 8, 8),
        "all at once": workers(Uneven, 8, 8),
    },
    "8 environments of 84 x 84 x 4 bytes": {
        "Multiprocessing, 2 workers": workers(Pixels, 8, 2),
        "the same, of 1 x 1 x 4": workers(Pixels, 8, 2, env_kwargs={"side": 1}),
        "gymnasium AsyncVectorEnv": gymnasium_async(Pixels, 8),
    },
    "one CartPole": {"Multiprocessing, 1 worker": workers(make_cartpole, 1, 1)},
}
CASES = [(group, name) for group, contestants in GROUPS.items() for name in contestants]


@pytest.mark.parametrize(("group", "name"), CASES, ids=[f"{group}, {name}" for group, name in CASES])
def test_workers(measure: Any, group: str, name: str) -> None:
    contestants = GROUPS[group]
    first = next(iter(contestants))
    measure(group, contestants[name], None if name == first else contestants[first])
