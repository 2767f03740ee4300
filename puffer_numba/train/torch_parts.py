"""Parts of torch without its compiler, which they import before they do anything: a second, longer than many a run.

Leans on names within torch: those under which decorators keep the methods that they wrap, and ``_engine_run_backward``.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.autograd.graph
from torch import Tensor

_run_backward: Any = getattr(torch.autograd.graph, "_engine_run_backward", None)


class Adam(torch.optim.Adam):
    """torch's Adam, bit for bit. Its methods are those that torch wraps."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def backward(tensors: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """`torch.autograd.backward`: add to the gradients of all parameters.

    Args:
        tensors: that were computed from these.
        gradients: with respect to each tensor, of its shape.
    """
    if _run_backward is None:
        torch.autograd.backward(tensors, gradients)
    else:
        options = {"allow_unreachable": True, "accumulate_grad": True}
        _run_backward(tuple(tensors), tuple(gradients), False, False, (), **options)
