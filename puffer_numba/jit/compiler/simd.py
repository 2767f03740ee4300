"""Was the loop over environments vectorized, how wide, and which line prevents it or makes it slower?

Compiles that loop alone, with the lines of the source in its code, in a process of its own, in which LLVM's loop
vectorizer says what it does. What each of the author's lines has become is read from the optimized code: a call for one
value at a time, a division of integers, numbers collected from memory one by one. And lines are looked for that compute
in float64 where the environment's float type is float32.

Leans on LLVM's remarks (those of clang's ``-Rpass``), and on Numba's type annotations.
"""

from __future__ import annotations

import ast
import linecache
import multiprocessing
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from puffer_numba.jit.compiler.optimized import Instruction, Place, instructions
from puffer_numba.jit.compiler.tuples import Agents, Stream

_REMARK = re.compile(r"^remark: (?P<file>.*?):(?P<line>\d+):\d+: loop not vectorized: (?P<reason>.*)$", re.MULTILINE)
# without Intel's SVML, LLVM turns a vector of these into as many calls of libm
_LIBM = re.compile(
    r"(?:llvm\.)?(a?(?:sin|cos|tan)h?|atan2|exp2?|expm1|log(?:2|10|1p)?|pow|fmod|cbrt|hypot)f?(?:\.\w+)?"
)
_OURS = ("sin", "cos", "tanh", "exp", "log")  # of puffer_numba.jit.math
_INSTRUCTIONS = {
    name + size for name in ("sqrt", "fabs", "floor", "ceil", "trunc", "rint", "fmin", "fmax") for size in ("", "f")
}  # which processors have
_OF_PRINT = ("Py", "numba_gil_", "printf", "puts")
_HERE = os.path.dirname(__file__)
_JIT = os.path.join(os.path.dirname(_HERE), "")
_TIMEOUT = 120  # seconds
_MANY = 12  # lines that are shown
TEAMS = "environments of several agents are stepped one after the other"
_REMARKS = ("--pass-remarks-missed=loop-vectorize", "--pass-remarks-analysis=loop-vectorize")


@dataclass
class SimdReport:
    """What became of the loop over environments."""

    width: int
    """Environments computed by one instruction; 1 where the loop was not vectorized."""
    reason: str = ""
    """Why not, in words; empty where it was."""
    lines: list[str] = field(default_factory=list)
    """Source lines that are the cause or, where the loop was vectorized, make it slower: ``file:line: why: code``."""
    float64_lines: list[str] = field(default_factory=list)
    """Source lines that compute in float64 although the environment's float type is float32: ``file:line: code``."""

    def __str__(self) -> str:
        verdict = f"vectorized, {self.width} wide" if self.width > 1 else f"not vectorized: {self.reason}"
        parts = [verdict, *self.lines]
        if self.float64_lines:
            parts += ["computes in float64:", *self.float64_lines]
        return "\n".join(parts)


def simd_report(env: Any) -> SimdReport:
    """Compile the physics loop of a `JitEnv` and report on it. Takes some seconds.

    Several agents share an environment's state, so that these are stepped one by one; the report is then on the loops
    inside their ``step_env``.

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
    """The same in this process, in which LLVM's vectorizer talks from then on: for one that ends soon."""
    env = env_class(num_envs=1024, **arguments)
    _let_llvm_talk()
    with _CapturedStderr() as captured:
        code = _compile_physics(env)
    with _CapturedStderr():  # what LLVM says of what is compiled for the report itself
        float64_lines = [] if env.float_type is np.float64 else [_show(place) for place in float64_places(env)]
    remarks = [_Remark(m["file"], int(m["line"]), m["reason"]) for m in _REMARK.finditer(captured.text)]
    return _report(env, list(instructions(code, "7physics")), list(dict.fromkeys(remarks)), float64_lines)


@cache
def _let_llvm_talk() -> None:
    import llvmlite.binding

    for option in _REMARKS:  # each may be given once
        llvmlite.binding.set_option("", option)


