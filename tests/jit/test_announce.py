"""Around the compiler."""

from __future__ import annotations

import sys

import numba
from numba.extending import overload

import puffer_numba.jit  # noqa: F401  # listens to the compiler


def test_the_recursion_limit_is_high_while_something_is_compiled() -> None:
    before, seen = sys.getrecursionlimit(), []

    def probe() -> None: ...

    @overload(probe)
    def _probe():
        seen.append(sys.getrecursionlimit())
        return lambda: None

    @numba.njit
    def compiled() -> None:
        probe()

    compiled()
    assert min(seen) >= 10_000
    assert sys.getrecursionlimit() == before
