"""`Ray`, with a real one on this machine: results, batches, failures, and what is left behind.

Each actor is a process that starts and imports for seconds. So there are no more of them than a promise needs, and
one set of them keeps several.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from puffer_numba import vector
from puffer_numba.env import APIUsageError
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.extras import MissingExtra
from puffer_numba.vector import Ray, WorkerError
from tests.helpers.command_line import at_work_in
from tests.helpers.paths import ROOT
from tests.helpers.processes import gone
from tests.helpers.vector_envs import Counter, Rows, by_environment, trajectory

ray = pytest.importorskip("ray")
from ray.util import placement_group, remove_placement_group  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray's own sockets and logs
]

# Ray's workers are nice to others, by 15, and beside other tests on all cores they would hardly get to run.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112

COUNTER = "tests.helpers.vector_envs:Counter"
CPUS = 4


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """As a program that has joined a cluster."""
    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield
    ray.shutdown()


def actors(creator: Any = COUNTER, num_envs: int = 4, **options: Any) -> Ray:
    env = vector.make(creator, num_envs=num_envs, **{"backend": "ray", "num_workers": 2, **options})
    assert isinstance(env, Ray)
    return env


def busy_cpus() -> float:
    return CPUS - ray.available_resources().get("CPU", 0)


def all_cpus_are_free(within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while busy_cpus():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("creator", "kwargs", "num_workers"),
    [
        (COUNTER, {"infos": 10}, 2),
        (CartPole, {"num_envs": 3}, 2),
        ("pettingzoo:classic.rps.rps", {"max_cycles": 3}, 1),
    ],
    ids=["Gymnasium", "JitEnv", "PettingZoo"],
)
def test_same_trajectories_as_in_this_process(creator: Any, kwargs: Any, num_workers: int) -> None:
    expected = trajectory(vector.make(creator, num_envs=4, backend="serial", env_kwargs=kwargs))
    found = trajectory(actors(creator, env_kwargs=kwargs, num_workers=num_workers))
    assert len(found) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(found[:-1], expected[:-1], strict=True))
    assert dict(found[-1]) == pytest.approx(dict(expected[-1]))


def test_same_trajectories_in_batches() -> None:
    expected = by_environment(vector.make(CartPole, num_envs=4), 60)
    found = by_environment(actors(CartPole, batch_size=2), 60)
    assert all(map(np.array_equal, flat(found), flat(expected)))


def flat(seen: Any) -> list[Any]:
    return [array for row in seen for step in row for array in step]


def test_what_is_asked_of_it() -> None:
    with actors() as env:
        assert (env.num_envs, env.num_agents, env.agents_per_batch, env.num_workers) == (4, 4, 4, 2)
        env.async_reset(seed=0)
        env.recv()
        for turn in range(5):
            env.send([1, 1, 1, 1])
            if turn == 4:
                assert env.render().shape == (2, 2, 3)
                assert env.log() == {"episodes": 4.0, "episode_return": 5.0, "episode_length": 5.0}
            assert env.recv()[1].tolist() == [1, 1, 1, 1]
        assert env.observations.flags.writeable  # Ray's own arrays are read-only
        with pytest.raises(APIUsageError, match="Ray cannot be bound to other buffers"):
            env.bind(env.buffers)
        assert env.get_attr("length") == [5, 5, 5, 5]
        env.set_attr("length", [1, 2, 3, 4])
        assert env.get_attr("length", [3, 1]) == [4, 2]
        assert [image.shape for image in env.call("render")] == [(2, 2, 3)] * 4


def test_observations_that_go_through_the_object_store() -> None:
    """Ray sends what is small within its answer, and keeps the rest in shared memory."""
    with actors(Rows, num_envs=2, num_workers=1, env_kwargs={"size": 100_000}) as env:
        observations, _ = env.reset(seed=5)
        assert observations.shape == (4, 100_000)
        assert observations[:, -1].tolist() == [5, 5, 16, 16]


def test_batches_of_the_first_ready_from_as_many_workers_as_the_cluster_has_cpus() -> None:
    with actors(num_workers="auto", batch_size=2, zero_copy=False, env_kwargs={"length": 1000}) as env:
        assert env.num_workers == busy_cpus() == CPUS
        env.async_reset(seed=5)
        assert env.agents_per_batch == 2
        steps = np.zeros(4, int)
        sent: dict[int, int] = {}
        for turn in range(60):
            observations, rewards, _, _, _, env_ids, masks = env.recv()
            assert masks.all()
            assert observations[:, 0].tolist() == [5 + k for k in env_ids]
            assert observations[:, 1].tolist() == [steps[k] for k in env_ids]
            assert rewards.tolist() == [sent.get(int(k), 0) for k in env_ids]
            sent.update({int(k): (turn + int(k)) % 2 for k in env_ids})
            env.send([(turn + int(k)) % 2 for k in env_ids])
            steps[env_ids] += 1
        assert steps.sum() == 120
        assert (steps > 0).all()
        with pytest.raises(APIUsageError, match=r"step\(\) needs batch_size == num_envs; with batches of 2"):
            env.step([0, 0])
        env.set_attr("sleep", [1.0, 0.002, 0.002, 0.002])
        order = []
        for _ in range(30):
            *_, env_ids, _ = env.recv()
            order += env_ids.tolist()
            env.send([0, 0])
        assert order.count(0) <= 4
    assert all_cpus_are_free()
    assert ray.is_initialized()  # it is the program's own


def test_creators_that_cannot_be_imported_elsewhere() -> None:
    class Mine(Counter):
        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            return observation, 3 * reward, *rest

    with actors(lambda: Mine(length=7), num_envs=2, num_workers=1) as env:
        env.reset()
        assert env.step([1, 0])[1].tolist() == [3, 0]
    gymnasium.register("OfThisScript-v0", entry_point=lambda: Mine(length=7), max_episode_steps=1)
    try:
        with actors(lambda: gymnasium.make("OfThisScript-v0"), num_envs=2, num_workers=1) as env:
            env.reset()
            assert env.step([1, 0])[3].tolist() == [True, True]
    finally:
        del gymnasium.registry["OfThisScript-v0"]


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("raise", r"environment 2, in worker 1, failed: ValueError: the wheel came off\n(.*\n)*.*break_d"),
        ("_exit", r"worker 1 \(environments 2 to 3\) died: .*backend='serial' runs"),
        ("hang", r"worker 1 \(environments 2 to 3\) did not answer within 1 s; .* larger timeout"),
    ],
)
def test_an_actor_fails(fail: str, message: str) -> None:
    env = actors(env_kwargs={"fail": fail, "fail_seed": 2})
    env.reset(seed=0)
    env.step([0] * 4)
    env.step([0] * 4)
    if fail == "hang":
        env._timeout = 1.0  # too short for actors to start in
    with pytest.raises(WorkerError, match=message):
        env.step([0] * 4)
    with pytest.raises(APIUsageError, match="Ray is closed; make a new one"):
        env.step([0] * 4)
    env.close()
    assert all_cpus_are_free()


def test_killed_from_outside() -> None:
    env = actors(num_envs=2, num_workers=1)
    env.reset()
    ray.kill(env._actors[0])

    def go_on() -> None:  # it may answer some more before it is dead
        for _ in range(1000):
            env.step([0] * 2)

    with pytest.raises(WorkerError, match=r"worker 0 \(environments 0 to 1\) died"):
        go_on()


def test_a_constructor_fails() -> None:
    with pytest.raises(ValueError, match="no such level"):
        actors(env_kwargs={"fail": "constructor"})
    with pytest.raises(WorkerError, match=r"environment 3, in worker 1, failed: ValueError: no such level"):
        actors([COUNTER] * 4, env_kwargs=[{}, {}, {}, {"fail": "constructor"}])
    assert all_cpus_are_free()


def test_a_cluster_that_is_too_small() -> None:
    others = placement_group([{"CPU": CPUS - 1}])
    ray.get(others.ready())
    message = r"did not answer within 4 s; .*reserves one CPU of the cluster, of which [01] are free"
    with pytest.raises(WorkerError, match=message):
        actors(timeout=4.0)
    remove_placement_group(others)
    assert all_cpus_are_free()


def test_forgotten_without_close() -> None:
    env = actors(num_envs=2, num_workers=1)
    env.reset()
    assert busy_cpus() == 1
    del env
    assert all_cpus_are_free()


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "ray", None)
        without.setattr("puffer_numba.vector.factory.cluster_cores", lambda: 2)
        with pytest.raises(MissingExtra, match=re.escape('pip install "puffer_numba[ray]"')):
            actors()


def test_the_cluster_of_an_address(run_python: Callable[..., Any]) -> None:
    code = """
