"""Gymnasium and PettingZoo environments as `PufferEnv`: flat observations and actions, written in place.

::

    env = GymnasiumPufferEnv(env_creator=gymnasium.make, env_args=["LunarLander-v3"])
    observations, infos = env.reset(seed=0)
    observations.view(env.obs_dtype)  # the structured view, where observations are Dicts or Tuples
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import ArrayLike, NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel, turn_based_aec_to_parallel

from puffer_numba.emulation.actions import ActionChecker, ActionLayout
from puffer_numba.emulation.legacy import convert_legacy, is_legacy
from puffer_numba.env import APIUsageError, Buffers, Infos, PufferEnv, StepResult
from puffer_numba.spaces import Emulated, ObservationLayout, Write

AnyArray = NDArray[Any]
Buf = Mapping[str, AnyArray] | Buffers | None
CHECKED_STEPS = 16
_OUTER_WRAPPERS = (TimeLimit, OrderEnforcing, PassiveEnvChecker)


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

    def __init__(
        self,
        env: Any,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        num_agents: int,
        buf: Buf,
        seed: int | None,
        checked_steps: int | None,
    ) -> None:
        self.env = env
        observation_space, action_space = spaces
        self._layout, self._action_layout = ObservationLayout(observation_space), ActionLayout(action_space)
        self.single_observation_space, self.single_action_space = (
            self._layout.flat_space,
            self._action_layout.flat_space,
        )
        self.num_agents = num_agents
        self.obs_dtype = self._layout.dtype
        self.is_obs_emulated = self.single_observation_space != observation_space
        self.is_atn_emulated = self.single_action_space is not action_space
        self.emulated = Emulated.of(self._layout, action_space)
        self._seed = seed
        self._checks_left = math.inf if checked_steps is None else checked_steps
        self._ready = self._seeded = False
        self._check_actions = ActionChecker(self.single_action_space, num_agents)
        self.episode_returns = np.zeros(num_agents, np.float32)
        self.episode_lengths = np.zeros(num_agents, np.int32)
        self._log = {"episodes": 0.0, "episode_return": 0.0, "episode_length": 0.0}
        super().__init__(buf)
        self.atn_dtype = self.actions.dtype

    def bind(self, buffers: Buffers) -> None:
        """Write the next steps into ``buffers``, as `make_buffers` makes them. Costs some microseconds."""
        super().bind(buffers)
        rows = range(self.num_agents)
        self._write = [self._layout.writer(self.observations[row : row + 1][0]) for row in rows]
        self._write_final = [self._layout.writer(self.final_observations[row : row + 1][0]) for row in rows]
        self._read_action = [self._action_layout.reader(self.actions[row : row + 1]) for row in rows]

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
        return seed

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

    def _checked(self, observation: Any) -> Any:
        """On the first steps: the observation with its values checked."""
        if self._checks_left > 0:
            self._checks_left -= 1
            return self._layout.check(observation)
        return observation

    def _count_episode(self, episode_return: float, length: int) -> None:
        self._log["episodes"] += 1
        self._log["episode_return"] += episode_return
        self._log["episode_length"] += length

    def log(self) -> dict[str, float]:
        """``episodes`` that ended since the last call, and their mean ``episode_return`` and ``episode_length``."""
        log, self._log = self._log, dict.fromkeys(self._log, 0.0)
        episodes = log.pop("episodes")
        return {"episodes": episodes, **({name: sum_ / episodes for name, sum_ in log.items()} if episodes else {})}

    def unflatten(self, row: AnyArray) -> Any:
        """One flat observation as the wrapped environment's own kind of object; arrays are views of ``row``."""
        return self._layout.unflatten(row)

    def render(self) -> Any:
        """What the wrapped environment's ``render`` returns."""
        return self.env.render()

    def close(self) -> None:
        """Close the wrapped environment. Calling it again does nothing."""
        if not self.closed:
            self.env.close()
        super().close()
        self._ready = False


