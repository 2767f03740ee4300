"""Around the compiler."""

from __future__ import annotations

import gc
import sys

import numba
from numba.extending import overload

import puffer_numba.jit  # noqa: F401  # listens to the compiler


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
