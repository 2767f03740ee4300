"""`autotune`: which settings of `make` step an environment fastest on this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.errors import integer
from puffer_numba.jit.compiler.threads import MAX_THREADS, cores
from puffer_numba.memory import available
from puffer_numba.naming import Creator, env_creator, is_jit
from puffer_numba.spaces.actions import batched_actions
from puffer_numba.vector.factory import make
from puffer_numba.vector.group import EnvJob, create

_MAX_COMPILED, _MAX_BATCH, _MAX_PYTHON = 65536, 1024, 256  # environments
_PART_OF_MEMORY = 0.5
_LONGEST_CALL = 0.25  # seconds; more environments for each worker would only make slow calls slower
_PROBE_SECONDS = 1.0
_MIN_SECONDS, _MAX_SECONDS = 0.15, 1.0  # seconds for one setting
_WARM_UP = 0.05
_WARM_UP_CALLS = 2  # at least; a JitEnv decides about threads within its first _JIT_CALLS
_JIT_CALLS = 60
_PROBES = 32  # environments to measure memory with
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Setting:
    """Options of `make`, and how many threads kernels may use."""

    backend: str
    num_envs: int
    num_workers: int | None = None
    batch_size: int | None = None
    zero_copy: bool = True
    overlap: bool = False
    threads: int | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for `make`: those that are not its defaults."""
        defaults = {"num_workers": None, "batch_size": None, "zero_copy": True, "overlap": False}
        chosen = {name: getattr(self, name) for name, value in defaults.items() if getattr(self, name) != value}
        backend = {"backend": "serial"} if self.backend == "serial" else {}
        return {"num_envs": self.num_envs, **backend, **chosen}

    @property
    def trains(self) -> bool:
        """Whether the command ``puffer train`` can use it."""
        return self.zero_copy and self.backend != "serial"

    @property
    def train_options(self) -> str:
        """The same as options of ``puffer train``."""
        named = {"threads": self.threads, "workers": self.num_workers}
        options = [f"--env.num-envs {self.num_envs}"]
        options += [f"--vec.num-{name} {value}" for name, value in named.items() if value]
        options += [f"--vec.batch-size {self.batch_size}"] if self.batch_size else []
        return " ".join(options + ["--vec.overlap"] * self.overlap)


@dataclass(frozen=True)
class Trial:
    """What came of a setting."""

    setting: Setting
    steps_per_second: float = 0.0
    """Agent steps: ``num_agents`` for each call of ``step``."""
    problem: str = ""
    """Why it could not be measured."""


@dataclass
class Autotuned:
    """What `autotune` found."""

    env: str
    is_name: bool
    """Whether ``env`` is a name for `env_creator`, and not that of a function or class."""
    cores: int
    step_seconds: float
    """Of one environment alone, resets included."""
    reset_share: float
    """Part of that time that goes into resets; 0 for compiled environments, which reset within a step."""
    bytes_per_env: float
    """Memory of one more environment in a process, about."""
    trials: list[Trial] = field(default_factory=list)
    """Fastest first."""
    left_out: int = 0
    """Settings that there was no time for."""

    @property
    def best(self) -> Setting | None:
        """The fastest; None where none worked."""
        return next((trial.setting for trial in self.trials if not trial.problem), None)

    @property
    def code(self) -> str:
        """The fastest, to paste into a program."""
        if self.best is None:
            return ""
        is_default = self.best.threads in (None, MAX_THREADS)
        threads = "" if is_default else f"numba.set_num_threads({self.best.threads}); "
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.best.options().items())
        creator = repr(self.env) if self.is_name else self.env
        return f"{threads}vector.make({creator}, {arguments})"

    @property
    def command(self) -> str:
        """The fastest that the trainer can use, to paste into a terminal; "" where the environment has no name."""
        best = next((trial.setting for trial in self.trials if not trial.problem and trial.setting.trains), None)
        if best is None or not self.is_name:
            return ""
        return f"puffer train {self.env} {best.train_options}"


