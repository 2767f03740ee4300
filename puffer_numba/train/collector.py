"""Collecting rollouts: the policy acts, the environments step, and what happens goes into the rollout storage."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from puffer_numba.distributions.actions import ActionDistribution, seed_stream
from puffer_numba.env import Infos, PufferEnv
from puffer_numba.models.actor import Actor
from puffer_numba.train.infos import InfoStatistics
from puffer_numba.train.phases import ACTING, COPY, ENVIRONMENT, SAMPLING, Phases
from puffer_numba.train.rollout import Rollout

LastObservations = tuple[int, np.ndarray, np.ndarray, Tensor | None]
"""Step, rows, and the last observations and policy states of episodes that were truncated there."""


class Collector:
    """Steps ``vecenv`` by the actions of ``actor``, through one rollout after the other.

    Args:
        vecenv: one that takes ``out`` writes straight into the rollout storage; results of others are copied there.
        rollout: storage for as many rows as ``vecenv`` has.
        actor: the policy, in these rows.
        distribution: of its actions.
        seed: of environments and of the sampled actions.
        phases: time is counted here.
        part: of the parts of all environments that train together in as many processes, the number of this one.

    Attributes:
        is_asynchronous: whether environments step in batches, each at its own pace.
        reset_done: whether the environments have been reset; if not, `collect` does so.
        first_state: of the policy when the rollout began; None where it is not recurrent.
        observation_slots: observations of each step and of the one after the rollout, as tensors.
        infos: `InfoStatistics` of the environments.
        steps: of each row, before the present rollout; with the seed and the row it keys the sampled actions.
    """

    def __init__(
        self,
        vecenv: PufferEnv,
        rollout: Rollout,
        actor: Actor,
        distribution: ActionDistribution,
        *,
        seed: int,
        phases: Phases,
        part: int = 0,
    ) -> None:
        self.vecenv, self.rollout, self.actor, self.distribution = vecenv, rollout, actor, distribution
        self.seed, self.phases, self._part = seed, phases, part
        self.first_state = None if actor.state is None else actor.state.clone()
        self.steps = 0
        self._stream, self._first_row = seed_stream(seed), part * rollout.rows
        self.observation_slots = list(torch.from_numpy(rollout.observations))
        self.reset_done = False
        self.infos = InfoStatistics(vecenv)
        self.is_asynchronous = vecenv.agents_per_batch != vecenv.num_agents
        self._waiting: list[slice] = []  # rows of batches that have not been sent actions for what they observe
        self._slots = [vecenv.prepare(buffers) for buffers in rollout.buffers(vecenv)]
        self._value_slots = list(torch.from_numpy(rollout.values))

    def collect(self) -> None:
        """Fill the rollout: ``horizon`` steps of every row, and the values of what follows."""
        rollout, env = self.rollout, self.vecenv
        if not self.reset_done:
            self._reset()
        np.copyto(rollout.observations[0], env.observations)
        np.copyto(rollout.masks[0], env.masks)
        if self.first_state is not None and self.actor.state is not None:
            self.first_state.copy_(self.actor.state)
        with torch.inference_mode():
            truncated = self._step_batches() if self.is_asynchronous else self._step_together()
            with self.phases(ACTING):
                self._bootstrap(truncated)
        self.steps += rollout.horizon

    def _reset(self) -> None:
        env, seed = self.vecenv, self.seed
        if self._part:
            seed = env.seed_of_part(seed, self._part * env.num_envs)
        if self.is_asynchronous:
            env.async_reset(seed)
            self._waiting = [_span(env.recv()[5]) for _ in range(env.num_agents // env.agents_per_batch)]
        else:
            env.reset(seed)
        self.reset_done = True

    def _step_together(self) -> list[LastObservations]:
        """Step all rows together."""
        rollout, truncated = self.rollout, list[LastObservations]()
        for t in range(rollout.horizon):
            actions = self._choose(t)
            with self.phases(ENVIRONMENT):
                self._step(t, actions)
            self._end_episodes(t, slice(0, rollout.rows), truncated)
        return truncated

    def _step_batches(self) -> list[LastObservations]:
        """Step batches of rows, each at its own pace; one that is done waits for the others, and for the update."""
        rollout, env, truncated = self.rollout, self.vecenv, list[LastObservations]()
        to_send, self._waiting = [(0, rows) for rows in self._waiting], []
        times = {rows.start: 0 for _, rows in to_send}
        while to_send or len(self._waiting) < len(times):
            for t, rows in to_send:
                actions = self._choose(t, rows)
                with self.phases(ENVIRONMENT):
                    env.send(actions, env_ids=env.agent_ids[rows])
            with self.phases(ENVIRONMENT):
                *results, infos, env_ids, masks = env.recv()
            rows = _span(env_ids)
            t = times[rows.start]
            times[rows.start] += 1
            self._store(t, rows, (*results, masks))
            self._note(t, infos, rows)
            self._end_episodes(t, rows, truncated)
            is_done = t + 1 == rollout.horizon
            if is_done:
                self._waiting.append(rows)
            to_send = [] if is_done else [(t + 1, rows)]
        return truncated

    def _end_episodes(self, t: int, rows: slice, truncated: list[LastObservations]) -> None:
        """Reset the policy's states where episodes ended; last observations of truncated ones join ``truncated``."""
        rollout, actor = self.rollout, self.actor
        if rollout.truncations[t, rows].any():
            # Their values are computed together, after the rollout.
            cut = rows.start + np.flatnonzero(rollout.truncations[t, rows])
            state = None if actor.state is None else actor.state[:, torch.from_numpy(cut)]
            truncated.append((t, cut, self.vecenv.final_observations[cut], state))
        if actor.state is not None:
            actor.reset_state(rollout.terminals[t, rows] | rollout.truncations[t, rows], rows)

    def _choose(self, t: int, rows: slice | None = None) -> np.ndarray:
        """Actions on the observations of slot ``t``, of some rows or all; they and their values go into the rollout."""
        rollout = self.rollout
        slots = self.observation_slots[t], self._value_slots[t], rollout.actions[t], rollout.log_probs[t]
        observations, value_slot, actions, log_probs = slots if rows is None else (slot[rows] for slot in slots)
        which = slice(None) if rows is None else rows
        with self.phases(ACTING):
            params, values = self.actor.act(observations, rollout.masks[t, which], which)
            value_slot.copy_(values)
        with self.phases(SAMPLING):
            self._stream[1:] = self.steps + t, self._first_row + (0 if rows is None else rows.start)
            self.distribution.sample(params, self._stream, actions, log_probs)
            return self.distribution.to_env(actions)

    def _step(self, t: int, actions: np.ndarray) -> None:
        """Step the environments; results end up in the rollout."""
        env = self.vecenv
        if env.takes_out:
            *_, infos = env.step(actions, out=self._slots[t])  # type: ignore[call-arg]
        else:
            *results, infos = env.step(actions)
            self._store(t, slice(None), (*results, env.masks))
        self._note(t, infos, slice(None))

    def _note(self, t: int, infos: Infos, rows: slice) -> None:
        """Count the numbers in the infos of step ``t``, which are of some rows."""
        if infos:
            rollout, ended = self.rollout, np.zeros(self.rollout.rows, np.bool_)
            np.logical_or(rollout.terminals[t, rows], rollout.truncations[t, rows], out=ended[rows])
            self.infos.add(infos, ended)

    def _store(self, t: int, rows: slice, results: tuple[np.ndarray, ...]) -> None:
        """Copy observations, rewards, terminals, truncations and masks of some rows into the rollout."""
        with self.phases(COPY):
            for slot, result in zip(self._slots[t].buffers[:5], results, strict=True):
                np.copyto(slot[rows], result)

    def _bootstrap(self, truncated: list[LastObservations]) -> None:
        """Values of what follows the rollout, and of the last observations of truncated episodes."""
        _, values = self.actor.evaluate(self.observation_slots[-1], self.actor.state)
        self._value_slots[-1].copy_(values)
        if truncated:
            observations = torch.from_numpy(np.concatenate([last for _, _, last, _ in truncated]))
            states = [state for *_, state in truncated if state is not None]
            _, values = self.actor.evaluate(observations, torch.cat(states, 1) if states else None)
            final_values, first = values.cpu().numpy(), 0
            for t, rows, *_ in truncated:
                self.rollout.final_values[t, rows] = final_values[first : first + len(rows)]
                first += len(rows)


def _span(rows: np.ndarray) -> slice:
    return slice(int(rows[0]), int(rows[-1]) + 1)
