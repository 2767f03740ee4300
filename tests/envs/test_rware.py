"""Rware against the reference, robot by robot."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("networkx")
pytest.importorskip("rware")

import networkx
from rware.warehouse import Direction, ObservationType, RewardType, Warehouse

from puffer_numba.emulation import make_parallel_env
from puffer_numba.envs import rware
from puffer_numba.envs.rware import FORWARD, TOGGLE_LOAD, Rware
from tests.helpers.parity import step_from

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PettingZoo 1.27's tests import its own deprecated names
    from pettingzoo.test import parallel_api_test

CROWDED = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 2, 0, 2]])
CASES: list[Any] = [  # layout, and arguments
    (rware.make_layout(3, 1), {}, 3000),
    (CROWDED, {"robots": 11, "requests": 4, "reward_type": rware.TWO_STAGE}, 2000),
    (CROWDED, {"robots": 5, "requests": 4, "sensor_range": 2, "normalised_coordinates": True}, 1000),
    (rware.make_layout(3, 2), {"robots": 4, "requests": 8, "reward_type": rware.GLOBAL}, 1000),
    (rware.make_layout(5, 2), {"robots": 19, "requests": 19}, 1000),
    (rware.make_layout(5, 3, 2), {"robots": 40, "requests": 5}, 1000),
]
ROWS_OF = {rware.HIGHWAY: ".", rware.SHELF_PLACE: "x", rware.GOAL: "g"}


class Reference:
    """The reference's warehouse, with its state as that of Rware."""

    def __init__(self, layout: Any, arguments: dict[str, Any]) -> None:
        known = Rware(layout=layout, jit=False, **arguments).params
        self.params, self.layout = known, layout
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it declares float32 bounds as float64
            self.env = self._make(known, layout)
        self.env.reset(seed=0)

    @staticmethod
    def _make(known: Any, layout: Any) -> Any:
        return Warehouse(
            shelf_columns=0,
            column_height=0,
            shelf_rows=0,
            n_agents=known.robots,
            msg_bits=0,
            sensor_range=known.sensor_range,
            request_queue_size=known.requests,
            max_inactivity_steps=None,
            max_steps=None,
            reward_type=RewardType(known.reward_type),
            layout="\n".join("".join(ROWS_OF[int(cell)] for cell in row) for row in layout),
            observation_type=ObservationType.FLATTENED,
            normalised_coordinates=known.normalised_coordinates,
        )

    def scatter(self, rng: np.random.Generator) -> None:
        """Many robots carry shelves, anywhere."""
        self.env.reset()
        occupied = {(robot.x, robot.y) for robot in self.env.agents}
        free = [shelf for shelf in self.env.shelfs if (shelf.x, shelf.y) not in occupied]
        here = {(shelf.x, shelf.y): shelf for shelf in self.env.shelfs}
        for robot in self.env.agents:
            if rng.random() < 0.5 and (free or (robot.x, robot.y) in here):
                shelf = here.get((robot.x, robot.y)) or free.pop(rng.integers(len(free)))
                robot.carrying_shelf, (shelf.x, shelf.y) = shelf, (robot.x, robot.y)
                robot.has_delivered = self.params.reward_type == rware.TWO_STAGE and bool(rng.random() < 0.5)
        self.env._recalc_grid()

    def state(self) -> dict[str, Any]:
        margin = self.params.sensor_range
        grid = np.pad(np.full(self.layout.shape, rware.EMPTY), margin, constant_values=rware.EMPTY | rware.WALL)
        inside = grid[margin:-margin, margin:-margin]
        for shelf in self.env.shelfs:
            inside[shelf.y, shelf.x] |= rware.SHELF
        for shelf in self.env.request_queue:
            inside[shelf.y, shelf.x] |= rware.REQUESTED
        for robot in self.env.agents:
            content = inside[robot.y, robot.x] & rware.NO_ROBOT
            inside[robot.y, robot.x] = content | rware.ROBOT | rware.DIRECTION << robot.dir.value
        robots = self.env.agents
        return {
            "grid": grid.ravel(),
            "cell": [(robot.y + margin) * grid.shape[1] + robot.x + margin for robot in robots],
            "direction": [robot.dir.value for robot in robots],
            "loaded": [robot.carrying_shelf is not None for robot in robots],
            "has_delivered": [robot.has_delivered for robot in robots],
        }


