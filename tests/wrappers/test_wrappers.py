"""Wrappers over every kind of PufferEnv, against Gymnasium's own wrappers, Stable-Baselines3's, and NumPy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import puffer_numba
from puffer_numba import APIUsageError, PufferEnv, vector
from puffer_numba.emulation import GymnasiumPufferEnv, PettingZooPufferEnv, PufferVectorEnv
from puffer_numba.env import make_buffers
from puffer_numba.extras import MissingExtra
from puffer_numba.wrappers.actions import ClipAction, RescaleAction
from puffer_numba.wrappers.base import Wrapper
from puffer_numba.wrappers.images import FrameStack, ResizeObservation
from puffer_numba.wrappers.normalize import NormalizeObservation, NormalizeReward
from puffer_numba.wrappers.statistics import EpisodeStats
from tests.helpers.gym_envs import Camera, Walking
from tests.helpers.jit_envs import Locks, Paint, Push, Team, Walk

cv2 = pytest.importorskip("cv2")

KINDS: dict[str, Callable[[Any, int], PufferEnv]] = {
    "serial": lambda creator, n: vector.make(creator, num_envs=n, backend="serial"),
    "multiprocessing": lambda creator, n: vector.make(creator, num_envs=n, num_workers=2),
}
PENDULUM = partial(gymnasium.make, "Pendulum-v1", max_episode_steps=9)


def random_actions(env: PufferEnv, rng: np.random.Generator, rows: int | None = None) -> Any:
    space, shape = env.single_action_space, (rows or env.num_agents, *(env.single_action_space.shape or ()))
    if isinstance(space, Box):
        return rng.uniform(np.maximum(space.low, -9), np.minimum(space.high, 9), shape).astype(space.dtype)
    return space.start + rng.integers(0, space.n if isinstance(space, Discrete) else space.nvec, shape)


def copies(env: PufferEnv) -> dict[str, Any]:
    ended = env.terminals | env.truncations
    arrays = {
        name: getattr(env, name).copy() for name in ("observations", "rewards", "terminals", "truncations", "masks")
    }
    return {**arrays, "final": env.final_observations[ended].copy()}


def run(env: PufferEnv, steps: int, seed: int = 3, actions: Any = None) -> list[dict[str, Any]]:
    """What it shows at the reset and at each step."""
    rng = np.random.default_rng(0)
    env.reset(seed)
    seen = [copies(env)]
    for step in range(steps):
        env.step(random_actions(env, rng) if actions is None else actions[step])
        seen.append(copies(env))
    return seen


# ---------------------------------------------------------------------- the base


class Passive(Wrapper):
    """Has arrays of its own, with the same content."""

    own = frozenset({"observations", "rewards", "final_observations"})

    def update(self, rows: Any) -> None:
        for name in self.own:
            getattr(self, name)[rows] = getattr(self.env, name)[rows]


MAKERS: dict[str, Callable[[], PufferEnv]] = {
    "jit": lambda: Walk(5, jit=False),
    "team": lambda: Team(3, jit=False, lifetimes=[2, 4, 3], revive_at=5),
    "serial": lambda: vector.make(Camera, num_envs=4, backend="serial"),
    "multiprocessing": lambda: vector.make(Camera, num_envs=4, num_workers=2),
    "one": lambda: GymnasiumPufferEnv(Camera()),
    "pettingzoo": lambda: vector.make("pettingzoo:classic.rps_v2", num_envs=2, backend="serial"),
}


@pytest.mark.parametrize("wrap", [Wrapper, Passive, lambda env: Passive(Wrapper(Passive(env)))])
@pytest.mark.parametrize("kind", MAKERS)
def test_the_contract_is_kept(kind: str, wrap: Any) -> None:
    with MAKERS[kind]() as plain, wrap(MAKERS[kind]()) as wrapped:
        assert (wrapped.num_agents, wrapped.num_envs) == (plain.num_agents, plain.num_envs)
        assert wrapped.observation_space == plain.observation_space
        assert wrapped.action_space == plain.action_space
        assert wrapped.emulated == plain.emulated or wrapped.emulated is not None
        assert wrapped.nbytes >= plain.nbytes
        for a, b in zip(run(wrapped, 25), run(plain, 25), strict=True):
            for name in b:
                np.testing.assert_array_equal(a[name], b[name], name)
        assert wrapped.log() == pytest.approx(plain.log())
        np.testing.assert_array_equal(wrapped.episode_returns, plain.episode_returns)
    assert wrapped.closed
    assert wrapped.env.closed
    wrapped.close()


def test_asynchronous_pair() -> None:
    for kind in ("jit", "serial", "multiprocessing"):
        with MAKERS[kind]() as plain, Passive(MAKERS[kind]()) as wrapped:
            rng = np.random.default_rng(0)
            for env in (plain, wrapped):
                env.async_reset(4)
            for _ in range(15):
                results = [env.recv() for env in (plain, wrapped)]
                for a, b in zip(*results, strict=True):
                    if isinstance(a, np.ndarray):
                        np.testing.assert_array_equal(a, b)
                actions = random_actions(plain, rng)
                for env in (plain, wrapped):
                    env.send(actions)


@pytest.mark.parametrize("zero_copy", [True, False])
def test_batches_of_the_workers_that_are_ready_first(zero_copy: bool) -> None:
    """Whatever comes first: each row's frames, and its reward, are its own."""
    env = FrameStack(vector.make(Walking, num_envs=8, num_workers=4, batch_size=4, zero_copy=zero_copy), 3)
    env = EpisodeStats(Negative(env))
    assert env.agents_per_batch == 4
    with env:
        env.async_reset(0)
        steps = np.zeros(8, int)
        for _ in range(60):
            observations, rewards, terminals, _, _, rows, masks = env.recv()
            assert len(rows) == len(rewards) == len(masks) == 4
            for k, row in enumerate(rows):
                ended = steps[row] == 5
                assert terminals[k] == ended
                assert rewards[k] == -steps[row]
                if ended:
                    assert env.final_observations[row].tolist() == [[row, 3], [row, 4], [row, 5]]
                    assert (env.episode_returns[row], env.episode_lengths[row]) == (-15, 5)
                    steps[row] = 0
                times = [max(0, steps[row] - 2 + k) for k in range(3)]
                assert observations[k].tolist() == [[row, time] for time in times]
            steps[rows] += 1
            env.send(np.zeros(4, np.int64))
        assert env.log()["episode_length"] == 5


