"""Around the compiler: one line when it runs, because then the user waits; and room for its recursion and objects.

In a terminal the line shows, while something is compiled, which kernel that is and for how many seconds now. It is
written over each second, by a thread that sleeps in between, and left as it would be elsewhere. Where stderr is not the
terminal's own, as while a dashboard is shown, nothing is written over.

Leans on Numba's event "numba:compile", whose data have the dispatcher.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numba
from numba.core import event

from puffer_numba.jit.compiler.caching import find_place

find_place()  # before anything is to be compiled
_PATIENCE = 0.5  # seconds
_PERIOD = 1.0  # seconds between two looks at the clock
_ERASE = "\r\x1b[2K"  # the terminal's line
_watches: dict[Any, _Watch] = {}
_silent = False
_DEEP = 10_000  # Numba nests 100 Python frames for each helper in a helper, on top of the user's own
_MANY = 50_000  # objects from which on garbage is collected: Numba makes millions, and hardly any of them are garbage
_normal: tuple[int, tuple[int, int, int]] = sys.getrecursionlimit(), gc.get_threshold()
_compiling = 0
_lock = threading.Lock()


@dataclass
class _Line:
    """What is said, once, of all that is compiled for the same reason."""

    text: str
    is_said: bool = False


_lines: dict[Any, _Line] = {}  # by dispatcher
_newest: dict[str, _Line] = {}  # by name
_contents: dict[str, dict[str, str]] = {}


def announce(dispatcher: Any, name: str) -> Any:
    """Say "compiling NAME (first run only)" on stderr, once, if ``dispatcher`` compiles for half a second or more.

    Of a dotted name, the last part is said. What is compiled after `note_edits` has found some is said again.
    """
    _lines[dispatcher] = _newest.setdefault(name, _Line(f"compiling {_last(name)} (first run only)"))
    return dispatcher


def note_edits(name: str, contents: Mapping[str, str]) -> None:
    """Have what is compiled for ``name`` from now on announced anew, if it is no longer what it was.

    Args:
        name: of an environment, as for `announce`.
        contents: hashes of the functions that it is made of, by their names.
    """
    before = _contents.get(name, contents)
    _contents[name] = dict(contents)
    edited = [function for function, content in contents.items() if content != before[function]]
    if edited:
        _newest[name] = _Line(f"compiling {_last(name)} again: {', '.join(edited)} changed")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def trainer_kernel(function: Callable[..., Any]) -> Any:
    """A decorator: compile a kernel of the trainer, cached on disk, announced like an environment."""
    options: Any = {"cache": True, "nogil": True, "error_model": "numpy"}
    return announce(numba.njit(function, **options), "the trainer's kernels")


def silence() -> None:
    """Say nothing from now on: another process of the same run does."""
    global _silent
    _silent = True


class _Watch(threading.Thread):
    """Says that something is compiled, from the moment that this takes long until it has ended."""

    def __init__(self, line: _Line, kernel: str) -> None:
        super().__init__(name="puffer_numba-announce", daemon=True)
        self._line, self._kernel = line, kernel
        self._ended = threading.Event()

    def run(self) -> None:
        started = time.perf_counter()
        if self._ended.wait(_PATIENCE) or _silent:
            return
        is_terminal = sys.stderr is sys.__stderr__ and sys.stderr is not None and sys.stderr.isatty()
        terminal = sys.stderr
        if not is_terminal:
            self._say()
            return
        seconds = 0.0
        while seconds == 0 or not self._ended.wait(_PERIOD):
            seconds = time.perf_counter() - started
            terminal.write(f"{_ERASE}{self._line.text}: {self._kernel}, {seconds:.0f} s")
            terminal.flush()
        terminal.write(_ERASE)
        self._say()
        terminal.flush()

    def _say(self) -> None:
        if not self._line.is_said:
            self._line.is_said = True
            print(self._line.text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Write no more, from when this returns."""
        self._ended.set()
        self.join()


def _make_room(change: int) -> None:
    """Raise the interpreter's limits while anything is compiled."""
    global _compiling, _normal
    with _lock:
        if _compiling == 0:
            _normal = sys.getrecursionlimit(), gc.get_threshold()
            sys.setrecursionlimit(max(_normal[0], _DEEP))
            first, *others = _normal[1]
            gc.set_threshold(max(first, _MANY) if first else 0, *others)  # 0 is never
        _compiling += change
        if _compiling == 0:
            sys.setrecursionlimit(_normal[0])
            gc.set_threshold(*_normal[1])


class _Listener(event.Listener):
    def on_start(self, event: Any) -> None:
        _make_room(1)
        dispatcher = event.data["dispatcher"]
        if dispatcher in _lines:
            watch = _watches[dispatcher] = _Watch(_lines[dispatcher], dispatcher.py_func.__name__)
            watch.start()

    def on_end(self, event: Any) -> None:
        _make_room(-1)
        watch = _watches.pop(event.data["dispatcher"], None)
        if watch is not None:
            watch.end()


event.register("numba:compile", _Listener())