def autotune(
    creator: str | Creator,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    seconds: float = 30.0,
    max_envs: int | None = None,
    max_workers: int | None = None,
    json_path: str | Path | None = None,
) -> Autotuned:
    """Measure one environment alone, then the settings of `make` that make sense, and print a table of them.

    ::

        autotune("gym:LunarLander-v3", seconds=20)

    Actions are random, and there is no policy: a setting that lets environments step while a policy computes
    (``batch_size``, ``overlap``) gains more than the table shows.

    Args:
        creator: a name, as for `env_creator`; or what returns an environment.
        env_kwargs: what it is called with.
        seconds: for all measurements together; settings for which no time is left are left out, the least promising
            first.
        max_envs: by default what half of the free memory has room for, up to 65536 that are compiled, 1024 of a vector
            environment, or 256.
        max_workers: by default the number of cores.
        json_path: file to write the result to.

    Raises:
        APIUsageError: there is no such environment; or a limit below 1. Whatever a single environment raises: what
            goes wrong in one setting is shown in its row instead.
    """
    limits = (("max_envs", max_envs), ("max_workers", max_workers))
    for name, value in limits:
        if value is not None:
            integer(f"autotune: {name}", value, minimum=1)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise APIUsageError(f"autotune: seconds is {seconds!r}; expected a number above 0.")
    if json_path is not None:
        Path(json_path).open("a").close()
    made = env_creator(creator) if isinstance(creator, str) else creator
    job = EnvJob(made, (), dict(env_kwargs or {}))
    result = _measure_one(creator, job)
    settings = _settings(result, job, max_envs, max_workers)
    _measure_all(result, job, settings, seconds)
    _print(result)
    if json_path is not None:
        Path(json_path).write_text(json.dumps(asdict(result) | {"code": result.code}, indent=2) + "\n")
    return result


# -- one environment --------------------------------------------------------------------------------------


def _measure_one(creator: str | Creator, job: EnvJob) -> Autotuned:
    """Step, reset and memory of one environment, in this process."""
    compiled = is_jit(job.creator)
    with create(job, 0, 0) as env:
        env.reset(seed=0)
        actions = _random_actions(env, env.num_agents)
        usual: list[float] = []
        ending: list[float] = []
        until = time.perf_counter() + _PROBE_SECONDS
        while time.perf_counter() < until or not usual + ending:
            started = time.perf_counter()
            env.step(actions[len(usual) % len(actions)])
            elapsed = time.perf_counter() - started
            (ending if (env.terminals | env.truncations).any() else usual).append(elapsed)
        nbytes = env.nbytes / env.num_envs
    total = sum(usual) + sum(ending)
    in_resets = max(0.0, sum(ending) - len(ending) * float(np.mean(usual or ending)))
    return Autotuned(
        env=creator if isinstance(creator, str) else getattr(creator, "__name__", repr(creator)),
        is_name=isinstance(creator, str),
        cores=cores(),
        step_seconds=total / (len(usual) + len(ending)),
        reset_share=0.0 if compiled else in_resets / total,
        bytes_per_env=nbytes if compiled else _memory_of_one(job, nbytes),
    )


def _memory_of_one(job: EnvJob, at_least: float) -> float:
    before, until = _resident(), time.perf_counter() + _PROBE_SECONDS
    envs: list[PufferEnv] = []
    try:
        while len(envs) < _PROBES and (not envs or time.perf_counter() < until):
            envs.append(create(job, len(envs), 0))
            envs[-1].reset(seed=len(envs))
        return max(at_least, (_resident() - before) / len(envs))
    finally:
        for env in envs:
            env.close()


