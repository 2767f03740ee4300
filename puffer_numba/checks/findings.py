"""The outcome of a check, and how a person reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    level: str
    """"ok", "note" (worth knowing, not wrong) or "problem"."""
    message: str = ""


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
