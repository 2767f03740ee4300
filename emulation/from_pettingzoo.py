"""A PettingZoo environment as a `PufferEnv`: a row for each of its possible agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel, turn_based_aec_to_parallel

from puffer_numba.emulation.by_agent import InfosByAgent, RowsByAgent, with_agents
from puffer_numba.emulation.checking import CHECKED_STEPS, ObservationChecks
from puffer_numba.emulation.emulated import AnyArray, Buf, EmulatedEnv, _make_object, brief, is_number, kept, several
from puffer_numba.emulation.masks import ActionMasksFromInfos
from puffer_numba.emulation.views import bounded_zeros
from puffer_numba.env import DISABLED, SAME_STEP, APIUsageError, Infos, Slot
from puffer_numba.spaces.agents import AgentPart, MergedSpaces


class PettingZooPufferEnv(EmulatedEnv):
    """A PettingZoo environment as a `PufferEnv` of one row for each of ``possible_agents``, in their order.

    An agent that is not there has ``masks`` False, reward 0 and zeros for an observation, and its action is ignored.
    An agent's last observation is in ``final_observations`` in the step in which it terminates, is truncated, or
    leaves ``agents``. When the last one has gone, all rows start the next episode: when is up to ``autoreset``.
    ``infos`` has the environment's own dict by agent, where one of them is not empty; in the step in which the next
    episode starts, also the first one of that.

    **Agents of unequal spaces** have rows of the smallest spaces that hold those of all, as
    `puffer_numba.spaces.agents.MergedSpaces` says. Observations are padded with zeros. Where agents differ in discrete
    actions, observations become ``{"observation": ..., "action_mask": ...}``, and policies choose only what an agent
    has; another action is an error. What an agent lacks of a Box is ignored, and clipped to its own bounds.

    **By agent**, as in PufferLib and PettingZoo: `step` also takes a dict of the actions of ``agents``, and then
    returns dicts, in which an agent that is not there has zeros, reward 0 and True for terminated. It then starts no
    new episode, so that ``while env.agents:`` ends. ``env.action_space(agent)`` and
    ``env.observation_space(agent)`` are those of the agent, flat: ``single_action_space``, or its own where they are
    unequal; so are its actions and observations in dicts. `reset`, which cannot know how `step` will be called, returns
    an array of which ``observations[agent]`` and ``observations.items()`` can be asked.

    Attributes:
        restarted: whether the last step ended an episode and started the next one.
        agent_parts: of unequal spaces, by agent, which parts of its row are its own; empty where all are equal.

    Args:
        env: a `pettingzoo.ParallelEnv`; or an `AECEnv`, which PettingZoo converts: with ``aec_to_parallel`` where its
            metadata says ``is_parallelizable``, else with ``turn_based_aec_to_parallel``: only the action of the agent
            whose turn it is counts.
        env_creator, env_args, env_kwargs, buf, seed, checked_steps, strict, text_length, autoreset: as in
            `GymnasiumPufferEnv`.
        info_masks: whether infos have an ``action_mask`` for each agent; observations then become
            ``{"observation": ..., "action_mask": ...}``. None: for OpenSpiel's games by shimmy, which have.

    Raises:
        APIUsageError: no environment or two; not a PettingZoo one; no ``possible_agents``; agents whose spaces
            cannot be padded to one; spaces of no fixed size.
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
        info_masks: bool | None = None,
    ) -> None:
        made = _as_parallel(_make_object("PettingZooPufferEnv", env, env_creator, env_args, env_kwargs))
        if _is_openspiel(made) if info_masks is None else info_masks:
            made = ActionMasksFromInfos(made)
        self.possible_agents = _possible_agents(made)
        self._rows = {agent: row for row, agent in enumerate(self.possible_agents)}
        self._live: set[Any] = set()
        self.restarted = False
        self._is_ours = buf is None
        self._returns = np.zeros(len(self._rows))
        self._played = np.zeros(len(self._rows), np.bool_)
        self._length = 0
        observations, actions = (
            {agent: space_of(agent) for agent in self.possible_agents}
            for space_of in (made.observation_space, made.action_space)
        )
        spaces = (observations[self.possible_agents[0]], actions[self.possible_agents[0]])
        self.agent_parts: dict[Any, AgentPart] = {}
        if any(observations[agent] != spaces[0] or actions[agent] != spaces[1] for agent in self.possible_agents):
            merged = MergedSpaces(observations, actions, text_length)
            spaces, text_length = (merged.observation_space, merged.action_space), None
            self.agent_parts, self.stacked_action_space = merged.parts, merged.stacked_actions()
        super().__init__(made, spaces, len(self._rows), buf, seed, checked_steps, strict, text_length, autoreset)
        checks = [self._checks] * self.num_agents
        if self.agent_parts:
            self.is_obs_emulated = self.is_atn_emulated = True
            layouts = [part.observation.layout for part in self.agent_parts.values()]
            checks = [ObservationChecks(layout, made, checked_steps, strict) for layout in layouts]
        self._sampled = [check.sampled for check in checks]

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``. Costs some microseconds."""
        super().use(slot)
        if self.agent_parts:
            parts = list(enumerate(self.agent_parts.values()))
            self._write = [part.observation.writer(self.observations[row]) for row, part in parts]
            self._write_final = [part.observation.writer(self.final_observations[row]) for row, part in parts]
            self._read_action = [part.action.reader(self.actions[row : row + 1]) for row, part in parts]

    @property
    def num_envs(self) -> int:
        """1: all rows are one environment."""
        return 1

    @property
    def done(self) -> bool:
        """Whether there is no agent to act: before the first `reset`, and after the end of an episode by dicts."""
        return not self._live

    @cached_property
    def observation_space(self) -> Any:
        """The space of all rows together; called with an agent, its own, flat."""
        parts = self.agent_parts.items()
        own = {agent: part.observation.layout.flat_space for agent, part in parts}
        own = own or dict.fromkeys(self._rows, self.single_observation_space)
        return with_agents(super().observation_space, partial(_own_space, own))

    @cached_property
    def action_space(self) -> Any:
        """The space of all rows together, in which each has what its agent has; called with an agent, its own, flat."""
        own = {agent: part.action.layout.flat_space for agent, part in self.agent_parts.items()}
        own = own or dict.fromkeys(self._rows, self.single_action_space)
        return with_agents(super().action_space, partial(_own_space, own))

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
        if not self._is_ours:  # somebody else's memory, for a vector backend
            return self.observations, infos
        own = self._own_row if self.agent_parts else None
        return RowsByAgent.of(self.observations, self._rows, own), InfosByAgent(infos)

    def _restart(self, **arguments: Any) -> Infos:
        result = self.env.reset(**arguments)
        if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, Mapping) for part in result)):
            raise APIUsageError(
                f"{self.env}.reset() returned {brief(result)}; expected (observations, infos), two dicts by agent."
            )
        observations, infos = result
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
        self._write[row](self._sampled[row](observations[agent]))
        self._live.add(agent)
        self._played[row] = True

    def _update_masks(self) -> None:
        self.masks[:] = [agent in self._live for agent in self.possible_agents]

    def step(self, actions: Any) -> Any:
        """One step, by arrays or by dicts.

        Args:
            actions: ``(num_agents, *action_shape)``, of the flat action space, as `EmulatedEnv.step` takes them; or a
                dict with an action of that space for each of ``agents``.

        Returns:
            ``(observations, rewards, terminals, truncations, infos)``: the buffers, which the next step overwrites; or
            dicts, of copies, by agent.

        Raises:
            APIUsageError: no reset yet, or none after the end of an episode by dicts; a bad action, none for an agent,
                or one for no agent, and then nothing has changed; an observation outside the environment's space.
        """
        by_dicts = isinstance(actions, dict)
        if self._ready and not self._live and (by_dicts or self.autoreset == SAME_STEP):
            raise APIUsageError("step() was called after the end of the episode; call env.reset() first.")
        if not by_dicts:
            return super().step(actions)
        self._take_actions(self._batch(actions))
        acted = set(self._live)
        infos = self._advance()
        self.restarted = False
        return *self._by_agent(acted), infos

    def _batch(self, actions: Mapping[Any, Any]) -> AnyArray:
        """Actions of all rows; the environment does not see those of agents that are not there."""
        for agent in actions:
            _check_agent(agent, self._rows)
        missing = [agent for agent in self._rows if agent in self._live and agent not in actions]
        if missing:
            raise APIUsageError(f"step() got no action for {missing[0]!r}; expected one for each of {self.env.agents}.")
        idle = bounded_zeros(self.single_action_space)
        if self.agent_parts:
            batch = np.repeat(idle[None], self.num_agents, axis=0)
            for agent in self._live:
                row = self._rows[agent]
                self.agent_parts[agent].action.write(actions[agent], batch[row : row + 1])
            return batch
        rows = [actions[agent] if agent in self._live else idle for agent in self._rows]
        shapes = {agent: np.shape(row) for agent, row in zip(self._rows, rows, strict=True)}
        for agent, shape in shapes.items():
            if shape != idle.shape:
                raise APIUsageError(f"the action of {agent!r} has shape {shape}; expected {self.single_action_space}.")
        return np.array(rows)

    def _by_agent(self, acted: set[Any]) -> tuple[dict[Any, Any], ...]:
        """Observations, rewards, terminals and truncations of the last step; of who has gone, the last observation."""
        gone = acted - self._live
        rows = self._rows.items()
        return (
            {
                a: self._own_row(a, (self.final_observations if a in gone else self.observations)[row])
                for a, row in rows
            },
            {a: float(self.rewards[row]) for a, row in rows},
            {a: bool(self.terminals[row]) or a not in acted | self._live for a, row in rows},
            {a: bool(self.truncations[row]) for a, row in rows},
        )

    def _own_row(self, agent: Any, row: AnyArray) -> AnyArray:
        """A copy of what the agent has of ``row``, its row of observations."""
        return self.agent_parts[agent].observation.own_row(row) if self.agent_parts else row.copy()

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        if not self._live:
            return self._start_next()
        infos = self._advance()
        shown = any(infos.values())
        self.restarted = not self._live and self.autoreset == SAME_STEP
        if not self.restarted:
            return [infos] if shown else []
        infos = kept(infos)
        first = self._restart()
        return [infos, *(first or [{}])] if shown or first else []

    def _start_next(self) -> Infos:
        """The step after the last one of an episode; its actions are ignored."""
        if self.autoreset == DISABLED:
            self._raise_ended()
        self.restarted = True
        for array in (self.rewards, self.terminals, self.truncations):
            array[:] = 0
        return self._restart()

    def _advance(self) -> Any:
        """One step without what comes after an episode's end; the environment's infos."""
        acted = self._live
        chosen = {agent: self._read_action[self._rows[agent]]() for agent in self.env.agents}
        result = self.env.step(chosen)
        try:
            observations, rewards, terminations, truncations, infos = result
            self.rewards[:] = [float(rewards.get(agent, 0)) if agent in acted else 0.0 for agent in self._rows]
            self.terminals[:] = [agent in acted and bool(terminations.get(agent)) for agent in self._rows]
            self.truncations[:] = [agent in acted and bool(truncations.get(agent)) for agent in self._rows]
            infos.values  # noqa: B018 - it is a dict
        except (AttributeError, TypeError, ValueError):
            self._raise_bad_result(result)
        self._length += 1
        self._returns += self.rewards
        ended = {agent for agent in self._rows if terminations.get(agent) or truncations.get(agent)}
        self._live = set()
        staying = [agent for agent in self.env.agents if agent not in ended]
        self._end_agents(acted.difference(staying), observations)
        for agent in staying:
            self._observe(agent, observations)
        self._update_masks()
        if not self._live:
            self._count_episode(float(self._returns[self._played].mean()), self._length)
        return infos

    def _raise_bad_result(self, result: Any) -> NoReturn:
        names = ("observations", "rewards", "terminations", "truncations", "infos")
        if not (isinstance(result, tuple) and len(result) == len(names)):
            raise APIUsageError(
                f"{self.env}.step() returned {brief(result)}; expected ({', '.join(names)}), five dicts by agent."
            )
        for name, part in zip(names, result, strict=True):
            if not isinstance(part, Mapping):
                raise APIUsageError(f"{self.env}.step() returned {brief(part)} for {name}; expected a dict by agent.")
        agent, reward = next((a, r) for a, r in result[1].items() if not is_number(r))
        raise APIUsageError(
            f"{self.env}.step() returned the reward {brief(reward)} for {agent!r}; expected a number{several(reward)}."
        )

    def _end_agents(self, agents: set[Any], observations: Mapping[Any, Any]) -> None:
        """Record the last step of agents that go."""
        for agent in agents:
            row = self._rows[agent]
            if agent in observations:
                self._write_final[row](self._sampled[row](observations[agent]))
            else:
                self.final_observations[row] = self.observations[row]
            if not self.terminals[row]:
                self.truncations[row] = True  # also of one that left ``agents`` without a word
            self.observations[row] = 0
            self.episode_returns[row], self.episode_lengths[row] = self._returns[row], self._length  # type: ignore[index]


def _check_agent(agent: Any, agents: Mapping[Any, Any]) -> None:
    if agent not in agents:
        raise APIUsageError(f"{agent!r} is no agent; there are {', '.join(map(str, agents))}.")


def _own_space(spaces: Mapping[Any, Any], agent: Any) -> Any:
    _check_agent(agent, spaces)
    return spaces[agent]


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


def _is_openspiel(env: Any) -> bool:
    """Whether it is one of shimmy's, which tells masks in its infos."""
    return type(env.unwrapped).__module__ == "shimmy.openspiel_compatibility"
