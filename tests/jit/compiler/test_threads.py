"""Python threads and forks around parallel kernels. In processes of their own, because failing means a crash."""

from __future__ import annotations

import importlib.util
import os

import pytest

pytestmark = pytest.mark.slow

LAYERS = ("default", "workqueue", "omp")

COMMON = """
import puffer_numba.jit.env
puffer_numba.jit.env._CALIBRATION_STEPS = 4

import os, threading, warnings
import numba, numpy as np
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.jit.compiler import threads
from tests.helpers.jit_envs import force_threads

N, STEPS = 65536, 20
ACTIONS = np.random.default_rng(0).integers(0, 2, (STEPS, N), dtype=np.int32)

def run(seed, parallel):
    env = CartPole(num_envs=N, seed=seed)
    force_threads(env) if parallel else setattr(env, "_run", env._step_alone)
    env.reset()
    total = np.zeros(N)
    for actions in ACTIONS:
        env.step(actions)
        total += env.rewards
    return np.concatenate([env.observations.ravel(), env.state.theta, env._episodes.returns, total])

def in_threads(*calls):
    results = [None] * len(calls)
    def call(k):
        results[k] = calls[k]()
    workers = [threading.Thread(target=call, args=(k,)) for k in range(len(calls))]
    for w in workers: w.start()
    for w in workers: w.join()
    return results
"""


@pytest.fixture
def run_layer(run_python):
    def run(script, layer):
        result = run_python(COMMON + script, check=False, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
        if "No threading layer could be loaded" in result.stderr:
            pytest.skip(f"no {layer} here")
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


@pytest.mark.parametrize("layer", LAYERS)
def test_two_python_threads_step_two_environments_at_once(run_layer, layer):
    script = """
expected = [run(seed, parallel=False) for seed in (1, 2)]
for repeat in range(2):
    for one, two in zip(expected, in_threads(lambda: run(1, True), lambda: run(2, True))):
        assert np.array_equal(one, two)

print("layer", numba.threading_layer())
"""
    result = run_layer(script, layer)
    assert layer == "default" or f"layer {layer}" in result.stdout


def test_more_python_threads_than_cores_from_the_very_first_step(run_layer):
    """The first call compiles and starts the threading layer: several at once must not."""
    script = """
results = in_threads(*[lambda: run(1, True)] * 4)
assert all(np.array_equal(results[0], r) for r in results)
assert np.array_equal(results[0], run(1, False))
"""
    run_layer(script, "workqueue")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_stepping_while_torch_computes(run_layer, layer):
    script = """
import torch
ACTIONS = ACTIONS[:10]
stop = threading.Event()
def multiply():
    a = torch.ones(300, 300)
    count = 0
    while not stop.is_set():
        assert float((a @ a)[0, 0]) == 300
        count += 1
    return count
def step():
    try:
        return [run(seed, True) for seed in (1, 2)]
    finally:
        stop.set()
count, stepped = in_threads(multiply, step)
assert count > 0
assert all(np.array_equal(s, run(seed, False)) for s, seed in zip(stepped, (1, 2)))
"""
    run_layer(script, layer)


@pytest.mark.parametrize(("threads", "uses_parallel_kernel"), [(1, False), (2, True)])
def test_set_num_threads_is_respected(run_layer, threads, uses_parallel_kernel):
    script = f"""
numba.set_num_threads({threads})
env = CartPole(num_envs=N, seed=1)
env.reset()
for actions in ACTIONS:
    env.step(actions)
assert bool(env._machine_code) == {uses_parallel_kernel}
assert numba.get_num_threads() == {threads}
"""
    run_layer(script, "default")


def test_a_process_with_one_thread_never_needs_the_parallel_kernel(run_python):
    script = (
        COMMON
        + """
env = CartPole(num_envs=N, seed=1)
env.reset()
for actions in ACTIONS:
    env.step(actions)
assert not env._machine_code
"""
    )
    run_python(script, NUMBA_NUM_THREADS="1")


FORK = """
{before}
child = os.fork()
if child == 0:
    try:
        import signal
        signal.alarm(60)  # a hang is a failure
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            env = CartPole(num_envs=N, seed=1)
            env._alone = 1.0
            env._run = env._run_threaded
            env.reset()
            for actions in ACTIONS:
                env.step(actions)
            right = np.array_equal(env.observations.ravel(), expected[: 4 * N])
            warned = [str(w.message) for w in caught if w.category is RuntimeWarning]
        print("right", right, "warned", any("forked" in w for w in warned), flush=True)
    finally:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "the child died"
assert np.array_equal(run(1, True), expected)  # and the parent goes on
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(("layer", "warned"), [("omp", True), ("workqueue", False)], ids=["omp", "workqueue"])
def test_child_of_a_fork_steps_on(run_layer, layer, warned):
    before = "expected = run(1, False); assert np.array_equal(run(1, True), expected)"
    result = run_layer(FORK.format(before=before), layer)
    assert f"right True warned {warned}" in result.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_of_a_fork_after_somebody_elses_parallel_code_steps_on(run_layer):
    """OpenMP may have been started by the user's own kernels, not by ours."""
    before = """
expected = run(1, False)
@numba.njit(parallel=True)
def other(x):
    for i in numba.prange(len(x)):
        x[i] += 1
other(np.zeros(100_000))
"""
    result = run_layer(FORK.format(before=before), "omp")
    assert "right True" in result.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_of_a_fork_while_another_thread_steps_does_not_wait_for_ever(run_layer):
    """The lock of the threading layer may be held at that moment, by a thread that the child does not have."""
    before = """
expected = run(1, False)
run(2, True)
threading.Thread(target=lambda: [run(2, True) for _ in range(3)]).start()
while not threads._lock.locked():
    pass
"""
    result = run_layer(FORK.format(before=before), "workqueue")
    assert "right True" in result.stdout
