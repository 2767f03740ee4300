"""What a worker process of `Multiprocessing` does, and how the two talk.

Commands and answers are one byte for each worker in shared memory. A worker waits at its own semaphore; when it has
done what it was told, it posts the one that the parent waits at. Actions and results lie in shared memory, and infos of
numbers do, too; only other infos, calls and errors are pickled, and go through a pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import cloudpickle
import numba

from puffer_numba import registrations
from puffer_numba.env import APIUsageError, Buffers, NumberedInfos
from puffer_numba.vector.batches import Failure
from puffer_numba.vector.group import EnvGroup, Signature, buffers_of_rows
from puffer_numba.vector.infos import InfoWriter
from puffer_numba.vector.memory import SharedArrays

STEP, CALL, CLOSE = range(3)  # commands
RUNNING, DONE, NUMBERS, MESSAGE, FAILED = range(5)  # answers, at first RUNNING; the last two send something by pipe

_SPIN = 50e-6  # seconds
_GRACE = 10.0  # seconds from a SIGTERM until a worker ends


@dataclass
class WorkerSetup:
    """All that a worker is told when it starts, besides what is shared."""

    number: int
    jobs: bytes
    """Pickled by cloudpickle, as functions of the main script cannot be imported in another process."""
    first: int
    """Number of its first environment."""
    environments: int
    signature: bytes
    """Pickled `Signature`."""
    counts_episodes: bool
    seed: int
    spins: bool
    """Whether to try for a while before it blocks; only where there are cores to spare."""
    environ: dict[str, str]
    registered: bytes
    """What the parent has registered, by `registrations.dumps`."""


def buffers_of(arrays: dict[str, Any]) -> Buffers:
    """The buffers among the shared arrays."""
    return Buffers._make(arrays[name] for name in Buffers._fields)


def run_worker(setup: WorkerSetup, memory: SharedArrays, pipe: Connection, go: Any, done: Any) -> None:
    """Make environments and do what the parent says, until it says `CLOSE` or is no more."""
    os.setpgid(0, 0)  # what environments start belongs to this group, which ends with the worker; see `end_group`
    leave_signals_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()  # a server that workers are forked from has the variables of when it was started
    os.environ.update(setup.environ)
    use_one_thread()
    arrays = memory.arrays()
    answers, commands, number = arrays["answers"], arrays["commands"], setup.number

    def answer(kind: int, content: Any = None) -> None:
        pickled = _dumps(content) if kind >= MESSAGE else b""
        answers[number] = kind
        done.release()
        if kind >= MESSAGE:  # after the post, so that the parent reads: a pipe holds only so much
            with suppress(OSError):  # the parent is closing
                pipe.send_bytes(pickled)

    def answer_infos(infos: NumberedInfos) -> None:
        kind = writer.write(infos) if infos else None
        if kind is not None:
            arrays["info_kinds"][number] = kind
        answer(DONE if not infos else MESSAGE if kind is None else NUMBERS, infos)

    writer = InfoWriter(arrays["infos"][setup.first : setup.first + setup.environments], setup.first)
    group: EnvGroup | None = None
    try:
        registrations.loads(setup.registered)
        group = _make_group(setup, arrays)
        group.make()
        answer(DONE)
        while True:
            if not (setup.spins and try_for_a_while(go)):
                go.acquire()
            command = commands[number]
            if command == STEP:
                answer_infos(group.step())
            elif command == CALL:
                method, *arguments = pipe.recv()
                answer(MESSAGE, getattr(group, method)(*arguments))
            else:
                group.close()
                return
    except BaseException as error:  # an environment may also call sys.exit
        at_work = setup.first if group is None else group.at_work
        answer(FAILED, Failure.of(error, at_work))
        if group is not None:
            with suppress(Exception):
                group.close()


def try_for_a_while(semaphore: Any) -> bool:
    """Whether a semaphore could be had within some 50 microseconds; blocking and being woken costs about 10."""
    until = time.perf_counter() + _SPIN
    while time.perf_counter() < until:
        if semaphore.acquire(False):
            return True
    return False


def _make_group(setup: WorkerSetup, arrays: dict[str, Any]) -> EnvGroup:
    signature: Signature = pickle.loads(setup.signature)
    rows = slice(setup.first * signature.num_agents, (setup.first + setup.environments) * signature.num_agents)
    buffers = buffers_of_rows(buffers_of(arrays), rows)
    episodes = None
    if setup.counts_episodes:
        episodes = (arrays["episode_returns"][rows], arrays["episode_lengths"][rows])
    return EnvGroup(pickle.loads(setup.jobs), setup.first, signature, buffers, episodes, setup.seed)


def exit_with_parent() -> None:
    """End this process when the parent has, however that came about, also in the middle of a step."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _end_with_parent() -> None:
    """Likewise, with all that the environments have started."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    end_group(os.getpid())
    os._exit(1)


def end_group(pid: int) -> None:
    """End a worker, if it is still there, and what its environments have started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def leave_signals_to_parent() -> None:
    """Ctrl-C, SIGTERM and SIGHUP often reach all processes of a run; the parent saves what there is, and ends them.

    After a SIGTERM it has some seconds for that: who sent it may want to end this process alone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, lambda *_: None)  # what is ignored, processes that an environment starts would be too
    signal.signal(signal.SIGTERM, _end_soon)


def _end_soon(number: int, frame: FrameType | None) -> None:
    timer = threading.Timer(_GRACE, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()


def use_one_thread() -> None:
    """Numba, and what is still to be imported: workers are as many as there are cores."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    numba.config.reload_config()
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _dumps(content: Any) -> bytes:
    try:
        return pickle.dumps(content)
    except Exception:  # what the main script defines, which cannot be imported here
        try:
            return cloudpickle.dumps(content)
        except Exception as error:
            raise _not_sent(content, error) from error


def _not_sent(content: Any, error: Exception) -> APIUsageError:
    """What is wrong with infos, or with the results of a call."""
    what = "what it returned"
    if isinstance(content, NumberedInfos):
        items = [(number, item) for number, info in content.by_environment() for item in info.items()]
        number, (key, _) = next((n, item) for n, item in items if not _can_be_sent(item))
        what = f"environment {number}'s info[{key!r}]"
    return APIUsageError(
        f"{what} cannot be sent from a worker process: {type(error).__name__}: {error}; leave it out, or use "
        "backend='serial'."
    )


def _can_be_sent(content: Any) -> bool:
    try:
        cloudpickle.dumps(content)
    except Exception:
        return False
    return True
