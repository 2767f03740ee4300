"""The optimizers: Adam, or Muon for the 2-D weights and Adam for the rest."""

from __future__ import annotations

import torch
from torch import nn

from puffer_numba.config import TrainConfig
from puffer_numba.env import APIUsageError
from puffer_numba.train.torch_parts import Adam


def make_optimizer(policy: nn.Module, config: TrainConfig, device: torch.device) -> list[torch.optim.Optimizer]:
    """One optimizer, or two for Muon, over the parameters of ``policy``.

    Raises:
        APIUsageError: the policy has no parameters, or this torch has no Muon.
    """
    params = [p for p in policy.parameters() if p.requires_grad]
    if not params:
        raise APIUsageError(f"{type(policy).__name__} has no parameters to train.")
    if config.optimizer == "adam":
        return [_adam(params, config, device)]
    if not hasattr(torch.optim, "Muon"):
        raise APIUsageError(f"train.optimizer is 'muon', which torch {torch.__version__} lacks; torch 2.9 has it.")
    matrices = [p for p in params if p.ndim == 2]
    rest = [p for p in params if p.ndim != 2]
    # Scaled to updates of Adam's size, so that the same learning rate suits both.
    muon = torch.optim.Muon(matrices, config.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return [muon, _adam(rest, config, device)] if rest else [muon]


def _adam(params: list[nn.Parameter], config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    betas = (config.adam_beta1, config.adam_beta2)
    fused = device.type in ("cpu", "cuda")
    return Adam(params, config.learning_rate, betas=betas, eps=config.adam_eps, fused=fused)


def set_learning_rate(optimizers: list[torch.optim.Optimizer], learning_rate: float) -> None:
    """From the next step on."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