import ray
from puffer_numba import vector
with vector.make("gym:CartPole-v1", num_envs=2, num_workers=1, backend="ray") as env:
    env.reset(seed=0)
    total, free = ray.cluster_resources()["CPU"], ray.available_resources()["CPU"]
    print(env.num_workers, total, total - free)
print(ray.is_initialized())
"""
    done = run_python(code, RAY_ADDRESS=ray.get_runtime_context().gcs_address)
    assert done.stdout.split() == ["1", f"{CPUS}.0", "1.0", "False"]
    assert all_cpus_are_free()


def test_the_trainer_learns_the_same_in_a_cluster() -> None:
    from puffer_numba.pufferl import make_trainer

    learned = []
    for backend in ("serial", "ray"):
        overrides = {"vec.backend": backend, "env.num_envs": 4, "train.horizon": 16, "train.num_minibatches": 1}
        workers = {"vec.num_workers": 2} if backend == "ray" else {}
        trainer = make_trainer("gym:CartPole-v1", {**overrides, **workers})
        trainer.evaluate()
        trainer.train()
        trainer.close()
        learned.append(trainer.policy.state_dict())
    assert all((learned[0][name] == weight).all() for name, weight in learned[1].items())


OWN_RAY = """
import sys
from pathlib import Path
from puffer_numba import vector

