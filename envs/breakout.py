"""Breakout: break a wall of bricks with a ball that must not be lost."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Lt
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Count, Positive
from puffer_numba.jit.math import cos, floor, sin
from puffer_numba.jit.random import integer

STAY, LEFT, RIGHT = range(3)
NOTHING, SIDE, CEILING, PADDLE, BRICK = range(5)  # what the ball meets
LAUNCH_ANGLE = math.pi / 3.25  # from straight down, to either side
BOUNCE_ANGLE = math.pi / 4  # from straight up, at the ends of the paddle
FEATURES = 10  # that come before the bricks


def start_round(s, p, i, rng):
    """A ball in the middle of the field, on its way down; the paddle as at the start."""
    s.speed[i] = p.ball_speed
    s.hits[i] = 0
    s.paddle_width[i] = p.paddle_width
    s.paddle_x[i] = 0.5 * (p.width - p.paddle_width)
    s.x[i] = 0.5 * (p.width - p.ball)
    s.y[i] = 0.5 * p.height - 30.0
    side = 1.0 if integer(rng, 2) == 0 else -1.0
    s.vx[i] = side * sin(float(LAUNCH_ANGLE)) * s.speed[i] / 60.0
    s.vy[i] = cos(float(LAUNCH_ANGLE)) * s.speed[i] / 60.0


def crossing(a, size, velocity, low, length):
    """When a moving interval of this size begins and ceases to overlap [low, low + length], in frames from now."""
    before, after = low - a - size, low + length - a
    first, last = (before, after) if velocity > 0.0 else (after, before)
    return first / velocity, last / velocity


def first_brick(broken, p, i, x, y, vx, vy):
    """The brick that the ball meets first within a frame: when, its index (-1 if none), whether from above or below.

    Of several that it meets at the same time, the one with the longest contact.
    """
    when, brick, level, longest = 2.0, -1, False, 0.0
    column_1 = max(int(min(x, x + vx) / p.brick_width), 0)
    column_2 = min(int((max(x, x + vx) + p.ball) / p.brick_width), p.columns - 1)
    row_1 = max(int((min(y, y + vy) - p.top) / p.brick_height), 0)
    row_2 = min(int(floor((max(y, y + vy) + p.ball - p.top) / p.brick_height)), p.rows - 1)
    for row in range(row_1, row_2 + 1):
        for column in range(column_1, column_2 + 1):
            if broken[i, row * p.columns + column]:
                continue
            left, above = p.brick_width * float(column), p.top + p.brick_height * float(row)
            x_in, x_out = crossing(x, p.ball, vx, left, p.brick_width)
            y_in, y_out = crossing(y, p.ball, vy, above, p.brick_height)
            t = max(x_in, y_in)
            if (t < 0.0) | (t > 1.0) | (t >= min(x_out, y_out)) | (t > when):
                continue
            vertical = y_in >= x_in
            at, low, length = (x + vx * t, left, p.brick_width) if vertical else (y + vy * t, above, p.brick_height)
            contact = min(at + p.ball, low + length) - max(at, low)
            if (t < when) | (contact > longest):
                when, brick, level, longest = t, row * p.columns + column, vertical, contact
    return when, brick, level


class Breakout(JitEnv):
    """Keep a ball in the field with a paddle, and break all bricks, twice over, before five balls are lost.

    The ball moves in straight lines at a speed of its own, 60 frames a second; where it meets something it bounces, and
    stays at the place of contact up to the next frame. Off the paddle it bounces by up to 45 degrees from straight up,
    depending on where it hits. It gets faster with every fourth hit of the paddle, and as fast as can be with the first
    brick of the upper half. From the first time it hits the ceiling, the paddle is half as wide. A new ball undoes all
    three. A wall that is broken down is there again after the next hit of the paddle.

    - Observation: ``Box(-1, 1, (10 + rows * columns,), float32)``: the paddle's x and width; the ball's x, y, velocity
      along x and y (down), and speed; balls left; walls broken down; hits of the paddle since the last one that made
      the ball faster; and for each brick, row by row from the top, whether it is broken.
    - Action: ``Discrete(3)``: the paddle stays (0), goes left (1) or right (2), for ``frameskip`` frames.
    - Reward: for each brick; from the bottom, two rows are worth 1 each, the next two 4, the next two 7, and so on: at
      most 864.
    - Terminated: the last ball is lost, or the last wall broken down.
    - Truncated: after 10000 steps.
    - Start: of every round: the paddle in the middle, the ball above it, flying down to the left or right.

    Source: PufferLib 3, Ocean's ``breakout``. There, the ball stays where it was, not at the place of contact, in the
    frame in which it meets the paddle; there are six balls; and the paddle's y, a constant, and the score are observed.
    """

    max_episode_steps = 10_000
    metrics = ("bricks",)
    single_action_space = Discrete(3)

    class State(NamedTuple):
        paddle_x: float
        paddle_width: float
        x: float
        y: float
        vx: float
        vy: float
        speed: float  # after the next hit of the paddle
        hits: int
        balls: int  # left, the one in the field included
        walls: int  # broken down
        standing: int
        bricks: int  # broken
        broken: Annotated[bool, "rows * columns"]

    class Params(NamedTuple):
        frameskip: Count = 4  # frames of a step
        width: float = 576.0  # of the field; all lengths are in pixels, and velocities in pixels a second
        height: float = 330.0
        paddle_width: Positive = 62.0
        paddle_height: Positive = 8.0
        paddle_speed: Positive = 620.0
        ball: Positive = 32.0  # side of the ball, a square
        ball_speed: Positive = 256.0  # of a new ball
        ball_max_speed: float = 448.0
        speed_up: Annotated[float, Ge(0), Lt(math.inf)] = 64.0  # what every fourth hit of the paddle adds to the speed
        top: float = 50.0  # space above the bricks
        brick_width: Positive = 32.0
        brick_height: Positive = 12.0
        rows: Count = 6
        columns: Count = 18
        balls: Count = 5
        walls: Count = 2  # to be broken down

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(-1, 1, (FEATURES + p.rows * p.columns,), np.float32)

    @classmethod
    def setup(cls, params: Any) -> Any:
        if not params.ball_speed <= params.ball_max_speed <= 60 * params.ball:
            raise ValueError(
                f"Breakout: parameter ball_max_speed is {params.ball_max_speed:g}; expected ball_speed, "
                f"{params.ball_speed:g}, to the size of the ball in each frame, {60 * params.ball:g}."
            )
        if not max(params.paddle_width, params.ball, params.columns * params.brick_width) <= params.width:
            raise ValueError(
                f"Breakout: parameter width is {params.width:g}; expected at least that of the paddle, the ball, and "
                f"{params.columns} bricks of {params.brick_width:g}."
            )
        if not 0 <= params.top <= params.height / 2 - 30 - params.rows * params.brick_height:
            raise ValueError(
                f"Breakout: parameter top is {params.top:g}; expected that {params.rows} rows of bricks of "
                f"{params.brick_height:g} below it end above the first place of the ball, {params.height / 2 - 30:g}."
            )
        return params

    @kernel
    def reset_env(s, p, i, rng):
        s.balls[i] = p.balls
        s.standing[i] = p.rows * p.columns
        start_round(s, p, i, rng)

    @kernel
    def step_env(s, p, i, action, rng):
        move = (1.0 if action == RIGHT else -1.0 if action == LEFT else 0.0) * p.paddle_speed / 60.0
        paddle_y = p.height - p.paddle_height - 10.0
        wall_end = p.top + p.brick_height * float(p.rows)
        x, y, vx, vy = s.x[i], s.y[i], s.vx[i], s.vy[i]
        paddle_x, paddle_width = s.paddle_x[i], s.paddle_width[i]
        reward = 0.0
        for _ in range(p.frameskip):
            paddle_x = min(max(paddle_x + move, 0.0), p.width - paddle_width)

            # what is met first in this frame, and when
            when, met, brick, level = 1.0, NOTHING, -1, False
            if min(y, y + vy) <= wall_end:
                when, brick, level = first_brick(s.broken, p, i, x, y, vx, vy)
                met = BRICK if brick >= 0 else NOTHING
                when = min(when, 1.0)
            t = ((p.width - p.ball if vx > 0.0 else 0.0) - x) / vx
            if t < when:
                when, met = t, SIDE
            t = -y / vy
            if (vy < 0.0) & (t < when):
                when, met = t, CEILING
            t = (paddle_y - p.ball - y) / vy
            at = x + vx * t
            if (vy > 0.0) & (t >= 0.0) & (t < when) & (at + p.ball > paddle_x) & (at < paddle_x + paddle_width):
                when, met = t, PADDLE
            x = min(max(x + vx * when, 0.0), p.width - p.ball)
            y = max(y + vy * when, 0.0)

            if met == PADDLE:
                angle = BOUNCE_ANGLE * (2.0 * (x + 0.5 * p.ball - paddle_x) / paddle_width - 1.0)
                vx, vy = sin(angle) * s.speed[i] / 60.0, -cos(angle) * s.speed[i] / 60.0
                vx = 1e-3 if abs(vx) < 1e-3 else vx  # it is divided by
                s.hits[i] += 1
                if s.hits[i] % 4 == 0:
                    s.speed[i] = min(s.speed[i] + p.speed_up, p.ball_max_speed)
                if s.standing[i] == 0:
                    s.standing[i] = p.rows * p.columns
                    s.broken[i] = False
            elif met == SIDE:
                vx = -vx
            elif met == CEILING:
                vy = -vy
                paddle_width = 0.5 * p.paddle_width
            elif met == BRICK:
                row, column = brick // p.columns, brick % p.columns
                if level:  # exactly at the edge, so that the brick beside it is not met from the inside
                    y = p.top + p.brick_height * float(row) + (p.brick_height if vy < 0.0 else -p.ball)
                    vy = -vy
                else:
                    x = p.brick_width * float(column) + (p.brick_width if vx < 0.0 else -p.ball)
                    vx = -vx
                s.broken[i, brick] = True
                s.standing[i] -= 1
                s.bricks[i] += 1
                s.walls[i] += s.standing[i] == 0
                if 2 * row < p.rows:
                    s.speed[i] = p.ball_max_speed
                reward += float(1 + 3 * ((p.rows - 1 - row) // 2))
            if (y >= p.height - 10.0) | (s.walls[i] == p.walls):
                break
        s.x[i], s.y[i], s.vx[i], s.vy[i] = x, y, vx, vy
        s.paddle_x[i], s.paddle_width[i] = paddle_x, paddle_width
        if y >= p.height - 10.0:
            s.balls[i] -= 1
            if s.balls[i] > 0:
                start_round(s, p, i, rng)
        return reward, (s.balls[i] == 0) | (s.walls[i] == p.walls)

    @kernel
    def observe_env(s, p, i, obs):
        per_frame = 60.0 / p.ball_max_speed
        obs[i, 0] = s.paddle_x[i] / p.width
        obs[i, 1] = s.paddle_width[i] / p.paddle_width
        obs[i, 2] = s.x[i] / p.width
        obs[i, 3] = min(s.y[i] / p.height, 1.0)
        obs[i, 4] = min(max(s.vx[i] * per_frame, -1.0), 1.0)
        obs[i, 5] = min(max(s.vy[i] * per_frame, -1.0), 1.0)
        obs[i, 6] = s.speed[i] / p.ball_max_speed
        obs[i, 7] = float(s.balls[i]) / float(p.balls)
        obs[i, 8] = float(s.walls[i]) / float(p.walls)
        obs[i, 9] = float(s.hits[i] % 4) / 4.0
        for k in range(obs.shape[1] - FEATURES):
            obs[i, FEATURES + k] = float(s.broken[i, k])
