"""The default policy for observations that are Dicts, Tuples, numbers or texts: its features, and learning."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_numba import pufferl, vector
from puffer_numba.distributions.actions import action_distribution, seed_stream
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.env import APIUsageError
from puffer_numba.models.encoders import EMBEDDING_SIZE, BoxEncoder, StructuredEncoder, make_encoder
from puffer_numba.models.mlp import MLP
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy
from puffer_numba.spaces.observations import ObservationLayout, action_masks
from puffer_numba.wrappers import FrameStack, NormalizeObservation
from tests.helpers.gym_envs import Parts
from tests.helpers.spaces import EVERY_DTYPE, emulated, sampled, spaces
from tests.helpers.trainer_envs import Riddle
from tests.helpers.training import make_trainer, same_weights, weights

MINIGRID = "gym:minigrid:MiniGrid-Empty-5x5-v0"


def env_of(space: Any) -> Any:
    """What a policy asks an environment with this observation space."""
    flat_space = ObservationLayout(space).flat_space
    return SimpleNamespace(
        single_observation_space=flat_space, single_action_space=Discrete(2), emulated=emulated(space)
    )


def features(space: Any, *observations: Any) -> Any:
    """Of some observations of ``space``."""
    layout = ObservationLayout(space)
    flat = np.zeros((len(observations), *layout.flat_space.shape), layout.flat_space.dtype)
    for row, observation in zip(flat, observations, strict=True):
        layout.writer(row)(observation)
    encoder = StructuredEncoder(emulated(space))
    found = encoder(torch.from_numpy(flat))
    assert found.shape == (len(observations), encoder.num_features)
    return found


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (Discrete(4, start=-1), 1, [0, 0, 1, 0]),
        (MultiDiscrete([2, 3], start=[0, 5]), np.array([1, 5]), [0, 1, 0, 1, 0, 0]),
        (MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
        (Text(3, min_length=0, charset="ab"), "ba", [0, 1, 0, 1, 0, 0, 0, 0, 1]),  # a, b, and past the end
        (Tuple([Box(-5, 5, (2,), np.float64), Discrete(2)]), (np.array([0.5, -3]), 1), [0.5, -3, 0, 1]),
        (Tuple([Discrete(2), Box(0, 4, (1, 2), np.uint8)]), (1, np.array([[4, 2]], np.uint8)), [1, 0.5, 0, 1]),
        (OneOf([Discrete(2), Box(0, 9, (2,))]), (1, np.array([3, 4], np.float32)), [3, 4, 0, 1, 1, 0]),
        (OneOf([Discrete(2, start=3), Box(0, 9, (2,))]), (1, np.array([3, 4], np.float32)), [3, 4, 0, 1, 0, 0]),
    ],
    ids=str,
)
def test_features(space: Any, observation: Any, expected: Any) -> None:
    assert features(space, observation)[0].tolist() == expected


def test_many_values_are_embedded_and_very_many_are_numbers() -> None:
    found = features(Discrete(500), 7, 7, 8)
    assert found.shape == (3, EMBEDDING_SIZE)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert features(MultiDiscrete([300, 2]), np.array([299, 1])).shape == (1, 2 * EMBEDDING_SIZE)
    absent = StructuredEncoder(emulated(Discrete(300, start=5)))(torch.zeros(2, 1, dtype=torch.int64))
    assert torch.isfinite(absent).all()
    torch.testing.assert_close(features(Discrete(10**6), 250_000), torch.tensor([[0.25]]), atol=1e-5, rtol=0)


@settings(max_examples=60, deadline=None)
@given(space=spaces, seed=st.integers(0, 100))
def test_any_space_gives_finite_features(space: Any, seed: int) -> None:
    env = env_of(space)
    policy = MLP(env, hidden_size=8, num_layers=1)
    params, values = policy(torch.from_numpy(sampled(space, 3, seed)))
    assert params.shape == (3, 2)
    assert values.shape == (3,)
    assert torch.isfinite(params).all()
    assert torch.isfinite(values).all()


def test_boxes_need_no_encoder_of_their_own() -> None:
    for space in (Box(0, 255, (2, 2), np.uint8), Box(-1, 1, (3,)), Dict(a=Box(-1, 1, (3,)), b=Box(-1, 1, (1,)))):
        assert isinstance(make_encoder(env_of(space)), BoxEncoder)
    for space in (Discrete(3), Text(3), Dict(a=Box(-1, 1, (3,)), b=Box(-1, 1, (1,), np.float64)), MultiBinary(2)):
        assert isinstance(make_encoder(env_of(space)), StructuredEncoder)


@pytest.mark.slow
def test_policies_compile() -> None:
    for space in (EVERY_DTYPE, Box(0, 255, (2, 2), np.uint8), Box(-1, 1, (3,))):
        env = env_of(space)
        policy = MLP(env, hidden_size=8, normalize=True)
        torch.compiler.reset()
        compiled = torch.compile(policy, backend="aot_eager", fullgraph=True)
        for rows in (2, 5):
            observations = torch.from_numpy(sampled(space, rows))
            torch.testing.assert_close(compiled(observations), policy(observations))
        compiled(observations)[1].sum().backward()


# ---------------------------------------------------------------------- normalization

NUMBERS = Dict(speed=Box(-1000, 1000, (2,), np.float32), gear=Discrete(3), level=Box(0, 1000, (), np.float64))


def test_numbers_are_normalized_and_choices_are_not() -> None:
    observations = torch.from_numpy(sampled(NUMBERS, 500))
    encoder = StructuredEncoder(emulated(NUMBERS), normalize=True)
    encoder.update(observations)
    found = encoder(observations)
    torch.testing.assert_close(found[:, :3].mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[:, :3].std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert set(found[:, 3:].unique().tolist()) == {0, 1}
    nothing = StructuredEncoder(emulated(Discrete(3)), normalize=True)
    nothing.update(torch.zeros(2, 1, dtype=torch.int64))
    assert nothing.normalizer is None


def test_a_policy_that_cannot_normalize_them_is_refused() -> None:
    class Own(torch.nn.Linear):
        """A policy without an encoder."""

    with (
        vector.make(Riddle, num_envs=2, backend="serial") as env,
        pytest.raises(
            APIUsageError, match=r"train\.normalize_observations is on, but .* flattened to uint8.*Structured"
        ),
    ):
        make_trainer(env, {"train.normalize_observations": True}, Own(1, 2))


# ---------------------------------------------------------------------- training


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [False, True])
def test_it_learns_from_every_kind_of_observation(normalize: bool) -> None:
    overrides = {
        "train.total_timesteps": 64 * 16 * 90,
        "train.learning_rate": 5e-3,
        "train.gamma": 0.0,
        "train.normalize_observations": normalize,
        "policy.hidden_size": 64,
    }
    with vector.make(Riddle, num_envs=64, backend="serial") as env:
        trainer = make_trainer(env, overrides).learn()
    assert trainer.statistics.mean_return > 0.9


@pytest.mark.slow
def test_it_learns_minigrid_and_its_checkpoint_is_evaluated(tmp_path: Any) -> None:
    overrides = {
        "train.total_timesteps": 60_000,
        "train.target_return": 0.8,
        "train.data_dir": str(tmp_path),
        "log.tensorboard": False,
        "train.normalize_observations": True,
        "env.num_envs": 32,
        "vec.num_workers": 2,
    }
    trainer = pufferl.train(MINIGRID, overrides)
    assert trainer.solved
    result = pufferl.eval(MINIGRID, episodes=32, data_dir=tmp_path)
    assert result.returns.mean() > 0.7


@pytest.mark.parametrize(("kind", "size"), [("FrozenLake", 16), ("Taxi", EMBEDDING_SIZE)])
def test_a_lone_number_is_one_hot_or_embedded(kind: str, size: int) -> None:
    name = "gym:" + max(name for name in gymnasium.registry if name.startswith(f"{kind}-v"))
    config = load_config(name, {"env.num_envs": 4, "vec.num_workers": 1, "train.total_timesteps": 4 * 64})
    with load_env(config) as env:
        trainer = PuffeRL(config, env, load_policy(config, env)).learn()
    assert trainer.policy.encoder.num_features == size
    assert trainer.global_step == 4 * 64


def test_checkpoints_hold_the_statistics(tmp_path: Any) -> None:
    overrides = {"train.normalize_observations": True, "train.data_dir": str(tmp_path)}
    with vector.make(Riddle, num_envs=16, backend="serial") as env:
        trainer = make_trainer(env, overrides).learn()
        resumed = make_trainer(env, overrides)
        with pytest.warns(UserWarning, match="start new episodes"):
            resumed.load_checkpoint(trainer.save_checkpoint())
    assert trainer.policy.encoder.normalizer.count == trainer.global_step
    assert same_weights(weights(trainer), weights(resumed))


@pytest.fixture
def connect_four():
    with PettingZooPufferEnv(env_creator=vector.env_creator("pettingzoo:classic/connect_four-v3")) as env:
        yield env


def test_illegal_actions_have_probability_zero(connect_four):
    """Connect Four ends with a reward of -1 for who drops a piece into a full column; nobody ever does."""
    env = connect_four
    env.reset(seed=0)
    policy, distribution, stream = MLP(env), action_distribution(env.single_action_space), seed_stream(0)
    actions, log_probs = np.zeros(2, np.int64), np.zeros(2, np.float32)
    full_columns = 0
    for _ in range(400):
        masks = env.observations.view(env.obs_dtype)[:, 0]["action_mask"].astype(bool)
        params, _ = policy(torch.from_numpy(env.observations))
        stream[1] += np.uint64(1)
        distribution.sample(params, stream, actions, log_probs)
        turn = masks.any(axis=1)
        assert masks[turn, actions[turn]].all()
        full_columns += (~masks[turn]).sum()
        probabilities = params.softmax(-1).detach().numpy()
        assert (probabilities[turn][~masks[turn]] == 0).all()
        own_log_probs, entropy = distribution.log_prob_entropy(params, torch.from_numpy(actions))
        np.testing.assert_allclose(own_log_probs.detach(), log_probs, atol=1e-5)
        assert torch.isfinite(entropy).all()
        env.step(actions)
    assert full_columns > 20


MASK_DTYPES = (np.bool_, np.int8, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64)


def _mask(size, dtype=np.float32):
    return Box(0, 1, (size,), dtype)


@pytest.mark.parametrize("other", [np.float32, np.int64], ids=["float32", "int64"])
@pytest.mark.parametrize("dtype", [*MASK_DTYPES, None], ids=[*(d.__name__ for d in MASK_DTYPES), "MultiBinary"])
@pytest.mark.parametrize("nesting", ["alone", "beside", "deep", "in a Tuple"])
def test_a_mask_counts_in_every_dtype_and_nesting(nesting, dtype, other):
    mask = MultiBinary(2) if dtype is None else _mask(2, dtype)
    with_mask = Dict(action_mask=mask, position=Box(-1, 1, (3,), other))
    space = {
        "alone": Dict(action_mask=mask),
        "beside": with_mask,
        "deep": Dict(a=Box(-1, 1, (1,), other), z=Dict(y=with_mask)),
        "in a Tuple": Tuple([Discrete(3), with_mask]),
    }[nesting]
    layout, env = ObservationLayout(space), env_of(space)
    env.observations = flat = np.zeros((2, *layout.flat_space.shape), layout.flat_space.dtype)
    env.num_agents = 2
    for row, legal in zip(flat, np.eye(2), strict=True):
        observation = space.sample()
        inner = {"deep": lambda o: o["z"]["y"], "in a Tuple": lambda o: o[1]}.get(nesting, lambda o: o)(observation)
        inner["action_mask"] = legal.astype(mask.dtype)
        layout.writer(row)(observation)
    params, _ = MLP(env)(torch.from_numpy(flat))
    np.testing.assert_array_equal(params.softmax(-1).detach(), np.eye(2))
    np.testing.assert_array_equal(action_masks(env), np.eye(2))


def test_parts_that_are_no_mask_need_no_structured_encoder():
    assert isinstance(make_encoder(env_of(Dict(mask=_mask(2), position=Box(-1, 1, (3,))))), BoxEncoder)


def test_a_mask_may_be_of_parts():
    env = env_of(Dict(action_mask=Tuple([_mask(2), _mask(3, np.int8)]), position=Box(-1, 1, (3,))))
    env.single_action_space = MultiDiscrete([2, 3])
    layout = ObservationLayout(env.emulated.observation_space)
    flat = np.zeros((1, *layout.flat_space.shape), layout.flat_space.dtype)
    layout.writer(flat[0])(
        {"action_mask": (np.array([0, 1], np.float32), np.array([1, 0, 0], np.int8)), "position": np.zeros(3)}
    )
    first, second = MLP(env)(torch.from_numpy(flat))[0].detach().split([2, 3], -1)
    np.testing.assert_array_equal(first.softmax(-1), [[0, 1]])
    np.testing.assert_array_equal(second.softmax(-1), [[1, 0, 0]])
    env.single_action_space = MultiDiscrete([3, 2])
    with pytest.raises(APIUsageError, match=r"has 2 \+ 3 elements, but MultiDiscrete.* has 3 \+ 2 choices"):
        MLP(env)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            Dict(a=Dict(action_mask=_mask(2)), b=Dict(action_mask=_mask(2))),
            r"several action masks, .*\['a'\].* and .*\['b'\]",
        ),
        (OneOf([Dict(action_mask=_mask(2)), Discrete(2)]), "is a part of a OneOf"),
        (Dict(action_mask=Text(2), x=_mask(2)), "is a Text"),
        (Dict(action_mask=Box(-np.inf, 0, (2,)), x=_mask(2)), "is never above 0.* 1 where it is legal"),
        (Dict(action_mask=_mask(3), x=_mask(2)), r"\['action_mask'\] has 3 elements, but Discrete\(2\) has 2 choices"),
        (Dict(action_mask=Discrete(2)), r"has 1 elements, but Discrete\(2\) has 2 choices"),
    ],
)
def test_a_mask_that_cannot_be_used_is_refused(space, message):
    with pytest.raises(APIUsageError, match=message):
        MLP(env_of(space))


@pytest.mark.parametrize(
    "wrap", [NormalizeObservation, lambda env: FrameStack(env, 2)], ids=["NormalizeObservation", "FrameStack"]
)
def test_no_wrapper_hides_a_mask(wrap):
    space = Dict(action_mask=_mask(2), position=_mask(3))
    with (
        vector.make(lambda: Parts(space, Discrete(2)), num_envs=2, backend="serial") as env,
        pytest.raises(APIUsageError, match="would hide the action mask"),
    ):
        wrap(env)


def test_illegal_actions_get_no_gradient(connect_four):
    connect_four.reset(seed=0)
    rows = torch.from_numpy(connect_four.observations.copy())
    rows.numpy().view(connect_four.obs_dtype)["action_mask"][...] = [1, 0, 1, 1, 0, 1, 1]
    policy = MLP(connect_four, shared=False)
    log_prob, entropy = action_distribution(connect_four.single_action_space).log_prob_entropy(
        policy(rows)[0], torch.tensor([0, 2])
    )
    (log_prob + entropy).sum().backward()
    gradient = policy.actor[-1].bias.grad
    assert (gradient[[1, 4]] == 0).all()
    assert (gradient[[0, 2, 3, 5, 6]] != 0).all()
