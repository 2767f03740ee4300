"""`Overlapped`: two halves of a JitEnv, one of which steps while the policy looks at the other."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np

from puffer_numba.env import APIUsageError, make_buffers
from puffer_numba.jit.compiler.threads import num_threads
from puffer_numba.vector.batches import Batched
from puffer_numba.vector.group import EnvGroup, EnvJob, Signature, buffers_of_rows, create

_HALVES = 2


class Overlapped(Batched):
    """A JitEnv's environments as two halves, whose kernels run on a background thread.

    Made by ``puffer_numba.vector.make(..., overlap=True)``. `async_reset`, and then `recv` and `send` in turn: ``recv``
    returns the halves alternately, and while the caller computes actions for one, the thread steps the other.
    Kernels hold no interpreter lock. There is one thread, so never two kernels at once; they use as many threads of
    Numba as the caller was set to use when this object was made.

    Environments are those of one JitEnv: the same trajectories, bit for bit. An error in a step is raised by ``recv``,
    and closes the object. ``batch_size`` is the number of environments in a half.

    Args:
        jobs: two, of a JitEnv with half of the environments each.
        seed: of all environments.
    """

    def __init__(self, jobs: Sequence[EnvJob], seed: int) -> None:
        with create(jobs[0], 0, seed) as probe:
            signature = Signature.of(probe)
        half, rows = signature.num_agents, _HALVES * signature.num_agents
        buffers = make_buffers(signature.observation_space, signature.action_space, rows)
        episodes = (np.zeros(rows, np.float32), np.zeros(rows, np.int32))
        groups = []
        for k, job in enumerate(jobs):
            part = slice(k * half, (k + 1) * half)
            own_episodes = (episodes[0][part], episodes[1][part])
            groups.append(EnvGroup([job], k, signature, buffers_of_rows(buffers, part), own_episodes, seed))
            groups[-1].make()
        super().__init__(jobs, seed, groups[0].envs[0], buffers, episodes, _HALVES, 1, True)
        self.batch_size = signature.num_envs
        self._to_do: SimpleQueue[Any] = SimpleQueue()
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._groups = groups
        self._thread = threading.Thread(
            target=_run, args=(groups, self._to_do, self._done, num_threads()), name="puffer_numba-overlap", daemon=True
        )
        self._thread.start()
        self._finalizer = weakref.finalize(self, self._to_do.put, None)

    def _begin(self, number: int, method: str, *arguments: Any) -> None:
        self._busy.add(number)
        self._to_do.put((number, method, arguments))

    def _pump(self, count: int) -> None:
        for _ in range(count):
            if not self._thread.is_alive():
                raise APIUsageError(
                    "Overlapped was made in another process, whose thread a fork has not; make it here."
                )
            number, reply, error = self._done.get()
            self._busy.discard(number)
            if error is not None:
                self.close()
                raise error
            self._replies[number] = reply
            self._ready.append(number)

    def close(self) -> None:
        """End the thread, once it has finished its step, and close the environments. Calling it again does nothing."""
        if self.closed:
            return
        super().close()
        self._awaiting = []
        self._finalizer()
        self._thread.join()
        for group in self._groups:
            group.close()


def _run(groups: list[EnvGroup], to_do: SimpleQueue[Any], done: SimpleQueue[Any], threads: int) -> None:
    """Run what comes, in order, until None comes. Knows nothing of the object, which may so be forgotten."""
    numba.set_num_threads(threads)
    while (task := to_do.get()) is not None:
        number, method, arguments = task
        try:
            done.put((number, getattr(groups[number], method)(*arguments), None))
        except BaseException as error:  # handed over, whatever it is
            done.put((number, None, error))
