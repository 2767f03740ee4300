"""`check_python`: each mistake that it is to find, in an environment that makes it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import ParallelEnv

from puffer_numba.checks.emulated import check_python
from puffer_numba.checks.findings import Finding
from puffer_numba.env import APIUsageError
from tests.helpers.vector_envs import Rows

GENERATOR = np.random.default_rng(0)  # what an environment must not draw from


class Good(gymnasium.Env[Any, Any]):
    """Nothing is wrong here; subclasses change one thing each."""

    observation_space = Dict(
        {"speed": Box(-1, 1, (2,), np.float32), "gear": Discrete(4), "map": Box(0, 9, (3, 3), int)}
    )
    action_space = Discrete(2)

    def observe(self) -> Any:
        return {
            "speed": self.np_random.uniform(-1, 1, 2).astype(np.float32),
            "gear": self.np_random.integers(4),
            "map": self.np_random.integers(0, 10, (3, 3)),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.observe(), float(action), self.time == 7, False, {}


def of(creator: Any, **options: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in check_python(creator, **{"steps": 60, **options})}


def test_a_good_one() -> None:
    found = of(Good)
    assert [f for f in found.values() if f.level == "problem"] == []
    assert found["runs"].message == "60 steps with random actions; every observation in its space"
    assert found["episodes end"].message == "8 ended in 60 steps"
    assert found["seeding"].message == "same seed, same trajectory"
    lines = found["flattened"].message.splitlines()
    assert lines[0].startswith("uint8 (88,), actions Discrete(2)")
    assert [line.split() for line in lines[1:]] == [
        ["observation['gear']", "int64", "()", "at", "byte", "0"],
        ["observation['map']", "int64", "(3,", "3)", "at", "byte", "8"],
        ["observation['speed']", "float32", "(2,)", "at", "byte", "80"],
    ]


class Outside(Good):
    def observe(self) -> Any:
        late = getattr(self, "time", 0) == 6
        return {**super().observe(), "speed": np.array([0, 3.5 if late else 0], np.float32)}


class Zero(Good):
    def observe(self) -> Any:
        return {"speed": np.zeros(2, np.float32), "gear": 0, "map": np.zeros((3, 3), int)}


class Stale(Good):
    def observe(self) -> Any:
        return {"speed": np.ones(2, np.float32), "gear": 3, "map": np.ones((3, 3), int)}


class Dead(Good):
    def observe(self) -> Any:
        seen = super().observe()
        seen["map"][0] = 4
        return {**seen, "gear": 2}


class Unseeded(Good):
    def observe(self) -> Any:
        return {**super().observe(), "gear": GENERATOR.integers(4)}


class Certain(Good):
    def observe(self) -> Any:
        now = getattr(self, "time", 0)
        return {"speed": np.full(2, now / 9, np.float32), "gear": now % 4, "map": np.full((3, 3), now % 10)}


class Infinite(Good):
    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, np.inf, *rest


class Rich(Good):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, 1000 * reward, *rest


class Poor(Good):
    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, 0.0, *rest


class Endless(Good):
    def step(self, action: Any) -> Any:
        self.time = 0
        return super().step(action)


class Large(Good):
    observation_space = Dict({**Good.observation_space.spaces, "speed": Box(-1e4, 1e4, (2,), np.float32)})

    def observe(self) -> Any:
        return {**super().observe(), "speed": np.full(2, 500, np.float32)}


class Broken(Good):
    def step(self, action: Any) -> Any:
        raise ZeroDivisionError("the wheel came off")


@pytest.mark.parametrize(
    ("env", "name", "level", "message"),
    [
        (Outside, "runs", "problem", "observation['speed']"),
        (Broken, "runs", "problem", "ZeroDivisionError: the wheel came off"),
        (Zero, "observations vary", "problem", "every observation is zero"),
        (Stale, "observations vary", "problem", "every observation is the same: stale"),
        (Dead, "observations vary", "note", "observation['gear'] is always the same"),
        (Dead, "observations vary", "note", "3 of 9 elements of observation['map'] never change"),
        (Large, "observation scale", "note", "observation['speed'] is from 500 to 500; scale it"),
        (Unseeded, "seeding", "problem", "two runs with one seed differ from step 0 on: draw every random number"),
        (Certain, "seeding", "note", "two seeds give the same run"),
        (Infinite, "rewards", "problem", "a reward is inf"),
        (Rich, "rewards", "note", "from 0 to 1e+03; scale them to about 1"),
        (Poor, "rewards", "note", "every reward of random play is 0"),
        (Endless, "episodes end", "note", "no episode ended in 60 steps; check that there is a time limit"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mistakes(env: Any, name: str, level: str, message: str) -> None:
    finding = of(env)[name]
    assert finding.level == level
    assert message in finding.message


def test_what_gymnasium_itself_finds() -> None:
    class NoSeed(Good):
        def reset(self, *, options: Any = None, **_: Any) -> Any:
            self.time = 0
            return self.observe(), {"late": True}

        def observe(self) -> Any:
            return {"speed": np.full(2, self.time / 9, np.float32), "gear": self.time % 4, "map": np.ones((3, 3), int)}

    finding = of(NoSeed)["Gymnasium's check_env"]
    assert finding.level == "problem"
    assert "seed" in finding.message


class Team(ParallelEnv):  # type: ignore[misc]
    metadata = {"name": "team"}  # noqa: RUF012
    possible_agents = ["a", "b"]  # noqa: RUF012
    spaces = (Box(-1, 1, (2,), np.float32), Discrete(2))

    def observation_space(self, agent: Any) -> Any:
        return self.spaces[0]

    def action_space(self, agent: Any) -> Any:
        return self.spaces[1]

    def everyone(self, value: Any) -> Any:
        return dict.fromkeys(self.agents, value)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents, self.time = ["a", "b"], 0
        if seed is not None:
            self.generator = np.random.default_rng(seed)
        return self.observe(), self.everyone({})

    def observe(self) -> Any:
        return {agent: self.generator.uniform(-1, 1, 2).astype(np.float32) for agent in self.agents}

    def step(self, actions: Any) -> Any:
        self.time += 1
        ended = self.time == 5
        result = self.observe(), self.everyone(1.0), self.everyone(ended), self.everyone(False), self.everyone({})
        if ended:
            self.agents = []
        return result


def test_pettingzoo() -> None:
    found = of(Team)
    assert found["PettingZoo's API test"].level == "ok"
    assert found["runs"].level == found["seeding"].level == "ok"

    class Silent(Team):
        def step(self, actions: Any) -> Any:
            return [*super().step(actions)[:4], None]

    assert of(Silent)["PettingZoo's API test"].level == "problem"


def test_puffer_envs() -> None:
    class Noisy(Rows):
        def reset(self, seed: int | None = None) -> Any:
            self.generator = np.random.default_rng(seed)
            return super().reset(seed)

        def step(self, actions: Any) -> Any:
            self.observations[:] = self.generator.normal(size=self.observations.shape)
            self.terminals[:] = self.generator.random(self.num_agents) < 0.2
            return super().step(actions)

    found = of(Noisy)
    assert [f for f in found.values() if f.level == "problem"] == []
    assert "float32  (1,)  at byte 0" in found["flattened"].message

    class Far(Noisy):
        def step(self, actions: Any) -> Any:
            super().step(actions)
            self.observations[1] = 1000
            return self.observations, self.rewards, self.terminals, self.truncations, []

    assert of(Far)["runs"].message == "observation [0] is 1000.0 at step 1, outside Box(-99.0, 99.0, (1,), float32)"


def test_slow_environments_are_tried_for_a_while() -> None:
    message = of(Good, steps=10**6, seconds=0.05)["runs"].message
    assert "(slow: " in message


def test_wrong_use() -> None:
    with pytest.raises(APIUsageError, match=r"cartpole is a JitEnv; puffer_numba\.check"):
        check_python("cartpole")
