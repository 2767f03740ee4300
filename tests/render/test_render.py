"""Images: what is drawn is there, where it should be."""

from __future__ import annotations

import numpy as np
import pytest

import puffer_numba
from puffer_numba.env import APIUsageError
from puffer_numba.render.canvas import BACKGROUND, CORAL, TEAL, Canvas
from tests.helpers.jit_envs import Walk


def test_shapes_land_where_they_are_drawn() -> None:
    canvas = Canvas(60, 40)
    canvas.rectangle(10, 10, 20, 10, TEAL)
    canvas.circle(50, 30, 5, CORAL)
    image = canvas.array()
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    assert tuple(image[15, 20]) == TEAL
    assert tuple(image[30, 50]) == CORAL
    assert tuple(image[2, 2]) == BACKGROUND


def test_a_polyline_goes_through_its_points() -> None:
    canvas = Canvas(60, 40)
    canvas.polyline([(5, 5), (30, 35), (55, 5)], TEAL, 4)
    image = canvas.array()
    assert tuple(image[33, 30]) == tuple(image[20, 17]) == tuple(image[20, 42]) == TEAL
    assert tuple(image[5, 30]) == BACKGROUND


def test_text_leaves_marks() -> None:
    canvas = Canvas(60, 40)
    canvas.text(5, 5, "42")
    assert (canvas.array() != BACKGROUND).any()


def test_cartpole_draws_its_state() -> None:
    env = puffer_numba.make("cartpole", num_envs=2)
    env.reset(seed=0)
    upright = env.render()
    env.state.theta[0] = 0.2  # type: ignore[attr-defined]
    leaning = env.render()
    assert upright is not None
    assert upright.shape == (400, 600, 3)
    assert (upright != leaning).any()
    assert np.array_equal(env.render(), leaning)


def test_squared_draws_agent_and_target() -> None:
    env = puffer_numba.make("squared")
    env.reset(seed=0)
    image = env.render().reshape(-1, 3)
    assert (image == TEAL).all(axis=1).sum() == pytest.approx((image == CORAL).all(axis=1).sum(), rel=0.1)


def test_render_before_reset_says_so() -> None:
    with pytest.raises(APIUsageError, match="before reset"):
        puffer_numba.make("cartpole").render()


def test_an_environment_without_an_image_renders_none() -> None:
    env = Walk(jit=False)
    env.reset()
    assert env.render() is None
