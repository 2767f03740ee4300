"""From one environment's functions to kernels over all of them.

A kernel gets one `Simulation`, every array of the environment in one object: unboxing 20 arrays at each call would
cost more than stepping 64 CartPoles. It works through it in blocks, three passes over each:

(a) dynamics of all environments in the block, without a branch, so that LLVM vectorizes it;
(b) a scan for ended episodes: statistics, final observations, reset;
(c) observations.

Two rules are easy to break and expensive when broken. The index is unsigned (``np.uintp``): with a signed
one, Numba's test for negative indices hides the array bounds from LLVM and nothing vectorizes. And no
``prange`` may write to an array of a named tuple: that silently does nothing (numba issues 5872, 7135, 10338). So
threads share the loop of `puffer_numba.jit.compiler.launch`, which only calls kernels.

The functions below are plain Python, annotated for readers only. With ``jit=False`` they run as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import types

from puffer_numba.env import NEXT_STEP, SAME_STEP
from puffer_numba.jit.compiler.announce import announce
from puffer_numba.jit.compiler.functions import content_hash, kernel_function
from puffer_numba.jit.compiler.launch import CHECK, STEP
from puffer_numba.jit.compiler.leaves import PlainLeaves, naming, padding
from puffer_numba.jit.compiler.parts import JIT_OPTIONS, OVERLOADED, part
from puffer_numba.jit.compiler.rows import unrolled
from puffer_numba.jit.compiler.tuples import Agents, Stream

BLOCK = 512
"""Environments that go through the three passes together, so that they are still in the L1 cache."""

LOG_FIELDS = ("episodes", "episode_return", "episode_length")
"""First columns of the log: a count and two sums. The environment's own metrics follow."""

# For the passes and what they call. The simulation owns every array for as long as a kernel runs: counting
# references to them again and again, atomically, would stop loops from being vectorized, and make threads wait for
# one another. And a call with a hundred arguments, which is what named tuples of arrays become, costs 100 ns.
BORROW = {**JIT_OPTIONS, "_nrt": False, "forceinline": True}


class Kernels(NamedTuple):
    """The entry points of one environment. Each takes a `Simulation` first."""

    step: Callable[..., int]
    """``(sim, actions, chunk, chunks, phase)``: the environments of one of ``chunks`` equal parts, on this thread.
    Phase CHECK counts their bad actions, which it returns; STEP steps them if there are none, and adds episodes that
    end to row ``chunk`` of the log. `puffer_numba.jit.compiler.launch` calls it on several threads."""
    reset: Callable[..., None]
    """``(sim, which)``: restart the environments where ``which``, bool (num_envs,)."""


def build_kernels(
    name: str,
    reset_env: Callable[..., Any],
    step_env: Callable[..., Any],
    observe_env: Callable[..., Any],
    *,
    agents: int | None,
    autoreset: int,
    observation_shape: tuple[int, ...],
    scalar_actions: bool,
    defaults: tuple[tuple[int, Any], ...] = (),
    leaves: np.dtype[Any] | None = None,
    jit: bool,
) -> Kernels:
    """Kernels around an author's functions; of `make_kernels` the same arguments give the same, compiled once.

    Args:
        name: of the environment, dotted, for messages.
        reset_env, step_env, observe_env: `KernelFunction`s if ``jit``, else plain Python.
        agents: agents in each environment; None where rows are environments.
        autoreset: SAME_STEP, NEXT_STEP or DISABLED.
        scalar_actions: whether one action is a number, not an array.
        defaults: position and value of the State fields that do not begin an episode at 0.
        leaves: structured dtype of one observation; None where it is one array.
    """
    make, make_block = _makers(jit)
    if leaves is not None:
        observe_env = make_block(_observe_leaves(observe_env, leaves, jit))
    restart = make_block(_restart(reset_env, _initializer(defaults, make), agents is not None))
    if agents is None:
        passes = (
            advance_block(step_env, autoreset),
            _finish_block(observe_env, restart, autoreset),
            _observe_block(observe_env, observation_shape),
        )
        step_block = make_block(_step_block(*map(make_block, passes)))
    else:
        update_agents = make_block(_update_agents(agents))
        step_block = make_block(
            _step_team_block(step_env, observe_env, restart, update_agents, autoreset, (agents, *observation_shape))
        )
    step_chunk = make(_step_chunk(step_block))
    count_bad = make(_count_bad_scalars if scalar_actions else _count_bad_rows)

    def step(sim, actions, chunk, chunks, phase):
        n = len(sim.streams)
        first, last = n * chunk // chunks, n * (chunk + 1) // chunks
        bad = 0
        if phase & CHECK:
            bad = count_bad(actions[first:last], sim.action_low, sim.action_high)
        if phase & STEP and bad == 0:
            step_chunk(sim, actions, first, last, chunk)
        return bad

    reset = _reset_kernel(name, reset_env, observe_env, defaults, agents is not None, jit)
    return Kernels(_entry_point(step, name) if jit else step, reset)


