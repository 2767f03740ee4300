"""What both halves of the checker share: findings, how checks are run, and the checks that look at numbers alone."""

from __future__ import annotations

import contextlib
import io
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError

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


def is_large(low: float, high: float) -> bool:
    """Whether observations from ``low`` to ``high`` should be scaled."""
    return max(-low, high) > TYPICAL


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
