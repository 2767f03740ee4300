"""What ``overlap=True`` gains: a loop of policy and environment, with and without it.

::

    python -m bench.studies.overlap               # needs torch; in half a minute
    python -m bench.studies.overlap --device cuda

The environment does as much arithmetic in each step as it is told, so that environment and policy take about as long
as one another; the policy is an MLP of two hidden layers, on one thread of torch. Contestants run in turn, several
times; the medians are shown, so ratios hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

import puffer_numba
from bench import timer
from bench.timer import Contestant
from puffer_numba import PufferEnv, vector
from puffer_numba.jit.random import uniform

ROUNDS, SECONDS = 7, 0.3


class Pendulum(puffer_numba.JitEnv):
    """Swings for ``substeps`` small steps of time at each step, which costs as much as one likes."""

    max_episode_steps = 200
    single_observation_space = Box(-np.inf, np.inf, (4,), np.float32)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        angle: float
        speed: float

    class Params(NamedTuple):
        substeps: int = 100

    @puffer_numba.kernel
    def reset_env(s, p, i, rng):
        s.angle[i] = uniform(rng, -1.0, 1.0)

    @puffer_numba.kernel
    def step_env(s, p, i, action, rng):
        push = 1.0 if action == 1 else -1.0
        for _ in range(p.substeps):
            s.speed[i] += 0.001 * (push - math.sin(s.angle[i]))
            s.angle[i] += 0.001 * s.speed[i]
        return -abs(s.angle[i]), abs(s.angle[i]) > 6.0

    @puffer_numba.kernel
    def observe_env(s, p, i, obs):
        obs[i, 0], obs[i, 1] = math.cos(s.angle[i]), math.sin(s.angle[i])
        obs[i, 2], obs[i, 3] = s.speed[i], s.angle[i]


def make_policy(device: str, hidden: int) -> Callable[[Any], Any]:
    """Observations to actions, both NumPy's."""
    layers = (torch.nn.Linear(4, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, hidden), torch.nn.Tanh())
    network = torch.nn.Sequential(*layers, torch.nn.Linear(hidden, 2)).to(device)

    def act(observations: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(observations).to(device)).argmax(1).cpu().numpy()

    return act


def synchronous(env: PufferEnv, policy: Callable[[Any], Any]) -> Contestant:
    """All environments step, and then the policy computes."""
    env.reset(seed=0)
    return Contestant(lambda: env.step(policy(env.observations)), env.num_envs)


def overlapped(env: Any, policy: Callable[[Any], Any]) -> Contestant:
    """One half steps while the policy computes for the other."""
    env.async_reset(seed=0)

    def turn() -> None:
        for _ in range(2):
            env.send(policy(env.recv()[0]))

    return Contestant(turn, env.num_envs)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    policy = make_policy(options.device, options.hidden)
    print(f"{options.num_envs} environments, policy on {options.device}; thousands of steps per second")
    print(
        f"{'substeps':>9}{'kernel threads':>16}{'env alone':>11}{'policy alone':>14}"
        f"{'in turn':>10}{'overlap':>10}{'gain':>7}"
    )
    for substeps in (30, 100, 300):
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            make = {"num_envs": options.num_envs, "env_kwargs": {"substeps": substeps}}
            plain, halves = vector.make(Pendulum, **make), vector.make(Pendulum, overlap=True, **make)
            actions = np.zeros(options.num_envs, np.int32)
            turns = {
                "env": synchronous(vector.make(Pendulum, **make), lambda _, actions=actions: actions),
                "policy": Contestant(lambda plain=plain: policy(plain.observations), options.num_envs),
                "in turn": synchronous(plain, policy),
                "overlap": overlapped(halves, policy),
            }
            speeds = timer.take_turns(turns, ROUNDS, SECONDS)
            found = {name: speed.median for name, speed in speeds.items()}
            columns = "".join(
                f"{found[name] / 1e3:{width}.0f}" for name, width in zip(found, (11, 14, 10, 10), strict=True)
            )
            print(f"{substeps:9}{threads:16}{columns}{found['overlap'] / found['in turn']:7.2f}", flush=True)
            halves.close()


if __name__ == "__main__":
    main()
