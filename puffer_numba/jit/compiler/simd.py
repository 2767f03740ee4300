"""Was the physics loop vectorized, how wide, and if not, because of which line?

Compiles the loop over environments alone, in a process of its own, in which LLVM's loop vectorizer writes
down its decisions; and looks for arithmetic in float64 where the environment computes in float32.
"""

from __future__ import annotations

import ast
import inspect
import multiprocessing
import os
import re
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_VERDICT = re.compile(r"^LV: (Selecting VF: (?P<width>\d+)|Not vectorizing: (?P<reason>[^%\n]*))", re.MULTILINE)
# without Intel's SVML, LLVM turns a vector of these into as many calls of libm
_LIBM = re.compile(
    r"@(?:llvm\.)?(a?(?:sin|cos|tan)h?|atan2|exp2?|expm1|log(?:2|10|1p)?|pow|fmod|cbrt|hypot)f?(?:\.\w+)?\("
)
_CALL = re.compile(r"non-intrinsic callsite.*?@(?P<name>\w+)\(")
_TIMEOUT = 120  # seconds


@dataclass
class SimdReport:
    """What became of the loop over environments."""

    width: int
    """Environments computed by one instruction; 1 where the loop was not vectorized."""
    reason: str = ""
    """Why not, in LLVM's words; empty where it was."""
    lines: list[str] = field(default_factory=list)
    """Source lines that may be the cause, as ``file:line: code``."""
    float64_lines: list[str] = field(default_factory=list)
    """Source lines that compute in float64 although the environment's float type is float32."""

    def __str__(self) -> str:
        verdict = f"vectorized, {self.width} wide" if self.width > 1 else f"not vectorized: {self.reason}"
        parts = [verdict, *self.lines]
        if self.float64_lines:
            parts += ["computes in float64:", *self.float64_lines]
        return "\n".join(parts)


def simd_report(env: Any) -> SimdReport:
    """Compile the physics loop of a `JitEnv` (of one agent per environment) and report on it. Takes some seconds.

    Raises:
        RuntimeError: the class cannot be imported in another process, or does not compile there.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_analyze, args=(sender, type(env), env.arguments))
    try:
        process.start()
    except Exception as error:  # pickling: a class made inside a function
        raise RuntimeError(
            f"{type(env).__qualname__} cannot be imported by another process ({error}); "
            "define it at a module's top level."
        ) from error
    sender.close()
    try:
        if not receiver.poll(_TIMEOUT):
            raise RuntimeError(f"the analysis took more than {_TIMEOUT} s.")
        result = receiver.recv()
    except EOFError:
        raise RuntimeError("the analysis process died; run it as a script or module that can be imported.") from None
    finally:
        process.kill()
        process.join()
    if isinstance(result, str):
        raise RuntimeError(result)
    return result


def _analyze(sender: Any, env_class: type, arguments: dict[str, Any]) -> None:
    """In the child: send a `SimdReport`, or a string that says what went wrong."""
    try:
        sender.send(analyze(env_class, arguments))
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")


def analyze(env_class: Any, arguments: dict[str, Any]) -> SimdReport:
    """The same in this process, in which LLVM writes down its decisions from then on: for one that ends soon."""
    import llvmlite.binding

    env = env_class(num_envs=1024, **arguments)
    llvmlite.binding.set_option("", "--debug-only=loop-vectorize")
    with _CapturedStderr() as captured:
        dispatcher = _compile_physics(env)
    with _CapturedStderr():  # what LLVM says of what is compiled for the report itself
        return _report(env, captured.text, dispatcher)


def _compile_physics(env: Any) -> Any:
    """The loop over environments with nothing but the author's ``step_env`` in it, compiled without the cache."""
    import numba

    from puffer_numba.jit.compiler import kernels
    from puffer_numba.jit.compiler.functions import kernel_function, specialize
    from puffer_numba.jit.compiler.parts import JIT_OPTIONS

    step_env = specialize(type(env).step_env, env.float_type)
    advance = kernel_function(kernels.advance_block(step_env, env.autoreset), kernels.BORROW)

    @numba.njit(**JIT_OPTIONS)
    def physics(sim, actions):
        advance(sim.state, sim.params, sim.streams, sim.episodes, sim.buffers, actions, 0, len(sim.streams))

    physics.compile((numba.typeof(env._simulation), numba.typeof(env.actions)))
    return physics


