"""MinAtar's Seaquest against the authors' package."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.envs.minatar_seaquest import (
    DIRECTION,
    FISH,
    KIND,
    MAX_ENEMIES,
    MOVE_TIMER,
    SHOT_TIMER,
    SUBMARINE,
    MinAtarSeaquest,
    X,
    Y,
)
from tests.helpers.minatar_parity import follow, step_from_states
from tests.helpers.parity import TRANSITIONS

NAMES = {
    "x": "sub_x",
    "y": "sub_y",
    "faces_right": "sub_or",
    "shot_timer": "shot_timer",
    "oxygen": "oxygen",
    "divers": "diver_count",
    "surfaced": "surface",
    "diver_spawn_timer": "d_spawn_timer",
    "spawn_timer": "e_spawn_timer",
    "spawn_speed": "e_spawn_speed",
    "move_speed": "move_speed",
    "ramp_index": "ramp_index",
}


def as_reference(s, i):
    fish, submarines = [], []
    for k in range(s.enemies[i]):
        enemy = [s.enemy[i, k, X], s.enemy[i, k, Y], s.enemy[i, k, DIRECTION] > 0, s.enemy[i, k, MOVE_TIMER]]
        if s.enemy[i, k, KIND] == FISH:
            fish.append(enemy)
        else:
            submarines.append([*enemy, s.enemy[i, k, SHOT_TIMER]])
    bullets = [
        [s.bullet[i, b, X], s.bullet[i, b, Y], s.bullet[i, b, DIRECTION] > 0]
        for b in (1, 0)
        if s.bullet[i, b, DIRECTION]
    ]
    divers = [
        [s.diver[i, k, X], s.diver[i, k, Y], s.diver[i, k, DIRECTION] > 0, s.diver[i, k, MOVE_TIMER]]
        for k in (1, 0)
        if s.diver[i, k, DIRECTION]
    ]
    enemy_bullets = {
        (x, y, right)
        for right, rows in ((True, s.right_bullets), (False, s.left_bullets))
        for y in range(1, 9)
        for x in range(10)
        if int(rows[i, y]) >> x & 1
    }
    lists = {"e_fish": fish, "e_subs": submarines, "f_bullets": bullets, "divers": divers}
    plain = {name: [[int(value) for value in element] for element in elements] for name, elements in lists.items()}
    return plain | {"e_bullets": enemy_bullets} | {n: int(getattr(s, ours)[i]) for ours, n in NAMES.items()}


def play(game, rng):
    """Dive, turn to what is in the row and shoot; for air go up once there are divers."""
    if game.oxygen < 30 and game.diver_count > 0:
        return 2
    if game.sub_y < 2:
        return 4
    danger = [enemy for enemy in game.e_fish + game.e_subs if enemy[1] == game.sub_y]
    if danger and rng.random() < 0.9:
        right = danger[0][0] > game.sub_x
        return 5 if right == game.sub_or else 3 if right else 1
    divers = [diver for diver in game.divers if rng.random() < 0.9]
    if divers:
        x, y = divers[0][:2]
        return 2 if y < game.sub_y else 4 if y > game.sub_y else 1 if x < game.sub_x else 3
    return int(rng.integers(6))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"difficulty_ramping": False, "sticky_action_prob": 0.0}])
def test_episodes_are_the_references(settings):
    seen = follow(MinAtarSeaquest, "seaquest", as_reference, play, steps=1000, **settings)
    assert seen.terminals.sum() > 20
    assert (seen.rewards == 1).sum() > 100
    assert max(game["diver_count"] for game in seen.games) >= 4
    surfacings = [game for game in seen.games if game["surface"] and game["oxygen"] == 200 and game["diver_count"] > 0]
    assert len(surfacings) > 5


def test_most_enemies():
    """As many as can be: one comes with every step. Nobody is at home, so they are in nobody's way."""
    n = 50
    states = {
        "x": np.full(n, 5),
        "surfaced": np.ones(n),
        "spawn_speed": np.ones(n),
        "spawn_timer": np.zeros(n),
        "move_speed": np.full(n, 2),
        "diver_spawn_timer": np.full(n, 30),
        "enemies": np.zeros(n),
    }
    env = MinAtarSeaquest(n, sticky_action_prob=0.0)
    env.reset(seed=0)
    known = env.get_state()
    env.set_state(known | {f"state.{k}": np.asarray(v, known[f"state.{k}"].dtype) for k, v in states.items()})
    most = divers = 0
    for _ in range(2000):
        assert not env.step(np.zeros(n, np.int64))[2].any()
        most = max(most, env.state.enemies.max())
        divers = max(divers, (env.state.diver[:, :, DIRECTION] != 0).sum(axis=1).max())
    assert 10 < most <= MAX_ENEMIES - 1
    assert divers == 2


def rows_of(columns, count):
    """The columns 0, 1, ... of a dictionary as the last axis of one array."""
    return np.stack([columns[k] for k in range(count)], axis=-1)


