"""Environments of several agents seen through PettingZoo: its own tests are the judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple
from pettingzoo import ParallelEnv
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.test.state_test import test_state_space as check_state_space
from pettingzoo.utils.conversions import parallel_to_aec, turn_based_aec_to_parallel

from puffer_numba import APIUsageError, PufferEnv, registry, vector
from puffer_numba.emulation import JitParallelEnv, PettingZooPufferEnv, PufferParallelEnv, make_parallel_env
from puffer_numba.jit import JitEnv, kernel
from puffer_numba.wrappers.base import Wrapper
from tests.helpers.jit_envs import Team, Walk


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
    single_observation_space = Box(-20, 20, (1,), np.float32)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in registry._BUILT_IN if registry.spec(name).env_class.agents is not None]
)
def test_pettingzoos_api_test_of_the_suite(name):
    parallel_api_test(make_parallel_env(name, jit=False), num_cycles=50)


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


def test_images():
    env = JitParallelEnv(Shown(autoreset="disabled", jit=False, lifetimes=[1] * 3), render_mode="rgb_array")
    observations, _ = env.reset(seed=0)
    assert (env.render() == observations["agent_0"][2]).all()
    assert env.metadata["render_modes"] == ["rgb_array"]
    assert make_team(Shown).render() is None
    with pytest.raises(APIUsageError, match="render_mode is 'human'; expected 'rgb_array'"):
        JitParallelEnv(env.puffer_env, render_mode="human")
    with pytest.raises(APIUsageError, match="renders nothing"):
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


# Wrapped environments, as ParallelEnvs again


class Herd(ParallelEnv[Any, Any, Any]):
    """Agents 0, 1 and 2, seen and steered by Dicts. 0 dies at step 2; 2 comes at step 1 and leaves without a word at
    step 3; 1 is truncated at step 5.
    """

    metadata = {"name": "herd", "render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.possible_agents, self.agents = [0, 1, 2], []
        self.render_mode = render_mode
        self.rng = np.random.default_rng(0)

    def observation_space(self, agent: Any) -> Any:
        return Dict(place=Box(0, 1, (2,), np.float32), parts=Tuple([Discrete(9), MultiBinary(2)]))

    def action_space(self, agent: Any) -> Any:
        return Dict(gait=Discrete(3), legs=Tuple([MultiBinary(2), Discrete(2)]))

    def observe(self, agents: Any) -> Any:
        bits = np.array([self.time % 2, 1], np.int8)
        places = self.rng.random((3, 2)).astype(np.float32)
        return {agent: {"place": places[agent], "parts": (np.int64(agent), bits)} for agent in agents}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.time, self.agents = 0, [0, 1]
        return self.observe(self.agents), {
            agent: {"level": self.rng.random(), **(options or {})} for agent in self.agents
        }

    def step(self, actions: Any) -> Any:
        self.time += 1
        acted = self.agents
        rewards = {a: float(c["gait"] + 10 * c["legs"][0].sum() + 100 * c["legs"][1]) for a, c in actions.items()}
        self.agents = {1: [0, 1, 2], 2: [1, 2], 3: [1], 4: [1]}.get(self.time, [])
        seen = sorted({*acted, *self.agents})
        terminations = {agent: agent == 0 and self.time == 2 for agent in seen}
        truncations = {agent: agent == 1 and self.time == 5 for agent in seen}
        infos = {agent: {"time": self.time} if self.time != 2 else {} for agent in seen}
        return self.observe(seen), {a: rewards.get(a, 0.0) for a in seen}, terminations, truncations, infos

    def state(self) -> Any:
        return np.array([self.time])

    def render(self) -> Any:
        return np.full((1, 1, 3), self.time, np.uint8)


# what PettingZoo 1.24's pistonball does under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")


def real(name: str, package: str, **kwargs: Any) -> Callable[[], Any]:
    """Makes PettingZoo's environment of that name; skips the test where ``package``, which it needs, is missing."""

    def make() -> Any:
        pytest.importorskip(package, exc_type=ImportError)  # one may be too new for an old PettingZoo
        return vector.env_creator(f"pettingzoo:{name}")(**kwargs)

    return make


