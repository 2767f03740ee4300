"""Around the compiler."""

from __future__ import annotations

import gc
import sys

import numba
import pytest
from numba.extending import overload

from puffer_numba.jit.compiler import announce  # which listens to the compiler


def test_the_interpreters_limits_are_high_while_something_is_compiled() -> None:
    before, seen = (sys.getrecursionlimit(), gc.get_threshold()), []

    def probe() -> None: ...

    @overload(probe)
    def _probe():
        seen.append((sys.getrecursionlimit(), gc.get_threshold()))
        return lambda: None

    @numba.njit
    def compiled() -> None:
        probe()

    compiled()
    assert all(limit >= 10_000 and threshold[0] >= 50_000 for limit, threshold in seen)
    assert seen
    assert (sys.getrecursionlimit(), gc.get_threshold()) == before


@pytest.fixture
def said(monkeypatch, capsys):
    """What is said of a kernel that is compiled, as soon as that begins."""
    monkeypatch.setattr(announce.threading, "Timer", _AtOnce)

    def compile_kernel(name: str) -> str:
        @numba.njit
        def kernel() -> int:
            return 1

        announce.announce(kernel, name)()
        return capsys.readouterr().err

    return compile_kernel


class _AtOnce:
    """A timer that does not wait."""

    def __init__(self, seconds: float, function, args) -> None:
        self.start = lambda: function(*args)

    def cancel(self) -> None:
        """Too late."""


def test_what_is_compiled_is_said_once_and_again_after_each_edit(said) -> None:
    first = {"reset_env": "a", "step_env": "b", "observe_env": "c"}
    announce.note_edits("my_module.Walk", first)
    assert said("my_module.Walk") == "compiling Walk (first run only)\n"
    assert said("my_module.Walk") == ""  # another of its kernels
    announce.note_edits("my_module.Walk", first)
    assert said("my_module.Walk") == ""  # another object of the class
    for content in ("d", "e"):
        announce.note_edits("my_module.Walk", {**first, "step_env": content})
        assert said("my_module.Walk") == "compiling Walk again: step_env changed\n"
        assert said("my_module.Walk") == ""
    assert said("another_module.Walk") == "compiling Walk (first run only)\n"
