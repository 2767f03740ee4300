"""`Wrapper`: a `PufferEnv` around another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numba
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from puffer_numba.env import APIUsageError, Buffers, Infos, PufferEnv, RecvResult, StepResult
from puffer_numba.jit import JitEnv
from puffer_numba.jit.compiler import kernels
from puffer_numba.jit.compiler.announce import announce

AnyArray = NDArray[Any]


def _compiled(function: Callable[..., Any]) -> Any:
    return announce(numba.njit(function, cache=True, nogil=True, error_model="numpy"), "wrappers")


class Wrapper(PufferEnv):
    """A `PufferEnv` around another. By itself it changes nothing.

    A subclass names the arrays that it writes itself in ``own``, all others are those of the wrapped environment, and
    overrides `update`, which writes them, or `take`, which changes actions::

        class NegateReward(Wrapper):
            own = frozenset({"rewards"})

            def update(self, rows):
                self.rewards[rows] = -self.env.rewards[rows]

    Args:
        env: the environment, which resets itself in the same step.
        observation_space, action_space: of one row, where they differ from the wrapped environment's.

    Attributes:
        env: the wrapped environment.
        fresh: ``(num_agents,)`` bool: in `update`, whether the row comes from a reset, not from a step.
        emulated: as the wrapped environment's; None where observations are no longer such.

    Raises:
        APIUsageError: ``env`` is no PufferEnv, or a JitEnv with another ``autoreset``.
    """

    own: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, env: PufferEnv, observation_space: Box | None = None, action_space: Box | None = None) -> None:
        name = type(self).__name__
        if not isinstance(env, PufferEnv):
            raise APIUsageError(
                f"{name} takes a PufferEnv, not a {type(env).__name__}; a Gymnasium environment has wrappers of its "
                "own, or becomes one with puffer_numba.vector.make."
            )
        if isinstance(env, JitEnv) and env.autoreset != kernels.SAME_STEP:
            raise APIUsageError(f"{name} takes a JitEnv that resets itself in the same step: autoreset='same-step'.")
        self.env = env
        self.single_observation_space = observation_space or env.single_observation_space
        self.single_action_space = action_space or env.single_action_space
        self.num_agents = env.num_agents
        self.agents_per_batch = getattr(env, "agents_per_batch", env.num_agents)
        self.emulated = getattr(env, "emulated", None)
        self.episode_returns, self.episode_lengths = env.episode_returns, env.episode_lengths
        self.fresh = np.ones(self.num_agents, np.bool_)
        self._bound: dict[int, tuple[Buffers, Buffers]] = {}
        super().__init__({field: array for field, array in env.buffers._asdict().items() if field not in self.own})

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return self.env.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of the wrapped environment, and of the arrays that this one has beside."""
        return self.env.nbytes + sum(getattr(self, name).nbytes for name in self.own)

    def bind(self, buffers: Buffers) -> None:
        """Write the next steps into ``buffers``, which must be as `make_buffers` makes them; if ``env`` can."""
        if hasattr(self, "buffers"):
            if id(buffers) not in self._bound:  # both are kept, as a JitEnv looks up buffers that it knows
                shared = buffers._replace(**{name: getattr(self.env.buffers, name) for name in self.own})
                self._bound[id(buffers)] = buffers, shared
            self.env.bind(self._bound[id(buffers)][1])
        super().bind(buffers)

    def take(self, actions: ArrayLike) -> ArrayLike:
        """The actions that the wrapped environment gets."""
        return actions

    def update(self, rows: NDArray[np.int64]) -> None:
        """Write ``own`` arrays; those of the wrapped environment have just been written.

        Args:
            rows: their numbers: all, or one batch of an asynchronous backend.
        """

    def _received(self, rows: NDArray[np.int64]) -> None:
        self.update(rows)
        self.fresh[rows] = False

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[AnyArray, Infos]:
        """Start every environment anew; arguments go to the wrapped environment, ``options`` where there are any."""
        arguments = {} if options is None else {"options": options}
        _, infos = self.env.reset(seed, **arguments)
        self.fresh[:] = True
        self._received(self.agent_ids)
        return self.observations, infos

    def step(self, actions: ArrayLike) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_agents, *action_shape)``.
        """
        infos = self.env.step(self.take(actions))[4]
        self._received(self.agent_ids)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def async_reset(self, seed: Any = None) -> None:
        """Like `reset`; the result is fetched with `recv`."""
        self.env.async_reset(seed)
        self.fresh[:] = True

    def send(self, actions: ArrayLike, env_ids: NDArray[np.int64] | None = None) -> None:
        """Like `step`; the result is fetched with `recv`. ``env_ids``: the rows that these are for, as from `recv`."""
        self.env.send(self.take(actions), env_ids)

    def recv(self) -> RecvResult:
        """Results of the last `send` or `async_reset`, or of the rows that are ready first, as ``env`` gives them."""
        *_, infos, rows, masks = self.env.recv()
        self._received(rows)
        if len(rows) == self.num_agents:
            return self.observations, self.rewards, self.terminals, self.truncations, infos, rows, masks
        which = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] == len(rows) - 1 else rows
        b = self.buffers
        results = (b.observations[which], b.rewards[which], b.terminals[which], b.truncations[which])
        return *results, infos, rows, masks

    def render(self) -> Any:
        """As the wrapped environment's."""
        return self.env.render()

    def log(self) -> dict[str, float]:
        """As the wrapped environment's."""
        return self.env.log()

    def close(self) -> None:
        """Close the wrapped environment. Calling it again does nothing."""
        self.env.close()
        self._bound.clear()
        super().close()
