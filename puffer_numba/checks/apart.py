"""A process of its own for `check`: what crashes it, or never returns in it, is a finding.

The child is no child of multiprocessing, which would import the main script again: it gets the class by cloudpickle, so
that a class of a script, of a notebook or of a function can be checked as any other. A thread in it looks at where the
main thread is, twice a second, and says where it stays for long.

Leans on how faulthandler writes a traceback: that of a child which a signal has ended.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from types import CodeType, FrameType
from typing import Any, NamedTuple

import cloudpickle

from puffer_numba.checks.findings import Finding
from puffer_numba.jit.compiler import interrupt
from puffer_numba.jit.places import author_place

PATIENCE = 5.0  # seconds in one call of an author's function, or of a kernel
_SILENCE = 60.0  # seconds without a word from the child's watcher
_PERIOD = 0.5
_IN_COMPILED = " in compiled "
_FUNCTIONS = ("reset_env", "step_env", "observe_env")
_CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[2]); from puffer_numba.checks.apart import main; main()"


class Job(NamedTuple):
    """What to check."""

    env_class: Any
    arguments: dict[str, Any]
    steps: int
    simd: bool
    debug: bool = False
    """Whether what is compiled checks the bounds of indices."""


def check_apart(job: Job, patience: float = PATIENCE) -> list[Finding] | None:
    """All findings of `check_here`, from a process of its own; None if the class cannot be brought there."""
    findings = _check_once(job, patience)
    if findings and _IN_COMPILED in findings[-1].message:
        *before, crash = findings
        again = _check_once(job._replace(debug=True), patience) or []
        lines = [crash.message, *(finding.message for finding in again if finding.level == "problem")]
        return [*before, Finding(crash.name, crash.level, "\n".join(lines[:2]))]
    return findings


def _check_once(job: Job, patience: float) -> list[Finding] | None:
    try:
        payload = cloudpickle.dumps((job, patience, _sources(job.env_class)))
    except Exception:  # whatever an author's class holds on to
        return None
    here, there = Pipe()
    with tempfile.TemporaryFile("w+") as crash, here:
        descriptors = there.fileno(), crash.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, json.dumps(descriptors), json.dumps(sys.path)],
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        there.close()
        try:
            files = {_code(job.env_class, name).co_filename for name in _FUNCTIONS}
            return _listen(here, payload, lambda: _how_it_ended(process.wait(), crash, files))
        finally:
            process.kill()
            process.wait()


def _listen(here: Connection, payload: bytes, how_it_ended: Callable[[], str]) -> list[Finding] | None:
    findings: list[Finding] = []
    try:
        here.send_bytes(payload)
        while here.poll(_SILENCE):
            kind, content = here.recv()
            if kind == "finding":
                findings.append(content)
            elif kind == "stuck":
                return [*findings, Finding("runs", "problem", content)]
            elif kind == "done":
                return findings
            elif kind == "failed":
                return None
        return [*findings, Finding("runs", "problem", f"no sign of life for {_SILENCE:.0f} s; the process was ended")]
    except (EOFError, ConnectionError):
        return [*findings, Finding("runs", "problem", how_it_ended())]


def _how_it_ended(code: int, crash: Any, files: set[str]) -> str:
    """The signal that ended the child, and the innermost line of ``files`` that it was at, as faulthandler saw it."""
    name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    crash.seek(0)
    text = crash.read()
    frames = re.findall(r'File "(.*)", line (\d+) in (\w+)', text.partition("Current thread")[2])
    if frames and frames[0][2] in ("_step_alone", "reset"):
        function = "reset_env" if frames[0][2] == "reset" else "step_env or observe_env"
        return f"the process was ended by {name}{_IN_COMPILED}{function}"
    line = next((_show(file, int(number)) for file, number, _ in frames if file in files), "")
    return f"the process was ended by {name}{' at ' if line else ''}{line}"


def _show(filename: str, line: int) -> str:
    text = linecache.getline(filename, line).strip()
    return f"{os.path.basename(filename)}:{line}: {text}"


def _sources(env_class: Any) -> dict[str, Any]:
    """What `linecache` knows of files that are none: a notebook's cells."""
    files = {_code(env_class, name).co_filename for name in _FUNCTIONS}
    return {file: linecache.cache[file] for file in files if file in linecache.cache and not os.path.exists(file)}


def _code(env_class: Any, name: str) -> CodeType:
    return getattr(env_class, name).__code__


# ------------------------------------------------------------------------------------------------------ in the child


def main() -> None:
    """The child: check what is sent, and send what is found."""
    pipe, crash = json.loads(sys.argv[1])
    connection = Connection(pipe)
    faulthandler.enable(crash)
    sender = _Sender(connection)
    try:
        job, patience, sources = cloudpickle.loads(connection.recv_bytes())
        linecache.cache.update(sources)
        from puffer_numba.checks.native import check_here

        _Watcher(job.env_class, sender, patience).start()
        for finding in check_here(job, apart=True):
            sender.send("finding", finding)
        sender.send("done", None)
    except Exception:  # the parent tries it itself, and meets the same
        with contextlib.suppress(OSError):
            sender.send("failed", None)
    os._exit(0)  # not to wait for anything


class _Sender:
    """One pipe for two threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        with self._lock:
            self._connection.send((kind, content))


class _Watcher(threading.Thread):
    """Says that all is well, until one call of an author's function, or of a kernel, takes too long."""

    def __init__(self, env_class: Any, sender: _Sender, patience: float) -> None:
        super().__init__(name="puffer_numba-watcher", daemon=True)
        self._codes = {_code(env_class, name): name for name in _FUNCTIONS}
        self._sender = sender
        self._patience = patience
        self._main = threading.main_thread().ident or 0

    def run(self) -> None:
        seen: FrameType | None = None
        seconds = 0.0
        wait = threading.Event()
        while not wait.wait(_PERIOD):
            frame = interrupt.running(self._main) or self._author_s()
            seconds = seconds + _PERIOD if frame is not None and frame is seen else 0.0
            seen = frame
            try:
                if frame is not None and seconds >= self._patience:
                    self._sender.send("stuck", self._describe(frame, seconds))
                self._sender.send("alive", None)
            except OSError:  # nobody waits any more
                os._exit(1)

    def _author_s(self) -> FrameType | None:
        """The frame of the author's function that the main thread is in, whatever that calls."""
        frame = sys._current_frames().get(self._main)
        while frame is not None and frame.f_code not in self._codes:
            frame = frame.f_back
        return frame

    def _describe(self, frame: FrameType, seconds: float) -> str:
        if frame.f_code not in self._codes:
            return f"{interrupt.describe(frame)} does not return, compiled, in {seconds:g} s; in plain Python it did"
        inner = sys._current_frames().get(self._main) or frame
        return (
            f"{self._codes[frame.f_code]} does not return: after {seconds:g} s it is at {_show(*author_place(inner))}"
        )
