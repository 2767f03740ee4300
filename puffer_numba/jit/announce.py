"""Around the compiler: one line when it runs, because then the user waits; and room for its recursion."""

from __future__ import annotations

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
_normal_limit: int | None = None
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


def _allow_recursion(change: int) -> None:
    """Raise Python's recursion limit while anything is compiled."""
    global _compiling, _normal_limit
    with _lock:
        if _compiling == 0:
            _normal_limit = sys.getrecursionlimit()
            sys.setrecursionlimit(max(_normal_limit, _DEEP))
        _compiling += change
        if _compiling == 0 and _normal_limit is not None:
            sys.setrecursionlimit(_normal_limit)


class _Listener(event.Listener):
    def on_start(self, event: Any) -> None:
        _allow_recursion(1)
        dispatcher = event.data["dispatcher"]
        if dispatcher in _names:
            timer = threading.Timer(_PATIENCE, _say, (_names[dispatcher],))
            timer.daemon = True
            _timers[dispatcher] = timer
            timer.start()

    def on_end(self, event: Any) -> None:
        _allow_recursion(-1)
        timer = _timers.pop(event.data["dispatcher"], None)
        if timer is not None:
            timer.cancel()


event.register("numba:compile", _Listener())
