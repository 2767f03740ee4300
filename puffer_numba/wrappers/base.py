"""`Wrapper`: a `PufferEnv` around another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numba
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from puffer_numba.env import SAME_STEP, APIUsageError, Buffers, Infos, PufferEnv, RecvResult, Slot, StepResult
from puffer_numba.jit.compiler.announce import announce
from puffer_numba.spaces import mask_leaves

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
        if env.autoreset != SAME_STEP:
            raise APIUsageError(
                f"{name} takes an environment that resets itself in the same step: autoreset='same-step'."
            )
        self.env = env
        self.single_observation_space = observation_space or env.single_observation_space
        self.single_action_space = action_space or env.single_action_space
        self.stacked_action_space = None if action_space else env.stacked_action_space
        self.num_agents = env.num_agents
        self.emulated = env.emulated
        self.episode_returns, self.episode_lengths = env.episode_returns, env.episode_lengths
        self.fresh = np.ones(self.num_agents, np.bool_)
        self.info, self.render_fps, self.zero_copy = env.info, env.render_fps, env.zero_copy
        super().__init__({field: array for field, array in env.buffers._asdict().items() if field not in self.own})
        self.agents_per_batch = env.agents_per_batch

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return self.env.num_envs

    @property
    def nbytes(self) -> int:
        """Bytes of the wrapped environment, and of the arrays that this one has beside."""
        return self.env.nbytes + sum(getattr(self, name).nbytes for name in self.own)

    @property
    def unwrapped(self) -> PufferEnv:
        """The environment within all wrappers."""
        return self.env.unwrapped

    @property
    def driver_env(self) -> PufferEnv:
        """As the wrapped environment's."""
        return self.env.driver_env

    @property
    def takes_out(self) -> bool:  # type: ignore[override]
        """Whether `step` takes ``out``: if the wrapped environment does, and a subclass has no `step` of its own."""
        return self.env.takes_out and type(self).step is Wrapper.step

    @property
    def render_modes(self) -> list[str]:
        """As the wrapped environment's."""
        return self.env.render_modes

    def info_fields(self) -> dict[str, AnyArray]:
        """As the wrapped environment's."""
        return self.env.info_fields()

    def get_attr(self, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
        """As the wrapped environment's."""
        return self.env.get_attr(name, numbers)

    def set_attr(self, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
        """As the wrapped environment's."""
        self.env.set_attr(name, values, numbers)

    def call(self, name: str, *args: Any, numbers: Sequence[int] | None = None, **kwargs: Any) -> list[Any]:
        """As the wrapped environment's."""
        return self.env.call(name, *args, numbers=numbers, **kwargs)

    def seed_of_part(self, seed: int, first_env: int) -> int:
        """As the wrapped environment's."""
        return self.env.seed_of_part(seed, first_env)

    def prepare(self, buffers: Buffers) -> Slot:
        """What `use` needs to know of ``buffers``: the arrays that are not `own` are the wrapped environment's."""
        shared = buffers._replace(**{name: getattr(self.env.buffers, name) for name in self.own})
        return Slot(buffers, self.env.prepare(shared))

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``, which `prepare` made; if ``env`` can."""
        if hasattr(self, "buffers"):  # at first they are the wrapped environment's own
            self.env.use(slot.prepared)
        super().use(slot)

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

    def step(self, actions: ArrayLike, out: Slot | None = None) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_agents, *action_shape)``.
            out: buffers to write this step into, and those after it, as `prepare` made them.
        """
        taken = self.take(actions)  # which may look at what the present buffers hold
        if out is not None:
            self.use(out)
        infos = self.env.step(taken)[4]
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
        super().close()


def refuse_mask(wrapper: Wrapper, env: PufferEnv) -> None:
    """For wrappers whose observations are no longer parts with names.

    Raises:
        APIUsageError: one of the parts of ``env``'s is an action mask, which policies would not find any more.
    """
    if env.emulated is not None and mask_leaves(env.emulated):
        raise APIUsageError(
            f"{type(wrapper).__name__} would hide the action mask of {env.emulated.observation_space} from policies; "
            "wrap the environment before it is emulated, with a wrapper of Gymnasium's that leaves the mask alone."
        )
