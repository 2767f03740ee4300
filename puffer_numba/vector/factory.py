"""`make`: its arguments, the rules between them, and what it leaves to the backends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from puffer_numba.emulation.checking import CHECKED_STEPS
from puffer_numba.env import APIUsageError, PufferEnv, autoreset_mode
from puffer_numba.errors import did_you_mean, integer
from puffer_numba.jit.compiler.threads import cores
from puffer_numba.memory import check_room
from puffer_numba.naming import FORMS, Creator, env_creator, is_jit, name_of
from puffer_numba.vector.group import EnvJob, create
from puffer_numba.vector.multiprocessing import Multiprocessing
from puffer_numba.vector.overlap import Overlapped
from puffer_numba.vector.pools import Pooled
from puffer_numba.vector.ray import Ray, cluster_cores
from puffer_numba.vector.serial import Serial

_BACKENDS = {"multiprocessing": Multiprocessing, "serial": Serial, "native": PufferEnv, "ray": Ray}
_LEAST = 64  # bytes of an environment, whatever it is
_CONTEXTS = ("forkserver", "spawn")
_OPTIONS = (
    "env_args",
    "env_kwargs",
    "backend",
    "num_envs",
    "seed",
    "num_workers",
    "batch_size",
    "zero_copy",
    "timeout",
    "context",
    "overlap",
    "autoreset",
    "checked_steps",
    "strict",
    "text_length",
    "info_masks",
)
_OURS = ("num_envs", "seed", "buf", "first_env")  # arguments of a JitEnv that are make's to choose


def make(
    env_creator_or_creators: str | Creator | Sequence[str | Creator],
    env_args: Sequence[Any] | None = None,
    env_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    backend: str | type[PufferEnv] | None = None,
    num_envs: int = 1,
    seed: int | None = 0,
    num_workers: int | str | None = "auto",
    batch_size: int | None = None,
    zero_copy: bool = True,
    timeout: float | None = 60.0,
    context: str = "forkserver",
    overlap: bool = False,
    autoreset: str | AutoresetMode | None = None,
    checked_steps: int | None = CHECKED_STEPS,
    strict: bool = False,
    text_length: int | None = None,
    info_masks: bool | None = None,
    **unknown: Any,
) -> PufferEnv:
    """Many copies of an environment, or several environments of equal spaces, as one `PufferEnv`.

    ::

        make("gym:LunarLander-v3", num_envs=8, num_workers=2)
        make(lambda: gymnasium.make("CartPole-v1"), num_envs=8)
        make(MyPufferEnv, env_kwargs={"size": 10}, num_envs=4, backend="serial")
        make("cartpole", num_envs=4096)
        make("cartpole", num_envs=4096, overlap=True)
        make("envpool:HalfCheetah-v5", num_envs=16)
        make(lambda num_envs: gymnasium.make_vec("CartPole-v1", num_envs), num_envs=16)

    The environment with number ``i`` is reset with ``seed + i`` (a JitEnv continues the streams of those before it):
    the same trajectories whatever the backend and the number of workers. The main script is not imported by workers,
    so it needs no ``if __name__ == "__main__":``.

    Args:
        env_creator_or_creators: a name, as for `env_creator`; a function or class that returns a `gymnasium.Env`, a
            PettingZoo environment, or a `PufferEnv`; or a list of ``num_envs`` of these. Parameters of the function
            that are called ``buf`` and ``seed`` are given arrays to write into, and ``seed + i``. One that makes a
            `gymnasium.vector.VectorEnv` of any size, a class of these or a function that has to be called with
            ``num_envs``, is called once, with that and, where it has such a parameter, ``seed``.
        env_args, env_kwargs: what it is called with; for a list of creators, a list of as many.
        backend: `Multiprocessing`; `Ray`: in a cluster; `Serial`: in this process; "native", for a JitEnv's class and
            for vector environments: one object of ``num_envs`` environments, on its own threads. Names in lower case
            do, too. None: native for these, else Multiprocessing.
        num_envs: how many times to call the creator.
        seed: for the first reset, unless that has its own. None: fresh entropy.
        num_workers: processes. "auto" or None: as many as there are cores, here or in the cluster, or fewer where they
            would not divide ``num_envs`` and ``batch_size`` evenly. Serial and native do without.
        batch_size: environments that `Multiprocessing.recv` waits for; by default all. Vector environments that step
            in the background, as EnvPool's do, are made in parts of that size, of which one waits for the policy
            while the others step: see `Pooled`.
        zero_copy: return the shared memory itself, for which a batch is always of the same workers. False: a batch is
            of the workers that are ready first, and is copied, where it is of several workers but not of all.
        timeout: seconds to wait for a worker before `WorkerError`; None: for ever.
        context: "forkserver", or "spawn", which starts more slowly.
        overlap: for a JitEnv's class: two halves, one of which steps on a background thread while the caller computes
            actions for the other. Asynchronous, in batches of ``num_envs / 2``; see `Overlapped`.
        autoreset: when the next episode starts, as in `gymnasium.vector.AutoresetMode`: "same-step", in the step that
            ends one, as the trainer wants it; "next-step", in the one after it; "disabled", by ``reset(mask=...)``.
            None: as the environments do by themselves, which is "same-step" unless they say otherwise.
        checked_steps, strict, text_length: for environments of Gymnasium and PettingZoo, how their observations are
            compared with their space, and how long texts are; see `GymnasiumPufferEnv`.
        info_masks: for these, too: whether action masks are in their infos, from where they come into observations; see
            `PettingZooPufferEnv`. None: for OpenSpiel's by shimmy.

    Raises:
        APIUsageError: a rule between these is broken, and no process has been started; or spaces that cannot be
            flattened; or environments of different spaces.
        WorkerError: an environment failed in its constructor, in a worker. (It is made in this process first.)
    """
    if unknown:
        name = next(iter(unknown))
        hint = did_you_mean(name, _OPTIONS) or " An environment's own arguments go into env_kwargs."
        raise APIUsageError(f"vector.make has no option {name!r}.{hint}")
    integer("num_envs", num_envs, minimum=1)
    _check_flag("zero_copy", zero_copy)
    _check_flag("overlap", overlap)
    _check_timeout(timeout)
    if context not in _CONTEXTS:
        raise APIUsageError(f"context is {context!r}; expected {' or '.join(map(repr, _CONTEXTS))}.")
    if num_workers not in (None, "auto"):
        integer("num_workers", num_workers, minimum=1)
    size = num_envs if batch_size is None else batch_size
    integer("batch_size", size, minimum=1)
    if size > num_envs:
        raise APIUsageError(f"batch_size is {size}, but there are {num_envs} environments; expected at most so many.")
    check_room(f"{num_envs:,} environments", num_envs * _LEAST, "Make fewer of them (num_envs).")
    mode = None if autoreset is None else autoreset_mode("vector.make", autoreset)
    if info_masks is not None:
        _check_flag("info_masks", info_masks)
    emulation = {
        "checked_steps": checked_steps,
        "strict": strict,
        "text_length": text_length,
        "info_masks": info_masks,
    }
    jobs = _jobs(env_creator_or_creators, env_args, env_kwargs, num_envs, mode, emulation)
    chosen = _backend(backend, jobs)
    seed = _seed(seed)
    if overlap:
        return _overlapped(jobs, num_envs, seed, batch_size, backend is None or chosen is PufferEnv)
    if chosen is PufferEnv and jobs[0].is_batch:
        return _of_vector_envs(jobs[0], num_envs, size, seed, zero_copy)
    if chosen is PufferEnv or chosen is Serial:
        if size != num_envs:
            raise APIUsageError(
                f"{'Serial' if chosen is Serial else 'native'} steps all {num_envs} environments; batch_size {size} "
                "needs Multiprocessing, or for a half of a JitEnv's overlap=True."
            )
        return Serial(jobs, seed) if chosen is Serial else _native(jobs, num_envs, seed)
    workers = _workers(num_workers, num_envs, size, cluster_cores() if chosen is Ray else cores())
    if zero_copy and num_envs % size:
        raise APIUsageError(
            f"num_envs is {num_envs}, not a multiple of batch_size, {size}, as zero_copy needs; choose another "
            "batch_size, or zero_copy=False."
        )
    if chosen is Ray:
        return Ray(jobs, seed, workers, size, zero_copy, timeout)
    return Multiprocessing(jobs, seed, workers, size, zero_copy, timeout, context)


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise APIUsageError(f"{name} is {value!r}; expected True or False.")


def _check_timeout(timeout: Any) -> None:
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and timeout > 0):
        raise APIUsageError(f"timeout is {timeout!r}; expected seconds above 0, or None to wait for ever.")


def _seed(seed: Any) -> int:
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return integer("seed", seed)


def _jobs(creators: Any, args: Any, kwargs: Any, num_envs: int, *options: Any) -> list[EnvJob]:
    """One for each environment, the same one where they are alike; ``options`` are the last fields of each."""
    if isinstance(creators, str) or callable(creators):
        creator = _creator(creators)
        if args is not None and (isinstance(args, str) or not isinstance(args, Sequence)):
            raise APIUsageError(f"env_args is {args!r}; expected a list of the creator's positional arguments.")
        if kwargs is not None and not isinstance(kwargs, Mapping):
            raise APIUsageError(f"env_kwargs is {kwargs!r}; expected a dict of the creator's keyword arguments.")
        return [EnvJob(creator, tuple(args or ()), dict(kwargs or {}), *options)] * num_envs
    if not isinstance(creators, Sequence):
        raise APIUsageError(f"vector.make takes a name, a function or class, or a list of these; got {creators!r}.")
    each_args = [()] * num_envs if args is None else args
    each_kwargs = [{}] * num_envs if kwargs is None else kwargs
    for name, values in (("creators", creators), ("env_args", each_args), ("env_kwargs", each_kwargs)):
        if len(values) != num_envs:
            raise APIUsageError(
                f"{name} is a list of {len(values)}, but num_envs is {num_envs}; expected one for each."
            )
    triples = zip(creators, each_args, each_kwargs, strict=True)
    return [EnvJob(_creator(creator), tuple(args), dict(kwargs), *options) for creator, args, kwargs in triples]


def _creator(creator: Any) -> Creator:
    if isinstance(creator, str):
        return env_creator(creator)
    if not callable(creator):
        raise APIUsageError(
            f"vector.make needs something that makes environments, not {creator!r}: a function, a class, or a name: "
            f"{FORMS}. In place of an environment, pass lambda: the expression that made it."
        )
    return creator


def _backend(backend: Any, jobs: list[EnvJob]) -> type[PufferEnv]:
    if backend is None:
        is_one = all(is_jit(job.creator) or job.is_batch for job in jobs) and len(set(map(id, jobs))) == 1
        return PufferEnv if is_one else Multiprocessing
    name = backend.lower() if isinstance(backend, str) else ""
    found = PufferEnv if name == "pufferenv" else _BACKENDS.get(name, backend)  # as PufferLib calls the native one
    if found not in _BACKENDS.values():
        raise APIUsageError(f"backend is {backend!r}; expected {', '.join(map(repr, _BACKENDS))}, or a class of these.")
    return found


def _of_vector_envs(job: EnvJob, num_envs: int, batch_size: int, seed: int, zero_copy: bool) -> PufferEnv:
    """One vector environment; or several, of ``batch_size`` environments each."""
    if "batch_size" in job.kwargs:
        raise APIUsageError("env_kwargs has 'batch_size', which is an argument of vector.make.")
    if batch_size == num_envs:
        env = create(job, 0, seed, num_envs=num_envs)
        if env.num_envs == num_envs:
            return env
        env.close()
        raise APIUsageError(
            f"vector.make: {name_of(job.creator)} was called with num_envs={num_envs}, and made {env.num_envs} "
            "environments."
        )
    if not zero_copy:
        raise APIUsageError(
            "zero_copy=False takes whichever workers are ready first; parts of vector environments come in turn: leave "
            "it out."
        )
    if num_envs % batch_size:
        raise APIUsageError(f"num_envs is {num_envs}, not a multiple of batch_size, {batch_size}; change one of them.")
    return Pooled([job] * (num_envs // batch_size), batch_size, seed)


def _native(jobs: list[EnvJob], num_envs: int, seed: int) -> PufferEnv:
    job = _jit_job(jobs, "backend 'native'", "for others there are 'multiprocessing' and 'serial'.")
    return job.creator(**{"num_envs": num_envs, "seed": seed, **job.mode(), **job.kwargs})


def _overlapped(jobs: list[EnvJob], num_envs: int, seed: int, batch_size: int | None, is_native: bool) -> Overlapped:
    instead = "others overlap in processes: backend='multiprocessing', batch_size=num_envs // 2."
    job = _jit_job(jobs, "overlap=True", instead)
    if not is_native:
        raise APIUsageError("overlap=True steps a JitEnv's class on threads of this process; leave backend out.")
    if num_envs % 2:
        raise APIUsageError(f"num_envs is {num_envs}; overlap=True needs two halves: choose an even number.")
    if batch_size not in (None, num_envs // 2):
        raise APIUsageError(
            f"batch_size is {batch_size}; overlap=True has batches of half of the {num_envs} environments: leave it "
            "out."
        )
    return Overlapped([job._replace(kwargs={**job.kwargs, "num_envs": num_envs // 2})] * 2, seed)


def _jit_job(jobs: list[EnvJob], what: str, instead: str) -> EnvJob:
    """What makes all environments, as one JitEnv."""
    job = jobs[0]
    if not is_jit(job.creator) or any(other is not job for other in jobs):
        raise APIUsageError(f"{what} takes one JitEnv class, not {job.creator!r}; {instead}")
    if job.args:
        raise APIUsageError(f"env_args is {list(job.args)}; a JitEnv's parameters go into env_kwargs.")
    ours = [name for name in _OURS if name in job.kwargs]
    if ours:
        raise APIUsageError(f"env_kwargs has {ours[0]!r}, which vector.make sets; num_envs and seed are its arguments.")
    return job


def _workers(num_workers: Any, num_envs: int, batch_size: int, maximum: int) -> int:
    if num_workers is None or num_workers == "auto":
        possible = min(maximum, num_envs)
        workers = max(w for w in range(1, possible + 1) if _divides(w, num_envs, batch_size))
        if workers <= possible // 2:
            warnings.warn(
                f"vector.make: {num_envs} environments, in batches of {batch_size}, are shared evenly by {workers} of "
                f"{possible} possible workers; another num_envs, {num_envs // possible * possible} say, is faster.",
                UserWarning,
                stacklevel=3,
            )
        return workers
    if num_workers > num_envs:
        raise APIUsageError(
            f"num_workers is {num_workers}, more than the {num_envs} environments; expected at most that."
        )
    if num_envs % num_workers:
        raise APIUsageError(
            f"num_envs is {num_envs}, not a multiple of num_workers, {num_workers}; change one of them."
        )
    if not _divides(num_workers, num_envs, batch_size):
        raise APIUsageError(
            f"batch_size is {batch_size}, not a multiple of the {num_envs // num_workers} environments of each of "
            f"{num_workers} workers; change one of them."
        )
    return int(num_workers)


def _divides(workers: int, num_envs: int, batch_size: int) -> bool:
    return num_envs % workers == 0 and batch_size % (num_envs // workers) == 0
