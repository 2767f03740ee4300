"""The kernel that computes the discrete loss's gradients, against torch's derivative of the definition."""

from __future__ import annotations

import pytest
import torch
from gymnasium.spaces import Discrete, MultiDiscrete

from puffer_numba.config import TrainConfig
from puffer_numba.distributions.actions import action_distribution
from puffer_numba.train.loss import discrete_backward, ppo_loss

BATCH, MINIBATCH = 300, 100


def problem(space, seed):
    generator = torch.Generator().manual_seed(seed)
    distribution = action_distribution(space)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    columns = [torch.randint(0, int(n), (BATCH,), generator=generator) for n in distribution.sizes]
    batch = {
        "actions": torch.stack(columns, -1).reshape(BATCH, *distribution.shape),
        "old_log_probs": -normal(BATCH).abs() * len(columns),
        "old_values": normal(BATCH),
        "advantages": 3 * normal(BATCH) + 1,
        "returns": normal(BATCH),
    }
    params = normal(MINIBATCH, distribution.num_params).requires_grad_()
    values = normal(MINIBATCH).requires_grad_()
    rows = torch.randperm(BATCH, generator=generator)[:MINIBATCH]
    return distribution, batch, params, values, rows


@pytest.mark.parametrize("space", [Discrete(2), Discrete(7), MultiDiscrete([2, 3, 4])], ids=str)
@pytest.mark.parametrize("settings", [{}, {"clip_vloss": False}, {"norm_adv": False, "clip_coef": 0.05}], ids=str)
def test_kernel_and_definition_agree(space, settings):
    config = TrainConfig(**{"ent_coef": 0.1, "vf_coef": 0.7, **settings})
    for seed in range(3):
        distribution, batch, params, values, rows = problem(space, seed)
        log_probs, entropy = distribution.log_prob_entropy(params, batch["actions"][rows])
        old = {name: batch[name][rows] for name in batch if name != "actions"}
        loss, expected = ppo_loss(config, log_probs, values, entropy, **old)
        by_torch = torch.autograd.grad(loss, [params, values])
        record = discrete_backward(config, distribution, params, values, batch, rows)
        torch.testing.assert_close(params.grad, by_torch[0], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(values.grad, by_torch[1], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(record, expected, atol=1e-5, rtol=1e-4)


def test_a_minibatch_of_one_row_is_not_normalized():
    config = TrainConfig()
    distribution, batch, params, values, _ = problem(Discrete(3), 0)
    rows = torch.tensor([5])
    record = discrete_backward(config, distribution, params[:1], values[:1], batch, rows)
    assert torch.isfinite(record).all()
    assert torch.isfinite(params.grad).all()
