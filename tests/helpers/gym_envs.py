"""Small Gymnasium environments that the tests wrap, in a module that is imported quickly by worker processes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple


class Nested(gymnasium.Env[Any, Any]):
    """Every kind of space; the episode's length depends on its seed. Infos of every kind, on some steps only."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = Dict(
            camera=Box(0, 255, (2, 3), np.uint8),
            inner=Tuple([Discrete(9, start=-1), MultiBinary(2)]),
            said=Text(3, charset="abc"),
            either=OneOf([Discrete(4), Box(-1, 1, (2,), np.float32)]),
        )
        self.action_space = Dict(gear=Discrete(3, start=-1), wheel=Tuple([Discrete(2), MultiBinary(2)]))
        self.render_mode = render_mode
        self.speed = 1

    def observe(self) -> Any:
        return self.observation_space.sample()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.time, self.length = 0, int(self.np_random.integers(1, 6))
        return self.observe(), {"length": self.length, "options": options or {}}

    def step(self, action: Any) -> Any:
        self.time += 1
        info = {"mask": np.arange(2) == self.time} if self.time > 1 else {}
        if self.time == 2:
            info |= {"name": "two", "deep": {"er": 1.5}}
        reward = float(action["gear"] + 10 * action["wheel"][0] + 100 * action["wheel"][1].sum())
        ended = self.time == self.length
        return self.observe(), reward, ended and self.length % 2 == 0, ended and self.length % 2 == 1, info

    def rename(self, name: str, times: int = 1) -> str:
        return f"{name}{self.length}" * times

    def render(self) -> Any:
        return np.full((2, 2, 3), self.time, np.uint8)


class Parts(gymnasium.Env[Any, Any]):
    """Observes samples of its space; episodes of 4 steps, which end in turn for good and by truncation."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space, self.action_space = deepcopy((observation_space, action_space))
        self.episode, self.actions = 0, []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.time, self.episode = 0, self.episode + 1
        return self.observation_space.sample(), {"episode number": self.episode, **(options or {})}

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        self.time += 1
        over, odd = self.time == 4, self.episode % 2 == 1
        info = {"array": np.full(2, self.time)} if self.time > 1 else {}
        return self.observation_space.sample(), float(self.time), over and odd, over and not odd, info


def flat_dict() -> Dict:
    return Dict(
        camera=Box(0, 255, (40, 40, 1), np.uint8), gear=Discrete(3), buttons=MultiBinary(4), dials=MultiDiscrete([2, 5])
    )


def tuples() -> Tuple:
    either = OneOf([Discrete(2), Box(-1, 1, (2,), np.float32)])
    return Tuple([Box(-1, 1, (3,), np.float64), Dict(gear=Discrete(3), said=Text(2, charset="abc")), either])


class Camera(gymnasium.Env[Any, Any]):
    """Random images and rewards; the seed says how long episodes are. They end for good and by truncation in turn."""

    def __init__(self, shape: tuple[int, ...] = (12, 20, 3), dtype: Any = np.uint8) -> None:
        self.observation_space = Box(0, 255, shape, dtype)
        self.action_space = Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
        self.episode = 0

    def observe(self) -> Any:
        return (self.np_random.random(self.observation_space.shape) * 255).astype(self.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.episode = 0, self.episode + 1
        self.length = int(self.np_random.integers(2, 7))
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        self.taken = action
        over, odd = self.time >= self.length, self.episode % 2 == 1
        return self.observe(), float(self.np_random.normal(3, 2)), over and odd, over and not odd, {}


class Walking(gymnasium.Env[Any, Any]):
    """Observes its seed and the time; ends at step 5."""

    observation_space = Box(0, 100, (2,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.time = 0
        return np.array([self.seed, 0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return np.array([self.seed, self.time], np.float32), float(self.time), self.time == 5, False, {}
