"""What a policy returns: checked where it first acts and learns, before anything reads it by its supposed size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from puffer_numba.distributions.actions import ActionDistribution, action_params
from puffer_numba.env import APIUsageError


def check_output(output: Any, name: str, rows: int, distribution: ActionDistribution, state: Tensor | None) -> None:
    """See that ``output`` is what a policy is to return.

    Args:
        output: action parameters ``(rows, num_params)`` or what `action_params` makes such of, values ``(rows,)`` or
            ``(rows, 1)``, and where ``state`` is given, the next state.
        name: of what returned it.
        rows: of the observations.
        distribution: of the actions.
        state: that it was called with; None where it is not to return one.

    Raises:
        APIUsageError: a shape, a dtype or the number of results is another; with what was expected and what was got.
    """
    wanted = 2 if state is None else 3
    if not isinstance(output, tuple | list) or len(output) < wanted:
        got = f"{len(output)} results" if isinstance(output, tuple | list) else type(output).__name__
        expected = "(action_params, values)" if state is None else "(action_params, values, state)"
        raise APIUsageError(f"{name} returned {got}; expected {expected}.")
    try:
        params = action_params(output[0])
    except (TypeError, RuntimeError) as error:
        raise APIUsageError(
            f"{name} returned action parameters that cannot be put together: {error}. Expected "
            f"{(rows, distribution.num_params)}: {distribution.meaning}."
        ) from error
    _check(name, "action parameters", params, [(rows, distribution.num_params)], distribution.meaning)
    _check(name, "values", output[1], [(rows,), (rows, 1)], "one for each row")
    if state is not None:
        _check(name, "a state", output[-1], [tuple(state.shape)], "as that which it was given")


def _check(name: str, what: str, found: Any, shapes: list[tuple[int, ...]], meaning: str) -> None:
    is_right = isinstance(found, Tensor) and found.is_floating_point() and tuple(found.shape) in shapes
    if not is_right:
        got = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        expected = " or ".join(map(str, shapes))
        raise APIUsageError(f"{name} returned {what} {got}; expected {torch.float32} {expected}: {meaning}.")
