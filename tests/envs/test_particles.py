"""SimpleSpread and SimpleTag against MPE2's, which is stepped from the same states."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("mpe2")

from mpe2 import simple_spread_v3, simple_tag_v3

import puffer_numba
from puffer_numba.emulation import make_parallel_env
from puffer_numba.envs.simple_spread import SimpleSpread
from puffer_numba.envs.simple_tag import SimpleTag, bound
from tests.helpers.parity import FEWER_TRANSITIONS, step_from

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PettingZoo 1.27's tests import its own deprecated names
    from pettingzoo.test import parallel_api_test

SPREAD: Any = (SimpleSpread, simple_spread_v3)
TAG: Any = (SimpleTag, simple_tag_v3)
CASES: list[Any] = [
    (*SPREAD, {}),
    (*SPREAD, {"players": 5, "local_ratio": 0.2, "continuous_actions": True}),
    (*SPREAD, {"players": 2, "terminate_on_success": True}),
    (*TAG, {}),
    (*TAG, {"num_good": 2, "num_adversaries": 4, "num_obstacles": 3, "continuous_actions": True}),
    (*TAG, {"num_good": 2, "num_adversaries": 5, "num_obstacles": 0, "terminate_on_success": True}),
]


class Reference:
    """MPE2's environment, with all of its state as arrays."""

    def __init__(self, module: Any, arguments: dict[str, Any]) -> None:
        renamed = {{"players": "N"}.get(name, name): value for name, value in arguments.items()}
        self.env = module.raw_env(**renamed, max_cycles=10**9)
        self.env.reset(seed=0)
        self.world = self.env.unwrapped.world
        self.landmarks = "landmark" if module is simple_spread_v3 else "obstacle"

    def scatter(self, rng: np.random.Generator) -> None:
        """Agents that move, often crowded, and sometimes far out."""
        self.env.reset()
        extent = rng.choice([0.3, 0.7, 1.0, 2.5])
        for entity in self.world.entities:
            entity.state.p_pos = rng.uniform(-extent, extent, 2)
        for agent in self.world.agents:
            agent.state.p_vel = rng.uniform(-1, 1, 2) * (agent.max_speed or 2.0) * 0.7
        if rng.random() < 0.3:  # near success
            for agent, entity in zip(self.world.agents, self.world.landmarks or self.world.agents, strict=False):
                agent.state.p_pos = entity.state.p_pos + rng.uniform(-0.15, 0.15, 2)

    def state(self) -> dict[str, Any]:
        agents = self.world.agents
        landmarks = np.array([entity.state.p_pos for entity in self.world.landmarks] or [(0.0, 0.0)])
        forces = self.world.apply_environment_force([np.zeros(2) for _ in self.world.entities])
        return {
            "position": np.array([agent.state.p_pos for agent in agents]),
            "velocity": np.array([agent.state.p_vel for agent in agents]),
            "force": np.array(forces[: len(agents)]),
            self.landmarks: landmarks,
        }

    def step(self, actions: Any) -> tuple[Any, Any, bool]:
        """Observations, padded with zeros, rewards, and whether it is over."""
        for action in actions:
            self.env.step(action)
        agents = self.env.possible_agents
        observations = [self.env.unwrapped.scenario.observation(agent, self.world) for agent in self.world.agents]
        size = max(map(len, observations))
        padded = np.array([np.pad(row, (0, size - len(row))) for row in observations])
        rewards = np.array([self.env.rewards[name] for name in agents])
        return padded, rewards, self.env.terminations[agents[0]]


def draw_actions(rng: np.random.Generator, continuous: bool, shape: tuple[int, ...]) -> Any:
    return rng.random((*shape, 5), np.float32) if continuous else rng.integers(5, size=shape)


@pytest.mark.slow
@pytest.mark.parametrize(("env_class", "module", "arguments"), CASES)
def test_transitions_are_mpe2s(env_class, module, arguments):
    """3000 of each environment as it is, fewer of its variants, which the reference takes a millisecond for.

    In float64 to the last bits. In float32 contacts magnify: 1e-7 of a distance is 1e-5 of a force, and more where
    bodies are close to each other's middle.
    """
    rng = np.random.default_rng(0)
    reference = Reference(module, arguments)
    transitions = 1000 if arguments else FEWER_TRANSITIONS
    count = len(reference.world.agents)
    actions = draw_actions(rng, arguments.get("continuous_actions", False), (transitions, count))
    before, after, expected = [], [], []
    for k in range(transitions):
        reference.scatter(rng)
        before.append(reference.state())
        expected.append(reference.step(actions[k]))
        after.append(reference.state())
    states = {name: np.array([state[name] for state in before]) for name in before[0]}
    observations, rewards, terminals = (np.array(column) for column in zip(*expected, strict=True))
    for dtype, tolerance in (("float64", 1e-11), ("float32", 2e-5)):
        found = step_from(
            env_class, states, actions.reshape(transitions * count, *actions.shape[2:]), dtype=dtype, **arguments
        )
        for name in ("position", "velocity", "force"):
            wanted = np.array([state[name] for state in after])
            slack = 200 * tolerance if name == "force" else tolerance
            np.testing.assert_allclose(getattr(found.state, name), wanted, rtol=0, atol=slack)
        np.testing.assert_allclose(
            found.observations.reshape(observations.shape), observations, rtol=0, atol=max(tolerance, 1e-6)
        )
        # within rounding of a touch, or of the edge of a landmark, float32 may be on the other side
        clear = np.abs(found.rewards.reshape(rewards.shape) - rewards).max(axis=1) < 1e-4
        assert clear.sum() >= transitions * (1 if dtype == "float64" else 0.999)
        over = found.terminals.reshape(rewards.shape)
        assert (over == terminals[:, None]).all(axis=1).sum() >= transitions * (1 if dtype == "float64" else 0.999)
    assert (states["force"] != 0).any(axis=(1, 2)).sum() > 0.1 * transitions
    assert 20 < terminals.sum() < 0.9 * terminals.size if arguments.get("terminate_on_success") else not terminals.any()
    assert len(np.unique(rewards.round(1))) > 10


