"""Pong: beat an opponent that follows the ball, but not fast enough."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Count, Positive
from puffer_numba.jit.random import integer

FRAMES = 4
"""Frames of a step. No parameter: only loops whose length is known are unrolled, and so vectorized."""
STAY, UP, DOWN = range(3)


def clip(x, low, high):
    return min(max(x, low), high)


def frame(p, left, right, move, x, y, vx, vy):
    """One frame of both paddles and the ball; and who scored in it: 1 the agent, -1 the opponent, 0 nobody.

    The ball's place is that of its lower left corner, a paddle's that of its lower end.
    """
    maximum = p.height - p.ball
    low, high = -0.5 * p.paddle, p.height - 0.5 * p.paddle
    right = clip(right + p.paddle_speed * move, low, high)
    left = clip(left + clip(y - left - 0.5 * p.paddle, -p.paddle_speed, p.paddle_speed), low, high)
    x += vx
    y += vy
    vy = -vy if (y < 0.0) | (y > maximum) else vy
    y = clip(y, 0.0, maximum)
    at_left, at_right = x < 0.0, x > p.width - p.ball
    paddle = right if at_right else left
    met = (y + p.ball > paddle) & (y < paddle + p.paddle)
    point = (1.0 if at_left & (not met) else 0.0) - (1.0 if at_right & (not met) else 0.0)
    vx = -vx if at_left | at_right else vx
    x = clip(x, 0.0, p.width - p.ball)
    spun = clip(vy + p.spin * move, -p.ball_max_speed_y, p.ball_max_speed_y)
    spun = p.spin if abs(spun) < 0.01 else spun
    vy = spun if at_right else vy
    return left, right, x, y, vx, vy, point


class Pong(JitEnv):
    """Two paddles and a ball. The agent has the right paddle; the left one runs after the ball.

    A paddle that moves while it hits the ball gives it some of its speed, and the steepest ball is faster than the
    opponent.

    - Observation: ``Box(0, 1, (8,), float32)``: both paddles (left, right), the ball's x and y, its velocity along x
      and y, both scores (opponent, agent); each from the minimum to the maximum that it can have.
    - Action: ``Discrete(3)``: the paddle stays (0), goes up (1) or down (2), for 4 frames.
    - Reward: 1 for a point, -1 for one of the opponent's.
    - Terminated: one side has ``max_score`` points.
    - Truncated: after 5000 steps.
    - Start: of every rally: paddles in the middle, the ball on the opponent's side, flying to the agent, up or down.

    Source: PufferLib 3, Ocean's ``pong``. There, 0.1 are paid for each ball that is hit, a rally starts level or
    downwards, the ball is put back into the field only at the agent's end, and an observed score is 0 up to the end.
    """

    max_episode_steps = 5000
    metrics = ("points", "lost")
    single_observation_space = Box(0, 1, (8,), np.float32)
    single_action_space = Discrete(3)

    class State(NamedTuple):
        left: float
        right: float
        x: float
        y: float
        vx: float
        vy: float
        points: int  # of the agent
        lost: int

    class Params(NamedTuple):
        width: Positive = 500.0  # of the field; all lengths are in pixels, and velocities in pixels for each frame
        height: Positive = 640.0
        paddle: Positive = 70.0  # length of a paddle, which may go out of the field by half of it
        ball: Positive = 32.0  # side of the ball, a square
        paddle_speed: Positive = 8.0
        ball_speed_x: Positive = 10.0
        ball_speed_y: float = 1.0  # when a rally starts
        ball_max_speed_y: Positive = 13.0
        spin: Positive = 3.0  # what a moving paddle adds to the ball's velocity along y; of the agent only
        max_score: Count = 21  # points that end the episode

    @classmethod
    def setup(cls, params: Any) -> Any:
        for name, maximum in (("ball", min(params.width, params.height)), ("paddle", params.height)):
            if not getattr(params, name) < maximum:
                raise ValueError(
                    f"Pong: parameter {name} is {getattr(params, name):g}; expected less than {maximum:g}."
                )
        if not 0 <= params.ball_speed_y <= params.ball_max_speed_y:
            raise ValueError(
                f"Pong: parameter ball_speed_y is {params.ball_speed_y:g}; expected 0 to ball_max_speed_y, "
                f"{params.ball_max_speed_y:g}."
            )
        return params

    @kernel
    def reset_env(s, p, i, rng):
        s.left[i] = 0.5 * (p.height - p.paddle)
        s.right[i] = 0.5 * (p.height - p.paddle)
        s.x[i] = 0.2 * p.width
        s.y[i] = 0.5 * (p.height - p.ball)
        s.vx[i] = p.ball_speed_x
        s.vy[i] = p.ball_speed_y * (1.0 if integer(rng, 2) == 0 else -1.0)

    @kernel
    def step_env(s, p, i, action, rng):
        move = 1.0 if action == UP else -1.0 if action == DOWN else 0.0
        left, right, x, y, vx, vy = s.left[i], s.right[i], s.x[i], s.y[i], s.vx[i], s.vy[i]
        reward = 0.0
        for _ in range(FRAMES):
            left, right, x, y, vx, vy, point = frame(p, left, right, move, x, y, vx, vy)
            reward = point if reward == 0.0 else reward  # frames after the point are undone below
        serve = p.ball_speed_y * (1.0 if integer(rng, 2) == 0 else -1.0)
        over = reward != 0.0
        s.left[i] = 0.5 * (p.height - p.paddle) if over else left
        s.right[i] = 0.5 * (p.height - p.paddle) if over else right
        s.x[i] = 0.2 * p.width if over else x
        s.y[i] = 0.5 * (p.height - p.ball) if over else y
        s.vx[i] = p.ball_speed_x if over else vx
        s.vy[i] = serve if over else vy
        s.points[i] += reward > 0.0
        s.lost[i] += reward < 0.0
        return reward, max(s.points[i], s.lost[i]) == p.max_score

    @kernel
    def observe_env(s, p, i, obs):
        # clipped, as a quotient may be rounded to beyond 1
        obs[i, 0] = clip((s.left[i] + 0.5 * p.paddle) / p.height, 0.0, 1.0)
        obs[i, 1] = clip((s.right[i] + 0.5 * p.paddle) / p.height, 0.0, 1.0)
        obs[i, 2] = clip(s.x[i] / (p.width - p.ball), 0.0, 1.0)
        obs[i, 3] = clip(s.y[i] / (p.height - p.ball), 0.0, 1.0)
        obs[i, 4] = 1.0 if s.vx[i] > 0.0 else 0.0
        obs[i, 5] = clip(0.5 + 0.5 * s.vy[i] / p.ball_max_speed_y, 0.0, 1.0)
        obs[i, 6] = float(s.lost[i]) / float(p.max_score)
        obs[i, 7] = float(s.points[i]) / float(p.max_score)
