"""The first part of `check`: some hundred steps in plain Python, with every access checked.

What an index too far would do to a process, this says at the author's line. While it runs, NumPy's and Python's own
random numbers are errors, too, and so is reading what ``np.empty`` left.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from puffer_numba.checks.findings import Finding, take_apart
from puffer_numba.checks.play import random_actions
from puffer_numba.jit.checked import DebugError, Guard
from puffer_numba.jit.env import JitEnv
from puffer_numba.jit.places import author_line

COPIES = 8
STEPS = 300
SECONDS = 3.0  # after which the run ends, if the environment is slow
_AGAIN = 100  # steps of the second run with one seed

State = dict[str, NDArray[Any]]


class Step(NamedTuple):
    """One step of the recorded run."""

    before: State
    actions: NDArray[Any]
    after: State


def results(env: JitEnv) -> State:
    """Copies of all that a step leaves, but for the log; each part of a structured observation in its own dtype."""
    state = env.get_state()
    del state["log"]
    ended = (env.terminals | env.truncations).reshape(-1, *[1] * (env.final_observations.ndim - 1))
    final = np.where(ended, env.final_observations, 0)
    parts = {**_by_part(env, "", state.pop("observations")), **_by_part(env, "final_", final)}
    return {**state, "rewards": env.rewards.copy(), **parts}


def _by_part(env: JitEnv, prefix: str, observations: NDArray[Any]) -> State:
    if env.emulated is None:
        return {f"{prefix}observations": observations}
    return {f"{prefix}{leaf.path}": values for leaf, values in take_apart(observations, env.emulated.leaves)}


def play_plain(env: JitEnv, steps: int = STEPS, seconds: float = SECONDS) -> tuple[list[Step], Finding]:
    """Random play of an environment that is made with ``jit=False``, and what there is to say of it.

    Returns:
        The steps, and a finding: the first mistake, called after what it is, or that there is none.
    """
    record: list[Step] = []
    try:
        with _traps(env.guard):
            _play(env, steps, seconds, record)
            differs = _differs_again(env, record)
    except DebugError as error:
        return record, Finding(error.kind, "problem", str(error))
    except Exception as error:
        return record, Finding("runs", "problem", author_line(error))
    if differs is not None:
        return record, Finding("seeding", "problem", differs)
    return record, Finding("plain Python", "ok", f"{len(record)} steps of {env.num_envs} copies, every access checked")


def _play(env: JitEnv, steps: int, seconds: float, record: list[Step]) -> None:
    env.reset(seed=1)
    before = results(env)
    until = time.perf_counter() + seconds
    for actions in random_actions(env, steps):
        env.step(actions)
        after = results(env)
        record.append(Step(before, actions, after))
        before = after
        if time.perf_counter() > until:
            break


def _differs_again(env: JitEnv, record: list[Step]) -> str | None:
    """Play the same on the same object; in what it differs, if it does."""
    env.reset(seed=1)
    for number, step in enumerate(record[:_AGAIN]):
        env.step(step.actions)
        now = results(env)
        for name, expected in step.after.items():
            if name.startswith("episodes."):  # a reset leaves the last episode's statistics
                continue
            if not np.array_equal(now[name], expected, equal_nan=expected.dtype.kind == "f"):
                return (
                    f"after reset(seed=1) a second time, {name} differs at step {number}: something outlives a reset. "
                    "Keep all state in State, and take all randomness from rng"
                )
    return None


@contextmanager
def _traps(guard: Guard) -> Iterator[None]:
    """Make errors of what is neither checked nor repeatable, for the author's functions alone."""
    with ExitStack() as stack:
        for module, name in ((np.random, "np.random"), (random, "random")):
            for function in [f for f in module.__all__ if callable(getattr(module, f)) and f[0].islower()]:
                stack.enter_context(patch.object(module, function, _trap(guard, module, function, name)))
        for function in ("empty", "empty_like"):
            stack.enter_context(patch.object(np, function, _watched(guard, function)))
        yield


def _trap(guard: Guard, module: Any, function: str, name: str) -> Callable[..., Any]:
    original = getattr(module, function)

    def trap(*args: Any, **kwargs: Any) -> Any:
        if guard.active:
            raise guard.error(
                f"{name}.{function} does not depend on the environment's seed alone; draw from rng with "
                "puffer_numba.jit.random",
                "seeding",
            )
        return original(*args, **kwargs)

    return trap


def _watched(guard: Guard, function: str) -> Callable[..., Any]:
    original = getattr(np, function)

    def empty(*args: Any, **kwargs: Any) -> Any:
        array = original(*args, **kwargs)
        return guard.uninitialized(f"np.{function}(...)", array) if guard.active else array

    return empty
