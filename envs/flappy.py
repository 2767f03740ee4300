"""Flappy: fly through the gaps between pipes, by flapping or not."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Gt, Le
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Positive
from puffer_numba.jit.random import uniform


class Flappy(JitEnv):
    """A bird falls unless it flaps, while pairs of pipes with a gap between them come towards it.

    The field is 1 high. The bird is a square that moves up and down only; pipes come from the right, one pair every
    ``spacing``.

    - Observation: ``Box((5,), float32)``: the bird's height; its velocity, in those of a flap; the distance of the
      next pipes' near side from its middle, in ``spacing``; how far the middle of their gap is above it, and that
      of the gap after.
    - Action: ``Discrete(2)``: nothing (0); a flap (1), which makes the velocity ``flap`` upwards, whatever it was.
    - Reward: 1 for each pair of pipes that is passed, -1 for a crash.
    - Terminated: the bird touches a pipe or the ground. The ceiling only stops it.
    - Truncated: after 10000 steps, or 399 pipes with the default params.
    - Start: in the middle, at rest, the first pipes at twice their spacing. Gaps have their middle uniform on
      [``margin``, 1 - ``margin``).

    Source: Nguyen's game Flappy Bird (2013); the constants are our own.
    """

    max_episode_steps = 10_000
    metrics = ("passed",)
    single_action_space = Discrete(2)

    class State(NamedTuple):
        y: float
        velocity: float
        distance: float  # of the next pipes' near side from the bird's middle
        gap: float  # height of its middle
        next_gap: float
        passed: int

    class Params(NamedTuple):
        gravity: Positive = 0.003
        """what a step takes from the velocity; all lengths are in heights of the field, velocities in these a step"""
        flap: Annotated[float, Gt(0), Le(0.1)] = 0.03
        max_fall: Annotated[float, Gt(0), Le(0.1)] = 0.045  # the bird falls no faster
        speed: Positive = 0.02  # of the pipes
        spacing: float = 0.5  # from one pair of pipes to the next
        pipe_width: Positive = 0.12
        gap_height: float = 0.26
        margin: float = 0.23  # minimum distance of a gap's middle from ground and ceiling
        bird: Positive = 0.06  # side of the square

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        nearest = -(p.pipe_width + p.bird + p.speed) / p.spacing
        low = [-p.max_fall, -p.max_fall / p.flap, nearest, -1.1, -1.1]
        high = [1 + p.flap, 1.0, 2.0, 1.1, 1.1]
        return Box(np.array(low, np.float32), np.array(high, np.float32))

    @classmethod
    def setup(cls, params: Any) -> Any:
        minimum = params.pipe_width + params.bird + params.speed
        if not params.spacing > minimum:
            raise ValueError(f"Flappy: parameter spacing is {params.spacing:g}; expected more than {minimum:g}.")
        if not params.gap_height > params.bird:
            raise ValueError(
                f"Flappy: parameter gap_height is {params.gap_height:g}; expected more than the bird, {params.bird:g}."
            )
        if not params.gap_height / 2 <= params.margin <= 0.5:
            raise ValueError(
                f"Flappy: parameter margin is {params.margin:g}; expected half of gap_height, "
                f"{params.gap_height / 2:g}, to 0.5."
            )
        return params

    @kernel
    def reset_env(s, p, i, rng):
        s.y[i] = 0.5
        s.distance[i] = 2.0 * p.spacing
        s.gap[i] = uniform(rng, p.margin, 1.0 - p.margin)
        s.next_gap[i] = uniform(rng, p.margin, 1.0 - p.margin)

    @kernel
    def step_env(s, p, i, action, rng):
        velocity = p.flap if action == 1 else max(s.velocity[i] - p.gravity, -p.max_fall)
        half = 0.5 * p.bird
        y = min(s.y[i] + velocity, 1.0 - half)
        distance = s.distance[i] - p.speed
        beside = (distance < half) & (distance + p.pipe_width > -half)
        inside = abs(y - s.gap[i]) < 0.5 * p.gap_height - half
        crashed = (beside & (not inside)) | (y < half)
        passed = distance + p.pipe_width <= -half
        new_gap = uniform(rng, p.margin, 1.0 - p.margin)
        s.y[i], s.velocity[i] = y, velocity
        s.distance[i] = distance + p.spacing if passed else distance
        s.gap[i] = s.next_gap[i] if passed else s.gap[i]
        s.next_gap[i] = new_gap if passed else s.next_gap[i]
        s.passed[i] += passed
        return (1.0 if passed else 0.0) - (1.0 if crashed else 0.0), crashed

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.y[i]
        obs[i, 1] = s.velocity[i] / p.flap
        obs[i, 2] = s.distance[i] / p.spacing
        obs[i, 3] = s.gap[i] - s.y[i]
        obs[i, 4] = s.next_gap[i] - s.y[i]
