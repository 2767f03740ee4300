"""`check_python`: what is wrong with an environment of Gymnasium or PettingZoo, or with a PufferEnv written in NumPy.

`puffer_numba.check` is the same for a JitEnv.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from pettingzoo import AECEnv

from puffer_numba.checks.findings import (
    Finding,
    Outcome,
    Part,
    api_test,
    check_rewards,
    check_scale,
    check_vary,
    leaves_of,
    run_checks,
    take_apart,
)
from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.naming import Creator, env_creator, is_jit
from puffer_numba.vector.group import EnvJob, create

STEPS = 600
SECONDS = 5.0  # for the steps of one run, of which there are three
_API_CYCLES = 100

_Row = tuple[NDArray[Any], ...]


def check_python(
    creator: str | Creator, env_kwargs: Mapping[str, Any] | None = None, steps: int = STEPS, seconds: float = SECONDS
) -> list[Finding]:
    """Try an environment out with random actions, and say what is wrong with it, and how it is flattened.

    Args:
        creator: a name, as for `env_creator`, or what returns an environment.
        env_kwargs: what it is called with.
        steps: how many to try, each with every observation compared with the observation space.
        seconds: after which a run of these ends, if the environment is slow.

    Returns:
        One `Finding` for each check, in order; no problems means that every check passed.

    Raises:
        APIUsageError: there is no such environment, or it is a JitEnv, which `puffer_numba.check` checks. Whatever
            the creator raises.
    """
    made = env_creator(creator) if isinstance(creator, str) else creator
    if is_jit(made):
        raise APIUsageError(f"{creator} is a JitEnv; puffer_numba.check(env) checks these.")
    return list(_findings(_Trial(EnvJob(made, (), dict(env_kwargs or {})), steps, seconds)))


class _Trial:
    """An environment under test, and one recorded run of random actions."""

    def __init__(self, job: EnvJob, steps: int, seconds: float) -> None:
        self.job, self.steps, self.seconds = job, steps, seconds
        self.record: list[_Row] = []
        self.log: dict[str, float] = {}
        with create(job, 0, 0) as env:
            space = env.single_observation_space
            self.leaves = leaves_of(env)
            self.spaces = f"{space.dtype} {space.shape}, actions {env.single_action_space}"
            self.kind = type(env)

    def make_raw(self) -> Any:
        """The environment as its creator returns it."""
        return self.job.creator(*self.job.args, **self.job.kwargs)

    def make(self) -> PufferEnv:
        """A new one whose every observation is compared with its space."""
        if issubclass(self.kind, GymnasiumPufferEnv | PettingZooPufferEnv):
            return self.kind(self.make_raw(), checked_steps=None, strict=True)
        return create(self.job, 0, 0)

    def run(self, steps: int, seed: int = 1) -> list[_Row]:
        """Observations, masks, rewards, terminals, truncations of each step, after the first observations."""
        with self.make() as env:
            space = env.action_space
            space.seed(0)
            env.reset(seed=seed)
            rows: list[_Row] = [(env.observations.copy(), env.masks.copy())]
            until = time.perf_counter() + self.seconds
            while len(rows) <= steps and time.perf_counter() < until:
                env.step(np.asarray(space.sample(), env.actions.dtype))
                arrays = (env.observations, env.masks, env.rewards, env.terminals, env.truncations)
                rows.append(tuple(array.copy() for array in arrays))
                _check_bounds(env, len(rows) - 1)
            self.log = env.log()
        return rows

    def parts(self) -> list[Part]:
        """All observations that somebody acts on."""
        return take_apart(np.concatenate([row[0][row[1]] for row in self.record]), self.leaves)


def _check_bounds(env: PufferEnv, step: int) -> None:
    """That a PufferEnv's observations are in its space; those that are wrapped have been checked, leaf by leaf."""
    space, observations = env.single_observation_space, env.observations
    outside = ~((observations >= space.low) & (observations <= space.high))  # NaN is outside
    if outside.any():
        where = tuple(np.argwhere(outside)[0])
        raise APIUsageError(
            f"observation {list(map(int, where[1:]))} is {observations[where]} at step {step}, outside {space}"
        )


def _findings(trial: _Trial) -> Iterator[Finding]:
    yield from run_checks(_CHECKS, trial)
    if trial.kind is GymnasiumPufferEnv:
        yield _test_api("Gymnasium's check_env", trial, _check_gymnasium)
    elif trial.kind is PettingZooPufferEnv:
        yield _test_api("PettingZoo's API test", trial, _check_pettingzoo)
    yield Finding("flattened", "ok", _layout(trial))


def _check_runs(trial: _Trial) -> Outcome:
    trial.record = trial.run(trial.steps)
    steps = len(trial.record) - 1
    note = f" (slow: {trial.seconds / max(steps, 1) * 1e3:.0f} ms each)" if steps < trial.steps else ""
    return "ok", f"{steps} steps with random actions{note}; every observation in its space"


def _check_vary(trial: _Trial) -> Outcome:
    return check_vary(trial.parts(), "problem")


def _check_scale(trial: _Trial) -> Outcome:
    return check_scale(trial.parts())


def _check_episodes(trial: _Trial) -> Outcome:
    episodes = trial.log.get("episodes")
    if episodes is None:
        episodes = float(np.sum([(row[3] | row[4]).any() for row in trial.record[1:]]))
    steps = len(trial.record) - 1
    if not episodes:
        return "note", f"no episode ended in {steps} steps; check that there is a time limit"
    return "ok", f"{episodes:.0f} ended in {steps} steps"


def _check_rewards(trial: _Trial) -> Outcome:
    return check_rewards(np.stack([row[2] for row in trial.record[1:]]))


def _check_seed(trial: _Trial) -> Outcome:
    steps = min(len(trial.record) - 1, 200)
    again, other = trial.run(steps), trial.run(steps, seed=2)
    for step, (first, second) in enumerate(zip(trial.record, again, strict=False)):
        if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, second, strict=True)):
            return "problem", (
                f"two runs with one seed differ from step {step} on: draw every random number from self.np_random"
            )
    if all(np.array_equal(a[0], b[0]) for a, b in zip(again, other, strict=False)):
        return "note", "two seeds give the same run: nothing is random"
    return "ok", "same seed, same trajectory"


def _test_api(name: str, trial: _Trial, test: Callable[[Any], None]) -> Finding:
    with contextlib.closing(trial.make_raw()) as env:
        return api_test(name, lambda: test(env), ignored="different from the unwrapped version")


def _check_gymnasium(env: gymnasium.Env[Any, Any]) -> None:
    check_env(env, skip_render_check=True, skip_close_check=True)


def _check_pettingzoo(env: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PettingZoo, about itself
        from pettingzoo.test import api_test, parallel_api_test
    if isinstance(env, AECEnv):
        api_test(env, num_cycles=_API_CYCLES)
    else:
        parallel_api_test(env, num_cycles=_API_CYCLES)


def _layout(trial: _Trial) -> str:
    """A line for each leaf: where it lies in the flat observation."""
    rows = [
        (leaf.path, str(leaf.dtype), str(tuple(map(int, leaf.shape))), f"at byte {leaf.offset}")
        for leaf in trial.leaves
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([trial.spaces, *lines])


_CHECKS: dict[str, Callable[[_Trial], Outcome]] = {
    "runs": _check_runs,
    "observations vary": _check_vary,
    "observation scale": _check_scale,
    "episodes end": _check_episodes,
    "rewards": _check_rewards,
    "seeding": _check_seed,
}
