"""Small environments that worker processes import, some of which fail."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.env import PufferEnv


class Counter(gymnasium.Env[Any, Any]):
    """Observes ``[seed of the reset, steps since, random number]``; ends after ``length`` steps.

    At step ``fail_at`` of the episode it does what ``fail`` says.
    """

    def __init__(
        self, length: int = 5, fail: str = "", fail_at: int = 3, sleep: float = 0.0, infos: int = 0, fail_seed: int = -1
    ) -> None:
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = Discrete(2)
        self.length, self.fail, self.fail_at, self.sleep, self.infos = length, fail, fail_at, sleep, infos
        self.fail_seed = fail_seed
        self.seed = 0
        if fail == "constructor":
            raise ValueError("no such level")

    def observe(self) -> Any:
        return np.array([self.seed, self.time, self.np_random.random()], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        time.sleep(self.sleep)
        if self.time == self.fail_at and self.fail_seed in (-1, self.seed):
            self.break_down()
        info = {"big": b"x" * self.infos} if self.infos else {}
        return self.observe(), float(action), self.time == self.length, False, info

    def break_down(self) -> None:
        if self.fail == "raise":
            raise ValueError("the wheel came off")
        if self.fail == "wrong shape":
            self.observe = lambda: np.zeros(4, np.float32)  # type: ignore[method-assign]
        if self.fail == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fail == "hang":
            time.sleep(1000)
        if self.fail == "_exit":
            os._exit(3)
        if self.fail == "exit":
            sys.exit("done")

    def render(self) -> Any:
        return np.full((2, 2, 3), os.getpid() % 256, np.uint8)


class Plain(PufferEnv):
    """A PufferEnv that is no JitEnv: counts its steps up to 3."""

    def __init__(self, num_envs: int = 1, buf: Any = None) -> None:
        self.single_observation_space = Box(0, 3, (1,), np.float32)
        self.single_action_space = Discrete(2)
        self.num_agents = num_envs
        super().__init__(buf)

    def reset(self, seed=None):
        self.observations[:] = 0
        return self.observations, []

    def step(self, actions):
        self.observations += 1
        self.terminals[:] = self.observations[:, 0] == 3
        self.final_observations[:] = self.observations
        self.observations[self.terminals] = 0
        return self.observations, self.rewards, self.terminals, self.truncations, []


class Rows(PufferEnv):
    """A PufferEnv of ``num_envs`` rows that observe the seed; keeps a statistic of its own."""

    def __init__(self, num_envs: int = 2, seed: int = 0, buf: Any = None, size: int = 1) -> None:
        self.single_observation_space = Box(-99, 99, (size,), np.float32)
        self.single_action_space = Discrete(2)
        self.num_agents = num_envs
        self.made_with = seed
        super().__init__(buf)

    def reset(self, seed: int | None = None) -> Any:
        self.observations[:] = self.made_with * 10 + (seed or 0)
        return self.observations, [{"made": self.made_with}]

    def step(self, actions: Any) -> Any:
        self.rewards[:] = actions
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def log(self) -> dict[str, float]:
        return {"speed": float(self.made_with)}


def trajectory(env: Any, steps: int = 40) -> list[Any]:
    rng = np.random.default_rng(0)
    found = [env.reset(seed=11)[0].copy()]
    for _ in range(steps):
        *arrays, infos = env.step(rng.integers(0, 2, env.num_agents))
        ended = env.terminals | env.truncations
        found += [array.copy() for array in arrays]
        found += [env.final_observations[ended].copy(), env.masks.copy(), len(infos)]
        if env.episode_returns is not None:
            found += [env.episode_returns[ended].copy(), env.episode_lengths[ended].copy()]
    found.append(sorted(env.log().items()))
    env.close()
    return found


def by_environment(env: Any, steps: int, seed: int = 11) -> list[list[Any]]:
    """What each row of an environment sees in ``steps`` steps, through `recv` and `send`, whatever the batches are.

    Actions depend on the row and its step alone, as do the results, if rows have nothing to do with one another.
    """
    seen: list[list[Any]] = [[] for _ in range(env.num_agents)]
    env.async_reset(seed)
    while min(map(len, seen)) <= steps:
        *arrays, _, env_ids, masks = env.recv()
        for k, row in enumerate(env_ids):
            result = [array[k].copy() for array in (*arrays, masks)]
            if env.terminals[row] or env.truncations[row]:
                result += [env.final_observations[row].copy(), env.episode_returns[row], env.episode_lengths[row]]
            seen[row].append(result)
        env.send([(row + len(seen[row]) // 3) % 2 for row in env_ids])
    env.close()
    return [results[: steps + 1] for results in seen]


def make_counter(**kwargs: Any) -> Counter:
    """A `Counter`."""
    return Counter(**kwargs)


not_callable = 3


class Simulator(gymnasium.Env[Any, Any]):
    """Runs a process of its own, on a port that nobody else may have: a file in ``folder``, named after the seed.

    Closing it ends the process, frees the port and leaves a file ``closed-SEED``. At its third step it does what
    ``fail`` says.
    """

    observation_space = Box(0, 1, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, folder: str, seed: int = 0, fail: str = "", fail_seed: int = -1) -> None:
        self.folder, self.seed, self.fail = Path(folder), seed, fail if seed == fail_seed else ""
        (self.folder / f"port-{seed}").touch(exist_ok=False)
        self.program = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
        self.program.start()
        (self.folder / f"pid-{seed}").write_text(str(self.program.pid))
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 3 and self.fail == "raise":
            raise ValueError("the wheel came off")
        if self.steps == 3 and self.fail == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        info = {"speed": 1.0, "lock": threading.Lock()} if self.steps == 3 and self.fail == "info" else {}
        return np.zeros(1, np.float32), 0.0, False, False, info

    def close(self) -> None:
        self.program.kill()
        self.program.join()
        (self.folder / f"port-{self.seed}").unlink()
        (self.folder / f"closed-{self.seed}").touch()