def _compile_physics(env: Any) -> str:
    """LLVM's code of the loop over environments with the author's ``step_env`` in it, compiled without the cache."""
    import numba

    from puffer_numba.jit.compiler import kernels
    from puffer_numba.jit.compiler.functions import kernel_function, specialize
    from puffer_numba.jit.compiler.parts import JIT_OPTIONS

    with_lines = {**JIT_OPTIONS, "debug": True}
    step_env = specialize(type(env).step_env, env.float_type, with_lines)
    agents = env.agents_per_env
    loop = kernels.advance_block(step_env, env.autoreset) if agents is None else _team_loop(step_env, agents)
    advance = kernel_function(loop, {**kernels.BORROW, "debug": True})

    @numba.njit(**with_lines)
    def physics(sim, actions):
        advance(sim.state, sim.params, sim.streams, sim.episodes, sim.buffers, actions, 0, len(sim.streams))

    actions = env.actions if agents is None else env.actions.reshape(len(env._streams), agents, *env.actions.shape[1:])
    physics.compile((numba.typeof(env._simulation), numba.typeof(actions)))
    (code,) = physics.inspect_llvm().values()
    return str(code)


def _team_loop(step_env: Callable[..., Any], agents: int) -> Callable[..., None]:
    """The loop over environments of several agents, with nothing else in it."""

    def advance(s, p, streams, episodes, buffers, actions, start, stop):
        team = Agents(buffers.rewards, buffers.terminals, episodes.alive)
        if buffers.rewards.shape[1] == agents:  # always so, and now LLVM knows how many there are
            for j in range(start, stop):
                i = np.uintp(j)
                episodes.ended[i] = step_env(s, p, i, actions[i], Stream(streams, i), team)

    return advance


# -- the report -----------------------------------------------------------------------------------------------


class _Remark(NamedTuple):
    """What LLVM says of a loop that it has not vectorized; ``file`` is a name without its folder."""

    file: str
    line: int
    reason: str


def _report(env: Any, found: list[Instruction], remarks: list[_Remark], float64_lines: list[str]) -> SimdReport:
    by_place: dict[Place, list[Instruction]] = {}
    for instruction in found:
        place = next((place for place in instruction.places if _is_authors(place)), None)
        if place is not None:
            by_place.setdefault(place, []).append(instruction)
    calls, slow = dict(_costs(by_place, _call)), dict(_costs(by_place, _slow))
    loops = dict(_loops(by_place, remarks))
    if env.agents_per_env is not None:
        return SimdReport(1, TEAMS, _lines({**calls, **loops}), float64_lines)
    width = max((i.width for i in found if i.operation == "store" and not _is_authors(i.places[0])), default=1)
    if width > 1 and not calls and not loops:
        return SimdReport(width, "", _lines(slow), float64_lines)
    if calls or loops:
        reason = "a call computes one value at a time" if calls else "a loop runs for one environment at a time"
        return SimdReport(1, reason, _lines({**calls, **loops}), float64_lines)
    stops = dict(_stops(by_place, remarks))
    reason = "a line cannot be computed for several environments at once" if stops else "it would not be faster"
    return SimdReport(1, reason, _lines(stops or slow), float64_lines)


def _is_authors(place: Place) -> bool:
    """Whether a line is the author's, or a helper's, and neither this package's nor Numba's."""
    import numba

    folders = (_JIT, os.path.join(os.path.dirname(numba.__file__), ""))
    return place.line > 0 and not place.path.startswith(folders)


def _lines(why: dict[Place, str]) -> list[str]:
    shown = [_show(place, reason) for place, reason in sorted(why.items())]
    rest = len(shown) - _MANY
    return shown if rest <= 1 else [*shown[:_MANY], f"and {rest} more lines"]


def _show(place: Place, why: str = "") -> str:
    text = linecache.getline(place.path, place.line).strip().partition("  #")[0]
    return f"{os.path.basename(place.path)}:{place.line}: {f'{why}: ' if why else ''}{text}"


def _costs(by_place: dict[Place, list[Instruction]], cost: Callable[[Instruction], str]) -> Iterator[tuple[Place, str]]:
    for place, found in by_place.items():
        reasons = list(dict.fromkeys(filter(None, map(cost, found))))
        if reasons:
            yield place, ", ".join(reasons)


def _call(instruction: Instruction) -> str:
    """Of a call of a function, which LLVM cannot see into: which one."""
    name = instruction.called
    libm = _LIBM.fullmatch(name)
    if libm:
        kind = " of float64" if "double" in instruction.text.partition(name)[2] else ""
        better = f"that of puffer_numba.jit.math vectorizes{', in float32' * bool(kind)}"
        return f"calls {libm[1]}{kind}{f' ({better})' * (libm[1] in _OURS)}"
    if not name or name.startswith(("llvm.", "NRT_")) or name in _INSTRUCTIONS:
        return ""
    return "calls print" if name.startswith(_OF_PRINT) else f"calls {_demangle(name)}"


