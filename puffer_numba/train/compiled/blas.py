"""One thread for BLAS, whose products here are so small that threads would wait for one another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def _libraries() -> list[Any]:
    """threadpoolctl's controllers of SciPy's BLAS, which Numba calls; where it has none alone, of all."""
    import scipy.linalg.cython_blas  # noqa: F401 - loads it
    from threadpoolctl import ThreadpoolController

    loaded = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    own = [library for library in loaded if os.path.basename(os.path.dirname(library.filepath)).startswith("scipy")]
    return own or loaded


@contextmanager
def one_thread() -> Iterator[None]:
    """Within this context BLAS uses one thread; a few microseconds, as threadpoolctl's own would be dozens."""
    before = [(library, library.num_threads) for library in _libraries()]
    several = [(library, threads) for library, threads in before if threads != 1]
    for library, _ in several:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in several:
            library.set_num_threads(threads)