class GymnasiumPufferEnv(EmulatedEnv):
    """A `gymnasium.Env` as a `PufferEnv` of one row.

    It resets itself in the step that ends an episode; the episode's last observation is then in
    ``final_observations``. ``infos`` has the environment's own, where it is not empty; where the episode ended and the
    next one's is not empty either, that is its ``"reset_info"``.

    Args:
        env: the environment; one of the old gym is converted by shimmy; or
        env_creator, env_args, env_kwargs: what makes it.
        buf: None, or arrays to write into, as for `PufferEnv`.
        seed: for the first reset, unless that has its own.
        checked_steps: how many observations to check for dtype, bounds, NaN and superfluous keys; None: all. Missing
            keys and wrong shapes are always found.

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
        spaces = (made.observation_space, made.action_space)
        super().__init__(made, spaces, 1, buf, seed, checked_steps)

    def bind(self, buffers: Buffers) -> None:
        """Write the next steps into ``buffers``, as `make_buffers` makes them. Costs some microseconds."""
        super().bind(buffers)
        known = self.__dict__.get("_stepper")
        self._stepper = _Stepper(self, self._checks_left) if known is None else known
        self._stepper.bind(buffers, self._write[0], self._write_final[0])

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        return self._stepper.step(self._read_action[0]())

    @property
    def step_with(self) -> Callable[[Any], Infos]:
        """A function that does `step` with an action of the wrapped environment's own, and returns the infos alone."""
        return self._stepper.step

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[AnyArray, Infos]:
        """Start an episode.

        Args:
            seed: for the wrapped environment; without one its random stream goes on.
            options: for the wrapped environment.

        Returns:
            ``(observations, infos)``: ``(1, *observation_shape)``; infos is empty where the environment's own is.

        Raises:
            APIUsageError: the observation is not in the environment's observation space.
        """
        info = self._stepper.restart(seed=self._first_seed(seed), options=options)
        self._stepper.ended = False
        self._clear()
        return self.observations, [info] if info else []

    def end_episode(self, episode_return: float, length: int) -> None:
        """Record an episode."""
        self.episode_returns[0], self.episode_lengths[0] = episode_return, length  # type: ignore[index]
        self._count_episode(episode_return, length)


class _Stepper:
    """The part of a `GymnasiumPufferEnv` that runs at every step.

    A class of its own, as ``__getattr__`` makes every access to an attribute slower, and what is left out where
    nothing has changed, because this is most of what the library adds to the time of a step.
    """

    __slots__ = (
        "checks_left",
        "ended",
        "env",
        "layout",
        "length",
        "owner",
        "return_",
        "rewards",
        "step_env",
        "terminals",
        "time_limit",
        "truncations",
        "write",
        "write_last",
    )

    def __init__(self, owner: GymnasiumPufferEnv, checks_left: float) -> None:
        self.owner, self.env, self.layout = owner, owner.env, owner._layout
        self.checks_left = checks_left
        self.ended = False
        self.step_env, self.time_limit = self.env.step, math.inf
        if not checks_left:
            self.take_short_cut()

    def take_short_cut(self) -> None:
        """Leave out the wrappers that `gymnasium.make` puts around an environment, once they have checked its first
        steps: what they do later is done here, in a tenth of the time. They still see each reset.
        """
        env = self.env
        while type(env) in _OUTER_WRAPPERS:
            if isinstance(env, TimeLimit):
                self.time_limit = min(self.time_limit, env._max_episode_steps)
            env = env.env
        self.step_env = env.step

    def bind(self, buffers: Buffers, write: Write, write_last: Write) -> None:
        self.rewards, self.terminals, self.truncations = buffers.rewards, buffers.terminals, buffers.truncations
        self.write, self.write_last = write, write_last
        self.ended = True  # so that the next step writes flags, of which there may be others in these buffers

    def restart(self, **arguments: Any) -> dict[str, Any]:
        """Start an episode; its first info."""
        result = self.env.reset(**arguments)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise APIUsageError(
                f"{self.env}.reset() returned {_brief(result)}; expected (observation, info). Environments of the old "
                "gym are converted by shimmy.GymV21CompatibilityV0."
            )
        observation, info = result
        self.write(self.checked(observation) if self.checks_left else observation)
        self.return_, self.length = 0.0, 0
        return info

    def checked(self, observation: Any) -> Any:
        self.checks_left -= 1
        if not self.checks_left:
            self.take_short_cut()
        return self.layout.check(observation)

    def step(self, action: Any) -> Infos:
        result = self.step_env(action)
        try:
            observation, reward, terminated, truncated, info = result
            self.rewards[0] = reward
            self.return_ += reward
        except (TypeError, ValueError):
            self.raise_bad_result(result)
        self.length = length = self.length + 1
        if length >= self.time_limit:
            truncated = True
        if self.checks_left:
            observation = self.checked(observation)
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
        reset_info = self.restart()
        return {**info, "reset_info": reset_info} if reset_info else info

    def raise_bad_result(self, result: Any) -> NoReturn:
        if isinstance(result, tuple) and len(result) == 5:
            raise APIUsageError(f"{self.env}.step() returned the reward {_brief(result[1])}; expected a number.")
        raise APIUsageError(
            f"{self.env}.step() returned {_brief(result)}; expected (observation, reward, terminated, truncated, "
            "info). Environments of the old gym are converted by shimmy.GymV21CompatibilityV0."
        )