def _report(env: Any, log: str, dispatcher: Any) -> SimdReport:
    source = _Source(type(env).step_env)
    float64_lines = [] if env.float_type is np.float64 else _float64_lines(env, source)
    loops = log.split("LV: Checking a loop in ")[1:]
    physics = [loop for loop in loops if loop.splitlines()[0].find("13advance_block") >= 0]
    verdicts = [match for loop in physics for match in _VERDICT.finditer(loop)]
    widths = [int(match["width"]) for match in verdicts if match["width"]]
    width = max(widths, default=1) if log else _width_in_code(dispatcher)
    (code,) = dispatcher.inspect_llvm().values()
    libm = set(_LIBM.findall(code))
    calls = libm | {_demangle(match["name"]) for loop in physics for match in _CALL.finditer(loop)}
    if width > 1 and not calls:
        return SimdReport(width, float64_lines=float64_lines)
    reasons = [match["reason"].strip() for match in verdicts if match["reason"]]
    reason = reasons[0] if reasons else "LLVM gave no reason"
    if calls:
        reason = f"calls {', '.join(sorted(calls))} for one value at a time"
        reason += "; use puffer_numba.jit.math" if libm else ""
    return SimdReport(1, reason, source.suspects(bool(calls)), float64_lines)


def _demangle(symbol: str) -> str:
    """The function's own name in Numba's ``_ZN3jit6random6normalB2...``: the last of the length-prefixed parts."""
    rest, name = symbol.removeprefix("_ZN"), symbol
    while match := re.match(r"\d+", rest):
        end = match.end() + int(match.group())
        name, rest = rest[match.end() : end], rest[end:]
    return name


def _width_in_code(dispatcher: Any) -> int:
    """From the machine-independent code, where this build of LLVM keeps no log."""
    (code,) = dispatcher.inspect_llvm().values()
    return max(
        (int(n) for n in re.findall(r"= f(?:mul|add|sub|div)[^<\n]*<(\d+) x (?:float|double)>", code)), default=1
    )


def _float64_lines(env: Any, source: _Source) -> list[str]:
    """Lines of ``step_env`` on which Numba inferred float64."""
    import numba

    from puffer_numba.jit.compiler.functions import specialize
    from puffer_numba.jit.compiler.tuples import Stream

    function = numba.njit(specialize(type(env).step_env, env.float_type).py_func)
    action = env.actions[0]
    function.compile(
        (
            numba.typeof(env.state),
            numba.typeof(env.params),
            numba.uintp,
            numba.typeof(action),
            numba.typeof(Stream(env._streams, np.uintp(0))),
        )
    )
    (compiled,) = function.overloads.values()
    typemap = compiled.type_annotation.typemap
    lines = set()
    for block in compiled.type_annotation.blocks.values():
        for statement in block.find_insts(numba.core.ir.Assign):
            operation = isinstance(statement.value, numba.core.ir.Expr) and statement.value.op != "cast"
            if operation and typemap.get(statement.target.name) == numba.float64:
                lines.add(statement.loc.line)
    return [source.show(line) for line in sorted(lines)]


class _Source:
    """The author's ``step_env`` as text."""

    def __init__(self, function: Callable[..., Any]) -> None:
        function = getattr(function, "__func__", function)
        self._file = os.path.basename(inspect.getsourcefile(function) or "?")
        lines, self._first = inspect.getsourcelines(function)
        self._lines = [line.rstrip("\n") for line in lines]
        self._tree = ast.parse(textwrap.dedent("\n".join(self._lines)))

    def show(self, line: int) -> str:
        return f"{self._file}:{line}: {self._lines[line - self._first].strip()}"

    def suspects(self, calls: bool) -> list[str]:
        """Lines that commonly keep a loop from being vectorized: calls if LLVM blamed one, else control flow."""
        kinds: tuple[type[ast.AST], ...] = (
            (ast.Call, ast.Pow, ast.Mod) if calls else (ast.For, ast.While, ast.If, ast.BoolOp)
        )
        found = {
            getattr(node, "lineno", 0) + self._first - 1
            for node in ast.walk(self._tree)
            if isinstance(node, kinds) or (isinstance(node, ast.BinOp) and isinstance(node.op, kinds))
        }
        return [self.show(line) for line in sorted(found) if line >= self._first]


class _CapturedStderr:
    """Everything that is written to file descriptor 2, also by C++."""

    text = ""

    def __enter__(self) -> _CapturedStderr:
        self._saved = os.dup(2)
        self._file = tempfile.TemporaryFile()
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)
        self._file.seek(0)
        self.text = self._file.read().decode(errors="replace")
        self._file.close()