class Negative(Wrapper):
    own = frozenset({"rewards"})

    def update(self, rows: Any) -> None:
        self.rewards[rows] = -self.env.rewards[rows]


@pytest.mark.parametrize("kind", ["jit", "serial", "one"])
def test_bound_to_other_buffers(kind: str) -> None:
    """As a trainer does with the steps of its storage, again and again."""
    plain, wrapped = MAKERS[kind](), FrameStack(Negative(MAKERS[kind]()), 2)
    slots = [
        make_buffers(wrapped.single_observation_space, wrapped.single_action_space, wrapped.num_agents)
        for _ in range(3)
    ]
    prepared = [wrapped.prepare(slot) for slot in slots]
    assert wrapped.takes_out is (kind == "jit")
    rng = np.random.default_rng(0)
    plain.reset(2)
    wrapped.reset(2)
    before = plain.observations.copy()
    for step in range(20):
        actions = random_actions(plain, rng)
        plain.step(actions)
        if wrapped.takes_out:
            wrapped.step(actions, out=prepared[step % 3])
        else:
            wrapped.bind(slots[step % 3])
            wrapped.step(actions)
        assert wrapped.observations is slots[step % 3].observations
        np.testing.assert_array_equal(slots[step % 3].rewards, -plain.rewards)
        np.testing.assert_array_equal(slots[step % 3].terminals, plain.terminals)
        ended = plain.terminals | plain.truncations
        np.testing.assert_array_equal(wrapped.observations[:, 1], plain.observations)
        np.testing.assert_array_equal(wrapped.observations[~ended, 0], before[~ended])
        np.testing.assert_array_equal(wrapped.final_observations[ended, 0], before[ended])
        wrapped.observations[:] = 0  # which the owner of the buffers may do
        before = plain.observations.copy()


