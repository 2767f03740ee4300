"""Flappy against its rules, as squares and rectangles that overlap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from puffer_numba.envs.flappy import Flappy
from tests.helpers.parity import TRANSITIONS, step_from

FIELDS = ("y", "velocity", "distance", "gap", "next_gap")
BIRD, PIPE, GAP, SPACING, SPEED = 0.06, 0.12, 0.26, 0.5, 0.02


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    """Of two rectangles: left, right, bottom, top."""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def reference(y: float, velocity: float, distance: float, gap: float, action: int) -> tuple[float, float, bool, bool]:
    """The height and velocity after a step, whether it crashes into something, and whether it passes the pipes."""
    velocity = 0.03 if action else max(velocity - 0.003, -0.045)
    y = min(y + velocity, 1 - BIRD / 2)
    bird = (-BIRD / 2, BIRD / 2, y - BIRD / 2, y + BIRD / 2)
    left = distance - SPEED
    obstacles = [(-9, 9, -9, 0)]
    obstacles += [(left, left + PIPE, -9, gap - GAP / 2), (left, left + PIPE, gap + GAP / 2, 9)]
    return y, velocity, any(overlap(bird, obstacle) for obstacle in obstacles), left + PIPE <= -BIRD / 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transitions(dtype):
    rng = np.random.default_rng(0)
    n = 2 * TRANSITIONS
    distance = np.where(rng.random(n) < 0.7, rng.uniform(-0.15, 0.1, n), rng.uniform(-0.15, 1, n))
    gaps = rng.uniform(0.23, 0.77, (2, n))
    y = np.where(rng.random(n) < 0.8, np.clip(gaps[0] + rng.uniform(-0.2, 0.2, n), 0.03, 0.97), rng.random(n))
    given = np.column_stack([y, rng.uniform(-0.045, 0.03, n), distance, *gaps]).astype(dtype)
    actions = rng.integers(2, size=n)
    found = step_from(Flappy, dict(zip(FIELDS, given.T, strict=True)), actions, dtype=dtype)

    outcomes = [reference(*row, action) for row, action in zip(given[:, :4].tolist(), actions, strict=True)]
    after, velocity, crashed, passed = map(np.array, zip(*outcomes, strict=True))
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found.state.y, after, atol=tolerance)
    np.testing.assert_allclose(found.state.velocity, velocity, atol=tolerance)
    # within rounding of an edge, float32 may be on its other side
    edges = [after - BIRD / 2, np.abs(after - given[:, 3]) - GAP / 2 + BIRD / 2]
    edges += [given[:, 2] - SPEED - BIRD / 2, given[:, 2] - SPEED + PIPE + BIRD / 2]
    clear = np.abs(edges).min(axis=0) > tolerance
    assert clear.sum() > 0.999 * n
    np.testing.assert_array_equal(found.terminals[clear], crashed[clear])
    np.testing.assert_array_equal(found.rewards[clear], (passed.astype(int) - crashed)[clear])
    moved = given[:, 2] - SPEED + np.where(passed, SPACING, 0)
    np.testing.assert_allclose(found.state.distance[clear], moved[clear], atol=tolerance)
    np.testing.assert_array_equal(found.state.gap[clear], np.where(passed, given[:, 4], given[:, 3])[clear])
    np.testing.assert_array_equal(found.state.next_gap[clear & ~passed], given[clear & ~passed, 4])
    assert stats.kstest(found.state.next_gap[clear & passed], stats.uniform(0.23, 0.54).cdf).pvalue > 1e-3
    beside = np.abs(moved + PIPE / 2) < PIPE / 2 + BIRD / 2
    for kind in (crashed & beside, crashed & ~beside, passed, ~crashed & beside, velocity == -0.045, after > 0.9699):
        assert kind.sum() > 20

    s = found.state
    expected = [s.y, s.velocity / 0.03, s.distance / SPACING, s.gap - s.y, s.next_gap - s.y]
    np.testing.assert_allclose(found.observations, np.column_stack(expected), atol=1e-6)


def test_a_bird_that_aims_at_the_gap_passes_hundreds_of_pipes():
    env = Flappy(16)
    observations, _ = env.reset(seed=0)
    passed = np.zeros(16)
    for _ in range(6000):
        observations, rewards, *_ = env.step((observations[:, 3] > 0.06).astype(np.int64))
        passed += rewards
    assert passed.mean() > 100


def test_time_limit_and_first_states():
    env = Flappy(2000, gravity=1e-6, speed=1e-6, max_fall=1e-6)
    observations, _ = env.reset(seed=3)
    np.testing.assert_array_equal(observations[:, :3], np.tile(np.float32([0.5, 0, 2]), (2000, 1)))
    for column in (3, 4):
        assert stats.kstest(observations[:, column], stats.uniform(-0.27, 0.54).cdf).pvalue > 1e-3
    env = Flappy(2, gravity=1e-6, speed=1e-6, max_fall=1e-6, max_episode_steps=50)
    env.reset(seed=0)
    for step in range(1, 51):
        _, _, terminals, truncations, _ = env.step([0, 0])
        assert not terminals.any()
        assert truncations.all() == truncations.any() == (step == 50)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gravity": 0.0}, "gravity is 0; expected more than 0"),
        ({"flap": 0.2}, "flap is 0.2; expected more than 0 and at most 0.1"),
        ({"spacing": 0.1}, "spacing is 0.1; expected more than 0.2"),
        ({"gap_height": 0.05}, "gap_height is 0.05; expected more than the bird, 0.06"),
        ({"margin": 0.1}, "margin is 0.1; expected half of gap_height, 0.13, to 0.5"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Flappy: parameter {message}"):
        Flappy(jit=False, **params)


def test_image():
    env = Flappy(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((414, 420, 3), np.uint8)
    env.step([1])
    assert (env.render() != image).any()
