"""Gymnasium and PettingZoo environments as PufferEnvs."""

from __future__ import annotations

import copy
import re
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Tuple
from pettingzoo import ParallelEnv

pytest.importorskip("pygame")

from pettingzoo.classic.rps import rps
from pettingzoo.classic.tictactoe import tictactoe

from puffer_numba.emulation import checking
from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.env import APIUsageError, make_buffers
from tests.helpers.gym_envs import Parts


class Walk(gymnasium.Env[Any, Any]):
    """Counts its steps; terminates after ``length`` of them, or is truncated."""

    def __init__(self, length: int = 3, truncate: bool = False, reset_info: dict[str, Any] | None = None) -> None:
        self.observation_space = Dict(position=Box(-99, 99, (2,), np.float32), step=Discrete(100))
        self.action_space = Tuple([Discrete(3, start=-1), MultiBinary(2)])
        self.length, self.truncate, self.reset_info = length, truncate, reset_info or {}
        self.actions: list[Any] = []
        self.seeds: list[Any] = []
        self.is_closed = False

    def observe(self) -> Any:
        return {"position": np.array([self.time, -self.time], np.float32), "step": self.time}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.options = options
        self.time = 0
        return self.observe(), self.reset_info

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        self.time += 1
        over = self.time == self.length
        return (
            self.observe(),
            self.time,
            over and not self.truncate,
            over and self.truncate,
            {"over": 1} if over else {},
        )

    def render(self) -> Any:
        return "image"

    def close(self) -> None:
        self.is_closed = True


def action(*numbers: int) -> Any:
    return np.array([numbers], np.int32)


def test_spaces_and_description() -> None:
    env = GymnasiumPufferEnv(Walk())
    assert env.num_agents == env.num_envs == 1
    assert env.single_observation_space == Box(0, 255, (16,), np.uint8)
    assert env.single_action_space == MultiDiscrete([3, 2, 2], start=[-1, 0, 0])
    assert env.is_obs_emulated
    assert env.is_atn_emulated
    assert env.emulated.observation_dtype == np.uint8
    assert env.emulated.emulated_observation_dtype == env.obs_dtype
    assert env.atn_dtype == np.int32
    assert [leaf.path for leaf in env.emulated.leaves] == ["observation['position']", "observation['step']"]
    assert env.emulated.observation_space is env.env.observation_space
    plain = GymnasiumPufferEnv(gymnasium.make("CartPole-v1"))
    assert not plain.is_obs_emulated
    assert not plain.is_atn_emulated
    assert plain.obs_dtype == np.float32


def test_steps_and_autoreset() -> None:
    env = GymnasiumPufferEnv(Walk())
    env.reset()
    view = env.observations.view(env.obs_dtype)
    for time in (1, 2):
        _, rewards, terminals, truncations, infos = env.step(action(-1, 0, 1))
        assert (view["step"].item(), rewards[0], terminals[0], truncations[0], infos) == (time, time, False, False, [])
    *_, infos = env.step(action(1, 1, 0))
    assert env.terminals[0]
    assert not env.truncations[0]
    assert infos == [{"over": 1}]
    assert view["step"].item() == 0
    assert env.final_observations.view(env.obs_dtype)["step"].item() == 3
    assert env.episode_returns.tolist() == [6]
    assert env.episode_lengths.tolist() == [3]
    env.step(action(0, 0, 0))
    assert not env.terminals[0]
    first, last = env.env.actions[0], env.env.actions[2]
    assert first[0] == -1
    assert first[1].tolist() == [0, 1]
    assert first[1].dtype == np.int8  # a copy, which later steps leave alone
    assert last[0] == 1
    assert env.log() == {"episodes": 1.0, "episode_return": 6.0, "episode_length": 3.0}
    assert env.log() == {"episodes": 0.0}


