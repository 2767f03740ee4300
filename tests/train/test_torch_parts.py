"""Parts of torch are torch's, bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from puffer_numba.train import torch_parts
from puffer_numba.train.torch_parts import Adam, backward


def test_adam() -> None:
    networks, optimizers = [], []
    for kind in (Adam, torch.optim.Adam):
        torch.manual_seed(0)
        networks.append(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)))
        optimizers.append(kind(networks[-1].parameters(), 1e-2, betas=(0.8, 0.99), eps=1e-6, fused=True))
    for step in range(20):
        inputs = torch.randn(16, 3)
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad(set_to_none=True)
            network(inputs).square().mean().backward()
            optimizer.param_groups[0]["lr"] = 1e-2 / (1 + step)
            optimizer.step()
        if step == 10:  # each goes on with the other's state
            states: list[Any] = [optimizer.state_dict() for optimizer in optimizers]
            for optimizer, state in zip(optimizers, reversed(states), strict=True):
                optimizer.load_state_dict(state)
    for ours, theirs in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert isinstance(optimizers[0], torch.optim.Adam)
    ours, theirs = (optimizer.state_dict()["state"] for optimizer in optimizers)
    assert all(torch.equal(ours[k][name], theirs[k][name]) for k in theirs for name in theirs[k])


def test_backward() -> None:
    assert torch_parts._run_backward is not None, "torch has another name for it: see torch_parts"
    network = nn.Linear(4, 3)
    found = []
    for run in (backward, torch.autograd.backward):
        network.zero_grad()
        torch.manual_seed(0)
        for _ in range(2):  # gradients add up
            outputs = network(torch.randn(8, 4))
            run([outputs, outputs.sum(1)], [torch.randn(8, 3), torch.randn(8)])
        found.append([p.grad.clone() for p in network.parameters()])  # type: ignore[union-attr]
    assert all(map(torch.equal, *found))
