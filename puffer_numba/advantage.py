"""Generalized advantage estimation and V-trace, over time-major rollouts ``(horizon, rows)``.

Step ``t`` of row ``n`` acted on the observation valued ``values[t, n]``, was paid ``rewards[t, n]``, and ended
there where ``terminals[t, n]`` or ``truncations[t, n]``. What follows a step that did not end the episode
is worth ``values[t + 1, n]``; a terminated one is worth nothing; a truncated one is worth what its last
observation promised: ``final_values[t, n]``.
"""

from __future__ import annotations

from numpy.typing import NDArray

from puffer_numba.jit.announce import trainer_kernel

FloatArray = NDArray  # float32 or float64, all of a call alike
BoolArray = NDArray


@trainer_kernel
def _step_delta(
    rewards: FloatArray,
    values: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    final_values: FloatArray,
    gamma: float,
    t: int,
    n: int,
) -> tuple[float, bool]:
    """The temporal difference of one step, and whether its episode goes on."""
    goes_on = not (terminals[t, n] or truncations[t, n])
    if goes_on:
        next_value = values[t + 1, n]
    elif terminals[t, n]:
        next_value = 0.0
    else:
        next_value = final_values[t, n]
    return rewards[t, n] + gamma * next_value - values[t, n], goes_on


@trainer_kernel
def gae(
    rewards: FloatArray,
    values: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    final_values: FloatArray,
    gamma: float,
    gae_lambda: float,
    advantages: FloatArray,
) -> None:
    """Generalized advantage estimation (Schulman et al., 2016), written into ``advantages``.

    Args:
        rewards: ``(horizon, rows)`` float.
        values: ``(horizon + 1, rows)`` float; the last row is the value after the rollout.
        terminals, truncations: ``(horizon, rows)`` bool.
        final_values: ``(horizon, rows)`` float; read only where a step was truncated.
        gamma: discount.
        gae_lambda: decay of later temporal differences.
        advantages: ``(horizon, rows)`` float, the result.
    """
    horizon, rows = rewards.shape
    for t in range(horizon - 1, -1, -1):
        for n in range(rows):
            delta, goes_on = _step_delta(rewards, values, terminals, truncations, final_values, gamma, t, n)
            if goes_on and t + 1 < horizon:
                delta += gamma * gae_lambda * advantages[t + 1, n]
            advantages[t, n] = delta


@trainer_kernel
def vtrace(
    rewards: FloatArray,
    values: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    final_values: FloatArray,
    ratios: FloatArray,
    gamma: float,
    gae_lambda: float,
    rho_clip: float,
    c_clip: float,
    advantages: FloatArray,
) -> None:
    """V-trace (Espeholt et al., 2018) with a lambda: `gae` where every ratio is 1 and the clips at least 1.

    ``advantages + values`` are the paper's value targets; the advantages themselves drive the policy, as in
    PufferLib.

    Args:
        ratios: ``(horizon, rows)`` float: probability of the action now over that at the time of the rollout.
        rho_clip: largest ratio that weighs a temporal difference.
        c_clip: largest ratio by which later differences are carried back.

    The other arguments are those of `gae`.
    """
    horizon, rows = rewards.shape
    for t in range(horizon - 1, -1, -1):
        for n in range(rows):
            delta, goes_on = _step_delta(rewards, values, terminals, truncations, final_values, gamma, t, n)
            delta *= min(ratios[t, n], rho_clip)
            if goes_on and t + 1 < horizon:
                delta += gamma * gae_lambda * min(ratios[t, n], c_clip) * advantages[t + 1, n]
            advantages[t, n] = delta


@trainer_kernel
def discounted_returns(
    rewards: FloatArray, ends: BoolArray, masks: BoolArray, gamma: float, running: FloatArray, returns: FloatArray
) -> None:
    """The discounted sum of each row's rewards so far, at every step; rewards are scaled by its deviation.

    Args:
        rewards: ``(horizon, rows)`` float.
        ends: ``(horizon, rows)`` bool: an episode ended here.
        masks: ``(horizon, rows)`` bool; where False, the step counts for nothing.
        gamma: discount.
        running: ``(rows,)`` float: the sums carried from rollout to rollout, updated in place.
        returns: ``(horizon, rows)`` float, the result.
    """
    horizon, rows = rewards.shape
    for t in range(horizon):
        for n in range(rows):
            if masks[t, n]:
                running[n] = running[n] * gamma + rewards[t, n]
            returns[t, n] = running[n]
            if ends[t, n]:
                running[n] = 0


@trainer_kernel
def finished_episodes(
    rewards: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    masks: BoolArray,
    running_returns: NDArray,
    running_lengths: NDArray,
    returns: NDArray,
    lengths: NDArray,
) -> int:
    """Returns and lengths of the episodes that ended in a rollout, in the order in which they ended.

    Args:
        rewards: ``(horizon, rows)`` float.
        terminals, truncations, masks: ``(horizon, rows)`` bool; masked steps belong to no episode.
        running_returns: ``(rows,)`` float64: returns of the episodes under way, updated in place.
        running_lengths: ``(rows,)`` int64: their lengths, updated in place.
        returns, lengths: ``(horizon * rows,)`` float64 and int64; the first entries are the result.

    Returns:
        How many episodes ended.
    """
    horizon, rows = rewards.shape
    count = 0
    for t in range(horizon):
        for n in range(rows):
            if not masks[t, n]:
                continue
            running_returns[n] += rewards[t, n]
            running_lengths[n] += 1
            if terminals[t, n] or truncations[t, n]:
                returns[count] = running_returns[n]
                lengths[count] = running_lengths[n]
                running_returns[n] = 0
                running_lengths[n] = 0
                count += 1
    return count
