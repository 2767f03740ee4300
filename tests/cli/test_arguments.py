"""Why a command line cannot be used, in one line, from what tyro says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
import tyro

from puffer_numba.cli.arguments import parse
from puffer_numba.env import APIUsageError


@dataclass
class Section:
    """A section."""

    rate: float = 0.5
    """How fast."""
    kind: Literal["slow", "quick"] = "slow"
    loud: bool = False


@dataclass
class Options:
    """A command."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Of the thing. It may be long."""
    count: int
    """How many."""
    section: Section = field(default_factory=Section)
    size: int | None = None


GIVEN = ["thing", "--count", "1"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Missing: NAME Of the thing. It may be long. --count How many."),
        (["thing"], "Missing: --count How many."),
        ([*GIVEN, "--section.rat", "1"], "Unrecognized options: --section.rat, 1; did you mean --section.rate?"),
        ([*GIVEN, "--zebra"], "Unrecognized options: --zebra."),
        ([*GIVEN, "stray"], "Unrecognized options: stray."),
        (
            [*GIVEN, "--section.rate", "much"],
            "Error parsing --section.rate: could not convert string to float: 'much'.",
        ),
        ([*GIVEN, "--section.rate"], "--section.rate needs a value."),
        ([*GIVEN, "--section.kind", "late"], "--section.kind is 'late'; allowed: slow, quick."),
        (
            [*GIVEN, "--size", "big"],
            "Error parsing --size: no type matching {None}|INT could be instantiated from ['big'].",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_tyro_says_what_is_wrong(args, message, capsys):
    """Each kind of event that ``cli/arguments.py`` reads; a failure means that tyro has changed them."""
    with pytest.raises(APIUsageError) as refused:
        parse(Options, "puffer thing", args)
    assert str(refused.value) == f"{message} See puffer thing --help"
    assert capsys.readouterr() == ("", "")


def test_what_is_right_is_parsed():
    options = parse(Options, "puffer thing", [*GIVEN, "--section.loud", "--size", "3"])
    assert options == Options("thing", 1, Section(loud=True), 3)


def test_an_error_of_a_kind_that_is_unknown_is_explained_by_tyro(capsys, monkeypatch):
    monkeypatch.setattr("puffer_numba.cli.arguments._complaint", lambda event, cls: "")
    with pytest.raises(SystemExit) as end:
        parse(Options, "puffer thing", ["thing"])
    assert end.value.code == 2
    assert "--count" in capsys.readouterr().err
