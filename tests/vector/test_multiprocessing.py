"""`Multiprocessing`, with real worker processes: results, batches, and every way in which a worker can fail."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from puffer_numba import vector
from puffer_numba.env import APIUsageError
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.vector import Multiprocessing, WorkerError
from tests.helpers.paths import ROOT
from tests.helpers.processes import gone
from tests.helpers.vector_envs import Counter, Rows, trajectory

pytestmark = pytest.mark.slow  # together: most start processes or train

COUNTER = "tests.helpers.vector_envs:Counter"


def processes(creator: Any = COUNTER, num_envs: int = 4, **options: Any) -> Multiprocessing:
    env = vector.make(creator, num_envs=num_envs, **{"backend": "multiprocessing", "num_workers": 2, **options})
    assert isinstance(env, Multiprocessing)
    return env


def pids(env: Multiprocessing) -> list[int]:
    return [worker.process.pid for worker in env._workers]


# ---------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("creator", "kwargs"),
    [
        (COUNTER, {"infos": 10}),
        ("gym:CartPole-v1", {}),
        (CartPole, {"num_envs": 3}),
        (Rows, {}),
        ("pettingzoo:classic.rps.rps", {"max_cycles": 3}),
    ],
)
def test_same_trajectories_on_any_number_of_workers(creator: Any, kwargs: Any) -> None:
    expected = trajectory(vector.make(creator, num_envs=4, backend="serial", env_kwargs=kwargs))
    for workers in (1, 2, 4):
        found = trajectory(processes(creator, num_workers=workers, env_kwargs=kwargs))
        assert len(found) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(found[:-1], expected[:-1], strict=True))
        assert dict(found[-1]) == pytest.approx(dict(expected[-1]))


def test_results_are_the_shared_memory_itself() -> None:
    with processes() as env:
        observations, infos = env.reset(seed=1)
        assert infos == []
        assert observations is env.observations
        assert observations.ctypes.data % 64 == 0
        stepped, *_ = env.step([1, 0, 1, 0])
        assert stepped is observations
        assert env.rewards.tolist() == [1, 0, 1, 0]
        assert (env.num_envs, env.num_agents, env.agents_per_batch, env.num_workers) == (4, 4, 4, 2)


def test_infos_larger_than_a_pipe() -> None:
    with processes(env_kwargs={"infos": 300_000}) as env:
        env.reset()
        for _ in range(3):
            *_, infos = env.step([0] * 4)
            assert [len(info["big"]) for info in infos] == [300_000] * 4


def test_functions_of_the_main_script(run_python: Callable[..., Any]) -> None:
    """No guard around the script, no import of it in workers; classes, lambdas and what they refer to."""
    done = run_python(
        """
import gymnasium
from puffer_numba import vector

