"""`Pooled`: vector environments that step in the background, as EnvPool's do, while the policy looks at another."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from puffer_numba.emulation.from_gymnasium_vector import VectorPufferEnv
from puffer_numba.env import APIUsageError, NumberedInfos, PufferEnv, make_buffers
from puffer_numba.vector.batches import Batched
from puffer_numba.vector.group import EnvGroup, EnvJob, Signature, buffers_of_rows, create


class Pooled(Batched):
    """Several vector environments of equal size, each of which steps on threads of its own between `send` and `recv`.

    Made by ``puffer_numba.vector.make("envpool:...", num_envs=..., batch_size=...)``. `async_reset`, and then `recv`
    and `send` in turn: ``recv`` returns the parts in the order in which they were sent actions. So a run depends on
    its seed alone, as it would not if a batch were of those environments that happen to be ready first. An error in a
    step is raised by ``recv``, and closes the object.

    Environment ``i`` of all has the seed that it would have in one vector environment of all of them.

    Args:
        jobs: one for each part, which makes a vector environment.
        size: of a part.
        seed: of all environments.

    Raises:
        APIUsageError: these vector environments do not step in the background.
    """

    def __init__(self, jobs: Sequence[EnvJob], size: int, seed: int) -> None:
        jobs = [job._replace(kwargs={**job.kwargs, "num_envs": size}) for job in jobs]
        with create(jobs[0], 0, seed) as probe:
            _check(probe, size)
            signature = Signature.of(probe)
        rows = len(jobs) * size
        buffers = make_buffers(signature.observation_space, signature.action_space, rows)
        episodes = (np.zeros(rows, np.float32), np.zeros(rows, np.int32))
        self._groups: list[EnvGroup] = []
        for k, job in enumerate(jobs):
            part = slice(k * size, (k + 1) * size)
            own = episodes[0][part], episodes[1][part]
            self._groups.append(EnvGroup([job], k, signature, buffers_of_rows(buffers, part), own, seed))
            self._groups[-1].make()
        super().__init__(jobs, seed, self._groups[0].envs[0], buffers, episodes, len(jobs), 1, True)
        self.batch_size = size
        self._stepping: deque[int] = deque()
        self._finalizer = weakref.finalize(self, _close, self._groups)

    def _begin(self, number: int, method: str, *arguments: Any) -> None:
        group = self._groups[number]
        if method == "step":
            group.envs[0].send_in_place()  # type: ignore[attr-defined]
            self._busy.add(number)
            self._stepping.append(number)
        else:
            self._replies[number] = getattr(group, method)(*arguments)
            self._ready.append(number)

    def _pump(self, count: int) -> None:
        for _ in range(min(count, len(self._stepping))):
            number = self._stepping.popleft()
            self._busy.discard(number)
            infos = NumberedInfos()
            try:
                received = self._groups[number].envs[0].recv_in_place()  # type: ignore[attr-defined]
            except BaseException:
                self.close()
                raise
            infos.add(number, received, self.batch_size)
            self._replies[number] = infos
            self._ready.append(number)

    def close(self) -> None:
        """Close the vector environments, once their steps are done. Calling it again does nothing."""
        if self.closed:
            return
        super().close()
        self._awaiting = []
        with suppress(Exception):  # of a step whose results nobody has asked for
            self._settle()
        self._finalizer()


def _check(env: PufferEnv, size: int) -> None:
    if isinstance(env, VectorPufferEnv) and env.is_asynchronous:
        return
    name = type(env.env).__name__ if isinstance(env, VectorPufferEnv) else type(env).__name__
    raise APIUsageError(
        f"batch_size is {size}, but a {name} does not step in the background; EnvPool's, ALE's and AsyncVectorEnv do. "
        "Leave batch_size out."
    )


def _close(groups: list[EnvGroup]) -> None:
    for group in groups:
        group.close()
