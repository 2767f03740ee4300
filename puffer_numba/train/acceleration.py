"""What makes large policies faster on a GPU: compilation, CUDA graphs and bfloat16. Small ones need none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from puffer_numba.config import TrainConfig


def accelerate(forward: Callable[..., Any], config: TrainConfig, device: torch.device) -> Callable[..., Any]:
    """``forward`` as the settings want it run; as it is, where they want nothing.

    Args:
        forward: a module, or a method of one, that returns tensors.
        config: ``train.compile`` is a mode of `torch.compile`; "reduce-overhead" and "max-autotune" capture CUDA
            graphs. ``train.precision`` "bfloat16" runs it under `torch.autocast`; what it returns is float32 again.
        device: where it runs.
    """
    if config.compile != "off":
        forward = torch.compile(forward, mode=config.compile)
    if config.precision == "float32":
        return forward

    def in_bfloat16(*args: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16):
            return _float(forward(*args))

    return in_bfloat16


def _float(output: Any) -> Any:
    """Tensors of half the precision, in tuples or alone, as float32."""
    if isinstance(output, Tensor):
        return output.float() if output.dtype == torch.bfloat16 else output
    return tuple(_float(part) for part in output) if isinstance(output, tuple | list) else output
