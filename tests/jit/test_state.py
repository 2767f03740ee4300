"""`get_state` and `set_state`: the whole simulation, saved and gone on from."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba import APIUsageError
from tests.helpers.jit_envs import Locks, Push, Walk
from tests.helpers.trajectories import (
    actions_for,
    assert_same,
    make_team,
    record,
)


@pytest.mark.parametrize("jit_after", [True, False])
@pytest.mark.parametrize("make", [Walk, Push, Locks, make_team])
def test_continuing_from_a_saved_state_gives_the_same_trajectory(make, jit_after):
    env = make(num_envs=7)
    record(env, 5)
    saved = env.get_state()
    ahead = list(actions_for(env, 20, seed=4))

    def go_on(env):
        rows = []
        for actions in ahead:
            env.step(actions)
            rows.append({n: getattr(env, n).copy() for n in ("observations", "rewards", "terminals", "masks")})
        return rows, env.log()

    first, first_log = go_on(env)
    env.set_state(saved)
    np.testing.assert_array_equal(env.observations, saved["observations"])
    again, again_log = go_on(env)
    clone = make(num_envs=7, seed=99, jit=jit_after)
    clone.set_state(saved)
    cloned, cloned_log = go_on(clone)
    assert_same(first, again)
    assert_same(first, cloned)
    assert first_log == again_log == pytest.approx(cloned_log)


def test_saved_state_is_a_copy_of_plain_arrays(tmp_path):
    env = Walk(num_envs=3)
    env.reset(seed=0)
    saved = env.get_state()
    assert all(type(a) is np.ndarray and a.dtype != object for a in saved.values())
    kept = {name: array.copy() for name, array in saved.items()}
    env.step([1, 1, 1])
    for name in kept:
        np.testing.assert_array_equal(saved[name], kept[name])
    np.savez(tmp_path / "state.npz", **saved)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as loaded:
        env.set_state(loaded)
    assert not env.state.ticks.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("streams"), r"differ in \['streams'\]"),
        (lambda s: s.update(extra=np.zeros(1)), r"differ in \['extra'\]"),
        (lambda s: s.update({"state.luck": np.zeros(4)}), "state.luck is float64 of shape .*expected float32"),
        (
            lambda s: s.update({"state.luck": np.zeros(5, np.float32)}),
            r"state.luck is float32 of shape \(5,\); expected",
        ),
        (lambda s: s.update({"truncations": np.zeros(4)}), "truncations is float64"),
    ],
)
def test_wrong_state_is_refused_and_changes_nothing(change, message):
    env = Walk(num_envs=4)
    env.reset(seed=0)
    wrong = {name: array + array.dtype.type(1) for name, array in env.get_state().items()}
    change(wrong)
    before = env.get_state()
    with pytest.raises(APIUsageError, match=message):
        env.set_state(wrong)
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, before[name])


def test_get_state_before_reset_is_an_error():
    with pytest.raises(APIUsageError, match=r"get_state\(\) was called before reset"):
        Walk().get_state()


def test_a_closed_environment_cannot_be_revived_by_set_state():
    env = Walk()
    env.reset()
    saved = env.get_state()
    env.close()
    with pytest.raises(APIUsageError, match="closed"):
        env.set_state(saved)


def test_state_saved_with_other_threads_can_be_loaded(run_python):
    """A machine with another number of cores must be able to go on."""
    save = "import numpy as np; from tests.helpers.jit_envs import Walk; e = Walk(num_envs=4, jit=False); e.reset();"
    run_python(save + "np.savez('s.npz', **e.get_state())", NUMBA_NUM_THREADS="2")
    run_python(save + "e.set_state(np.load('s.npz'))", NUMBA_NUM_THREADS="1")
