"""Around the compiler."""

from __future__ import annotations

import gc
import io
import sys
import time

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
    monkeypatch.setattr(announce, "_PATIENCE", 0.0)

    def compile_kernel(name: str) -> str:
        @numba.njit
        def kernel() -> int:
            return 1

        announce.announce(kernel, name)()
        return capsys.readouterr().err

    return compile_kernel


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


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("of_its_own", [True, False])
def test_a_terminal_shows_that_it_goes_on(of_its_own, monkeypatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(announce, "_PATIENCE", 0.0)
    monkeypatch.setattr(announce, "_PERIOD", 0.01)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "__stderr__", terminal if of_its_own else sys.__stderr__)  # else as a dashboard has it
    name = f"terminal.Walk{of_its_own}"
    shown = f"compiling Walk{of_its_own} (first run only)"

    def slow() -> None: ...

    @overload(slow)
    def _slow():
        until = time.monotonic() + 30
        while terminal.getvalue().count(shown) < 1 + 2 * of_its_own and time.monotonic() < until:
            time.sleep(0.01)
        return lambda: None

    @numba.njit
    def step() -> None:
        slow()

    announce.announce(step, name)()
    if of_its_own:
        *passing, last = terminal.getvalue().split("\r\x1b[2K")
        assert passing[0] == ""
        assert set(passing[1:]) == {f"{shown}: step, 0 s"}
        assert last == f"{shown}\n"
    else:
        assert terminal.getvalue() == f"{shown}\n"
