"""PettingZoo environments by dicts, as in PufferLib: spaces that are called, actions and results by agent."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from pettingzoo import ParallelEnv

from puffer_numba import APIUsageError, vector
from puffer_numba.emulation import PettingZooPufferEnv


class Relay(ParallelEnv):
    """Agent ``a`` stays for ``a + 2`` steps, observes its number and the time, and is paid its action."""

    metadata = {"name": "relay", "is_parallelizable": True}  # noqa: RUF012

    def __init__(self):
        self.possible_agents = ["first", "second"]
        self.agents = []

    def observation_space(self, agent):
        return Box(0, 9, (2,), np.float32)

    def action_space(self, agent):
        return Discrete(3)

    def _observe(self, agents):
        return {agent: np.array([self.possible_agents.index(agent), self.time], np.float32) for agent in agents}

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return self._observe(self.agents), {agent: {"seed": seed} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.time += 1
        acted = self.agents
        ended = {agent: self.time == self.possible_agents.index(agent) + 2 for agent in acted}
        self.agents = [agent for agent in acted if not ended[agent]]
        rewards = {agent: float(actions[agent]) for agent in acted}
        infos = {agent: {"time": self.time} for agent in acted}
        return self._observe(acted), rewards, ended, dict.fromkeys(acted, False), infos


def test_an_episode_by_dicts():
    env = PettingZooPufferEnv(Relay())
    assert env.done
    observations, infos = env.reset(seed=5)
    assert infos["first"] == {"seed": 5}
    assert observations["second"].tolist() == [1, 0]
    seen = []
    while env.agents:
        assert not env.done
        results = env.step(dict.fromkeys(env.agents, 2))
        assert all(isinstance(part, dict) for part in results)
        seen.append(results)
    assert len(seen) == 3
    observations, rewards, terminals, truncations, infos = seen[1]
    assert {agent: row.tolist() for agent, row in observations.items()} == {"first": [0, 2], "second": [1, 2]}
    assert (rewards, terminals) == ({"first": 2.0, "second": 2.0}, {"first": True, "second": False})
    observations, rewards, terminals, truncations, infos = seen[2]  # "first" has gone before
    assert {agent: row.tolist() for agent, row in observations.items()} == {"first": [0, 0], "second": [1, 3]}
    assert (rewards, terminals) == ({"first": 0.0, "second": 2.0}, {"first": True, "second": True})
    assert truncations == {"first": False, "second": False}
    assert infos == {"second": {"time": 3}}
    assert env.done
    assert env.log() == {"episodes": 1.0, "episode_return": 5.0, "episode_length": 3.0}
    for actions in ({}, np.zeros(2, int)):
        with pytest.raises(APIUsageError, match=r"after the end of the episode; call env\.reset\(\) first"):
            env.step(actions)


def test_arrays_and_dicts_take_turns():
    env = PettingZooPufferEnv(Relay())
    env.reset()
    _, rewards, *_ = env.step(np.array([1, 2]))
    assert rewards.tolist() == [1, 2]
    assert env.step({"second": 0, "first": 1})[1] == {"first": 1.0, "second": 0.0}
    terminals = env.step(np.array([0, 1]))[2]  # the episode ends, and by arrays the next one begins
    assert terminals.tolist() == [False, True]
    assert env.agents == ["first", "second"]
    assert env.restarted


def test_what_reset_returns_is_an_array_that_knows_its_agents():
    env = PettingZooPufferEnv(Relay())
    observations, _ = env.reset()
    assert np.shares_memory(observations, env.observations)
    assert observations.shape == (2, 2)
    assert (observations + 1).tolist() == [[1, 1], [2, 1]]
    assert type(observations[0]) is np.ndarray
    assert "first" in observations
    assert list(observations.keys()) == ["first", "second"]
    assert [row.tolist() for row in observations.values()] == [[0, 0], [1, 0]]
    assert dict(observations.items())["second"].tolist() == [1, 0]


def test_spaces_are_batched_and_can_be_called():
    env = PettingZooPufferEnv(Relay())
    assert env.action_space == MultiDiscrete([3, 3])
    assert isinstance(env.action_space, MultiDiscrete)
    assert env.action_space("first") is env.single_action_space
    assert env.observation_space("second") is env.single_observation_space
    assert env.observation_space.shape == (2, 2)
    for again in (copy.deepcopy(env.action_space), pickle.loads(pickle.dumps(env.action_space))):
        assert again == env.action_space
        assert again("second") == Discrete(3)
    with pytest.raises(APIUsageError, match="'third' is no agent; there are first, second"):
        env.action_space("third")


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"first": 1}, r"no action for 'second'; expected one for each of \['first', 'second'\]"),
        ({"first": 1, "second": 1, "third": 1}, "'third' is no agent"),
        ({"first": 1, "second": 3}, r"row 1 is 3, outside Discrete\(3\)"),
        ({"first": 1, "second": [1]}, r"action of 'second' has shape \(1,\); expected Discrete\(3\)"),
    ],
)
def test_bad_actions_change_nothing(actions, message):
    env = PettingZooPufferEnv(Relay())
    env.reset()
    with pytest.raises(APIUsageError, match=message):
        env.step(actions)
    assert env.env.time == 0


def test_before_reset():
    with pytest.raises(APIUsageError, match=r"step\(\) was called before reset\(\)"):
        PettingZooPufferEnv(Relay()).step({"first": 0, "second": 0})


def test_backends_get_plain_arrays():
    with vector.make(lambda: Relay(), num_envs=2, backend="serial") as env:
        assert type(env.reset()[0]) is np.ndarray
