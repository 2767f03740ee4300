"""`Ray`: environments in the actors of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from puffer_numba import registrations
from puffer_numba.env import Infos, buffer_specs, make_buffers
from puffer_numba.extras import require
from puffer_numba.files import by_value
from puffer_numba.jit.compiler.threads import cores
from puffer_numba.vector.batches import GRACE, GRACE_AFTER_FAILURE, Batched, Failure, WorkerError, WorkerTimeout
from puffer_numba.vector.group import EnvGroup, EnvJob, Signature, create
from puffer_numba.vector.memory import Specs, size_of, views
from puffer_numba.vector.multiprocessing import pickle_jobs
from puffer_numba.vector.worker import use_one_thread

_SENT = ("observations", "rewards", "terminals", "truncations", "masks", "episode_returns", "episode_lengths")

_lock = threading.Lock()
_users = 0  # objects that use a connection made here; the last one ends it
_connection = ""  # "joined" a cluster, or "started" one on this machine
_owner = 0  # the process that did


class Ray(Batched):
    """Environments in Ray actors, one for each worker. Made by `puffer_numba.vector.make`, which explains arguments.

    A Ray that the program has initialised is used, or the one that the variable ``RAY_ADDRESS`` names: each actor
    reserves one CPU of it, and its nodes need this library and the environments' modules. Else one is started on this
    machine, without a dashboard, and shut down with the last object that uses it.

    Results of an actor come as one object. On the same node it is read where it lies in Ray's object store, and copied
    once, into the buffers. Last observations are sent only where episodes end.

    Otherwise it is as `Multiprocessing`: batches, trajectories, and `WorkerError` where an actor fails, dies or hangs.
    """

    def __init__(
        self,
        jobs: Sequence[EnvJob],
        seed: int,
        num_workers: int,
        batch_size: int,
        zero_copy: bool,
        timeout: float | None,
    ) -> None:
        self._ray: Any = require("ray", "ray", "backend='ray'")
        driver_env = create(jobs[0], 0, seed)
        signature = Signature.of(driver_env)
        rows = len(jobs) * signature.num_agents
        buffers = make_buffers(signature.observation_space, signature.action_space, rows)
        counts_episodes = driver_env.episode_returns is not None
        episodes = (np.zeros(rows, np.float32), np.zeros(rows, np.int32)) if counts_episodes else None
        super().__init__(jobs, seed, driver_env, buffers, episodes, num_workers, batch_size, zero_copy)
        self.num_workers = num_workers
        self._timeout = timeout
        self._running: dict[Any, tuple[int, str]] = {}  # by the reference of what is to come, the oldest first
        self._actors: list[Any] = []
        self._specs = _specs(signature, rows // num_workers)
        self._targets = [self._targets_of(part) for part in self._rows]
        self._connection = _connect(self._ray)
        self._finalizer = weakref.finalize(self, _shut_down, self._ray, self._actors, self._connection)
        self._start(jobs, seed, cloudpickle.dumps(signature))

    def _targets_of(self, part: slice) -> list[NDArray[Any]]:
        """Where an actor's results go, in the order in which it sends them."""
        arrays = {**self.buffers._asdict()}
        if self.episode_returns is not None:
            arrays |= {"episode_returns": self.episode_returns, "episode_lengths": self.episode_lengths}
        return [arrays[name][part] for name in _SENT if name in arrays]

    # ------------------------------------------------------------------ actors

    def _start(self, jobs: Sequence[EnvJob], seed: int, signature: bytes) -> None:
        remote = self._ray.remote(_Actor)
        counts = self.episode_returns is not None
        options = remote.options(num_cpus=0 if self._connection == "started" else 1)
        try:
            with by_value():
                registered = registrations.dumps()
                pickled = [pickle_jobs(jobs[part.start : part.stop]) for part in self._environments]
            self.driver_env.close()  # before there are others: a port, a licence or the memory may be for one only
            for environments, part in zip(self._environments, pickled, strict=True):
                self._actors.append(options.remote(part, registered, environments.start, signature, counts, seed))
            for number in range(self.num_workers):
                self._begin(number, "make")
            self._settle()
        except BaseException:
            self._end(GRACE_AFTER_FAILURE)
            raise
        self._ready.clear()

    def _begin(self, number: int, method: str, *arguments: Any) -> None:
        if method == "step":
            arguments = (self.actions[self._rows[number]],)
        reference = self._actors[number].run.remote(method, *arguments)
        self._busy.add(number)
        self._running[reference] = (number, method)

    def _pump(self, count: int) -> None:
        ready, _ = self._ray.wait(list(self._running), num_returns=count, timeout=self._timeout)
        for reference in ready:
            number, method = self._running.pop(reference)
            reply = self._get(reference, number)
            if isinstance(reply, Failure):
                self._end(GRACE)
                raise reply.to_error(number)
            self._replies[number] = self._take(number, *reply) if method in ("reset", "step") else reply
            self._busy.discard(number)
            self._ready.append(number)
        if len(ready) < count:
            self._raise_timeout()

    def _get(self, reference: Any, number: int) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            self._end(GRACE_AFTER_FAILURE)
            raise WorkerError(
                f"{self._describe(number)} died: {' '.join(lines)}. A crash in native code, os._exit, the system's "
                "out-of-memory killer, or the loss of a node does so. backend='serial' runs the environments in this "
                "process."
            ) from error

    def _raise_timeout(self) -> None:
        starting = "make" in (method for _, method in self._running.values())
        free = self._ray.available_resources().get("CPU", 0) if starting else 0
        assert self._timeout is not None
        error = self._timeout_error(sorted(self._busy), self._timeout)
        self._end(GRACE_AFTER_FAILURE)
        if starting:
            raise WorkerTimeout(f"{error} Each worker reserves one CPU of the cluster, of which {free:g} are free.")
        raise error

    def _take(self, number: int, block: NDArray[np.uint8], last: NDArray[Any] | None, infos: Infos) -> Infos:
        """Copy what an actor has sent into the buffers."""
        for target, array in zip(self._targets[number], views(block, self._specs).values(), strict=False):
            target[...] = array
        if last is not None:
            rows = self._rows[number]
            self.final_observations[rows][self.terminals[rows] | self.truncations[rows]] = last
        return infos

    def close(self) -> None:
        """Close all environments, and end the actors; Ray too, if it was started here and nothing else uses it. Calling
        it again does nothing.
        """
        self._end(GRACE)