class PettingZooPufferEnv(EmulatedEnv):
    """A PettingZoo environment as a `PufferEnv` of one row for each of ``possible_agents``, in their order.

    An agent that is not there has ``masks`` False, reward 0 and zeros for an observation, and its action is ignored.
    An agent's last observation is in ``final_observations`` in the step in which it terminates, is truncated, or
    leaves ``agents``. When the last one has gone, all rows start the next episode in the same step.
    ``infos`` has the environment's own dict by agent, where one of them is not empty; in the step in which the next
    episode starts, also the first one of that.

    Attributes:
        restarted: whether the last step ended an episode and started the next one.

    Args:
        env: a `pettingzoo.ParallelEnv`; or an `AECEnv`, which PettingZoo converts: with ``aec_to_parallel`` where its
            metadata says ``is_parallelizable``, else with ``turn_based_aec_to_parallel``: only the action of the agent
            whose turn it is counts.
        env_creator, env_args, env_kwargs, buf, seed, checked_steps: as in `GymnasiumPufferEnv`.

    Raises:
        APIUsageError: no environment or two; not a PettingZoo one; no ``possible_agents``; agents whose spaces
            differ; spaces of no fixed size.
    """

    def __init__(
        self,
        env: Any = None,
        env_creator: Callable[..., Any] | None = None,
        env_args: Sequence[Any] = (),
        env_kwargs: Mapping[str, Any] | None = None,
        buf: Buf = None,
        seed: int | None = 0,
        checked_steps: int | None = CHECKED_STEPS,
    ) -> None:
        made = _as_parallel(_make_object("PettingZooPufferEnv", env, env_creator, env_args, env_kwargs))
        self.possible_agents = _possible_agents(made)
        self._rows = {agent: row for row, agent in enumerate(self.possible_agents)}
        self._live: set[Any] = set()
        self.restarted = False
        self._returns = np.zeros(len(self._rows))
        self._played = np.zeros(len(self._rows), np.bool_)
        self._length = 0
        spaces = (
            _shared_space(made.observation_space, self.possible_agents, "observation"),
            _shared_space(made.action_space, self.possible_agents, "action"),
        )
        super().__init__(made, spaces, len(self._rows), buf, seed, checked_steps)

    @property
    def num_envs(self) -> int:
        """1: all rows are one environment."""
        return 1

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[AnyArray, Infos]:
        """Start an episode; arguments go to the wrapped environment.

        Returns:
            ``(observations, infos)``: ``(num_agents, *observation_shape)``.

        Raises:
            APIUsageError: an observation is not in the environment's observation space.
        """
        infos = self._restart(seed=self._first_seed(seed), options=options)
        self.restarted = False
        self._clear()
        return self.observations, infos

    def _restart(self, **arguments: Any) -> Infos:
        observations, infos = self.env.reset(**arguments)
        self.observations[:] = 0
        self._live = set()
        self._returns[:] = 0
        self._played[:] = False
        self._length = 0
        for agent in self.env.agents:
            self._observe(agent, observations)
        self._update_masks()
        return [infos] if any(infos.values()) else []

    def _observe(self, agent: Any, observations: Mapping[Any, Any]) -> None:
        """Write the observation of an agent that acts next."""
        row = self._rows.get(agent)
        if row is None:
            raise APIUsageError(
                f"{self.env}: agent {agent!r} is not among its possible_agents {self.possible_agents}; every agent "
                "that can ever appear must be."
            )
        if agent not in observations:
            raise APIUsageError(f"{self.env} returned no observation for {agent!r}, which is in its agents.")
        self._write[row](self._checked(observations[agent]))
        self._live.add(agent)
        self._played[row] = True

    def _update_masks(self) -> None:
        self.masks[:] = [agent in self._live for agent in self.possible_agents]

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        acted = self._live
        chosen = {agent: self._read_action[self._rows[agent]]() for agent in self.env.agents}
        observations, rewards, terminations, truncations, infos = self.env.step(chosen)
        self._length += 1
        self.rewards[:] = [rewards.get(agent, 0) if agent in acted else 0 for agent in self._rows]
        self._returns += self.rewards
        self.terminals[:] = [agent in acted and bool(terminations.get(agent)) for agent in self._rows]
        self.truncations[:] = [agent in acted and bool(truncations.get(agent)) for agent in self._rows]
        ended = {agent for agent in self._rows if terminations.get(agent) or truncations.get(agent)}
        self._live = set()
        staying = [agent for agent in self.env.agents if agent not in ended]
        self._end_agents(acted.difference(staying), observations)
        for agent in staying:
            self._observe(agent, observations)
        self._update_masks()
        shown = [infos] if any(infos.values()) else []
        self.restarted = not self._live
        if self.restarted:
            self._count_episode(float(self._returns[self._played].mean()), self._length)
            first = self._restart()
            if shown or first:
                shown = [infos, *(first or [{}])]
        return shown

    def _end_agents(self, agents: set[Any], observations: Mapping[Any, Any]) -> None:
        """Record the last step of agents that go."""
        for agent in agents:
            row = self._rows[agent]
            if agent in observations:
                self._write_final[row](self._checked(observations[agent]))
            else:
                self.final_observations[row] = self.observations[row]
            if not self.terminals[row]:
                self.truncations[row] = True  # also of one that left ``agents`` without a word
            self.observations[row] = 0
            self.episode_returns[row], self.episode_lengths[row] = self._returns[row], self._length  # type: ignore[index]


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