@pytest.fixture
def ties(monkeypatch):
    """Let the robot of the lowest number win a tie. The reference decides it by the order of a hash table: the list
    has an element for each time that its path was another one, and then as long."""
    original, found = networkx.algorithms.dag_longest_path, []

    def ordered_longest_path(component: Any, number: Any) -> list[Any]:
        graph = networkx.DiGraph()
        graph.add_edges_from(sorted(component.edges, key=lambda edge: number[edge[0]]))
        path, theirs = original(graph), original(component)
        assert len(path) == len(theirs)
        if path != theirs:
            found.append((path, theirs))
        return path

    def patch(reference: Reference) -> list[Any]:
        def longest_path(component: Any) -> list[Any]:
            return ordered_longest_path(component, {(r.x, r.y): r.id for r in reference.env.agents})

        monkeypatch.setattr(networkx.algorithms, "dag_longest_path", longest_path)
        return found

    return patch


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "arguments", "transitions"), CASES)
def test_transitions_are_the_references(layout, arguments, transitions, ties):
    """Exactly. Which shelf is asked for after a delivery is random, and left out, but where only one can be."""
    rng = np.random.default_rng(0)
    reference = Reference(layout, arguments)
    found_ties = ties(reference)
    robots = reference.params.robots
    actions = rng.choice(5, (transitions, robots), p=[0.05, 0.6, 0.1, 0.1, 0.15])
    before, after, observed, rewards = [], [], [], []
    for k in range(transitions):
        if k % 8 == 0:
            reference.scatter(rng)
        before.append(reference.state())
        observations, reward, *_ = reference.env.step(actions[k].tolist())
        after.append(reference.state())
        observed.append(observations)
        rewards.append(reward)
    states, expected = ({n: np.array([s[n] for s in all_]) for n in all_[0]} for all_ in (before, after))
    observed, rewards = np.array(observed), np.array(rewards)
    found = step_from(Rware, states, actions.ravel(), layout=layout, **arguments)

    delivered = found.state.deliveries > 0
    known = ~delivered | (reference.params.requests == (layout == rware.SHELF_PLACE).sum() - 1)
    for name, wanted in expected.items():
        ours = getattr(found.state, name)
        if name == "grid":
            everywhere = np.uint8(255 - rware.REQUESTED)
            np.testing.assert_array_equal(ours & everywhere, wanted & everywhere)
            requested = (ours & rware.REQUESTED != 0).sum(axis=1)
            assert (requested == reference.params.requests).all()
            np.testing.assert_array_equal(ours[known], wanted[known])
        elif name == "has_delivered":
            np.testing.assert_array_equal(ours[known], wanted[known])
        else:
            np.testing.assert_array_equal(ours, wanted)
    np.testing.assert_array_equal(found.rewards.reshape(rewards.shape)[known], rewards[known])
    np.testing.assert_array_equal(found.observations.reshape(observed.shape)[known], observed.astype(np.float32)[known])
    assert not found.terminals.any()

    moved = states["cell"] != expected["cell"]
    assert (moved & states["loaded"]).sum() > 0.1 * transitions
    assert ((actions == FORWARD) & ~moved).sum() > 0.1 * transitions
    assert delivered.sum() > 0
    assert known.sum() > 0.7 * transitions
    toggled = states["loaded"] != expected["loaded"]
    assert (toggled & (actions == TOGGLE_LOAD)).sum() == toggled.sum() > 0.01 * transitions
    if layout is CROWDED:
        assert delivered.sum() > 0.05 * transitions
        assert found_ties


def drive(
    robots: list[tuple[int, int, int]], loaded: tuple[int, ...] = (), shelves: tuple[Any, ...] = ()
) -> list[bool]:
    """Which of these robots (row, column, direction), all of them going forward on a free floor, get on."""
    layout = np.zeros((7, 7), np.uint8)
    layout[0, 0] = rware.GOAL
    layout[0, 1:4] = rware.SHELF_PLACE
    params: dict[str, Any] = {"layout": layout, "robots": len(robots), "requests": 1}
    grid, cells = Rware(jit=False, **params).params.start.copy(), []
    for number, (row, column, direction) in enumerate(robots):
        cell = (row + 1) * 9 + column + 1
        cells.append(cell)
        grid[cell] = grid[cell] & rware.NO_ROBOT | rware.ROBOT | rware.DIRECTION << direction
        grid[cell] |= rware.SHELF if number in loaded else 0
    for row, column in shelves:
        grid[(row + 1) * 9 + column + 1] |= rware.SHELF
    state = {
        "grid": grid[np.newaxis],
        "cell": [cells],
        "direction": [[direction for *_, direction in robots]],
        "loaded": [[number in loaded for number in range(len(robots))]],
    }
    found = step_from(Rware, state, np.full(len(robots), FORWARD), **params)
    return (found.state.cell[0] != cells).tolist()


