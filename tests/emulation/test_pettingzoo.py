"""Environments of several agents seen through PettingZoo: its own tests are the judges."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box
from pettingzoo.utils.conversions import parallel_to_aec

from puffer_numba import APIUsageError, registry
from puffer_numba.emulation import JitParallelEnv, make_parallel_env
from puffer_numba.jit import JitEnv, kernel
from tests.jit_envs import Team, Walk

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PettingZoo 1.27's tests import its own deprecated names
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
    from pettingzoo.test.state_test import test_state_space as check_state_space


class Shown(Team):
    """Team that shows two of its fields and draws the other."""

    info = ("tick", "born")

    @staticmethod
    def render_env(s, p, i):
        return np.full((2, 2, 3), s.start[i], np.uint8)


class Pushers(JitEnv):
    """Two agents whose actions are Boxes without 0 in them. The first one dies at once."""

    agents = 2
    max_episode_steps = 3
    single_observation_space = Box(-10, 10, (1,), np.float32)
    single_action_space = Box(1, 2, (2,), np.float32)

    class State(NamedTuple):
        place: Annotated[float, 2]

    @kernel
    def reset_env(s, p, i, rng, team):
        pass

    @kernel
    def step_env(s, p, i, action, rng, team):
        for a in range(2):
            s.place[i, a] = 10 * action[a, 0] - action[a, 1]
            team.reward[i, a] = s.place[i, a]
        team.terminated[i, 0] = True
        return False

    @kernel
    def observe_env(s, p, i, obs):
        for a in range(2):
            obs[i, a, 0] = s.place[i, a]


def make_team(env_class: type[JitEnv] = Team, *, jit: bool = False, **kwargs: Any) -> JitParallelEnv:
    return JitParallelEnv(env_class(autoreset="disabled", jit=jit, **{"lifetimes": [2, 4, 3], **kwargs}))


def actions(env: JitParallelEnv, value: int = 1) -> dict[str, int]:
    return dict.fromkeys(env.agents, value)


@pytest.mark.parametrize("kwargs", [{"jit": True}, {"turns": True}, {"max_episode_steps": 3}, {"length": 1}])
def test_pettingzoos_api_test(kwargs):
    parallel_api_test(make_team(**kwargs), num_cycles=50)


def test_pettingzoos_seed_test():
    parallel_seed_test(lambda: make_team(lifetimes=[20, 40, 30]))


def test_pettingzoos_state_test():
    check_state_space(make_team())


def test_through_pettingzoos_conversion():
    api_test(parallel_to_aec(make_team()), num_cycles=50)


def test_agents_die_one_after_the_other():
    env = make_team()
    assert env.agents == []
    observations, _ = env.reset(seed=0)
    assert env.possible_agents == env.agents == list(observations) == ["agent_0", "agent_1", "agent_2"]
    left, ended, rewards = [], [], []
    while env.agents:
        acting = env.agents
        observations, reward, terminations, truncations, infos = env.step(actions(env))
        assert list(observations) == list(reward) == list(terminations) == list(truncations) == list(infos) == acting
        assert not any(truncations.values())
        left.append("".join(a[-1] for a in env.agents))
        ended.append([a for a in acting if terminations[a]])
        rewards.append(sum(reward.values()))
    assert left == ["012", "12", "1", ""]
    assert ended == [[], ["agent_0"], ["agent_2"], ["agent_1"]]
    assert rewards == [6, 6, 5, 2]
    assert observations["agent_1"][:2].tolist() == [4, 1]  # the last one of the episode, not the first of the next
    env.reset()
    assert env.agents == env.possible_agents


def test_time_limit_truncates_those_that_are_left():
    env = make_team(max_episode_steps=3, lifetimes=[2, 4, 5])
    env.reset(seed=0)
    for _ in range(3):
        _, _, terminations, truncations, _ = env.step(actions(env))
    assert terminations == {"agent_1": False, "agent_2": False}
    assert truncations == {"agent_1": True, "agent_2": True}
    assert env.agents == []


def test_who_waits_for_a_turn_stays():
    env = make_team(turns=True)
    env.reset(seed=0)
    env.step(actions(env))
    assert env.puffer_env.masks.tolist() == [False, True, False]
    assert len(env.agents) == 3


def test_the_dead_do_not_come_back():
    env = make_team(revive_at=3, lifetimes=[1, 5, 6])
    env.reset(seed=0)
    for _ in range(3):
        env.step(actions(env))
    assert env.puffer_env.masks.tolist() == [True, True, True]
    assert env.agents == ["agent_1", "agent_2"]


def test_results_are_python_values_and_copies():
    env = make_team(Shown)
    first, infos = env.reset(seed=0)
    kept = {agent: observation.copy() for agent, observation in first.items()}
    _, rewards, terminations, _, infos_1 = env.step(actions(env))
    assert type(rewards["agent_0"]) is float
    assert type(terminations["agent_0"]) is bool
    for agent in kept:
        np.testing.assert_array_equal(first[agent], kept[agent])
        assert (infos[agent]["tick"], infos_1[agent]["tick"]) == (0, 1)
        assert infos_1[agent]["born"].tolist() == [0, 0, 0]
    infos_1["agent_0"]["born"][:] = 7
    assert infos_1["agent_1"]["born"].tolist() == [0, 0, 0]


def test_spaces_belong_to_one_agent():
    env = make_team()
    assert env.action_space("agent_0") is env.action_space("agent_0")
    assert env.action_space("agent_0") is not env.action_space("agent_1")
    assert env.observation_space("agent_0") == env.puffer_env.single_observation_space


def test_state_is_all_observations():
    env = make_team()
    env.reset(seed=0)
    observations = env.step(actions(env))[0]
    np.testing.assert_array_equal(env.state(), list(observations.values()))
    assert env.state() in env.state_space


def test_boxes():
    env = JitParallelEnv(Pushers(autoreset="disabled", jit=False))
    env.reset(seed=0)
    env.step({"agent_0": [1.0, 2.0], "agent_1": np.array([1, 1], np.float32)})
    rewards = env.step({"agent_1": np.array([2.0, 1.0])})[1]  # float64, and the dead agent's action is made up
    assert rewards == {"agent_1": 19.0}


def test_seeds():
    first, second = make_team(seed=None), make_team(seed=None)
    starts = [[env.reset()[0]["agent_0"][2] for _ in range(8)] for env in (first, second)]
    assert starts[0] != starts[1]
    assert first.reset(seed=5)[0]["agent_0"][2] == second.reset(seed=5)[0]["agent_0"][2]
    assert first.reset()[0]["agent_0"][2] == second.reset()[0]["agent_0"][2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"agent_0": 1, "agent_1": 1}, "no action for 'agent_2'; expected one for agent_0, agent_1, agent_2"),
        (
            dict.fromkeys(["agent_0", "agent_1", "agent_2", "agent_3"], 1),
            "'agent_3', which is no agent; there are",
        ),
        (
            {"agent_0": 1, "agent_1": [1], "agent_2": 1},
            r"'agent_1' has shape \(1,\); expected \(\): Discrete\(3\)",
        ),
        ({"agent_0": 1, "agent_1": 3, "agent_2": 1}, r"row 1 is 3, outside Discrete\(3\)"),
        ({"agent_0": 1, "agent_1": 0.5, "agent_2": 1}, "dtype float64"),
    ],
)
def test_bad_actions(given, message):
    env = make_team()
    env.reset(seed=0)
    with pytest.raises(APIUsageError, match=message):
        env.step(given)
    assert env.step(actions(env))[0]["agent_0"][0] == 1  # nothing was stepped before


def test_step_without_an_agent():
    env = make_team(length=1)
    with pytest.raises(APIUsageError, match=r"without an agent to act; call env\.reset\(\)"):
        env.step({})
    env.reset(seed=0)
    env.step(actions(env))
    with pytest.raises(APIUsageError, match="without an agent"):
        env.step({"agent_0": 1})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_envs": 2, "autoreset": "disabled"}, "JitParallelEnv takes a JitEnv of one environment, not of 2"),
        ({"autoreset": "next-step"}, "autoreset='disabled'"),
    ],
)
def test_environments_that_cannot_be_parallel(kwargs, message):
    with pytest.raises(APIUsageError, match=message):
        JitParallelEnv(Team(jit=False, lifetimes=[1] * 3, **kwargs))


def test_pictures():
    env = JitParallelEnv(Shown(autoreset="disabled", jit=False, lifetimes=[1] * 3), render_mode="rgb_array")
    observations, _ = env.reset(seed=0)
    assert (env.render() == observations["agent_0"][2]).all()
    assert env.metadata["render_modes"] == ["rgb_array"]
    assert make_team(Shown).render() is None
    with pytest.raises(APIUsageError, match="render_mode is 'human'; expected 'rgb_array'"):
        JitParallelEnv(env.puffer_env, render_mode="human")
    with pytest.raises(APIUsageError, match="draws nothing"):
        JitParallelEnv(make_team().puffer_env, render_mode="rgb_array")


def test_make_by_name(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {"walk": registry.EnvSpec("walk", Walk, {"size": 3})})
    env = make_parallel_env("walk", jit=False)
    assert env.puffer_env.params.size == 3
    assert env.metadata["name"] == str(env) == "Walk"
    parallel_api_test(env, num_cycles=20)


def test_close():
    env = make_team()
    env.reset(seed=0)
    env.close()
    with pytest.raises(APIUsageError, match="closed"):
        env.step(actions(env))
