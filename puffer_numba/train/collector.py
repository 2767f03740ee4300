"""Collecting rollouts: the policy acts, the environments step, and what happens goes into the rollout storage."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from puffer_numba.distributions.actions import ActionDistribution, seed_stream
from puffer_numba.env import PufferEnv
from puffer_numba.models.actor import Actor
from puffer_numba.train.distributed import ALONE, World
from puffer_numba.train.rollout import Rollout
from puffer_numba.train.self_play import League

LastObservations = tuple[int, np.ndarray, np.ndarray, Tensor | None]
"""Step, rows, and the last observations and policy states of episodes that were truncated there."""


class Collector:
    """Steps ``vecenv`` by the actions of ``actor``, through one rollout after the other.

    Args:
        vecenv: a `JitEnv` writes straight into the rollout storage; results of others are copied there.
        rollout: storage for as many rows as ``vecenv`` has.
        actor: the policy, in these rows.
        distribution: of its actions.
        seed: of environments and drawn actions.
        world: the processes that train together; environments and draws of each go on where those before it end.
        league: past selves that act in some of the rows; None where there are none.
        profile: seconds spent on env, forward and copy are added here.

    Attributes:
        is_asynchronous: whether environments step in batches, each at its own pace.
        reset_done: whether the environments have been reset; if not, `collect` does so.
        first_state: of the policy when the rollout began; None where it has no memory.
        observation_slots: observations of each step and of the one after the rollout, as tensors.
        stream: state of the random numbers that draw actions.
    """

    def __init__(
        self,
        vecenv: PufferEnv,
        rollout: Rollout,
        actor: Actor,
        distribution: ActionDistribution,
        *,
        seed: int,
        profile: dict[str, float],
        world: World = ALONE,
        league: League | None = None,
    ) -> None:
        self.vecenv, self.rollout, self.actor, self.distribution = vecenv, rollout, actor, distribution
        self.seed, self.profile, self.world, self.league = seed, profile, world, league
        self.first_state = None if actor.state is None else actor.state.clone()
        self.stream = seed_stream(seed, world.rank * rollout.rows, (world.size - 1 - world.rank) * rollout.rows)
        self.observation_slots = list(torch.from_numpy(rollout.observations))
        self.reset_done = False
        self.is_asynchronous = vecenv.agents_per_batch != vecenv.num_agents
        self._waiting: list[slice] = []  # rows of batches that have not been sent actions for what they observe
        self._slots = [vecenv.prepare(buffers) for buffers in rollout.buffers(vecenv)]
        self._value_slots = list(torch.from_numpy(rollout.values))

    def collect(self) -> None:
        """Fill the rollout: ``horizon`` steps of every row, and the values of what follows."""
        rollout, env = self.rollout, self.vecenv
        if not self.reset_done:
            self._reset()
        if self.league is not None:
            self.league.begin_rollout()
        np.copyto(rollout.observations[0], env.observations)
        np.copyto(rollout.masks[0], env.masks)
        if self.first_state is not None and self.actor.state is not None:
            self.first_state.copy_(self.actor.state)
        with torch.inference_mode():
            truncated = self._step_batches() if self.is_asynchronous else self._step_together()
            self._bootstrap(truncated)

    def _reset(self) -> None:
        env, seed = self.vecenv, self.seed
        if self.world.size > 1:
            seed = env.seed_of_part(seed, self.world.rank * env.num_envs)
        if self.is_asynchronous:
            env.async_reset(seed)
            self._waiting = [_span(env.recv()[5]) for _ in range(env.num_agents // env.agents_per_batch)]
        else:
            env.reset(seed)
        self.reset_done = True

    def _step_together(self) -> list[LastObservations]:
        """Step all rows together."""
        rollout, profile, clock = self.rollout, self.profile, time.perf_counter
        truncated: list[LastObservations] = []
        for t in range(rollout.horizon):
            begin = clock()
            actions = self._choose(t)
            middle = clock()
            self._step(t, actions)
            self._end_episodes(t, slice(0, rollout.rows), truncated)
            profile["forward"] += middle - begin
            profile["env"] += clock() - middle
        return truncated

    def _step_batches(self) -> list[LastObservations]:
        """Step batches of rows, each at its own pace; one that is done waits for the others, and for the update."""
        rollout, env, profile, clock = self.rollout, self.vecenv, self.profile, time.perf_counter
        truncated: list[LastObservations] = []
        to_send, self._waiting = [(0, rows) for rows in self._waiting], []
        times = {rows.start: 0 for _, rows in to_send}
        while to_send or len(self._waiting) < len(times):
            begin = clock()
            for t, rows in to_send:
                env.send(self._choose(t, rows), env_ids=env.agent_ids[rows])
            middle = clock()
            *results, _, env_ids, masks = env.recv()
            rows = _span(env_ids)
            t = times[rows.start]
            times[rows.start] += 1
            self._store(t, rows, (*results, masks))
            self._end_episodes(t, rows, truncated)
            is_done = t + 1 == rollout.horizon
            if is_done:
                self._waiting.append(rows)
            to_send = [] if is_done else [(t + 1, rows)]
            profile["forward"] += middle - begin
            profile["env"] += clock() - middle
        return truncated

    def _end_episodes(self, t: int, rows: slice, truncated: list[LastObservations]) -> None:
        """Forget what the policy remembers of episodes that ended; the last observations of some join ``truncated``."""
        rollout, actor = self.rollout, self.actor
        if rollout.truncations[t, rows].any():
            # Their values are computed together, after the rollout.
            cut = rows.start + np.flatnonzero(rollout.truncations[t, rows])
            state = None if actor.state is None else actor.state[:, torch.from_numpy(cut)]
            truncated.append((t, cut, self.vecenv.final_observations[cut], state))
        if actor.state is not None or self.league is not None:
            ends = rollout.terminals[t, rows] | rollout.truncations[t, rows]
            actor.forget(ends, rows)
            if self.league is not None:
                self.league.end_episodes(ends)

    def _choose(self, t: int, rows: slice | None = None) -> np.ndarray:
        """Actions on the observations of slot ``t``, of some rows or all; they and their values go into the rollout."""
        rollout = self.rollout
        slots = self.observation_slots[t], self._value_slots[t], rollout.actions[t], rollout.log_probs[t]
        observations, value_slot, actions, log_probs = slots if rows is None else (slot[rows] for slot in slots)
        which = slice(None) if rows is None else rows
        params, values = self.actor.act(observations, rollout.masks[t, which], which)
        self.distribution.sample(params, self.stream, actions, log_probs)
        value_slot.copy_(values)
        chosen = self.distribution.to_env(actions)
        if self.league is not None:
            self.league.act(observations, rollout.masks[t], chosen)
        return chosen

    def _step(self, t: int, actions: np.ndarray) -> None:
        """Step the environments; results end up in the rollout."""
        env = self.vecenv
        if env.takes_out:
            env.step(actions, out=self._slots[t])  # type: ignore[call-arg]
            return
        *results, _ = env.step(actions)
        self._store(t, slice(None), (*results, env.masks))

    def _store(self, t: int, rows: slice, results: tuple[np.ndarray, ...]) -> None:
        """Copy observations, rewards, terminals, truncations and masks of some rows into the rollout."""
        begin = time.perf_counter()
        for slot, result in zip(self._slots[t].buffers[:5], results, strict=True):
            np.copyto(slot[rows], result)
        copied = time.perf_counter() - begin
        self.profile["copy"] += copied
        self.profile["env"] -= copied

    def _bootstrap(self, truncated: list[LastObservations]) -> None:
        """Values of what follows the rollout, and of the last observations of truncated episodes."""
        begin = time.perf_counter()
        _, values = self.actor.look(self.observation_slots[-1], self.actor.state)
        self._value_slots[-1].copy_(values)
        if truncated:
            observations = torch.from_numpy(np.concatenate([last for _, _, last, _ in truncated]))
            states = [state for *_, state in truncated if state is not None]
            _, values = self.actor.look(observations, torch.cat(states, 1) if states else None)
            final_values, first = values.cpu().numpy(), 0
            for t, rows, *_ in truncated:
                self.rollout.final_values[t, rows] = final_values[first : first + len(rows)]
                first += len(rows)
        self.profile["forward"] += time.perf_counter() - begin


def _span(rows: np.ndarray) -> slice:
    return slice(int(rows[0]), int(rows[-1]) + 1)
