"""A PufferEnv of one environment and several agents as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray
from pettingzoo import ParallelEnv

from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.emulation.views import (
    bounded_zeros,
    check_single,
    find_render_mode,
    first_info,
    make_single,
    own_layouts,
    render_metadata,
    source_env,
)
from puffer_numba.env import APIUsageError, Infos, PufferEnv
from puffer_numba.jit import JitEnv
from puffer_numba.spaces.agents import AgentPart

AnyArray = NDArray[Any]


def make_parallel_env(name: str, render_mode: str | None = None, **kwargs: Any) -> JitParallelEnv:
    """One registered environment as a PettingZoo `ParallelEnv`.

    Args:
        name: as in `puffer_numba.make`.
        render_mode: as in `JitParallelEnv`.
        **kwargs: for the environment's class. Its ``seed`` is None, fresh entropy, unless given.

    Raises:
        APIUsageError: unknown name, or bad arguments.
    """
    return JitParallelEnv(make_single(name, "make_parallel_env", kwargs), render_mode)


class PufferParallelEnv(ParallelEnv[Any, Any, Any]):
    """A `PufferEnv` of one environment and any number of agents, as a PettingZoo `ParallelEnv`.

    ::

        env = PufferParallelEnv(PettingZooPufferEnv(simple_spread_v3.parallel_env()))

    Agents and spaces are those of the wrapped PettingZoo environment; of another PufferEnv, its rows are ``agent_0``,
    ``agent_1``, ... An agent is in ``agents`` while its mask is set, until it terminates or is truncated. A PufferEnv
    starts the next episode in the step that ends one: `reset` without arguments then continues with that. Observations
    and infos are copies, the user's to keep.

    Attributes:
        possible_agents: names of all agents.
        agents: names of those that act next; empty before the first reset and after the end of an episode.
        state_space: of what `state` returns, where that is known.

    Args:
        env: of one environment: ``num_envs == 1``.
        render_mode: None, or "rgb_array" where the environment renders images. A wrapped environment keeps its own.
        flat: keep the flat spaces of the PufferEnv.

    Raises:
        APIUsageError: ``env`` has several environments, is a JitEnv (see `JitParallelEnv`), or ``render_mode`` is not
            served.
    """

    def __init__(self, env: PufferEnv, render_mode: str | None = None, flat: bool = False) -> None:
        self._check(env)
        source = source_env(env)
        self._wrapped: Any = source.env if isinstance(source, PettingZooPufferEnv) else None
        self.puffer_env, self._source = env, source
        self.render_mode = find_render_mode(env, render_mode, "Show the images in a window of your own.")
        self.metadata = {"name": type(source).__name__, "is_parallelizable": True, **render_metadata(env)}
        rows = [f"agent_{a}" for a in range(env.num_agents)]
        self.possible_agents: list[Any] = rows if self._wrapped is None else list(source.possible_agents)  # type: ignore[attr-defined]
        self.agents: list[Any] = []
        self._layout, self._action_layout = (None, None) if flat else own_layouts(env)
        observation_space = self._layout.space if self._layout else env.single_observation_space
        action_space = self._action_layout.space if self._action_layout else env.single_action_space
        self.observation_spaces = {agent: deepcopy(observation_space) for agent in self.possible_agents}
        self.action_spaces = {agent: deepcopy(action_space) for agent in self.possible_agents}
        is_changed = flat or env.emulated is not source.emulated or env.stacked_action_space is None
        self._parts: dict[Any, AgentPart] = {} if is_changed else source.agent_parts  # type: ignore[attr-defined]
        for agent, part in self._parts.items():
            self.observation_spaces[agent] = deepcopy(part.observation.layout.space)
            self.action_spaces[agent] = deepcopy(part.action.layout.space)
        if self._wrapped is None:
            self.state_space = batch_space(env.single_observation_space, env.num_agents)
        elif hasattr(self._wrapped, "state_space"):
            self.state_space = self._wrapped.state_space
        self._rows = {agent: row for row, agent in enumerate(self.possible_agents)}
        self._idle_action = bounded_zeros(env.single_action_space)
        self._has_restarted = False
        self._first_infos: dict[Any, Any] = {}

    def _check(self, env: PufferEnv) -> None:
        if isinstance(env.unwrapped, JitEnv):
            raise APIUsageError("PufferParallelEnv takes PufferEnvs that are no JitEnvs; for these is JitParallelEnv.")
        if env.num_envs != 1:
            raise APIUsageError(f"PufferParallelEnv takes one environment; {type(env).__name__} has {env.num_envs}.")

    def observation_space(self, agent: Any) -> Any:
        """The agent's observation space, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: Any) -> Any:
        """The agent's action space, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Any, Any], dict[Any, dict[str, Any]]]:
        """Start an episode.

        Args:
            seed: starts the random stream anew; without one it continues.
            options: for a wrapped environment.

        Returns:
            ``(observations, infos)``, by agent.
        """
        if seed is not None or options is not None or not self._has_restarted:
            arguments = {"options": options} if options is not None and self._wrapped is not None else {}
            _, infos = self.puffer_env.reset(seed, **arguments)
            self._first_infos = infos[0] if infos else {}
        self._has_restarted = False
        self.agents = self._acting()
        return self._observe(self.agents, []), self._infos(self.agents, self._first_infos)

    def step(
        self, actions: Mapping[Any, Any]
    ) -> tuple[dict[Any, Any], dict[Any, float], dict[Any, bool], dict[Any, bool], dict[Any, dict[str, Any]]]:
        """One step of all agents.

        Args:
            actions: one for each name in ``agents``; others of ``possible_agents`` are ignored.

        Returns:
            ``(observations, rewards, terminations, truncations, infos)``, by agent, for all that acted, and those that
            have come.

        Raises:
            APIUsageError: no agent is left or the episode has not begun, or an action is missing, belongs to no
                agent, or is not in its space.
        """
        acted = self.agents
        _, rewards, terminals, truncations, infos = self.puffer_env.step(self._batch(actions))
        ended = [a for a in acted if terminals[self._rows[a]] or truncations[self._rows[a]]]
        self._follow(acted, ended, infos)
        shown = acted + [agent for agent in self.agents if agent not in acted]
        return (
            self._observe(shown, ended),
            {agent: float(rewards[self._rows[agent]]) for agent in shown},
            {agent: bool(terminals[self._rows[agent]]) for agent in shown},
            {agent: bool(truncations[self._rows[agent]]) for agent in shown},
            self._infos(shown, infos[0] if infos else {}),
        )

    def _acting(self) -> list[Any]:
        """The agents that act next."""
        masks = self.puffer_env.masks
        return [agent for agent, row in self._rows.items() if masks[row]]

    def _follow(self, acted: list[Any], ended: list[Any], infos: Infos) -> None:
        """See who acts next."""
        restarted = len(ended) == len(acted) if self._wrapped is None else self._source.restarted  # type: ignore[attr-defined]
        self.agents = [] if restarted else [agent for agent in self._acting() if agent not in ended]
        self._has_restarted = restarted
        self._first_infos = infos[1] if len(infos) > 1 else {}

    def _batch(self, actions: Mapping[Any, Any]) -> AnyArray:
        """Actions of all rows; those of agents that are gone have no effect, but must be valid."""
        if not self.agents:
            raise APIUsageError("step() was called without an agent to act; call env.reset() first.")
        unknown = [agent for agent in actions if agent not in self._rows]
        if unknown:
            names = ", ".join(map(str, self._rows))
            raise APIUsageError(f"step() got an action for {unknown[0]!r}, which is no agent; there are {names}.")
        batch: list[ArrayLike] = [self._idle_action] * len(self._rows)
        for agent in self.agents:
            if agent not in actions:
                raise APIUsageError(
                    f"step() got no action for {agent!r}; expected one for {', '.join(map(str, self.agents))}."
                )
            batch[self._rows[agent]] = self._flat_action(agent, actions[agent])
        return np.asarray(batch)

    def _flat_action(self, agent: Any, action: Any) -> ArrayLike:
        if self._parts:
            part, row = self._parts[agent].action, self._idle_action.copy()
            part.write(part.layout.flatten_batch(_batch_of_one(action), 1)[0], row)
            return row
        if self._action_layout is not None:
            action = self._action_layout.flatten_batch(_batch_of_one(action), 1)[0]
        shape = np.shape(action)
        if shape != self._idle_action.shape:
            raise APIUsageError(
                f"the action of {agent!r} has shape {shape}; expected {self._idle_action.shape}: "
                f"{self.action_spaces[agent]}."
            )
        return action

    def _observe(self, agents: list[Any], ended: list[Any]) -> dict[Any, Any]:
        """Observations of agents; the last ones of those that have ended."""
        now, last = self.puffer_env.observations, self.puffer_env.final_observations
        rows = {agent: (last if agent in ended else now)[self._rows[agent]].copy() for agent in agents}
        if self._parts:
            parts = {agent: self._parts[agent].observation for agent in rows}
            return {agent: part.layout.unflatten(part.own_row(rows[agent])) for agent, part in parts.items()}
        return {agent: self._layout.unflatten(row) for agent, row in rows.items()} if self._layout else rows

    def _infos(self, agents: list[Any], infos: dict[Any, Any]) -> dict[Any, dict[str, Any]]:
        return {agent: {} if self._wrapped is None else infos.get(agent, {}) for agent in agents}

    def state(self) -> Any:
        """That of the wrapped environment; of another one, the observations of all possible agents, also of those that
        are gone: ``(agents, *observation_shape)``. After the end of an episode it is the first of the next.
        """
        return self.puffer_env.observations.copy() if self._wrapped is None else self._wrapped.state()

    def render(self) -> Any:
        """The image, with a render mode; else None."""
        return None if self.render_mode is None else self.puffer_env.render()

    def close(self) -> None:
        """Close the environment."""
        self.puffer_env.close()


def _batch_of_one(action: Any) -> Any:
    if isinstance(action, Mapping):
        return {key: _batch_of_one(part) for key, part in action.items()}
    if isinstance(action, tuple):
        return tuple(_batch_of_one(part) for part in action)
    return np.asarray(action)[None]


class JitParallelEnv(PufferParallelEnv):
    """A `JitEnv` of one environment, with one agent or several, as a PettingZoo `ParallelEnv`.

    Agents are ``agent_0``, ``agent_1``, ...: the rows of the JitEnv. An agent leaves ``agents`` in the step in
    which it terminates or is truncated, and is back after the next ``reset``, no earlier. One that only waits for
    its turn stays, and must be given an action. Each info has the State fields that the environment's class names in
    ``info``, whole: where a field has an axis of agents, ``agent_1`` is at index 1.

    Attributes:
        possible_agents, agents, state_space: as in `PufferParallelEnv`.

    Args:
        env: made with ``num_envs=1, autoreset="disabled"``. Its ``seed`` serves the first reset that has none.
        render_mode: None, or "rgb_array" where the environment renders images.

    Raises:
        APIUsageError: ``env`` or ``render_mode`` is not such.
    """

    def __init__(self, env: JitEnv, render_mode: str | None = None) -> None:
        super().__init__(env, render_mode)
        self._info_views = env.info_fields()

    def _check(self, env: PufferEnv) -> None:
        check_single(env, "JitParallelEnv")

    def _acting(self) -> list[Any]:
        return list(self.possible_agents)

    def _follow(self, acted: list[Any], ended: list[Any], infos: Infos) -> None:
        self.agents = [agent for agent in acted if agent not in ended]

    def _observe(self, agents: list[Any], ended: list[Any]) -> dict[Any, Any]:
        return super()._observe(agents, [])  # it does not reset itself

    def _infos(self, agents: list[Any], infos: dict[Any, Any]) -> dict[Any, dict[str, Any]]:
        return {agent: first_info(self._info_views) for agent in agents}
