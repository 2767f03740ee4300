"""PettingZoo environments whose agents have unequal spaces, and those that tell action masks in their infos."""

from __future__ import annotations

import copy
import importlib
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from pettingzoo import ParallelEnv

from puffer_numba import APIUsageError, vector
from puffer_numba.distributions import action_distribution, seed_stream
from puffer_numba.emulation import PettingZooPufferEnv
from puffer_numba.models import MLP
from puffer_numba.spaces import action_masks

pytestmark = pytest.mark.slow  # together: most start processes or train


class Pair(ParallelEnv[str, Any, Any]):
    """Two agents of given spaces, that observe samples of them; ``b`` leaves after two steps, ``a`` after four."""

    metadata = {"name": "pair"}  # noqa: RUF012

    def __init__(self, observations: Any, actions: Any, masks: bool = False) -> None:
        self.possible_agents = ["a", "b"]
        self.observation_spaces = dict(zip("ab", observations, strict=True))
        self.action_spaces = dict(zip("ab", actions, strict=True))
        self.masks, self.taken = masks, []

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def _look(self) -> tuple[Any, Any]:
        self.seen = {agent: self.observation_spaces[agent].sample() for agent in self.agents}
        mask = np.arange(3) != self.time % 3
        return self.seen, {agent: {"action_mask": mask} if self.masks else {} for agent in self.agents}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            for space in self.observation_spaces.values():
                space.seed(seed)
        self.agents, self.time = ["a", "b"], 0
        return self._look()

    def step(self, actions: Any) -> Any:
        self.taken.append(actions)
        for agent, action in actions.items():
            assert self.action_spaces[agent].contains(action), action
        acted, self.time = self.agents, self.time + 1
        observations, infos = self._look()
        self.agents = ["a", "b"] if self.time < 2 else ["a"] if self.time < 4 else []
        ended = {agent: agent not in self.agents for agent in acted}
        return observations, dict.fromkeys(acted, 1.0), ended, dict.fromkeys(acted, False), infos


def speaker_and_listener() -> Pair:
    return Pair([Box(1, 2, (3,)), Box(1, 2, (5,))], [Discrete(2), Discrete(4, start=1)])


def unequal_dicts() -> Pair:
    one = Dict(x=Box(1, 2, (2, 1)), n=Tuple([Discrete(3, start=1)]), action_mask=MultiBinary(5))
    other = Dict(x=Box(1, 2, (1, 3)), word=Text(3))
    return Pair([one, other], [MultiDiscrete([2, 3]), MultiDiscrete([3])])


def test_rows_are_padded_and_masked() -> None:
    env = PettingZooPufferEnv(speaker_and_listener())
    env.reset(seed=0)
    seen = env.env.seen
    assert env.emulated.observation_space == Dict(observation=Box(*_bounds(), dtype=np.float32), action_mask=_mask(5))
    view = env.observations.view(env.obs_dtype)[:, 0]
    assert view["observation"].tolist() == [[*seen["a"].tolist(), 0, 0], seen["b"].tolist()]
    assert view["action_mask"].tolist() == [[1, 1, 0, 0, 0], [0, 1, 1, 1, 1]]
    assert env.single_action_space == Discrete(5)
    assert env.action_space == MultiDiscrete([2, 4], start=[0, 1])
    assert (env.action_space("a"), env.action_space("b")) == (Discrete(2), Discrete(4, start=1))
    assert env.observation_space("a") == Box(1, 2, (3,))
    env.step(np.array([1, 4]))
    assert env.env.taken == [{"a": 1, "b": 4}]
    env.step(np.array([0, 1]))  # the last one of b
    assert view["observation"][1].tolist() == [0] * 5
    assert env.final_observations.view(env.obs_dtype)[1, 0]["observation"].tolist() == env.env.seen["b"].tolist()
    env.step(np.array([1, 0]))  # what b does not have, but it is gone
    assert env.env.taken[-1] == {"a": 1}


def _bounds() -> tuple[Any, Any]:
    return np.array([1, 1, 1, 0, 0], np.float32), np.full(5, 2, np.float32)


def _mask(size: int) -> Box:
    return Box(0, 1, (size,), np.int8)


def filled(observation: Any) -> Any:
    """One of `unequal_dicts` or others, with everything allowed where the mask allows nothing."""
    if "action_mask" not in observation:
        return observation
    parts = np.split(observation["action_mask"], [2])
    return {**observation, "action_mask": np.concatenate([part if part.any() else part + 1 for part in parts])}


