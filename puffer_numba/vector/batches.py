"""What the backends that step environments in parts have in common: batches of the parts that are ready first."""

from __future__ import annotations

import contextlib
import pickle
import traceback
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import ArrayLike, NDArray

from puffer_numba.env import (
    DISABLED,
    APIUsageError,
    Buffers,
    Infos,
    NumberedInfos,
    PufferEnv,
    RecvResult,
    Slot,
    StepResult,
)
from puffer_numba.spaces.actions import action_checker
from puffer_numba.vector.group import EnvJob, EpisodeArrays, merge_logs
from puffer_numba.vector.serial import Seed, VectorEnv

GRACE = 5.0  # seconds for environments to close
GRACE_AFTER_FAILURE = 0.5


class WorkerError(RuntimeError):
    """A worker failed: its environment raised, it died, or it took too long."""


class WorkerTimeout(WorkerError, TimeoutError):
    """It took too long."""


@dataclass
class Failure:
    """What went wrong in a worker."""

    environment: int
    error: str
    traceback: str
    is_usage_error: bool
    pickled: bytes | None = None
    """The exception itself, where it can be pickled."""

    @classmethod
    def of(cls, error: BaseException, environment: int) -> Failure:
        """An exception that is being handled, while environment number ``environment`` was at work."""
        text = f"{type(error).__name__}: {error}"
        pickled = None
        with contextlib.suppress(Exception):
            pickled = cloudpickle.dumps(error)
        return cls(environment, text, traceback.format_exc(), isinstance(error, APIUsageError), pickled)

    def to_error(self, number: int) -> Exception:
        """The same, as what the parent of worker ``number`` raises; its cause is the exception itself."""
        kind = APIUsageError if self.is_usage_error else WorkerError
        raised = kind(
            f"environment {self.environment}, in worker {number}, failed: {self.error}\n\n"
            f"In the worker:\n{self.traceback}"
        )
        with contextlib.suppress(Exception):  # of a class that is not known here
            raised.__cause__ = None if self.pickled is None else pickle.loads(self.pickled)
        return raised


