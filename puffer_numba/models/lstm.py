"""`LSTM`: a recurrent policy, made of another one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from puffer_numba.distributions.actions import action_params
from puffer_numba.env import APIUsageError


class LSTM(nn.Module):
    """A recurrent policy: ``policy`` with an LSTM (long short-term memory) between its hidden layers and its outputs.

    The state is zero where an episode begins, and stands still where a row is masked out: it waits for its turn, or is
    out of the game. Gradients go back to the beginning of a rollout and no further.

    Args:
        policy: a module with ``encode_observations`` and ``decode_actions``, and ``hidden_size`` features between them.

    Source: Hochreiter & Schmidhuber (1997); PufferLib 3's LSTMWrapper; weights begin as in CleanRL's
    ``ppo_atari_lstm.py``.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        if not (hasattr(policy, "encode_observations") and getattr(policy, "shared", True)):
            raise APIUsageError(
                "LSTM() needs a policy with encode_observations and decode_actions, and one trunk for both outputs: of "
                "MLP, shared=True."
            )
        self.policy = policy
        self.squash = bool(getattr(policy, "squash", False))
        self.hidden_size = int(policy.hidden_size)
        self.cell = nn.LSTMCell(self.hidden_size, self.hidden_size)
        for name, parameter in self.cell.named_parameters():
            nn.init.zeros_(parameter) if "bias" in name else nn.init.orthogonal_(parameter, 1.0)

    @property
    def encoder(self) -> nn.Module | None:
        """The policy's own, if it has one."""
        return getattr(self.policy, "encoder", None)

    def initial_state(self, rows: int) -> Tensor:
        """What an episode begins with, for the hidden state and that of the cell: zeros ``(2, rows, hidden_size)``."""
        return torch.zeros((2, rows, self.hidden_size), device=self.cell.weight_hh.device)

    def forward_eval(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: action parameters and values of ``observations (rows, *shape)``, and the next state."""
        state = torch.stack(self.cell(self.policy.encode_observations(observations), (state[0], state[1])))
        return *self._decode(state[0], observations), state

    def forward(self, observations: Tensor, state: Tensor, acts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Many steps, as in training.

        Args:
            observations: ``(steps, rows, *shape)``.
            state: ``(2, rows, hidden_size)``, before the first step.
            acts: ``(steps, rows)`` bool; the state of a row that does not act stands still.
            ends: ``(steps, rows)`` bool: whether the row's episode ends in the step.

        Returns:
            Action parameters and values, ``(steps * rows, ...)``.
        """
        flat = observations.flatten(0, 1)
        features = self.policy.encode_observations(flat).unflatten(0, observations.shape[:2])
        all_act = bool(acts.all())
        goes_on = (~ends).to(features.dtype)[:, :, None]
        h, c = state
        outputs = []
        for x, act, on, any_ends in zip(features, acts[:, :, None], goes_on, ends.any(1).tolist(), strict=True):
            new_h, new_c = self.cell(x, (h, c))
            outputs.append(new_h)
            h, c = (new_h, new_c) if all_act else (torch.where(act, new_h, h), torch.where(act, new_c, c))
            if any_ends:
                h, c = h * on, c * on
        return self._decode(torch.cat(outputs), flat)

    def _decode(self, hidden: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        output, values = self.policy.decode_actions(hidden)
        params = action_params(output)
        mask_actions = getattr(self.policy, "mask_actions", None)
        return (params if mask_actions is None else mask_actions(params, observations)), values