print("script")
gymnasium.register("Mine-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=7)
SCALE = 3

class Scaled(gymnasium.RewardWrapper):
    def reward(self, reward):
        return SCALE * reward

for creator in (lambda: Scaled(gymnasium.make("CartPole-v1")), "gym:Mine-v0"):
    with vector.make(creator, num_envs=2, num_workers=2) as env:
        env.reset()
        print(env.step([0, 1])[1].tolist())
"""
    )
    assert done.stdout.split("\n") == ["script", "[3.0, 3.0]", "[1.0, 1.0]", ""]


def test_spawn_and_one_thread_for_each_worker() -> None:
    def threads() -> Counter:
        import numba

        return Counter(length=numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]

    with processes(threads, context="spawn", num_envs=2) as env:
        env.reset()
        env.step([0, 0])
        assert env.terminals.all()  # episodes are as long as a worker has threads


def test_environment_variables_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    with processes():
        pass  # starts the server that workers are forked from
    monkeypatch.setenv("LENGTH_OF_EPISODES", "2")
    with processes(lambda: Counter(length=int(os.environ["LENGTH_OF_EPISODES"]))) as env:
        env.reset()
        env.step([0] * 4)
        env.step([0] * 4)
        assert env.terminals.all()


def test_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("puffer_numba.vector.factory.cores", lambda: 2)
    with pytest.warns(UserWarning, match="7 environments, .* by 1 of 2 possible workers; another num_envs, 6 say, is"):
        env = processes(num_envs=7, num_workers="auto")
    assert env.num_workers == 1
    env.close()
    cores = len(os.sched_getaffinity(0))
    for num_envs, batch_size in ((4, 2), (6, None)):
        with processes(num_envs=num_envs, num_workers="auto", batch_size=batch_size, zero_copy=False) as env:
            assert env.num_workers <= cores
            assert num_envs % env.num_workers == 0


def test_render_and_log_between_send_and_recv() -> None:
    with processes() as env:
        env.async_reset(seed=0)
        env.recv()
        for turn in range(5):
            env.send([1, 1, 1, 1])
            if turn == 4:
                assert env.render().shape == (2, 2, 3)
                assert env.log() == {"episodes": 4.0, "episode_return": 5.0, "episode_length": 5.0}
            assert env.recv()[1].tolist() == [1, 1, 1, 1]
        assert env.log() == {"episodes": 0.0}


def test_the_trainer_takes_it_unchanged() -> None:
    pytest.importorskip("torch")
    from puffer_numba.config import Config
    from puffer_numba.pufferl import PuffeRL, load_policy

    env = processes("gym:CartPole-v1", num_envs=16)
    config = Config().update({"train.total_timesteps": 40_000})
    trainer = PuffeRL(config, env, load_policy(config, env)).learn()
    assert trainer.statistics.mean_return > 60  # three times that of random actions
    trainer.close()
    assert env.closed


def test_torch_is_left_alone(run_python: Callable[..., Any]) -> None:
    code = "import sys, puffer_numba.vector, puffer_numba.emulation.emulated; print('torch' in sys.modules)"
    assert run_python(code).stdout == "False\n"


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize(("workers", "zero_copy"), [(2, True), (4, True), (4, False)])
def test_batches_of_half(workers: int, zero_copy: bool) -> None:
    """Whatever the order in which batches come, each environment sees its own actions, and all have their turn."""
    with processes(num_workers=workers, batch_size=2, zero_copy=zero_copy, env_kwargs={"length": 1000}) as env:
        env.async_reset(seed=5)
        assert env.agents_per_batch == 2
        steps = np.zeros(4, int)
        sent: dict[int, int] = {}
        for turn in range(200):
            observations, rewards, _, _, _, env_ids, masks = env.recv()
            assert observations.shape == (2, 3)
            assert masks.all()
            assert observations[:, 0].tolist() == [5 + k for k in env_ids]
            assert observations[:, 1].tolist() == [steps[k] for k in env_ids]
            assert rewards.tolist() == [sent.get(int(k), 0) for k in env_ids]
            assert np.shares_memory(observations, env.observations) == (zero_copy or workers == 2)
            sent.update({int(k): (turn + int(k)) % 2 for k in env_ids})
            env.send([(turn + int(k)) % 2 for k in env_ids])
            steps[env_ids] += 1
        assert steps.sum() == 400
        assert (steps > 0).all()


@pytest.mark.parametrize("zero_copy", [True, False])
def test_the_first_ready_come_first(zero_copy: bool) -> None:
    sleeps = [{"sleep": seconds} for seconds in (0.5, 0.002, 0.002, 0.002)]
    with processes([COUNTER] * 4, env_kwargs=sleeps, num_workers=4, batch_size=1, zero_copy=zero_copy) as env:
        env.async_reset()
        order = []
        for _ in range(40):
            *_, env_ids, _ = env.recv()
            order += env_ids.tolist()
            env.send([0])
        assert set(order) >= {1, 2, 3}
        assert order.count(0) <= 2


def test_asynchronous_errors() -> None:
    with processes(batch_size=2) as env:
        with pytest.raises(APIUsageError, match=r"recv\(\) has nothing to return; call async_reset"):
            env.recv()
        for call, instead in ((lambda: env.step([0, 0]), "send(actions) and recv()"), (env.reset, "async_reset(seed)")):
            with pytest.raises(APIUsageError, match=r"needs batch_size == num_envs.*" + re.escape(instead)):
                call()
        with pytest.raises(APIUsageError, match=r"called before reset\(\)"):
            env.send([0, 0])
        env.async_reset()
        *_, env_ids, _ = env.recv()
        *_, env_ids, _ = env.recv()
        with pytest.raises(APIUsageError, match=r"recv\(\) would wait for ever: the environments await actions"):
            env.recv()
        with pytest.raises(APIUsageError, match=f"action of row {env_ids[1]} is 7, outside"):
            env.send([0, 7])
        with pytest.raises(APIUsageError, match=r"actions have shape \(4,\); expected \(2,\)"):
            env.send([0] * 4)
        env.send([0, 1])
        env.send([0, 1])  # of the batch before
        with pytest.raises(APIUsageError, match=r"send\(\) was called twice; call recv"):
            env.send([0, 1])
        env.async_reset(seed=9)  # at any time
        observations, *_, env_ids, _ = env.recv()
        assert observations[:, 0].tolist() == [9 + k for k in env_ids]


def test_wrong_use() -> None:
    env = processes()
    with pytest.raises(APIUsageError, match=r"called before reset\(\)"):
        env.step([0] * 4)
    env.reset()
    env.step([0] * 4)
    with pytest.raises(APIUsageError, match="action of row 3 is -1, outside"):
        env.step([0, 0, 0, -1])
    assert env.observations[:, 1].tolist() == [1, 1, 1, 1]
    with pytest.raises(APIUsageError, match="Multiprocessing cannot be bound to other buffers"):
        env.bind(env.buffers)
    with pytest.raises(APIUsageError, match=r"reset: seed is 'x'"):
        env.reset(seed="x")  # type: ignore[arg-type]
    env.close()
    env.close()
    for call in (env.reset, env.recv, env.log, env.render, lambda: env.step([0] * 4)):
        with pytest.raises(APIUsageError, match="Multiprocessing is closed; make a new one"):
            call()


def test_what_cannot_be_pickled() -> None:
    lock = threading.Lock()
    with pytest.raises(APIUsageError, match=r"cannot be sent to a worker process: .*inside the worker"):
        processes(lambda: Counter(length=1 + lock.locked()))


def test_environments_that_differ() -> None:
    with pytest.raises(APIUsageError, match=r"environment 1 has Signature.*but environment 0 has Signature"):
        processes([Rows] * 2, num_envs=2, env_kwargs=[{}, {"size": 2}])


# ---------------------------------------------------------------------- failures

FAILURES = [
    ("raise", WorkerError, r"environment 2, in worker 1, failed: ValueError: the wheel came off\n(.*\n)*.*break_down"),
    (
        "wrong shape",
        APIUsageError,
        r"environment 2, in worker 1, failed: APIUsageError: observation: .*got shape \(4,\)",
    ),
    ("kill", WorkerError, r"worker 1 \(environments 2 to 3\) was killed by signal 9, without an error of Python"),
    ("_exit", WorkerError, r"worker 1 \(environments 2 to 3\) exited with code 3"),
    ("exit", WorkerError, r"environment 2, in worker 1, failed: SystemExit: done"),
    ("hang", WorkerError, r"worker 1 \(environments 2 to 3\) did not answer within 0\.5 s; .* larger timeout, or None"),
]


@pytest.mark.parametrize(("fail", "kind", "message"), FAILURES)
def test_a_worker_fails(fail: str, kind: type[Exception], message: str) -> None:
    timeout = 0.5 if fail == "hang" else 60.0
    env = processes(env_kwargs={"fail": fail, "fail_seed": 2}, timeout=timeout)
    workers = pids(env)
    env.reset(seed=0)
    env.step([0] * 4)
    env.step([0] * 4)
    with pytest.raises(kind, match=message):
        env.step([0] * 4)
    assert all(gone(pid) for pid in workers)
    with pytest.raises(APIUsageError, match="Multiprocessing is closed"):
        env.step([0] * 4)
    env.close()


def test_killed_from_outside() -> None:
    env = processes()
    env.reset()
    os.kill(pids(env)[0], signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"worker 0 \(environments 0 to 1\) was killed by signal 9"):
        env.step([0] * 4)


def test_a_constructor_fails_here() -> None:
    """One environment is made in this process first, so most mistakes need no worker to be found."""
    with pytest.raises(ValueError, match="no such level"):
        processes(env_kwargs={"fail": "constructor"})


def test_a_constructor_fails_in_a_worker() -> None:
    with pytest.raises(
        WorkerError, match=r"environment 3, in worker 1, failed: ValueError: no such level\n(.*\n)*.*Trace"
    ):
        processes([COUNTER] * 4, env_kwargs=[{}, {}, {}, {"fail": "constructor"}])


def in_a_worker(action: Callable[[], Any]) -> Any:
    """What makes an environment, but in a worker process does this first."""

    def create() -> Counter:
        if multiprocessing.parent_process() is not None:
            action()
        return Counter()

    return create


def test_a_worker_dies_in_a_constructor() -> None:
    with pytest.raises(WorkerError, match=r"worker 1 \(environments 2 to 3\) exited with code 4"):
        processes([Counter, Counter, Counter, in_a_worker(lambda: os._exit(4))])


def test_a_constructor_hangs() -> None:
    with pytest.raises(WorkerError, match=r"worker 1 \(environment 1\) did not answer within 2 s"):
        processes([Counter, in_a_worker(lambda: time.sleep(1000))], num_envs=2, timeout=2.0)


def test_printing_environments(run_python: Callable[..., Any]) -> None:
    done = run_python(
        """
from puffer_numba import vector

from tests.helpers.vector_envs import Counter

class Loud(Counter):
    def step(self, action):
        print("step", flush=True)
        return super().step(action)

with vector.make(Loud, num_envs=2, num_workers=2) as env:
    env.reset()
    env.step([0, 1])
"""
    )
    assert done.stdout.count("step") == 2


PARENT = """
import sys, time
from puffer_numba import vector
env = vector.make("tests.helpers.vector_envs:Counter", num_envs=2, num_workers=2, env_kwargs={"sleep": SLEEP})
env.reset()
print(*[worker.process.pid for worker in env._workers], flush=True)
ACTION
"""


def start_parent(sleep: float, action: str) -> tuple[Any, list[int]]:
    script = PARENT.replace("SLEEP", str(sleep)).replace("ACTION", action)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert parent.stdout is not None
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


@pytest.mark.parametrize(
    ("sleep", "action"),
    [(0, "time.sleep(60)"), (30, "env.send([0, 0]); print('sent', flush=True); time.sleep(60)")],
    ids=["idle", "stepping"],
)
def test_the_parent_is_killed(sleep: float, action: str) -> None:
    parent, workers = start_parent(sleep, action)
    with parent:
        if sleep:
            parent.stdout.readline()
        parent.kill()
        parent.wait()
        assert len(workers) == 2
        assert all(gone(pid) for pid in workers)


def test_ctrl_c() -> None:
    parent, workers = start_parent(0.2, "while True: env.step([0, 0])")
    with parent:
        time.sleep(0.3)
        for pid in (parent.pid, *workers):  # as a terminal does
            os.kill(pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=10)
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert errors.count("Traceback") == 1
        assert all(gone(pid) for pid in workers)


def test_the_script_ends_without_close() -> None:
    parent, workers = start_parent(0, "env.send([0, 0])")
    with parent:
        _, errors = parent.communicate(timeout=10)
        assert errors == ""
        assert parent.returncode == 0
        assert all(gone(pid) for pid in workers)


def test_forgotten_without_close() -> None:
    env = processes()
    env.reset()
    workers = pids(env)
    del env
    gc.collect()
    assert all(gone(pid) for pid in workers)


def test_a_fork_of_the_parent_leaves_the_workers_alone() -> None:
    with processes() as env:
        env.reset()
        child = os.fork()
        if child == 0:
            env.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert env.step([1, 0, 0, 1])[1].tolist() == [1, 0, 0, 1]


LEFT = """
import gc, multiprocessing, os
from puffer_numba import vector
from tests.helpers.processes import gone

mine = f"left-{os.getpid()}"  # the names of this process's semaphores: others run beside it
multiprocessing.current_process()._config["semprefix"] = f"/{mine}"

def use():
    env = vector.make("tests.helpers.vector_envs:Counter", num_envs=2, num_workers=2)
    workers = [worker.process.pid for worker in env._workers]
    env.reset()
    env.step([0, 1])
    assert semaphores()
    env.close()
    return workers

def semaphores():
    return {name for name in os.listdir("/dev/shm") if mine in name}

def left():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), semaphores()

use()  # starts the servers that all later ones share
files, memory = left()
workers = [pid for _ in range(40) for pid in use()]
assert all(gone(pid) for pid in workers)
assert left()[0] <= files
assert left()[1] <= memory
print("nothing")
"""


def test_nothing_is_left_behind(run_python: Callable[..., Any]) -> None:
    """In a process of its own, whose servers no other test has started."""
    assert run_python(LEFT).stdout == "nothing\n"