def test_masks_of_their_own_are_widened() -> None:
    env = PettingZooPufferEnv(unequal_dicts())
    env.reset(seed=0)
    assert env.emulated.observation_space["action_mask"] == _mask(6)
    assert env.single_action_space == MultiDiscrete([3, 3])
    seen = env.env.seen
    first, second = (env.unflatten(row) for row in env.observations)
    own = filled(seen["a"])["action_mask"]
    assert first["action_mask"].tolist() == [*own[:2], 0, *own[2:]]
    assert second["action_mask"].tolist() == [1, 1, 1, 1, 0, 0]
    assert first["x"].tolist() == [[seen["a"]["x"][0, 0], 0, 0], [seen["a"]["x"][1, 0], 0, 0]]
    assert (first["word"], second["word"]) == ("", seen["b"]["word"])
    assert (first["n"], second["n"]) == (seen["a"]["n"], (0,))


@pytest.mark.parametrize("make", [speaker_and_listener, unequal_dicts])
def test_by_dicts_everybody_has_its_own(make: Any) -> None:
    env = PettingZooPufferEnv(make())
    observations, _ = env.reset(seed=1)
    for number in range(4):
        parts = env.agent_parts.items()
        for agent, part in parts:
            assert observations[agent].shape == env.observation_space(agent).shape
            if agent in env.env.seen:
                flat = np.zeros_like(observations[agent])
                part.observation.layout.writer(flat)(filled(env.env.seen[agent]))
                assert observations[agent].tolist() == flat.tolist()
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        observations, *_ = env.step(actions)
        assert all(np.array_equal(env.env.taken[number][agent], action) for agent, action in actions.items())
    assert not env.agents
    observations, _ = env.reset()
    assert [name for name, _ in observations.items()] == ["a", "b"]
    assert [row.shape for row in observations.values()] == [env.observation_space(agent).shape for agent in "ab"]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([2, 1]), r"action of 'a' is 2, outside its own Discrete\(2\); Discrete\(5\) is that of all agents"),
        ({"a": 2, "b": 1}, r"agent 'a': action of row 0 is 2, outside Discrete\(2\)"),
        ({"a": 1, "b": [1]}, r"the action of 'b' has shape \(1,\); expected Discrete\(4, start=1\)"),
    ],
)
def test_an_action_that_an_agent_does_not_have(actions: Any, message: str) -> None:
    env = PettingZooPufferEnv(speaker_and_listener())
    env.reset()
    with pytest.raises(APIUsageError, match=message):
        env.step(actions)
    assert env.env.taken == []


