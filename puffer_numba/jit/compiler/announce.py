"""Around the compiler: one line when it runs, because then the user waits; and room for its recursion and objects.

Leans on Numba's event "numba:compile", whose data have the dispatcher.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

_PATIENCE = 0.5  # seconds
_names: dict[Any, str] = {}
_timers: dict[Any, threading.Timer] = {}
_said: set[str] = set()
_silent = False
_DEEP = 10_000  # Numba nests 100 Python frames for each helper in a helper, on top of the user's own
_MANY = 50_000  # objects from which on garbage is collected: Numba makes millions, and hardly any of them are garbage
_normal: tuple[int, tuple[int, int, int]] = sys.getrecursionlimit(), gc.get_threshold()
_compiling = 0
_lock = threading.Lock()


def announce(dispatcher: Any, name: str) -> Any:
    """Say "compiling NAME (first run only)" on stderr, once, if ``dispatcher`` compiles for half a second or more."""
    _names[dispatcher] = name
    return dispatcher


def trainer_kernel(function: Callable[..., Any]) -> Any:
    """A decorator: compile a kernel of the trainer, cached on disk, announced like an environment."""
    options: Any = {"cache": True, "nogil": True, "error_model": "numpy"}
    return announce(numba.njit(function, **options), "the trainer's kernels")


def silence() -> None:
    """Say nothing from now on: another process of the same run does."""
    global _silent
    _silent = True


def _say(name: str) -> None:
    if _silent or name in _said:
        return
    _said.add(name)
    print(f"compiling {name} (first run only)", file=sys.stderr, flush=True)


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
        if dispatcher in _names:
            timer = threading.Timer(_PATIENCE, _say, (_names[dispatcher],))
            timer.daemon = True
            _timers[dispatcher] = timer
            timer.start()

    def on_end(self, event: Any) -> None:
        _make_room(-1)
        timer = _timers.pop(event.data["dispatcher"], None)
        if timer is not None:
            timer.cancel()


event.register("numba:compile", _Listener())
