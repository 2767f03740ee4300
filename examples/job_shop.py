"""A job shop: several jobs, several machines, an order of machines for each job."""

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, MultiDiscrete

from puffer_numba import JitEnv, kernel
from puffer_numba.jit.random import choice, integer


class JobShop(JitEnv):
    """Finish all jobs as early as possible.

    Each job visits every machine once, in an order of its own, and stays there for a number of time steps. A machine
    works on one job at a time, and doesn't stop before it has finished. In every time step, each machine that is free
    may begin a job.

    **Observation** `Box(0, 1, (machines + 2 * jobs * machines,))`: how long each machine still works on what it has
    begun; and for each job and machine how long the job still has to work there, and whether it is the machine that the
    job has to visit next.

    **Action** `MultiDiscrete([jobs + 1] * machines)`: which job each machine begins; `jobs` to wait. A choice that
    isn't possible (a machine at work, a job that must visit another machine first) is the same as waiting.

    **Reward**: -0.1 in each time step.

    **End**: all jobs are finished, or (truncated) after 150 time steps.

    **Start**: random orders and durations.
    """

    max_episode_steps = 150
    single_observation_space = staticmethod(lambda p: Box(0, 1, (p.machines + 2 * p.jobs * p.machines,), np.float32))
    single_action_space = staticmethod(lambda p: MultiDiscrete([p.jobs + 1] * p.machines))
    metrics = ("time",)
    train_config = {"train.total_timesteps": 1_500_000}

    class State(NamedTuple):
        order: Annotated[np.int8, "jobs", "machines"]  # of each job: its machines, one after the other
        left: Annotated[np.int8, "jobs", "machines"]  # of each job: how long it still has to work on a machine
        done: Annotated[np.int8, "jobs"]  # operations finished
        working: Annotated[np.int8, "machines"]  # the job on the machine, or -1
        time: int

    class Params(NamedTuple):
        jobs: Annotated[int, Ge(1)] = 4
        machines: Annotated[int, Ge(1)] = 3
        longest: Annotated[int, Ge(1)] = 6  # time steps of an operation, at most

    @kernel
    def reset_env(s, p, i, rng):
        s.working[i] = -1
        for job in range(p.jobs):
            choice(rng, p.machines, s.order[i, job])
            for machine in range(p.machines):
                s.left[i, job, machine] = 1 + integer(rng, p.longest)

    @kernel
    def step_env(s, p, i, action, rng):
        for machine, job in enumerate(action):
            if s.working[i, machine] >= 0 or job == p.jobs:
                continue
            if s.done[i, job] < p.machines and s.order[i, job, s.done[i, job]] == machine:
                s.working[i, machine] = job
        for machine in range(p.machines):
            job = s.working[i, machine]
            if job >= 0:
                s.left[i, job, machine] -= 1
                if s.left[i, job, machine] == 0:
                    s.working[i, machine] = -1
                    s.done[i, job] += 1
        s.time[i] += 1
        return -0.1, np.all(s.done[i] == p.machines)

    @kernel
    def observe_env(s, p, i, obs):
        obs[i] = 0
        busy = obs[i, : p.machines]
        left = obs[i, p.machines :].reshape(2, p.jobs, p.machines)
        for machine in range(p.machines):
            job = s.working[i, machine]
            if job >= 0:
                busy[machine] = s.left[i, job, machine] / p.longest
        left[0] = s.left[i] / p.longest
        for job in range(p.jobs):
            if s.done[i, job] < p.machines:
                left[1, job, s.order[i, job, s.done[i, job]]] = 1
