"""`Multiprocessing`: environments in worker processes, over shared memory."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from puffer_numba import registrations
from puffer_numba.env import APIUsageError, buffer_specs
from puffer_numba.jit.compiler.threads import cores
from puffer_numba.vector.batches import GRACE, GRACE_AFTER_FAILURE, Batched, WorkerError
from puffer_numba.vector.group import EnvJob, Signature, create
from puffer_numba.vector.infos import WIDTH, InfoReader
from puffer_numba.vector.memory import SharedArrays, Specs
from puffer_numba.vector.worker import (
    CALL,
    CLOSE,
    DONE,
    FAILED,
    NUMBERS,
    RUNNING,
    STEP,
    WorkerSetup,
    buffers_of,
    end_group,
    run_worker,
    try_for_a_while,
)

_LOOK_AFTER = 0.2  # seconds between two looks at whether workers are alive

_main_lock = threading.Lock()
_open: weakref.WeakSet[Multiprocessing] = weakref.WeakSet()


@atexit.register  # after multiprocessing's own, so that it comes before that one waits for processes to end
def _close_all() -> None:
    for env in list(_open):
        env.close()


@dataclass
class _Worker:
    """The parent's view of a worker."""

    process: Any
    pipe: Any
    go: Any


class Multiprocessing(Batched):
    """Environments in worker processes. Made by `puffer_numba.vector.make`, which explains the arguments.

    With ``batch_size`` below ``num_envs`` it is asynchronous: `async_reset`, and then `recv` and `send` in turn.
    `recv` returns the rows of the workers that are ready first, and `send` takes the actions for these rows. With
    ``zero_copy`` arrays are the shared memory itself.

    A worker that raises, dies or hangs makes the parent raise `WorkerError` (`APIUsageError` where that is what the
    environment raised) and ends all workers.
    """

    def __init__(
        self,
        jobs: Sequence[EnvJob],
        seed: int,
        num_workers: int,
        batch_size: int,
        zero_copy: bool,
        timeout: float | None,
        context: str,
    ) -> None:
        if multiprocessing.current_process().daemon:
            raise APIUsageError(
                "backend 'multiprocessing' starts processes, which a daemonic process may not: make this one with "
                "daemon=False, or use backend='serial'."
            )
        driver_env = create(jobs[0], 0, seed)
        signature = Signature.of(driver_env)
        self._context = multiprocessing.get_context(context)
        self._memory = SharedArrays(self._context, _array_specs(signature, len(jobs), num_workers))
        arrays = self._memory.arrays()
        counts_episodes = driver_env.episode_returns is not None
        episodes = (arrays["episode_returns"], arrays["episode_lengths"]) if counts_episodes else None
        super().__init__(jobs, seed, driver_env, buffers_of(arrays), episodes, num_workers, batch_size, zero_copy)
        self._answers, self._commands = arrays["answers"], arrays["commands"]
        self._info_kinds = arrays["info_kinds"]
        self._readers = [InfoReader(arrays["infos"][part.start : part.stop], part.start) for part in self._environments]
        self.num_workers, self._timeout = num_workers, timeout
        self._spins = cores() > num_workers
        self._workers: list[_Worker] = []
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _shut_down, self._workers, self._commands, self._owner)
        _open.add(self)
        self._start(jobs, seed, signature, counts_episodes)

    # ------------------------------------------------------------------ workers

    def _setups(
        self, jobs: Sequence[EnvJob], seed: int, signature: Signature, counts_episodes: bool
    ) -> list[WorkerSetup]:
        pickled_signature, registered = cloudpickle.dumps(signature), registrations.dumps()
        return [
            WorkerSetup(
                number,
                pickle_jobs(jobs[environments.start : environments.stop]),
                environments.start,
                len(environments),
                pickled_signature,
                counts_episodes,
                seed,
                self._spins,
                dict(os.environ),
                registered,
            )
            for number, environments in enumerate(self._environments)
        ]

    def _start(self, jobs: Sequence[EnvJob], seed: int, signature: Signature, counts_episodes: bool) -> None:
        self._done = self._context.Semaphore(0)
        if self._context.get_start_method() == "forkserver":
            self._context.set_forkserver_preload(["puffer_numba.vector.worker"])
        try:
            setups = self._setups(jobs, seed, signature, counts_episodes)
            self.driver_env.close()  # before there are others: a port, a licence or the memory may be for one only
            for setup in setups:
                self._workers.append(self._start_worker(setup))
                self._busy.add(setup.number)
            self._settle()
        except BaseException:
            self._end(GRACE)
            raise
        self._ready.clear()

    def _start_worker(self, setup: WorkerSetup) -> _Worker:
        pipe, worker_pipe = self._context.Pipe()
        go = self._context.Semaphore(0)
        process = self._context.Process(  # type: ignore[attr-defined]
            target=run_worker,
            args=(setup, self._memory, worker_pipe, go, self._done),
            name=f"puffer_numba-worker-{setup.number}",  # not daemonic: environments may start processes
        )
        with main_not_imported():
            process.start()
        worker_pipe.close()
        return _Worker(process, pipe, go)

    def _begin(self, number: int, method: str, *arguments: Any) -> None:
        if method != "step":
            self._workers[number].pipe.send((method, *arguments))
        self._answers[number] = RUNNING
        self._commands[number] = STEP if method == "step" else CALL
        self._busy.add(number)
        self._workers[number].go.release()

    def _pump(self, count: int) -> None:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        for _ in range(count):
            self._wait_for_one(deadline)
        answers = self._answers
        for number in [n for n in self._busy if answers[n] != RUNNING]:
            answer = answers[number]
            self._replies[number] = self._reply(number, answer)
            if answer == FAILED:
                self._end(GRACE)
                raise self._replies[number].to_error(number)
            self._busy.discard(number)
            self._ready.append(number)

    def _wait_for_one(self, deadline: float | None) -> None:
        if self._spins and try_for_a_while(self._done):
            return
        while not self._done.acquire(True, _LOOK_AFTER):
            if any(self._answers[number] != RUNNING for number in self._busy):
                return  # it was killed after its answer, before it could post
            self._check_alive()
            if deadline is not None and time.monotonic() > deadline:
                self._raise_timeout()

    def _reply(self, number: int, answer: int) -> Any:
        if answer == DONE:
            return []
        if answer == NUMBERS:
            return self._readers[number].read(self._info_kinds[number])
        content = self._read(number)
        self._readers[number].learn(content)
        return content

    def _read(self, number: int) -> Any:
        """What a worker has sent through its pipe."""
        try:
            return pickle.loads(self._workers[number].pipe.recv_bytes())
        except (EOFError, OSError):
            self._raise_death(number)

    def _check_alive(self) -> None:
        for number in self._busy:
            if self._workers[number].process.exitcode is not None:
                self._raise_death(number)

    def _raise_death(self, number: int) -> NoReturn:
        worker = self._describe(number)
        process = self._workers[number].process
        process.join(1.0)
        code = process.exitcode
        self._end(GRACE)
        cause = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        raise WorkerError(
            f"{worker} {cause}, without an error of Python; a crash in native code, os._exit, or the system's "
            "out-of-memory killer does so. backend='serial' runs the environments in this process."
        )

    def _raise_timeout(self) -> NoReturn:
        assert self._timeout is not None
        running = [number for number in sorted(self._busy) if self._answers[number] == RUNNING]
        self._end(GRACE_AFTER_FAILURE)
        raise self._timeout_error(running, self._timeout)

    def close(self) -> None:
        """End the workers and close all environments. Calling it again does nothing."""
        self._end(GRACE)


