"""Gymnasium's names: `SyncVectorEnv` and `AsyncVectorEnv`, over the backends of this library.

::

    from puffer_numba.vector import AsyncVectorEnv  # in place of gymnasium.vector

    envs = AsyncVectorEnv([lambda: gymnasium.make("LunarLander-v3")] * 16)

What these cannot hold in flat arrays (Sequence, Graph, spaces of one's own, spaces that differ) Gymnasium's own classes
serve: one of these is what comes out then, with a warning.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import gymnasium
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.vector import AutoresetMode

from puffer_numba.emulation.as_gymnasium_vector import PufferVectorEnv
from puffer_numba.env import APIUsageError
from puffer_numba.vector.batches import GRACE, WorkerError, WorkerTimeout
from puffer_numba.vector.factory import make
from puffer_numba.vector.multiprocessing import Multiprocessing

EnvFns = Sequence[Callable[[], gymnasium.Env[Any, Any]]]


class _OfFunctions(PufferVectorEnv):
    """One environment of each function."""

    _gymnasiums: type[gymnasium.vector.VectorEnv[Any, Any, Any]]
    _made: Any

    def __new__(cls, env_fns: EnvFns, *args: Any, **kwargs: Any) -> Any:
        """This class's object, or Gymnasium's own where the spaces are not for flat arrays."""
        options = cls._options(*args, **kwargs)
        reason = options.pop("reason", "")
        if not reason:
            try:
                made = make(list(env_fns), num_envs=len(env_fns), env_kwargs=[{}] * len(env_fns), **options)
            except APIUsageError as error:
                reason = str(error)
        if reason:
            warnings.warn(f"{cls.__name__}: Gymnasium's own is used, for {reason}", UserWarning, stacklevel=2)
            return cls._gymnasiums(env_fns, *args, **kwargs)  # type: ignore[call-arg]
        self = super().__new__(cls)
        self._made = made
        return self

    @staticmethod
    def _options(*args: Any, **kwargs: Any) -> dict[str, Any]:
        """What `make` is to be told; or a ``reason`` not to ask it."""
        raise NotImplementedError

    @property
    def np_random_seed(self) -> Any:
        """That of each environment."""
        return self.get_attr("np_random_seed")

    @np_random_seed.setter
    def np_random_seed(self, value: Any) -> None: ...  # Gymnasium's reset sets its own


class SyncVectorEnv(_OfFunctions):
    """`gymnasium.vector.SyncVectorEnv`: environments one after the other, in this process.

    Args:
        env_fns, copy, observation_mode, autoreset_mode: as there.
    """

    _gymnasiums = gymnasium.vector.SyncVectorEnv

    def __init__(
        self,
        env_fns: EnvFns,
        copy: bool = True,
        observation_mode: Any = "same",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        super().__init__(self._made, copy=copy)

    @staticmethod
    def _options(
        copy: bool = True, observation_mode: Any = "same", autoreset_mode: Any = AutoresetMode.NEXT_STEP
    ) -> dict[str, Any]:
        return {"backend": "serial", "autoreset": autoreset_mode, **_reason(observation_mode, None)}

    @property
    def envs(self) -> list[Any]:
        """The environments."""
        return [env.env for env in self.puffer_env.envs]  # type: ignore[attr-defined]


class AsyncVectorEnv(_OfFunctions):
    """`gymnasium.vector.AsyncVectorEnv`: environments in worker processes, as many as there are cores.

    Args:
        env_fns, copy, observation_mode, autoreset_mode: as there.
        shared_memory, daemon: make no difference: results always come through shared memory, and workers end with this
            process, but may start processes of their own.
        context: as there; "fork" is taken for "forkserver".
        worker: as there, and then Gymnasium's own class is used.
        max_concurrency: how many workers there are at most.
    """

    _gymnasiums = gymnasium.vector.AsyncVectorEnv
    puffer_env: Multiprocessing

    def __init__(
        self,
        env_fns: EnvFns,
        shared_memory: bool = True,
        copy: bool = True,
        context: str | None = None,
        daemon: bool = True,
        worker: Callable[..., None] | None = None,
        observation_mode: Any = "same",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_concurrency: int | None = None,
    ) -> None:
        super().__init__(self._made, copy=copy)
        self._waits_for = ""
        self._which: Any = None
        self._called: tuple[Any, ...] = ()

    @staticmethod
    def _options(
        shared_memory: bool = True,
        copy: bool = True,
        context: str | None = None,
        daemon: bool = True,
        worker: Any = None,
        observation_mode: Any = "same",
        autoreset_mode: Any = AutoresetMode.NEXT_STEP,
        max_concurrency: int | None = None,
    ) -> dict[str, Any]:
        options = {
            "backend": "multiprocessing",
            "autoreset": autoreset_mode,
            "context": context if context == "spawn" else "forkserver",
            "timeout": None,
        }
        if max_concurrency is not None:
            options["num_workers"] = max_concurrency
        return {**options, **_reason(observation_mode, worker)}

    # ------------------------------------------------------------------ in two parts

    def reset_async(self, seed: Any = None, options: dict[str, Any] | None = None) -> None:
        """Begin a `reset`, whose result `reset_wait` returns."""
        self._begin("reset")
        self._which = self._begin_reset(seed, options)

    def reset_wait(self, timeout: float | None = None) -> tuple[Any, dict[str, Any]]:
        """The result of `reset_async`.

        Raises:
            multiprocessing.TimeoutError: it takes longer than ``timeout`` seconds; the object is closed then.
        """
        self._end("reset")
        *_, self.puffer_infos = self._received(timeout)
        return self._after_reset(self._which)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes; as in `PufferVectorEnv`."""
        self.reset_async(seed, options)
        return self.reset_wait()

    def _restart(self, seed: Any, mask: Any, options: dict[str, Any] | None) -> None:
        self.puffer_env.async_reset(seed, options, mask)

    def step_async(self, actions: Any) -> None:
        """Begin a `step`, whose result `step_wait` returns."""
        self._begin("step")
        self.puffer_env.send(self._flat(actions))

    def step_wait(self, timeout: float | None = None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The result of `step_async`; errors as of `reset_wait`."""
        self._end("step")
        *arrays, self.puffer_infos = self._received(timeout)
        return self._after_step(arrays)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every environment; as in `PufferVectorEnv`."""
        self.step_async(actions)
        return self.step_wait()

    def call_async(self, name: str, *args: Any, **kwargs: Any) -> None:
        """As `call`, whose result `call_wait` returns."""
        self._begin("call")
        self._called = super().call(name, *args, **kwargs)

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """The result of `call_async`."""
        self._end("call")
        return self._called

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each environment, or get an attribute that is none; one result for each."""
        self.call_async(name, *args, **kwargs)
        return self.call_wait()

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment; as in `PufferVectorEnv`."""
        self._begin("set_attr")
        self._waits_for = ""
        super().set_attr(name, values)

    def _begin(self, what: str) -> None:
        self._check_open()
        if self._waits_for:
            name = what if what == "set_attr" else f"{what}_async"
            raise AlreadyPendingCallError(
                f"Calling `{name}` while waiting for a pending call to `{self._waits_for}` to complete", self._waits_for
            )
        self._waits_for = what

    def _end(self, what: str) -> None:
        self._check_open()
        if self._waits_for != what:
            raise NoAsyncCallError(f"Calling `{what}_wait` without any prior call to `{what}_async`.", what)
        self._waits_for = ""

    def _received(self, timeout: float | None) -> Sequence[Any]:
        """Observations, rewards, terminals, truncations, infos."""
        self.puffer_env._timeout = timeout
        try:
            return self.puffer_env.recv()[:5]
        except WorkerTimeout as error:
            raise multiprocessing.TimeoutError(str(error)) from None
        except (WorkerError, APIUsageError) as error:
            self._raise_original(error)

    def _raise_original(self, error: Exception) -> NoReturn:
        """Raise what an environment raised, as Gymnasium does, after it has told of it."""
        if error.__cause__ is None:
            raise error
        for text in (str(error), "Raising the last exception back to the main process."):
            gymnasium.logger.error(text)
        raise error.__cause__ from error

    def close_extras(self, timeout: float | None = None, terminate: bool = False, **kwargs: Any) -> None:
        """End the workers: at once with ``terminate``, else within ``timeout`` seconds, or some."""
        if self._waits_for and not self.puffer_env.closed:
            gymnasium.logger.warn(
                f"Calling `close` while waiting for a pending call to `{self._waits_for}` to complete."
            )
        self.puffer_env._end(0.0 if terminate else GRACE if timeout is None else timeout)


def _reason(observation_mode: Any, worker: Any) -> dict[str, str]:
    if worker is not None:
        return {"reason": "a worker of one's own."}
    return {} if observation_mode == "same" else {"reason": f"observation_mode={observation_mode!r}."}
