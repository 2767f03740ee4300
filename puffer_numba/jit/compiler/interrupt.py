"""Ctrl-C while compiled code runs that does not return.

Python's own handler of SIGINT runs between two of Python's instructions, so while a kernel runs it waits, for ever if
the kernel loops for ever. The first Ctrl-C is left to it: it is a KeyboardInterrupt as soon as the kernel returns. On
the second one, if the same call of the same kernel still runs, the process ends, and says what ran.

That costs a step nothing: Python writes each signal to a file descriptor at once (`signal.set_wakeup_fd`), a thread
reads it there, and looks at where the main thread is. A program that has set a wakeup descriptor of its own, as asyncio
does, keeps it, and one that handles SIGINT itself is left alone.

Leans on CPython: the innermost frame of a thread that is in a kernel is that of the function which called it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

EXIT_CODE = 130
"""As of a shell's command that Ctrl-C has ended."""

Function = TypeVar("Function", bound=Callable[..., Any])

_calls: set[CodeType] = set()  # functions that call kernels
_thread: threading.Thread | None = None
_pipe: tuple[int, int] | None = None
_STOP = b"\0"  # no signal has this number


def calls_kernels(function: Function) -> Function:
    """A decorator for functions that call kernels themselves."""
    _calls.add(function.__code__)
    return function


def running(thread: int) -> FrameType | None:
    """The frame of the call, where a thread is in a kernel; None where it is not."""
    frame = sys._current_frames().get(thread)
    return frame if frame is not None and frame.f_code in _calls else None


def describe(frame: FrameType) -> str:
    """What runs: ``CartPole.step_env``, or whatever else the environment's kernel calls."""
    outer: FrameType | None = frame
    while outer is not None and "self" not in outer.f_locals:
        outer = outer.f_back
    if outer is None:
        return "a kernel"
    function = "reset_env" if frame.f_code.co_name == "reset" else "step_env"
    return f"{type(outer.f_locals['self']).__name__}.{function}"


def watch() -> None:
    """Watch for Ctrl-C from now on, if this is the main thread, Python handles it, and nobody else watches."""
    global _thread, _pipe
    if _thread is not None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    if _pipe is None:
        _pipe = os.pipe()
        os.set_blocking(_pipe[1], False)
    try:
        before = signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)
    except ValueError:  # an interpreter within another program
        return
    if before not in (-1, _pipe[1]):
        signal.set_wakeup_fd(before)
        return
    _thread = threading.Thread(target=_read, args=(_pipe[0],), name="puffer_numba-interrupt", daemon=True)
    _thread.start()


def _read(descriptor: int) -> None:
    """The thread: each byte is the number of a signal."""
    first: FrameType | None = None
    while (byte := os.read(descriptor, 1)) not in (b"", _STOP):
        if byte[0] != signal.SIGINT:
            continue
        frame = running(threading.main_thread().ident or 0)
        if frame is not None and frame is first and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            _end(describe(frame))
        first = frame


def _end(what: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"\nCtrl-C twice: ended while {what} ran, which did not return.\n".encode())
    os._exit(EXIT_CODE)


def _before_fork() -> None:
    """Stop: a child would have the descriptor without the thread, and Python warns of threads beside a fork."""
    global _thread
    if _thread is not None and _pipe is not None:
        os.write(_pipe[1], _STOP)
        _thread.join()
        _thread = None  # `watch` starts it again, at the next reset


def _after_fork_in_child() -> None:
    global _pipe
    if _pipe is not None:
        with contextlib.suppress(ValueError):  # not the main thread
            before = signal.set_wakeup_fd(-1)
            if before not in (-1, _pipe[1]):
                signal.set_wakeup_fd(before)
        for descriptor in _pipe:
            os.close(descriptor)
        _pipe = None


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