@cache  # it stays when step_env is edited
def _reset_kernel(
    name: str,
    reset_env: Callable[..., Any],
    observe_env: Callable[..., Any],
    defaults: tuple[tuple[int, Any], ...],
    team: bool,
    jit: bool,
) -> Callable[..., None]:
    make, make_block = _makers(jit)
    restart = make_block(_restart(reset_env, _initializer(defaults, make), team))

    def reset(sim, which):
        s, p, episodes, buffers = sim.state, sim.params, sim.episodes, sim.buffers
        for j in range(len(which)):
            i = np.uintp(j)
            if which[i]:
                restart(s, p, sim.streams, episodes, buffers, i)
                observe_env(s, p, i, buffers.observations)

    return _entry_point(reset, name) if jit else reset


def _makers(jit: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What makes a part of a kernel callable from Numba: one that may allocate, and one that only borrows."""
    if not jit:
        return (lambda function: function,) * 2
    return kernel_function, partial(kernel_function, jit_options=BORROW)


def _entry_point(function: Callable[..., Any], name: str) -> Any:
    return announce(numba.njit(function, **JIT_OPTIONS, nogil=True, cache=True), name)


make_kernels = cache(build_kernels)


def _step_chunk(step_block: Callable[..., None]) -> Callable[..., None]:
    def step_chunk(sim, actions, start, stop, chunk):
        s, p, metrics, streams = sim.state, sim.params, sim.metrics, sim.streams
        episodes, buffers = sim.episodes, sim.buffers
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            step_block(s, p, metrics, streams, episodes, buffers, actions, first, last, chunk)

    return step_chunk


def _initializer(defaults: tuple[tuple[int, Any], ...], make: Callable[..., Any]) -> Callable[..., None]:
    """What sets row ``i`` of the state to what an episode begins with; ``make`` makes it callable from Numba."""
    if not defaults:
        return zero
    lines = ["zero(s, i)", *(f"s[{field}][i] = {value!r}" for field, value in defaults)]
    return make(unrolled("s, i", lines, zero=zero, nan=math.nan, inf=math.inf))


def _restart(reset_env: Callable[..., None], initialize: Callable[..., None], team: bool) -> Callable[..., None]:
    def restart(s, p, streams, episodes, buffers, i):
        initialize(s, i)
        episodes.returns[i] = 0
        episodes.lengths[i] = 0
        if len(episodes.ended) > 0:
            episodes.ended[i] = False
        if team:
            episodes.alive[i] = True
            episodes.gone[i] = False
            reset_env(s, p, i, Stream(streams, i), Agents(buffers.rewards, buffers.terminals, episodes.alive))
            for a in range(episodes.alive.shape[1]):
                buffers.masks[i, a] = episodes.alive[i, a]
        else:
            reset_env(s, p, i, Stream(streams, i))

    return restart


def advance_block(step_env: Callable[..., Any], autoreset: int) -> Callable[..., None]:
    """Pass (a): one step of the dynamics, with the time limit."""

    def advance(s, p, streams, episodes, buffers, actions, start, stop):
        rewards, terminals, truncations = buffers.rewards, buffers.terminals, buffers.truncations
        returns, lengths, ended = episodes.returns, episodes.lengths, episodes.ended
        max_steps = episodes.max_steps
        for j in range(start, stop):
            i = np.uintp(j)
            if autoreset != SAME_STEP and ended[i]:
                rewards[i] = 0
                terminals[i] = False
                truncations[i] = False
                continue
            reward, terminated, truncated = outcome(step_env(s, p, i, actions[i], Stream(streams, i)))
            length = lengths[i] + np.int32(1)
            lengths[i] = length
            rewards[i] = reward
            returns[i] += np.float32(reward)
            terminals[i] = terminated
            truncations[i] = truncated | (length >= max_steps)

    return advance


def _finish_block(
    observe_env: Callable[..., None], restart: Callable[..., None], autoreset: int
) -> Callable[..., None]:
    """Pass (b): statistics and last observations of the episodes that ended, and resets."""

    def finish(s, p, metrics, streams, episodes, buffers, start, stop, chunk):
        terminals, truncations, ended = buffers.terminals, buffers.truncations, episodes.ended
        returns, lengths, log = episodes.returns, episodes.lengths, episodes.log[chunk]
        for j in range(start, stop):
            i = np.uintp(j)
            if terminals[i] | truncations[i]:
                log[0] += 1
                log[1] += returns[i]
                log[2] += lengths[i]
                add(metrics, i, log, len(LOG_FIELDS))
                episodes.final_returns[i] = returns[i]
                episodes.final_lengths[i] = lengths[i]
                observe_env(s, p, i, buffers.final_observations)
                if autoreset == SAME_STEP:
                    restart(s, p, streams, episodes, buffers, i)
                else:
                    ended[i] = True
            elif autoreset == NEXT_STEP and ended[i]:
                restart(s, p, streams, episodes, buffers, i)

    return finish


def _observe_leaves(observe_env: Callable[..., None], dtype: np.dtype[Any], jit: bool) -> Callable[..., None]:
    """``observe_env`` for a flat array, whose parts it knows by their names."""
    name_leaves = naming(dtype) if jit else lambda observations: PlainLeaves(observations, dtype)
    unused = tuple(padding(dtype))

    def observe(s, p, i, observations):
        observe_env(s, p, i, name_leaves(observations))

    def observe_padded(s, p, i, observations):
        observe_env(s, p, i, name_leaves(observations))
        for byte in unused:
            observations[i, ..., byte] = 0

    return observe_padded if unused else observe


def _observe_block(observe_env: Callable[..., None], observation_shape: tuple[int, ...]) -> Callable[..., None]:
    """Pass (c): observations."""

    def observe(s, p, observations, start, stop):
        if observations.shape[1:] == observation_shape:  # always so, and now LLVM knows the strides
            for j in range(start, stop):
                observe_env(s, p, np.uintp(j), observations)

    return observe


def _step_block(
    advance: Callable[..., None], finish: Callable[..., None], observe: Callable[..., None]
) -> Callable[..., None]:
    """The three passes, for environments of one agent."""

    def step_block(s, p, metrics, streams, episodes, buffers, actions, start, stop, chunk):
        advance(s, p, streams, episodes, buffers, actions, start, stop)
        finish(s, p, metrics, streams, episodes, buffers, start, stop, chunk)
        observe(s, p, buffers.observations, start, stop)

    return step_block


def _step_team_block(
    step_env: Callable[..., Any],
    observe_env: Callable[..., None],
    restart: Callable[..., None],
    update_agents: Callable[..., tuple[int, int]],
    autoreset: int,
    observation_shape: tuple[int, ...],
) -> Callable[..., None]:
    """The same for environments of several agents. Nothing here vectorizes over environments, so one pass."""
    agents = observation_shape[0]

    def step_block(s, p, metrics, streams, episodes, buffers, actions, start, stop, chunk):
        team = Agents(buffers.rewards, buffers.terminals, episodes.alive)
        if buffers.observations.shape[1:] != observation_shape or buffers.rewards.shape[1] != agents:
            return  # never so, and now LLVM knows the strides, and how many agents there are
        for j in range(start, stop):
            i = np.uintp(j)
            for a in range(agents):
                buffers.rewards[i, a] = 0
                buffers.terminals[i, a] = False
                buffers.truncations[i, a] = False
            if autoreset != SAME_STEP and episodes.ended[i]:
                if autoreset == NEXT_STEP:
                    restart(s, p, streams, episodes, buffers, i)
                observe_env(s, p, i, buffers.observations)
                continue
            over = step_env(s, p, i, actions[i], Stream(streams, i), team)
            episodes.lengths[i] += np.int32(1)
            timeout = episodes.lengths[i] >= episodes.max_steps
            ended_rows, remaining = update_agents(episodes, buffers, i, over, timeout)
            if ended_rows > 0:
                observe_env(s, p, i, buffers.final_observations)
            if timeout or remaining == 0:
                row = episodes.log[chunk]
                row[0] += 1
                for a in range(agents):
                    row[1] += episodes.returns[i, a] / agents
                row[2] += episodes.lengths[i]
                add(metrics, i, row, len(LOG_FIELDS))
                if autoreset == SAME_STEP:
                    restart(s, p, streams, episodes, buffers, i)
                else:
                    episodes.ended[i] = True
            observe_env(s, p, i, buffers.observations)

    return step_block


def _update_agents(agents: int) -> Callable[..., tuple[int, int]]:
    def update_agents(episodes, buffers, i, over, timeout):
        """Ends, returns and masks of environment i; how many rows ended now, how many agents are left."""
        ended_rows = 0
        remaining = 0
        for a in range(agents):
            if episodes.alive[i, a]:
                episodes.gone[i, a] = False  # the author may have brought it back
            playing = not episodes.gone[i, a]  # also when it only waits for its turn
            terminated = playing and (over or buffers.terminals[i, a])
            truncated = playing and timeout
            buffers.terminals[i, a] = terminated
            buffers.truncations[i, a] = truncated
            episodes.returns[i, a] += buffers.rewards[i, a]
            if terminated or truncated:
                ended_rows += 1
                episodes.final_returns[i, a] = episodes.returns[i, a]
                episodes.final_lengths[i, a] = episodes.lengths[i]
            if terminated:
                episodes.gone[i, a] = True
                episodes.alive[i, a] = False
            if not episodes.gone[i, a]:
                remaining += 1
            buffers.masks[i, a] = episodes.alive[i, a]
        return ended_rows, remaining

    return update_agents


def _count_bad_scalars(actions, low, high):
    """How many actions are outside [low, high]: one number for each environment or agent."""
    flat = actions.reshape(-1)
    first, last = low[0], high[0]
    bad = 0
    for j in range(len(flat)):
        i = np.uintp(j)
        bad += (flat[i] < first) | (flat[i] > last)
    return bad


def _count_bad_rows(actions, low, high):
    """The same where an action has several components; NaN is outside."""
    rows = actions.reshape(-1, len(low))
    bad = 0
    for j in range(len(rows)):
        i = np.uintp(j)
        for k in range(len(low)):
            bad += not (rows[i, k] >= low[k] and rows[i, k] <= high[k])
    return bad


def outcome(returned: Any) -> tuple[Any, Any, Any]:
    """Reward, terminated, truncated: what ``step_env`` returns, with or without the last."""
    reward, terminated, *truncated = returned
    return reward, terminated, truncated[0] if truncated else False


@part(outcome, JIT_OPTIONS)
def _outcome(returned: Any) -> Callable[..., Any] | None:
    if isinstance(returned, types.BaseTuple) and len(returned) == 3:
        return lambda returned: (returned[0], returned[1], bool(returned[2]))
    if isinstance(returned, types.BaseTuple) and len(returned) == 2:
        return lambda returned: (returned[0], returned[1], False)
    return None


def zero(fields: Any, i: Any) -> None:
    """Set row ``i`` of every array of a tuple to 0."""
    for field in fields:
        field[i] = 0


@part(zero, JIT_OPTIONS)
def _zero(fields: Any, i: Any) -> Callable[..., None]:
    return unrolled("fields, i", [f"fields[{k}][i] = 0" for k in range(len(fields))])


def add(fields: Any, i: Any, row: Any, column: Any) -> None:
    """Add element ``i`` of each array of a tuple to ``row[column]``, ``row[column + 1]``, ..."""
    for k, field in enumerate(fields):
        row[column + k] += field[i]


@part(add, JIT_OPTIONS)
def _add(fields: Any, i: Any, row: Any, column: Any) -> Callable[..., None]:
    return unrolled("fields, i, row, column", [f"row[column + {k}] += fields[{k}][i]" for k in range(len(fields))])


_SOURCE = "".join(map(content_hash, (outcome, _outcome, zero, add)))
for _function in (outcome, zero, add):
    setattr(_function, OVERLOADED, _SOURCE)
