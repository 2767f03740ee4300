"""Networks: shapes, sizes, dtypes, and the running normalizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import puffer_numba
from puffer_numba.env import APIUsageError
from puffer_numba.models.encoders import BoxEncoder, ImageEncoder
from puffer_numba.models.mlp import MLP
from puffer_numba.models.normalizer import RunningNormalizer
from tests.helpers.training import CARTPOLE, env_spaces


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize(
    ("action", "num_params"),
    [(Discrete(3), 3), (MultiDiscrete([2, 3]), 5), (Box(-1, 1, (2,), np.float32), 4)],
    ids=["discrete", "multidiscrete", "box"],
)
def test_outputs_have_the_promised_shapes(action, num_params, shared, activation):
    env = env_spaces(Box(-1, 1, (2, 3), np.float32), action)
    policy = MLP(env, hidden_size=16, num_layers=1, shared=shared, activation=activation)
    for forward in (policy.forward, policy.forward_eval):
        params, values = forward(torch.zeros(7, 2, 3))
        assert params.shape == (7, num_params)
        assert values.shape == (7,)
        assert params.dtype == values.dtype == torch.float32


def test_pufferlibs_default_size():
    policy = MLP(CARTPOLE, hidden_size=128, num_layers=1, shared=True)
    assert sum(p.numel() for p in policy.parameters()) == 1027


@pytest.mark.parametrize("shared", [True, False])
def test_first_policy_is_almost_uniform_and_values_are_not_squashed(shared):
    torch.manual_seed(0)
    params, values = MLP(CARTPOLE, shared=shared)(torch.randn(256, 4))
    assert params.abs().max() < 0.1
    assert values.std() > 0.1


@pytest.mark.parametrize(
    ("cnn", "shape", "features"),
    [
        ("small", (10, 10, 4), 1024),
        ("nature", (84, 84, 3), 3136),
        ("nature", (4, 84, 84), 3136),
        ("impala", (64, 64, 3), 2048),
    ],
)
def test_images_are_seen_by_convolutions(cnn, shape, features):
    space = Box(0, 255, shape, np.uint8)
    policy = MLP(env_spaces(space, Discrete(3)), num_layers=1, cnn=cnn)
    assert policy.encoder.num_features == features
    params, values = policy(torch.from_numpy(np.stack([space.sample(), space.sample()])))
    assert params.shape == (2, 3)
    assert values.shape == (2,)


def test_channels_may_be_first_or_last():
    pixels = torch.randint(0, 255, (5, 40, 40, 3), dtype=torch.uint8)
    last, first = (
        MLP(env_spaces(Box(0, 255, shape, np.uint8), Discrete(2)), num_layers=1) for shape in ((40, 40, 3), (3, 40, 40))
    )
    first.load_state_dict(last.state_dict())
    torch.testing.assert_close(first(pixels.permute(0, 3, 1, 2))[0], last(pixels)[0])


def test_convolutions_begin_at_36_pixels():
    encoders = [
        MLP(env_spaces(Box(0, 255, (side, side, 3), np.uint8), Discrete(2)), cnn=cnn).encoder
        for side, cnn in ((35, "auto"), (36, "auto"), (36, "none"))
    ]
    assert [type(encoder) for encoder in encoders] == [BoxEncoder, ImageEncoder, BoxEncoder]
    with pytest.raises(APIUsageError, match=r"policy.cnn 'nature' needs images of at least 36 x 36; these are 10 x 12"):
        MLP(env_spaces(Box(0, 255, (10, 12, 3), np.uint8), Discrete(2)), cnn="nature")


def test_integers_are_scaled_by_their_bound():
    policy = MLP(env_spaces(Box(0, 255, (3,), np.uint8), Discrete(2)))
    reference = MLP(env_spaces(Box(0, 1, (3,), np.float32), Discrete(2)))
    reference.load_state_dict(policy.state_dict())
    pixels = torch.tensor([[0, 128, 255]], dtype=torch.uint8)
    torch.testing.assert_close(policy(pixels)[0], reference(pixels.float() / 255)[0])


def test_unbounded_integers_and_booleans_are_only_cast():
    largest = np.iinfo(np.int64).max
    for space in (Box(-largest, largest, (1,), np.int64), Box(0, 1, (1,), np.bool_)):
        assert MLP(env_spaces(space, Discrete(2))).encoder.scale == 1.0


def test_running_normalizer_has_the_moments_of_all_that_it_saw():
    normalizer = RunningNormalizer((3,))
    data = torch.randn(1000, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 10.0, -3.0])
    for part in data.split([1, 400, 599]):
        normalizer.update(part)
    normalizer.update(data[:0])
    torch.testing.assert_close(normalizer.mean, data.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(normalizer.var, data.var(0, correction=0), atol=1e-4, rtol=1e-3)
    normalized = normalizer(data)
    torch.testing.assert_close(normalized.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    assert normalizer(torch.full((1, 3), 1e9)).max() == 10


def test_noise_of_continuous_actions_at_the_start() -> None:
    env = puffer_numba.make("pendulum", jit=False)
    params, _ = MLP(env, log_std=1.5)(torch.zeros(2, 3))
    assert params[:, 1].tolist() == [1.5, 1.5]