class Batched(VectorEnv):
    """Environments in parts of equal size, each of which works by itself: a process, an actor, one half.

    With ``batch_size`` below the number of jobs it is asynchronous: `async_reset`, and then `recv` and `send` in turn.
    `recv` returns the rows of the parts that are ready first, and `send` takes the actions for these rows. A batch may
    also wait for its actions while others are received.

    A backend implements ``_begin`` and ``_pump``; what ends its parts is ``_finalizer``.

    Args:
        jobs, seed, driver_env, buffers, episodes: as for `VectorEnv`.
        parts: how many.
        batch_size: jobs that `recv` waits for.
        zero_copy: return the buffers themselves, for which a batch is always of the same parts.
    """

    def __init__(
        self,
        jobs: Sequence[EnvJob],
        seed: int,
        driver_env: PufferEnv,
        buffers: Buffers,
        episodes: EpisodeArrays | None,
        parts: int,
        batch_size: int,
        zero_copy: bool,
    ) -> None:
        super().__init__(jobs, seed, driver_env, buffers, episodes)
        self.masks[:] = True
        self.batch_size, self.zero_copy = batch_size, zero_copy
        size, agents = len(jobs) // parts, driver_env.num_agents
        self._environments = [range(k * size, (k + 1) * size) for k in range(parts)]
        self._rows = [slice(part.start * agents, part.stop * agents) for part in self._environments]
        self._parts_per_batch = batch_size // size
        self.agents_per_batch = batch_size * agents
        self._is_sync = self._parts_per_batch == parts
        if self.autoreset == DISABLED and not self._is_sync:
            raise APIUsageError(
                "autoreset='disabled' waits for reset(mask=...), which is of all environments together: leave "
                "batch_size out, or choose 'next-step'."
            )
        self._check_actions = action_checker(self, self.agents_per_batch)
        self._busy: set[int] = set()
        self._ready: list[int] = []  # in the order in which they became so; their results are still to be fetched
        self._awaiting: list[list[int]] = []  # batches whose results were fetched, and who get actions next
        self._replies: list[Any] = [[] for _ in range(parts)]
        self._was_reset = False

    # ------------------------------------------------------------------ for the backend to implement

    _finalizer: weakref.finalize[Any, Any]
    """What ends the parts; `_end` calls it with the seconds of grace as its last argument."""

    def _begin(self, number: int, method: str, *arguments: Any) -> None:
        """Let a part that is not busy run a method of its `EnvGroup`; ``step`` takes the actions in the buffers."""
        raise NotImplementedError

    def _pump(self, count: int) -> None:
        """Wait until up to ``count`` busy parts more are done; note what they reply and that they are ready."""
        raise NotImplementedError

    def _end(self, grace: float) -> None:
        """End the parts, whose environments have ``grace`` seconds to close."""
        if self.closed:
            return
        self.closed = True
        self._awaiting = []
        finalizer = self._finalizer.detach()
        if finalizer is not None:
            _, shut_down, arguments, _ = finalizer
            shut_down(*arguments, grace)
        self.driver_env.close()

    # ------------------------------------------------------------------ stepping

    def reset(
        self, seed: Seed = None, options: dict[str, Any] | None = None, mask: ArrayLike | None = None
    ) -> tuple[NDArray[Any], Infos]:
        """Start every environment anew; with a seed, also every random stream.

        Args:
            seed: of all, or a list with one for each environment; None: its stream continues.
            options: for environments of Gymnasium and PettingZoo.
            mask: bool (num_envs,), the environments to restart; all by default.

        Returns:
            ``(observations, infos)``: ``(num_agents, *observation_shape)``, and all environments' infos in one list.

        Raises:
            APIUsageError: the object is closed or asynchronous.
            WorkerError: a worker failed.
        """
        self._check_sync("reset", "async_reset(seed) and recv()")
        self.async_reset(seed, options, mask)
        observations, _, _, _, infos, _, _ = self.recv()
        return observations, infos

    def async_reset(
        self, seed: Seed = None, options: dict[str, Any] | None = None, mask: ArrayLike | None = None
    ) -> None:
        """Like `reset`, without waiting for it; results come with `recv`, as those of a step do."""
        self._check_options(options)
        which = self._which(mask)
        seed = self._first_seed(seed)
        self._settle()
        self._ready.clear()
        self._awaiting = []
        for number in range(len(self._rows)):
            self._begin(number, "reset", seed, options, which)
        self._was_reset = True

    def step(self, actions: ArrayLike) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_agents, *action_shape)``.

        Returns:
            ``(observations, rewards, terminals, truncations, infos)``: the buffers themselves, which the next step
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

    def send(self, actions: ArrayLike, env_ids: NDArray[np.int64] | None = None) -> None:
        """Let a batch of environments make a step, without waiting for it.

        Args:
            actions: ``(agents_per_batch, *action_shape)``, in the order of the rows that `recv` returned.
            env_ids: as `recv` returned them, for a batch that has waited; None: the last one received.

        Raises:
            APIUsageError: no such batch has been received, or a bad action; nothing has changed then.
        """
        numbers = self._find_batch(env_ids)
        self._check_none_ended()
        if self._is_sync:
            self.actions[...] = self._check_actions(actions)
        else:
            size = self.agents_per_batch // self._parts_per_batch
            checked = self._check_actions(actions, self._row_numbers(numbers))
            for k, number in enumerate(numbers):
                self.actions[self._rows[number]] = checked[k * size : (k + 1) * size]
        self._awaiting.remove(numbers)
        for number in numbers:
            self._begin(number, "step")

    def _find_batch(self, env_ids: NDArray[np.int64] | None) -> list[int]:
        """The parts of a batch that awaits actions."""
        if self.closed:
            self._raise_closed()
        if not self._was_reset:
            raise APIUsageError("step() or send() was called before reset(); call env.reset(seed=...) once first.")
        if not self._awaiting:
            raise APIUsageError("send() was called twice; call recv() between two sends.")
        if env_ids is None:
            return self._awaiting[-1]
        for numbers in self._awaiting:
            if np.array_equal(self._row_numbers(numbers), env_ids):
                return numbers
        raise APIUsageError(
            f"send() got env_ids {np.asarray(env_ids).tolist()}, but no such batch awaits actions; take those that "
            "recv() returned."
        )

    def recv(self) -> RecvResult:
        """Wait for a batch: all environments, or with ``batch_size`` those that are ready first.

        Returns:
            ``(observations, rewards, terminals, truncations, infos, env_ids, masks)``; ``env_ids`` are the numbers of
            the rows. With ``zero_copy`` arrays are the buffers themselves, overwritten by the rows' next step.

        Raises:
            APIUsageError: nothing has been sent to the environments that it would have to wait for.
            WorkerError: a worker failed.
        """
        if self.closed:
            self._raise_closed()
        if not self._was_reset:
            raise APIUsageError("recv() has nothing to return; call async_reset() or send(actions) first.")
        if len(self._busy) + len(self._ready) < self._parts_per_batch:
            raise APIUsageError("recv() would wait for ever: the environments await actions; call send(actions) first.")
        while (numbers := self._pick()) is None:
            self._pump(max(1, self._parts_per_batch - len(self._ready)))
        self._ready = [number for number in self._ready if number not in numbers]
        self._awaiting.append(numbers)
        infos = NumberedInfos(self._replies[number] for number in numbers)
        if self._is_sync:
            b = self.buffers
            return b.observations, b.rewards, b.terminals, b.truncations, infos, self.agent_ids, b.masks
        return self._gather(numbers, infos)

    def _pick(self) -> list[int] | None:
        """The parts of the next batch, once they are ready."""
        size, ready = self._parts_per_batch, self._ready
        if len(ready) < size:
            return None
        if size == 1:
            return ready[:1]
        if not self.zero_copy:
            return sorted(ready[:size])
        for number in ready:  # rows must be neighbours: batches are always of the same parts
            group = range(number - number % size, number - number % size + size)
            if all(n in ready for n in group):
                return list(group)
        return None

    def _row_numbers(self, numbers: list[int]) -> NDArray[np.int64]:
        return np.concatenate([self.agent_ids[self._rows[number]] for number in numbers])

    def _gather(self, numbers: list[int], infos: Infos) -> RecvResult:
        b = self.buffers
        rows: Any = slice(self._rows[numbers[0]].start, self._rows[numbers[-1]].stop)
        if not self.zero_copy and len(numbers) > 1:
            rows = self._row_numbers(numbers)
        results = (b.observations[rows], b.rewards[rows], b.terminals[rows], b.truncations[rows])
        return *results, infos, self.agent_ids[rows], b.masks[rows]

    # ------------------------------------------------------------------ failures

    def _describe(self, number: int) -> str:
        environments = self._environments[number]
        if len(environments) == 1:
            return f"worker {number} (environment {environments[0]})"
        return f"worker {number} (environments {environments[0]} to {environments[-1]})"

    def _timeout_error(self, running: Sequence[int], timeout: float) -> WorkerTimeout:
        return WorkerTimeout(
            f"{' and '.join(map(self._describe, running))} did not answer within {timeout:g} s; if the environments "
            "may take so long, give vector.make a larger timeout, or None."
        )

    # ------------------------------------------------------------------ the rest

    def use(self, slot: Slot) -> None:
        """Parts know the memory that they were given first.

        Raises:
            APIUsageError: always, once the object is made.
        """
        if hasattr(self, "buffers"):
            raise APIUsageError(
                f"{type(self).__name__} cannot be bound to other buffers: its environments write into those that they "
                "were made with."
            )
        super().use(slot)

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call, over all environments. Waits for steps
        under way.
        """
        return merge_logs(self._call(range(len(self._rows)), "log"))

    def render(self) -> Any:
        """An image of the first environment, as its own ``render`` gives it. Waits for steps under way."""
        return self._call([0], "render")[0]

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        return [result for part in self._call(range(len(self._rows)), method, *arguments) for result in part]

    def _call(self, numbers: Sequence[int], method: str, *arguments: Any) -> list[Any]:
        """Call a method of the parts' `EnvGroup`, and wait for the results. Results of a step are kept."""
        if self.closed:
            self._raise_closed()
        self._settle()
        kept, self._ready = self._ready, []
        kept_replies = list(self._replies)
        for number in numbers:
            self._begin(number, method, *arguments)
        self._settle()
        results = [self._replies[number] for number in numbers]
        self._ready, self._replies = kept, kept_replies
        return results

    def _settle(self) -> None:
        """Wait until no part is busy."""
        while self._busy:
            self._pump(len(self._busy))
