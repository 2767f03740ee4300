"""Wrong use: the error that says so, and what its messages have in common."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np


class APIUsageError(RuntimeError):
    """The library was called in a way it cannot serve. Says what was wrong, what was expected, and the fix."""


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A sentence, after a space, with the words that are alike; nothing where there is none."""
    close = close_matches(word, words)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def close_matches(word: str, words: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three of ``words`` that are like ``word``, the best first."""
    return get_close_matches(word, list(words), 3, cutoff)


def is_integer(value: Any) -> bool:
    """Whether ``value`` is an int, Python's or NumPy's; a bool is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def integer(what: str, value: Any, minimum: int | None = None) -> int:
    """``value`` as an int.

    Args:
        what: how the message calls it.
        value: what was passed.
        minimum: that it must have.

    Raises:
        APIUsageError: it is no integer, or below the minimum.
    """
    if not is_integer(value):
        at_least = "" if minimum is None else f" of at least {minimum}"
        raise APIUsageError(f"{what} is {value!r}; expected an integer{at_least}.")
    if minimum is not None and value < minimum:
        raise APIUsageError(f"{what} is {value}; expected at least {minimum}.")
    return int(value)
