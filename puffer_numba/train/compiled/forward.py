"""The policy's forward pass as compiled code, while experience is collected."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_numba.models.mlp import MLP
from puffer_numba.train.compiled.blas import one_thread
from puffer_numba.train.compiled.network import layer_table, new_network, trained
from puffer_numba.train.compiled.update import evaluate

_ALL_LEGAL = np.ones((0, 0), np.bool_)


class CompiledForward:
    """In the place of ``policy.forward_eval``, without gradients.

    Args:
        policy: one that `puffer_numba.train.compiled.learner.why_not` has nothing to say of.
        num_logits: of its outputs.
    """

    def __init__(self, policy: MLP, num_logits: int) -> None:
        self._policy, self._num_logits, self._parameters = policy, num_logits, trained(policy)
        self._network, self._addresses = new_network(policy), list[int]()

    def __call__(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(rows, num_logits)`` and values ``(rows,)`` of ``observations (rows, *shape)``."""
        addresses = [parameter.data_ptr() for parameter in self._parameters]
        if addresses != self._addresses:  # tensors have been replaced
            self._network, self._addresses = self._network._replace(layers=layer_table(self._policy)), addresses
        features, legal = features_of(self._policy, observations)
        logits, values = torch.empty(len(observations), self._num_logits), torch.empty(len(observations))
        with one_thread():
            evaluate(features, legal, self._network, logits.numpy(), values.numpy())
        return logits, values


@torch.no_grad()
def features_of(policy: MLP, observations: Tensor) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features ``(rows, features)``, and which actions are legal ``(rows, logits)``; ``(0, 0)`` where all are."""
    encoder: Any = policy.encoder
    features = encoder(observations).numpy()
    return features, encoder.action_mask(observations).numpy() if policy.num_masked else _ALL_LEGAL