def _slow(instruction: Instruction) -> str:
    """What makes an instruction slower where several environments are computed at once."""
    if instruction.called.startswith(("llvm.masked.gather", "llvm.masked.scatter")):
        return "elements of rows are read and written one by one"
    if instruction.operation in ("sdiv", "udiv", "srem", "urem"):
        return "integers are divided one by one"
    return ""


_WORDS = (  # of LLVM's reasons, and what they mean of the line that they are about
    ("number of loop iterations|[Uu]ncountable", "runs a number of times that only its values tell"),
    ("[Ee]arly exit", "may be left by assert, raise or break"),
    ("array bounds|dependent memory|dependence|invariant address", "reads or writes at places that are computed"),
    ("switch", "is a branch of many ways"),
)  # fmt: skip


def _in_words(reason: str) -> str:
    return next((words for pattern, words in _WORDS if re.search(pattern, reason)), "")


def _loops(by_place: dict[Place, list[Instruction]], remarks: Iterable[_Remark]) -> Iterator[tuple[Place, str]]:
    """The author's loops that are loops in the code, too, of which no line was vectorized."""
    for path in dict.fromkeys(place.path for place in by_place):
        here = [remark for remark in remarks if remark.file == os.path.basename(path)]
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.For | ast.While):
                continue
            body = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            said = [remark.reason for remark in here if remark.line in body]
            found = [i for line in body for i in by_place.get(Place(path, line), ())]
            if said and found and max(i.width for i in found) == 1:
                words = " and ".join(filter(None, dict.fromkeys(map(_in_words, said))))
                yield Place(path, node.lineno), f"a loop that {words}" if words else "a loop"


def _stops(by_place: dict[Place, list[Instruction]], remarks: Iterable[_Remark]) -> Iterator[tuple[Place, str]]:
    """The author's lines that LLVM gives as its reason."""
    by_name = {(os.path.basename(place.path), place.line): place for place in by_place}
    for remark in remarks:
        place = by_name.get((remark.file, remark.line))
        words = _in_words(remark.reason)
        if place is not None and words:
            yield place, words


@cache
def _tree(path: str) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(path)))
    except SyntaxError:  # a notebook's cell with magic commands
        return ast.Module([], [])


def _demangle(symbol: str) -> str:
    """The function's own name in Numba's ``_ZN3jit6random6normalB2...``: the last of the length-prefixed parts."""
    rest, name = symbol.removeprefix("_ZN"), symbol
    while match := re.match(r"\d+", rest):
        end = match.end() + int(match.group())
        name, rest = rest[match.end() : end], rest[end:]
    return name


# -- float64 --------------------------------------------------------------------------------------------------


def float64_places(env: Any) -> list[Place]:
    """Lines of the three functions, and of helpers, on which Numba inferred float64."""
    from puffer_numba.jit.compiler.explain import author_functions
    from puffer_numba.jit.compiler.functions import specialize

    found: set[Place] = set()
    seen: set[Any] = set()
    for function, kinds in author_functions(env):
        _look_for_float64(specialize(function, env.float_type), kinds, found, seen)
    return sorted(found)


def _look_for_float64(function: Any, kinds: Any, found: set[Place], seen: set[Any]) -> None:
    import numba
    from numba.core import ir, types

    from puffer_numba.jit.compiler.explain import alone
    from puffer_numba.jit.compiler.functions import called_functions

    kinds = tuple(kind if isinstance(kind, types.Type) else numba.typeof(kind) for kind in kinds)
    path = function.py_func.__code__.co_filename
    if (function.key, kinds) in seen or path.startswith(_JIT):
        return
    seen.add((function.key, kinds))
    dispatcher = alone(function.py_func)
    dispatcher.compile(kinds)
    (compiled,) = dispatcher.overloads.values()
    for block in compiled.type_annotation.blocks.values():
        for statement in block.find_insts(ir.Assign):
            kind = compiled.type_annotation.typemap.get(statement.target.name)
            kind = getattr(kind, "dtype", kind)
            if kind == types.float64 and isinstance(statement.value, ir.Expr) and statement.value.op != "cast":
                found.add(Place(path, statement.loc.line))
    for helper in called_functions(function.py_func):
        for helper_kinds in tuple(helper.calls):
            _look_for_float64(helper, helper_kinds, found, seen)


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
