"""MiniGridDoorKey against MiniGrid's own DoorKey environments."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import stats

pytest.importorskip("minigrid")

from minigrid.core.grid import Grid
from minigrid.core.world_object import Door, Key, Wall

from puffer_numba.envs._minigrid import LOCKED, OPEN, SIDE, VIEW, tables, visible_cells
from puffer_numba.envs.minigrid_doorkey import MiniGridDoorKey
from tests.helpers.minigrid_parity import assert_drop_in, flat, make_reference
from tests.helpers.parity import TRANSITIONS, step_from

SIZES = (5, 6, 8, 16)
NAMES = ("x", "y", "direction", "split", "door_row", "door", "key_x", "key_y")


def layout(env: Any) -> tuple[int, ...]:
    """The state of a reference, as our fields in the order of ``NAMES``; the key at (0, 0) is carried."""
    found = {
        type(thing): (k % env.width, k // env.width, thing)
        for k, thing in enumerate(env.grid.grid)
        if isinstance(thing, Door | Key)
    }
    split, door_row, door = found[Door]
    key_x, key_y, _ = found.get(Key, (0, 0, None))
    state = OPEN if door.is_open else LOCKED if door.is_locked else 1
    return (*map(int, env.agent_pos), int(env.agent_dir), split, door_row, state, key_x, key_y)


def build(env: Any, state: tuple[int, ...], tick: int) -> None:
    """The inverse: a reference in a given state."""
    x, y, direction, split, door_row, door, key_x, key_y = state
    env.grid.grid = list(EMPTY_ROOMS[env.width])
    for row in range(env.height):
        env.grid.set(split, row, env.grid.get(0, 0))
    env.grid.set(split, door_row, Door("yellow", is_open=door == OPEN, is_locked=door == LOCKED))
    key = Key("yellow")
    env.carrying = None if key_x else key
    if key_x:
        env.grid.set(key_x, key_y, key)
    env.agent_pos, env.agent_dir, env.step_count = (x, y), direction, tick


EMPTY_ROOMS = {size: make_reference(f"MiniGrid-Empty-{size}x{size}-v0").grid.grid for size in SIZES}


def random_state(rng: np.random.Generator, size: int) -> tuple[int, ...]:
    """Any that can be, and more of those where something is about to happen."""
    split, door_row = int(rng.integers(2, size - 2)), int(rng.integers(1, size - 2))
    door = int(rng.integers(3))
    inside = [(x, y) for x in range(1, size - 1) for y in range(1, size - 1) if x != split]
    inside.remove((size - 2, size - 2))
    places = inside + ([(split, door_row)] if door == OPEN else [])
    of_interest = [(split, door_row), (size - 2, size - 2)]
    beside = [place for place in places if any(abs(place[0] - x) + abs(place[1] - y) <= 1 for x, y in of_interest)]
    places = beside if rng.random() < 0.5 else places
    x, y = places[rng.integers(len(places))]
    near = [place for place in inside if abs(place[0] - x) + abs(place[1] - y) == 1]
    if rng.random() < 0.4:
        key = (0, 0)
    elif rng.random() < 0.5 and near:
        key = near[rng.integers(len(near))]
    else:
        others = [place for place in inside if place != (x, y)]
        key = others[rng.integers(len(others))]
    return (x, y, int(rng.integers(4)), split, door_row, door, *key)


@pytest.mark.slow
def test_transitions_are_minigrids():
    events: Counter[tuple[Any, ...]] = Counter()
    for size in SIZES:
        compare_transitions(size, -(-TRANSITIONS // len(SIZES)), events)
    wall, key, goal, *doors = (2, 0), (5, 0), (8, 0), (4, 0), (4, 1), (4, 2)
    kinds = {(kind, carries) for kind in (None, wall, goal, *doors) for carries in (False, True)} | {(key, False)}
    assert {(action, *kind) for action in range(7) for kind in kinds} == set(events)


def compare_transitions(size: int, count: int, events: Counter[tuple[Any, ...]]) -> None:
    """``events``: by action, type and state of the cell ahead, and whether the key is carried."""
    rng = np.random.default_rng(size)
    expected = make_reference(f"MiniGrid-DoorKey-{size}x{size}-v0")
    states = [random_state(rng, size) for _ in range(count)]
    ticks, actions = rng.integers(expected.max_steps, size=count), rng.integers(7, size=count)
    given = dict(zip(NAMES, np.array(states).T, strict=True)) | {"tick": ticks}
    found = step_from(MiniGridDoorKey, given, actions, size=size)
    after = np.column_stack([getattr(found.state, name) for name in NAMES])
    for k, state in enumerate(states):
        build(expected, state, int(ticks[k]))
        assert layout(expected) == state
        ahead = expected.grid.get(*expected.front_pos)
        kind = ahead.encode()[0::2] if ahead else None
        events[int(actions[k]), kind, expected.carrying is not None] += 1
        observation, reward, terminated, _, _ = expected.step(int(actions[k]))
        np.testing.assert_array_equal(found.observations[k], flat(observation))
        assert tuple(after[k]) == layout(expected)
        assert found.rewards[k] == pytest.approx(reward, abs=1e-6)
        assert found.terminals[k] == terminated


def test_light_spreads_as_minigrids():
    """Among walls at random, which doors and rooms never are."""
    rng = np.random.default_rng(0)
    light = tables().light
    for _ in range(1000):
        is_wall = rng.random((VIEW, VIEW)) < rng.random()  # by distance and side
        is_wall[0, SIDE] = False
        grid = Grid(VIEW, VIEW)
        for distance, side in np.argwhere(is_wall).tolist():
            grid.set(side, VIEW - 1 - distance, Wall())
        expected = grid.process_vis((SIDE, VIEW - 1))[:, ::-1].T
        clear = sum(1 << 8 * distance + side for distance, side in np.argwhere(~is_wall).tolist())
        visible = visible_cells(clear, light)
        found = [[bool(visible >> 8 * distance + side & 1) for side in range(VIEW)] for distance in range(VIEW)]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", SIZES[:3])
def test_games_are_minigrids(size):
    """Whole episodes from the reference's own layouts, by actions that often do something."""
    rng = np.random.default_rng(0)
    expected = make_reference(f"MiniGrid-DoorKey-{size}x{size}-v0")
    env = MiniGridDoorKey(autoreset="disabled", size=size)
    ends: Counter[str] = Counter()
    seed = 0
    while sum(ends.values()) < 6 or len(ends) < 2:
        seed += 1
        observation, _ = expected.reset(seed=seed)
        env.reset(seed=0)
        known = env.get_state()
        state = dict(zip(NAMES, layout(expected), strict=True))
        env.set_state(known | {f"state.{n}": np.full_like(known[f"state.{n}"], v) for n, v in state.items()})
        lazy = seed % 3 == 0
        while True:
            ahead = expected.grid.get(*expected.front_pos)
            useful = 3 if isinstance(ahead, Key) else 5 if isinstance(ahead, Door) and not ahead.is_open else 2
            action = int(useful if rng.random() < 0.6 and not lazy else rng.integers(2 if lazy else 7))
            observation, reward, terminated, truncated, _ = expected.step(action)
            found, rewards, terminals, truncations, _ = env.step([action])
            np.testing.assert_array_equal(found[0], flat(observation))
            assert rewards[0] == pytest.approx(reward, abs=1e-6)
            assert (terminals[0], truncations[0]) == (terminated, truncated)
            if terminated or truncated:
                ends["goal" if terminated else "time"] += 1
                break


