"""What all vector backends share, and `Serial`: environments one after the other in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.emulated import EmulatedEnv
from puffer_numba.emulation.views import UsageValueError, check_seeds
from puffer_numba.env import DISABLED, APIUsageError, Buffers, Infos, PufferEnv, Slot, StepResult, make_buffers
from puffer_numba.errors import integer
from puffer_numba.jit import JitEnv
from puffer_numba.spaces.actions import action_checker, batched_actions
from puffer_numba.vector.group import EnvGroup, EnvJob, EpisodeArrays, Signature, create
from puffer_numba.wrappers.base import Wrapper

Seed = int | Sequence[int | None] | None


class VectorEnv(PufferEnv):
    """Environments behind one object, over one set of buffers.

    The environment with number ``i`` is seeded with ``seed + i``, as in Gymnasium, and a `JitEnv` by
    ``(seed, its position among all)``: the same trajectories whatever backend and number of workers.

    Args:
        jobs: one for each environment.
        seed: for the first reset, unless that has its own.
        driver_env: an environment of this process.
        buffers: rows of all environments.
        episodes: ``(episode_returns, episode_lengths)``; None where environments keep none.

    Attributes:
        driver_env: one environment of this process, to ask for spaces and other attributes.
    """

    def __init__(
        self,
        jobs: Sequence[EnvJob],
        seed: int,
        driver_env: PufferEnv,
        buffers: Buffers,
        episodes: EpisodeArrays | None,
    ) -> None:
        self._driver_env = driver_env
        self.single_observation_space = driver_env.single_observation_space
        self.single_action_space = driver_env.single_action_space
        self.num_agents = len(jobs) * driver_env.num_agents
        if driver_env.stacked_action_space is not None:
            self.stacked_action_space = batched_actions(driver_env, self.num_agents)
        self.emulated, self.info, self.render_fps = driver_env.emulated, driver_env.info, driver_env.render_fps
        self.autoreset = driver_env.autoreset
        self._num_jobs = len(jobs)
        self._num_envs = len(jobs) * driver_env.num_envs
        self._seed: Seed = seed
        super().__init__(buffers)
        if episodes is not None:
            self.episode_returns, self.episode_lengths = episodes

    @property
    def driver_env(self) -> PufferEnv:
        """One environment of this process, to ask for spaces and other attributes."""
        return self._driver_env

    @property
    def render_modes(self) -> list[str]:
        """As its environments'."""
        return self._driver_env.render_modes

    def render_each(self, mode: str) -> list[Any]:
        """An image of each environment, as it draws one itself."""
        return self._ask("render_each", mode)

    @property
    def num_envs(self) -> int:
        """Number of environments, each of those behind one PufferEnv counted."""
        return self._num_envs

    def _first_seed(self, seed: Seed) -> Seed:
        """The seed for a reset: at first that of `make`, unless there is another."""
        if self.closed:
            self._raise_closed()
        if seed is None:
            seed = self._seed
        elif isinstance(seed, Sequence) and not isinstance(seed, str):
            seed = check_seeds(seed, self._num_jobs)
        else:
            seed = integer("reset: seed", seed)
        self._seed = None
        return seed

    def get_attr(self, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
        """An attribute of each environment: of the wrapped one, or of a wrapper around it.

        Args:
            numbers: of the environments to ask; all by default.
        """
        return self._each(numbers, "get_attr", name)

    def set_attr(self, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
        """Set an attribute of each environment.

        Args:
            values: a list or tuple with one for each, or one for all.
            numbers: of the environments; all by default.
        """
        chosen = range(self._num_jobs) if numbers is None else numbers
        each = values if isinstance(values, list | tuple) else [values] * len(chosen)
        if len(each) != len(chosen):
            raise UsageValueError(f"set_attr({name!r}) got {len(each)} values for {len(chosen)} environments.")
        self._each(chosen, "set_attr", name, dict(zip(chosen, each, strict=True)))

    def call(self, name: str, *args: Any, numbers: Sequence[int] | None = None, **kwargs: Any) -> list[Any]:
        """Call a method of each environment; what it returns. An attribute that is no method is got.

        Args:
            numbers: of the environments; all by default.
        """
        return self._each(numbers, "call", name, args, kwargs)

    def _each(self, numbers: Sequence[int] | None, method: str, *arguments: Any) -> list[Any]:
        """Call a method of `EnvGroup` that has a result for each of these environments."""
        if self.closed:
            self._raise_closed()
        chosen = range(self._num_jobs) if numbers is None else numbers
        ordered = sorted({number for number in chosen if 0 <= number < self._num_jobs})
        if not set(chosen) <= set(ordered):
            raise APIUsageError(f"{method}: there are environments 0 to {self._num_jobs - 1}, not {list(chosen)}.")
        results = dict(zip(ordered, self._ask(method, ordered, *arguments), strict=True))
        for error in results.values():
            if isinstance(error, AttributeError):
                raise error
        return [results[number] for number in chosen]

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        """The results of all `EnvGroup`'s ``method``, one after the other."""
        raise NotImplementedError

    def _check_options(self, options: Any) -> None:
        if options is not None and not isinstance(self.driver_env, EmulatedEnv | Wrapper):
            raise APIUsageError(
                f"reset: options are for environments of Gymnasium and PettingZoo; {type(self.driver_env).__name__} "
                "has none: leave them out."
            )

    def _which(self, mask: ArrayLike | None) -> NDArray[np.bool_] | None:
        """The environments that a reset is for; None: all.

        Raises:
            APIUsageError: the mask does not fit, or there has been no reset yet, or environments cannot take one.
        """
        if mask is None:
            return None
        if not isinstance(self.driver_env, EmulatedEnv | JitEnv):
            raise APIUsageError(
                f"reset: {type(self.driver_env).__name__} starts all of its episodes anew; leave mask out."
            )
        return self._reset_mask(mask, is_first=self._seed is not None)

    def _check_none_ended(self) -> None:
        """Raise where automatic resets are off and an episode has ended."""
        if self.autoreset != DISABLED:
            return
        one_agent_each = self._num_envs == self.num_agents
        flags = self.terminals | self.truncations
        numbers = np.flatnonzero(flags if one_agent_each else ~self.masks.reshape(self._num_envs, -1).any(1))
        if len(numbers):
            raise APIUsageError(
                f"environment {numbers[0]} has ended (and {len(numbers) - 1} more), and autoreset is disabled; call "
                "reset(mask=env.terminals | env.truncations) before the next step."
            )

    def _raise_closed(self) -> None:
        raise APIUsageError(f"{type(self).__name__} is closed; make a new one.")


class Serial(VectorEnv):
    """Environments stepped one after the other in this process: for debugging, and where there are few.

    Made by `puffer_numba.vector.make`. An error in an environment is raised as it is.
    """

    def __init__(self, jobs: Sequence[EnvJob], seed: int = 0, buf: Buffers | None = None) -> None:
        with create(jobs[0], 0, seed) as probe:
            signature, counts = Signature.of(probe), probe.episode_returns is not None
        rows = len(jobs) * signature.num_agents
        buffers = make_buffers(signature.observation_space, signature.action_space, rows, buf)
        episodes = (np.zeros(rows, np.float32), np.zeros(rows, np.int32)) if counts else None
        self._group = EnvGroup(jobs, 0, signature, buffers, episodes, seed)
        self._group.make()
        super().__init__(jobs, seed, self._group.envs[0], buffers, episodes)
        self._check_actions = action_checker(self, self.num_agents)
        self._ready = False

    @property
    def envs(self) -> list[PufferEnv]:
        """The environments."""
        return self._group.envs

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``. Costs some microseconds for each environment."""
        if hasattr(self, "buffers"):
            self._group.bind(slot.buffers)
        super().use(slot)

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
        """
        self._check_options(options)
        which = self._which(mask)
        infos = self._group.reset(self._first_seed(seed), options, which)
        self._ready = True
        self._pending = None
        return self.observations, infos

    def step(self, actions: ArrayLike) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_agents, *action_shape)``.

        Raises:
            APIUsageError: no reset yet, or a bad action; nothing has changed then. Whatever an environment raises.
        """
        if not self._ready:
            if self.closed:
                self._raise_closed()
            raise APIUsageError("step() was called before reset(); call env.reset(seed=...) once first.")
        self._check_none_ended()
        self.actions[...] = self._check_actions(actions)
        infos = self._group.step()
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        return getattr(self._group, method)(*arguments)

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call, over all environments."""
        return self._group.log()

    def render(self) -> Any:
        """An image of the first environment, as its own ``render`` gives it."""
        return self._group.render()

    def close(self) -> None:
        """Close all environments. Calling it again does nothing."""
        if not self.closed:
            self._group.close()
        super().close()
        self._ready = False