def test_what_cannot_be_wrapped() -> None:
    with pytest.raises(
        APIUsageError, match=r"EpisodeStats takes a PufferEnv, not a Camera; .*puffer_numba\.vector\.make"
    ):
        EpisodeStats(Camera())  # type: ignore[arg-type]
    with pytest.raises(APIUsageError, match="FrameStack takes an environment that resets itself in the same step"):
        FrameStack(Walk(2, jit=False, autoreset="next-step"), 2)
    with (
        pytest.raises(APIUsageError, match="cannot be bound to other buffers"),
        Negative(MAKERS["multiprocessing"]()) as env,
    ):
        env.bind(env.buffers)


def test_seeds_and_options_go_through() -> None:
    class Keeps(Camera):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.given = (seed, options)
            return super().reset(seed=seed)

    env = Negative(vector.make(Keeps, num_envs=2, backend="serial"))
    env.reset([5, 3], options={"level": 1})
    assert [one.given for one in env.env.envs] == [(5, {"level": 1}), (3, {"level": 1})]  # type: ignore[attr-defined]


def test_wrapped_once_more_as_others() -> None:
    """A wrapped environment as Gymnasium's, and one that a vector backend makes."""
    stacked = FrameStack(puffer_numba.make("cartpole", num_envs=4), 3)
    envs = PufferVectorEnv(stacked)
    assert envs.reset(seed=0)[0].shape == (4, 3, 4)
    assert "final_obs" in [envs.step([1] * 4)[-1] for _ in range(15)][-1] or envs.puffer_env.log()["episodes"] > 0
    made = vector.make(lambda: FrameStack(GymnasiumPufferEnv(Camera()), 2), num_envs=4, num_workers=2)
    alone = FrameStack(vector.make(Camera, num_envs=4, backend="serial"), 2)
    with made:
        assert made.single_observation_space == alone.single_observation_space
        actions = [random_actions(alone, np.random.default_rng(step)) for step in range(15)]
        for a, b in zip(run(made, 15, actions=actions), run(alone, 15, actions=actions), strict=True):
            np.testing.assert_array_equal(a["observations"], b["observations"])


# ---------------------------------------------------------------------- statistics


class Silent(Wrapper):
    """Hides the statistics of the environment."""

    def __init__(self, env: PufferEnv) -> None:
        super().__init__(env)
        self.episode_returns = self.episode_lengths = None

    def log(self) -> dict[str, float]:
        return {"score": 2.0}


@pytest.mark.parametrize("kind", ["jit", "serial", "multiprocessing", "team"])
def test_episode_stats_equal_those_of_environments_that_keep_them(kind: str) -> None:
    made = {**MAKERS, "team": lambda: Team(3, jit=False, lifetimes=[2, 4, 3], length=6)}
    with made[kind]() as plain, EpisodeStats(Silent(made[kind]())) as wrapped:
        rng = np.random.default_rng(0)
        for env in (plain, wrapped):
            env.reset(1)
        returns: list[float] = []
        for _ in range(40):
            actions = random_actions(plain, rng)
            plain.step(actions)
            wrapped.step(actions)
            ended = plain.terminals | plain.truncations
            np.testing.assert_allclose(wrapped.episode_returns[ended], plain.episode_returns[ended], rtol=1e-6)
            np.testing.assert_array_equal(wrapped.episode_lengths[ended], plain.episode_lengths[ended])
            returns += plain.episode_returns[ended].tolist()
        log = wrapped.log()
        assert log["episodes"] == len(returns) > 15
        assert log["episode_return"] == pytest.approx(np.mean(returns))
        assert log["score"] == 2.0
        assert wrapped.log() == {"score": 2.0, "episodes": 0.0}
        wrapped.reset(1)
        wrapped.step(random_actions(plain, rng))
        assert wrapped.log()["episodes"] <= wrapped.num_agents  # nothing is left of episodes before the reset


