"""Processes that train trials, one after another, and what they tell the process that searches.

Only that process looks into the study. So no trial waits for a database, SQLite has one writer on each machine, and
a trial that takes its process down is one that failed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

import cloudpickle

from puffer_numba import registrations
from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.sweep.messages import Budget, Failure, Message, Outcome, Stop
from puffer_numba.vector.multiprocessing import main_not_imported
from puffer_numba.vector.worker import exit_with_parent

_GRACE = 5.0  # seconds for a process to end by itself


class Worker:
    """A process that trains one trial at a time, of an environment that the main script may have registered."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["puffer_numba.sweep.trial"])  # torch is imported once for all workers
        self.pipe, theirs = context.Pipe()
        # Not daemonic: its environments may be in processes of their own.
        arguments = (theirs, registrations.dumps(), dict(os.environ), os.getcwd())
        self.process = context.Process(target=_work, args=arguments, name="puffer_numba-sweep")
        with main_not_imported(), _ctrl_c_not_inherited():
            self.process.start()
        theirs.close()

    def train(self, config: Config, budget: Budget) -> None:
        """Begin a trial."""
        with suppress(OSError):  # it is no more, as `receive` will say
            self.pipe.send(cloudpickle.dumps((config, budget)))  # parameters may be of a class of the main script

    def give_up(self) -> None:
        """End the trial after the present rollout."""
        with suppress(OSError):
            self.pipe.send(Stop())

    def receive(self) -> Message:
        """The next message; a `Failure` where the process is no more."""
        try:
            message: Message = self.pipe.recv()
            return message
        except (EOFError, OSError):
            self.process.join(_GRACE)
            return Failure(f"the process that trained it ended with exit code {self.process.exitcode}")

    @property
    def is_alive(self) -> bool:
        """Whether it can train another trial."""
        return self.process.exitcode is None

    def hang_up(self) -> None:
        """Let the process end after the present rollout."""
        self.pipe.close()

    def close(self, grace: float = _GRACE) -> None:
        """End the process: by itself within ``grace`` seconds, or else by force."""
        self.hang_up()
        self.process.join(grace)
        if self.is_alive:
            self.process.kill()
            self.process.join()


def ready(workers: Sequence[Worker], timeout: float) -> list[Worker]:
    """Those that have a message, once one has, or ``timeout`` seconds have passed."""
    pipes = wait([worker.pipe for worker in workers], timeout)
    return [worker for worker in workers if worker.pipe in pipes]


@contextmanager
def _ctrl_c_not_inherited() -> Iterator[None]:
    """Processes that start here never see Ctrl-C, which is the searching process's to handle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, registered: bytes, environ: dict[str, str], folder: str) -> None:
    """What the process does: trials, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it was forked from a server that others have started
    os.environ.clear()
    os.environ.update(environ)  # which the server has as they were when it was started
    os.chdir(folder)  # from which the environment's file, if it is in one, is named
    threading.Thread(target=exit_with_parent, daemon=True).start()
    registrations.loads(registered)
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            if not isinstance(job, Stop):  # of a trial that had just ended
                pipe.send(_result(pipe, *cloudpickle.loads(job)))


def _result(pipe: Connection, config: Config, budget: Budget) -> Outcome | Failure:
    from puffer_numba.sweep.trial import TrialError, run_trial

    def stop() -> bool:
        return pipe.poll() and isinstance(pipe.recv(), Stop)

    try:
        return run_trial(config, budget, pipe.send, stop)
    except (APIUsageError, TrialError) as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
