"""MinAtar's Asterix against the authors' package."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.envs.minatar_asterix import ENEMY, GOLD, NONE, MinAtarAsterix
from tests.helpers.minatar_parity import follow, step_from_states
from tests.helpers.parity import TRANSITIONS


def as_reference(s, i):
    entities = [
        [int(s.x[i, k]), k + 1, bool(s.direction[i, k] > 0), bool(s.kind[i, k] == GOLD)]
        if s.kind[i, k] != NONE
        else None
        for k in range(8)
    ]
    names = (
        "player_x",
        "player_y",
        "spawn_timer",
        "spawn_speed",
        "move_timer",
        "move_speed",
        "ramp_timer",
        "ramp_index",
    )
    return {"entities": entities} | {name: int(getattr(s, name)[i]) for name in names}


def play(game, rng):
    """Out of an enemy's way; else anything."""
    entity = game.entities[game.player_y - 1]
    if entity is not None and not entity[3] and rng.random() < 0.9:
        return int(rng.choice([2, 4]))
    return int(rng.integers(6))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"difficulty_ramping": False, "sticky_action_prob": 0.5}])
def test_episodes_are_the_references(settings):
    seen = follow(MinAtarAsterix, "asterix", as_reference, play, **settings)
    assert seen.terminals.sum() > 20
    assert seen.rewards.sum() > 20
    assert min(game["spawn_speed"] for game in seen.games) == (10 if settings else 7)


def test_episodes_with_few_actions_are_the_references():
    follow(
        MinAtarAsterix, "asterix", as_reference, lambda game, rng: play(game, rng) % 5, minimal_actions=True, steps=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("difficulty_ramping", [True, False])
def test_transitions_are_the_references(difficulty_ramping):
    rng = np.random.default_rng(0)
    n = TRANSITIONS
    kind = rng.choice([NONE, ENEMY, GOLD], (n, 8), p=[0.4, 0.3, 0.3])
    kind[: n // 10] = rng.choice([ENEMY, GOLD], (n // 10, 8))  # no row is empty
    states = {
        "player_x": rng.integers(10, size=n),
        "player_y": rng.integers(1, 9, size=n),
        "kind": kind,
        "x": rng.integers(10, size=(n, 8)),
        "direction": rng.choice([-1, 1], (n, 8)) * (kind != NONE),
        "spawn_timer": rng.integers(3, size=n),
        "spawn_speed": rng.integers(1, 11, size=n),
        "move_timer": rng.integers(3, size=n),
        "move_speed": rng.choice([1, 2, 3, 4, 5], n, p=[0.6, 0.1, 0.1, 0.1, 0.1]),
        "ramp_timer": rng.integers(-1, 2, size=n),
        "ramp_index": rng.integers(9, size=n),
        "last_action": rng.integers(6, size=n),
    }
    states["spawn_speed"][rng.random(n) < 0.4] = 1
    actions = rng.integers(6, size=n)
    seen = step_from_states(
        MinAtarAsterix, "asterix", as_reference, states, actions, difficulty_ramping=difficulty_ramping
    )
    assert seen.terminals.sum() > 300
    assert (seen.rewards == 1).sum() > 300
    assert set(seen.rewards) == {0, 1}
    became = {
        name: np.array([game[name] for game in seen.games]) for name in ("ramp_index", "move_speed", "spawn_speed")
    }
    for name in became:
        assert (became[name] != states[name]).sum() > 300 or not difficulty_ramping
        assert (became[name] == states[name]).all() or difficulty_ramping


def test_bad_params():
    with pytest.raises(ValueError, match=r"MinAtarAsterix: parameter sticky_action_prob is -0.5; expected 0 to 1"):
        MinAtarAsterix(jit=False, sticky_action_prob=-0.5)
    with pytest.raises(ValueError, match=r"MinAtarAsterix: parameter difficulty_ramping is 1; expected True or False"):
        MinAtarAsterix(jit=False, difficulty_ramping=1)


def test_image():
    env = MinAtarAsterix(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step([2])
    assert (env.render() != image).any()