class _Actor:
    """Environments with consecutive numbers, in a process of Ray."""

    def __init__(
        self, jobs: bytes, registered: bytes, first: int, signature: bytes, counts_episodes: bool, seed: int
    ) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
        use_one_thread()
        registrations.loads(registered)
        self._arguments = (jobs, first, signature, counts_episodes, seed)
        self._group: EnvGroup | None = None

    def run(self, method: str, *arguments: Any) -> Any:
        """Call a method of the `EnvGroup`: its result; after a step or reset, ``(arrays, last observations, infos)``.

        What an environment raises is returned, as a `Failure`.
        """
        try:
            if self._group is None:
                return self._make()
            if method == "step":
                self._actions[...] = arguments[0]
                return self._results(self._group.step())
            result = getattr(self._group, method)(*arguments)
            return self._results(result) if method == "reset" else result
        except BaseException as error:  # an environment may also call sys.exit
            return Failure.of(error, self._arguments[1] if self._group is None else self._group.at_work)

    def _make(self) -> None:
        jobs, first, pickled_signature, counts_episodes, seed = self._arguments
        signature: Signature = pickle.loads(pickled_signature)
        unpickled: list[EnvJob] = pickle.loads(jobs)
        rows = len(unpickled) * signature.num_agents
        specs = _specs(signature, rows)
        self._block = np.zeros(size_of(specs), np.uint8)
        arrays = views(self._block, specs)
        episodes = (arrays.pop("episode_returns"), arrays.pop("episode_lengths"))
        self._buffers = make_buffers(signature.observation_space, signature.action_space, rows, arrays)
        self._buffers.masks[:] = True
        self._actions = self._buffers.actions
        self._group = EnvGroup(unpickled, first, signature, self._buffers, episodes if counts_episodes else None, seed)
        self._group.make()

    def _results(self, infos: Infos) -> tuple[NDArray[np.uint8], NDArray[Any] | None, Infos]:
        ended = self._buffers.terminals | self._buffers.truncations
        return self._block, self._buffers.final_observations[ended] if ended.any() else None, infos


def cluster_cores() -> int:
    """CPUs of the cluster that the program has joined; else those of this process."""
    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return cores()
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _connect(ray: Any) -> str:
    """Initialise Ray, unless the program has; whether here it "joined" a cluster, "started" one, or neither, ""."""
    global _users, _connection, _owner
    with _lock:
        if not ray.is_initialized():
            _users, _owner = 0, os.getpid()
            _connection = "joined" if "RAY_ADDRESS" in os.environ else "started"
            if _connection == "joined":
                ray.init(logging_level="ERROR")
            else:
                ray.init(address="local", num_cpus=cores(), include_dashboard=False, logging_level="ERROR")
        elif not _users:
            return ""
        _users += 1
        return _connection


def _shut_down(ray: Any, actors: list[Any], connection: str, grace: float = GRACE) -> None:
    """Close environments, end their actors, and with the last object Ray itself, where it was initialised here."""
    global _users
    if not ray.is_initialized() or (connection and os.getpid() != _owner):
        return  # the program has shut it down; or this is a fork
    closing = [actor.run.remote("close") for actor in actors]
    if closing:
        ray.wait(closing, num_returns=len(closing), timeout=grace)
    for actor in actors:
        ray.kill(actor)
    actors.clear()
    with _lock:
        if connection:
            _users -= 1
            if not _users:
                ray.shutdown()


def _specs(signature: Signature, rows: int) -> Specs:
    """What an actor sends at each step."""
    all_specs = {
        **buffer_specs(signature.observation_space, signature.action_space, rows),
        "episode_returns": ((rows,), np.dtype(np.float32)),
        "episode_lengths": ((rows,), np.dtype(np.int32)),
    }
    return {name: all_specs[name] for name in _SENT}