# ---------------------------------------------------------------------- actions


@pytest.mark.parametrize("backend", KINDS)
def test_actions_reach_the_environment_as_through_gymnasiums_wrappers(backend: str) -> None:
    pairs = [
        (ClipAction, gymnasium.wrappers.ClipAction, 3.0),
        (RescaleAction, lambda env: gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1)), 1.0),
        (
            partial(RescaleAction, low=[-2.0, 0.0], high=[2.0, 1.0]),
            lambda env: gymnasium.wrappers.RescaleAction(env, np.float32([-2, 0]), np.float32([2, 1])),
            0.9,
        ),
    ]
    for ours, theirs, scale in pairs:
        with ours(KINDS[backend](Camera, 4)) as env:
            singles = [theirs(Camera()) for _ in range(4)]
            for single in singles:
                single.reset(seed=0)
            assert env.single_action_space == singles[0].action_space
            env.reset(0)
            rng = np.random.default_rng(1)
            for _ in range(5):
                actions = (rng.uniform(-scale, scale, (4, 2)) * [1, 0.5] + [0, scale / 2]).astype(np.float32)
                env.step(actions)
                taken = env.env.get_attr("taken")  # type: ignore[attr-defined]
                for k, single in enumerate(singles):
                    single.step(actions[k])
                    np.testing.assert_allclose(taken[k], single.unwrapped.taken, rtol=1e-6, atol=1e-6)


def test_actions_of_a_jit_environment() -> None:
    clipped, plain = ClipAction(Push(3, jit=False)), Push(3, jit=False)
    clipped.reset(0)
    plain.reset(0)
    wild = np.array([[5.0, -9.0], [0.5, 0.5], [-np.inf, np.inf]])
    np.testing.assert_array_equal(clipped.step(wild)[0], plain.step(np.float32([[1, -2], [0.5, 0.5], [-1, 2]]))[0])
    with pytest.raises(APIUsageError, match="action of row 1 is"):
        clipped.step(np.array([[0, 0], [np.nan, 0], [0, 0]]))
    with pytest.raises(APIUsageError, match=r"actions have shape \(2, 2\); expected \(3, 2\)"):
        clipped.step(wild[:2])
    scaled = RescaleAction(Push(1, jit=False), 0.0, 10.0)
    scaled.reset(0)
    start = scaled.observations.copy()
    assert (scaled.step([[10, 10]])[0] - start).tolist() == [[1, 2]]
    with pytest.raises(APIUsageError, match=r"action of row 0 is \[11, 10\], outside Box\(0.0, 10.0"):
        scaled.step([[11, 10]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ClipAction(Walk(1, jit=False)),
            r"ClipAction needs a Box of floats for actions; Walk has Discrete\(2\)",
        ),
        (lambda: RescaleAction(ClipAction(Push(1, jit=False))), "RescaleAction needs bounds to scale to"),
        (lambda: RescaleAction(Push(1, jit=False), [0, 0, 0]), r"shapes \(3,\) and \(\); expected .* of shape \(2,\)"),
        (lambda: RescaleAction(Push(1, jit=False), 1, 1), "expected finite bounds, low < high"),
        (lambda: RescaleAction(Push(1, jit=False), -np.inf, 1), "expected finite bounds, low < high"),
        (lambda: ClipAction(hybrid()), "ClipAction needs a Box of floats for actions"),
    ],
)
def test_bad_action_wrappers(make: Any, message: str) -> None:
    with pytest.raises(APIUsageError, match=message):
        make()


def hybrid() -> PufferEnv:
    env = Camera()
    env.action_space = Dict(gear=Discrete(2), wheel=Box(-1, 1, (1,), np.float32))  # type: ignore[assignment]
    return GymnasiumPufferEnv(env)


# ---------------------------------------------------------------------- normalization


