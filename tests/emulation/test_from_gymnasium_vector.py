"""Vector environments of Gymnasium, ALE and EnvPool as PufferEnvs."""

from __future__ import annotations

import copy
import pickle
import re
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from numpy.typing import NDArray

from puffer_numba import presets, vector
from puffer_numba.emulation import PufferVectorEnv, VectorPufferEnv
from puffer_numba.env import APIUsageError, NumberedInfos, make_buffers
from puffer_numba.naming import arguments_of, env_creator, makes_batch, render_modes
from puffer_numba.vector.pools import Pooled

pytestmark = pytest.mark.slow  # together: most start processes or train

NUM = 5
STEPS = 300
MODES = list(AutoresetMode)


class Wander(gymnasium.Env[Any, Any]):
    """Everything that a space can be, drawn at random; episodes end in both ways, after a few steps; so do infos."""

    def __init__(self) -> None:
        self.observation_space = Dict(
            camera=Box(0, 255, (2, 3), np.uint8),
            count=Discrete(100),
            parts=Tuple([Box(-9, 9, (), np.float32), MultiDiscrete([3, 4])]),
            word=Text(4, charset="abc"),
            either=OneOf([Discrete(3), Box(0, 1, (2,), np.float32)]),
        )
        self.action_space = Dict(turn=Discrete(3, start=-1), push=Box(-1, 1, (2,), np.float64), keys=MultiBinary(2))
        self.weight = 1

    def observe(self) -> Any:
        draw = self.np_random
        return {
            "camera": draw.integers(0, 256, (2, 3), np.uint8),
            "count": self.time,
            "parts": (np.asarray(draw.uniform(-9, 9), np.float32), draw.integers(0, 3, 2)),
            "word": "abc"[: draw.integers(1, 4)],
            "either": (0, draw.integers(3)) if draw.random() < 0.5 else (1, draw.random(2, np.float32)),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {"start": float(self.np_random.random())} if self.np_random.random() < 0.7 else {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.time += 1
        reward = self.weight * float(action["push"].sum() + action["turn"] + action["keys"].sum())
        ends = self.np_random.random(2) < 0.1
        info = {"score": reward, "nested": {"time": self.time}} if self.time % 3 == 0 or ends.any() else {}
        return self.observe(), reward, bool(ends[0]), bool(ends[1]), info


def sync(mode: AutoresetMode, num_envs: int = NUM, make: Any = Wander) -> SyncVectorEnv:
    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode, copy=False)


def plain(value: Any) -> Any:
    """Infos without NumPy's scalars."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def by_number(infos: Any) -> dict[int, Any]:
    return {number: plain(info) for number, info in infos.by_environment()} if infos else {}


def assert_alike(ours: Any, theirs: Any, ours_infos: Any, theirs_infos: Any) -> NDArray[np.bool_]:
    """Two PufferEnvs show the same; where an episode ended, the same last observations and statistics."""
    for name in ("observations", "rewards", "terminals", "truncations"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
    ended = ours.terminals | ours.truncations
    for name in ("final_observations", "episode_returns", "episode_lengths"):
        np.testing.assert_array_equal(getattr(ours, name)[ended], getattr(theirs, name)[ended], name)
    assert by_number(ours_infos) == by_number(theirs_infos)
    return ended


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [Wander, partial(gymnasium.make, "CartPole-v1", max_episode_steps=25)])
def test_each_mode_becomes_same_step(mode: AutoresetMode, make: Any) -> None:
    """The arrays that single environments behind the serial backend give, with resets in the same step."""
    env = VectorPufferEnv(sync(mode, make=make), strict=True)
    expected = vector.make(make, num_envs=NUM, backend="serial")
    assert env.single_observation_space == expected.single_observation_space
    assert env.single_action_space == expected.single_action_space
    assert not env.waits
    infos, expected_infos = env.reset(seed=7)[1], expected.reset(seed=7)[1]
    assert_alike(env, expected, infos, expected_infos)
    ends = np.zeros(2, np.int64)
    for _ in range(STEPS):
        actions = env.action_space.sample()
        infos, expected_infos = env.step(actions)[4], expected.step(actions)[4]
        assert_alike(env, expected, infos, expected_infos)
        ends += env.terminals.sum(), env.truncations.sum()
        assert env.masks.all()
    assert ends.min() > 20 or make is not Wander
    log, expected_log = env.log(), expected.log()
    assert log == pytest.approx(expected_log)
    assert log["episodes"] > 20
    assert env.log() == {"episodes": 0.0}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_the_other_modes_as_they_are(mode: AutoresetMode) -> None:
    env = VectorPufferEnv(sync(mode), autoreset=mode, strict=True)
    expected = vector.make(Wander, num_envs=NUM, backend="serial", autoreset=mode)
    assert env.autoreset == expected.autoreset
    infos, expected_infos = env.reset(seed=3)[1], expected.reset(seed=3)[1]
    for _ in range(STEPS):
        actions = env.action_space.sample()
        infos, expected_infos = env.step(actions)[4], expected.step(actions)[4]
        ended = assert_alike(env, expected, infos, expected_infos)
        if mode is AutoresetMode.DISABLED and ended.any():
            with pytest.raises(APIUsageError, match="has ended"):
                env.step(actions)
            infos, expected_infos = env.reset(mask=ended)[1], expected.reset(mask=ended)[1]
            assert_alike(env, expected, infos, expected_infos)
    assert env.log() == pytest.approx(expected.log())


def test_next_step_can_be_disabled_where_it_resets_with_a_mask() -> None:
    env = VectorPufferEnv(sync(AutoresetMode.NEXT_STEP), autoreset="disabled")
    expected = VectorPufferEnv(sync(AutoresetMode.DISABLED), autoreset="disabled")
    env.reset(seed=1)
    expected.reset(seed=1)
    for _ in range(100):
        actions = env.action_space.sample()
        ended = assert_alike(env, expected, env.step(actions)[4], expected.step(actions)[4])
        if ended.any():
            env.reset(mask=ended)
            expected.reset(mask=ended)


def test_others_of_next_step_wait_for_a_step_that_is_masked() -> None:
    """As next-step resets do; and who looks at the masks learns nothing from the step that is lost."""
    env = VectorPufferEnv(VectorWrapper(sync(AutoresetMode.NEXT_STEP)))
    expected = vector.make(Wander, num_envs=NUM, backend="serial", autoreset="next-step")
    assert env.waits
    env.reset(seed=7)
    expected.reset(seed=7)
    before = np.zeros(NUM, np.bool_)
    for _ in range(STEPS):
        actions = env.action_space.sample()
        ended = assert_alike(env, expected, env.step(actions)[4], expected.step(actions)[4])
        np.testing.assert_array_equal(env.masks, ~ended)
        assert not np.any([env.rewards[before], ended[before]])
        before = ended
    assert env.log() == pytest.approx(expected.log())
    with pytest.raises(APIUsageError, match="resets all of its environments or none"):
        env.reset(mask=before if not before.all() and before.any() else np.arange(NUM) == 0)
    with pytest.raises(APIUsageError, match="wait for a step, masked"):
        PufferVectorEnv(env)
    PufferVectorEnv(VectorPufferEnv(VectorWrapper(sync(AutoresetMode.NEXT_STEP)), autoreset="next-step"))


def test_cartpole_on_numpy_counts_its_episodes_as_they_are() -> None:
    """A pole that is never pushed the other way falls after 8 to 11 steps, each worth 1: no step of a reset counts."""
    env = vector.make("gymvec:CartPole-v1", num_envs=64)
    assert type(env.env) is CartPoleVectorEnv
    env.reset(seed=0)
    lengths: list[int] = []
    for _ in range(100):
        env.step(np.ones(64, np.int32))
        ended = env.terminals | env.truncations
        lengths += env.episode_lengths[ended].tolist()
        np.testing.assert_array_equal(env.episode_returns[ended], env.episode_lengths[ended])
        assert (np.abs(env.final_observations[ended][:, 2]) > 0.2).all()
    assert min(lengths) > 7
    assert max(lengths) < 12
    assert env.log()["episode_return"] == pytest.approx(np.mean(lengths))


@pytest.mark.parametrize("mode", ["same-step", "next-step", "disabled"])
def test_modes_that_cannot_be(mode: str) -> None:
    made = sync(AutoresetMode.SAME_STEP if mode != "same-step" else AutoresetMode.DISABLED)
    if mode == "same-step":
        assert VectorPufferEnv(made, autoreset=mode).autoreset == 0
        return
    with pytest.raises(APIUsageError, match=f"SyncVectorEnv has autoreset 'same-step', of which '{mode}' cannot"):
        VectorPufferEnv(made, autoreset=mode)


def test_infos_are_taken_apart_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from puffer_numba.emulation import from_gymnasium_vector

    env = VectorPufferEnv(sync(AutoresetMode.SAME_STEP))
    calls = []
    take = from_gymnasium_vector._info
    monkeypatch.setattr(from_gymnasium_vector, "_info", lambda *args: calls.append(1) or take(*args))
    env.reset(seed=0)
    for _ in range(20):
        infos = env.step(env.action_space.sample())[4]
    assert not calls
    while not infos:
        infos = env.step(env.action_space.sample())[4]
    assert isinstance(infos, NumberedInfos)
    assert len(infos) == len(infos.numbers)
    assert pickle.loads(pickle.dumps(infos)) == infos
    assert pickle.loads(pickle.dumps(infos)).numbers == infos.numbers
    assert infos == list(infos) == eval(repr(infos), {"np": np, "array": np.array})
    assert next(iter(infos)) == infos[0]


def test_steps_go_into_buffers_of_the_callers_own() -> None:
    env, expected = (VectorPufferEnv(sync(AutoresetMode.NEXT_STEP)) for _ in range(2))
    env.reset(seed=0)
    expected.reset(seed=0)
    slots = [env.prepare(make_buffers(env.single_observation_space, env.single_action_space, NUM)) for _ in range(3)]
    for step in range(60):
        actions = env.action_space.sample()
        observations, *_ = env.step(actions, out=slots[step % 3])
        expected.step(actions)
        assert observations is slots[step % 3].buffers.observations
        for array, other in zip(env.buffers, expected.buffers, strict=True):
            if array is not env.final_observations:
                np.testing.assert_array_equal(array, other)
    twin = copy.deepcopy(env)
    actions = env.action_space.sample()
    np.testing.assert_array_equal(env.step(actions)[0], twin.step(actions)[0])
    assert not np.shares_memory(env.observations, twin.observations)


def test_attributes_calls_and_the_end() -> None:
    made = sync(AutoresetMode.SAME_STEP)
    with VectorPufferEnv(made) as env:
        env.reset(seed=[5, None, 5, 6, 7])
        np.testing.assert_array_equal(env.observations[0], env.observations[2])
        env.set_attr("weight", [0, 1, 2, 3, 4])
        assert env.get_attr("weight") == [0, 1, 2, 3, 4]
        assert env.get_attr("weight", [3]) == [3]
        assert env.call("observe", numbers=[0])[0].keys() == made.single_observation_space.spaces.keys()
        with pytest.raises(APIUsageError, match="2 seeds for 5 environments"):
            env.reset(seed=[1, 2])
        with pytest.raises(APIUsageError, match="action of row"):
            env.step(np.full(env.actions.shape, 7.0))
    with pytest.raises(APIUsageError, match="closed"):
        env.reset()
    assert made.closed


def test_send_and_recv() -> None:
    """Also of a vector environment that steps at once; and what comes between the two is refused, or waits."""
    make = partial(gymnasium.make, "CartPole-v1")
    for made in (SyncVectorEnv([make] * 2), AsyncVectorEnv([make] * 2)):
        expected = VectorPufferEnv(SyncVectorEnv([make] * 2))
        with VectorPufferEnv(made) as env:
            expected.reset(seed=1)
            env.async_reset(seed=1)
            env.recv()
            for _ in range(40):
                actions = expected.action_space.sample()
                env.send(actions, env_ids=env.agent_ids)
                with pytest.raises(APIUsageError, match="called twice"):
                    env.send(actions)
                with pytest.raises(APIUsageError, match=r"step\(\) was called after send"):
                    env.step(actions)
                *_, infos, env_ids, masks = env.recv()
                assert_alike(env, expected, infos, expected.step(actions)[4])
                assert (env_ids.tolist(), masks.tolist()) == ([0, 1], [True, True])
            with pytest.raises(APIUsageError, match="nothing to return"):
                env.recv()
            env.send(actions)
            np.testing.assert_array_equal(env.reset(seed=4)[0], expected.reset(seed=4)[0])
            env.send(actions)


def test_what_does_not_fit_is_told() -> None:
    class Wrong(VectorWrapper):
        change: Any = staticmethod(lambda result: result)

        def step(self, actions: Any) -> Any:
            return self.change(super().step(actions))

    def stepped(change: Any, **options: Any) -> None:
        made = Wrong(sync(AutoresetMode.SAME_STEP, make=partial(gymnasium.make, "CartPole-v1")))
        made.change = change
        env = VectorPufferEnv(made, **options)
        env.reset(seed=0)
        for _ in range(60):
            env.step(env.action_space.sample())

    with pytest.raises(APIUsageError, match=re.escape("observation_space: expected shape (5, 4)")):
        stepped(lambda result: (result[0][:, :3], *result[1:]))
    with pytest.raises(APIUsageError, match="with three of shape"):
        stepped(lambda result: (result[0], result[1][:3], *result[2:]))
    with pytest.raises(APIUsageError, match=r"NaN at index \(1, 0\)"):
        stepped(lambda result: (result[0] + np.array([[0], [np.nan], [0], [0], [0]]), *result[1:]), strict=True)
    with pytest.raises(APIUsageError, match="its infos have no 'final_obs'"):
        stepped(lambda result: (*result[:4], {}))
    with pytest.raises(APIUsageError, match=r"takes a gymnasium\.vector\.VectorEnv, not a"):
        VectorPufferEnv(Wander())
    with pytest.raises(APIUsageError, match="batch_size is 2, but a CartPoleVectorEnv does not step in the background"):
        vector.make("gymvec:CartPole-v1", num_envs=4, batch_size=2)
    with pytest.raises(APIUsageError, match="zero_copy=False takes whichever workers are ready first"):
        vector.make("gymvec:CartPole-v1", num_envs=4, batch_size=2, zero_copy=False)
    with pytest.raises(APIUsageError, match="num_envs is 4, not a multiple of batch_size, 3"):
        vector.make("gymvec:CartPole-v1", num_envs=4, batch_size=3)
    with pytest.raises(APIUsageError, match="was called with num_envs=4, and made 3 environments"):
        vector.make(lambda num_envs: sync(AutoresetMode.SAME_STEP, 3), num_envs=4)


def test_vector_make_takes_what_makes_vector_environments() -> None:
    """Called once, with what it takes of num_envs and seed; without num_envs, once for each, in the usual backends."""
    given: list[tuple[int, int]] = []

    def create(num_envs: int, seed: int) -> SyncVectorEnv:
        given.append((num_envs, seed))
        return sync(AutoresetMode.NEXT_STEP, num_envs)

    env = vector.make(create, num_envs=6, seed=11)
    assert (type(env), env.num_envs, given) == (VectorPufferEnv, 6, [(6, 11)])
    expected = vector.make(Wander, num_envs=6, seed=11, backend="serial")
    np.testing.assert_array_equal(env.reset()[0], expected.reset()[0])
    assert type(vector.make(CartPoleVectorEnv, num_envs=3).env) is CartPoleVectorEnv
    assert vector.make(partial(gymnasium.make_vec, "CartPole-v1"), num_envs=3).num_envs == 3
    assert vector.make("gymvec:Pendulum-v1", num_envs=2, env_kwargs={"g": 1.0}).get_attr("g") == [1.0, 1.0]
    assert not makes_batch(partial(gymnasium.make_vec, "CartPole-v1", num_envs=3))
    assert not makes_batch(Wander)

    three = vector.make(partial(sync, AutoresetMode.SAME_STEP, 3), num_envs=2, seed=11, backend="serial")
    assert (three.num_agents, three.num_envs) == (6, 6)
    single = vector.make(Wander, num_envs=6, seed=11, backend="serial")
    assert_alike(three, single, three.reset()[1], single.reset()[1])
    for _ in range(50):
        actions = single.action_space.sample()
        assert_alike(three, single, three.step(actions)[4], single.step(actions)[4])
    assert vector.make("gymvec:CartPole-v1", num_envs=2, backend="serial").num_envs == 2


def test_parts_step_in_the_background() -> None:
    """With batch_size the trajectories of one vector environment, and of single ones."""
    make = partial(gymnasium.make, "CartPole-v1")

    def create(num_envs: int) -> AsyncVectorEnv:
        return AsyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)

    with vector.make(create, num_envs=4, batch_size=2) as env:
        assert isinstance(env, Pooled)
        assert_same_as_serial(env, vector.make(make, num_envs=4, backend="serial"))
        assert env.get_attr("spec", [0])[0].id == "CartPole-v1"
    env.close()
    with pytest.raises(APIUsageError, match="closed"):
        env.recv()


def assert_same_as_serial(env: Any, expected: Any, steps: int = 100) -> None:
    expected.reset(seed=9)
    expected.log()
    env.async_reset(seed=9)
    batches = [env.recv()[5] for _ in range(env.num_agents // env.agents_per_batch)]
    assert sorted(np.concatenate(batches)) == list(range(env.num_agents))
    for _ in range(steps):
        actions = expected.action_space.sample()
        for rows in batches:
            env.send(actions[rows], env_ids=rows)
        infos = NumberedInfos()
        for rows in batches:
            *_, part, env_ids, _ = env.recv()
            np.testing.assert_array_equal(rows, env_ids)
            infos = NumberedInfos([infos, part])
        assert_alike(env, expected, infos, expected.step(actions)[4])
    assert env.log() == pytest.approx(expected.log())


def test_gymnasiums_own_again() -> None:
    """There and back: the view of a wrapped vector environment is as that environment was."""
    env = PufferVectorEnv(VectorPufferEnv(sync(AutoresetMode.SAME_STEP)))
    expected = SyncVectorEnv([Wander] * NUM, autoreset_mode=AutoresetMode.SAME_STEP)
    assert env.single_observation_space == expected.single_observation_space
    seeds = [3, 1, 4, 1, 5]
    (observations, infos), (others, other_infos) = env.reset(seed=seeds), expected.reset(seed=seeds)
    expected.action_space.seed(0)
    for _ in range(60):
        np.testing.assert_equal(observations, others)
        assert infos.keys() == other_infos.keys()
        actions = expected.action_space.sample()
        observations, _, _, _, infos = env.step(actions)
        others, _, _, _, other_infos = expected.step(actions)


def test_ale_in_both_of_its_modes() -> None:
    ale_py = pytest.importorskip("ale_py")
    options = {"game": "pong", "max_num_frames_per_episode": 80, "noop_max": 5}
    envs = [
        vector.make(ale_py.AtariVectorEnv, env_kwargs={**options, "autoreset_mode": mode}, num_envs=4)
        for mode in ("SameStep", "NextStep")
    ]
    parts = vector.make(ale_py.AtariVectorEnv, env_kwargs=options, num_envs=4, batch_size=2)
    assert [env.waits for env in envs] == [False, False]
    for env in envs:
        assert env.reset(seed=3)[0].shape == (4, 4, 84, 84)
    np.testing.assert_array_equal(envs[0].observations, envs[1].observations)
    ended = 0
    for _ in range(50):
        actions = envs[0].action_space.sample()
        for env in envs:
            infos = env.step(actions)[4]
            keys = ["reset_info"] if env.truncations[0] else ["episode_frame_number", "frame_number", "lives"]
            assert infos.numbers == [0, 1, 2, 3]
            assert set(keys) <= set(infos[0]) <= {*keys, "episode_frame_number", "frame_number", "lives"}
        np.testing.assert_array_equal(envs[0].rewards, envs[1].rewards)
        np.testing.assert_array_equal(envs[0].truncations, envs[1].truncations)
        over = envs[0].truncations
        np.testing.assert_array_equal(envs[0].final_observations[over], envs[1].final_observations[over])
        ended += over.sum()
        if over.any():
            break
    assert ended
    assert_same_as_serial(parts, envs[1], steps=4)
    with pytest.raises(APIUsageError, match="batches of 2; make it without a batch_size"):
        VectorPufferEnv(ale_py.AtariVectorEnv("pong", 4, batch_size=2))


def test_ppo_learns_from_a_vector_environment(tmp_path: Any) -> None:
    pytest.importorskip("torch")
    from puffer_numba.pufferl import train

    settings = {"train.total_timesteps": 80_000, "train.data_dir": str(tmp_path), "train.seed": 1}
    trained = train("gymvec:CartPole-v1", settings)
    assert trained.statistics.mean_return > 150


def test_names_and_their_options() -> None:
    assert makes_batch(env_creator("gymvec:CartPole-v1"))
    assert arguments_of(env_creator("gymvec:CartPole-v1"))["sutton_barto_reward"].default is False
    assert arguments_of(env_creator("gymvec:Pendulum-v1"))["g"].default == 10.0
    assert render_modes("gymvec:CartPole-v1") == ("rgb_array",)
    assert presets.settings("envpool:Pendulum-v1") == presets.settings("gym:Pendulum-v1") != {}
    with pytest.raises(APIUsageError, match="gymvec:CartPoal-v1"):
        env_creator("gymvec:CartPoal-v1")


# ---------------------------------------------------------------------- EnvPool


@pytest.mark.filterwarnings("ignore:.*precision lowered")  # EnvPool's own, when it makes its spaces
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "HalfCheetah-v5"])
def test_envpool_resets_in_the_same_step(name: str) -> None:
    """What its own next-step resets show, one step earlier; and the last observations, which they show, too."""
    envpool = pytest.importorskip("envpool")
    limit = {"max_episode_steps": 30}
    env = vector.make(f"envpool:{name}", num_envs=4, seed=3, env_kwargs=limit)
    ends = {4: 0}
    own = envpool.make_gymnasium(name, num_envs=4, seed=3, **limit)
    observations, _ = own.reset()
    np.testing.assert_array_equal(env.reset(seed=3)[0], observations.reshape(env.observations.shape))
    for _ in range(120):
        actions = env.action_space.sample()
        env.step(actions)
        observations, rewards, terminated, truncated, _ = own.step(actions)
        np.testing.assert_array_equal(env.rewards, rewards)
        np.testing.assert_array_equal(env.terminals, terminated)
        np.testing.assert_array_equal(env.truncations, truncated)
        over = np.flatnonzero(terminated | truncated)
        observations = observations.reshape(env.observations.shape)
        np.testing.assert_array_equal(env.final_observations[over], observations[over])
        if len(over):
            started, _ = own.reset(over)
            observations = observations.copy()
            observations[over] = started.reshape(len(over), *env.observations.shape[1:])
        np.testing.assert_array_equal(env.observations, observations)
        ends[4] += len(over)
    assert ends[4] >= 4


def test_envpool_in_parts_with_seeds_and_options() -> None:
    pytest.importorskip("envpool")
    whole = vector.make("envpool:CartPole-v1", num_envs=8, seed=9)
    with vector.make("envpool:CartPole-v1", num_envs=8, batch_size=2, seed=5) as parts:
        assert_same_as_serial(parts, whole)
    first = whole.reset(seed=2)[0].copy()
    whole.step(whole.action_space.sample())
    np.testing.assert_array_equal(whole.reset(seed=2)[0], first)
    assert (whole.reset()[0] != first).any()
    np.testing.assert_array_equal(whole.reset(seed=[2, 3, 4, 5, 6, 7, 8, 9])[0], first)
    assert arguments_of(env_creator("envpool:Pong-v5"))["frame_skip"].default == 4
    assert "num_envs" not in arguments_of(env_creator("envpool:Pong-v5"))
    with pytest.raises(APIUsageError, match=r"EnvPool has no environment 'Png-v5'\. Did you mean 'Pong-v5'"):
        env_creator("envpool:Png-v5")


def test_envpool_made_by_its_user() -> None:
    envpool = pytest.importorskip("envpool")
    pool = VectorPufferEnv(envpool.make_gymnasium("CartPole-v1", num_envs=2))
    pool.reset()
    with pytest.raises(APIUsageError, match="has the seeds that it was made with"):
        pool.reset(seed=4)
    with pytest.raises(APIUsageError, match="batches of 2"):
        VectorPufferEnv(envpool.make_gymnasium("CartPole-v1", num_envs=4, batch_size=2))
    for mode in ("next-step", "disabled"):
        env = vector.make("envpool:CartPole-v1", num_envs=2, autoreset=mode)
        env.reset(seed=0)
        ended = np.zeros(2, np.bool_)
        while not ended.any():
            env.step(np.ones(2, np.int32))
            ended = env.terminals | env.truncations
        if mode == "disabled":
            env.reset(mask=ended)
        else:
            env.step(np.ones(2, np.int32))
        assert (np.abs(env.observations[ended]) < 0.05).all()
    images = vector.make("envpool:CartPole-v1", num_envs=2, env_kwargs={"render_mode": "rgb_array"})
    images.reset()
    assert images.render().ndim == 3
    assert len(images.render_each("rgb_array")) == 2
