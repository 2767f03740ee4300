"""One line when a kernel is compiled rather than loaded from the cache, because then the user waits."""

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


def announce(dispatcher: Any, name: str) -> Any:
    """Say "compiling NAME (first run only)" on stderr, once, if ``dispatcher`` compiles for half a second or more."""
    _names[dispatcher] = name
    return dispatcher


def trainer_kernel(function: Callable[..., Any]) -> Any:
    """A decorator: compile a kernel of the trainer, cached on disk, announced like an environment."""
    options: Any = {"cache": True, "nogil": True, "error_model": "numpy"}
    return announce(numba.njit(function, **options), "the trainer's kernels")


def _say(name: str) -> None:
    if name in _said:
        return
    _said.add(name)
    print(f"compiling {name} (first run only)", file=sys.stderr, flush=True)


class _Listener(event.Listener):
    def on_start(self, event: Any) -> None:
        dispatcher = event.data["dispatcher"]
        if dispatcher in _names:
            timer = threading.Timer(_PATIENCE, _say, (_names[dispatcher],))
            timer.daemon = True
            _timers[dispatcher] = timer
            timer.start()

    def on_end(self, event: Any) -> None:
        timer = _timers.pop(event.data["dispatcher"], None)
        if timer is not None:
            timer.cancel()


event.register("numba:compile", _Listener())
