"""A JitEnv of several agents as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray
from pettingzoo import ParallelEnv

from puffer_numba.emulation.common import (
    bounded_zeros,
    check_render_mode,
    check_single,
    first_info,
    info_views,
    make_single,
    render_metadata,
)
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv

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


class JitParallelEnv(ParallelEnv[str, AnyArray, Any]):
    """A `JitEnv` of one environment, with one agent or several, as a PettingZoo `ParallelEnv`.

    Agents are ``agent_0``, ``agent_1``, ...: the rows of the JitEnv. An agent leaves ``agents`` in the step in
    which it terminates or is truncated, and is back after the next ``reset``, no earlier. One that only waits for
    its turn stays, and must be given an action. Observations and infos are copies, the user's to keep.

    Attributes:
        possible_agents: names of all agents.
        agents: names of those that act next; empty before the first reset and after the end of an episode.
        state_space: of what `state` returns.

    Args:
        env: made with ``num_envs=1, autoreset="disabled"``. Its ``seed`` serves the first reset that has none.
        render_mode: None, or "rgb_array" where the environment draws pictures.

    Raises:
        APIUsageError: ``env`` or ``render_mode`` is not such.
    """

    def __init__(self, env: JitEnv, render_mode: str | None = None) -> None:
        check_single(env, "JitParallelEnv")
        check_render_mode(env, render_mode, "Show the pictures in a window of your own.")
        self.puffer_env = env
        self.render_mode = render_mode
        self.metadata = {"name": type(env).__name__, "is_parallelizable": True, **render_metadata(env)}
        self.possible_agents = [f"agent_{a}" for a in range(env.num_agents)]
        self.agents: list[str] = []
        self.observation_spaces = {agent: deepcopy(env.single_observation_space) for agent in self.possible_agents}
        self.action_spaces = {agent: deepcopy(env.single_action_space) for agent in self.possible_agents}
        self.state_space = batch_space(env.single_observation_space, env.num_agents)
        self._rows = {agent: row for row, agent in enumerate(self.possible_agents)}
        self._idle_action = bounded_zeros(env.single_action_space)
        self._info_views = info_views(env)

    def observation_space(self, agent: str) -> Any:
        """The agent's observation space, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """The agent's action space, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, AnyArray], dict[str, dict[str, Any]]]:
        """Start an episode with all agents.

        Args:
            seed: starts the random stream anew; without one it goes on.
            options: ignored.

        Returns:
            ``(observations, infos)``, by agent; each info has the State fields that the environment's class names
            in ``info``, whole: where a field has an axis of agents, ``agent_1`` is at index 1.
        """
        self.puffer_env.reset(seed)
        self.agents = list(self.possible_agents)
        return self._observe(self.agents), self._infos(self.agents)

    def step(
        self, actions: Mapping[str, ArrayLike]
    ) -> tuple[dict[str, AnyArray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """One step of all agents.

        Args:
            actions: one for each name in ``agents``; others of ``possible_agents`` are ignored.

        Returns:
            ``(observations, rewards, terminations, truncations, infos)``, by agent, for all that acted.

        Raises:
            APIUsageError: no agent is left or the episode has not begun, or an action is missing, belongs to no
                agent, or is not in its space.
        """
        acting = self.agents
        _, rewards, terminals, truncations, _ = self.puffer_env.step(self._batch(actions))
        self.agents = [a for a in acting if not (terminals[self._rows[a]] or truncations[self._rows[a]])]
        return (
            self._observe(acting),
            {agent: float(rewards[self._rows[agent]]) for agent in acting},
            {agent: bool(terminals[self._rows[agent]]) for agent in acting},
            {agent: bool(truncations[self._rows[agent]]) for agent in acting},
            self._infos(acting),
        )

    def _batch(self, actions: Mapping[str, ArrayLike]) -> AnyArray:
        """Actions of all rows; those of agents that are gone have no effect, but must be valid."""
        if not self.agents:
            raise APIUsageError("step() was called without an agent to act; call env.reset() first.")
        unknown = [agent for agent in actions if agent not in self._rows]
        if unknown:
            raise APIUsageError(
                f"step() got an action for {unknown[0]!r}, which is no agent; there are {', '.join(self._rows)}."
            )
        batch: list[ArrayLike] = [self._idle_action] * len(self._rows)
        for agent in self.agents:
            if agent not in actions:
                raise APIUsageError(f"step() got no action for {agent!r}; expected one for {', '.join(self.agents)}.")
            shape = np.shape(actions[agent])
            if shape != self._idle_action.shape:
                raise APIUsageError(
                    f"the action of {agent!r} has shape {shape}; expected {self._idle_action.shape}: "
                    f"{self.action_spaces[agent]}."
                )
            batch[self._rows[agent]] = actions[agent]
        return np.asarray(batch)

    def _observe(self, agents: list[str]) -> dict[str, AnyArray]:
        return {agent: self.puffer_env.observations[self._rows[agent]].copy() for agent in agents}

    def _infos(self, agents: list[str]) -> dict[str, dict[str, Any]]:
        return {agent: first_info(self._info_views) for agent in agents}

    def state(self) -> AnyArray:
        """Observations of all possible agents, also of those that are gone: ``(agents, *observation_shape)``."""
        return self.puffer_env.observations.copy()

    def render(self) -> NDArray[np.uint8] | None:
        """The picture, uint8 (height, width, 3), with ``render_mode="rgb_array"``; else None."""
        return None if self.render_mode is None else self.puffer_env.render()

    def close(self) -> None:
        """Release the arrays."""
        self.puffer_env.close()
