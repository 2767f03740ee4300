"""`Actor`: a policy at work, with the state of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.distributions.actions import ActionDistribution, action_params
from puffer_numba.models.output import check_output


class Actor:
    """Acts with ``policy`` in ``rows`` rows, and keeps their states where it is recurrent.

    Args:
        policy: any that the trainer takes; it is recurrent if it has an ``initial_state``, as `LSTM` has.
        normalizer: of observations, or None.
        forward: in place of its ``forward_eval``: the same, compiled.
        distribution: of its actions, for which what it returns is checked at the first call; None: it is not.

    Attributes:
        state: ``(2, rows, hidden_size)``; None where the policy is not recurrent.
    """

    def __init__(
        self,
        policy: nn.Module,
        rows: int,
        normalizer: nn.Module | None = None,
        forward: Callable[..., Any] | None = None,
        distribution: ActionDistribution | None = None,
    ) -> None:
        self._forward = getattr(policy, "forward_eval", policy) if forward is None else forward
        self._normalizer, self._name = normalizer, type(policy).__name__
        self._unchecked = distribution
        self._device = next((p.device for p in policy.parameters()), torch.device("cpu"))
        self.state: Tensor | None = policy.initial_state(rows) if is_recurrent(policy) else None  # type: ignore[operator]

    def act(
        self, observations: Tensor, masks: NDArray[np.bool_], rows: slice | Tensor = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Action parameters and values ``(rows,)`` of one step's observations; the states of those that act advance."""
        if self.state is None:
            return self.evaluate(observations)
        before = self.state[:, rows]
        params, values, after = self._step(observations, before)
        if not masks.all():
            after = torch.where(torch.from_numpy(masks).to(self._device)[None, :, None], after, before)
        self.state[:, rows] = after
        return params, values

    def evaluate(self, observations: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same from ``state``, which is left as it is."""
        return self._step(observations, state)[:2]

    def reset_state(self, ended: NDArray[np.bool_], rows: slice = slice(None)) -> None:
        """Set the states of the rows whose episode ended to zero."""
        if self.state is not None and ended.any():
            self.state[:, rows][:, torch.from_numpy(ended).to(self._device)] = 0.0

    def _step(self, observations: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if self._device.type != "cpu":
            observations = observations.to(self._device, non_blocking=True)
        if self._normalizer is not None:
            observations = self._normalizer(observations)
        result = self._forward(observations) if state is None else self._forward(observations, state)
        if self._unchecked is not None:
            check_output(result, self._name, len(observations), self._unchecked, state)
            self._unchecked = None
        return action_params(result[0]), result[1].reshape(-1), result[-1]


def is_recurrent(policy: nn.Module) -> bool:
    """Whether ``policy`` has a state, as `LSTM` does."""
    return hasattr(policy, "initial_state")