def _array_specs(signature: Signature, environments: int, workers: int) -> Specs:
    rows = environments * signature.num_agents
    return {
        **buffer_specs(signature.observation_space, signature.action_space, rows),
        "episode_returns": ((rows,), np.dtype(np.float32)),
        "episode_lengths": ((rows,), np.dtype(np.int32)),
        "answers": ((workers,), np.dtype(np.uint8)),
        "commands": ((workers,), np.dtype(np.uint8)),
        "infos": ((environments, WIDTH), np.dtype(np.float64)),
        "info_kinds": ((workers,), np.dtype(np.uint8)),
    }


def pickle_jobs(jobs: Sequence[EnvJob]) -> bytes:
    """What makes environments, for another process.

    Raises:
        APIUsageError: it cannot be pickled.
    """
    try:
        return cloudpickle.dumps(list(jobs))
    except Exception as error:
        raise APIUsageError(
            f"an environment's creator or arguments cannot be sent to a worker process: {error}. Let a function make "
            "what cannot be pickled (open files, locks, generators) inside the worker."
        ) from error


@contextmanager
def main_not_imported() -> Iterator[None]:
    """Start a process that does not run the main script again.

    Creators of the main script are pickled by value, so workers do not need it, and a script without
    ``if __name__ == "__main__":`` would start workers of workers.
    """
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _shut_down(workers: list[_Worker], commands: NDArray[np.uint8], owner: int, grace: float = GRACE) -> None:
    """End workers: those that have not done so by themselves within ``grace`` seconds are killed."""
    if os.getpid() != owner:
        return  # in a fork of the parent, whose workers these are
    for number, worker in enumerate(workers):
        commands[number] = CLOSE
        worker.go.release()
        worker.pipe.close()  # frees one that is sending
    deadline = time.monotonic() + grace
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        if worker.process.exitcode != 0:  # it hangs, or has died and may have left something running
            end_group(worker.process.pid)
            worker.process.kill()
            worker.process.join()
        worker.process.close()
    workers.clear()
