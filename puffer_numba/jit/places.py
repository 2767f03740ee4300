"""Where in the author's source something happened: lines of frames, of definitions, of what a subscript is made of."""

from __future__ import annotations

import ast
import linecache
import os
from functools import cache
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np

_HERE = os.path.dirname(__file__)
_LIBRARY = tuple(os.path.join(folder, "") for folder in (_HERE, os.path.join(os.path.dirname(_HERE), "checks")))
_NUMPY = os.path.join(os.path.dirname(np.__file__), "")


def author_frame(frame: FrameType) -> FrameType:
    """The innermost frame, from ``frame`` outwards, that is neither this library's nor NumPy's."""
    current: FrameType | None = frame
    while current is not None and current.f_code.co_filename.startswith((*_LIBRARY, _NUMPY)):
        current = current.f_back
    return current or frame


def author_place(frame: FrameType) -> tuple[str, int]:
    """File and line of that frame."""
    found = author_frame(frame)
    return found.f_code.co_filename, found.f_lineno


def innermost(traceback: TracebackType | None) -> tuple[str, int]:
    """File and line of the author's innermost frame in a traceback."""
    found = ("", 0)  # there is none
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith((*_LIBRARY, _NUMPY)):
            found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def author_line(error: BaseException) -> str:
    """What was raised, and where in the author's code."""
    filename, line = innermost(error.__traceback__)
    if line == 0:
        return f"{type(error).__name__}: {error}"
    text = linecache.getline(filename, line).strip()
    return f"{os.path.basename(filename)}:{line}: {type(error).__name__}: {error}" + (f"\n    {text}" if text else "")


def is_written_out(frame: FrameType, number: int, count: int) -> bool:
    """Whether component ``number`` of ``count`` in the subscript that a frame is at is a constant, as in ``v[i, -1]``.

    Where there is no source, it may be.
    """
    if number < 0:
        return False
    positions = _positions(frame.f_code)[frame.f_lasti // 2]
    nodes = _subscripts(frame.f_code.co_filename)
    if not nodes:
        return True
    node = nodes.get(positions)
    if node is None:
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return len(parts) == count and _is_constant(parts[number], frame.f_code)


@cache
def _positions(code: CodeType) -> list[tuple[int | None, ...]]:
    return list(code.co_positions())


@cache
def _tree(filename: str) -> ast.Module:
    """A file's source; empty where there is none, or it is no plain Python: a notebook's cell with magic commands."""
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return ast.Module([], [])


@cache
def _subscripts(filename: str) -> dict[tuple[int | None, ...], ast.Subscript]:
    """All subscripts of a file, by first line, last line, first column and last column."""
    found = (node for node in ast.walk(_tree(filename)) if isinstance(node, ast.Subscript))
    return {(n.lineno, n.end_lineno, n.col_offset, n.end_col_offset): n for n in found}


def _is_constant(node: ast.expr, code: CodeType) -> bool:
    """Whether an expression is made of numbers and of names from outside the function alone."""
    local = {*code.co_varnames, *code.co_cellvars}
    return not any(
        isinstance(part, ast.Call | ast.Attribute | ast.Subscript) or (isinstance(part, ast.Name) and part.id in local)
        for part in ast.walk(node)
    )


class _Lines(NamedTuple):
    """Where a function is defined, and where it returns."""

    definition: int
    returns: list[int]


@cache
def _lines(code: CodeType) -> _Lines:
    for node in ast.walk(_tree(code.co_filename)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return _Lines(node.lineno, [n.lineno for n in ast.walk(node) if isinstance(n, ast.Return)])
    return _Lines(code.co_firstlineno, [])


def definition_place(function: Any) -> tuple[str, int]:
    """File and line of a function's ``def``."""
    code = _code(function)
    return code.co_filename, _lines(code).definition


def return_place(function: Any) -> tuple[str, int]:
    """File and line where a function returns, if that is in one place; else of its ``def``."""
    code = _code(function)
    lines = _lines(code)
    return code.co_filename, lines.returns[0] if len(lines.returns) == 1 else lines.definition


def _code(function: Any) -> CodeType:
    return getattr(function, "__func__", function).__code__
