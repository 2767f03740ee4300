"""What both halves of the checker share: findings, how checks are run, and the checks that look at numbers alone."""

from __future__ import annotations

import contextlib
import io
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, Leaf, PufferEnv

TYPICAL = 10.0
"""Beyond this, networks learn badly without normalization."""

Outcome = tuple[str, str]
"""Level and message of a finding."""
Trial = TypeVar("Trial")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    level: str
    """"ok", "note" (worth knowing, not wrong) or "problem"."""
    message: str = ""


def run_checks(checks: Mapping[str, Callable[[Trial], Outcome]], trial: Trial) -> Iterator[Finding]:
    """The findings of ``checks``, in order, the first of which is "runs": nothing comes after a problem there."""
    for name, check in checks.items():
        try:
            level, message = check(trial)
        except Exception as error:  # a check that crashes is a finding about the environment
            level, message = "problem", explain(error)
        yield Finding(name, level, message)
        if name == "runs" and level == "problem":
            return


def explain(error: Exception) -> str:
    """The message of an error; of an assertion without one, the line."""
    line = traceback.extract_tb(error.__traceback__)[-1].line
    return str(error) if isinstance(error, APIUsageError) else f"{type(error).__name__}: {str(error) or line}"


def check_rewards(rewards: NDArray[np.float32]) -> Outcome:
    """Whether rewards are finite, and of a size that is learned from."""
    if not np.isfinite(rewards).all():
        return "problem", f"a reward is {rewards[~np.isfinite(rewards)][0]}"
    low, high = float(rewards.min()), float(rewards.max())
    if low == high == 0:
        return "note", "every reward of random play is 0"
    found = f"from {low:.3g} to {high:.3g}"
    return ("note", found + "; scale them to about 1") if max(-low, high) > TYPICAL else ("ok", found)


class Part(NamedTuple):
    """One array of an environment's observations: the whole, or a part of a structured one."""

    leaf: Leaf
    values: NDArray[Any]
    """``(count, *leaf.shape)``."""


def leaves_of(env: PufferEnv) -> Sequence[Leaf]:
    """The arrays that an observation consists of: one, called "observation", where the space is a Box."""
    space = env.single_observation_space
    return env.emulated.leaves if env.emulated else [Leaf("observation", space, np.dtype(space.dtype), space.shape, 0)]


def take_apart(observations: NDArray[Any], leaves: Sequence[Leaf]) -> list[Part]:
    """The arrays of ``(count, *shape)`` flat observations, each in its own dtype."""
    count = len(observations)
    raw = np.ascontiguousarray(observations).reshape(count, -1).view(np.uint8)
    parts = []
    for leaf in leaves:
        nbytes = int(np.prod(leaf.shape)) * leaf.dtype.itemsize
        part = np.ascontiguousarray(raw[:, leaf.offset : leaf.offset + nbytes])
        parts.append(Part(leaf, part.view(leaf.dtype).reshape(count, *leaf.shape)))
    return parts


def check_vary(parts: Sequence[Part], constant: str) -> Outcome:
    """Whether observations change; ``constant`` is the level of those that never do, as a bandit's."""
    zero: list[str] = []
    same: list[str] = []
    dead: list[str] = []
    for leaf, values in parts:
        if (values == values[0]).all():
            (same if values.any() else zero).append(leaf.path)
        else:
            count = int((values == values[:1]).all(axis=0).sum())
            dead += [f"{count} of {values[0].size} elements of {leaf.path} never change"] * (count > 0)
    if len(zero) == len(parts):
        return "problem", "every observation is zero"
    if len(zero) + len(same) == len(parts):
        return constant, "every observation is the same: stale, or only a bandit's"
    notes = [f"{path} is always zero" for path in zero] + [f"{path} is always the same" for path in same] + dead
    return ("note", "\n".join(notes)) if notes else ("ok", "they vary")


def check_scale(parts: Sequence[Part]) -> Outcome:
    """Whether numbers are of a size that networks learn from; not those that stand for one of several choices."""
    large, low, high = [], np.inf, -np.inf
    for leaf, values in parts:
        if not isinstance(leaf.space, Box) or leaf.dtype == np.uint8:
            continue
        minimum, maximum = float(values.min()), float(values.max())
        low, high = min(low, minimum), max(high, maximum)
        if max(-minimum, maximum) > TYPICAL:
            large.append(f"{leaf.path} is from {minimum:.3g} to {maximum:.3g}; scale it to about [-1, 1]")
    if large:
        return "note", "\n".join(large)
    return "ok", f"from {low:.3g} to {high:.3g}" if high >= low else "no numbers to scale"


def api_test(name: str, test: Callable[[], Any], ignored: str | None = None) -> Finding:
    """Run another library's test; its warnings are notes, except those with ``ignored`` in them."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            test()
        except Exception as error:
            return Finding(name, "problem", explain(error))
    texts = dict.fromkeys(str(w.message).removeprefix("\x1b[33mWARN: ").removesuffix("\x1b[0m") for w in caught)
    notes = [text for text in texts if ignored is None or ignored not in text]
    return Finding(name, "note" if notes else "ok", "\n".join(notes))


def print_findings(name: str, findings: list[Finding]) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[red]problem[/]"}
    table = Table(title=f"puffer check {name}", show_header=False, title_justify="left")
    for finding in findings:
        table.add_row(marks[finding.level], finding.name, escape(finding.message))
    Console().print(table)
