"""NChain against the rules of OpenAI Gym's NChain-v0, written as a transition table."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.envs.nchain import NChain
from tests.helpers.parity import step_from
from tests.helpers.tables import assert_follows, every_pair, optimum


def rules(n=5, slip=0.2, small=2.0, large=10.0):
    def outcomes(state, action):
        back, end = (0, small, False), state == n - 1
        ahead = (state, large, False) if end else (state + 1, 0.0, False)
        told, slipped = (back, ahead) if action else (ahead, back)
        return [(1 - slip, *told), (slip, *slipped)]

    return {state: {action: outcomes(state, action) for action in (0, 1)} for state in range(n)}


@pytest.mark.parametrize(
    "variant", [{}, {"slip": 0.0}, {"slip": 1.0}, {"n": 2, "slip": 0.5, "small": -1.0, "large": 3.0}, {"n": 50}]
)
def test_transition_table(variant):
    states, actions = every_pair(range(variant.get("n", 5)), 2, copies=1000)
    found = step_from(NChain, {"state": states}, actions, **variant)
    assert_follows(rules(**variant), states, actions, (found.observations[:, 0], found.rewards, found.terminals))


def test_optimum_and_time_limit():
    best = optimum(rules(), np.eye(5)[0], 1000)
    assert best == pytest.approx(3666, abs=0.5)
    env = NChain(512)
    env.reset(seed=0)
    for step in range(1, 1001):
        _, _, terminals, truncations, _ = env.step(np.zeros(512, np.int64))
        assert not terminals.any()
        assert truncations.all() == truncations.any() == (step == 1000)
    # going forward is best to within the last steps, where a small reward is better than the way to a large one
    assert env.log()["episode_return"] == pytest.approx(best, abs=40)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 1}, r"n is 1; expected 2 to"),
        ({"slip": 1.5}, "slip is 1.5; expected 0 to 1"),
        ({"slip": -0.5}, "slip is"),
    ],
)
def test_bad_params(given, message):
    with pytest.raises(ValueError, match=f"NChain: parameter {message}"):
        NChain(jit=False, **given)


@pytest.mark.parametrize(("n", "shape"), [(5, (240, 600, 3)), (1000, (64, 640, 3))])
def test_images(n, shape):
    env = NChain(jit=False, n=n, slip=0.0)
    env.reset(seed=0)
    image, text = env.render(), env.render(mode="ansi")
    assert (image.shape, image.dtype) == (shape, np.uint8)
    assert text.startswith("x-o-o")
    env.step([0])
    assert (env.render() != image).any()
    assert env.render(mode="ansi").startswith("o-x-o")