def _as_parallel(env: Any) -> Any:
    if isinstance(env, AECEnv):
        return (aec_to_parallel if env.metadata.get("is_parallelizable") else turn_based_aec_to_parallel)(env)
    if not isinstance(env, ParallelEnv):
        raise APIUsageError(
            f"PettingZooPufferEnv takes a pettingzoo.ParallelEnv or AECEnv, not a {type(env).__module__}."
            f"{type(env).__qualname__}. Gymnasium environments are for GymnasiumPufferEnv."
        )
    return env


def _possible_agents(env: Any) -> list[Any]:
    agents = list(getattr(env, "possible_agents", ()))
    if not agents:
        raise APIUsageError(f"{env} has no possible_agents; set them to the list of all agents that can ever appear.")
    return agents


def _shared_space(space_of: Callable[[Any], Any], agents: list[Any], kind: str) -> Any:
    first = space_of(agents[0])
    for agent in agents[1:]:
        if space_of(agent) != first:
            raise APIUsageError(
                f"agents have different {kind} spaces: {agents[0]!r} {first!r}, {agent!r} {space_of(agent)!r}. Make "
                f"them equal with supersuit.pad_{kind}{'_space' if kind == 'action' else 's'}_v0."
            )
    return first


def _brief(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else f"{type(value).__name__} {str(value)[:60]}"
