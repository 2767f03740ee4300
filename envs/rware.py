"""Robot warehouse: robots carry the shelves that are asked for to the goals, and bring them back."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from puffer_numba.jit import JitEnv, kernel
from puffer_numba.jit.random import choice, integer

NOOP, FORWARD, TURN_LEFT, TURN_RIGHT, TOGGLE_LOAD = range(5)
UP, DOWN, LEFT, RIGHT = range(4)
GLOBAL, INDIVIDUAL, TWO_STAGE = range(3)  # reward types
HIGHWAY, SHELF_PLACE, GOAL = range(3)  # what a layout's cells are
SIZES = {"tiny": (3, 1), "small": (3, 2), "medium": (5, 2), "large": (5, 3)}  # columns and rows of shelves

# A cell is a byte, and all but its last bit are what a robot sees of it: whether a robot is there, and which way it
# looks, of four bits one, "up" where there is none; whether a shelf is there, and whether it is asked for.
SEEN = 7
ROBOT, DIRECTION, SHELF, REQUESTED, WALL = 1, 2, 32, 64, 128  # DIRECTION << direction
EMPTY = DIRECTION << UP
GLYPHS = ((2 * np.arange(256)[:, np.newaxis] >> np.arange(SEEN + 1)) & 1).astype(np.float32)
"""(256, 8): what a robot sees of each content of a cell, after a number that means nothing."""
NO_ROBOT = 255 - ROBOT - 15 * DIRECTION
_MAX_SIZE = 200  # cells along a side; with the border, their indices are uint16


def make_layout(shelf_columns: int = 3, shelf_rows: int = 1, column_height: int = 8) -> NDArray[np.uint8]:
    """A layout of the reference's, (height, width): 0 highway, 1 place of a shelf, 2 goal.

    Blocks of shelves two wide and ``column_height`` high, with highways around each; where the block in the middle
    of the last row would be, robots queue for two goals.

    Raises:
        ValueError: a number is less than 1, or ``shelf_columns`` is even.
    """
    if min(shelf_columns, shelf_rows, column_height) < 1 or shelf_columns % 2 == 0:
        given = f"({shelf_columns}, {shelf_rows}, {column_height})"
        raise ValueError(f"make_layout: it got {given}; expected at least 1 of each, and an odd number of columns.")
    height, width = (column_height + 1) * shelf_rows + 2, 3 * shelf_columns + 1
    y, x = np.indices((height, width))
    is_middle = (x == width // 2 - 1) | (x == width // 2)
    is_queue = is_middle & (y > height - (column_height + 3))
    is_highway = (x % 3 == 0) | (y % (column_height + 1) == 0) | (y == height - 1) | is_queue
    layout = np.where(is_highway, HIGHWAY, SHELF_PLACE).astype(np.uint8)
    layout[is_middle & (y == height - 1)] = GOAL
    return layout


def plan(s, p, i, robots, action):
    """Into which cell each robot wants, ``s.target``, its own where it stays, and who is there now, ``s.ahead``: its
    own number where it stays, and ``robots`` for nobody. Whether anyone is in the way of another."""
    is_crowded = False
    for a in range(robots):
        cell = s.cell[i, a]
        target = np.uint16(cell + p.steps[s.direction[i, a]])
        seen = s.grid[i, target]
        s.target[i, a] = cell
        s.ahead[i, a] = a
        if (action[a] == FORWARD) & (seen & WALL == 0):
            ahead = robots
            carries = False
            if seen & ROBOT:
                for b in range(robots):
                    ahead = b if s.cell[i, b] == target else ahead
                carries = s.loaded[i, ahead]
                is_crowded = True
            # a shelf that stands there, and is not on its way itself, stops one that carries another
            if not (s.loaded[i, a] & (seen & SHELF != 0) & (not carries)):
                for b in range(a):
                    is_crowded |= s.target[i, b] == target
                s.target[i, a] = target
                s.ahead[i, a] = ahead
    return is_crowded


def wins(s, i, robots, a):
    """Whether, of all robots that want into one cell, ``a`` has the most behind it; at a tie, the first."""
    won = True
    for b in range(robots):
        if (b != a) & (s.target[i, b] == s.target[i, a]):
            won &= (s.behind[i, b] < s.behind[i, a]) | ((s.behind[i, b] == s.behind[i, a]) & (a < b))
    return won


def may_go(s, i, robots, a):
    """Whether robot ``a`` gets where it wants: all on its way win, up to a free cell; or they go round."""
    won = True
    b = a
    for step in range(robots):
        ahead = s.ahead[i, b]
        won &= wins(s, i, robots, b)
        if ahead == robots:
            return won
        if ahead == b:
            return step == 0
        if ahead == a:
            return step > 1  # two cannot change places
        b = ahead
    return False  # behind a circle


def make_way(s, i, robots):
    """Who wants to go but may not stays."""
    for a in range(robots):
        s.behind[i, a] = 0
    for a in range(robots):
        b = s.ahead[i, a]
        for length in range(1, robots):  # those in a circle count nonsense, which nobody asks for
            if (b == robots) | (b == a):
                break
            s.behind[i, b] = max(s.behind[i, b], length)
            b = s.ahead[i, b] if s.ahead[i, b] != b else robots
    for a in range(robots):
        s.goes[i, a] = may_go(s, i, robots, a)
    for a in range(robots):
        s.target[i, a] = s.target[i, a] if s.goes[i, a] else s.cell[i, a]


def ask(s, p, i, rng):
    """Ask for a shelf, uniform over those that are not asked for already."""
    asked = False
    while not asked:
        cell = p.cells[integer(rng, len(p.cells))]
        asked = s.grid[i, cell] & (SHELF | REQUESTED) == SHELF
        s.grid[i, cell] |= REQUESTED if asked else 0


def show(content, obs, i, a, column):
    """What is seen of a cell, from ``column`` on; the element before that is lost, which makes it eight in one store.

    GLYPHS is a constant, not a table among the params: LLVM knows then that ``obs`` cannot overlap it.
    """
    first, glyph = np.uintp(column) - np.uintp(1), np.uintp(content)
    for k in range(SEEN + 1):
        obs[i, a, first + np.uintp(k)] = GLYPHS[glyph, k]


class Rware(JitEnv):
    """Robots share the highways of a warehouse. Fetch a shelf that is asked for, show it at a goal, bring it back.

    - Agents: ``robots``.
    - Observation: ``Box(0, inf, (size,), float32)``: column and row; whether one carries a shelf; one's direction (up,
      down, left, right), of four numbers one; whether one is on a highway. Then for each cell within ``sensor_range``,
      row by row, seven numbers: whether a robot is there, its direction (up, if none), whether a shelf is there, and
      whether that is asked for. ``size = 8 + 7 * (2 * sensor_range + 1) ** 2``, 71.
    - Action: ``Discrete(5)``: 0 nothing, 1 forward, 2 turn left, 3 turn right, 4 lift the shelf that stands here, or
      put down one's own, which a highway does not allow.
    - Reward: for each shelf that is asked for and on a goal: 1 for the robot, with ``reward_type`` 1; 1 for all, with
      0; with 2, half of it, and the other half once the robot puts that shelf down. Another shelf is asked for then.
    - Terminated: never; with ``max_inactivity`` after so many steps without a delivery.
    - Truncated: after 500 steps.
    - Start: all shelves in their places, robots on any different cells, in any direction.

    Robots drive below shelves; with one on them they do not. Robots that want into one cell: the one with the longest
    row of robots behind it goes, and these follow. A circle of robots may turn, but two do not change places.

    Source: Papoudakis et al. (2021), RWARE 2.0, ``rware-tiny-2ag-v2``, whose transitions it reproduces. At a tie for a
    cell, which the reference leaves to the order of a hash table, the robot of the lowest number goes; and the
    reference calls its time limit a termination. Without its messages, and its observations as images.
    """

    agents = "robots"
    metrics = ("deliveries",)
    max_episode_steps = 500
    single_action_space = Discrete(5)

    class State(NamedTuple):
        grid: Annotated[np.uint8, "(layout.shape[0] + 2 * sensor_range) * (layout.shape[1] + 2 * sensor_range)"]
        cell: Annotated[np.uint16, "robots"]  # of each robot; an index of grid, which has a border of walls
        direction: Annotated[np.uint8, "robots"]
        loaded: Annotated[bool, "robots"]
        has_delivered: Annotated[bool, "robots"]  # the shelf it carries, for two-stage rewards
        target: Annotated[np.uint16, "robots"]  # from here on, what a step computes with
        ahead: Annotated[np.int16, "robots"]
        behind: Annotated[np.int16, "robots"]
        goes: Annotated[bool, "robots"]
        carried: Annotated[np.uint8, "robots"]
        deliveries: int
        idle: int  # steps since the last delivery

    class Params(NamedTuple):
        layout: np.ndarray[Any, Any] = make_layout()  # (height, width): 0 highway, 1 place of a shelf, 2 goal
        robots: int = 2  # agents in one environment
        requests: int = 2  # shelves that are asked for at a time
        sensor_range: Annotated[int, Ge(1), Le(10)] = 1  # how many cells a robot sees, in each direction
        reward_type: Annotated[int, Ge(GLOBAL), Le(TWO_STAGE)] = INDIVIDUAL
        """0: a delivery is everybody's; 1: the robot's own; 2: half of it is for bringing the shelf back"""
        max_inactivity: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
        """the episode ends after so many steps without a delivery; 0: it does not"""
        normalised_coordinates: bool = False  # column and row from 0 to 1

    class Tables(NamedTuple):  # of the layout; cells are indices of State.grid
        cells: NDArray[np.uint16]  # (height * width,)
        goals: NDArray[np.uint16]  # (goals,)
        start: NDArray[np.uint8]  # (cells of the grid,): the grid without robots
        highway: NDArray[np.bool_]  # (cells of the grid,): whether each is one, goals included
        places: NDArray[Any]  # (cells of the grid, 2): column and row, as robots observe them
        steps: NDArray[np.int64]  # (4,): from a cell to the next one in each direction
        turns: NDArray[np.uint8]  # (5, 4): the direction after each action

    def __init__(self, num_envs: int = 1, *, size: str = "tiny", layout: Any = None, **arguments: Any) -> None:
        if size not in SIZES:
            raise ValueError(f"Rware: parameter size is {size!r}; expected {', '.join(map(repr, SIZES))}.")
        super().__init__(num_envs, layout=make_layout(*SIZES[size]) if layout is None else layout, **arguments)

    @staticmethod
    def single_observation_space(p: Any) -> Box:
        return Box(0, np.inf, (8 + SEEN * (2 * p.sensor_range + 1) ** 2,), np.float32)

    @classmethod
    def setup(cls, params: Any) -> Any:
        layout = params.layout
        problem = f"Rware: parameter layout is {layout.tolist()}; expected "
        if layout.ndim != 2 or not np.isin(layout, (HIGHWAY, SHELF_PLACE, GOAL)).all():
            raise ValueError(problem + "rows of 0 (highway), 1 (place of a shelf) and 2 (goal).")
        shelves = int((layout == SHELF_PLACE).sum())
        if shelves < 2 or not (layout == GOAL).any():
            raise ValueError(problem + "two places of shelves (1) or more, and a goal (2).")
        if max(layout.shape) > _MAX_SIZE:
            size = f"{layout.shape[0]} x {layout.shape[1]}"
            raise ValueError(f"Rware: parameter layout has {size} cells; expected at most {_MAX_SIZE} a side.")
        for name, maximum in (("robots", min(layout.size, _MAX_SIZE)), ("requests", shelves - 1)):
            if not 1 <= getattr(params, name) <= maximum:
                raise ValueError(f"Rware: parameter {name} is {getattr(params, name)}; expected 1 to {maximum}.")
        return params._replace(layout=layout.astype(np.uint8))

    @classmethod
    def tables(cls, params: Any) -> Any:
        padded = np.pad(params.layout, params.sensor_range, constant_values=WALL)
        grid = padded.ravel()
        stride = padded.shape[1]
        y, x = np.indices(padded.shape)
        places = np.stack([x, y], axis=-1).reshape(-1, 2) - float(params.sensor_range)
        if params.normalised_coordinates:
            places /= np.maximum([params.layout.shape[1] - 1, params.layout.shape[0] - 1], 1)
        return cls.Tables(
            cells=np.flatnonzero(grid != WALL).astype(np.uint16),
            goals=np.flatnonzero(grid == GOAL).astype(np.uint16),
            start=np.select([grid == WALL, grid == SHELF_PLACE], [EMPTY | WALL, EMPTY | SHELF], EMPTY).astype(np.uint8),
            highway=(grid == HIGHWAY) | (grid == GOAL),
            places=places,
            steps=np.array([-stride, stride, -1, 1]),
            turns=_turns(),
        )

    @kernel
    def reset_env(s, p, i, rng, team):
        for k in range(len(p.start)):
            s.grid[i, k] = p.start[k]
        choice(rng, len(p.cells), s.cell[i])
        for a in range(p.robots):
            s.cell[i, a] = p.cells[s.cell[i, a]]
            s.direction[i, a] = integer(rng, 4)
            cell = s.cell[i, a]
            s.grid[i, cell] = s.grid[i, cell] & NO_ROBOT | ROBOT | DIRECTION << s.direction[i, a]
        for _ in range(p.requests):
            ask(s, p, i, rng)

    @kernel
    def step_env(s, p, i, action, rng, team):
        robots = team.reward.shape[1]  # as p.robots, but LLVM knows the number
        if plan(s, p, i, robots, action):
            make_way(s, i, robots)
        for a in range(robots):  # all robots leave their cells, with what they carry, ...
            cell = s.cell[i, a]
            content = s.grid[i, cell]
            carried = content & (SHELF | REQUESTED) if s.loaded[i, a] else 0
            s.carried[i, a] = carried
            s.grid[i, cell] = (content - carried) & NO_ROBOT | EMPTY
        for a in range(robots):  # ... and go into those they are in next
            cell = s.target[i, a]
            direction = p.turns[action[a], s.direction[i, a]]
            s.cell[i, a] = cell
            s.direction[i, a] = direction
            s.grid[i, cell] = s.grid[i, cell] & NO_ROBOT | ROBOT | DIRECTION << direction | s.carried[i, a]
            if action[a] == TOGGLE_LOAD:
                if not s.loaded[i, a]:
                    s.loaded[i, a] = s.grid[i, cell] & SHELF != 0
                elif not p.highway[cell]:
                    s.loaded[i, a] = False
                    team.reward[i, a] = 0.5 if s.has_delivered[i, a] else 0.0
                    s.has_delivered[i, a] = False
        s.idle[i] += 1
        for k in range(len(p.goals)):
            goal = p.goals[k]
            if s.grid[i, goal] & REQUESTED:
                ask(s, p, i, rng)  # for another one than this
                s.grid[i, goal] -= REQUESTED
                s.deliveries[i] += 1
                s.idle[i] = 0
                for a in range(robots):
                    if p.reward_type == GLOBAL:
                        team.reward[i, a] += 1.0
                    elif s.cell[i, a] == goal:
                        team.reward[i, a] += 1.0 if p.reward_type == INDIVIDUAL else 0.5
                        s.has_delivered[i, a] = p.reward_type == TWO_STAGE
        return (p.max_inactivity > 0) & (s.idle[i] >= p.max_inactivity)

    @kernel
    def observe_env(s, p, i, obs):
        width = 3 if obs.shape[2] == 8 + 9 * SEEN else 2 * p.sensor_range + 1  # LLVM unrolls what is 3 by 3
        for a in range(obs.shape[1]):
            cell = s.cell[i, a]
            stride = np.uintp(p.steps[DOWN])
            corner = np.uintp(cell) + np.uintp(p.sensor_range) * (stride + np.uintp(1))
            column = np.uintp(obs.shape[2])
            for _ in range(width):  # backwards, for each cell is written with a number too many at its front
                for x in range(width):
                    column -= np.uintp(SEEN)
                    show(s.grid[i, corner - np.uintp(x)], obs, i, a, column)
                corner -= stride
            obs[i, a, 0] = p.places[cell, 0]
            obs[i, a, 1] = p.places[cell, 1]
            obs[i, a, 2] = s.loaded[i, a]
            for direction in range(4):
                obs[i, a, 3 + direction] = 1.0 if s.direction[i, a] == direction else 0.0
            obs[i, a, 7] = p.highway[cell]


def _turns() -> NDArray[np.uint8]:
    clockwise = [UP, RIGHT, DOWN, LEFT]
    turns = np.tile(np.arange(4, dtype=np.uint8), (5, 1))
    for k, direction in enumerate(clockwise):
        turns[TURN_LEFT, direction] = clockwise[k - 1]
        turns[TURN_RIGHT, direction] = clockwise[(k + 1) % 4]
    return turns
