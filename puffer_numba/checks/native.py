"""`check`: the list that people otherwise keep in their heads when they write an environment, run by a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from puffer_numba.checks.findings import Finding, Outcome, api_test, check_rewards, is_large, run_checks
from puffer_numba.emulation.as_gymnasium import JitGymnasiumEnv
from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.simd import simd_report
from puffer_numba.jit.env import JitEnv

NUM_ENVS = 64
STEPS = 600
LONG = 2000  # an episode of more steps than this may not end while it is checked
_VERY_LONG = 3000


def check(env: JitEnv, *, steps: int = STEPS, simd: bool = True) -> list[Finding]:
    """Try an environment out, and say what is wrong with it.

    Steps fresh copies of it with random actions; ``env`` itself is not touched.

    Args:
        env: the environment, any number of copies.
        steps: steps of `NUM_ENVS` copies to try, or more where the time limit asks for it.
        simd: whether to look at the machine code too, which takes a few seconds.

    Returns:
        One `Finding` for each check, in order; no problems means that every check passed.

    Raises:
        APIUsageError: ``env`` is not a `JitEnv`.
    """
    if not isinstance(env, JitEnv):
        raise APIUsageError(f"check() takes a JitEnv, not {type(env).__name__}.")
    return list(_findings(_Trial(env, steps), simd))


def _findings(trial: _Trial, simd: bool) -> Iterator[Finding]:
    findings = list(run_checks(_CHECKS, trial))
    yield from findings
    if len(findings) == len(_CHECKS) and trial.env.agents_per_env is None:
        yield _check_gymnasium(trial)
        if simd:
            yield from _check_simd(trial)


_Record = list[tuple[NDArray[Any], ...]]


class _Trial:
    """Copies of the environment under test, and one recorded run of random actions."""

    def __init__(self, env: JitEnv, steps: int) -> None:
        self.env = env
        limit = env.max_episode_steps or 0
        self.steps = max(steps, limit + 1) if limit <= LONG else steps
        self.record: _Record = []
        self.log: dict[str, float] = {}  # of the recorded run
        self.last_log: dict[str, float] = {}

    def make(self, num_envs: int = NUM_ENVS, **kwargs: Any) -> JitEnv:
        return type(self.env)(num_envs=num_envs, **{**self.env.arguments, **kwargs})

    def run(self, steps: int, seed: int = 1, fill: int | None = None, **kwargs: Any) -> _Record:
        """Observations, rewards, terminals, truncations of each step, after the first observations."""
        env = self.make(**kwargs)
        observations, _ = env.reset(seed=seed)
        rows: _Record = [(observations.copy(),)]
        for actions in _random_actions(env, steps):
            if fill is not None:
                _fill(env, fill)
            rows.append(tuple(array.copy() for array in env.step(actions)[:4]))
        self.last_log = env.log()
        return rows

    def play_on(self) -> dict[str, float]:
        """The log of a run of `_VERY_LONG`, of which nothing else is kept."""
        env = self.make()
        env.reset(seed=1)
        for actions in _random_actions(env, _VERY_LONG):
            env.step(actions)
        return env.log()


def _random_actions(env: JitEnv, steps: int) -> Iterator[NDArray[Any]]:
    space = env.single_action_space
    generator = np.random.default_rng(0)
    low, high = env._low, env._high
    shape = (env.num_agents, *(space.shape or ()))
    for _ in range(steps):
        if env.actions.dtype.kind == "f":
            bounded_low = np.clip(low, -1e3, None).reshape(space.shape)
            yield generator.uniform(bounded_low, np.clip(high, None, 1e3).reshape(space.shape), shape).astype(
                env.actions.dtype
            )
        else:
            yield generator.integers(low.reshape(space.shape), high.reshape(space.shape) + 1, shape)


def _fill(env: JitEnv, byte: int) -> None:
    """Leave rubbish where the environment has to write."""
    for array in (env.observations, env.rewards):
        array.view(np.uint8)[...] = byte
    env.terminals[:] = env.truncations[:] = bool(byte)


def _same(a: _Record, b: _Record) -> bool:
    return all(np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


def _check_runs(trial: _Trial) -> Outcome:
    trial.record = trial.run(trial.steps)
    trial.log = trial.last_log
    return "ok", f"{trial.steps} steps of {NUM_ENVS} copies with random actions"


def _check_space(trial: _Trial) -> Outcome:
    space = trial.env.single_observation_space
    for step, row in enumerate(trial.record):
        observations = row[0]
        if observations.dtype.kind == "f" and np.isnan(observations).any():
            return "problem", f"NaN in the observations of step {step}"
        outside = (observations < space.low) | (observations > space.high)
        if outside.any():
            where = tuple(np.argwhere(outside)[0])
            return "problem", (
                f"observation {list(map(int, where[1:]))} is {observations[where]} at step {step}, outside {space}"
            )
    return "ok", str(space)


def _check_written(trial: _Trial) -> Outcome:
    steps = min(trial.steps, 200)
    if not _same(trial.run(steps, fill=0), trial.run(steps, fill=1)):
        return (
            "problem",
            "what was in the buffers before a step shows after it: observe_env must write every element",
        )
    return "ok", "every element is written at every step"


def _check_not_constant(trial: _Trial) -> Outcome:
    observations = np.stack([row[0] for row in trial.record])
    if not observations.any():
        return "problem", "every observation is zero"
    if (observations == observations[0, 0]).all():
        return "note", "every observation is the same; only a bandit should look like that"
    dead = int((observations == observations[:1, :1]).all(axis=(0, 1)).sum())
    if dead:
        return "note", f"{dead} of {observations[0, 0].size} elements never change"
    return "ok", "they vary"


def _check_episodes(trial: _Trial) -> Outcome:
    ended = np.stack([row[2] | row[3] for row in trial.record[1:]])
    if not ended.any():
        log = trial.play_on()
        if not log["episodes"]:
            return "problem", f"no episode ended in {_VERY_LONG} steps: set max_episode_steps, or return terminated"
        return "ok", f"{log['episodes']:.0f} episodes ended, of {log['episode_length']:.1f} steps"
    if trial.env.agents_per_env is None and not ended.any(axis=0).all():
        return (
            "note",
            f"{int((~ended.any(axis=0)).sum())} of {NUM_ENVS} copies ended no episode in {trial.steps} steps",
        )
    mean = trial.log["episode_length"]
    return "ok", f"{trial.log['episodes']:.0f} episodes ended, of {mean:.1f} steps"


def _check_rewards(trial: _Trial) -> Outcome:
    return check_rewards(np.stack([row[1] for row in trial.record[1:]]))


def _check_scale(trial: _Trial) -> Outcome:
    observations = np.stack([row[0] for row in trial.record])
    low, high = float(observations.min()), float(observations.max())
    found = f"from {low:.3g} to {high:.3g}"
    if observations.dtype != np.uint8 and is_large(low, high):
        return "note", found + "; scale them to about [-1, 1]"
    return "ok", found


def _check_seed(trial: _Trial) -> Outcome:
    steps = min(trial.steps, 200)
    first, again, other = trial.run(steps), trial.run(steps), trial.run(steps, seed=2)
    if not _same(first, again):
        return "problem", "two runs with one seed differ: keep all state in State, and all randomness in rng"
    if _same(first, other):
        return "note", "two seeds give the same run: nothing is random"
    return "ok", "same seed, same trajectory"


def _check_isolation(trial: _Trial) -> Outcome:
    agents = trial.env.agents_per_env or 1
    env, alone = trial.make(), trial.make(num_envs=1)
    env.reset(seed=1)
    alone.reset(seed=1)
    for actions in _random_actions(env, min(trial.steps, 200)):
        together, single = env.step(actions), alone.step(actions[:agents])
        if not all(np.array_equal(a[:agents], b) for a, b in zip(together[:4], single[:4], strict=True)):
            return "problem", "environment 0 behaves differently beside others: index every array with i"
    return "ok", "environments do not touch one another"


def _check_gymnasium(trial: _Trial) -> Finding:
    env = JitGymnasiumEnv(trial.make(num_envs=1, autoreset="disabled", jit=False))
    return api_test("Gymnasium's check_env", lambda: check_env(env, skip_render_check=True))


def _check_simd(trial: _Trial) -> Iterator[Finding]:
    try:
        report = simd_report(trial.env)
    except RuntimeError as error:
        yield Finding("vectorized", "note", f"could not tell: {error}")
        return
    if report.width > 1:
        yield Finding("vectorized", "ok", f"{report.width} environments at a time")
    else:
        yield Finding("vectorized", "note", "\n".join([report.reason, *report.lines]))
    if report.float64_lines:
        yield Finding(
            "float type", "note", "\n".join(["computed in float64, at half the speed:", *report.float64_lines])
        )
    else:
        yield Finding("float type", "ok", f"everything in {trial.env.float_type.__name__}")


_CHECKS: dict[str, Callable[[_Trial], Outcome]] = {
    "runs": _check_runs,
    "observations in space": _check_space,
    "observations written": _check_written,
    "observations vary": _check_not_constant,
    "observation scale": _check_scale,
    "episodes end": _check_episodes,
    "rewards": _check_rewards,
    "seeding": _check_seed,
    "isolation": _check_isolation,
}
