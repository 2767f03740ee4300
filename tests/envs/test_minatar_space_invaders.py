"""MinAtar's Space Invaders against the authors' package."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.envs.minatar_space_invaders import NO_BULLET, MinAtarSpaceInvaders
from tests.helpers.minatar_parity import follow, step_from_states
from tests.helpers.parity import TRANSITIONS

NAMES = {
    "cannon": "pos",
    "shot_timer": "shot_timer",
    "direction": "alien_dir",
    "move_interval": "enemy_move_interval",
    "move_timer": "alien_move_timer",
    "enemy_shot_timer": "alien_shot_timer",
    "ramp_index": "ramp_index",
}


def as_reference(s, i):
    aliens, bullets, enemy_bullets = np.zeros((3, 10, 10))
    for k in range(24):
        if int(s.aliens[i]) >> k & 1:
            aliens[(s.top[i] + k // 6) % 10, s.left[i] + k % 6] = 1
    assert aliens.sum() == s.remaining[i]
    for b in range(2):
        if s.bullet_y[i, b] != NO_BULLET:
            bullets[s.bullet_y[i, b], s.bullet_x[i, b]] = 1
    if s.enemy_y[i] != NO_BULLET:
        enemy_bullets[s.enemy_y[i], s.enemy_x[i]] = 1
    maps = {"alien_map": aliens, "f_bullet_map": bullets, "e_bullet_map": enemy_bullets}
    return maps | {theirs: int(getattr(s, ours)[i]) for ours, theirs in NAMES.items()}


def play(game, rng):
    """Out of a bullet's way; else fire below aliens."""
    if game.e_bullet_map[5:, game.pos].any():
        return int(rng.choice([1, 3]))
    return 5 if rng.random() < 0.5 else int(rng.integers(6))


def play_minimally(game, rng):
    return int(rng.choice([0, 1, 3, 5]))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"difficulty_ramping": False, "sticky_action_prob": 0.0}])
def test_episodes_are_the_references(settings):
    seen = follow(MinAtarSpaceInvaders, "space_invaders", as_reference, play, **settings)
    assert seen.terminals.sum() > 20
    assert seen.rewards.sum() > 200


def test_episodes_with_few_actions_are_the_references():
    follow(MinAtarSpaceInvaders, "space_invaders", as_reference, play_minimally, minimal_actions=True, steps=300)


def positions(rng, n):
    """Of what is left of a wave, anywhere on the screen; and of a bullet that flies just below an alien."""
    aliens, remaining, top, left, x, y = np.zeros((6, n), np.int64)
    for k in range(n):
        top[k] = rng.integers(10)
        cells = rng.random((4, 6)) < rng.choice([0.1, 0.5, 1.0])
        cells[0, rng.integers(6)] = True
        cells[10 - top[k] :] = False
        used = np.flatnonzero(cells.any(axis=0))
        left[k] = rng.choice([-used[0], 9 - used[-1], rng.integers(-used[0], 10 - used[-1])])
        aliens[k] = sum(1 << int(bit) for bit in np.flatnonzero(cells))
        remaining[k] = cells.sum()
        row, column = rng.choice(np.argwhere(cells))
        x[k], y[k] = left[k] + column, top[k] + row + 1
    y[y > 9] = NO_BULLET
    return {"aliens": aliens, "remaining": remaining, "top": top, "left": left}, x, y


@pytest.mark.slow
@pytest.mark.parametrize("difficulty_ramping", [True, False])
def test_transitions_are_the_references(difficulty_ramping):
    rng = np.random.default_rng(0)
    n = TRANSITIONS
    aliens, x, y = positions(rng, n)
    aimed = rng.random(n) < 0.7
    x = np.where(aimed, x, rng.integers(10, size=n))
    y = np.where(aimed, y, rng.integers(-1, 10, size=n))
    states = aliens | {
        "cannon": rng.integers(10, size=n),
        "shot_timer": rng.integers(3, size=n),
        "direction": rng.choice([-1, 1], n),
        "move_interval": rng.integers(6, 13, size=n),
        "move_timer": rng.integers(2, size=n),
        "bullet_x": np.stack([(x + rng.integers(1, 10, size=n)) % 10, x], -1),
        "bullet_y": np.stack([rng.integers(-1, 10, size=n), y], -1),
        "enemy_shot_timer": rng.integers(2, size=n),
        "enemy_x": rng.integers(10, size=n),
        "last_action": rng.integers(6, size=n),
    }
    may_fire = states["shot_timer"] == 0  # then there is one bullet at most, five rows up or more
    for bullet in ("bullet_x", "bullet_y"):
        states[bullet][may_fire, 0] = states[bullet][may_fire, 1]
    states["bullet_y"][may_fire, 1] = NO_BULLET
    states["bullet_y"][may_fire & (states["bullet_y"][:, 0] > 4), 0] = NO_BULLET
    # when the aliens shoot, their last bullet is at the bottom or gone
    states["enemy_y"] = np.where(states["enemy_shot_timer"] == 0, rng.choice([-1, 9], n), rng.integers(-1, 10, size=n))
    actions = rng.integers(6, size=n)
    seen = step_from_states(
        MinAtarSpaceInvaders,
        "space_invaders",
        as_reference,
        states,
        actions,
        difficulty_ramping=difficulty_ramping,
    )
    assert set(seen.rewards) == {0, 1, 2}
    assert seen.terminals.sum() > 500
    aliens = np.array([np.sum(game["alien_map"]) for game in seen.games])
    assert ((states["remaining"] == 1) & (aliens == 24)).sum() > 50  # a new wave
    interval = np.array([game["enemy_move_interval"] for game in seen.games])
    assert (interval < states["move_interval"]).any() == difficulty_ramping
    turned = np.array([game["alien_dir"] for game in seen.games]) != states["direction"]
    assert turned.sum() > 500
    assert ((states["top"] > 6) & turned & seen.terminals).sum() > 100  # the aliens landed


def test_bad_params():
    with pytest.raises(ValueError, match=r"MinAtarSpaceInvaders: parameter sticky_action_prob is 2; expected 0 to 1"):
        MinAtarSpaceInvaders(jit=False, sticky_action_prob=2)


def test_image():
    env = MinAtarSpaceInvaders(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((400, 400, 3), np.uint8)
    env.step([5])
    assert (env.render() != image).any()