REAL: dict[str, Callable[[], Any]] = {
    "simple_spread": real("mpe2.simple_spread_v3", "mpe2.simple_spread_v3", max_cycles=20),
    "knights_archers_zombies": real(
        "butterfly.knights_archers_zombies_v11",
        "pettingzoo.butterfly.knights_archers_zombies_v11",
        max_cycles=150,
        line_death=True,
    ),
    "pistonball": real("butterfly.pistonball_v6", "pymunk", n_pistons=4, max_cycles=15),
    "rock paper scissors": real("classic.rps_v2", "pygame", max_cycles=4),
    "herd": Herd,
    "connect_four": real("classic.connect_four_v3", "pygame"),
    "tictactoe": real("classic.tictactoe_v3", "pygame"),
}


def view(name: str, **kwargs: Any) -> PufferParallelEnv:
    return PufferParallelEnv(PettingZooPufferEnv(REAL[name]()), **kwargs)


def raw(name: str) -> Any:
    env = REAL[name]()
    return env if isinstance(env, ParallelEnv) else turn_based_aec_to_parallel(env)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", REAL)
def test_wrapped_environments_pass_pettingzoos_api_test(name: str, flat: bool) -> None:
    parallel_api_test(view(name, flat=flat), num_cycles=40)


@pytest.mark.parametrize("name", [name for name in REAL if name not in ("connect_four", "tictactoe")])
def test_wrapped_environments_pass_pettingzoos_seed_test(name: str) -> None:
    parallel_seed_test(lambda: view(name), num_cycles=30)


def test_wrapped_environments_through_pettingzoos_conversion() -> None:
    api_test(parallel_to_aec(view("simple_spread")), num_cycles=40)


