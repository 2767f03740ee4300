"""Generalized advantage estimation and V-trace, over time-major rollouts ``(horizon, rows)``.

Step ``t`` of row ``n`` acted on the observation valued ``values[t, n]``, was paid ``rewards[t, n]``, and ended
there where ``terminals[t, n]`` or ``truncations[t, n]``. What follows a step that did not end the episode
is worth ``values[t + 1, n]``; a terminated one is worth nothing; a truncated one is worth what its last
observation promised: ``final_values[t, n]``.

A masked step is one in which the row did not act: it was dead, or it waited for its turn. While it waits, time does
not pass for it: what it is paid meanwhile belongs to its last action, and what follows that is its next turn.
"""

from __future__ import annotations

from numpy.typing import NDArray

from puffer_numba.jit.compiler.announce import trainer_kernel

FloatArray = NDArray  # float32 or float64, all of a call alike
BoolArray = NDArray


@trainer_kernel
def _worth_of_next(
    value: float, next_value: float, terminal: bool, truncation: bool, final_value: float, is_last: bool
) -> tuple[float, bool]:
    """What comes after a step is worth, and whether that is the next step of the rollout."""
    if terminal:
        return value * 0, False
    if truncation:
        return final_value, False
    return next_value, not is_last


@trainer_kernel
def _estimate(
    rewards: FloatArray,
    values: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    final_values: FloatArray,
    masks: BoolArray,
    ratios: FloatArray | None,
    gamma: float,
    gae_lambda: float,
    rho_clip: float,
    c_clip: float,
    advantages: FloatArray,
) -> None:
    """`vtrace`, or without ratios `gae`: Numba leaves out the branches of the other one."""
    horizon, rows = rewards.shape
    next_values = values[horizon].copy()  # of each row's next turn, and what it is paid until then
    for t in range(horizon - 1, -1, -1):
        for n in range(rows):
            worth, goes_on = _worth_of_next(
                values[t, n], next_values[n], terminals[t, n], truncations[t, n], final_values[t, n], t + 1 == horizon
            )
            later = advantages[t + 1, n] if goes_on else 0
            if masks[t, n]:
                delta = rewards[t, n] + gamma * worth - values[t, n]
                carried = gamma * gae_lambda
                if ratios is not None:
                    delta *= min(ratios[t, n], rho_clip)
                    carried *= min(ratios[t, n], c_clip)
                advantages[t, n] = delta + carried * later
                next_values[n] = values[t, n]
            else:
                next_values[n] = rewards[t, n] + worth
                advantages[t, n] = later


@trainer_kernel
def gae(
    rewards: FloatArray,
    values: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    final_values: FloatArray,
    masks: BoolArray,
    gamma: float,
    gae_lambda: float,
    advantages: FloatArray,
) -> None:
    """Generalized advantage estimation (Schulman et al., 2016), written into ``advantages``.

    Args:
        rewards: ``(horizon, rows)`` float.
        values: ``(horizon + 1, rows)`` float; the last row is the value after the rollout. Those of masked steps
            do not matter.
        terminals, truncations: ``(horizon, rows)`` bool.
        final_values: ``(horizon, rows)`` float; read only where a step was truncated.
        masks: ``(horizon + 1, rows)`` bool.
        gamma: discount.
        gae_lambda: decay of later temporal differences.
        advantages: ``(horizon, rows)`` float, the result.
    """
    ends = (terminals, truncations, final_values, masks)
    _estimate(rewards, values, *ends, None, gamma, gae_lambda, 1.0, 1.0, advantages)


@trainer_kernel
def vtrace(
    rewards: FloatArray,
    values: FloatArray,
    terminals: BoolArray,
    truncations: BoolArray,
    final_values: FloatArray,
    masks: BoolArray,
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
    ends = (terminals, truncations, final_values, masks)
    _estimate(rewards, values, *ends, ratios, gamma, gae_lambda, rho_clip, c_clip, advantages)


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
        terminals, truncations, masks: ``(horizon, rows)`` bool; masked steps do not count, but their rewards do while
            the row waits for its turn: after it has acted, and before its episode ends.
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
            if masks[t, n]:
                running_lengths[n] += 1
            elif running_lengths[n] == 0:
                continue
            running_returns[n] += rewards[t, n]
            if terminals[t, n] or truncations[t, n]:
                returns[count] = running_returns[n]
                lengths[count] = running_lengths[n]
                running_returns[n] = 0
                running_lengths[n] = 0
                count += 1
    return count
