"""`check`: the list that people otherwise keep in their heads when they write an environment, run by a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from puffer_numba.checks.apart import Job, check_apart
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
from puffer_numba.checks.plain import COPIES, SECONDS, State, Step, play_plain, results
from puffer_numba.checks.plain import STEPS as PLAIN_STEPS
from puffer_numba.checks.play import random_actions
from puffer_numba.emulation.as_gymnasium import JitGymnasiumEnv
from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.simd import TEAMS, analyze, simd_report
from puffer_numba.jit.env import JitEnv
from puffer_numba.spaces import action_masks, leaf_bounds

NUM_ENVS = 64
STEPS = 600
LONG = 2000  # an episode of more steps than this may not end while it is checked
_VERY_LONG = 3000
_RARE = 0.01  # of the steps may differ from plain Python: a number that rounds to the other side of a threshold
_COMPONENTS = 16  # of an action, that are looked at


def check(env: JitEnv, *, steps: int = STEPS, simd: bool = True) -> list[Finding]:
    """Try an environment out, and say what is wrong with it.

    Steps fresh copies of it with random actions, legal ones where observations have an action mask: first in plain
    Python, where every access is checked, and then compiled. All of that is in a process of its own, so that what
    crashes or never returns is a finding. ``env`` itself is not touched.

    Args:
        env: the environment, any number of copies.
        steps: steps of `NUM_ENVS` copies to try, or more where the time limit asks for it.
        simd: whether to look at the machine code too, which takes a few seconds.

    Returns:
        One `Finding` for each check, in order; no problems means that every check passed. Nothing comes after what
        plain Python finds, for compiled code would write past its arrays.

    Raises:
        APIUsageError: ``env`` is not a `JitEnv`.
    """
    if not isinstance(env, JitEnv):
        raise APIUsageError(f"check() takes a JitEnv, not {type(env).__name__}.")
    job = Job(type(env), env.arguments, steps, simd)
    findings = check_apart(job)
    return list(check_here(job)) if findings is None else findings


def check_here(
    job: Job, apart: bool = False, plain_steps: int = PLAIN_STEPS, seconds: float = SECONDS
) -> Iterator[Finding]:
    """The findings one by one, in this process.

    Args:
        job: what to check.
        apart: whether this process is there for that alone.
        plain_steps, seconds: of the run in plain Python, at most.
    """
    trial = _Trial(job.env_class(**job.arguments, jit=False), job.steps, job.debug)
    trial.plain, finding = play_plain(trial.make(COPIES, jit=False, debug=True), plain_steps, seconds)
    yield finding
    if finding.level == "problem":
        return
    findings = list(run_checks(_CHECKS, trial))
    yield from findings
    if len(findings) < len(_CHECKS):
        return
    if trial.env.agents_per_env is None:
        yield _check_gymnasium(trial)
    if job.simd:
        yield from _check_simd(trial, apart)


_Record = list[tuple[NDArray[Any], ...]]


class _Trial:
    """Copies of the environment under test, and one recorded run of random actions."""

    def __init__(self, env: JitEnv, steps: int, debug: bool) -> None:
        self.env = env
        self.debug = debug
        self.leaves = leaves_of(env)
        limit = env.max_episode_steps or 0
        self.steps = max(steps, limit + 1) if limit <= LONG else steps
        self.plain: list[Step] = []
        self.record: _Record = []
        self.log: dict[str, float] = {}  # of the recorded run
        self.last_log: dict[str, float] = {}

    def make(self, num_envs: int = NUM_ENVS, **kwargs: Any) -> JitEnv:
        return type(self.env)(num_envs=num_envs, **{**self.env.arguments, "debug": self.debug, **kwargs})

    def run(
        self,
        steps: int,
        seed: int = 1,
        fill: int | None = None,
        action_seed: int = 0,
        alter: Callable[[NDArray[Any]], NDArray[Any]] = lambda actions: actions,
    ) -> _Record:
        """Observations, rewards, terminals, truncations of each step, after the first observations.

        Args:
            steps, seed: of the run.
            fill: a byte, to leave as rubbish in the buffers before each step.
            action_seed: of the actions, which then go through ``alter``.
        """
        env = self.make()
        observations, _ = env.reset(seed=seed)
        rows: _Record = [(observations.copy(),)]
        for actions in random_actions(env, steps, action_seed):
            if fill is not None:
                _fill(env, fill)
            rows.append(tuple(array.copy() for array in env.step(alter(actions))[:4]))
        self.last_log = env.log()
        return rows

    def parts(self) -> list[Part]:
        """All observations of the recorded run."""
        return take_apart(np.concatenate([row[0] for row in self.record]), self.leaves)

    def play_on(self) -> dict[str, float]:
        """The log of a run of `_VERY_LONG`, of which nothing else is kept."""
        env = self.make()
        env.reset(seed=1)
        for actions in random_actions(env, _VERY_LONG):
            env.step(actions)
        return env.log()


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


def _check_compiled(trial: _Trial) -> Outcome:
    """Each step of the run in plain Python, compiled, from the same state: so differences in rounding do not grow."""
    env = trial.make(COPIES)
    env.reset(seed=1)
    found: list[str] = []
    rows = 0
    for number, step in enumerate(trial.plain):
        env.set_state({name: step.before.get(name, array) for name, array in env.get_state().items()})
        env.step(step.actions)
        now = results(env)
        rows += env.num_envs
        found += _differences(number, step.after, now, env.num_envs)
    if not found:
        return "ok", f"{len(trial.plain)} steps as in plain Python"
    message = f"{found[0]}\nNumba computes with other types than NumPy: uint8 - uint8 is unsigned, int / int is float64"
    systematic = len(found) > 1 and len(found) > _RARE * rows
    return ("problem", message) if systematic else ("note", f"{len(found)} of {rows} steps differ: {message}")


def _differences(number: int, plain: State, compiled: State, num_envs: int) -> list[str]:
    """A line for each environment in which something differs."""
    found: dict[int, str] = {}
    for name, expected in sorted(plain.items(), key=lambda item: item[0].startswith("episodes.")):  # which follow
        same = compiled[name] == expected
        if expected.dtype.kind == "f":
            scale = float(np.abs(expected).max(initial=0, where=np.isfinite(expected)))
            same = np.isclose(compiled[name], expected, rtol=1e-3, atol=1e-4 * scale + 1e-6, equal_nan=True)
        for where in np.argwhere(~same):
            env = int(where[0]) * num_envs // len(expected)
            values = f"{expected[tuple(where)]} in plain Python and {compiled[name][tuple(where)]} compiled"
            found.setdefault(env, f"{name}{list(map(int, where))} is {values}, in step {number}")
    return list(found.values())


def _check_actions(trial: _Trial) -> Outcome:
    steps = min(trial.steps, 200)
    space = trial.env.single_action_space
    usual = trial.run(steps)
    if _same(usual, trial.run(steps, action_seed=1)):
        return "problem", f"no action changes anything: step_env does not use {space}"
    ignored = [] if not space.shape or action_masks(trial.env) is not None else _ignored(trial, usual, steps)
    if ignored:
        return "note", f"component {', '.join(map(str, ignored))} of the action changes nothing"
    return "ok", "they matter"


def _ignored(trial: _Trial, usual: _Record, steps: int) -> list[int]:
    """Components of an action that change nothing."""
    size = int(np.prod(trial.env.single_action_space.shape))
    return [k for k in range(min(size, _COMPONENTS)) if _same(usual, trial.run(steps, alter=_Exchange(k)))]


class _Exchange:
    """Actions of which one component comes from another row."""

    def __init__(self, component: int) -> None:
        self.component = component
        self.generator = np.random.default_rng(component)

    def __call__(self, actions: NDArray[Any]) -> NDArray[Any]:
        flat = actions.reshape(len(actions), -1).copy()
        flat[:, self.component] = self.generator.permutation(flat[:, self.component])
        return flat.reshape(actions.shape)


def _check_space(trial: _Trial) -> Outcome:
    for step, row in enumerate(trial.record):
        for leaf, values in take_apart(row[0], trial.leaves):
            low, high = leaf_bounds(leaf.space)
            inside = (values >= low) & (values <= high)  # NaN is not
            if not inside.all():
                where = tuple(np.argwhere(~inside)[0])
                element = list(map(int, where[1:])) or ""
                return "problem", f"{leaf.path}{element} is {values[where]} at step {step}, outside {leaf.space}"
    return "ok", str(trial.env.emulated.observation_space if trial.env.emulated else trial.env.single_observation_space)


def _check_written(trial: _Trial) -> Outcome:
    steps = min(trial.steps, 200)
    if not _same(trial.run(steps, fill=0), trial.run(steps, fill=1)):
        return (
            "problem",
            "what was in the buffers before a step shows after it: observe_env must write every element",
        )
    return "ok", "every element is written at every step"


def _check_vary(trial: _Trial) -> Outcome:
    return check_vary(trial.parts(), "note")


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
    return check_scale(trial.parts())


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
    for actions in random_actions(env, min(trial.steps, 200)):
        together, single = env.step(actions), alone.step(actions[:agents])
        if not all(np.array_equal(a[:agents], b) for a, b in zip(together[:4], single[:4], strict=True)):
            return "problem", "environment 0 behaves differently beside others: index every array with i"
    return "ok", "environments do not touch one another"


def _check_gymnasium(trial: _Trial) -> Finding:
    env = JitGymnasiumEnv(trial.make(num_envs=1, autoreset="disabled", jit=False, debug=False))
    return api_test("Gymnasium's check_env", lambda: check_env(env, skip_render_check=True))


def _check_simd(trial: _Trial, apart: bool) -> Iterator[Finding]:
    try:
        report = analyze(type(trial.env), trial.env.arguments) if apart else simd_report(trial.env)
    except Exception as error:
        yield Finding("vectorized", "note", f"could not tell: {error}")
        return
    if report.width > 1:
        lines = [f"{report.width} environments at a time" + "; slower because of:" * bool(report.lines), *report.lines]
    elif report.reason == TEAMS:
        lines = [report.reason + "; inside, not vectorized:" * bool(report.lines), *report.lines]
    else:
        lines = [report.reason, *report.lines]
    yield Finding("vectorized", "ok" if report.width > 1 or report.reason == TEAMS else "note", "\n".join(lines))
    if report.float64_lines:
        yield Finding(
            "float type", "note", "\n".join(["computed in float64, at half the speed:", *report.float64_lines])
        )
    else:
        yield Finding("float type", "ok", f"everything in {trial.env.float_type.__name__}")


_CHECKS: dict[str, Callable[[_Trial], Outcome]] = {
    "runs": _check_runs,
    "compiled": _check_compiled,
    "observations in space": _check_space,
    "observations written": _check_written,
    "observations vary": _check_vary,
    "observation scale": _check_scale,
    "episodes end": _check_episodes,
    "rewards": _check_rewards,
    "seeding": _check_seed,
    "isolation": _check_isolation,
    "actions": _check_actions,
}
