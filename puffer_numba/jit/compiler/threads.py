"""Calling parallel kernels from any Python thread without a crash.

Numba's threading layers differ. ``workqueue`` aborts the process when two Python threads enter it at once;
GNU ``omp`` does when it is entered in a process that was forked after it started. So kernels enter the first
under a lock, and in such a fork they run on the calling thread alone.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numba

from puffer_numba.jit.compiler import interrupt

MAX_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]

_lock = threading.Lock()
_layer: str | None = None  # known once a parallel kernel has run
forked_omp = False
"""Whether entering a parallel kernel would abort this process: forked after OpenMP had started."""


def _after_fork_in_child() -> None:
    global forked_omp, _lock
    _lock = threading.Lock()  # the old one may be held by a thread that does not exist here
    try:
        forked_omp = numba.threading_layer() == "omp"  # type: ignore[attr-defined]
    except ValueError:  # no parallel code has run in this process, ours or anybody's
        forked_omp = False


os.register_at_fork(after_in_child=_after_fork_in_child)


def num_threads() -> int:
    """Threads a kernel may use: ``numba.get_num_threads()``, or 1 where only that is safe."""
    if forked_omp:
        _warn_of_fork()
        return 1
    return numba.get_num_threads()


@interrupt.calls_kernels
def call_parallel(kernel: Callable[..., Any], *args: Any) -> Any:
    """Call a kernel that was compiled with ``parallel=True``."""
    global _layer
    if _layer in ("omp", "tbb"):
        return kernel(*args)
    with _lock:
        result = kernel(*args)
        _layer = numba.threading_layer()  # type: ignore[attr-defined]
    return result


def _warn_of_fork() -> None:
    warnings.warn(
        "this process was forked after OpenMP had started, so environments run on one thread here; start worker "
        "processes with the 'spawn' or 'forkserver' method to use all cores.",
        RuntimeWarning,
        stacklevel=4,
    )


def cores() -> int:
    """Processors that this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
