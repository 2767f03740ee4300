"""The kernel that computes the discrete loss's gradients, against torch's derivative of the definition."""

from __future__ import annotations

import pytest
import torch
from gymnasium.spaces import Discrete, MultiDiscrete

from puffer_numba.config import TrainConfig
from puffer_numba.distributions.actions import action_distribution
from puffer_numba.train.loss import Steps, discrete_backward, normalize, ppo_loss


def problem(space, seed, rows=100):
    generator = torch.Generator().manual_seed(seed)
    distribution = action_distribution(space)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    columns = [torch.randint(0, int(n), (rows,), generator=generator) for n in distribution.sizes]
    batch = Steps(
        actions=torch.stack(columns, -1).reshape(rows, *distribution.shape),
        old_log_probs=-normal(rows).abs() * len(columns),
        old_values=normal(rows),
        advantages=3 * normal(rows) + 1,
        returns=normal(rows),
    )
    params = normal(rows, distribution.num_params).requires_grad_()
    values = normal(rows).requires_grad_()
    return distribution, batch, params, values


@pytest.mark.parametrize("space", [Discrete(2), Discrete(7), MultiDiscrete([2, 3, 4])], ids=str)
@pytest.mark.parametrize("settings", [{}, {"clip_vloss": True}, {"clip_coef": 0.05}], ids=str)
@pytest.mark.parametrize("rows", [1, 100])
def test_kernel_and_definition_agree(space, settings, rows):
    config = TrainConfig(**{"ent_coef": 0.1, "vf_coef": 0.7, **settings})
    for seed in range(3):
        distribution, batch, params, values = problem(space, seed, rows)
        log_probs, entropy = distribution.log_prob_entropy(params, batch.actions)
        loss, expected = ppo_loss(config, log_probs, values, entropy, batch)
        by_torch = torch.autograd.grad(loss, [params, values])
        order = torch.randperm(rows + 5)[:rows]  # where the minibatch's steps are in the rollout
        rollout = Steps(*(x.new_zeros(rows + 5, *x.shape[1:]).index_copy(0, order, x) for x in batch))
        record = discrete_backward(config, distribution, params, values, rollout, order, batch.advantages)
        torch.testing.assert_close(params.grad, by_torch[0], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(values.grad, by_torch[1], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(record, expected, atol=1e-5, rtol=1e-4)


def test_advantages_are_normalized_as_by_torch():
    x = torch.randn(512, generator=torch.Generator().manual_seed(0)) * 3 + 100
    expected = (x.double() - x.double().mean()) / (x.double().std() + 1e-8)
    normalize(x.numpy())
    torch.testing.assert_close(x, expected.float(), atol=1e-5, rtol=1e-5)
    alike = torch.full((4,), 7.0)
    normalize(alike.numpy())
    assert alike.tolist() == [0, 0, 0, 0]
