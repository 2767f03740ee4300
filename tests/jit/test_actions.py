"""Actions of a JitEnv: what is taken, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba import APIUsageError
from tests.helpers.jit_envs import Locks, Paint, Push, Team, Walk, force_threads
from tests.helpers.trajectories import (
    LIFETIMES,
    WORTH,
    actions_for,
)


def stepped(env, actions, seed=2):
    env.reset(seed=seed)
    env.step(actions)
    return {**env.get_state(), "rewards": env.rewards.copy()}


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.int8),
        lambda a: a.astype(np.uint8),
        lambda a: a.astype(np.uint64),
        lambda a: a.astype(">i4"),
        lambda a: a.tolist(),
        lambda a: tuple(a.tolist()),
        lambda a: np.repeat(a, 3, axis=0)[::3],
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a, a.shape),
    ],
    ids=["int64", "int8", "uint8", "uint64", "big-endian", "list", "tuple", "strided", "fortran", "read-only"],
)
@pytest.mark.parametrize("env_class", [Walk, Locks])
def test_every_form_of_integer_actions_is_taken(env_class, convert):
    env = env_class(num_envs=5)
    actions = next(actions_for(env, 1, seed=8))
    expected = stepped(env, actions)
    for name, array in stepped(env, convert(actions)).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize("convert", [np.ndarray.tolist, lambda a: a.astype(np.float64), np.asfortranarray])
def test_every_form_of_box_actions_is_taken(convert):
    env = Push(num_envs=5)
    actions = next(actions_for(env, 1))
    expected = stepped(env, actions)
    for name, array in stepped(env, convert(actions)).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("env_class", "dtype"), [(Walk, np.int32), (Walk, np.int64), (Locks, np.int32), (Push, np.float32)]
)
def test_actions_of_these_types_reach_the_kernel_without_a_copy(env_class, dtype):
    env = env_class(num_envs=2)
    env.reset()
    actions = np.zeros(env.actions.shape, dtype)
    env._convert = None  # calling it would fail
    env.step(actions)


BAD_ACTIONS = [
    (Walk, [0, 1, 2, 0], r"action of row 2 is 2, outside Discrete\(2\)"),
    (Walk, [0, 1, 0, -1], "action of row 3 is -1, outside"),
    (Walk, [-5, 9, 0, 0], "action of row 0 is -5"),
    (Walk, np.array([0, 0, 2**40, 0]), "action of row 2 is 1099511627776"),
    (Walk, np.array([0, 0, 2**32, 0]), "action of row 2 is 4294967296"),  # 0 if it were cast to int32
    (Walk, [0, 1, 0], r"actions have shape \(3,\); expected \(4,\): 4 rows of Discrete\(2\)"),
    (Walk, [[0], [1], [0], [1]], r"actions have shape \(4, 1\); expected \(4,\)"),
    (Walk, 1, r"actions have shape \(\); expected \(4,\)"),
    (Walk, [0.0, 1.0, 0.0, 1.0], r"dtype float64; Discrete\(2\) takes integers: convert .*astype\(int64\)"),
    (Walk, [False, True, False, True], "dtype bool"),
    (Walk, ["0", "1", "0", "1"], "dtype <U1"),
    (Walk, [None, 0, 0, 0], "dtype object"),
    (Paint, [1, 2, 3, 0], "action of row 3 is 0, outside Discrete"),
    (Paint, [1, 2, 3, 4], "action of row 3 is 4, outside Discrete"),
    (
        Locks,
        [[0, 0, 0], [2, 1, 3], [2, 2, 3], [0, 0, 0]],
        r"action of row 2 is \[2, 2, 3\], outside MultiDiscrete",
    ),
    (Locks, [[0, 0, 0], [0, 0, -1], [0, 0, 0], [0, 0, 0]], r"action of row 1 is \[0, 0, -1\]"),
    (Locks, [0, 0, 0], r"actions have shape \(3,\); expected \(4, 3\)"),
    (Push, [[0, 0], [0, 0], [np.nan, 0], [0, 0]], r"action of row 2 is \[nan, 0.0\], outside Box"),
    (Push, [[0, 0], [0, np.inf], [0, 0], [0, 0]], r"action of row 1 is \[0.0, inf\]"),
    (Push, [[0, 0], [0, 0], [0, 0], [1.5, 0]], r"action of row 3 is \[1.5, 0.0\]"),
    (Push, [[0, -2.5], [0, 0], [0, 0], [0, 0]], r"action of row 0 is \[0.0, -2.5\]"),
    (Push, [[0, 1e300], [0, 0], [0, 0], [0, 0]], r"action of row 0"),
    (Push, np.zeros((4, 2), complex), "dtype complex128; .* takes float32 values"),
    (Push, np.zeros((4, 3), np.float32), r"actions have shape \(4, 3\); expected \(4, 2\)"),
]


@pytest.mark.parametrize(("env_class", "actions", "message"), BAD_ACTIONS)
@pytest.mark.parametrize("jit", [True, False], ids=["jit", "python"])
def test_bad_action_is_named_and_changes_nothing(env_class, actions, message, jit):
    env = env_class(num_envs=4, jit=jit, **({"worth": WORTH} if env_class is Paint else {}))
    env.reset(seed=1)
    env.step(next(actions_for(env, 1)))
    before = {**env.get_state(), "rewards": env.rewards.copy(), "final": env.final_observations.copy()}
    with pytest.raises(APIUsageError, match=message):
        env.step(actions)
    after = {**env.get_state(), "rewards": env.rewards, "final": env.final_observations}
    for name, array in before.items():
        assert array.tobytes() == after[name].tobytes(), name
    env.step(next(actions_for(env, 1)))


def test_ragged_actions_are_refused():
    env = Locks(num_envs=2)
    env.reset()
    with pytest.raises(APIUsageError, match="actions"):
        env.step([[0, 0, 0], [0, 0]])


def test_bad_action_among_many_threads_is_found_too():
    env = force_threads(Walk(num_envs=5000))
    env.reset()
    before = env.get_state()
    actions = np.zeros(5000, np.int32)
    actions[4321] = 7
    with pytest.raises(APIUsageError, match="action of row 4321 is 7"):
        env.step(actions)
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, before[name])


def test_bad_action_of_a_team_names_the_row_of_its_agent():
    env = Team(num_envs=3, lifetimes=LIFETIMES)
    env.reset()
    with pytest.raises(APIUsageError, match=r"action of row 7 is 5, outside Discrete\(3\)"):
        env.step([0, 0, 0, 0, 0, 0, 0, 5, 0])