UP, DOWN, LEFT, RIGHT = range(4)
CIRCLE = [(3, 3, RIGHT), (3, 4, DOWN), (4, 4, LEFT), (4, 3, UP)]


@pytest.mark.parametrize(
    ("robots", "get_on"),
    [
        (CIRCLE, [True] * 4),
        ([*CIRCLE, (2, 3, DOWN)], [True] * 4 + [False]),  # behind a circle
        ([(3, 3, RIGHT), (3, 4, LEFT)], [False] * 2),  # two do not change places
        ([(3, 3, RIGHT), (3, 4, LEFT), (3, 2, RIGHT)], [False] * 3),
        ([(3, 2, RIGHT), (3, 3, RIGHT), (3, 4, RIGHT)], [True] * 3),  # one behind the other
        ([(3, 5, RIGHT), (3, 6, RIGHT), (2, 6, UP)], [False, False, True]),  # against the wall
        ([(3, 2, RIGHT), (2, 3, DOWN)], [True, False]),  # a tie for a cell: the first of them
        ([(2, 3, DOWN), (3, 2, RIGHT)], [True, False]),
        ([(3, 2, RIGHT), (2, 3, DOWN), (1, 3, DOWN)], [False, True, True]),  # the longer row
        ([(1, 3, DOWN), (3, 2, RIGHT), (2, 3, DOWN), (3, 1, RIGHT), (3, 0, RIGHT)], [False, True, False, True, True]),
        ([(3, 3, RIGHT), (3, 2, RIGHT), (2, 3, DOWN), (1, 3, DOWN)], [True, False, True, True]),  # for a robot's cell
    ],
)
def test_who_gets_on(robots, get_on):
    assert drive(robots) == get_on


def test_a_loaded_robot_waits_for_shelves_but_not_for_those_on_their_way():
    row = [(3, 2, RIGHT), (3, 3, RIGHT)]
    assert drive(row[:1], loaded=(), shelves=((3, 3),)) == [True]  # below it
    assert drive(row[:1], loaded=(0,), shelves=((3, 3),)) == [False]
    assert drive(row, loaded=(0, 1)) == [True, True]
    assert drive(row, loaded=(0,), shelves=((3, 3),)) == [False, True]  # the robot leaves, its shelf does not


@pytest.mark.parametrize(("size", "kind"), [("tiny", (1, 3)), ("small", (2, 3)), ("medium", (2, 5)), ("large", (3, 5))])
def test_layouts_are_the_references(size, kind):
    rows, columns = kind
    arguments = (columns, 8, rows, 2, 0, 1, 2, None, None, RewardType.GLOBAL)
    theirs = Warehouse(*arguments)
    layout = Rware(size=size, jit=False).params.layout
    np.testing.assert_array_equal(layout == rware.SHELF_PLACE, theirs.highways == 0)
    assert [(x, y) for y, x in np.argwhere(layout == rware.GOAL)] == theirs.goals


def test_first_states():
    env = Rware(20_000, requests=3)
    env.reset(seed=1)
    cells = env.state.cell
    assert (cells[:, 0] != cells[:, 1]).all()
    for robot in range(2):
        counts = np.bincount(cells[:, robot], minlength=env.state.grid.shape[1])[env.params.cells]
        assert stats.chisquare(counts).pvalue > 1e-3
        assert stats.chisquare(np.bincount(env.state.direction[:, robot])).pvalue > 1e-3
    requested = env.state.grid & rware.REQUESTED != 0
    assert (requested.sum(axis=1) == 3).all()
    places = env.params.start & rware.SHELF != 0
    assert not requested[:, ~places].any()
    assert stats.chisquare(requested[:, places].sum(axis=0)).pvalue > 1e-3


