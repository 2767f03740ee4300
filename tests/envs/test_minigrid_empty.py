"""MiniGridEmpty against MiniGrid's own Empty environments."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.minigrid_empty import MiniGridEmpty
from tests.helpers.minigrid_parity import assert_drop_in, flat, make_reference
from tests.helpers.parity import TRANSITIONS, step_from

IDS = {
    "MiniGrid-Empty-5x5-v0": {"size": 5},
    "MiniGrid-Empty-6x6-v0": {"size": 6},
    "MiniGrid-Empty-8x8-v0": {},
    "MiniGrid-Empty-16x16-v0": {"size": 16},
    "MiniGrid-Empty-Random-5x5-v0": {"size": 5, "random_start": True},
    "MiniGrid-Empty-Random-6x6-v0": {"size": 6, "random_start": True},
}


def cases(size: int) -> list[tuple[int, int, int, int]]:
    """Every place but the goal, direction and action."""
    inside = range(1, size - 1)
    goal = (size - 2, size - 2)
    return [case for case in itertools.product(inside, inside, range(4), range(7)) if case[:2] != goal]


@pytest.mark.parametrize("gym_id", IDS)
def test_every_transition_is_minigrids(gym_id):
    expected = make_reference(gym_id)
    size = expected.width
    copies = 1 if size > 8 else 5
    x, y, directions, actions = np.array(cases(size) * copies).T
    ticks = np.random.default_rng(0).integers(expected.max_steps, size=len(x))
    given = {"x": x, "y": y, "direction": directions, "tick": ticks}
    found = step_from(MiniGridEmpty, given, actions, **IDS[gym_id])
    for k in range(len(x)):
        expected.agent_pos, expected.agent_dir = (int(x[k]), int(y[k])), int(directions[k])
        expected.step_count = int(ticks[k])
        observation, reward, terminated, _, _ = expected.step(int(actions[k]))
        np.testing.assert_array_equal(found.observations[k], flat(observation))
        assert (found.state.x[k], found.state.y[k]) == tuple(expected.agent_pos)
        assert found.state.direction[k] == expected.agent_dir
        assert found.rewards[k] == pytest.approx(reward, abs=1e-6)
        assert found.terminals[k] == terminated
    assert found.terminals.sum() == 2 * copies


def test_enough_transitions_are_compared():
    sizes = [IDS[gym_id].get("size", 8) for gym_id in IDS]
    assert sum(len(cases(size)) * (1 if size > 8 else 5) for size in sizes) >= TRANSITIONS


@pytest.mark.parametrize("gym_id", IDS)
def test_a_drop_in_for_minigrid(gym_id):
    assert_drop_in(gymnasium.make("puffer_numba/MiniGridEmpty-v1", **IDS[gym_id]), make_reference(gym_id))


def test_first_states():
    env = MiniGridEmpty(20)
    observations, _ = env.reset(seed=0)
    expected, _ = make_reference("MiniGrid-Empty-8x8-v0").reset(seed=0)
    np.testing.assert_array_equal(observations, np.tile(flat(expected), (20, 1)))

    env = MiniGridEmpty(12_000, size=5, random_start=True)
    env.reset(seed=0)
    places, counts = np.unique(
        np.column_stack([env.state.x, env.state.y, env.state.direction]), axis=0, return_counts=1
    )
    assert len(places) == 8 * 4
    assert not ((places[:, 0] == 3) & (places[:, 1] == 3)).any()
    assert places[:, :2].min() == 1
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_optimum_goes_along_two_walls():
    env = MiniGridEmpty()
    env.reset(seed=0)
    for action in (*[2] * 5, 1, *[2] * 5):
        _, rewards, terminals, _, _ = env.step([action])
    assert terminals[0]
    assert rewards[0] == pytest.approx(0.9613, abs=1e-4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 3}, "size is 3; expected 4 to 100"),
        ({"size": 101}, "size is 101; expected 4 to 100"),
        ({"max_steps": -1}, "max_steps is -1; expected at least 0"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"MiniGridEmpty: parameter {message}"):
        MiniGridEmpty(jit=False, **params)


def test_time_limit_follows_the_params():
    assert MiniGridEmpty(jit=False, size=5).max_episode_steps == 100
    assert MiniGridEmpty(jit=False, max_steps=7).max_episode_steps == 7
    assert MiniGridEmpty(jit=False, max_episode_steps=9).max_episode_steps == 9
    assert MiniGridEmpty(jit=False, max_episode_steps=None).max_episode_steps is None


def test_image():
    env = MiniGridEmpty(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((480, 480, 3), np.uint8)
    env.step([1])
    assert (env.render() != image).any()