def children():
    found, todo = [], [str(PID)]
    while todo:
        pid = todo.pop()
        for task in Path(f"/proc/{pid}/task").iterdir():
            todo += (task / "children").read_text().split()
        found.append(pid)
    return found[1:]

import os
PID = os.getpid()
first = vector.make("gym:CartPole-v1", num_envs=2, num_workers=1, backend="ray")
second = vector.make("gym:CartPole-v1", num_envs=2, num_workers=1, backend="ray")
import ray
started = children()
for env in (first, second):
    env.reset(seed=0)
    print(env.step([0, 1])[1].tolist())
first.close()
print(ray.is_initialized())
second.close()
print(ray.is_initialized())
third = vector.make("gym:CartPole-v1", num_envs=2, num_workers=1, backend="ray")
third.reset(seed=0)
print(*started, *children())
"""


def shared_memory() -> set[str]:
    """Names of it, without semaphores: other test processes have some for a while, and Ray has none."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith("sem.")}


def test_a_ray_of_its_own(run_python: Callable[..., Any]) -> None:
    """Started with the first object, quietly; gone with the last one. And again: gone with the script."""
    before = shared_memory()
    done = run_python(OWN_RAY)
    *lines, pids = done.stdout.splitlines()
    assert lines == ["[1.0, 1.0]", "[1.0, 1.0]", "True", "False"]
    assert done.stderr == ""
    assert len(pids.split()) > 6
    assert all(gone(int(pid), 10) for pid in pids.split())
    assert shared_memory() <= before


def test_an_environment_in_a_file_is_sent_to_machines_that_do_not_have_it(tmp_path: Path) -> None:
    template = ROOT / "puffer_numba" / "cli" / "templates" / "discrete.py.txt"
    file = tmp_path / "sent_away.py"
    file.write_text(template.read_text())
    with at_work_in(tmp_path), actors("sent_away.py:MyWalk", num_envs=1, num_workers=1) as env:
        assert type(env.driver_env).__module__ == "sent_away"
        env.reset(seed=3)
        there = [env.step(np.array([2]))[0].copy() for _ in range(5)]
        with vector.make("sent_away.py:MyWalk") as env_here:
            env_here.reset(seed=3)
            here = [env_here.step(np.array([2]))[0].copy() for _ in range(5)]
    np.testing.assert_array_equal(there, here)
