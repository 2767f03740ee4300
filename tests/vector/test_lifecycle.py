"""What environments in processes bring with them and leave behind: ports, processes, registrations."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

from puffer_numba import registrations, vector
from puffer_numba.env import APIUsageError
from puffer_numba.vector import WorkerError
from tests.helpers.paths import ROOT
from tests.helpers.processes import gone
from tests.helpers.vector_envs import Simulator

pytestmark = pytest.mark.slow  # together: most start processes or train

BACKENDS = ["serial", "multiprocessing"]


def simulators(folder: Path, backend: str = "multiprocessing", **kwargs: Any) -> Any:
    """Four, on two workers."""
    workers = {"num_workers": 2} if backend != "serial" else {}
    env = vector.make(Simulator, num_envs=4, backend=backend, env_kwargs={"folder": str(folder), **kwargs}, **workers)
    env.reset()
    return env


def programs(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in folder.glob("pid-*")]


def closed(folder: Path, within: float = 3.0) -> list[str]:
    """The seeds of those that have been closed, which may take a moment."""
    deadline = time.monotonic() + within
    while len(list(folder.glob("closed-*"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    return sorted(file.name[-1] for file in folder.glob("closed-*"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_port_is_free_again_before_others_take_it(tmp_path: Path, backend: str) -> None:
    """Environment 0 is made twice, to see its spaces first; it would not get its port while another has it."""
    with simulators(tmp_path, backend) as env:
        assert env.step([0] * 4)[1].tolist() == [0] * 4
        assert len(list(tmp_path.glob("port-*"))) == 4
    assert closed(tmp_path) == list("0123")
    assert all(map(gone, programs(tmp_path)))


@pytest.mark.parametrize(
    ("fail", "kind", "message"),
    [
        ("raise", WorkerError, r"environment 2, in worker 1, failed: ValueError: the wheel came off"),
        (
            "info",
            APIUsageError,
            r"environment 2's info\['lock'\] cannot be sent from a worker process: TypeError: cannot pickle "
            r"'_thread.lock' object; leave it out, or use backend='serial'",
        ),
    ],
)
def test_where_one_fails_all_are_closed(tmp_path: Path, fail: str, kind: type[Exception], message: str) -> None:
    env = simulators(tmp_path, fail=fail, fail_seed=2)
    env.step([0] * 4)
    env.step([0] * 4)
    with pytest.raises(kind, match=message):
        env.step([0] * 4)
    assert closed(tmp_path) == list("0123")
    assert all(map(gone, programs(tmp_path)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_one_cannot_be_made_the_others_are_closed(tmp_path: Path, backend: str) -> None:
    (tmp_path / "port-3").touch()  # taken by another program
    with pytest.raises((WorkerError, FileExistsError), match="File exists"):
        simulators(tmp_path, backend)
    assert closed(tmp_path, within=0.5) == list("012")
    assert all(map(gone, programs(tmp_path)))


def test_what_a_worker_has_started_ends_with_it(tmp_path: Path) -> None:
    env = simulators(tmp_path, fail="kill", fail_seed=2)
    env.step([0] * 4)
    env.step([0] * 4)
    with pytest.raises(WorkerError, match=r"worker 1 \(environments 2 to 3\) was killed by signal 9"):
        env.step([0] * 4)
    assert all(map(gone, programs(tmp_path)))


@pytest.mark.parametrize(("end", "is_closed"), [("", True), ("os.kill(os.getpid(), 9)", False)], ids=["ends", "killed"])
def test_the_parent(tmp_path: Path, end: str, is_closed: bool) -> None:
    script = f"""
import os
from puffer_numba import vector
from tests.helpers.vector_envs import Simulator
env = vector.make(Simulator, num_envs=4, num_workers=2, env_kwargs={{"folder": {str(tmp_path)!r}}})
env.reset()
{end}
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stderr == "" or not is_closed
    assert len(programs(tmp_path)) == 4
    assert all(map(gone, programs(tmp_path)))
    assert closed(tmp_path, within=0.0) == (list("0123") if is_closed else ["0"])  # the first one, to see its spaces


def test_a_daemon_cannot_have_workers(run_python: Callable[..., Any]) -> None:
    done = run_python(
        """
import multiprocessing
from puffer_numba import vector
from puffer_numba.env import APIUsageError

def use():
    try:
        vector.make("gym:CartPole-v1", num_envs=2, num_workers=2)
    except APIUsageError as error:
        print(error, flush=True)

process = multiprocessing.get_context("fork").Process(target=use, daemon=True)
process.start()
process.join()
"""
    )
    assert done.stdout.startswith("backend 'multiprocessing' starts processes, which a daemonic process may not")


REGISTERED = """
import gymnasium, puffer_numba
from gymnasium.spaces import Discrete
from puffer_numba import vector
from tests.helpers.vector_envs import Rows

class Mine(gymnasium.Env):
    observation_space = action_space = Discrete(3)
    def __init__(self, start=0): self.start = start
    def reset(self, *, seed=None, options=None): return self.start, {}
    def step(self, action): return int(action), 1.0, False, False, {}

class Own(Rows):
    pass

gymnasium.register("Mine-v0", entry_point="__main__:Mine", kwargs={"start": 2})
gymnasium.register("Class-v0", entry_point=Mine)
gymnasium.register("Lambda-v0", entry_point=lambda: Mine(1))
gymnasium.register("Counter-v7", entry_point="tests.helpers.vector_envs:Counter", max_episode_steps=2)
gymnasium.register("CartPole-v1", entry_point="gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=3)
puffer_numba.register("own", Own, size=2)
for name, creator in {
    "name": "gym:Mine-v0",
    "function": lambda: gymnasium.make("Mine-v0"),
    "class": lambda: gymnasium.make("Class-v0", disable_env_checker=True),
    "lambda": "gym:Lambda-v0",
    "module": lambda: gymnasium.make("Counter-v7"),
    "changed": "gym:CartPole-v1",
    "ours": lambda: puffer_numba.make("own"),
}.items():
    with vector.make(creator, num_envs=2, num_workers=2) as env:
        first = env.reset(seed=0)[0][0].tolist()
        print(name, "" if name == "changed" else first, end=" ")
        for _ in range(3):
            env.step(env.action_space.sample())
        print(env.truncations.tolist())
"""


def test_environments_that_the_script_has_registered(run_python: Callable[..., Any]) -> None:
    done = run_python(REGISTERED)
    assert done.stdout.splitlines() == [
        "name [2] [False, False]",
        "function [2] [False, False]",
        "class [0] [False, False]",
        "lambda [1] [False, False]",
        "module [0.0, 0.0, 0.6369616985321045] [False, False]",
        "changed  [True, True]",
        "ours [0.0, 0.0] [False, False]",
    ]


def test_a_registration_that_cannot_be_sent_says_so_where_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not stand in the way of others."""
    lock = threading.Lock()
    spec = EnvSpec("Held-v0", entry_point=lambda: Simulator(str(lock)))  # type: ignore[arg-type]
    monkeypatch.setitem(gymnasium.registry, "Held-v0", spec)
    sent = registrations.dumps()
    monkeypatch.setattr(gymnasium.envs.registration, "registry", {})
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    registrations.loads(sent)
    assert len(gymnasium.registry) > 50
    with pytest.raises(APIUsageError, match="'Held-v0' cannot be sent to a worker process: TypeError: cannot pickle"):
        gymnasium.make("Held-v0")
