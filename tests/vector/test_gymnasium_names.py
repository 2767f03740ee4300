"""`SyncVectorEnv` and `AsyncVectorEnv` in the place of Gymnasium's: the same results, the same errors."""

from __future__ import annotations

import multiprocessing
import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.spaces import Box, Discrete, Graph, Sequence
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from puffer_numba.emulation import PufferVectorEnv
from puffer_numba.vector import AsyncVectorEnv, SyncVectorEnv
from tests.helpers.gym_envs import Nested, Parts
from tests.helpers.vector_envs import Counter

pytestmark = pytest.mark.slow  # together: most start processes or train

BOTH = [SyncVectorEnv, AsyncVectorEnv]
make_cartpole = partial(gymnasium.make, "CartPole-v1", max_episode_steps=20)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("creator", [make_cartpole, Nested])
def test_it_does_as_gymnasiums(kind: Any, creator: Any) -> None:
    ours, theirs = kind([creator] * 4), gymnasium.vector.SyncVectorEnv([creator] * 4)
    assert isinstance(ours, PufferVectorEnv)
    assert ours.metadata == theirs.metadata
    assert ours.autoreset_mode is AutoresetMode.NEXT_STEP
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3))
    assert ours.np_random_seed == theirs.np_random_seed == (3, 4, 5, 6)
    for _ in range(60):
        actions = theirs.action_space.sample()
        for found, expected in zip(ours.step(actions), theirs.step(actions), strict=True):
            assert data_equivalence(found, expected) or np.array_equal(found, np.float32(expected))
    ours.close()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "wrap",
    [
        wrappers.NormalizeObservation,
        wrappers.FlattenObservation,
        partial(wrappers.RescaleObservation, min_obs=np.float32(-1), max_obs=np.float32(1)),
        wrappers.RecordEpisodeStatistics,
    ],
    ids=str,
)
def test_gymnasiums_wrappers_take_it(kind: Any, wrap: Any) -> None:
    creator = partial(Parts, Box(-2, 2, (3,)), Discrete(2))
    ours, theirs = wrap(kind([creator] * 2)), wrap(gymnasium.vector.SyncVectorEnv([creator] * 2))
    for env in (ours, theirs):
        env.reset(seed=0)
    for _ in range(12):
        found, expected = ours.step([0, 1])[0], theirs.step([0, 1])[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    ours.close()


class Slow(Counter):
    def step(self, action: Any) -> Any:
        time.sleep(1.0 if action else 0.0)
        return super().step(action)


def test_in_two_parts() -> None:
    envs = AsyncVectorEnv([Slow] * 2)
    with pytest.raises(NoAsyncCallError, match="Calling `reset_wait` without any prior call to `reset_async`"):
        envs.reset_wait()
    envs.reset_async(seed=4)
    with pytest.raises(AlreadyPendingCallError, match="Calling `step_async` while waiting for a pending call to"):
        envs.step_async([0, 0])
    assert envs.reset_wait()[0][:, 0].tolist() == [4, 5]
    envs.step_async([0, 0])
    for call in (envs.reset_async, partial(envs.call, "length"), partial(envs.set_attr, "length", 3)):
        with pytest.raises(AlreadyPendingCallError, match="while waiting for a pending call to `step` to complete"):
            call()
    assert envs.step_wait(timeout=5)[0][:, 1].tolist() == [1, 1]
    envs.call_async("length")
    assert envs.call_wait() == (5, 5)
    envs.step_async([0, 1])
    with pytest.raises(multiprocessing.TimeoutError, match=r"did not answer within 0\.1 s"):
        envs.step_wait(timeout=0.1)
    envs.close(terminate=True)
    with pytest.raises(ClosedEnvironmentError):
        envs.reset()


def test_closed_while_it_steps() -> None:
    envs = AsyncVectorEnv([Counter] * 2)
    envs.reset()
    envs.step_async([0, 0])
    with pytest.warns(UserWarning, match="Calling `close` while waiting for a pending call to `step` to complete"):
        envs.close()


@pytest.mark.filterwarnings("ignore:.*Raising the last exception", "ignore:.*the wheel came off")
def test_what_an_environment_raises_is_raised() -> None:
    envs = AsyncVectorEnv([partial(Counter, fail="raise", fail_at=2)] * 2)
    envs.reset()
    envs.step([0, 0])
    with pytest.raises(ValueError, match="the wheel came off") as raised:
        envs.step([0, 0])
    assert "environment 0, in worker" in str(raised.value.__cause__) or "environment 1" in str(raised.value.__cause__)
    envs.close()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("space", [Sequence(Discrete(3)), Graph(Box(0, 1, (2,)), Discrete(4))], ids=str)
def test_what_is_not_for_flat_arrays_is_gymnasiums(kind: Any, space: Any) -> None:
    arguments = {"shared_memory": False} if kind is AsyncVectorEnv else {}
    with pytest.warns(UserWarning, match=f"{kind.__name__}: Gymnasium's own is used, for observation is"):
        envs = kind([partial(Parts, space, Discrete(2))] * 2, **arguments)
    assert type(envs).__module__.startswith("gymnasium.vector")
    assert envs.reset(seed=0)[0] in envs.observation_space
    envs.close()


def test_spaces_that_differ() -> None:
    creators = [partial(Parts, Box(0, high, (2,)), Discrete(2)) for high in (1, 2)]
    with pytest.warns(UserWarning, match="Gymnasium's own"), pytest.raises(RuntimeError, match="are not equivalent"):
        SyncVectorEnv(creators)
    with pytest.warns(UserWarning, match="for observation_mode='different'"):
        envs: Any = SyncVectorEnv(creators, observation_mode="different")
    assert envs.reset(seed=0)[0].shape == (2, 2)
