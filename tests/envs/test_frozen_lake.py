"""FrozenLake and FrozenLake8x8 against Gymnasium's."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text import frozen_lake as reference
from scipy import stats

import puffer_numba
from puffer_numba.envs.frozen_lake import MAPS, FrozenLake, encode_map, generate_random_map
from puffer_numba.envs.frozen_lake_8x8 import FrozenLake8x8
from tests.helpers.parity import step_from
from tests.helpers.tables import assert_follows, every_pair, optimum, play_together

TWO_STARTS = ["SFFHG", "FHFFS", "FFFFF"]
VARIANTS = [
    {},
    {"map_name": "8x8"},
    {"is_slippery": False},
    {"success_rate": 0.8, "reward_schedule": (10, -5, -1)},
    {"success_rate": 1.0},
    {"success_rate": 0.0, "map_name": "8x8"},
    {"desc": TWO_STARTS, "success_rate": 0.6},
    {"desc": generate_random_map(size=6, p=0.7, seed=3)},
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_transition_table_is_gymnasiums(variant):
    table = reference.FrozenLakeEnv(**variant).P
    going_on = [s for s, letter in enumerate("".join(variant.get("desc", MAPS[variant.get("map_name", "4x4")])))]
    letters = "".join(variant.get("desc", MAPS[variant.get("map_name", "4x4")]))
    going_on = [s for s in going_on if letters[s] in "SF"]  # an episode has ended in the others
    states, actions = every_pair(going_on, 4, copies=400)
    found = step_from(FrozenLake, {"cell": states}, actions, **variant)
    assert_follows(table, states, actions, (found.state.cell, found.rewards, found.terminals))
    np.testing.assert_array_equal(found.observations[:, 0], found.state.cell)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_games_are_gymnasiums_draw_by_draw(variant):
    env = FrozenLake(autoreset="disabled", max_episode_steps=20, **variant)
    expected = gymnasium.make("FrozenLake-v1", render_mode="ansi", max_episode_steps=20, **variant)
    ends = play_together(env, expected, 2500)
    assert min(ends.values()) > 5


def test_starts_are_uniform():
    env = FrozenLake(20_000, desc=TWO_STARTS)
    observations, _ = env.reset(seed=0)
    cells, counts = np.unique(observations, return_counts=True)
    assert cells.tolist() == [0, 9]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_drop_in_for_gymnasium():
    for name, ours in (("FrozenLake-v1", FrozenLake), ("FrozenLake8x8-v1", FrozenLake8x8)):
        env, expected = gymnasium.make(f"puffer_numba/{name}"), gymnasium.make(name)
        assert env.observation_space == expected.observation_space
        assert env.action_space == expected.action_space
        assert env.spec.max_episode_steps == expected.spec.max_episode_steps == ours.max_episode_steps
        assert env.unwrapped.metadata["render_fps"] == expected.unwrapped.metadata["render_fps"]
        observation, info = env.reset(seed=0)
        assert (observation, info) == (0, {"prob": 1.0})
    env = gymnasium.make("puffer_numba/FrozenLake-v1", map_name="8x8", is_slippery=False, render_mode="ansi")
    assert env.observation_space.n == 64
    env.reset(seed=0)
    assert env.step(2)[:4] == (1, 0.0, False, False)
    assert "(Right)" in env.render()


def test_maps():
    assert {name: list(rows) for name, rows in MAPS.items()} == reference.MAPS
    forms = [
        list(MAPS["4x4"]),
        [list(row) for row in MAPS["4x4"]],
        np.asarray(MAPS["4x4"], "c"),
        encode_map(MAPS["4x4"]),
    ]
    for desc in (*forms, [row.encode() for row in MAPS["4x4"]]):
        assert bytes(FrozenLake(jit=False, desc=desc).params.desc) == b"SFFFFHFHFFFHHFFG"
    assert puffer_numba.make("frozen_lake", map_name="8x8", jit=False).params.desc.shape == (8, 8)
    assert FrozenLake8x8(jit=False).params.desc.shape == (8, 8)
    assert FrozenLake8x8(jit=False, map_name="4x4").params.desc.shape == (4, 4)
    assert FrozenLake(jit=False, map_name="8x8", desc=TWO_STARTS).params.desc.shape == (3, 5)


def test_random_maps():
    assert generate_random_map(5, 0.6, seed=7) == reference.generate_random_map(5, 0.6, seed=7)

    def of_seed(seed):
        return bytes(FrozenLake(jit=False, map_name=None, seed=seed).params.desc)

    assert of_seed(3) == of_seed(3) == "".join(generate_random_map(seed=3)).encode()
    assert of_seed(-1) != of_seed(3)
    assert len(of_seed(None)) == 64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"desc": ["SFG", "FF"]}, r"parameter desc is \['SFG', 'FF'\]; expected rows of one length"),
        ({"desc": ["SFF", "FFF"]}, r"parameter desc is .*; expected a goal \(G\)"),
        ({"desc": ["FFF", "FFG"]}, r"parameter desc is .*; expected a start \(S\)"),
        (
            {"desc": ["SFX", "FFG"]},
            r"parameter desc is .*; expected the letters S \(start\), F \(frozen\), H \(hole\) and G",
        ),
        ({"desc": ["SFé", "FFG"]}, r"parameter desc is .*; expected the letters"),
        ({"desc": []}, r"parameter desc is \[\]; expected rows of one length"),
        ({"desc": "SFFG"}, r"parameter desc is 'SFFG'; expected rows of one length"),
        ({"desc": 7}, r"parameter desc is 7; expected a sequence of rows"),
        ({"desc": [1, 2]}, r"parameter desc is \[1, 2\]; expected a sequence of rows"),
        ({"desc": ["S" + "F" * 2000 + "G"]}, r"parameter desc has 1 x 2002 cells; expected at most 1024 a side"),
        ({"map_name": "5x5"}, r"parameter map_name is '5x5'; expected '4x4', '8x8' or None"),
        ({"success_rate": 1.1}, r"parameter success_rate is 1.1; expected 0 to 1"),
        ({"success_rate": float("nan")}, r"parameter success_rate is nan; expected 0 to 1"),
        ({"reward_schedule": (1, 0)}, r"parameter reward_schedule is \[1, 0\]; expected three numbers"),
        ({"reward_schedule": (1, 0, float("inf"))}, r"parameter reward_schedule is .*; expected three numbers"),
    ],
)
def test_bad_params(given, message):
    with pytest.raises(ValueError, match="FrozenLake: " + message):
        FrozenLake(jit=False, **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1,), "size is 1; expected 2 to 1024"),
        ((4, 0.0), "p is 0; expected more than 0"),
        ((4, 1.5), "p is 1.5; expected"),
    ],
)
def test_bad_random_maps(arguments, message):
    with pytest.raises(ValueError, match=f"generate_random_map: {message}"):
        generate_random_map(*arguments)


@pytest.mark.parametrize(("env_class", "documented"), [(FrozenLake, 0.744), (FrozenLake8x8, 0.913)])
def test_optimum(env_class, documented):
    table = reference.FrozenLakeEnv(map_name={FrozenLake: "4x4", FrozenLake8x8: "8x8"}[env_class])
    best = optimum(table.P, table.initial_state_distrib, env_class.max_episode_steps)
    assert best == pytest.approx(documented, abs=5e-4)
    assert str(documented) in env_class.__doc__


def test_image():
    env = FrozenLake(jit=False)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((480, 480, 3), np.uint8)
    env.step([1])
    env.step([1])
    assert (env.render() != image).any()
