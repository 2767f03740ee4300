"""Optimized code, line by line of the source: which instructions each line has become.

Reads LLVM's text of a module that Numba has compiled with debug information.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

_DEFINITION = re.compile(r"^define .*?@(\"[^\"]+\"|[\w.$]+)\(", re.MULTILINE)
_CALLED = re.compile(r"\bcall\b.*?@(?:\"([^\"]+)\"|([\w.$]+))\(")
_LOCATION = re.compile(r"^!(\d+) = (?:distinct )?!DILocation\(line: (\d+).*?scope: !(\d+)(?:, inlinedAt: !(\d+))?")
_SCOPE = re.compile(r"^!(\d+) = .*!DISubprogram\(.*?file: !(\d+), line: (\d+)")
_FILE = re.compile(r'^!(\d+) = !DIFile\(filename: "(.*?)", directory: "(.*?)"')
_PLACE = re.compile(r"!dbg !(\d+)")
_VECTOR = re.compile(r"<(\d+) x ")


class Place(NamedTuple):
    """A line of source."""

    path: str
    line: int


class Instruction(NamedTuple):
    """One instruction of LLVM's, and the line that it comes from, after those that call that one's function."""

    text: str
    places: tuple[Place, ...]
    """From the innermost outwards."""

    @property
    def operation(self) -> str:
        """Its first word, after what it is assigned to: ``store``, ``fmul``, ``call``."""
        return self.text.partition(" = ")[2].split(" ", 1)[0] if " = " in self.text else self.text.split(" ", 1)[0]

    @property
    def called(self) -> str:
        """The function that it calls, or nothing."""
        match = _CALLED.search(self.text)
        return (match[1] or match[2]) if match else ""

    @property
    def width(self) -> int:
        """How many numbers it works on at a time."""
        return max(map(int, _VECTOR.findall(self.text)), default=1)


def instructions(code: str, entry: str) -> Iterator[Instruction]:
    """Those of the functions that have ``entry`` in their names, and of those that they call, which have a line."""
    places = _Places(code)
    bodies = {}
    for part in code.split("\ndefine ")[1:]:
        name = _DEFINITION.match(f"define {part}")
        if name:
            bodies[name[1].strip('"')] = part.partition("\n}")[0]
    waiting = [name for name in bodies if entry in name and not name.startswith(("cfunc.", "_ZN7cpython"))]
    seen = set(waiting)
    while waiting:
        for line in bodies[waiting.pop()].splitlines():
            instruction = Instruction(line.strip(), places.of(line))
            if instruction.called in bodies and instruction.called not in seen:
                seen.add(instruction.called)
                waiting.append(instruction.called)
            if instruction.places:
                yield instruction


class _Places:
    """The debug information of a module."""

    def __init__(self, code: str) -> None:
        lines = code[code.rfind("\n}") :].splitlines()
        files = {m[1]: os.path.join(m[3], m[2]) for m in map(_FILE.match, lines) if m}
        self._functions = {m[1]: Place(files.get(m[2], ""), int(m[3])) for m in map(_SCOPE.match, lines) if m}
        self._locations = {m[1]: (int(m[2]), m[3], m[4]) for m in map(_LOCATION.match, lines) if m}

    def of(self, line: str) -> tuple[Place, ...]:
        match = _PLACE.search(line)
        number: str | None = match[1] if match else None
        found = []
        while number is not None and number in self._locations:
            line_number, scope, number = self._locations[number]
            function = self._functions.get(scope)
            if function is not None and line_number >= function.line:  # less: what Numba has no line for
                found.append(Place(function.path, line_number))
        return tuple(found)
