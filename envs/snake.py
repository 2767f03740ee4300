"""Snake: many snakes on one board, each an agent, that eat and get in one another's way."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import integer

UP, DOWN, LEFT, RIGHT = range(4)
FOOD, CORPSE, EMPTY, OWN, OTHER, WALL, BODY = range(2, -5, -1)  # what is seen; on the board snake a is BODY - a
OUTSIDE = -1
MAX_SNAKES = 125
TRIES = 64


def free_cell(board, i, rng, size, vision):
    """A cell without food, snake or wall, chosen at random; OUTSIDE if none is found in many tries."""
    width = size + 2 * vision
    for _ in range(TRIES):
        cell = (vision + integer(rng, size)) * width + vision + integer(rng, size)
        if (board[i, cell] == EMPTY) | (board[i, cell] == CORPSE):
            return cell
    return np.int64(OUTSIDE)


def ahead(cell, direction, width):
    """The next cell in a direction."""
    return cell + (-width if direction == UP else width if direction == DOWN else -1 if direction == LEFT else 1)


class Snake(JitEnv):
    """Snakes move by one cell in each step, one after the other in the order of their numbers, and grow by one for
    each thing that they eat. Who runs into a wall or a snake, itself included, dies; every second cell of its body can
    be eaten. Food that is eaten appears again on another cell. A snake cannot turn back into its own neck: it goes on.

    The dead come back in the next step as a snake of one cell, if ``respawn``; they act again from the one after.

    - Observation: ``Box(-3, 2, (2 * vision + 1, 2 * vision + 1), int8)``: the cells around the head: 2 food, 1 corpse,
      0 empty, -1 the snake itself, -2 another one, -3 wall. Of the dead: all -3.
    - Action: ``Discrete(4)``: up (0), down (1), left (2), right (3).
    - Reward: 0.1 for food or a corpse, -1 for dying.
    - Terminated: for the snake that dies. The episode is over once all are dead in the same step, or have died
      without ``respawn``.
    - Truncated: after 500 steps.
    - Start: snakes of one cell and the food, on cells chosen at random.

    Source: PufferLib 3, Ocean's ``snake``, where no death ends an episode, and colors tell only some snakes apart.
    """

    agents = "snakes"
    max_episode_steps = 500
    metrics = ("longest", "eaten")
    single_action_space = Discrete(4)

    class State(NamedTuple):
        # cells are numbered row by row on a board with a wall of `vision` cells all around
        board: Annotated[np.int8, "(size + 2 * vision) ** 2"]
        next: Annotated[np.int8, "(size + 2 * vision) ** 2"]  # of a body's cell: in which direction its next one is
        head: Annotated[np.int32, "snakes"]  # OUTSIDE while dead
        tail: Annotated[np.int32, "snakes"]
        length: Annotated[np.int32, "snakes"]
        longest: int  # of all snakes in this episode
        eaten: float  # for each snake

    class Params(NamedTuple):
        snakes: Annotated[int, Ge(1), Le(MAX_SNAKES)] = 16  # agents on one board
        size: Annotated[int, Ge(2), Le(1000)] = 32  # cells along a side, without the walls
        food: int = 32  # cells with food
        vision: Annotated[int, Ge(1), Le(100)] = 5  # cells that a snake sees in each direction
        reward_food: float = 0.1
        reward_corpse: float = 0.1
        reward_death: float = -1.0
        leave_corpse: bool = True  # whether the dead can be eaten
        respawn: bool = True  # whether the dead come back

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(WALL, FOOD, (2 * p.vision + 1, 2 * p.vision + 1), np.int8)

    @classmethod
    def setup(cls, params: Any) -> Any:
        maximum = params.size**2 // 2 - params.snakes
        if not 0 <= params.food <= maximum:
            raise ValueError(
                f"Snake: parameter food is {params.food}; expected 0 to {maximum}, so that it and the snakes take no "
                f"more than half of {params.size} x {params.size} cells."
            )
        return params

    @kernel
    def reset_env(s, p, i, rng, team):
        width = p.size + 2 * p.vision
        s.longest[i] = 1
        for cell in range(width * width):
            row, column = cell // width, cell % width
            nearest = min(min(row, width - 1 - row), min(column, width - 1 - column))
            s.board[i, cell] = WALL if nearest < p.vision else EMPTY
        for a in range(p.snakes):
            cell = free_cell(s.board, i, rng, p.size, p.vision)
            s.head[i, a], s.tail[i, a], s.length[i, a] = cell, cell, 1
            if cell >= 0:
                s.board[i, cell] = BODY - a
            else:
                team.alive[i, a] = False
        for _ in range(p.food):
            cell = free_cell(s.board, i, rng, p.size, p.vision)
            if cell >= 0:
                s.board[i, cell] = FOOD

    @kernel
    def step_env(s, p, i, action, rng, team):
        width = p.size + 2 * p.vision
        for a in range(p.snakes):
            head = s.head[i, a]
            if head < 0:
                if p.respawn:
                    cell = free_cell(s.board, i, rng, p.size, p.vision)
                    if cell >= 0:
                        s.head[i, a], s.tail[i, a], s.length[i, a] = cell, cell, 1
                        s.board[i, cell] = BODY - a
                        team.alive[i, a] = True
                continue
            direction = action[a]
            to = ahead(head, direction, width)
            if s.length[i, a] > 1 and s.board[i, to] == BODY - a and ahead(to, s.next[i, to], width) == head:
                direction = direction ^ 1  # into its neck: the other way
                to = ahead(head, direction, width)
            met = s.board[i, to]
            if met <= WALL:
                cell = s.tail[i, a]
                for k in range(s.length[i, a]):
                    s.board[i, cell] = CORPSE if p.leave_corpse and k % 2 == 1 else EMPTY
                    cell = ahead(cell, s.next[i, cell], width)
                s.head[i, a] = OUTSIDE
                s.length[i, a] = 0
                team.reward[i, a] = p.reward_death
                team.terminated[i, a] = True
                continue
            s.next[i, head] = direction
            s.board[i, to] = BODY - a
            s.head[i, a] = to
            if met == EMPTY:
                tail = s.tail[i, a]
                s.board[i, tail] = EMPTY
                s.tail[i, a] = ahead(tail, s.next[i, tail], width)
            else:
                s.length[i, a] += 1
                s.longest[i] = max(s.longest[i], s.length[i, a])
                s.eaten[i] += 1.0 / float(p.snakes)
                team.reward[i, a] = p.reward_food if met == FOOD else p.reward_corpse
            if met == FOOD:
                cell = free_cell(s.board, i, rng, p.size, p.vision)
                if cell >= 0:
                    s.board[i, cell] = FOOD
        return False

    @kernel
    def observe_env(s, p, i, obs):
        width = p.size + 2 * p.vision
        for a in range(obs.shape[1]):
            head = s.head[i, a]
            if head < 0:
                obs[i, a] = WALL
                continue
            own = BODY - a
            corner = np.uintp(head - p.vision * width - p.vision)
            for row in range(obs.shape[2]):
                for column in range(obs.shape[3]):
                    seen = s.board[i, corner + np.uintp(column)]
                    obs[i, a, row, column] = OWN if seen == own else OTHER if seen < WALL else seen
                corner += np.uintp(width)
