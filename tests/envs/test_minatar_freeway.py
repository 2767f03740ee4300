"""MinAtar's Freeway against the authors' package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puffer_numba.envs.minatar_freeway import LANES, LEFT, RIGHT, MinAtarFreeway, at_least, lane, only
from tests.helpers.minatar_parity import follow, step_from_states
from tests.helpers.parity import TRANSITIONS


def pack(numbers):
    """A byte for each lane."""
    return (np.asarray(numbers, np.int64) << np.arange(0, 64, 8)).sum(axis=-1)


def unpack(word):
    return [int(lane(word, k)) for k in range(LANES)]


def as_reference(s, i):
    x, timer, interval, forward = (unpack(field[i]) for field in (s.x, s.timer, s.interval, s.forward))
    return {
        "pos": int(s.y[i]),
        "move_timer": int(s.move_timer[i]),
        "terminate_timer": int(s.time_left[i]),
        "cars": [[x[k], k + 1, timer[k], interval[k] if forward[k] == RIGHT else -interval[k]] for k in range(LANES)],
    }


def play(game, rng):
    """Mostly up."""
    return 2 if rng.random() < 0.8 else int(rng.integers(6))


def play_minimally(game, rng):
    return int(rng.choice([0, 2, 4]))


@pytest.mark.slow
def test_episodes_are_the_references():
    seen = follow(MinAtarFreeway, "freeway", as_reference, play, steps=2510, num_envs=4)
    np.testing.assert_array_equal(np.flatnonzero(seen.terminals) // 4, [2500] * 4)
    assert seen.rewards.sum() > 30
    follow(MinAtarFreeway, "freeway", as_reference, play_minimally, steps=300, minimal_actions=True)


@pytest.mark.slow
def test_transitions_are_the_references():
    rng = np.random.default_rng(0)
    n = TRANSITIONS
    states = {
        "y": rng.integers(1, 10, size=n),
        "move_timer": rng.integers(3, size=n),
        "x": pack(rng.integers(10, size=(n, LANES))),
        "interval": pack(rng.integers(1, 6, size=(n, LANES))),
        "timer": pack(rng.integers(3, size=(n, LANES))),
        "forward": pack(rng.choice([LEFT, RIGHT], (n, LANES))),
        "time_left": rng.choice([0, 1, 1000], n),
        "last_action": rng.integers(6, size=n),
    }
    seen = step_from_states(MinAtarFreeway, "freeway", as_reference, states, rng.integers(6, size=n))
    rows = np.array([game["pos"] for game in seen.games])
    assert (seen.rewards == 1).sum() > 30
    assert ((rows == 9) & (states["y"] < 8) & (seen.rewards == 0)).sum() > 300  # hit by a car
    assert (rows == states["y"] - 1).sum() > 300
    assert (rows == states["y"] + 1).sum() > 300
    np.testing.assert_array_equal(seen.terminals, states["time_left"] == 0)


numbers_of_lanes = st.lists(st.integers(0, 127), min_size=LANES, max_size=LANES)


@given(numbers_of_lanes, st.integers(1, 128), st.lists(st.booleans(), min_size=LANES, max_size=LANES))
def test_all_lanes_at_once(numbers, n, which):
    word = pack(numbers)
    assert unpack(word) == numbers
    with np.errstate(over="ignore"):  # as in kernels
        assert unpack(at_least(word, n)) == [number >= n for number in numbers]
        assert unpack(only(pack(which), word)) == [
            number * chosen for number, chosen in zip(numbers, which, strict=True)
        ]


def test_bad_params():
    with pytest.raises(ValueError, match=r"MinAtarFreeway: parameter sticky_action_prob is nan; expected 0 to 1"):
        MinAtarFreeway(jit=False, sticky_action_prob=float("nan"))


def test_image():
    env = MinAtarFreeway(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    for _ in range(8):
        env.step([2])
    assert (env.render() != image).any()
