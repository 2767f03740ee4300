"""A Gymnasium environment as a `PufferEnv` of one row: flat observations and actions, written in place.

::

    env = GymnasiumPufferEnv(env_creator=gymnasium.make, env_args=["LunarLander-v3"])
    observations, infos = env.reset(seed=0)
    observations.view(env.obs_dtype)  # the structured view, where observations are Dicts or Tuples

Leans on one private name of Gymnasium, ``TimeLimit._max_episode_steps``: after the first steps, the limit is kept here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import gymnasium
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import ArrayLike

from puffer_numba.emulation.checking import CHECKED_STEPS
from puffer_numba.emulation.emulated import AnyArray, Buf, EmulatedEnv, _make_object, brief, kept, several
from puffer_numba.emulation.from_gym import convert_legacy, is_legacy
from puffer_numba.emulation.masks import ActionMaskFromInfo
from puffer_numba.env import DISABLED, NEXT_STEP, SAME_STEP, APIUsageError, Buffers, Infos, Slot
from puffer_numba.spaces.observations import Write

_OUTER_WRAPPERS = (TimeLimit, OrderEnforcing, PassiveEnvChecker)


class GymnasiumPufferEnv(EmulatedEnv):
    """A `gymnasium.Env` as a `PufferEnv` of one row.

    In the step that ends an episode, its last observation is in ``final_observations``. ``infos`` has the environment's
    own, where it is not empty; where the next episode has started, too, and its info is not empty either, that is its
    ``"reset_info"``.

    Args:
        env: the environment; one of the old gym is converted by shimmy; or
        env_creator, env_args, env_kwargs: what makes it.
        buf: None, or arrays to write into, as for `PufferEnv`.
        seed: for the first reset, unless that has its own.
        checked_steps: how many observations to compare with their space at first: bounds, NaN, casts that change
            values, superfluous keys; and some of those after them. 0: none; None: all. Missing keys and wrong shapes
            are found at each step.
        strict: raise an error where one is outside of its space, and not a warning.
        text_length: give each text and mission so many letters, any printable ones of ASCII; None: as its space says,
            and `TEXT_LENGTH` where that accepts anything.
        autoreset: when the next episode starts, as in `gymnasium.vector.AutoresetMode`: "same-step", in the step that
            ends one; "next-step", in the one after it, which ignores its action; "disabled", by ``reset``.
        info_masks: whether its infos have an ``action_mask``, which then comes into observations as with
            `ActionMaskFromInfo`.

    Raises:
        APIUsageError: no environment or two; not a Gymnasium one; spaces of no fixed size.
        MissingExtra: it is of the old gym, and shimmy is not installed.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | None = None,
        env_creator: Callable[..., Any] | None = None,
        env_args: Sequence[Any] = (),
        env_kwargs: Mapping[str, Any] | None = None,
        buf: Buf = None,
        seed: int | None = 0,
        checked_steps: int | None = CHECKED_STEPS,
        strict: bool = False,
        text_length: int | None = None,
        autoreset: str | int | AutoresetMode = SAME_STEP,
        info_masks: bool | None = None,
    ) -> None:
        made = _make_object("GymnasiumPufferEnv", env, env_creator, env_args, env_kwargs)
        if is_legacy(made):
            made = convert_legacy(made)
        if not isinstance(made, gymnasium.Env):
            raise APIUsageError(
                f"GymnasiumPufferEnv takes a gymnasium.Env, not a {type(made).__module__}.{type(made).__qualname__}. "
                "Environments of the old gym are converted by shimmy.GymV21CompatibilityV0 or GymV26CompatibilityV0; "
                "those of PettingZoo are for PettingZooPufferEnv."
            )
        missing = [name for name in ("observation_space", "action_space") if getattr(made, name, None) is None]
        if missing:
            raise APIUsageError(f"{type(made).__qualname__} has no {missing[0]}; set it, in the class or in __init__.")
        if info_masks:
            made = ActionMaskFromInfo(made)
        spaces = (made.observation_space, made.action_space)
        super().__init__(made, spaces, 1, buf, seed, checked_steps, strict, text_length, autoreset)

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``. Costs some microseconds."""
        super().use(slot)
        known = self.__dict__.get("_stepper")
        self._stepper = _STEPPERS[self.autoreset](self) if known is None else known
        self._stepper.bind(slot.buffers, self._write[0], self._write_final[0])

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        return self._stepper.step(self._read_action[0]())

    @property
    def step_with(self) -> Callable[[Any], Infos]:
        """A function that does `step` with an action of the wrapped environment's own, and returns the infos alone."""
        return self._stepper.step

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None, mask: ArrayLike | None = None
    ) -> tuple[AnyArray, Infos]:
        """Start an episode.

        Args:
            seed: for the wrapped environment; without one its random stream continues.
            options: for the wrapped environment.
            mask: bool (1,): False leaves it as it is.

        Returns:
            ``(observations, infos)``: ``(1, *observation_shape)``; infos is empty where the environment's own is.

        Raises:
            APIUsageError: the observation is not in the environment's observation space.
        """
        if not self._reset_mask(mask, is_first=not self._ready).all():
            return self.observations, []
        info = self._stepper.restart(seed=self._first_seed(seed), options=options)
        self._clear()
        return self.observations, [info] if info else []

    def get_attr(self, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
        """An attribute of the wrapped environment, or of a wrapper around it."""
        self._stepper.tell_limits()
        return super().get_attr(name, numbers)

    def set_attr(self, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
        """Set an attribute of the wrapped environment, or of a wrapper around it that has it."""
        self._stepper.tell_limits()
        super().set_attr(name, values, numbers)
        self._stepper.read_limits()

    def call(self, name: str, *args: Any, numbers: Sequence[int] | None = None, **kwargs: Any) -> list[Any]:
        """Call a method of the wrapped environment, or of a wrapper around it; what is no method is read."""
        self._stepper.tell_limits()
        results = super().call(name, *args, numbers=numbers, **kwargs)
        self._stepper.read_limits()
        return results

    def end_episode(self, episode_return: float, length: int) -> None:
        """Record an episode."""
        self.episode_returns[0], self.episode_lengths[0] = episode_return, length  # type: ignore[index]
        self._count_episode(episode_return, length)


class _Stepper:
    """The part of a `GymnasiumPufferEnv` that runs at every step. This one starts the next episode in the last step.

    A class of its own, as ``__getattr__`` makes every access to an attribute slower, and what is left out where
    nothing has changed, because this is most of what the library adds to the time of a step.
    """

    __slots__ = (
        "check_at",
        "checks",
        "ended",
        "env",
        "length",
        "limits",
        "over",
        "owner",
        "return_",
        "rewards",
        "step_env",
        "steps_before",
        "stop_at",
        "terminals",
        "time_limit",
        "truncations",
        "write",
        "write_last",
    )

    def __init__(self, owner: GymnasiumPufferEnv) -> None:
        self.owner, self.env, self.checks = owner, owner.env, owner._checks
        self.check_at = self.stop_at = 1.0 if self.checks.left > 0 else math.inf  # steps of an episode
        self.ended = self.over = False
        self.step_env, self.time_limit = self.env.step, math.inf
        self.limits: list[TimeLimit[Any, Any]] = []
        self.return_, self.length, self.steps_before = 0.0, 0, 0
        if self.checks.left <= 0:
            self.take_short_cut()

    def take_short_cut(self) -> None:
        """Leave out the wrappers that `gymnasium.make` puts around an environment, once they have checked its first
        steps: what they do later is done here, in a tenth of the time. They still see each reset.
        """
        env = self.env
        while type(env) in _OUTER_WRAPPERS:
            if isinstance(env, TimeLimit):
                self.limits.append(env)
            env = env.env
        self.step_env = env.step
        self.read_limits()

    def tell_limits(self) -> None:
        """Let the wrappers that are left out know how far the episode is."""
        for wrapper in self.limits:
            wrapper._elapsed_steps = self.length + self.steps_before  # type: ignore[assignment]

    def read_limits(self) -> None:
        """Take over what those wrappers say, which somebody may have changed."""
        if self.limits:
            self.steps_before = (self.limits[0]._elapsed_steps or 0) - self.length
            limit = min([wrapper._max_episode_steps for wrapper in self.limits])
            self.time_limit = limit - self.steps_before
        self.stop_at = self.time_limit if self.time_limit < self.check_at else self.check_at

    def bind(self, buffers: Buffers, write: Write, write_last: Write) -> None:
        self.rewards, self.terminals, self.truncations = buffers.rewards, buffers.terminals, buffers.truncations
        self.write, self.write_last = write, write_last
        self.ended = True  # so that the next step writes flags, of which there may be others in these buffers

    def restart(self, **arguments: Any) -> dict[str, Any]:
        """Start an episode; its first info."""
        result = self.env.reset(**arguments)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise APIUsageError(
                f"{self.env}.reset() returned {brief(result)}; expected (observation, info). Environments of the old "
                "gym are converted by shimmy.GymV21CompatibilityV0."
            )
        observation, info = result
        self.check_at = max(1.0, self.check_at - self.length)
        self.return_, self.length = 0.0, 0
        self.write(self.checked(observation) if self.checks.left > 0 else observation)
        self.ended = self.over = False
        self.read_limits()
        return info

    def checked(self, observation: Any) -> Any:
        observation = self.checks.check(observation)
        if self.checks.left > 0:
            self.check_at = self.length + 1
        else:
            if self.checks.left == 0:
                self.take_short_cut()
            self.check_at = self.length + self.checks.pause
        return observation

    def stop(self, observation: Any, truncated: bool) -> tuple[Any, bool]:
        """What is not to be done at every step: check an observation, and end at the time limit."""
        truncated = truncated or self.length >= self.time_limit
        if self.length >= self.check_at:
            observation = self.checked(observation)
        self.stop_at = min(self.time_limit, self.check_at)
        return observation, truncated

    def step(self, action: Any) -> Infos:
        result = self.step_env(action)
        try:
            observation, reward, terminated, truncated, info = result
            self.rewards[0] = reward
            self.return_ += reward
        except (TypeError, ValueError):
            self.raise_bad_result(result)
        self.length = length = self.length + 1
        if length >= self.stop_at:
            observation, truncated = self.stop(observation, truncated)
        if terminated or truncated or self.ended:
            info = self.write_ends(observation, terminated, truncated, info)
        else:
            self.write(observation)
        return [info] if info else []

    def write_ends(self, observation: Any, terminated: bool, truncated: bool, info: dict[str, Any]) -> dict[str, Any]:
        """The rest of a step that ends an episode, or of the first of the next one."""
        self.terminals[0], self.truncations[0] = terminated, truncated
        self.ended = bool(terminated or truncated)
        if not self.ended:
            self.write(observation)
            return info
        self.write_last(observation)
        self.owner.end_episode(float(self.return_), self.length)
        info = kept(info) if info else info
        reset_info = self.restart()
        self.ended = True  # the flags of this step are to be taken back
        return {**(info or {}), "reset_info": reset_info} if reset_info else info

    def raise_bad_result(self, result: Any) -> NoReturn:
        if isinstance(result, tuple) and len(result) == 5:
            reward = result[1]
            raise APIUsageError(
                f"{self.env}.step() returned the reward {brief(reward)}; expected a number{several(reward)}."
            )
        raise APIUsageError(
            f"{self.env}.step() returned {brief(result)}; expected (observation, reward, terminated, truncated, "
            "info). Environments of the old gym are converted by shimmy.GymV21CompatibilityV0."
        )


class _WaitingStepper(_Stepper):
    """One that shows the last observation of an episode, and waits for a reset."""

    __slots__ = ()

    def step(self, action: Any) -> Infos:
        if self.over:
            self.owner._raise_ended()
        return super().step(action)

    def write_ends(self, observation: Any, terminated: bool, truncated: bool, info: dict[str, Any]) -> dict[str, Any]:
        self.terminals[0], self.truncations[0] = terminated, truncated
        self.ended = self.over = bool(terminated or truncated)
        self.write(observation)
        if self.over:
            self.write_last(observation)
            self.owner.end_episode(float(self.return_), self.length)
        return info


class _NextStepStepper(_WaitingStepper):
    """One that starts the next episode in the step after the last one, whose action it ignores."""

    __slots__ = ()

    def step(self, action: Any) -> Infos:
        if not self.over:
            return super().step(action)
        info = self.restart()
        self.rewards[0], self.terminals[0], self.truncations[0] = 0, False, False
        return [info] if info else []


_STEPPERS = {SAME_STEP: _Stepper, NEXT_STEP: _NextStepStepper, DISABLED: _WaitingStepper}
