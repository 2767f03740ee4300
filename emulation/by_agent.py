"""PettingZoo's way of asking, of batched things: a space that is called with an agent, rows and infos by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

SpaceOf = Callable[[Any], Space[Any]]
OwnRow = Callable[[Any, NDArray[Any]], NDArray[Any]]


class SpaceByAgent:
    """What makes a space of all rows also a function, from an agent to its own space."""

    _space_of: SpaceOf

    def __call__(self, agent: Any) -> Space[Any]:
        """The agent's own space, always the same object."""
        return self._space_of(agent)

    def __reduce__(self) -> tuple[Any, ...]:
        return with_agents, (_copied(self, type(self).__mro__[2]), self._space_of)


def with_agents(space: Space[Any], space_of: SpaceOf) -> Any:
    """A copy of ``space``, of the same kind, which can also be called."""
    kind: Any = type(space)
    made = _copied(space, _kind(kind))
    made._space_of = space_of
    return made


@cache
def _kind(cls: Any) -> Any:
    return type(cls.__name__, (SpaceByAgent, cls), {"__module__": cls.__module__})


def _copied(space: Any, cls: Any) -> Any:
    made: Any = object.__new__(cls)
    made.__dict__.update(space.__dict__)
    made.__dict__.pop("_space_of", None)
    return made


class RowsByAgent(np.ndarray[Any, Any]):
    """The rows of all agents, as an array; a name finds its row, too: ``rows["agent_0"]``, ``rows.items()``.

    To iterate over it is to iterate over an array. Parts of it are plain arrays.
    """

    _rows: Mapping[Any, int]
    _own: OwnRow | None

    @classmethod
    def of(cls, array: NDArray[Any], rows: Mapping[Any, int], own: OwnRow | None = None) -> RowsByAgent:
        """A view of ``array``, whose row ``rows[name]`` is that of the agent ``name``.

        Args:
            own: what makes the agent's own observation of its name and row; None: it is the row.
        """
        made = array.view(cls)
        made._rows, made._own = rows, own
        return made

    def __array_finalize__(self, source: Any) -> None:
        self._rows, self._own = getattr(source, "_rows", {}), getattr(source, "_own", None)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return np.asarray(self)[key]
        row = np.asarray(self)[self._rows[key]]
        return row if self._own is None else self._own(key, row)

    def __contains__(self, key: object) -> bool:
        return key in self._rows if isinstance(key, str) else key in np.asarray(self)

    def keys(self) -> Iterator[Any]:
        """Names of all agents."""
        return iter(self._rows)

    def values(self) -> Iterator[NDArray[Any]]:
        """Their rows."""
        rows = np.asarray(self)
        return iter(rows) if self._own is None else map(self._own, self._rows, rows)

    def items(self) -> Iterator[tuple[Any, NDArray[Any]]]:
        """Names and rows."""
        return zip(self.keys(), self.values(), strict=True)


class InfosByAgent(list[dict[Any, Any]]):
    """Infos as a list of dicts by agent; a name finds what the first of them has for it."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self[0].get(key, {}) if self else {}
        return super().__getitem__(key)
