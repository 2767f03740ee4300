"""Being asked to end: SIGTERM (Slurm, ``docker stop``, ``kill``) and SIGHUP (a terminal that is closed).

By default they end a process on the spot, with all that it has learned. Here they raise `Terminated` in the main
thread, as Ctrl-C raises `KeyboardInterrupt`, so that what is open is saved and closed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(SystemExit):
    """A signal asks this process to end. Where nothing catches it, Python exits with 128 and the signal's number.

    Attributes:
        code: the exit code.
        name: of the signal, ``SIGTERM``.
        message: what there is to say; in the command ``puffer``, its last line.
    """

    code: int

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(128 + number)
        self.name, self.message = signal.Signals(number).name, message


@contextmanager
def termination_raises() -> Iterator[None]:
    """While this lasts, SIGTERM and SIGHUP raise `Terminated`: the first of them, so that the rest is done in peace.

    A signal that the program handles itself, or ignores, as under ``nohup``, is left alone. Outside of the main thread,
    which alone may say what signals do, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise Terminated(number)

    ours = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
