"""What is wrong with a function that does not compile: the author's line, why, and what to write instead.

Numba's own account is some hundred lines long, and about the kernel that the function became a part of. So when a
kernel does not compile, the author's functions and their helpers are compiled by themselves, with the types that they
get, until one is found that fails by itself. Its line and Numba's text together say which of the known causes it is:
those are in `puffer_numba.jit.compiler.reasons`.

Leans on where Numba's messages and frames have lines.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np
from numba.core import types

from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.functions import KernelFunction, called_functions, specialize
from puffer_numba.jit.compiler.leaves import LeavesType
from puffer_numba.jit.compiler.parts import JIT_OPTIONS, AuthorCompiler
from puffer_numba.jit.compiler.reasons import allocates, by_text, first_sentence, never, words
from puffer_numba.jit.compiler.tuples import Agents, Stream

TRACEBACK = "PUFFER_NUMBA_TRACEBACK"
_MORE = f"Set {TRACEBACK}=1 to see all that the compiler says."


class CompilationError(APIUsageError):
    """An author's function cannot be compiled. The message has its file and line, the reason, and the remedy."""


def explain(env: Any, error: Exception) -> CompilationError:
    """What `JitEnv` ``env`` raises in place of ``error``, which its kernels' compilation ended in."""
    name = type(env).__name__
    linecache.checkcache()  # the file may have been edited since
    for function, kinds in author_functions(env):
        found = _culprit(specialize(function, env.float_type), kinds)
        if found is not None:
            return found.described(name)
    for problem in _wrong_results(env):
        return problem.described(name)
    return CompilationError(f"{name} cannot be compiled: {first_sentence(str(error))}\n{_MORE}")


def cause_for_display(error: Exception) -> Exception | None:
    """``error`` where the user asked to see it too."""
    return error if os.environ.get(TRACEBACK, "0") not in ("", "0") else None


def not_seeded(function: Any, line: int, what: str) -> CompilationError:
    """What is raised where a function draws with ``np.random`` or ``random``."""
    reason = (
        f"{what} does not draw from the environment's seed; draw with rng, by the functions of "
        "puffer_numba.jit.random: uniform(rng, low, high), integer(rng, n), normal(rng)."
    )
    return Problem(function, line, reason).described()


class Problem:
    """One line of one function, and what is wrong there."""

    def __init__(self, function: Any, line: int, reason: str) -> None:
        self.function, self.line, self.reason = function, line, reason

    def described(self, owner: str = "") -> CompilationError:
        """As an error; ``owner`` is the environment's name."""
        path = self.function.__code__.co_filename
        text = linecache.getline(path, self.line).strip()
        name = self.function.__qualname__.rpartition("<locals>.")[2]
        known = name.startswith(f"{owner}.") or not owner
        lines = [f"{name} cannot be compiled{'' if known else f', which {owner} uses'}:"]
        lines += [f'  File "{path}", line {self.line}', *([f"    {text}"] if text else [])]
        return CompilationError("\n".join([*lines, *textwrap.wrap(self.reason, 118), _MORE]))


# -- which function it is -----------------------------------------------------------------------------------


def author_functions(env: Any) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """The three functions, each with Numba's types of its arguments."""
    cls, buffers = type(env), env._by_environment(env.buffers)
    common = (numba.typeof(env.state), numba.typeof(env.params), types.uintp)
    rng = numba.typeof(Stream(env._streams, np.uintp(0)))
    team = Agents(buffers.rewards, buffers.terminals, env._episodes.alive)
    last = (rng,) if env.agents_per_env is None else (rng, numba.typeof(team))
    yield cls.reset_env, (*common, *last)
    yield cls.step_env, (*common, _action_kind(env), *last)
    flat, dtype = numba.typeof(buffers.observations), env._leaves
    yield cls.observe_env, (*common, flat if dtype is None else LeavesType(flat, dtype, 0, dtype.itemsize))


def _action_kind(env: Any) -> Any:
    dtype = numba.typeof(env.actions).dtype
    ndim = env.actions.ndim - 1 + (env.agents_per_env is not None)
    return types.Array(dtype, ndim, "C") if ndim else dtype


def _culprit(function: KernelFunction, kinds: Sequence[Any]) -> Problem | None:
    """What is wrong with a function or, if that is why, with a helper that it calls."""
    error = _compile_alone(function.py_func, kinds)
    if error is None:
        return None
    for helper in called_functions(function.py_func):
        for helper_kinds in helper.calls:
            problem = _culprit(helper, helper_kinds)
            if problem is not None:
                return problem
    return _problem(function.py_func, error)