@pytest.mark.parametrize(("size", "columns"), [(5, [0, 1, 2, 4, 6, 7]), (6, [0, 1, 3, 6, 7]), (6, [2, 3, 4])])
def test_layouts_are_distributed_as_minigrids(size, columns):
    expected = make_reference(f"MiniGrid-DoorKey-{size}x{size}-v0")
    theirs = []
    for _ in range(4000):
        expected.reset()
        theirs.append(layout(expected))
    env = MiniGridDoorKey(40_000, size=size)
    env.reset(seed=0)
    ours = np.column_stack([getattr(env.state, name) for name in NAMES])
    assert (ours[:, 5] == LOCKED).all()
    both = np.concatenate([ours, np.array(theirs)])[:, columns]
    _, kinds = np.unique(both, axis=0, return_inverse=True)
    table = [np.bincount(part, minlength=kinds.max() + 1) for part in np.split(kinds.ravel(), [len(ours)])]
    assert (table[0] > 0).all()
    assert stats.chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_a_drop_in_for_minigrid(size):
    expected = make_reference(f"MiniGrid-DoorKey-{size}x{size}-v0")
    assert_drop_in(gymnasium.make("puffer_numba/MiniGridDoorKey-v1", size=size), expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 4}, "size is 4; expected 5 to 100"),
        ({"max_steps": -1}, "max_steps is -1; expected at least 0"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"MiniGridDoorKey: parameter {message}"):
        MiniGridDoorKey(jit=False, **params)


def test_images_show_the_door_and_the_key():
    env = MiniGridDoorKey(jit=False)
    env.reset(seed=0)
    images = []
    for door, key in ((2, 1), (2, 0), (1, 0), (0, 0)):
        env.state.door[0] = door
        env.state.key_x[0] *= key
        images.append(env.render())
        assert (images[-1].shape, images[-1].dtype) == ((480, 480, 3), np.uint8)
    assert len({image.tobytes() for image in images}) == 4