@pytest.mark.parametrize("options", [{"backend": "serial"}, {"num_workers": 2, "batch_size": 2}])
def test_backends_know_who_has_what(options: dict[str, Any]) -> None:
    with vector.make(speaker_and_listener, num_envs=4, **options) as env:
        assert env.action_space == MultiDiscrete([2, 4] * 4, start=[0, 1] * 4)
        env.async_reset(0)
        rows = env.recv()[5]
        actions = np.tile([1, 4], len(rows) // 2)
        actions[-2] = 2
        with pytest.raises(
            APIUsageError, match=rf"action of row {rows[-2]} is 2, which 'a' does not have.*Nothing was"
        ):
            env.send(actions)
        actions[-2] = 0
        env.send(actions)
        rewards = env.recv()[1]
        if not rewards.any():  # the first observations of the other half
            env.send(actions)
            rewards = env.recv()[1]
        assert rewards.tolist() == [1] * len(rows)


def test_copies_have_rows_of_their_own() -> None:
    env = PettingZooPufferEnv(unequal_dicts())
    env.reset(seed=0)
    for again in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        before = env.observations.copy()
        again.step(env.action_space.sample())
        assert np.array_equal(env.observations, before)
        assert not np.array_equal(again.observations, before)


def test_boxes_are_clipped_and_what_is_left_over_is_ignored() -> None:
    env = PettingZooPufferEnv(Pair([Box(0, 1, (2,))] * 2, [Box(-1, 1, (2,)), Box(-2, 2, (3,))]))
    assert env.single_observation_space.shape == (2,)
    env.reset()
    env.step(np.array([[0.5, 2, 2], [2, 0.5, -2]], np.float32))
    assert {agent: action.tolist() for agent, action in env.env.taken[0].items()} == {"a": [0.5, 1], "b": [2, 0.5, -2]}


def test_policies_choose_what_there_is() -> None:
    """Environments of `Pair` refuse anything else; their samples of masks allow nothing now and then."""
    for make in (speaker_and_listener, unequal_dicts):
        with vector.make(make, num_envs=8, backend="serial") as env:
            policy, stream = MLP(env, hidden_size=8), seed_stream(0)
            distribution = action_distribution(env.single_action_space)
            storage = distribution.storage(env.num_agents)
            observations, _ = env.reset(seed=0)
            for step in range(20):
                stream[1] = step
                with torch.no_grad():
                    params, _ = policy(torch.from_numpy(observations))
                distribution.sample(params, stream, *storage)
                actions = np.asarray(distribution.to_env(storage[0]))
                observations = env.step(actions)[0]


@pytest.mark.parametrize("name", ["simple_speaker_listener_v4", "simple_adversary_v3", "simple_world_comm_v3"])
@pytest.mark.parametrize("continuous", [False, True])
def test_as_the_environment_itself(name: str, continuous: bool) -> None:
    module = pytest.importorskip(f"mpe2.{name}", exc_type=ImportError)
    raw = module.parallel_env(continuous_actions=continuous, max_cycles=10)
    env = PettingZooPufferEnv(module.parallel_env(continuous_actions=continuous, max_cycles=10), checked_steps=None)
    env.reset(seed=7)
    expected, _ = raw.reset(seed=7)
    env.action_space.seed(0)
    own = {agent: raw.action_space(agent) for agent in raw.possible_agents}
    unequal = len({space.n for space in own.values()}) > 1 if not continuous else False
    observed = env.observations
    for step in range(10):
        for row, agent in enumerate(env.possible_agents):
            whole = env.unflatten(observed[row])
            padded = whole["observation"] if unequal else whole
            size = len(expected[agent])
            assert padded[:size].tolist() == expected[agent].tolist()
            assert not padded[size:].any()
            if unequal:
                assert whole["action_mask"].tolist() == (np.arange(env.single_action_space.n) < own[agent].n).tolist()
        actions = env.action_space.sample()
        _, rewards, *_ = env.step(actions)
        chosen = {
            agent: actions[row][: own[agent].shape[0]] if continuous else int(actions[row])
            for row, agent in enumerate(env.possible_agents)
        }
        expected, raw_rewards, *_ = raw.step(chosen)
        assert rewards.tolist() == pytest.approx([raw_rewards[agent] for agent in env.possible_agents], rel=1e-6)
        observed = env.final_observations if step == 9 else env.observations
    assert env.restarted


# ---------------------------------------------------------------------- masks in infos


def with_masks(actions: Any = None) -> Pair:
    return Pair([Box(0, 1, (2,))] * 2, actions or [Discrete(3)] * 2, masks=True)


def test_masks_come_out_of_infos() -> None:
    env = PettingZooPufferEnv(with_masks(), info_masks=True)
    env.reset()
    assert env.emulated.observation_space == Dict(observation=Box(0, 1, (2,)), action_mask=_mask(3))
    assert action_masks(env).tolist() == [[False, True, True]] * 2
    assert env.step(np.array([1, 1]))[4][0]["a"]["action_mask"].tolist() == [True, False, True]
    assert action_masks(env).tolist() == [[True, False, True]] * 2
    with vector.make(with_masks, num_envs=2, backend="serial", info_masks=True) as many:
        many.reset()
        many.step(np.ones(4, int))
        assert action_masks(many).tolist() == [[True, False, True]] * 4


def test_masks_of_infos_and_unequal_actions() -> None:
    env = PettingZooPufferEnv(with_masks((Discrete(3), MultiDiscrete([1, 2]))), info_masks=True)
    env.reset()
    assert action_masks(env).astype(int).tolist() == [[0, 1, 1, 1, 0], [1, 0, 0, 1, 1]]
    assert env.observation_space("a") == Box(0, 255, (12,), np.uint8)


def test_infos_without_masks() -> None:
    with pytest.raises(APIUsageError, match=r"info_masks: .* told no 'action_mask' in its infos; there are \[\]"):
        PettingZooPufferEnv(speaker_and_listener(), info_masks=True).reset()
    env = with_masks((Discrete(4), Discrete(3)))
    with pytest.raises(APIUsageError, match=r"info\['action_mask'\] of 'a' of .* has shape \(3,\); expected \(4,\)"):
        PettingZooPufferEnv(env, info_masks=True).reset()
    with pytest.raises(APIUsageError, match="info_masks: 'a' takes Discrete or MultiDiscrete actions, not Box"):
        PettingZooPufferEnv(with_masks([Box(0, 1)] * 2), info_masks=True)
    with pytest.raises(APIUsageError, match="info_masks is 1; expected True or False"):
        vector.make(with_masks, info_masks=1)  # type: ignore[arg-type]


def test_openspiel_has_masks_by_itself() -> None:
    pytest.importorskip("pyspiel")
    shimmy = importlib.import_module("shimmy.openspiel_compatibility")
    env = PettingZooPufferEnv(shimmy.OpenSpielCompatibilityV0(game_name="tic_tac_toe"))
    env.reset(seed=0)
    assert action_masks(env).tolist() == [[True] * 9, [False] * 9]  # it is the first one's turn
    env.step(np.array([4, 0]))
    assert action_masks(env)[1].tolist() == [k != 4 for k in range(9)]
    for move in (0, 5, 2, 3):  # 4, 5 and 3 are a row of the first player
        env.step(np.array([move, move]))
    assert env.rewards.tolist() == [1, -1]
    assert env.restarted
