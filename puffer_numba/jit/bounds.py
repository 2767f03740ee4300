"""Bounds of a parameter, as its annotation declares them: ``Annotated[float, Gt(0), Le(1)]``, of annotated-types."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt

Positive = Annotated[float, Gt(0)]
Probability = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1)]

Bound = Gt | Ge | Lt | Le

_HOLDS: dict[type, Any] = {Gt: operator.gt, Ge: operator.ge, Lt: operator.lt, Le: operator.le}
_WORDS = {Gt: "more than", Ge: "at least", Lt: "less than", Le: "at most"}


def bounds_of(metadata: Iterable[Any]) -> list[Bound]:
    """The bounds among the metadata of an annotation, those of an ``Interval`` too.

    Raises:
        TypeError: one is of annotated-types and no bound, and so would not be checked.
    """
    bounds: list[Bound] = []
    for item in metadata:
        if isinstance(item, Bound):
            bounds.append(item)
        elif isinstance(item, GroupedMetadata):
            bounds += bounds_of(item)
        elif isinstance(item, BaseMetadata):
            raise TypeError(
                f"{item!r} is not checked; declare Gt, Ge, Lt, Le or Interval, and check the rest in setup()"
            )
    return bounds


def within(value: Any, bounds: Sequence[Bound]) -> bool:
    """Whether a number, or each of an array, is within all bounds; NaN is within none."""
    return all(np.all(_HOLDS[type(bound)](value, limit(bound))) for bound in bounds)


def limit(bound: Bound) -> Any:
    """The number that a bound compares with."""
    return getattr(bound, type(bound).__name__.lower())


def describe(bounds: Sequence[Bound]) -> str:
    """The bounds in words: ``more than 0``, ``1 to 32``, ``0 to less than 1``, ``a finite number``."""
    infinite = [bound for bound in bounds if isinstance(limit(bound), float) and math.isinf(limit(bound))]
    finite = [bound for bound in bounds if bound not in infinite]
    if not finite:
        return "a finite number"
    low, high = ([b for b in finite if isinstance(b, kinds)] for kinds in ((Gt, Ge), (Lt, Le)))
    if len(low) == len(high) == 1 and isinstance(low[0], Ge):
        to = "to" if isinstance(high[0], Le) else "to less than"
        words = f"{_number(limit(low[0]))} {to} {_number(limit(high[0]))}"
    else:
        words = " and ".join(f"{_WORDS[type(bound)]} {_number(limit(bound))}" for bound in finite)
    return f"{words} and finite" if infinite else words


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