def test_one_row_is_normalized_as_by_gymnasiums_wrapper() -> None:
    """Which counts last observations and first ones of the next episode, in this order."""
    ours = NormalizeObservation(GymnasiumPufferEnv(PENDULUM()), clip=np.inf)
    theirs = gymnasium.wrappers.NormalizeObservation(PENDULUM())
    observations, _ = ours.reset(seed=3)
    expected, _ = theirs.reset(seed=3)
    for step in range(50):
        np.testing.assert_allclose(observations[0], expected, rtol=2e-4, atol=2e-4)
        action = np.float32([np.sin(step)])
        observations, *_ = ours.step(action[None])
        expected, _, terminated, truncated, _ = theirs.step(action)
        if terminated or truncated:
            np.testing.assert_allclose(ours.final_observations[0], expected, rtol=2e-4, atol=2e-4)
            expected, _ = theirs.reset()
    np.testing.assert_allclose(ours.mean, theirs.obs_rms.mean, rtol=1e-4)
    np.testing.assert_allclose(ours.var, theirs.obs_rms.var, rtol=1e-4)
    assert ours.single_observation_space == theirs.observation_space


@pytest.mark.parametrize("kind", ["serial", "multiprocessing", "jit", "team"])
def test_statistics_are_those_of_all_that_was_seen(kind: str) -> None:
    with MAKERS[kind]() as plain, NormalizeObservation(MAKERS[kind]()) as ours:
        seen = []
        normalized = run(ours, 40)
        for shown in run(plain, 40):
            seen += [shown["observations"][shown["masks"]], shown["final"]]
        everything = np.concatenate(seen).astype(np.float64)
        np.testing.assert_allclose(ours.mean, everything.mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(ours.var, everything.var(axis=0), rtol=1e-4, atol=1e-4)
        assert len(everything) == pytest.approx(ours.state_dict()["count"][0])
        expected = (plain.observations - ours.mean) / np.sqrt(ours.var + 1e-8)
        np.testing.assert_allclose(normalized[-1]["observations"], np.clip(expected, -10, 10), rtol=1e-5, atol=1e-5)
        assert normalized[-1]["observations"].dtype == np.float32


def test_wrapped_once_more_as_stable_baselines() -> None:
    pytest.importorskip("stable_baselines3")
    from puffer_numba.emulation.as_sb3 import SB3VecEnv

    wrapped = NormalizeReward(vector.make(Camera, num_envs=2, backend="serial"))
    assert SB3VecEnv(wrapped).reset().shape == (2, 12, 20, 3)


def vec_normalize(env: PufferEnv, **options: Any) -> Any:
    """Stable-Baselines3's VecNormalize around ``env``; skips where it is not installed."""
    VecNormalize = pytest.importorskip("stable_baselines3.common.vec_env").VecNormalize
    from puffer_numba.emulation.as_sb3 import SB3VecEnv

    return VecNormalize(SB3VecEnv(env), **options)


def test_as_vec_normalize_where_no_episode_ends() -> None:
    """Many rows, compared step by step; their ends differ, as Gymnasium counts last observations and it does not."""
    creator = partial(gymnasium.make, "Pendulum-v1", max_episode_steps=1000)
    theirs = vec_normalize(vector.make(creator, num_envs=5, backend="serial"), norm_reward=False)
    ours = NormalizeObservation(vector.make(creator, num_envs=5, backend="serial"))
    np.testing.assert_allclose(ours.reset()[0], theirs.reset(), rtol=1e-5, atol=1e-5)
    rng = np.random.default_rng(0)
    for _ in range(50):
        actions = random_actions(ours, rng)
        np.testing.assert_allclose(ours.step(actions)[0], theirs.step(actions)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["jit", "serial", "multiprocessing"])
def test_rewards_as_by_vec_normalize(kind: str) -> None:
    """Row by row, through many ends of both kinds."""
    with MAKERS[kind]() as plain, NormalizeReward(MAKERS[kind](), gamma=0.9, clip=3.0) as ours:
        theirs = vec_normalize(plain, norm_obs=False, gamma=0.9, clip_reward=3.0)
        ours.reset()
        theirs.reset()
        rng = np.random.default_rng(0)
        ended = 0
        for _ in range(80):
            actions = random_actions(ours, rng)
            _, rewards, terminals, truncations, _ = ours.step(actions)
            np.testing.assert_allclose(rewards, theirs.step(actions)[1], rtol=1e-5, atol=1e-6)
            ended += (terminals | truncations).sum()
        assert ended > 40
        assert (ours.mean, ours.var) == pytest.approx((theirs.ret_rms.mean, theirs.ret_rms.var))
        assert rewards.dtype == np.float32
        returns, _ = ours.episode_returns, ours.log()
        assert returns is ours.env.episode_returns  # the environment's own


def test_rewards_of_agents_who_did_not_act_are_left_out() -> None:
    ours = NormalizeReward(Team(1, jit=False, lifetimes=[1, 9, 9], length=5), gamma=0.0)
    ours.reset(0)
    for _ in range(4):
        ours.step([2, 2, 2])  # rewards 2, 4, 6; the first agent dies at once
    expected = np.array([2, 4, 6, 4, 6, 4, 6, 4, 6])
    assert ours.mean == pytest.approx(expected.mean(), rel=1e-3)
    assert ours.var == pytest.approx(expected.var(), rel=1e-2)


@pytest.mark.parametrize("normalize", [NormalizeObservation, NormalizeReward])
def test_evaluation_and_saved_statistics(normalize: Any) -> None:
    trained = normalize(Walk(4, jit=False))
    run(trained, 30)
    state = trained.state_dict()
    fresh = normalize(Walk(4, jit=False))
    fresh.load_state_dict(state)
    fresh.training = trained.training = False
    for a, b in zip(run(fresh, 20), run(trained, 20), strict=True):
        np.testing.assert_array_equal(a["observations"], b["observations"])
        np.testing.assert_array_equal(a["rewards"], b["rewards"])
    for name, array in fresh.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    with pytest.raises(APIUsageError, match=r"load_state_dict got arrays \{.*\}; expected \{"):
        fresh.load_state_dict({"mean": 0.0})
    np.testing.assert_array_equal(next(iter(fresh.state_dict().values())), next(iter(state.values())))


def test_what_cannot_be_normalized() -> None:
    mixed = Camera()
    mixed.observation_space = Dict(a=Box(0, 1, (2,), np.float32), b=Discrete(3))  # type: ignore[assignment]
    with pytest.raises(APIUsageError, match=r"cannot normalize Dict.*bytes of several dtypes"):
        NormalizeObservation(GymnasiumPufferEnv(mixed))
    for kwargs in ({"epsilon": 0.0}, {"clip": -1.0}):
        name, value = next(iter(kwargs.items()))
        with pytest.raises(APIUsageError, match=f"NormalizeObservation: {name} is {value}; expected a number above 0"):
            NormalizeObservation(Walk(1, jit=False), **kwargs)
        with pytest.raises(APIUsageError, match=f"NormalizeReward: {name} is {value}"):
            NormalizeReward(Walk(1, jit=False), **kwargs)
    with pytest.raises(APIUsageError, match=r"NormalizeReward: gamma is 1\.5; expected a discount from 0 to 1"):
        NormalizeReward(Walk(1, jit=False), gamma=1.5)


# ---------------------------------------------------------------------- images


@pytest.mark.parametrize("backend", KINDS)
@pytest.mark.parametrize("padding", ["reset", "zero"])
def test_frames_are_stacked_as_by_gymnasiums_wrapper(padding: str, backend: str) -> None:
    def stacked() -> Any:
        return gymnasium.wrappers.FrameStackObservation(Camera((3, 2)), 4, padding_type=padding)

    theirs = SyncVectorEnv([stacked] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    with KINDS[backend](partial(Camera, (3, 2)), 4) as four:
        theirs = SyncVectorEnv([stacked] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
        ours = FrameStack(four, 4, padding=padding)
        assert ours.single_observation_space == theirs.single_observation_space
        np.testing.assert_array_equal(ours.reset(5)[0], theirs.reset(seed=5)[0])
        ended = 0
        for step in range(40):
            actions = random_actions(ours, np.random.default_rng(step))
            observations, *_ = ours.step(actions)
            expected, *_, infos = theirs.step(actions)
            np.testing.assert_array_equal(observations, expected)
            for row in np.flatnonzero(ours.terminals | ours.truncations):
                np.testing.assert_array_equal(ours.final_observations[row], infos["final_obs"][row])
                ended += 1
        assert ended > 10


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_axis_of_a_stack(axis: int) -> None:
    worth = [0.0, 1.0, 2.0, 3.0]
    first, other = (
        FrameStack(Paint(3, jit=False, worth=worth), 2),
        FrameStack(Paint(3, jit=False, worth=worth), 2, axis),
    )
    where = axis + 1 if axis >= 0 else axis
    for a, b in zip(run(first, 30), run(other, 30), strict=True):
        np.testing.assert_array_equal(np.moveaxis(a["observations"], 1, where), b["observations"])
        np.testing.assert_array_equal(np.moveaxis(a["final"], 1, where), b["final"])
    assert other.observations[0] in other.single_observation_space


def test_stacks_survive_what_others_write_to_observations() -> None:
    ours, plain = FrameStack(Walk(2, jit=False), 2), Walk(2, jit=False)
    ours.reset(0)[0][:] = -7
    before = plain.reset(0)[0].copy()
    observations = ours.step([1, 1])[0]
    plain.step([1, 1])
    going = ~(plain.terminals | plain.truncations)
    np.testing.assert_array_equal(observations[going, 0], before[going])


@pytest.mark.parametrize("backend", KINDS)
@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((12, 20, 3), np.uint8, (6, 7)),
        ((12, 20), np.uint8, (12, 10)),
        ((9, 9, 1), np.float32, (4, 9)),
        ((8, 8, 4), np.float64, (4, 4)),
    ],
)
def test_images_are_resized_as_by_gymnasiums_wrapper(shape: Any, dtype: Any, size: Any, backend: str) -> None:
    """And of dtypes that it does not take, as by OpenCV."""

    def resized() -> Any:
        env = Camera(shape, dtype)
        if dtype is np.uint8:
            return gymnasium.wrappers.ResizeObservation(env, size)
        new = Box(0, 255, size if shape[2:] == (1,) else (*size, *shape[2:]), dtype)  # OpenCV drops an axis of 1
        return gymnasium.wrappers.TransformObservation(
            env, lambda image: cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), new
        )

    with KINDS[backend](partial(Camera, shape, dtype), 4) as four:
        ours = ResizeObservation(four, size)
        theirs = SyncVectorEnv([resized] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
        assert ours.single_observation_space.shape == (*size, *shape[2:])
        expected = theirs.reset(seed=5)[0]
        np.testing.assert_array_equal(ours.reset(5)[0].reshape(expected.shape), expected)
        ended = 0
        for step in range(20):
            actions = random_actions(ours, np.random.default_rng(step))
            observations, *_ = ours.step(actions)
            expected, *_, infos = theirs.step(actions)
            np.testing.assert_array_equal(observations.reshape(expected.shape), expected)
            for row in np.flatnonzero(ours.terminals | ours.truncations):
                last = infos["final_obs"][row]
                np.testing.assert_array_equal(ours.final_observations[row].reshape(last.shape), last)
                ended += 1
        assert ended > 5
        assert observations[0] in ours.single_observation_space


def test_resizing_batches_of_some_rows() -> None:
    whole = ResizeObservation(vector.make(Camera, num_envs=6, backend="serial"), (6, 10))
    whole.reset(0)
    made = vector.make(Camera, num_envs=6, num_workers=3, batch_size=4, zero_copy=False)
    with ResizeObservation(made, (6, 10)) as parts:
        parts.async_reset(0)
        observations, *_, rows, _ = parts.recv()
        np.testing.assert_array_equal(observations, whole.observations[rows])


def test_images_of_atari_by_the_dozen() -> None:
    """Resized and stacked in batches, as by Gymnasium's wrappers around each."""
    pytest.importorskip("ale_py")
    cv2.setNumThreads(1)
    creator = partial(gymnasium.make, "ale_py:ALE/Pong-v5", obs_type="grayscale", disable_env_checker=True)

    def stacked() -> Any:
        return gymnasium.wrappers.FrameStackObservation(gymnasium.wrappers.ResizeObservation(creator(), (84, 84)), 4)

    theirs = SyncVectorEnv([stacked] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    ours = FrameStack(ResizeObservation(vector.make(creator, num_envs=2, backend="serial"), (84, 84)), 4)
    np.testing.assert_array_equal(ours.reset(1)[0], theirs.reset(seed=1)[0])
    for step in range(20):
        np.testing.assert_array_equal(ours.step([step % 6, 0])[0], theirs.step([step % 6, 0])[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FrameStack(Walk(1, jit=False), 0), "num_frames is 0; expected at least 1"),
        (lambda: FrameStack(Walk(1, jit=False), True), "num_frames is True"),
        (lambda: FrameStack(Walk(1, jit=False), 2, padding="last"), "padding is 'last'; expected 'reset' or 'zero'"),
        (lambda: FrameStack(Walk(1, jit=False), 2, axis=2), r"axis is 2, but a stack of \(3,\) has 2 axes"),
        (lambda: ResizeObservation(Walk(1, jit=False), (1, 1)), "ResizeObservation takes images"),
        (lambda: ResizeObservation(GymnasiumPufferEnv(Camera((8, 8, 5))), (4, 4)), "at most 4 channels"),
        (lambda: ResizeObservation(GymnasiumPufferEnv(Camera((8, 8), np.int64)), (4, 4)), "int16, float32"),
        (
            lambda: ResizeObservation(GymnasiumPufferEnv(Camera((8, 8))), (4, 9)),
            r"is \(4, 9\); expected .* at most \(8, 8\)",
        ),
        (lambda: ResizeObservation(GymnasiumPufferEnv(Camera((8, 8))), (4,)), r"is \(4,\); expected"),
    ],
)
def test_bad_image_wrappers(make: Any, message: str) -> None:
    with pytest.raises(APIUsageError, match=message):
        make()


def test_opencv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r'ResizeObservation needs cv2: pip install "puffer_numba\[opencv\]"'):
        ResizeObservation(GymnasiumPufferEnv(Camera()), (4, 4))


# ---------------------------------------------------------------------- the trainer


def test_the_trainer_learns_through_wrappers() -> None:
    """CartPole, from 22 steps to some hundreds; a wrapped environment is not bound, but copied from."""
    pytest.importorskip("torch")
    from puffer_numba.pufferl import PuffeRL, load_config, load_policy

    config = load_config("cartpole", {"train.total_timesteps": 150_000, "train.seed": 1})
    wrapped = NormalizeReward(NormalizeObservation(puffer_numba.make("cartpole", num_envs=config.env.num_envs)))
    trainer = PuffeRL(config, wrapped, load_policy(config, wrapped))
    means = []
    while trainer.global_step < config.train.total_timesteps:
        trainer.evaluate()
        trainer.train()
        means.append(wrapped.log().get("episode_return", 0.0))
    assert means[0] < 60
    assert max(means) > 150


def test_many_kinds_of_actions() -> None:
    for env in (Locks(2, jit=False), Walk(2, jit=False), Push(2, jit=False)):
        run(EpisodeStats(NormalizeReward(NormalizeObservation(FrameStack(env, 2)))), 12)
    run(NormalizeObservation(PettingZooPufferEnv(env_creator=vector.env_creator("pettingzoo:classic.rps_v2"))), 5)