def alone(py_func: Callable[..., Any]) -> Any:
    """What compiles a function by itself, as it is in a kernel."""
    options: Any = {**JIT_OPTIONS, "_nrt": False, "pipeline_class": AuthorCompiler}
    return numba.njit(**options)(py_func)


def _compile_alone(py_func: Callable[..., Any], kinds: Sequence[Any]) -> Exception | None:
    kinds = [kind if isinstance(kind, types.Type) else numba.typeof(kind) for kind in kinds]
    try:
        alone(py_func).compile(tuple(kinds))
    except Exception as error:
        return error
    return None


def _wrong_results(env: Any) -> Iterator[Problem]:
    """Functions that compile, but do not return what they should."""
    (_, (step_env, kinds), _) = author_functions(env)
    function = specialize(step_env, env.float_type).py_func
    if inspect.isgeneratorfunction(function):
        yield from _found(function, never)
        return
    dispatcher = alone(function)
    dispatcher.compile(tuple(kinds))
    (signature,) = dispatcher.nopython_signatures
    returned = signature.return_type
    line = next((node.lineno for node in _own_returns(function)), _first_line(function))
    if env.agents_per_env is None:
        parts: Any = tuple(returned) if isinstance(returned, types.BaseTuple) else ()  # type: ignore[arg-type]
        if len(parts) not in (2, 3) or not all(isinstance(part, types.Number | types.Boolean) for part in parts):
            wanted = "reward, terminated; or reward, terminated, truncated: a number and one or two bools"
            yield Problem(function, line, f"step_env returns {words(returned)}; expected {wanted}.")
    elif not isinstance(returned, types.Number | types.Boolean):
        yield Problem(function, line, f"step_env returns {words(returned)}; expected whether the episode is over.")


# -- which line it is -----------------------------------------------------------------------------------------


def _problem(function: Any, error: Exception) -> Problem:
    for reasons in (never, allocates):
        for problem in _found(function, reasons):
            return problem
    text, line = str(error), _line_of(function, error)
    here = [node for node in _nodes(function) if getattr(node, "lineno", None) == line]
    return Problem(function, line, by_text(text, here, function))


def _found(function: Any, reasons: Callable[[Any, Any], str | None]) -> Iterator[Problem]:
    """Nodes of a function that have one of these reasons."""
    for node in _nodes(function):
        reason = reasons(node, function)
        if reason:
            yield Problem(function, node.lineno, reason)


def _line_of(function: Any, error: Exception) -> int:
    path = function.__code__.co_filename
    location = getattr(error, "loc", None)
    if location is not None and location.filename == path and location.line:
        return int(location.line)
    seen = _line_of_frames(path, error)
    if seen is not None:
        return seen
    for found, line in re.findall(r"(?:at|from) (\S[^\n]*?) \((\d+)\)", str(error)):
        if found == path:
            return int(line)
    wanted: type[Any] = ast.Return if "array" in str(error) else ast.Attribute
    missing = re.search(r"has no attribute '(\w+)'", str(error))
    for node in _nodes(function):
        if isinstance(node, wanted) and (wanted is ast.Return or (missing and node.attr == missing[1])):
            return int(node.lineno)
    return _first_line(function)


def _line_of_frames(path: str, error: Exception) -> int | None:
    """Which line the compiler was at when it raised something that does not say so: of what its functions held."""
    line, trace = None, error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            location = getattr(value, "__dict__", {}).get("loc")
            if isinstance(location, numba.core.ir.Loc) and location.filename == path and location.line:
                line = int(location.line)
        trace = trace.tb_next
    return line


def _first_line(function: Any) -> int:
    """Of the ``def``, after its decorators."""
    node = next((node for node in _nodes(function) if isinstance(node, ast.FunctionDef)), None)
    return node.lineno if node else function.__code__.co_firstlineno


def _nodes(function: Any) -> Iterator[Any]:
    """The syntax of a function, with the line numbers of its file; nothing where its source is not to be had."""
    # not inspect.getsource, which goes by the module: that of `specialize`
    code = function.__code__
    lines, first = linecache.getlines(code.co_filename), code.co_firstlineno
    try:
        tree = ast.parse(textwrap.dedent("".join(inspect.getblock(lines[first - 1 :]))))
    except (SyntaxError, IndexError, tokenize.TokenError):
        return
    ast.increment_lineno(tree, first - 1)
    yield from ast.walk(tree)


def _own_returns(function: Any) -> Iterator[ast.Return]:
    """The return statements of a function, without those of functions in it."""
    waiting: list[Any] = [
        next((node for node in _nodes(function) if isinstance(node, ast.FunctionDef)), ast.Module([], []))
    ]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop(0)):
            if isinstance(node, ast.Return):
                yield node
            if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
                waiting.append(node)