@pytest.mark.parametrize(
    ("env_class", "limits"),
    [(SimpleSpread, {"position": 1.0, "landmark": 1.0}), (SimpleTag, {"position": 1.0, "obstacle": 0.9})],
)
def test_first_states(env_class, limits):
    env = env_class(4000)
    env.reset(seed=3)
    for name, limit in limits.items():
        for axis in range(2):
            values = getattr(env.state, name)[:, -1, axis]
            assert stats.kstest(values, stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3
    assert not env.state.velocity.any()


@pytest.mark.parametrize("env_class", [SimpleSpread, SimpleTag])
def test_contacts_of_the_first_states_push(env_class):
    """As the reference has it, which looks at them in the step, and not at its end."""
    env = env_class(2000, dtype="float64")
    env.reset(seed=0)
    reference = Reference(simple_spread_v3 if env_class is SimpleSpread else simple_tag_v3, {})
    pushed = np.flatnonzero(env.state.force.any(axis=(1, 2)))
    assert len(pushed) > 50
    for i in pushed:
        landmarks = getattr(env.state, reference.landmarks)[i]
        for entity, position in zip(reference.world.entities, [*env.state.position[i], *landmarks], strict=True):
            entity.state.p_pos = position
        np.testing.assert_allclose(env.state.force[i], reference.state()["force"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["simple_spread", "simple_tag"])
def test_time_limit_and_metrics(name):
    """The metrics are what the rewards say."""
    env = puffer_numba.make(name, 500)
    env.reset(seed=0)
    env.action_space.seed(0)
    rewards = np.zeros((500, env.agents_per_env))
    for step in range(1, 26):
        *_, terminals, truncations, _ = env.step(env.action_space.sample())
        rewards += env.rewards.reshape(rewards.shape)
        assert not terminals.any()
        assert truncations.all() == truncations.any() == (step == 25)
    log = env.log()
    assert log["episode_return"] == pytest.approx(rewards.mean(), rel=1e-5)
    if name == "simple_tag":
        assert (rewards[:, 0] == rewards[:, 1]).all()
        assert 10 * log["caught"] == pytest.approx(rewards[:, 0].mean())
    else:
        own = 2 * (rewards.max(axis=1, keepdims=True) - rewards)  # what others collided more than the luckiest
        assert log["collisions"] >= own.sum(axis=1).mean() / 2 > 0
        assert 0 < log["covered"] < 3


def test_prey_pays_for_leaving():
    """At every distance, as in the reference; its step-by-step comparison rarely meets the edges of the rule."""
    distances = np.concatenate([np.linspace(0, 4, 401), [0.9, 1.0]])

    def theirs(x: float) -> float:
        return 0 if x < 0.9 else (x - 0.9) * 10 if x < 1.0 else min(np.exp(2 * x - 2), 10)

    for sign in (1, -1):
        np.testing.assert_allclose([bound(sign * x) for x in distances], [theirs(x) for x in distances], rtol=1e-12)


@pytest.mark.parametrize("env_class", [SimpleSpread, SimpleTag])
def test_bodies_in_one_place_stay_finite(env_class):
    shape = (2, 3 if env_class is SimpleSpread else 4, 2)
    found = step_from(env_class, {"position": np.zeros(shape)}, np.zeros(2 * shape[1], np.int64))
    assert np.isfinite(found.observations).all()
    assert np.isfinite(found.rewards).all()


@pytest.mark.parametrize(("name", "agents", "size"), [("simple_spread", 3, 18), ("simple_tag", 4, 16)])
@pytest.mark.parametrize("continuous", [False, True])
def test_pettingzoo(name, agents, size, continuous):
    env = make_parallel_env(name, continuous_actions=continuous)
    assert len(env.possible_agents) == agents
    assert env.observation_space("agent_0").shape == (size,)
    parallel_api_test(env, num_cycles=60)


@pytest.mark.parametrize(
    ("env_class", "arguments", "message"),
    [
        (SimpleSpread, {"players": 0}, "SimpleSpread: parameter players is 0; expected 1 to 100"),
        (SimpleSpread, {"local_ratio": 1.5}, "SimpleSpread: parameter local_ratio is 1.5; expected 0 to 1"),
        (SimpleTag, {"num_good": 0}, "SimpleTag: parameter num_good is 0; expected 1 to 100"),
        (SimpleTag, {"num_adversaries": 101}, "SimpleTag: parameter num_adversaries is 101; expected 1 to 100"),
        (SimpleTag, {"num_obstacles": -1}, "SimpleTag: parameter num_obstacles is -1; expected 0 to 100"),
    ],
)
def test_bad_params(env_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        env_class(jit=False, **arguments)


@pytest.mark.parametrize("env_class", [SimpleSpread, SimpleTag])
def test_image(env_class):
    env = env_class(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step(np.ones(env.num_agents, np.int64))
    env.step(np.ones(env.num_agents, np.int64))
    assert (env.render() != image).any()