def test_truncation_is_not_termination() -> None:
    env = GymnasiumPufferEnv(Walk(length=1, truncate=True, reset_info={"mask": 1}))
    _, infos = env.reset()
    assert infos == [{"mask": 1}]
    *_, infos = env.step(action(0, 0, 0))
    assert env.truncations[0]
    assert not env.terminals[0]
    assert infos == [{"over": 1, "reset_info": {"mask": 1}}]


def test_seeds_and_options() -> None:
    env = GymnasiumPufferEnv(Walk(), seed=5)
    env.reset()
    env.reset()
    env.reset(seed=9, options={"level": 2})
    assert env.env.seeds == [5, None, 9]
    assert env.env.options == {"level": 2}


def test_the_wrapped_environment_shines_through() -> None:
    env = GymnasiumPufferEnv(env_creator=Walk, env_args=[4], env_kwargs={"truncate": True})
    assert env.length == 4
    assert env.truncate
    assert env.render() == "image"
    with pytest.raises(AttributeError, match="nonsense"):
        env.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="_private"):
        env._private  # noqa: B018
    with env:
        env.reset()
    assert env.env.is_closed
    env.close()
    with pytest.raises(APIUsageError, match="GymnasiumPufferEnv is closed; make a new one"):
        env.step(action(0, 0, 0))
    with pytest.raises(APIUsageError, match="GymnasiumPufferEnv is closed; make a new one"):
        env.reset()


def test_same_transitions_as_the_bare_environment() -> None:
    env, bare = GymnasiumPufferEnv(gymnasium.make("CartPole-v1")), gymnasium.make("CartPole-v1")
    observations, _ = env.reset(seed=3)
    expected, _ = bare.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(300):
        assert np.array_equal(observations[0], expected)
        choice = int(rng.integers(2))
        observations, rewards, terminals, truncations, _ = env.step(np.array([choice]))
        expected, reward, terminated, truncated, _ = bare.step(choice)
        assert (rewards[0], terminals[0], truncations[0]) == (reward, terminated, truncated)
        if terminated or truncated:
            assert np.array_equal(env.final_observations[0], expected)
            expected, _ = bare.reset()


