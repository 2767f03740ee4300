"""`Multiprocessing`: environments in worker processes, over shared memory."""

from __future__ import annotations

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
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.actions import ActionChecker
from puffer_numba.env import APIUsageError, Buffers, Infos, RecvResult, StepResult, buffer_specs
from puffer_numba.vector.creators import EnvJob, Signature, cores, create, merge_logs
from puffer_numba.vector.memory import SharedArrays
from puffer_numba.vector.serial import VectorEnv
from puffer_numba.vector.worker import (
    CALL,
    CLOSE,
    FAILED,
    MESSAGE,
    RUNNING,
    STEP,
    Failure,
    WorkerSetup,
    buffers_of,
    run_worker,
    try_for_a_while,
)

_LOOK_AFTER = 0.2  # seconds between two looks at whether workers are alive
_GRACE = 5.0  # seconds for environments to close
_GRACE_AFTER_FAILURE = 0.5

_main_lock = threading.Lock()


class WorkerError(RuntimeError):
    """A worker process failed: its environment raised, it died, or it took too long."""


@dataclass
class _Worker:
    """The parent's view of a worker."""

    process: Any
    pipe: Any
    go: Any
    rows: slice
    environments: range


class Multiprocessing(VectorEnv):
    """Environments in worker processes. Made by `puffer_numba.vector.make`, which explains the arguments.

    With ``batch_size`` below ``num_envs`` it is asynchronous: `async_reset`, and then `recv` and `send` in turn.
    `recv` returns the rows of the workers that are ready first, and `send` takes the actions for these rows.

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
        driver_env = create(jobs[0], 0, seed)
        signature = Signature.of(driver_env)
        rows = len(jobs) * signature.num_agents
        self._context = multiprocessing.get_context(context)
        self._memory = SharedArrays(self._context, _array_specs(signature, rows, num_workers))
        arrays = self._memory.arrays()
        counts_episodes = driver_env.episode_returns is not None
        episodes = (arrays["episode_returns"], arrays["episode_lengths"]) if counts_episodes else None
        super().__init__(jobs, seed, driver_env, buffers_of(arrays), episodes)
        self.masks[:] = True
        self._answers, self._commands = arrays["answers"], arrays["commands"]
        self._timeout = timeout
        self.num_workers, self.batch_size, self.zero_copy = num_workers, batch_size, zero_copy
        self._envs_per_worker = len(jobs) // num_workers
        self._workers_per_batch = batch_size // self._envs_per_worker
        self.agents_per_batch = batch_size * signature.num_agents
        self._is_sync = self._workers_per_batch == num_workers
        self._check_actions = ActionChecker(self.single_action_space, self.agents_per_batch)
        self._spins = cores() > num_workers
        self._busy: set[int] = set()
        self._ready: list[int] = []  # in the order in which they became so; their results are still to be fetched
        self._awaiting: list[int] = []  # whose results were fetched, and who get the next actions
        self._replies: list[Any] = [[] for _ in range(num_workers)]
        self._was_reset = False
        self._workers: list[_Worker] = []
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _shut_down, self._workers, self._commands, self._owner)
        self._start(jobs, seed, signature, counts_episodes)

    # ------------------------------------------------------------------ workers

    def _start(self, jobs: Sequence[EnvJob], seed: int, signature: Signature, counts_episodes: bool) -> None:
        self._done = self._context.Semaphore(0)
        if self._context.get_start_method() == "forkserver":
            self._context.set_forkserver_preload(["puffer_numba.vector.worker"])
        size = self._envs_per_worker
        pickled_signature = cloudpickle.dumps(signature)
        try:
            for number in range(self.num_workers):
                first = number * size
                setup = WorkerSetup(
                    number,
                    _pickle_jobs(jobs[first : first + size]),
                    first,
                    size,
                    pickled_signature,
                    counts_episodes,
                    seed,
                    self._spins,
                    dict(os.environ),
                )
                self._workers.append(self._start_worker(setup, signature.num_agents))
                self._busy.add(number)
            self._settle()
        except BaseException:
            self._end(_GRACE_AFTER_FAILURE)
            raise
        self._ready.clear()

    def _start_worker(self, setup: WorkerSetup, agents: int) -> _Worker:
        pipe, worker_pipe = self._context.Pipe()
        go = self._context.Semaphore(0)
        process = self._context.Process(  # type: ignore[attr-defined]
            target=run_worker,
            args=(setup, self._memory, worker_pipe, go, self._done),
            name=f"puffer_numba-worker-{setup.number}",
            daemon=True,
        )
        with _main_not_imported():
            process.start()
        worker_pipe.close()
        environments = range(setup.first, setup.first + setup.environments)
        return _Worker(process, pipe, go, slice(setup.first * agents, environments.stop * agents), environments)

    def _command(self, number: int, command: int) -> None:
        """Let a worker run that does not."""
        self._answers[number] = RUNNING
        self._commands[number] = command
        self._busy.add(number)
        self._workers[number].go.release()

    def _settle(self) -> None:
        """Wait until no worker runs."""
        while self._busy:
            self._pump(len(self._busy))

    def _pump(self, count: int) -> None:
        """Wait until up to ``count`` workers more are done, and note all that are."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        for _ in range(count):
            self._wait_for_one(deadline)
        answers = self._answers
        for number in [n for n in self._busy if answers[n] != RUNNING]:
            answer = answers[number]
            self._replies[number] = [] if answer < MESSAGE else self._read(number)
            if answer == FAILED:
                self._raise_failure(number, self._replies[number])
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

    def _describe(self, number: int) -> str:
        environments = self._workers[number].environments
        if len(environments) == 1:
            return f"worker {number} (environment {environments[0]})"
        return f"worker {number} (environments {environments[0]} to {environments[-1]})"

    def _raise_failure(self, number: int, failure: Failure) -> NoReturn:
        self._end(_GRACE_AFTER_FAILURE)
        kind = APIUsageError if failure.is_usage_error else WorkerError
        raise kind(
            f"environment {failure.environment}, in worker {number}, failed: {failure.error}\n\n"
            f"In the worker:\n{failure.traceback}"
        )

    def _raise_death(self, number: int) -> NoReturn:
        worker = self._describe(number)
        process = self._workers[number].process
        process.join(1.0)
        code = process.exitcode
        self._end(_GRACE_AFTER_FAILURE)
        cause = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        raise WorkerError(
            f"{worker} {cause}, without an error of Python; a crash in native code, os._exit, or the system's "
            "out-of-memory killer does so. backend='serial' runs the environments in this process."
        )

    def _raise_timeout(self) -> NoReturn:
        running = [self._describe(n) for n in sorted(self._busy) if self._answers[n] == RUNNING]
        self._end(_GRACE_AFTER_FAILURE)
        raise WorkerError(
            f"{' and '.join(running)} did not answer within {self._timeout:g} s; if the environments may take so long, "
            "give vector.make a larger timeout, or None."
        )

    def _call(self, numbers: Sequence[int], method: str, *arguments: Any) -> list[Any]:
        """Call a method of the workers' `EnvGroup`, and wait for the results. Results of a step are kept."""
        self._settle()
        kept, self._ready = self._ready, []
        kept_replies = list(self._replies)
        for number in numbers:
            self._workers[number].pipe.send((method, *arguments))
            self._command(number, CALL)
        self._settle()
        results = [self._replies[number] for number in numbers]
        self._ready, self._replies = kept, kept_replies
        return results

    # ------------------------------------------------------------------ stepping

    def reset(self, seed: int | None = None) -> tuple[NDArray[Any], Infos]:
        """Start every environment anew; with a seed, also every random stream.

        Returns:
            ``(observations, infos)``: ``(num_agents, *observation_shape)``, and all environments' infos in one list.

        Raises:
            APIUsageError: the object is closed or asynchronous.
            WorkerError: a worker failed.
        """
        self._check_sync("reset", "async_reset(seed) and recv()")
        self.async_reset(seed)
        observations, _, _, _, infos, _, _ = self.recv()
        return observations, infos

    def async_reset(self, seed: int | None = None) -> None:
        """Like `reset`, without waiting for it; results come with `recv`, as those of a step do."""
        seed = self._first_seed(seed)
        self._settle()
        self._ready.clear()
        self._awaiting = []
        for number, worker in enumerate(self._workers):
            worker.pipe.send(("reset", seed))
            self._command(number, CALL)
        self._was_reset = True

    def step(self, actions: ArrayLike) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_agents, *action_shape)``.

        Returns:
            ``(observations, rewards, terminals, truncations, infos)``: the shared memory itself, which the next step
            overwrites.

        Raises:
            APIUsageError: no reset yet, the object is closed or asynchronous, or a bad action; nothing has changed
                then.
            WorkerError: a worker failed.
        """
        self._check_sync("step", "send(actions) and recv()")
        self.send(actions)
        return self.recv()[:5]

    def _check_sync(self, method: str, instead: str) -> None:
        if not self._is_sync:
            raise APIUsageError(
                f"{method}() needs batch_size == num_envs; with batches of {self.batch_size} environments call "
                f"{instead}."
            )

    def send(self, actions: ArrayLike) -> None:
        """Let the environments of the last `recv` make a step, without waiting for it.

        Args:
            actions: ``(agents_per_batch, *action_shape)``, in the order of the rows that `recv` returned.

        Raises:
            APIUsageError: no batch has been received, or a bad action; nothing has changed then.
        """
        numbers = self._awaiting
        if not numbers:
            self._raise_nothing_awaits()
        if self._is_sync:
            self.actions[...] = self._check_actions(actions)
        else:
            size = self.agents_per_batch // self._workers_per_batch
            checked = self._check_actions(actions, self._row_numbers(numbers))
            for k, number in enumerate(numbers):
                self.actions[self._workers[number].rows] = checked[k * size : (k + 1) * size]
        self._awaiting = []
        for number in numbers:
            self._command(number, STEP)

    def _raise_nothing_awaits(self) -> NoReturn:
        if self.closed:
            self._raise_closed()
        if not self._was_reset:
            raise APIUsageError("step() or send() was called before reset(); call env.reset(seed=...) once first.")
        raise APIUsageError("send() was called twice; call recv() between two sends.")

    def recv(self) -> RecvResult:
        """Wait for a batch: all environments, or with ``batch_size`` those that are ready first.

        Returns:
            ``(observations, rewards, terminals, truncations, infos, env_ids, masks)``; ``env_ids`` are the numbers of
            the rows. With ``zero_copy`` arrays are the shared memory itself, overwritten by the rows' next step.

        Raises:
            APIUsageError: nothing has been sent since the last call.
            WorkerError: a worker failed.
        """
        if self.closed:
            self._raise_closed()
        if not self._was_reset:
            raise APIUsageError("recv() has nothing to return; call async_reset() or send(actions) first.")
        if self._awaiting:
            raise APIUsageError("recv() was called twice; call send(actions) between two of them.")
        while (numbers := self._pick()) is None:
            self._pump(max(1, self._workers_per_batch - len(self._ready)))
        self._ready = [number for number in self._ready if number not in numbers]
        self._awaiting = numbers
        infos = [info for number in numbers for info in self._replies[number]]
        if self._is_sync:
            b = self.buffers
            return b.observations, b.rewards, b.terminals, b.truncations, infos, self.agent_ids, b.masks
        return self._gather(numbers, infos)

    def _pick(self) -> list[int] | None:
        """The workers of the next batch, once they are ready."""
        size, ready = self._workers_per_batch, self._ready
        if len(ready) < size:
            return None
        if size == 1:
            return ready[:1]
        if not self.zero_copy:
            return sorted(ready[:size])
        for number in ready:  # rows must be neighbours: batches are always of the same workers
            group = range(number - number % size, number - number % size + size)
            if all(n in ready for n in group):
                return list(group)
        return None

    def _row_numbers(self, numbers: list[int]) -> NDArray[np.int64]:
        return np.concatenate([self.agent_ids[self._workers[number].rows] for number in numbers])

    def _gather(self, numbers: list[int], infos: Infos) -> RecvResult:
        b = self.buffers
        rows: Any = slice(self._workers[numbers[0]].rows.start, self._workers[numbers[-1]].rows.stop)
        if not self.zero_copy and len(numbers) > 1:
            rows = self._row_numbers(numbers)
        results = (b.observations[rows], b.rewards[rows], b.terminals[rows], b.truncations[rows])
        return *results, infos, self.agent_ids[rows], b.masks[rows]

    # ------------------------------------------------------------------ the rest

    def bind(self, buffers: Buffers) -> None:
        """Workers know the shared memory alone.

        Raises:
            APIUsageError: always, once the object is made.
        """
        if hasattr(self, "buffers"):
            raise APIUsageError("Multiprocessing cannot be bound to other buffers: its workers write to shared memory.")
        super().bind(buffers)

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call, over all environments. Waits for steps
        under way.
        """
        return merge_logs(self._call_open(range(self.num_workers), "log"))

    def render(self) -> Any:
        """A picture of the first environment, as its own ``render`` gives it. Waits for steps under way."""
        return self._call_open([0], "render")[0]

    def _call_open(self, numbers: Sequence[int], method: str) -> list[Any]:
        if self.closed:
            self._raise_closed()
        return self._call(numbers, method)

    def close(self) -> None:
        """End the workers and close all environments. Calling it again does nothing."""
        self._end(_GRACE)

    def _end(self, grace: float) -> None:
        if self.closed:
            return
        self.closed = True
        self._awaiting = []
        if self._finalizer.detach() is not None:
            _shut_down(self._workers, self._commands, self._owner, grace)
        self.driver_env.close()


def _array_specs(signature: Signature, rows: int, workers: int) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    return {
        **buffer_specs(signature.observation_space, signature.action_space, rows),
        "episode_returns": ((rows,), np.dtype(np.float32)),
        "episode_lengths": ((rows,), np.dtype(np.int32)),
        "answers": ((workers,), np.dtype(np.uint8)),
        "commands": ((workers,), np.dtype(np.uint8)),
    }


def _pickle_jobs(jobs: Sequence[EnvJob]) -> bytes:
    try:
        return cloudpickle.dumps(list(jobs))
    except Exception as error:
        raise APIUsageError(
            f"an environment's creator or arguments cannot be sent to a worker process: {error}. Let a function make "
            "what cannot be pickled (open files, locks, generators) inside the worker."
        ) from error


@contextmanager
def _main_not_imported() -> Iterator[None]:
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


def _shut_down(workers: list[_Worker], commands: NDArray[np.uint8], owner: int, grace: float = _GRACE) -> None:
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
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join()
        worker.process.close()
    workers.clear()