def assert_equal(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    elif isinstance(theirs, tuple):
        for a, b in zip(ours, theirs, strict=True):
            assert_equal(a, b)
    else:
        np.testing.assert_array_equal(ours, theirs)


def choose(env: Any, observations: Any) -> dict[Any, Any]:
    """Random actions, legal ones where there are masks of these."""
    actions = {}
    for agent in env.agents:
        seen = observations[agent]
        mask = seen.get("action_mask") if isinstance(seen, dict) else None
        actions[agent] = env.action_space(agent).sample(mask)
    return actions


@pytest.mark.parametrize("name", REAL)
def test_same_steps_as_the_environment_itself(name: str) -> None:
    """Over several episodes: the last observations too, and infos of a reset that has already happened."""
    ours, theirs = view(name), raw(name)
    assert ours.possible_agents == theirs.possible_agents
    for agent in ours.possible_agents:
        assert ours.observation_space(agent) == theirs.observation_space(agent)
        assert ours.action_space(agent) == theirs.action_space(agent)
        ours.action_space(agent).seed(7)
    episodes = ended = 0
    for seed in (3, None, None):
        (observations, infos), (expected, first_infos) = ours.reset(seed=seed), theirs.reset(seed=seed)
        assert_equal((observations, infos), (expected, first_infos))
        while theirs.agents:
            assert ours.agents == list(theirs.agents)
            actions = choose(ours, observations)
            # without what is not of a living agent, and those that leave without a word are truncated
            living = set(theirs.agents)
            result, (observed, rewards, terminations, truncations, infos) = ours.step(actions), theirs.step(actions)
            shown = list(dict.fromkeys([*actions, *theirs.agents]))
            gone = living - set(theirs.agents)
            truncations = {a: truncations[a] or (a in gone and not terminations[a]) for a in shown}
            for mine, other in zip(result, (observed, rewards, terminations, truncations, infos), strict=True):
                if other is rewards:
                    assert mine == pytest.approx({agent: other.get(agent, 0) for agent in shown})
                else:
                    assert_equal(mine, {agent: other[agent] for agent in shown})
            if theirs.agents:
                assert_equal(ours.agents, list(theirs.agents))
            ended += len(gone)
            observations = result[0]
        assert ours.agents == []
        episodes += 1
        with pytest.raises(APIUsageError, match="without an agent to act"):
            ours.step(actions)
    assert episodes == 3
    assert ended >= 3


def test_states_and_images() -> None:
    env = PufferParallelEnv(PettingZooPufferEnv(Herd(render_mode="rgb_array")))
    env.reset(seed=0, options={"extra": 1})
    for time in range(3):
        assert env.state().tolist() == [time]
        assert env.render()[0, 0, 0] == time
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert env.render_mode == "rgb_array"
    assert env.metadata["name"] == "herd"
    spread = view("simple_spread")
    spread.reset(seed=0)
    assert spread.state().shape == spread.state_space.shape == (54,)
    assert view("herd").render() is None
    with pytest.raises(APIUsageError, match=r"render_mode is 'human', but .* was made with None"):
        view("herd", render_mode="human")
    env.close()
    assert env.puffer_env.closed


def test_through_a_wrapper_and_a_backend() -> None:
    class Louder(Wrapper):
        own = frozenset({"rewards"})

        def update(self, rows: Any) -> None:
            self.rewards[rows] = 2 * self.env.rewards[rows]

    env = PufferParallelEnv(Louder(vector.make(Herd, num_envs=1, backend="serial")))
    parallel_api_test(env, num_cycles=20)
    env.reset(seed=0)
    bits = np.ones(2, np.int8)
    rewards = env.step({agent: {"gait": 2, "legs": (bits, 1)} for agent in env.agents})[1]
    assert rewards == {0: 244.0, 1: 244.0, 2: 0.0}


def test_agents_of_a_plain_puffer_env() -> None:
    """It has no names for them, and says by its flags alone when all are over."""

    class Pair(PufferEnv):
        def __init__(self) -> None:
            self.single_observation_space, self.single_action_space = Box(0, 9, (1,), np.float32), Discrete(2)
            self.num_agents = 2
            super().__init__()

        @property
        def num_envs(self) -> int:
            return 1

        def reset(self, seed: int | None = None) -> Any:
            self.observations[:] = 0
            self.masks[:] = True
            return self.observations, []

        def step(self, actions: Any) -> Any:
            self.observations += 1
            self.rewards[:] = actions
            self.terminals[:] = self.masks & (self.observations[:, 0] == [2, 3])
            self.final_observations[:] = self.observations
            self.masks &= ~self.terminals
            if not self.masks.any():
                self.reset()
            return self.observations, self.rewards, self.terminals, self.truncations, []

    env = PufferParallelEnv(Pair())
    parallel_api_test(env, num_cycles=20)
    env.reset(seed=0)
    agents = []
    while env.agents:
        agents.append(list(env.agents))
        observations, rewards, *_ = env.step(actions(env))
    assert agents == [["agent_0", "agent_1"], ["agent_0", "agent_1"], ["agent_1"]]
    assert observations["agent_1"].tolist() == [3.0]
    assert rewards == {"agent_1": 1.0}
    assert env.state().shape == env.state_space.shape == (2, 1)


def test_what_cannot_be_a_parallel_env_again() -> None:
    with pytest.raises(APIUsageError, match="takes PufferEnvs that are no JitEnvs; for these is JitParallelEnv"):
        PufferParallelEnv(Team(jit=False, lifetimes=[1] * 3))
    with pytest.raises(APIUsageError, match="PufferParallelEnv takes one environment; Serial has 2"):
        PufferParallelEnv(vector.make(Herd, num_envs=2, backend="serial"))
    env = view("herd")
    env.reset()
    with pytest.raises(APIUsageError, match=r"actions lack 'legs'; expected a dict"):
        env.step({0: {"gait": 1}, 1: {"gait": 1}})
    with pytest.raises(APIUsageError, match=r"step\(\) got an action for 7, which is no agent; there are 0, 1, 2"):
        env.step({7: {}})


def test_agents_of_unequal_spaces_have_their_own_again() -> None:
    pytest.importorskip("mpe2.simple_speaker_listener_v4", exc_type=ImportError)
    creator = vector.env_creator("pettingzoo:mpe2.simple_speaker_listener_v4")
    env = PufferParallelEnv(PettingZooPufferEnv(creator(max_cycles=10)))
    assert (env.action_space("speaker_0"), env.action_space("listener_0")) == (Discrete(3), Discrete(5))
    assert env.observation_space("speaker_0") == creator().observation_space("speaker_0")
    parallel_api_test(env, num_cycles=20)
