"""Named tuples that can be imported by a name that says what they are: ``State__x__x_dot``.

Numba's on-disk cache pickles the types in a kernel's signature. A class made in ``__main__`` or inside a
function cannot be found again by the next process, and one such entry would spoil the index for
every environment. So kernels never see the author's own ``State``: they see the class of the same
fields that this module makes from its name, in any process, on demand.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from typing import Any

_SEPARATOR = "__"


def tuple_class(kind: str, fields: Iterable[str]) -> Any:
    """The named tuple class of these fields; the same object for the same arguments."""
    fields = tuple(fields)
    bad = [f for f in fields if _SEPARATOR in f or f.startswith("_") or f.endswith("_")]
    if bad:
        raise ValueError(f"{kind} field {bad[0]!r}: names may not begin or end with '_', nor contain '__'.")
    return _class(_SEPARATOR.join((kind, *fields)))


def _class(name: str) -> Any:
    if name not in globals():
        _, *fields = name.split(_SEPARATOR)
        made = namedtuple(name, fields)  # type: ignore[misc]
        made.__module__ = __name__
        globals()[name] = made
    return globals()[name]


def __getattr__(name: str) -> Any:
    if name.startswith(("State", "Params", "Metrics")):
        return _class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Stream(namedtuple("Stream", ["state", "i"])):
    """The random stream of environment ``i``: a view of one uint64 of ``state``. See `puffer_numba.jit.random`."""

    __slots__ = ()


class Agents(namedtuple("Agents", ["reward", "terminated", "alive"])):
    """What a multi-agent ``step_env`` writes, each ``(num_envs, agents)``.

    ``reward[i, a]`` and ``terminated[i, a]`` are zero when ``step_env`` is called. ``alive[i, a]``: whether the
    agent acts on its next observation; an agent that terminated stops being alive, and all are alive
    again when the episode restarts. Set it by hand to skip a turn, or to bring an agent back; returns and lengths
    count from the start of the team's episode.
    """

    __slots__ = ()


class Episodes(
    namedtuple(
        "Episodes",
        ["returns", "lengths", "final_returns", "final_lengths", "ended", "alive", "gone", "log", "max_steps"],
    )
):
    """The framework's own bookkeeping. ``rows`` is (num_envs,), or (num_envs, agents) where there are several.

    - ``returns`` rows, float32, and ``lengths`` (num_envs,), int32: of the running episodes;
    - ``final_returns``, ``final_lengths`` rows: of the episodes that ended in this step;
    - ``ended`` (num_envs,), bool: waiting for a reset; empty where that comes in the same step;
    - ``alive`` and ``gone`` (num_envs, agents), bool: acts next, has terminated; empty for one agent;
    - ``log`` (chunks, columns), float64: sums over ended episodes, one row for each chunk that writes;
    - ``max_steps``, int: of an episode.
    """

    __slots__ = ()
