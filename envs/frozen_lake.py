"""FrozenLake: cross slippery ice from start to goal without falling into a hole."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.bounds import Probability
from puffer_numba.jit.random import integer, random

MAPS = {
    "4x4": ("SFFF", "FHFH", "FFFH", "HFFG"),
    "8x8": ("SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"),
}
LEFT, DOWN, RIGHT, UP = range(4)
START, FROZEN, HOLE, GOAL = map(ord, "SFHG")
_MAX_SIZE = 1024  # cells along a side


def generate_random_map(size: int = 8, p: float = 0.8, seed: int | None = None) -> list[str]:
    """A random map on which the goal can be reached: Gymnasium's, from the same seed.

    Args:
        size: cells along a side.
        p: chance that a cell is frozen; where it is small, the search for a map that can be crossed takes long.
        seed: not negative; None for fresh entropy.

    Raises:
        ValueError: ``size`` is less than 2, or ``p`` is not in (0, 1].
    """
    if not 2 <= size <= _MAX_SIZE:
        raise ValueError(f"generate_random_map: size is {size}; expected 2 to {_MAX_SIZE}.")
    if not 0 < p <= 1:
        raise ValueError(f"generate_random_map: p is {p:g}; expected more than 0 and at most 1.")
    from gymnasium.envs.toy_text import frozen_lake

    return frozen_lake.generate_random_map(size, p, seed)


def encode_map(desc: Any) -> NDArray[np.uint8]:
    """A map as the codes of its letters, (rows, columns).

    Args:
        desc: rows, each a string or a sequence of letters; or an array of such codes.

    Raises:
        ValueError: the rows are not of one length, or a letter is not S, F, H or G, or there is no S or no G.
    """
    try:
        rows = [] if isinstance(desc, str) else ["".join(map(_letter, row)) for row in desc]
    except (TypeError, ValueError) as error:
        raise ValueError(f"FrozenLake: parameter desc is {desc!r}; expected a sequence of rows.") from error
    problem = f"FrozenLake: parameter desc is {rows or desc!r}; expected "
    if len({len(row) for row in rows}) != 1:
        raise ValueError(problem + "rows of one length, as a sequence of strings.")
    if not set("".join(rows)) <= set("SFHG"):
        raise ValueError(problem + "the letters S (start), F (frozen), H (hole) and G (goal) alone.")
    for letter, name in (("S", "start"), ("G", "goal")):
        if letter not in "".join(rows):
            raise ValueError(problem + f"a {name} ({letter}).")
    if max(len(rows), len(rows[0])) > _MAX_SIZE:
        size = f"{len(rows)} x {len(rows[0])}"
        raise ValueError(f"FrozenLake: parameter desc has {size} cells; expected at most {_MAX_SIZE} a side.")
    return np.array([list(row.encode()) for row in rows], np.uint8)


def _letter(letter: Any) -> str:
    if isinstance(letter, str | bytes):
        return letter if isinstance(letter, str) else letter.decode()
    return chr(letter)


class FrozenLake(JitEnv):
    """A frozen lake has holes. Walk from the start to the goal; on slippery ice only some steps go where they should.

    - Observation: ``Discrete(rows * columns)``: the cell, row by row.
    - Action: ``Discrete(4)``: 0 left, 1 down, 2 right, 3 up. On slippery ice the move goes there with probability
      ``success_rate``, else at right angles to that, to either side alike. Moves out of the map do nothing.
    - Reward: ``reward_schedule``: on reaching the goal (1), on falling into a hole (0), else (0).
    - Terminated: at the goal or in a hole.
    - Truncated: after 100 steps. Optimum of the 4x4 map, slippery: a mean return of 0.744.
    - Start: a start cell, uniform over them.
    - Info: ``prob``, the probability of the move that was made.

    The map is ``desc``, rows of the letters S (start), F (frozen), H (hole) and G (goal); without it, the one called
    ``map_name``, "4x4" or "8x8"; or if both are None, a random one of 8 x 8 that follows from ``seed``.
    `generate_random_map` makes others.

    Source: Gymnasium's FrozenLake-v1, whose transitions it reproduces; with ``map_name="8x8"`` and
    ``max_episode_steps=200`` its FrozenLake8x8-v1, which is ``frozen_lake_8x8`` here.
    """

    max_episode_steps = 100
    single_action_space = Discrete(4)
    info = ("prob",)

    class State(NamedTuple):
        cell: np.uint32  # row * columns + column; unsigned, here and in the tables, for faster indexing
        prob: float
        last_action: np.int8  # plus 1; 0 before the first step

    class Params(NamedTuple):
        desc: np.ndarray[Any, Any] = encode_map(MAPS["4x4"])  # the map: letters as `encode_map` takes them
        is_slippery: bool = True  # whether moves may go astray
        success_rate: Probability = 1 / 3  # probability of a move in the direction of the action, on slippery ice
        reward_schedule: np.ndarray[Any, Any] = np.array([1.0, 0.0, 0.0])
        """for the goal, for a hole, and for any other cell"""

    class Tables(NamedTuple):
        starts: NDArray[np.uint32]  # (starts,): the start cells
        moves: NDArray[np.uint32]  # (cells, 4): where a step in each direction leads
        rewards: NDArray[Any]  # (cells,): for a step to each cell
        ends: NDArray[np.bool_]  # (cells,): whether the episode ends there

    def __init__(self, num_envs: int = 1, *, map_name: str | None = "4x4", desc: Any = None, **arguments: Any) -> None:
        if map_name is not None and map_name not in MAPS:
            allowed = ", ".join(map(repr, MAPS))
            raise ValueError(f"{type(self).__name__}: parameter map_name is {map_name!r}; expected {allowed} or None.")
        if desc is None:
            desc = generate_random_map(seed=_entropy(arguments.get("seed", 0))) if map_name is None else MAPS[map_name]
        super().__init__(num_envs, desc=encode_map(desc), **arguments)

    @staticmethod
    def single_observation_space(p: Any) -> Discrete:
        return Discrete(p.desc.size)

    @classmethod
    def setup(cls, params: Any) -> Any:
        rewards = params.reward_schedule
        if rewards.shape != (3,) or not np.isfinite(rewards).all():
            raise ValueError(
                f"{cls.__name__}: parameter reward_schedule is {rewards.tolist()}; expected three numbers: for the "
                "goal, for a hole, for any other cell."
            )
        return params._replace(reward_schedule=rewards.astype(np.float64))

    @classmethod
    def tables(cls, params: Any) -> Any:
        tiles = params.desc.ravel()
        at_goal, in_hole, elsewhere = params.reward_schedule
        return cls.Tables(
            starts=np.flatnonzero(tiles == START).astype(np.uint32),
            moves=_moves(*params.desc.shape),
            rewards=np.select([tiles == GOAL, tiles == HOLE], [at_goal, in_hole], elsewhere),
            ends=(tiles == GOAL) | (tiles == HOLE),
        )

    @kernel
    def reset_env(s, p, i, rng):
        s.cell[i] = p.starts[integer(rng, len(p.starts))]
        s.prob[i] = 1.0

    @kernel
    def step_env(s, p, i, action, rng):
        success = p.success_rate if p.is_slippery else 1.0
        astray = 0.5 * (1.0 - success)
        draw = random(rng)
        turn = int(draw >= astray + success) - int(draw < astray)  # to the next direction, or the one before
        cell = p.moves[s.cell[i], (action + turn) & 3]
        s.cell[i] = cell
        s.prob[i] = success if turn == 0 else astray
        s.last_action[i] = action + 1
        return p.rewards[cell], p.ends[cell]

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.cell[i]


def _moves(rows: int, columns: int) -> NDArray[np.uint32]:
    cells = np.arange(rows * columns, dtype=np.uint32).reshape(rows, columns)
    around = np.pad(cells, 1, "edge")
    to = {LEFT: around[1:-1, :-2], DOWN: around[2:, 1:-1], RIGHT: around[1:-1, 2:], UP: around[:-2, 1:-1]}
    return np.stack([to[direction].ravel() for direction in range(4)], axis=1)


def _entropy(seed: int | None) -> int | None:
    """A seed of any sign as Gymnasium's generator takes it."""
    return None if seed is None else seed % 2**64