def random_states(rng, n):
    """Any that can be, and some that cannot: rows of enemies that all swim one way, no two of them alike."""
    y = rng.integers(9, size=n)
    shots = rng.choice([-1, 0, 1], (n, 2))
    divers = rng.choice([-1, 0, 1], (n, 2))
    row_direction = rng.choice([-1, 1], (n, 9))
    speed = rng.integers(2, 6, size=n)
    enemies = np.minimum(rng.geometric(0.1, size=n) - 1, MAX_ENEMIES - 1)
    enemy_y = rng.integers(1, 9, size=(n, MAX_ENEMIES))
    near = rng.random((n, MAX_ENEMIES)) < 0.5
    enemy_y = np.where(near, np.clip(y, 1, 8)[:, None], enemy_y)
    enemy = {
        KIND: rng.choice([FISH, SUBMARINE], (n, MAX_ENEMIES)),
        X: rng.integers(10, size=(n, MAX_ENEMIES)),
        Y: enemy_y,
        DIRECTION: np.take_along_axis(row_direction, enemy_y, 1),
        MOVE_TIMER: rng.choice([0, 0, 1, 5], (n, MAX_ENEMIES)),
        SHOT_TIMER: rng.choice([0, 1, 10], (n, MAX_ENEMIES)),
    }
    bullet = {
        X: rng.integers(10, size=(n, 2)),
        Y: np.where(rng.random((n, 2)) < 0.7, np.clip(y, 1, 8)[:, None], rng.integers(9, size=(n, 2))),
        DIRECTION: shots,
    }
    diver = {
        X: rng.integers(10, size=(n, 2)),
        Y: np.where(rng.random((n, 2)) < 0.7, np.clip(y, 1, 8)[:, None], rng.integers(1, 9, size=(n, 2))),
        DIRECTION: divers,
        MOVE_TIMER: np.stack([rng.choice([0, 1, 5], n), rng.choice([0, 2], n)], -1),
    }
    faces_right = rng.random(n) < 0.5
    states = {
        "x": np.where(faces_right, rng.integers(1, 10, size=n), rng.integers(9, size=n)),
        "y": y,
        "faces_right": faces_right,
        "shot_timer": rng.choice([0, 1], n),
        "oxygen": rng.choice([0, 1, 19, 20, 100, 150, 200], n),
        "divers": rng.choice([-2, -1, 0, 1, 5, 6, 6, 6], n),
        "surfaced": y == 0,
        "diver_spawn_timer": rng.choice([0, 1, 30], n),
        "enemies": enemies,
        "enemy": rows_of(enemy, 6),
        "bullet": rows_of(bullet, 3),
        "diver": rows_of(diver, 4),
        "right_bullets": rng.integers(1024, size=(n, 9))
        & rng.integers(1024, size=(n, 9))
        & rng.integers(1024, size=(n, 9)),
        "left_bullets": rng.integers(1024, size=(n, 9))
        & rng.integers(1024, size=(n, 9))
        & rng.integers(1024, size=(n, 9)),
        "spawn_timer": rng.choice([0, 1], n),
        "spawn_speed": rng.choice([1, 2, 20], n),
        "move_speed": speed,
        "ramp_index": rng.integers(20, size=n),
        "last_action": rng.integers(6, size=n),
    }
    states["right_bullets"][:, 0] = states["left_bullets"][:, 0] = 0
    calm = rng.random(n) < 0.5
    states["right_bullets"][calm] = states["left_bullets"][calm] = 0
    # where there may be a third shot, or a third diver, the older one is gone
    states["bullet"][states["shot_timer"] == 0, 1, DIRECTION] = 0
    states["diver"][states["diver_spawn_timer"] == 0, 1, DIRECTION] = 0
    return states


@pytest.mark.slow
@pytest.mark.parametrize("difficulty_ramping", [True, False])
def test_transitions_are_the_references(difficulty_ramping):
    rng = np.random.default_rng(0)
    n = 2 * TRANSITIONS
    states = random_states(rng, n)
    actions = rng.integers(6, size=n)
    seen = step_from_states(
        MinAtarSeaquest, "seaquest", as_reference, states, actions, difficulty_ramping=difficulty_ramping
    )
    surfaced = np.array([game["surface"] for game in seen.games]) & ~states["surfaced"]
    up = np.array([game["sub_y"] == 0 for game in seen.games]) & ~states["surfaced"]
    met = {
        "drowned": seen.terminals & (states["oxygen"] == 0),
        "surfaced without divers": seen.terminals & up & (states["divers"] == 0) & (states["oxygen"] > 0),
        "handed over one": surfaced & (states["divers"] == 1),
        "handed over six": surfaced & (states["divers"] == 6),
        "handed over less than none": surfaced & (states["divers"] < 0),
        "shot one": seen.rewards == 1,
        "shot two": seen.rewards == 2,
        "air at the surface": seen.rewards >= 5,
        "caught": seen.terminals & (states["oxygen"] > 0) & (states["y"] > 1),
        "unharmed": ~seen.terminals,
    }
    for name in ("move_speed", "e_spawn_speed"):
        after = np.array([game[name] for game in seen.games])
        met[name] = (after < states[name.removeprefix("e_")]) == difficulty_ramping
    assert {name: cases.sum() for name, cases in met.items() if cases.sum() < 25} == {}


def test_bad_params():
    with pytest.raises(ValueError, match=r"MinAtarSeaquest: parameter sticky_action_prob is 1.1; expected 0 to 1"):
        MinAtarSeaquest(jit=False, sticky_action_prob=1.1)


def test_image():
    env = MinAtarSeaquest(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step([4])
    assert (env.render() != image).any()
