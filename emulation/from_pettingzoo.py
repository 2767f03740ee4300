"""A PettingZoo environment as a `PufferEnv`: a row for each of its possible agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel, turn_based_aec_to_parallel

from puffer_numba.emulation.checking import CHECKED_STEPS
from puffer_numba.emulation.emulated import AnyArray, Buf, EmulatedEnv, _make_object, kept
from puffer_numba.env import DISABLED, SAME_STEP, APIUsageError, Infos


class PettingZooPufferEnv(EmulatedEnv):
    """A PettingZoo environment as a `PufferEnv` of one row for each of ``possible_agents``, in their order.

    An agent that is not there has ``masks`` False, reward 0 and zeros for an observation, and its action is ignored.
    An agent's last observation is in ``final_observations`` in the step in which it terminates, is truncated, or
    leaves ``agents``. When the last one has gone, all rows start the next episode: when is up to ``autoreset``.
    ``infos`` has the environment's own dict by agent, where one of them is not empty; in the step in which the next
    episode starts, also the first one of that.

    Attributes:
        restarted: whether the last step ended an episode and started the next one.

    Args:
        env: a `pettingzoo.ParallelEnv`; or an `AECEnv`, which PettingZoo converts: with ``aec_to_parallel`` where its
            metadata says ``is_parallelizable``, else with ``turn_based_aec_to_parallel``: only the action of the agent
            whose turn it is counts.
        env_creator, env_args, env_kwargs, buf, seed, checked_steps, strict, text_length, autoreset: as in
            `GymnasiumPufferEnv`.

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
        strict: bool = False,
        text_length: int | None = None,
        autoreset: str | int | AutoresetMode = SAME_STEP,
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
        super().__init__(made, spaces, len(self._rows), buf, seed, checked_steps, strict, text_length, autoreset)

    @property
    def num_envs(self) -> int:
        """1: all rows are one environment."""
        return 1

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None, mask: ArrayLike | None = None
    ) -> tuple[AnyArray, Infos]:
        """Start an episode; arguments go to the wrapped environment, but for the mask, as in `GymnasiumPufferEnv`.

        Returns:
            ``(observations, infos)``: ``(num_agents, *observation_shape)``.

        Raises:
            APIUsageError: an observation is not in the environment's observation space.
        """
        if not self._reset_mask(mask, is_first=not self._ready).all():
            return self.observations, []
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
        self._write[row](self._checks.sampled(observations[agent]))
        self._live.add(agent)
        self._played[row] = True

    def _update_masks(self) -> None:
        self.masks[:] = [agent in self._live for agent in self.possible_agents]

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        if not self._live:
            return self._start_next()
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
        any_shown = any(infos.values())
        if not self._live:
            self._count_episode(float(self._returns[self._played].mean()), self._length)
        self.restarted = not self._live and self.autoreset == SAME_STEP
        if self.restarted:
            infos = kept(infos)
            first = self._restart()
            return [infos, *(first or [{}])] if any_shown or first else []
        return [infos] if any_shown else []

    def _start_next(self) -> Infos:
        """The step after the last one of an episode; its actions are ignored."""
        if self.autoreset == DISABLED:
            self._raise_ended()
        self.restarted = True
        for array in (self.rewards, self.terminals, self.truncations):
            array[:] = 0
        return self._restart()

    def _end_agents(self, agents: set[Any], observations: Mapping[Any, Any]) -> None:
        """Record the last step of agents that go."""
        for agent in agents:
            row = self._rows[agent]
            if agent in observations:
                self._write_final[row](self._checks.sampled(observations[agent]))
            else:
                self.final_observations[row] = self.observations[row]
            if not self.terminals[row]:
                self.truncations[row] = True  # also of one that left ``agents`` without a word
            self.observations[row] = 0
            self.episode_returns[row], self.episode_lengths[row] = self._returns[row], self._length  # type: ignore[index]


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
