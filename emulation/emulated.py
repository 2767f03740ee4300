"""What an environment of Gymnasium or PettingZoo becomes as a `PufferEnv`: the part that both share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.checking import ObservationChecks
from puffer_numba.env import APIUsageError, Buffers, Emulated, Infos, PufferEnv, Slot, StepResult, autoreset_mode
from puffer_numba.errors import integer
from puffer_numba.spaces.actions import ActionChecker, ActionLayout
from puffer_numba.spaces.observations import ObservationLayout

AnyArray = NDArray[Any]
Buf = Mapping[str, AnyArray] | Buffers | None


class EmulatedEnv(PufferEnv):
    """What `GymnasiumPufferEnv` and `PettingZooPufferEnv` share. Attributes it lacks are looked up in ``env``.

    Attributes:
        env: the wrapped environment.
        obs_dtype: dtype for ``observations.view``. For a lone array its own; its last axis becomes 1 otherwise.
        atn_dtype: dtype of actions.
        is_obs_emulated, is_atn_emulated: whether the spaces differ from the wrapped environment's.
        emulated: the same, as `Emulated`.
    """

    env: Any
    emulated: Emulated
    _is_batch: ClassVar[bool] = False
    """Whether the wrapped environment returns the observations of all rows as one batch."""

    def __init__(
        self,
        env: Any,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        num_agents: int,
        buf: Buf,
        seed: int | None,
        checked_steps: int | None,
        strict: bool,
        text_length: int | None,
        autoreset: str | int | AutoresetMode,
    ) -> None:
        self.env = env
        self.autoreset = autoreset_mode(type(self).__name__, autoreset)
        observation_space, action_space = spaces
        self._layout = ObservationLayout(observation_space, text_length=text_length)
        self._action_layout = ActionLayout(action_space)
        checked, num = (type(env).__name__, num_agents) if self._is_batch else (env, None)
        self._checks = ObservationChecks(self._layout, checked, checked_steps, strict, num)
        self.single_observation_space, self.single_action_space = (
            self._layout.flat_space,
            self._action_layout.flat_space,
        )
        self.num_agents = num_agents
        self.obs_dtype = self._layout.dtype
        self.is_obs_emulated = self.single_observation_space != observation_space
        self.is_atn_emulated = self.single_action_space is not action_space
        self.emulated = self._layout.emulated(action_space)
        self._seed = seed
        self._ready = self._seeded = False
        self._check_actions = ActionChecker(self.single_action_space, num_agents)
        self.episode_returns = np.zeros(num_agents, np.float32)
        self.episode_lengths = np.zeros(num_agents, np.int32)
        self._log = {"episodes": 0.0, "episode_return": 0.0, "episode_length": 0.0}
        super().__init__(buf)
        self.atn_dtype = self.actions.dtype

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``. Costs some microseconds."""
        super().use(slot)
        rows = range(self.num_agents)
        self._write = [self._layout.writer(self.observations[row : row + 1][0]) for row in rows]
        self._write_final = [self._layout.writer(self.final_observations[row : row + 1][0]) for row in rows]
        self._read_action = [self._action_layout.reader(self.actions[row : row + 1]) for row in rows]

    def __getstate__(self) -> dict[str, Any]:
        """Without the functions that write into this object's buffers, which a copy makes for its own."""
        return {
            key: value for key, value in vars(self).items() if key not in ("_write", "_write_final", "_read_action")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.use(Slot(self.buffers))

    def __getattr__(self, name: str) -> Any:
        env = self.__dict__.get("env")
        if env is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(env, name)

    def _first_seed(self, seed: int | None) -> int | None:
        """The seed for a reset: at first the constructor's, unless there is another."""
        if self.closed:
            raise APIUsageError(f"{type(self).__name__} is closed; make a new one.")
        if seed is None and not self._seeded:
            seed = self._seed
        self._seeded = True
        return None if seed is None else integer("reset: seed", seed)

    def _raise_ended(self) -> NoReturn:
        raise APIUsageError(f"{self.env} has ended, and autoreset is disabled; call reset() before the next step.")

    def _take_actions(self, actions: ArrayLike) -> None:
        """Check actions, and copy them into the buffer."""
        if not self._ready:
            name = type(self).__name__
            if self.closed:
                raise APIUsageError(f"{name} is closed; make a new one.")
            raise APIUsageError(f"{name}.step() was called before reset(); call env.reset(seed=...) once first.")
        self.actions[...] = self._check_actions(actions)

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        raise NotImplementedError(f"{type(self).__name__} does not implement step_in_place()")

    def step(self, actions: ArrayLike) -> StepResult:
        """One step.

        Args:
            actions: ``(num_agents, *action_shape)``, of the flat action space; those of absent agents are ignored, but
                must be valid.

        Returns:
            ``(observations, rewards, terminals, truncations, infos)``: the buffers, which the next step overwrites.

        Raises:
            APIUsageError: no reset yet; a bad action, and then nothing has changed; an observation that is not in the
                environment's observation space.
        """
        self._take_actions(actions)
        infos = self.step_in_place()
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def _clear(self) -> None:
        self.rewards[:] = 0
        self.terminals[:] = False
        self.truncations[:] = False
        self._ready = True
        self._pending = None

    def _count_episode(self, episode_return: float, length: int) -> None:
        self._log["episodes"] += 1
        self._log["episode_return"] += episode_return
        self._log["episode_length"] += length

    def log(self) -> dict[str, float]:
        """``episodes`` that ended since the last call, and their mean ``episode_return`` and ``episode_length``."""
        log, self._log = self._log, dict.fromkeys(self._log, 0.0)
        episodes = log.pop("episodes")
        return {"episodes": episodes, **({name: sum_ / episodes for name, sum_ in log.items()} if episodes else {})}

    @property
    def render_modes(self) -> list[str]:
        """Those in the wrapped environment's metadata."""
        return list(self.env.metadata.get("render_modes", []))

    def get_attr(self, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
        """An attribute of the wrapped environment, or of a wrapper around it."""
        return [self._find(name)] * self._number(numbers)

    def set_attr(self, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
        """Set an attribute of the wrapped environment, or of a wrapper around it that has it."""
        value = values[0] if isinstance(values, list | tuple) else values
        if isinstance(self.env, gymnasium.Env):
            self.env.set_wrapper_attr(name, value)
        else:
            setattr(self.env, name, value)

    def call(self, name: str, *args: Any, numbers: Sequence[int] | None = None, **kwargs: Any) -> list[Any]:
        """Call a method of the wrapped environment, or of a wrapper around it; what is no method is read."""
        found = self._find(name)
        return [found(*args, **kwargs) if callable(found) else found] * self._number(numbers)

    def _find(self, name: str) -> Any:
        return self.env.get_wrapper_attr(name) if isinstance(self.env, gymnasium.Env) else getattr(self.env, name)

    def unflatten(self, row: AnyArray) -> Any:
        """One flat observation as the wrapped environment's own kind of object; arrays are views of ``row``."""
        return self._layout.unflatten(row)

    def render(self) -> Any:
        """What the wrapped environment's ``render`` returns."""
        return self.env.render()

    def render_each(self, mode: str) -> list[Any]:
        """The same, in a list."""
        return [self.render()]

    def close(self) -> None:
        """Close the wrapped environment. Calling it again does nothing."""
        if not self.closed:
            self.env.close()
        super().close()
        self._ready = False


def kept(value: Any) -> Any:
    """A copy of the last info of an episode, which the reset may overwrite: arrays and containers, to any depth."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) is dict:
        return {key: kept(item) for key, item in value.items()}
    if isinstance(value, dict):
        copied = copy.copy(value)  # of its own type
        copied.update((key, kept(item)) for key, item in value.items())
        return copied
    if type(value) in (list, tuple):
        return type(value)(map(kept, value))
    return value


def brief(value: Any) -> str:
    """What an environment returned, for a message."""
    return f"{len(value)} values" if isinstance(value, tuple) else f"{type(value).__name__} {str(value)[:60]}"


def is_number(reward: Any) -> bool:
    """Whether it is one number."""
    try:
        float(reward)
    except (TypeError, ValueError):
        return False
    return True


def several(reward: Any) -> str:
    """How to make one number of a reward that has several, as the end of a message; nothing for others."""
    if np.ndim(reward) == 0:
        return ""
    return (
        ": weigh its parts with mo_gymnasium.wrappers.LinearReward, or in the environment, or with "
        "gymnasium.wrappers.TransformReward"
    )


def _make_object(
    view: str, env: Any, creator: Callable[..., Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any] | None
) -> Any:
    if (env is None) == (creator is None):
        given = "neither" if env is None else "both"
        raise APIUsageError(f"{view} takes env or env_creator; got {given}.")
    if creator is None:
        if args or kwargs:
            raise APIUsageError(f"{view} got env_args or env_kwargs without an env_creator to give them to.")
        return env
    if not callable(creator):
        raise APIUsageError(
            f"{view}: env_creator is {creator!r}, which cannot be called; an environment goes into env=."
        )
    return creator(*args, **(kwargs or {}))
