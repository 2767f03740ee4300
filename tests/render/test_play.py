"""Playing by keyboard, in a window of SDL's dummy driver."""

from __future__ import annotations

import numpy as np
import pygame
import pytest

import puffer_numba
from puffer_numba.env import APIUsageError
from puffer_numba.render import play as play_module
from puffer_numba.render.play import key_actions, play
from puffer_numba.spaces.observations import action_masks
from tests.helpers.jit_envs import Walk


@pytest.fixture
def hold(monkeypatch):
    """Press a key as soon as the window is open, and never let go."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    yield lambda name: pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(name)))
    pygame.display.quit()


def test_keys_are_actions(hold, capsys):
    env = puffer_numba.make("squared", size=3, seed=0, jit=False)
    env.reset()
    hold("right")  # to the cell at the right of the middle, and off the grid
    expected = [1.0] if env.state.target[0] == 5 else [-1.0]
    assert play(puffer_numba.make("squared", size=3, seed=0, jit=False), fps=1000, episodes=1) == expected
    assert f"Squared: {1 if expected == [1.0] else 2} steps, return {expected[0]:g}" in capsys.readouterr().out


def test_the_game_goes_on_where_no_key_is_an_action(hold):
    env = puffer_numba.make("pendulum", seed=0, jit=False, max_episode_steps=5)
    (episode_return,) = play(env, fps=1000, episodes=1)
    assert episode_return < 0


def test_a_policy_plays_until_a_key_is_pressed(hold):
    chosen, taken = [], []

    def player(env, begins):
        chosen.append(bool(begins[0]))
        return np.array([env.keys["left"]])

    def played():
        env = puffer_numba.make("squared", size=3, seed=0, jit=False)
        step = env.step
        env.step = lambda actions: taken.append(int(actions[0])) or step(actions)
        play(env, fps=1000, episodes=2, player=player)
        ends, keys = [*chosen[1:], True], dict(env.keys)
        chosen.clear()
        return taken.copy(), ends, keys

    actions, ends, keys = played()
    assert set(actions) == {keys["left"]}
    assert sum(ends) == 2, "it is told where episodes begin"
    pygame.display.init()  # the window was closed
    hold("right")
    actions, *_ = played()
    assert set(actions[-2:]) == {keys["right"]}


def test_escape_ends(hold):
    hold("escape")
    assert play(puffer_numba.make("cartpole", jit=False)) == []


def test_digits_where_a_class_names_no_keys():
    assert key_actions(puffer_numba.make("bandit", jit=False)) == {"0": 0, "1": 1, "2": 2, "3": 3}


def test_what_cannot_be_played(hold):
    with pytest.raises(APIUsageError, match="renders no images"):
        play(Walk(jit=False))
    with pytest.raises(APIUsageError, match="a JitEnv of one environment"):
        play(puffer_numba.make("cartpole", num_envs=2, jit=False))


def test_keys_are_needed_for_what_digits_cannot_say(hold, monkeypatch):
    env = puffer_numba.make("pendulum", jit=False)
    monkeypatch.setattr(type(env), "keys", {})
    with pytest.raises(APIUsageError, match=r"Pendulum names no keys for Box.*; its class needs them: keys"):
        play(env)


def test_the_others_make_legal_moves():
    """The first takes the lowest free cell; an illegal move would cost its maker 1, and give the other nothing."""
    env = puffer_numba.make("tic_tac_toe", seed=0, jit=False)
    rng = np.random.default_rng(0)
    rewards = set()
    env.reset()
    for _ in range(200):
        free = np.flatnonzero(action_masks(env)[0])
        play_module._step(env, free[0] if env.masks[0] else None, play_module._random(env, rng))
        rewards.add(tuple(env.rewards.tolist()))
    assert rewards == {(0, 0), (1, -1), (-1, 1)}


@pytest.mark.parametrize("name", puffer_numba.list_envs())
def test_every_environment_can_be_played(name):
    """Every key stands for an action; those of MinAtar's small action sets, too."""
    for params in ({}, {"minimal_actions": True}) if name.startswith("minatar") else ({},):
        env = puffer_numba.make(name, jit=False, **params)
        keys = key_actions(env)
        assert len(keys) > 1
        for action in keys.values():
            space = env.single_action_space
            assert np.broadcast_to(np.asarray(action, space.dtype), space.shape) in space