def test_the_next_request_is_uniform_over_the_other_shelves():
    """It is none of those asked for already, and not the one that was just delivered."""
    reference = Reference(CROWDED, {"robots": 1, "requests": 2})
    reference.scatter(np.random.default_rng(0))
    robot, shelves = reference.env.agents[0], reference.env.shelfs
    robot.x, robot.y, robot.dir, robot.carrying_shelf = 1, 3, Direction.DOWN, shelves[0]
    shelves[0].x, shelves[0].y = 1, 3
    others = [s for s in shelves[1:] if (s.x, s.y) != (1, 3)]
    for shelf, place in zip(shelves[1:], [(1, 1), (2, 1), (1, 2), (2, 3)], strict=True):
        shelf.x, shelf.y = place
    assert len(others) >= 3
    reference.env.request_queue = [shelves[0], shelves[1]]
    reference.env._recalc_grid()
    states = {name: np.repeat([value], 9000, axis=0) for name, value in reference.state().items()}
    env = step_from(Rware, states, np.full(9000, FORWARD), layout=CROWDED, robots=1, requests=2)
    assert (env.rewards == 1).all()
    requested = (env.state.grid & rware.REQUESTED != 0).sum(axis=0)
    counts = requested[requested > 0]
    assert sorted(counts)[-1] == 9000  # the other one asked for
    assert len(counts) == 4
    assert stats.chisquare(sorted(counts)[:-1]).pvalue > 1e-3


def test_time_limits():
    env = Rware(50, max_inactivity=0)
    env.reset(seed=0)
    for step in range(1, 501):
        _, _, terminals, truncations, _ = env.step(np.zeros(100, np.int64))
        assert not terminals.any()
        assert truncations.all() == truncations.any() == (step == 500)
    env = Rware(50, max_inactivity=7, autoreset="disabled")
    env.reset(seed=0)
    for step in range(1, 8):
        _, _, terminals, truncations, _ = env.step(np.zeros(100, np.int64))
        assert terminals.all() == terminals.any() == (step == 7)
        assert not truncations.any()


@pytest.mark.slow
def test_deliveries_are_counted():
    """By random robots in a warehouse where shelves and goals are close together."""
    env = Rware(500, layout=CROWDED, requests=4, robots=4, max_episode_steps=200)
    env.reset(seed=0)
    env.action_space.seed(0)
    rewards = sum(env.step(env.action_space.sample())[1].sum() for _ in range(200))
    assert 500 * env.log()["deliveries"] == rewards > 100


def test_pettingzoo():
    env = make_parallel_env("rware", size="small", robots=5)
    assert env.observation_space("agent_4").shape == (71,)
    parallel_api_test(env, num_cycles=600)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "huge"}, "Rware: parameter size is 'huge'; expected 'tiny', 'small', 'medium', 'large'"),
        ({"layout": [[0, 3, 2]]}, r"parameter layout is \[\[0, 3, 2\]\]; expected rows of 0 \(highway\)"),
        ({"layout": [0, 1, 2]}, r"Rware: parameter layout is \[0, 1, 2\]; expected rows of 0 \(highway\)"),
        ({"layout": [[0, 1, 1]]}, r"\[\[0, 1, 1\]\]; expected two places of shelves \(1\) or more, and a goal \(2\)"),
        ({"layout": [[0, 1, 2]]}, r"\[\[0, 1, 2\]\]; expected two places of shelves \(1\) or more, and a goal \(2\)"),
        ({"layout": np.resize([1, 2], (2, 201))}, "layout has 2 x 201 cells; expected at most 200 a side"),
        ({"robots": 0}, "Rware: parameter robots is 0; expected 1 to 110"),
        ({"requests": 32}, "Rware: parameter requests is 32; expected 1 to 31"),
        ({"sensor_range": 0}, "Rware: parameter sensor_range is 0; expected 1 to 10"),
        ({"reward_type": 3}, "Rware: parameter reward_type is 3; expected 0 to 2"),
        ({"max_inactivity": -1}, "Rware: parameter max_inactivity is -1; expected 0 to 2147483647"),
    ],
)
def test_bad_params(arguments, message):
    with pytest.raises(ValueError, match=message):
        Rware(jit=False, **arguments)


@pytest.mark.parametrize("sizes", [(2, 1, 8), (3, 0, 8), (3, 1, 0)])
def test_bad_layouts(sizes):
    with pytest.raises(ValueError, match=r"make_layout: it got .*; expected at least 1 of each"):
        rware.make_layout(*sizes)


def test_image():
    env = Rware(jit=False, robots=3)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((638, 580, 3), np.uint8)
    env.step([2, 2, 2])
    assert (env.render() != image).any()
