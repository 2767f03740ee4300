"""Running mean and standard deviation of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from puffer_numba.wrappers.moments import merged

Gather = Callable[[Tensor], Sequence[Tensor]]
"""From a tensor of this process to those of all processes that train together."""


def only_here(tensor: Tensor) -> Sequence[Tensor]:
    """The `Gather` of a process that trains alone."""
    return (tensor,)


class RunningNormalizer(nn.Module):
    """Shifts and scales tensors by their running mean and standard deviation, and clips them to 10."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], device: Any = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, device=device))
        self.register_buffer("var", torch.ones(shape, device=device))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64, device=device))

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized float32 observations, of the same shape."""
        return ((observations.float() - self.mean) * torch.rsqrt(self.var + 1e-8)).clamp_(-10, 10)

    @torch.no_grad()
    def update(self, observations: Tensor, gather: Gather = only_here) -> None:
        """Fold ``observations (rows, *shape)`` of all processes into the statistics (Chan, Golub & LeVeque, 1979)."""
        batch, n = observations.double(), len(observations)
        mean = batch.mean(0) if n else torch.zeros_like(self.mean, dtype=torch.float64)
        var = batch.var(0, correction=0) if n else torch.zeros_like(mean)
        for moments in gather(torch.stack([mean, var, torch.full_like(mean, n)])):
            self._fold(moments[0], moments[1], moments[2].flatten()[0] if moments[2].numel() else moments[2].sum())

    def _fold(self, mean: Tensor, var: Tensor, n: Tensor) -> None:
        if n == 0:
            return
        new_mean, new_var = merged(self.mean, self.var, self.count, mean, var, n)
        self.mean.copy_(new_mean)
        self.var.copy_(new_var)
        self.count += n