def limited(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    """CartPole behind two time limits, of which the inner one is the shorter."""
    return gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1", max_episode_steps=12, **kwargs), 30)


@pytest.mark.parametrize("checked_steps", [0, 5, 16, None])
def test_gymnasiums_own_wrappers_are_left_out_and_nothing_changes(checked_steps: int | None) -> None:
    env, bare = GymnasiumPufferEnv(limited(), checked_steps=checked_steps), limited()
    env.reset(seed=0)
    bare.reset(seed=0)
    ends = set()
    rng = np.random.default_rng(0)
    for _ in range(400):
        choice = int(rng.integers(2))
        _, rewards, terminals, truncations, _ = env.step(np.array([choice]))
        _, reward, terminated, truncated, _ = bare.step(choice)
        assert (rewards[0], terminals[0], truncations[0]) == (reward, terminated, truncated)
        ends.add((terminated, truncated))
        if terminated or truncated:
            bare.reset()
    assert {(False, False), (True, False), (False, True)} <= ends
    is_short = env.step_with.__self__.step_env == env.env.unwrapped.step  # type: ignore[attr-defined]
    assert is_short == (checked_steps is not None)


def test_wrappers_that_somebody_chose_are_kept() -> None:
    doubled = gymnasium.wrappers.TransformReward(gymnasium.make("CartPole-v1"), lambda reward: 2 * reward)
    env = GymnasiumPufferEnv(gymnasium.wrappers.TimeLimit(doubled, 100), checked_steps=0)
    env.reset(seed=0)
    assert env.step(np.array([0]))[1] == [2]


@pytest.mark.parametrize("name", ["Pendulum-v1", "Blackjack-v1", "FrozenLake-v1", "MountainCarContinuous-v0"])
def test_environments_of_gymnasium(name: str) -> None:
    env = GymnasiumPufferEnv(env_creator=gymnasium.make, env_args=[name])
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(250):
        observations, *_ = env.step(env.action_space.sample())
        assert observations[0] in env.single_observation_space


def test_buffers_of_somebody_else() -> None:
    spaces = GymnasiumPufferEnv(Walk())
    buf = make_buffers(spaces.single_observation_space, spaces.single_action_space, 2)
    parts = [type(buf)(*(array[k : k + 1] for array in buf)) for k in range(2)]
    env = GymnasiumPufferEnv(Walk(), buf=parts[0])
    env.reset()
    env.step(action(0, 0, 0))
    env.bind(parts[1])
    env.step(action(0, 0, 0))
    assert buf.observations.view(env.obs_dtype)["step"].ravel().tolist() == [1, 2]
    assert buf.rewards.tolist() == [1, 2]


def test_asynchronous_pair() -> None:
    env = GymnasiumPufferEnv(Walk())
    env.async_reset(seed=1)
    env.recv()
    env.send(action(0, 0, 0))
    _, rewards, _, _, _, env_ids, masks = env.recv()
    assert (rewards[0], env_ids[0], masks[0]) == (1, 0, True)


def test_bad_actions_change_nothing() -> None:
    env = GymnasiumPufferEnv(Walk())
    with pytest.raises(APIUsageError, match=r"step\(\) was called before reset\(\)"):
        env.step(action(0, 0, 0))
    env.reset()
    for bad, message in (
        (action(2, 0, 0), "action of row 0 is [2, 0, 0], outside"),
        (action(0, 0), "actions have shape (1, 2); expected (1, 3)"),
        (np.zeros((1, 3)), "actions have dtype float64"),
    ):
        with pytest.raises(APIUsageError, match=re.escape(message)):
            env.step(bad)
    assert env.env.actions == []


# ---------------------------------------------------------------------- environments that keep no rules


class Broken(Walk):
    """Does whatever it is told at step ``at``."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(length=99)
        self.changes, self.at = changes, 1

    def observe(self) -> Any:
        return {**super().observe(), **(self.changes if self.time == self.at else {})}


def steps(wrapped: Any, count: int = 60, **options: Any) -> Any:
    env = GymnasiumPufferEnv(wrapped, **options)
    env.reset()
    for _ in range(count):
        env.step(action(0, 0, 0))
    return env


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"position": np.full(2, np.nan)},
            "observation['position']: .*expected numbers, got NaN at index (0,)",
        ),
        (
            {"position": np.full(2, 99.1)},
            "observation['position']: .*values from -99.0 to 99.0, got 99.1 at index",
        ),
        ({"step": 100}, "observation['step']: .*expected values from 0 to 99, got 100"),
        ({"more": 1}, "observation: .*expected the keys ['position', 'step'], got also 'more'"),
    ],
    ids=["NaN", "bounds", "number", "key"],
)
def test_values_outside_of_the_space_are_told_once_or_raised(change: Any, message: str) -> None:
    pattern = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(APIUsageError, match=f"Broken.*{pattern}.*strict=False warns instead, and checked_steps=0"):
        steps(Broken(**change), 2, strict=True)
    checking._told.clear()
    with pytest.warns(UserWarning, match=f"Broken.*{pattern}.*strict=True makes this an error") as told:
        env = steps(Broken(**change), 50)
    assert len(told) == 1
    steps(Broken(**change), 50)  # a warning would be an error
    assert env.observations.shape == (1, env.single_observation_space.shape[0])


@pytest.mark.parametrize(
    "change",
    [
        {"position": np.full(2, 99.00000000000001)},  # rounded, for a float32 Box up to 99
        {"position": np.array([1.1, 2.2])},
        {"position": [3, 4]},
        {"position": np.array([3, 4])},
        {"step": np.int32(7)},
        {"step": np.uint8(7)},
    ],
    ids=str,
)
def test_rounding_and_casts_that_lose_nothing_are_no_mistakes(change: Any) -> None:
    env = steps(Broken(**change), 1, strict=True)
    expected = {"position": [1.0, -1.0], "step": 1} | change
    found = env.unflatten(env.observations[0])
    np.testing.assert_array_equal(found["position"], np.float32(expected["position"]))
    assert found["step"] == expected["step"]


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (Box(0, 255, (2,), np.uint8), np.array([7, 255]), None),
        (Box(0, 255, (2,), np.uint8), np.array([7.0, 8.0]), None),
        (Box(0, 255, (2,), np.uint8), np.array([7.5, 8.0]), "expected what uint8 holds, got 7.5 at index (0,)"),
        (Box(0, 255, (2,), np.uint8), np.array([7, 256]), "expected values from 0 to 255, got 256 at index (1,)"),
        (Box(-np.inf, np.inf, (1,), np.float32), np.array([np.inf]), None),
        (Box(-np.inf, np.inf, (1,), np.float32), np.array([1e300]), "expected what float32 holds, got 1e+300 at"),
        (MultiBinary(2), np.array([True, False]), None),
        (MultiDiscrete([3, 3]), np.array([1, 2], np.uint8), None),
        (MultiDiscrete([3, 3]), np.array([1, 3], np.int32), "expected values from 0 to 2, got 3 at index (1,)"),
    ],
    ids=str,
)
def test_casts(space: Any, value: Any, message: str | None) -> None:
    env = GymnasiumPufferEnv(Old(None, reset=(value, {}), space=space), strict=True)
    if message is None:
        env.reset()
        np.testing.assert_array_equal(env.observations[0], value)
        return
    with pytest.raises(APIUsageError, match=re.escape(message)):
        env.reset()


def test_what_cannot_be_written_is_an_error_at_any_step() -> None:
    for at in (1, 50):
        wrapped = Broken(position=np.zeros(3, np.float32))
        wrapped.at = at
        with pytest.raises(APIUsageError, match=r"observation\['position'\]: .*expected shape \(2,\)"):
            steps(wrapped)


@pytest.mark.parametrize(
    ("checked_steps", "at", "caught"),
    [
        (3, {2}, True),
        (3, {3}, False),
        (0, {0, 1, 2}, False),
        (None, {50}, True),
        (16, {40}, False),
        (16, range(40, 200), True),
    ],
    ids=str,
)
def test_when_values_are_checked(checked_steps: int | None, at: Any, caught: bool) -> None:
    """What begins later is found too, as some of the later observations are checked."""

    class Sometimes(Walk):
        def observe(self) -> Any:
            return {"position": np.zeros(2, np.float32), "step": 100 if self.time in at else 1}

    if not caught:
        steps(Sometimes(length=1000), 90, checked_steps=checked_steps, strict=True)
        return
    with pytest.raises(APIUsageError, match=r"observation\['step'\]: .*checked_steps=0 turns such checks off"):
        steps(Sometimes(length=1000), 120, checked_steps=checked_steps, strict=True)


def test_options_of_the_checks() -> None:
    with pytest.raises(APIUsageError, match="checked_steps is -1"):
        GymnasiumPufferEnv(Walk(), checked_steps=-1)
    with pytest.raises(APIUsageError, match="strict is 'yes'; expected True or False"):
        GymnasiumPufferEnv(Walk(), strict="yes")  # type: ignore[arg-type]


class Old(gymnasium.Env[Any, Any]):
    observation_space: Any = Box(0, 1, (1,))
    action_space: Any = Discrete(2)

    def __init__(self, result: Any, reset: Any = None, space: Any = None) -> None:
        self.result = result
        self.observation_space = space or self.observation_space
        self.first = (np.zeros(1, np.float32), {}) if reset is None else reset

    def reset(self, **_: Any) -> Any:
        return self.first

    def step(self, action: Any) -> Any:
        return self.result


def test_results_of_old_gym() -> None:
    observation = np.zeros(1, np.float32)
    with pytest.raises(APIUsageError, match=r"reset\(\) returned ndarray.*expected \(observation, info\).*shimmy"):
        GymnasiumPufferEnv(Old(None, reset=observation)).reset()
    for result, message in (
        ((observation, 0.0, False, {}), "step() returned 4 values; expected (observation, reward, terminated"),
        (None, "step() returned NoneType None; expected (observation"),
        ((observation, "much", False, False, {}), "step() returned the reward str much; expected a number"),
    ):
        env = GymnasiumPufferEnv(Old(result))
        env.reset()
        with pytest.raises(APIUsageError, match=re.escape(message)):
            env.step(np.array([0]))


def test_what_cannot_be_wrapped() -> None:
    with pytest.raises(APIUsageError, match="takes env or env_creator; got neither"):
        GymnasiumPufferEnv()
    with pytest.raises(APIUsageError, match="takes env or env_creator; got both"):
        GymnasiumPufferEnv(Walk(), env_creator=Walk)
    with pytest.raises(APIUsageError, match="got env_args or env_kwargs without an env_creator"):
        GymnasiumPufferEnv(Walk(), env_args=[3])
    with pytest.raises(APIUsageError, match=r"env_creator is .*which cannot be called; an environment goes into env="):
        GymnasiumPufferEnv(env_creator=Walk())  # type: ignore[arg-type]
    with pytest.raises(APIUsageError, match=r"takes a gymnasium\.Env, not a builtins\.list.*shimmy"):
        GymnasiumPufferEnv(env_creator=list)
    with pytest.raises(APIUsageError, match=r"takes a pettingzoo\.ParallelEnv or AECEnv, not a .*Walk"):
        PettingZooPufferEnv(Walk())
    unbounded = Walk()
    unbounded.observation_space = Dict(items=Sequence(Discrete(2)))  # type: ignore[assignment]
    with pytest.raises(APIUsageError, match=r"observation\['items'\] is Sequence"):
        GymnasiumPufferEnv(unbounded)


# ---------------------------------------------------------------------- PettingZoo


class Team(ParallelEnv[str, Any, Any]):
    """Three agents: b terminates at step 2; c appears at step 1 and leaves without a word at step 3."""

    metadata = {"name": "team"}  # noqa: RUF012

    def __init__(self, length: int = 4) -> None:
        self.possible_agents = ["a", "b", "c"]
        self.length = length
        self.taken: list[Any] = []

    def observation_space(self, agent: str) -> Any:
        return Box(-9, 9, (2,), np.float32)

    def action_space(self, agent: str) -> Any:
        return Discrete(3)

    def observe(self, agents: list[str]) -> Any:
        return {agent: np.array([self.time, ord(agent) - ord("a") + 1], np.float32) for agent in agents}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.time, self.agents, self.seed = 0, ["a", "b"], seed
        return self.observe(self.agents), {agent: {} for agent in self.agents}

    def step(self, actions: Any) -> Any:
        self.taken.append(dict(actions))
        assert list(actions) == self.agents
        self.time += 1
        acted = self.agents
        over = self.time == self.length
        terminations = {agent: agent == "b" and self.time == 2 for agent in acted}
        truncations = dict.fromkeys(acted, over)
        self.agents = (
            [] if over else [agent for agent in ("a", "b", "c") if agent in {1: "abc", 2: "ac", 3: "a"}[self.time]]
        )
        observed = self.observe(sorted({*acted, *self.agents}))
        return observed, dict.fromkeys(acted, 1.0), terminations, truncations, {agent: {} for agent in acted}

    def state(self) -> Any:
        return "state"


def test_agents_come_and_go() -> None:
    env = PettingZooPufferEnv(Team())
    env.reset(seed=3)
    assert (env.num_agents, env.num_envs, env.env.seed) == (3, 1, 3)
    assert env.state() == "state"
    assert env.masks.tolist() == [True, True, False]
    assert env.observations.tolist() == [[0, 1], [0, 2], [0, 0]]

    env.step(np.array([0, 1, 2]))
    assert env.env.taken[-1] == {"a": 0, "b": 1}
    assert env.masks.tolist() == [True, True, True]
    assert env.rewards.tolist() == [1, 1, 0]

    env.step(np.array([0, 1, 2]))
    assert env.env.taken[-1] == {"a": 0, "b": 1, "c": 2}
    assert env.terminals.tolist() == [False, True, False]
    assert env.masks.tolist() == [True, False, True]
    assert env.final_observations[1].tolist() == [2, 2]
    assert env.observations.tolist() == [[2, 1], [0, 0], [2, 3]]
    assert env.episode_returns[1] == 2

    env.step(np.array([0, 1, 2]))
    assert env.terminals.tolist() == [False, False, False]
    assert env.truncations.tolist() == [False, False, True]  # it left without a word
    assert env.rewards.tolist() == [1, 0, 1]
    assert env.masks.tolist() == [True, False, False]

    env.step(np.array([0, 1, 2]))
    assert env.truncations.tolist() == [True, False, False]
    assert env.final_observations[0].tolist() == [4, 1]
    assert env.observations.tolist() == [[0, 1], [0, 2], [0, 0]]
    assert env.masks.tolist() == [True, True, False]
    assert env.log() == {"episodes": 1.0, "episode_return": pytest.approx((4 + 2 + 2) / 3), "episode_length": 4.0}


def test_agents_that_the_environment_keeps_after_their_end() -> None:
    class Keeps(Team):
        def step(self, actions: Any) -> Any:
            self.time += 1
            flags = {"a": self.time >= 2, "b": self.time >= 1}
            return (
                self.observe(["a", "b"]),
                {"a": 1.0, "b": 1.0},
                flags,
                dict.fromkeys("ab", False),
                {"a": {}, "b": {"x": 1}},
            )

    env = PettingZooPufferEnv(Keeps())
    env.reset()
    *_, infos = env.step(np.zeros(3, np.int64))
    assert infos == [{"a": {}, "b": {"x": 1}}]
    assert env.terminals.tolist() == [False, True, False]
    assert env.masks.tolist() == [True, False, False]
    env.step(np.zeros(3, np.int64))
    assert env.terminals.tolist() == [True, False, False]
    assert env.rewards.tolist() == [1, 0, 0]
    assert env.masks.tolist() == [True, True, False]  # all have ended: the next episode


def test_rock_paper_scissors_by_turns() -> None:
    env = PettingZooPufferEnv(env_creator=rps.env, env_kwargs={"max_cycles": 5})
    env.reset(seed=0)
    _, rewards, *_ = env.step(np.array([0, 1]))  # paper beats rock
    assert rewards.tolist() == [-1, 1]
    for _ in range(4):
        env.step(np.array([0, 0]))
    assert env.truncations.tolist() == [True, True]
    assert env.log()["episode_length"] == 5


def test_a_board_game_by_turns() -> None:
    env = PettingZooPufferEnv(tictactoe.env())
    env.reset(seed=0)
    view = env.observations.view(env.obs_dtype)[:, 0]
    for move in (0, 3, 1, 4, 2):  # the first player takes the upper row
        assert env.observations.dtype == np.int8
        assert view["action_mask"].shape == (2, 9)
        env.step(np.array([move, move]))
    assert env.rewards.tolist() == [1, -1]
    assert env.terminals.all()
    assert env.masks.all()


def test_pettingzoo_environments_that_keep_no_rules() -> None:
    class Nobody(Team):
        def __init__(self) -> None:
            super().__init__()
            self.possible_agents = []

    with pytest.raises(APIUsageError, match="has no possible_agents; set them to the list"):
        PettingZooPufferEnv(Nobody())

    class Stranger(Team):
        def reset(self, seed: int | None = None, options: Any = None) -> Any:
            result = super().reset(seed, options)
            self.agents = ["z"]
            return result

    with pytest.raises(APIUsageError, match="agent 'z' is not among its possible_agents"):
        PettingZooPufferEnv(Stranger()).reset()

    class Blind(Team):
        def observe(self, agents: list[str]) -> Any:
            return {}

    with pytest.raises(APIUsageError, match="returned no observation for 'a', which is in its agents"):
        PettingZooPufferEnv(Blind()).reset()


def test_gymnasiums_time_limit_is_read_where_it_keeps_it() -> None:
    """A private name: if this fails, look for its new one in `emulation.from_gymnasium`."""
    env = gymnasium.make("CartPole-v1")
    while not isinstance(env, gymnasium.wrappers.TimeLimit):
        env = env.env  # type: ignore[attr-defined]
    assert env._max_episode_steps == 500


class Reuses(Walk):
    """Has one info for all steps and episodes, and one array in it, nested."""

    def __init__(self) -> None:
        super().__init__()
        self.own = {"path": {"visited": [np.zeros(2)]}, "total": 0.0}

    def reset(self, **arguments: Any) -> Any:
        observation, _ = super().reset(**arguments)
        self.own["path"]["visited"][0][:] = 0  # type: ignore[index]
        self.own["total"] = 0.0
        return observation, self.own

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, _ = super().step(action)
        self.own["path"]["visited"][0] += 1  # type: ignore[index]
        self.own["total"] += 1.0  # type: ignore[operator]
        return observation, reward, terminated, truncated, self.own


def test_the_last_info_of_an_episode_is_not_that_of_the_next_one() -> None:
    env = GymnasiumPufferEnv(Reuses())
    env.reset(seed=0)
    infos: Any = []
    while not (env.terminals[0] or env.truncations[0]):
        infos = env.step(np.ones(env.actions.shape, env.actions.dtype))[4]
    length = float(env.episode_lengths[0])  # type: ignore[index]
    assert length > 1
    assert infos[0]["total"] == length
    assert infos[0]["path"]["visited"][0].tolist() == [length, length]
    assert infos[0]["reset_info"]["total"] == 0.0


@pytest.mark.parametrize("checked_steps", [0, 3, None])
def test_a_time_limit_that_changes_holds_at_once(checked_steps: int | None) -> None:
    """Whether Gymnasium's wrapper still runs or its work is done here, which nobody outside can tell."""
    env = GymnasiumPufferEnv(gymnasium.make("Pendulum-v1", max_episode_steps=50), checked_steps=checked_steps)

    def length() -> int:
        env.step(np.zeros((1, 1), np.float32))
        steps = 1
        while not env.truncations[0]:
            env.step(np.zeros((1, 1), np.float32))
            steps += 1
        return steps

    env.reset(seed=0)
    assert length() == 50
    env.set_attr("_max_episode_steps", 20)
    assert [length(), length()] == [20, 20]
    for _ in range(5):
        env.step(np.zeros((1, 1), np.float32))
    assert env.get_attr("_elapsed_steps") == [5]
    env.set_attr("_max_episode_steps", 9)  # in the middle of an episode
    assert [length(), length()] == [4, 9]
    env.set_attr("_elapsed_steps", 7)
    assert [length(), length()] == [2, 9]
    env.env.set_wrapper_attr("_max_episode_steps", 6)  # behind our back: from the next episode on
    length()
    assert length() == 6


@pytest.mark.parametrize("checked_steps", [0, 16])
def test_a_copy_is_an_environment_of_its_own(checked_steps: int) -> None:
    env = GymnasiumPufferEnv(gymnasium.make("CartPole-v1", max_episode_steps=20), checked_steps=checked_steps)
    team = PettingZooPufferEnv(Team())
    for original, first in ((env, 1), (team, 0)):
        original.reset(seed=0)
        actions = np.full(original.actions.shape, first, original.actions.dtype)
        original.step(actions)
        copied = copy.deepcopy(original)
        before = original.observations.copy()
        copied.step(actions)
        np.testing.assert_array_equal(original.observations, before)
        original.step(actions)
        np.testing.assert_array_equal(original.observations, copied.observations)
        assert not np.shares_memory(original.observations, copied.observations)


def test_actions_that_are_not_int32() -> None:
    with pytest.raises(
        APIUsageError, match="actions from 8589934592 to 8589934595, which are not int32; let them start"
    ):
        GymnasiumPufferEnv(Parts(Discrete(4), Discrete(4, start=2**33)))
    with pytest.raises(APIUsageError, match="which are not int32"):
        GymnasiumPufferEnv(Parts(Discrete(4), Tuple([Discrete(2), Discrete(4, start=-(2**32))])))
    env = GymnasiumPufferEnv(Parts(Discrete(4, start=2**33), Discrete(4)))
    assert env.reset(seed=0)[0][0, 0] >= 2**33


RESET = ({"a": np.zeros(2), "b": np.zeros(2)}, {"a": {}, "b": {}})
NUMBERS, FLAGS = {"a": 0.0, "b": 0.0}, {"a": False, "b": False}


class Careless(ParallelEnv[str, Any, Any]):
    """Two agents; what ``reset`` and ``step`` return is up to the test."""

    metadata: ClassVar[dict[str, Any]] = {"name": "careless"}
    possible_agents: ClassVar[list[str]] = ["a", "b"]

    def __init__(self, first: Any = RESET, result: Any = None) -> None:
        self.first, self.result = first, result

    def observation_space(self, agent: str) -> Any:
        return Box(0, 1, (2,))

    def action_space(self, agent: str) -> Any:
        return Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = list(self.possible_agents)
        return self.first

    def step(self, actions: Any) -> Any:
        return self.result


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "step() returned NoneType None; expected (observations, rewards, terminations, truncations, infos)"),
        ((RESET[0], NUMBERS, FLAGS, RESET[1]), "step() returned 4 values; expected (observations, rewards"),
        ((RESET[0], [0, 0], FLAGS, FLAGS, RESET[1]), "returned list [0, 0] for rewards; expected a dict by agent"),
        ((RESET[0], NUMBERS, False, FLAGS, RESET[1]), "returned bool False for terminations; expected a dict"),
        ((RESET[0], NUMBERS, FLAGS, FLAGS, None), "returned NoneType None for infos; expected a dict by agent"),
        (
            (RESET[0], {"a": 0.0, "b": None}, FLAGS, FLAGS, RESET[1]),
            "the reward NoneType None for 'b'; expected a",
        ),
        (
            (RESET[0], {"a": np.zeros(2), "b": 0.0}, FLAGS, FLAGS, RESET[1]),
            "the reward ndarray [0. 0.] for 'a'; expected a number: weigh its parts with mo_gymnasium.wrappers.Linear",
        ),
    ],
)
def test_what_pettingzoo_environments_return_by_mistake(result: Any, message: str) -> None:
    env = PettingZooPufferEnv(Careless(result=result))
    env.reset()
    with pytest.raises(APIUsageError, match=re.escape(message)):
        env.step(np.array([0, 1]))


@pytest.mark.parametrize("first", [None, RESET[0], ([np.zeros(2)] * 2, {})], ids=["None", "no infos", "list"])
def test_resets_of_pettingzoo_environments_by_mistake(first: Any) -> None:
    with pytest.raises(APIUsageError, match=r"reset\(\) returned .*; expected \(observations, infos\), two dicts by"):
        PettingZooPufferEnv(Careless(first)).reset()


def test_other_mistakes_and_what_is_none() -> None:
    old = GymnasiumPufferEnv(Old((np.zeros(1, np.float32), [1, 2], False, False, {})))
    old.reset()
    with pytest.raises(APIUsageError, match="returned the reward list \\[1, 2\\]; expected a number: weigh its parts"):
        old.step(np.array([0]))
    with pytest.raises(APIUsageError, match="Unfinished has no observation_space; set it, in the class or in __init__"):
        GymnasiumPufferEnv(type("Unfinished", (gymnasium.Env,), {"__qualname__": "Unfinished"})())
    env = GymnasiumPufferEnv(Old((np.zeros(1, np.float32), 1.0, True, False, None)))
    env.reset(seed=np.int64(5))  # type: ignore[arg-type]
    assert env.step(np.array([0]))[4] == []
