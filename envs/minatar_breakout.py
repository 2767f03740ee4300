"""MinAtar's Breakout: keep a ball in play with a paddle, and break the bricks at the top."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from puffer_numba.envs._minatar import LEFT, NOOP, RIGHT, MinAtar, clear, sticky
from puffer_numba.jit import kernel
from puffer_numba.jit.random import integer

PADDLE, BALL, TRAIL, BRICK = range(4)
WALL = 2**30 - 1  # three rows of ten bricks, a bit for each, below the top row of the image


class MinAtarBreakout(MinAtar):
    """A ball flies along diagonals, off walls, bricks and a paddle at the bottom. Break bricks, and do not miss it.

    - Observation: ``Box(0, 1, (10, 10, 4), uint8)``: row, column, channel: paddle, ball, where the ball was, bricks.
    - Action: ``Discrete(6)``: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire, of which only left and right do
      something; ``Discrete(3)``: nothing, left, right with ``minimal_actions``.
    - Reward: 1 for each brick. Where none is left and the ball comes down to the paddle, there is a new wall.
    - Terminated: the paddle missed the ball. There is no time limit.
    - Start: paddle in the middle, ball in the top left or the top right corner below the bricks.

    Source: Young & Tian (2019), arXiv 1903.03176; transitions are those of their package ``minatar`` 1.0.15.
    """

    channels = ("paddle", "ball", "trail", "brick")
    minimal_action_set = (NOOP, LEFT, RIGHT)

    class State(NamedTuple):
        paddle: np.int8  # column
        x: np.int8  # column of the ball
        y: np.int8  # row of the ball
        dx: np.int8  # 1 or -1
        dy: np.int8  # 1 is down
        last_x: np.int8
        last_y: np.int8
        struck: bool  # whether the ball broke a brick in the last step; it then passes through the next one
        bricks: int  # brick k is bit k, in row 1 + k // 10 and column k % 10
        last_action: np.int8

    @kernel
    def reset_env(s, p, i, rng):
        right = integer(rng, 2)
        s.x[i] = s.last_x[i] = 9 * right
        s.y[i] = s.last_y[i] = 3
        s.dx[i] = 1 - 2 * right
        s.dy[i] = 1
        s.paddle[i] = 4
        s.bricks[i] = WALL

    @kernel
    def step_env(s, p, i, action, rng):
        action = sticky(s, p, i, action, rng)
        paddle = min(max(s.paddle[i] + (action == RIGHT) - (action == LEFT), 0), 9)
        last_x, last_y = s.x[i], s.y[i]
        dx, dy, bricks = s.dx[i], s.dy[i], s.bricks[i]
        x, y = last_x + dx, last_y + dy
        side = (x < 0) | (x > 9)
        x = min(max(x, 0), 9)
        dx = -dx if side else dx

        in_wall = (y >= 1) & (y <= 3)
        brick = np.int32(1) << (10 * (y - 1) + x) if in_wall else np.int32(0)
        inside = (bricks & brick) != 0
        broke = inside & (not s.struck[i])
        bricks = bricks & ~brick if broke else bricks

        bottom = y == 9
        bricks = WALL if bottom & (bricks == 0) else bricks
        under_ball = bottom & (last_x == paddle)  # it goes back up on the other diagonal
        ahead = bottom & (last_x != paddle) & (x == paddle)  # the ball meets a corner, and goes back as it came
        missed = bottom & (last_x != paddle) & (x != paddle)
        dx = -dx if ahead else dx
        dy = -dy if (y < 0) | broke | under_ball | ahead else dy
        y = 0 if y < 0 else last_y if broke | under_ball | ahead else y

        s.paddle[i] = paddle
        s.x[i], s.y[i], s.dx[i], s.dy[i] = x, y, dx, dy
        s.last_x[i], s.last_y[i] = last_x, last_y
        s.struck[i] = inside
        s.bricks[i] = bricks
        return 1.0 if broke else 0.0, missed

    @kernel
    def observe_env(s, p, i, obs):
        clear(obs, i)
        bricks = s.bricks[i]
        for row in range(3):
            for column in range(10):
                obs[i, 1 + row, column, BRICK] = bricks >> (10 * row + column) & 1
        obs[i, 9, s.paddle[i], PADDLE] = 1
        obs[i, s.y[i], s.x[i], BALL] = 1
        obs[i, s.last_y[i], s.last_x[i], TRAIL] = 1
