"""Infos of numbers through shared memory: what MuJoCo's environments say at each step need not be pickled.

A worker tells once which keys an info has, and of which types; from then on, infos with these keys are a row of numbers
each. Others are pickled: those with arrays or text, or of an episode's end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import NumberedInfos

WIDTH = 32
"""Numbers for each environment, the first of which says whether it has an info."""

_TYPES = frozenset({float, int, bool, np.float64, np.float32, np.int64, np.int32, np.bool_})
_EXACT = 2**53  # integers up to this are floats, too
_MAX_KINDS = 64


class Kind(NamedTuple):
    """What infos with the same keys have in common."""

    number: int
    keys: tuple[str, ...]
    types: tuple[type, ...]


class InfoWriter:
    """The worker's side.

    Args:
        rows: ``(environments, WIDTH)``, float64.
        first: number of the first of these environments.
    """

    def __init__(self, rows: NDArray[np.float64], first: int) -> None:
        self._rows, self._first = rows, first
        self._kinds: dict[tuple[Any, ...], Kind] = {}

    def write(self, infos: NumberedInfos) -> int | None:
        """The number of their kind, once they are written; None where they are to be pickled.

        A kind that is new is noted in ``infos.kind``: what is pickled tells the parent of it.
        """
        keys, types = tuple(infos[0]), tuple(map(type, infos[0].values()))
        kind = self._kinds.get((keys, types))
        if kind is None:
            self._note(infos, keys, types)
            return None
        rows, first = self._rows, self._first
        rows[:, 0] = 0
        for number, info in zip(infos.numbers, infos, strict=True):
            values = list(info.values())
            row = rows[number - first]
            if row[0] or tuple(info) != keys or tuple(map(type, values)) != types:
                return None  # two of one environment, or of different kinds
            if int in types and not all(-_EXACT <= value <= _EXACT for value in values if type(value) is int):
                return None
            row[0] = 1
            row[1 : 1 + len(values)] = values
        return kind.number

    def _note(self, infos: NumberedInfos, keys: tuple[Any, ...], types: tuple[type, ...]) -> None:
        fits = 0 < len(keys) < WIDTH and _TYPES.issuperset(types) and len(self._kinds) < _MAX_KINDS
        if fits and all(type(key) is str for key in keys):
            infos.kind = self._kinds[keys, types] = Kind(len(self._kinds), keys, types)


class InfoReader:
    """The parent's side, of one worker; arguments as for `InfoWriter`."""

    def __init__(self, rows: NDArray[np.float64], first: int) -> None:
        self._rows, self._first = rows, first
        self._kinds: list[Kind] = []

    def learn(self, infos: Any) -> None:
        """Note the kind that pickled infos tell of, if they do."""
        kind = getattr(infos, "kind", None)
        if kind is not None:
            self._kinds.append(kind)

    def read(self, number: int) -> NumberedInfos:
        """The infos that the worker has written, of the kind with this number."""
        _, keys, types = self._kinds[number]
        infos = NumberedInfos()
        which = np.flatnonzero(self._rows[:, 0])
        infos.numbers = (which + self._first).tolist()
        for row in self._rows[which, 1 : 1 + len(keys)].tolist():
            infos.append({key: kind(value) for key, kind, value in zip(keys, types, row, strict=True)})
        return infos
