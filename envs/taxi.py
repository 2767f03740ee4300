"""Taxi: fetch a passenger in a small town, and bring them where they want to go."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Probability
from puffer_numba.jit.random import integer, random

MAP = (
    "+---------+",
    "|R: | : :G|",
    "| : | : : |",
    "| : : : : |",
    "| | : | : |",
    "|Y| : |B: |",
    "+---------+",
)  # between two cells of a row, ":" lets through and "|" is a wall
SIDE = 5
CELLS = SIDE * SIDE
STATES = CELLS * 5 * 4
PADS = (0, 4, 20, 23)  # cells of R, G, Y and B
IN_TAXI = 4
SOUTH, NORTH, EAST, WEST, PICKUP, DROPOFF = range(6)
TURNS = (  # what each action does as it says, to its left and to its right
    (SOUTH, EAST, WEST),
    (NORTH, WEST, EAST),
    (EAST, NORTH, SOUTH),
    (WEST, SOUTH, NORTH),
    (PICKUP, PICKUP, PICKUP),
    (DROPOFF, DROPOFF, DROPOFF),
)


def encode(cell: int, passenger: int, destination: int) -> int:
    """A state as one number."""
    return (cell * 5 + passenger) * 4 + destination


def decode(state: int) -> tuple[int, int, int]:
    """Cell of the taxi, passenger and destination."""
    return state // 20, state // 4 % 5, state % 4


def rules() -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.bool_]]:
    """What follows from each state and action in dry weather, (states, actions): the next state, reward, delivery."""
    after = np.repeat(np.arange(STATES, dtype=np.int16)[:, np.newaxis], 6, axis=1)
    rewards, delivered = np.full((STATES, 6), -1.0), np.zeros((STATES, 6), np.bool_)
    for state in range(STATES):
        cell, passenger, destination = decode(state)
        row, column = divmod(cell, SIDE)
        walls = MAP[1 + row][2 * column :]  # left and right of the cell: elements 0 and 2
        steps = ((SOUTH, SIDE, row < SIDE - 1), (NORTH, -SIDE, row > 0), (EAST, 1, walls[2] == ":"))
        for action, step, is_free in (*steps, (WEST, -1, walls[0] == ":")):
            after[state, action] = encode(cell + step, passenger, destination) if is_free else state
        pad = PADS.index(cell) if cell in PADS else None
        if passenger == pad:
            after[state, PICKUP] = encode(cell, IN_TAXI, destination)
        else:
            rewards[state, PICKUP] = -10.0
        if passenger == IN_TAXI and pad is not None:
            after[state, DROPOFF] = encode(cell, pad, destination)
            delivered[state, DROPOFF] = pad == destination
            rewards[state, DROPOFF] = 20.0 if pad == destination else -1.0
        else:
            rewards[state, DROPOFF] = -10.0
    return after, rewards, delivered


def write_mask(s, p, i):
    """Show the user which actions change something."""
    state = s.state[i]
    for action in range(6):
        s.action_mask[i, action] = p.masks[state, action]


class Taxi(JitEnv):
    """Four pads lie in a town of 5 x 5 cells. A passenger waits at one and wants to go to another.

    - Observation: ``Discrete(500)``: ``((row * 5 + column) * 5 + passenger) * 4 + destination``; passenger and
      destination are pads: 0 red, 1 green, 2 yellow, 3 blue, and passenger 4 is in the taxi.
    - Action: ``Discrete(6)``: 0 south, 1 north, 2 east, 3 west, 4 pick up, 5 drop off. Moves against a wall do nothing.
      With ``is_rainy`` a move that is not blocked goes left or right of its direction now and then.
    - Reward: 20 for the passenger at the destination; -10 for picking up or dropping off where that is impossible;
      else -1. A passenger may be put down on a wrong pad.
    - Terminated: with the passenger at the destination.
    - Truncated: after 200 steps. Optimum: a mean return of 7.93.
    - Start: taxi anywhere, passenger on a pad, destination another: uniform.
    - Info: ``action_mask`` int8 (6,), 1 for actions that would change something; ``prob``, the probability of the move.

    Source: Dietterich (2000), as in Gymnasium's Taxi-v4, whose transitions it reproduces.
    """

    max_episode_steps = 200
    single_observation_space = Discrete(STATES)
    single_action_space = Discrete(6)
    info = ("action_mask", "prob")

    class State(NamedTuple):
        state: np.uint16  # as observed; unsigned for faster indexing
        fickle: bool  # the passenger is going to change the destination
        action_mask: Annotated[np.int8, 6]
        prob: float
        last_action: np.int8  # plus 1; 0 before the first step

    class Params(NamedTuple):
        is_rainy: bool = False  # whether moves may go astray
        fickle_passenger: bool = False
        """whether the passenger may choose another destination, once, on the first move after a pickup"""
        rainy_probability: Probability = 0.8
        """of a move in the direction of the action, in rain; the rest is shared by its left and right"""
        fickle_probability: Probability = 0.3  # of a change of the destination, for a fickle passenger

    class Tables(NamedTuple):
        after: NDArray[np.int16]  # (states, actions): next states in dry weather
        rewards: NDArray[Any]  # (states, actions)
        delivered: NDArray[np.bool_]  # (states, actions): whether the episode ends
        masks: NDArray[np.int8]  # (states, actions): 1 where something changes
        turns: NDArray[np.int8]  # (actions, 3): actions that take one where it says, to the left of that, to the right

    @classmethod
    def tables(cls, params: Any) -> Any:
        after, rewards, delivered = rules()
        return cls.Tables(after, rewards, delivered, after != np.arange(STATES)[:, np.newaxis], np.array(TURNS))

    @kernel
    def reset_env(s, p, i, rng):
        start = integer(rng, CELLS * 4 * 3)
        cell, passenger, destination = start // 12, start // 3 % 4, start % 3
        destination += int(destination >= passenger)
        s.state[i] = encode(cell, passenger, destination)
        s.fickle[i] = p.fickle_passenger and random(rng) < p.fickle_probability
        s.prob[i] = 1.0
        write_mask(s, p, i)

    @kernel
    def step_env(s, p, i, action, rng):
        state = s.state[i]
        success = p.rainy_probability if p.is_rainy & (action < PICKUP) else 1.0
        astray = 0.5 * (1.0 - success)
        draw = random(rng)
        way = int(draw >= success) + int(draw >= success + astray)
        way *= p.masks[state, action]  # what is blocked straight ahead does not go astray either
        after = p.after[state, p.turns[action, way]]
        s.state[i] = after
        if s.fickle[i]:
            cell, passenger, destination = decode(state)
            moved_to, _, _ = decode(after)
            if (passenger == IN_TAXI) & (moved_to != cell):
                other = integer(rng, 3)
                s.state[i] = encode(moved_to, IN_TAXI, other + int(other >= destination))
                s.fickle[i] = False
        s.prob[i] = success if draw < success else astray
        s.last_action[i] = action + 1
        write_mask(s, p, i)
        return p.rewards[state, action], p.delivered[state, action]

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.state[i]