def _resident() -> int:
    """Memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _random_actions(env: PufferEnv, rows: int) -> list[Any]:
    space = batched_actions(env, rows)
    space.seed(0)
    return [np.ascontiguousarray(space.sample(), env.actions.dtype) for _ in range(16)]


# -- settings ---------------------------------------------------------------------------------------------


def _settings(one: Autotuned, job: EnvJob, max_envs: int | None, max_workers: int | None) -> list[Setting]:
    """What to measure, the most promising first."""
    room = int(_PART_OF_MEMORY * available() / max(one.bytes_per_env, 1.0))
    usual = _MAX_COMPILED if is_jit(job.creator) else _MAX_BATCH if job.is_batch else _MAX_PYTHON
    maximum = min(max_envs or usual, max(1, room))
    if is_jit(job.creator):
        settings = _compiled_settings(maximum)
    elif job.is_batch:
        settings = _batch_settings(job, maximum)
    else:
        settings = _python_settings(one, maximum, max_workers or one.cores)
    return list(dict.fromkeys(settings))


def _batch_settings(job: EnvJob, maximum: int) -> Iterator[Setting]:
    """Of a vector environment: all at once, or where it steps in the background, in two halves."""
    with create(job, 0, 0) as env:
        has_halves = getattr(env, "is_asynchronous", False)
    sizes = [n for n in (64, 16, 256, 1024, 4) if n < maximum] + [maximum]
    for n in sizes:
        yield Setting("native", n)
        if has_halves and n % 2 == 0:
            yield Setting("native", n, batch_size=n // 2)


def _compiled_settings(maximum: int) -> Iterator[Setting]:
    sizes = sorted({n for n in (64, 256, 1024, 4096, 16384, 65536) if n < maximum} | {maximum}, reverse=True)
    threads = sorted({1, max(1, MAX_THREADS // 2), MAX_THREADS}, reverse=True)
    for count in threads:
        for n in sizes:
            yield Setting("native", n, threads=count)
    for n in sizes:
        if n % 2 == 0:
            yield Setting("native", n, overlap=True, threads=MAX_THREADS)


def _python_settings(one: Autotuned, maximum: int, max_workers: int) -> Iterator[Setting]:
    sizes = [n for n in (16, 4, 64, 1) if n == 1 or n * one.step_seconds <= _LONGEST_CALL]  # for each worker
    crews = sorted({max_workers, max(1, max_workers // 2)}, reverse=True)
    crews = [min(workers, maximum) for workers in crews]
    for workers in crews:
        for size in sizes:
            if size * workers <= maximum:
                yield Setting("multiprocessing", size * workers, workers)
        for batch, zero_copy in ((workers // 2, True), (workers // 2, False), (1, True)):  # in workers
            for size in sizes:
                if workers > batch > 0 and workers % batch == 0 and size * workers <= maximum:
                    yield Setting("multiprocessing", size * workers, workers, size * batch, zero_copy or batch == 1)
    for n in (16, 1):
        if n <= maximum:
            yield Setting("serial", n)


# -- measuring --------------------------------------------------------------------------------------------


def _measure_all(result: Autotuned, job: EnvJob, settings: Sequence[Setting], seconds: float) -> None:
    """Fill in the trials, until the time is over."""
    from rich.progress import Progress, TimeElapsedColumn

    until = time.perf_counter() + seconds
    each = min(_MAX_SECONDS, max(_MIN_SECONDS, seconds / (2 * len(settings))))
    trials: list[Trial] = []
    columns = (*Progress.get_default_columns()[:2], TimeElapsedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(f"autotune {result.env}", total=len(settings))
        for setting in settings:
            if trials and time.perf_counter() > until:
                break
            trials.append(_try(job, setting, each))
            progress.advance(task)
    result.left_out = len(settings) - len(trials)
    result.trials = sorted(trials, key=lambda trial: -trial.steps_per_second)


def _try(job: EnvJob, setting: Setting, seconds: float) -> Trial:
    before = numba.get_num_threads()
    numba.set_num_threads(setting.threads or before)
    try:
        with make(job.creator, env_kwargs=job.kwargs, timeout=_TIMEOUT, **setting.options()) as env:
            return Trial(setting, _rate(env, seconds, setting.threads is not None))
    except Exception as error:  # of any environment; the other settings may still work
        lines = str(error).strip().splitlines()
        return Trial(setting, problem=f"{type(error).__name__}: {lines[0] if lines else ''}")
    finally:
        numba.set_num_threads(before)


def _rate(env: PufferEnv, seconds: float, compiled: bool) -> float:
    """Agent steps per second."""
    rows = getattr(env, "agents_per_batch", env.num_agents)
    actions = _random_actions(env, rows)
    if rows == env.num_agents:
        env.reset(seed=0)
        step = env.step
    else:
        env.async_reset(seed=0)
        env.recv()

        def step(actions: Any) -> Any:
            env.send(actions)
            return env.recv()

    def run(seconds: float, min_calls: int) -> float:
        started, calls = time.perf_counter(), 0
        while calls < min_calls or time.perf_counter() - started < seconds:
            step(actions[calls % len(actions)])
            calls += 1
        return calls * rows / (time.perf_counter() - started)

    run(_WARM_UP, _JIT_CALLS if compiled else _WARM_UP_CALLS)
    return run(seconds, 1)


# -- showing ----------------------------------------------------------------------------------------------


def _print(result: Autotuned) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    resets = f", {100 * result.reset_share:.0f}% of it resets" if result.reset_share else ""
    print(
        f"{result.env}: one alone steps in {_duration(result.step_seconds)}{resets}, and takes "
        f"{_size(result.bytes_per_env)}; {result.cores} cores"
    )
    table = Table(title="steps per second", title_justify="left")
    compiled = any(trial.setting.threads is not None for trial in result.trials)
    table.add_column("backend", no_wrap=True)
    for column in ("envs", *(("threads", "overlap") if compiled else ("workers", "batch", "zero copy")), "steps/s"):
        table.add_column(column, justify="right", no_wrap=True)
    if any(trial.problem for trial in result.trials):
        table.add_column("problem")
    for trial in result.trials:
        s = trial.setting
        own = [s.threads, "yes" if s.overlap else ""]
        if not compiled:
            own = [s.num_workers or "", s.batch_size or "", "" if s.zero_copy else "no"]
        shown = "" if trial.problem else f"{trial.steps_per_second:,.0f}"
        style = "bold" if s == result.best else "red" if trial.problem else ""
        table.add_row(s.backend, str(s.num_envs), *map(str, own), shown, escape(trial.problem), style=style)
    Console().print(table)
    if result.left_out:
        print(f"{result.left_out} more settings were left out, as the time was over.")
    print(f"\n{result.code}" if result.best else "no setting worked")


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def _size(nbytes: float) -> str:
    return f"{nbytes:.0f} bytes" if nbytes < 1e4 else f"{nbytes / 1e6:.2f} MB"
