"""What is wrong with a function that does not compile: the author's line, why, and what to write instead.

Numba's own account is some hundred lines long, and about the kernel that the function became a part of. So when a
kernel does not compile, the author's functions and their helpers are compiled by themselves, with the types that they
get, until one is found that fails by itself. Its line and Numba's reason together say which of the known causes it is.

Leans on the words of Numba's messages; where they are others, the message has Numba's own first sentence.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import os
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np
from numba.core import types

from puffer_numba.env import APIUsageError
from puffer_numba.errors import did_you_mean
from puffer_numba.jit.compiler.functions import KernelFunction, called_functions, specialize
from puffer_numba.jit.compiler.language import FUNCTIONS
from puffer_numba.jit.compiler.leaves import LeavesType
from puffer_numba.jit.compiler.parts import JIT_OPTIONS, AuthorCompiler
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
    return CompilationError(f"{name} cannot be compiled: {_first_sentence(str(error))}\n{_MORE}")


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
        yield from _found(function, _never)
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
            yield Problem(function, line, f"step_env returns {_words(returned)}; expected {wanted}.")
    elif not isinstance(returned, types.Number | types.Boolean):
        yield Problem(function, line, f"step_env returns {_words(returned)}; expected whether the episode is over.")


# -- which line it is -----------------------------------------------------------------------------------------


def _problem(function: Any, error: Exception) -> Problem:
    for reasons in (_never, _allocates):
        for problem in _found(function, reasons):
            return problem
    text, line = str(error), _line_of(function, error)
    here = [node for node in _nodes(function) if getattr(node, "lineno", None) == line]
    return Problem(function, line, _by_text(text, here, function))


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


# -- why it is ------------------------------------------------------------------------------------------------


def _never(node: Any, function: Any) -> str | None:
    """Why a kernel can never have this, whatever the types are."""
    names = function.__code__.co_varnames
    if isinstance(node, ast.Yield | ast.YieldFrom):
        return "A kernel cannot be a generator: return, do not yield."
    if isinstance(node, ast.Global | ast.Nonlocal):
        return f"Kernels cannot assign globals; make {node.names[0]} a field of State."
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "Kernels cannot import; move the import to the top of the file."
    if isinstance(node, ast.With):
        return "Kernels have no with statement."
    if isinstance(node, ast.ClassDef):
        return f"Kernels cannot make a class; move {node.name} to the top of the file."
    if isinstance(node, ast.MatchSequence | ast.MatchMapping | ast.MatchClass | ast.MatchStar):
        return "match takes one number; write if and elif, or match the number that several make: match 3 * a + b."
    if isinstance(node, ast.Try):
        return "Kernels cannot catch exceptions; test for what would raise with if."
    if isinstance(node, ast.NamedExpr):
        return f"Kernels have no := in an expression; assign {ast.unparse(node.target)} on a line of its own."
    if isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Store):
        return f"Kernels have no *{ast.unparse(node.value)} on the left; take the elements by their index."
    if (
        isinstance(node, ast.Tuple)
        and isinstance(node.ctx, ast.Load)
        and any(isinstance(e, ast.Starred) for e in node.elts)
    ):
        return "A tuple cannot be made from a row; write to the row by parts: obs[i, :2] = ..., obs[i, 2] = ..."
    if isinstance(node, ast.JoinedStr):
        return "An f-string makes a string, which kernels cannot; print(a, b) shows values."
    if isinstance(node, ast.Call) and any(keyword.arg is None for keyword in node.keywords):
        return "Kernels cannot take keywords from a dict (**); write them one by one."
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NO_KEYWORDS:
        for keyword in node.keywords:
            if keyword.arg in _NO_KEYWORDS[node.func.id]:
                return f"{node.func.id} has no {keyword.arg}= in a kernel; {_NO_KEYWORDS[node.func.id][keyword.arg]}."
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
        return "Kernels have no super(); call the function of the base class by its name: Base.function(...)."
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets if isinstance(node, ast.Assign | ast.AugAssign) else ():
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id in names[:2]:
            what = ast.unparse(target)
            if target.value.id == names[0]:
                return f"{what} is the array of all environments; for this one write {what}[i]."
            return f"{what} is a parameter, which kernels cannot change; keep what changes in State."
    return None


_NO_KEYWORDS = {
    "zip": {"strict": "leave it out"},
    "min": {"key": "write a for loop", "default": "test for it before"},
    "max": {"key": "write a for loop", "default": "test for it before"},
}


def _allocates(node: Any, function: Any) -> str | None:
    """Why an expression needs memory, which kernels do not allocate."""
    if isinstance(node, ast.Dict | ast.DictComp):
        return "A dict allocates memory; look values up in an array of Tables, or write if and elif."
    if isinstance(node, ast.Set | ast.SetComp):
        return "A set allocates memory; write x in (1, 2) for a few values, or keep an array of bool in State."
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        return "A comprehension allocates memory; write a for loop."
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("array", "asarray")):  # before what is in it
        for part in ast.walk(node):
            part.is_array = isinstance(part, ast.List)  # type: ignore[attr-defined]
    if isinstance(node, ast.List) and not getattr(node, "is_array", False):
        return "A list allocates memory; write a tuple, (1, 2, 3), or an array, np.array([1, 2, 3])."
    called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if called in ("map", "filter", "list", "dict", "set", "sorted"):
        return f"{called} makes a list or an object, which allocates memory; write a for loop."
    return None


def _by_text(text: str, here: Sequence[Any], function: Any) -> str:
    """The reason by what Numba says."""
    whole = _whole_field(here, function)
    if whole is not None:
        return f"{whole} is the array of all environments; for this one write {whole}[i]."
    for pattern, reason in _REASONS:
        match = re.search(pattern, text)
        if match:
            return reason(match, here, function)
    return f"{_first_sentence(text)}."


def _whole_field(here: Sequence[Any], function: Any) -> str | None:
    """A field of State that stands in these lines without an index; as an argument it may do so."""
    state = function.__code__.co_varnames[:1]
    if state != ("s",):  # a helper's
        return None
    used = {id(node.value) for node in here if isinstance(node, ast.Subscript | ast.Attribute)}
    used |= {id(argument) for node in here if isinstance(node, ast.Call) for argument in node.args}
    fields = (node for node in here if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "s")
    return next((ast.unparse(node) for node in fields if id(node) not in used), None)


Reason = Callable[[re.Match[str], Sequence[Any], Any], str]


def _unknown_attribute(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    name, kind = match["name"], match["kind"]
    if kind.startswith(("State", "Params")):
        fields = kind.partition("(")[0].split("__")[1:]
        what = "State" if kind.startswith("State") else "Params"
        return f"{what} has no field {name!r}.{did_you_mean(name, fields)} Fields: {', '.join(fields) or 'none'}."
    if kind.startswith("Stream"):
        return (
            f"rng.{name} does not exist; draw with the functions of puffer_numba.jit.random: uniform(rng, low, high), "
            "integer(rng, n), normal(rng)."
        )
    if kind.startswith("Agents"):
        return f"team has no {name!r}; it has reward, terminated and alive, each [i, agent]."
    module = re.match(r"Module\(<module '([\w.]+)'", kind)
    if module:
        return _not_in_kernels(module[1], name)
    if kind == "unicode_type" or kind.startswith("Literal[str]"):
        return _STRINGS
    return f"{_words(kind)} has no {name!r} in a kernel.{_remedy_for_array(name) if 'array' in kind else ''}"


_STRINGS = "Kernels cannot make strings, only compare constant ones (MODE == 'slow') and print them; use numbers."


def _not_in_kernels(module: str, name: str) -> str:
    if module == "math" and isinstance(getattr(np, name, None), np.ufunc):
        return f"math.{name} cannot be used in a kernel; np.{name} can."
    if module.partition(".")[0] in sys.stdlib_module_names or hasattr(np, module):
        return f"{module}.{name} cannot be used in a kernel; write it out, with functions of math or np."
    return f"{module}.{name} cannot be used in a kernel; make what it holds a parameter, or a field of Tables."


def _remedy_for_array(name: str) -> str:
    return f" np.{name}(...) works." if getattr(np, name, None) in FUNCTIONS else ""


def _no_implementation(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    call = match["call"]
    name, _, arguments = call.partition("(")
    if "index" in name or name in ("getitem", "setitem", "static_getitem", "static_setitem"):
        return _bad_index(call)
    called = next((ast.unparse(node.func) for node in here if isinstance(node, ast.Call)), name)
    words = _words(arguments.removesuffix(")"))
    if called in _OF_STRINGS or name == "_empty_string" or (name == "int" and "a string" in words):
        return _STRINGS
    dtypes = set(re.findall(r"an array of (\w+)", words))
    if len(dtypes) > 1 and any(_is_product(node) for node in here):
        return f"A matrix product of {' and '.join(sorted(dtypes))}: give both one dtype, q = row.astype(np.float32)."
    if name.startswith("KernelFunction"):
        name = called
    if called == "abs" and "array" in words:
        return "abs of a row is np.abs(row) in a kernel."
    if name in _OPERATORS:
        remedy = " Write t = t + (...)." if name == "iadd" and "uple" in words else ""
        return f"{_OPERATORS[name]} of {words} is not known.{remedy}"
    helper = next((f for f in called_functions(function) if f.__name__ == name), None)
    if helper is not None:
        module = str(helper.py_func.__globals__.get("__name__", ""))
        if module.partition(".")[0] in sys.stdlib_module_names:
            return _not_in_kernels(module, name)
        wanted = inspect.signature(helper.py_func)
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in wanted.parameters.values()):
            return f"{name}{wanted} takes any keywords (**), which kernels cannot: name its parameters."
        return f"{name}{wanted} cannot be called with ({words}): check the number of arguments and their types."
    return (
        f"{called} cannot be compiled for {words}: not of these types, or because it makes a new array. "
        "Write it as a loop."
    )


_OF_STRINGS = ("str", "repr", "bin", "hex", "oct", "chr", "format")


def _is_product(node: Any) -> bool:
    """Whether a node is ``a @ b`` or a call of ``np.dot`` and its like."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.MatMult)
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".dot", ".matmul", ".vdot"))


_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=", "and_": "&", "or_": "|", "xor": "^",
    "iadd": "+=", "isub": "-=", "imul": "*=", "itruediv": "/=", "neg": "-", "invert": "~", "contains": "in",
}  # fmt: skip


def _bad_index(call: str) -> str:
    holder, index, *stored = [*_arguments(call), "", ""][:3]
    stores = "setitem" in call
    if stores and "readonly" in holder:
        return "Params and Tables are read-only in kernels; copy what changes into State."
    if stores and any(word in stored[0] for word in ("str", "unicode", "none", "complex")):
        return f"A field of State cannot hold {_words(stored[0])}; it holds numbers."
    if stores and stored[0].startswith("array(") and ", 1d," in holder:
        return (
            "An array is given where one number is kept; give the field of State that shape: Annotated[np.float32, 3]."
        )
    if "Dispatcher" in holder or "Function" in holder:
        return "Functions in a tuple cannot be chosen by an index; write if and elif."
    if holder.startswith("Tuple("):
        return f"A tuple of several types, {_words(holder)}, takes constant indices only; give its elements one type."
    for part in _arguments(index) if index.startswith(("Tuple(", "UniTuple(")) else [index]:
        if "uple(" in part or "array(" in part:
            return "Several indices for one axis; write a for loop over them."
        for word in ("float", "bool"):
            if word in part:
                return f"An index is a {word}; write int(...)."
    return f"There is no such index: {_words(call)}. The first index of State and observations is i."


def _arguments(call: str) -> list[str]:
    """What is between the outer parentheses, split at the commas that are in no others."""
    found, depth = [""], 0
    for letter in call.partition("(")[2].removesuffix(")"):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [argument.strip() for argument in found]


def _untyped_global(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    name = match["name"]
    if name not in function.__globals__ and hasattr(builtins, name):
        return _STRINGS if name in _OF_STRINGS else f"{name}(...) cannot be used in a kernel."
    value = function.__globals__.get(name)
    if isinstance(value, tuple | list) and any(callable(one) for one in value):
        return f"{name} holds functions, which cannot be chosen by an index; write if and elif."
    if isinstance(value, tuple | list) and any(isinstance(one, str) for one in value):
        return f"{name} holds strings; kernels take arrays and tuples of numbers."
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    return (
        f"{name} is {article} {type(value).__name__}, which kernels cannot use; they take numbers, tuples of numbers, "
        "strings and NumPy arrays as constants, and functions."
    )


def _unknown_name(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    name = match["name"]
    if name == "self":
        return "Kernels have no self: what changes is in State, s.x[i], what does not in Params, p.x."
    return f"The name {name!r} is not defined.{did_you_mean(name, function.__globals__)}"


def _unify(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    name = f"{match['name']} is" if match["name"].isidentifier() else "This is"
    return f"{name} {_words(match['one'])} in one place and {_words(match['other'])} in another; give it one type."


def _new_array(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    """A helper returns an array that it makes, be it the author's or one inside NumPy's functions."""
    if match.string.splitlines()[1].startswith(match[0]):  # not within something that it calls
        return "A helper cannot return an array that it makes; let it fill one that is passed in, or a field of State."
    for node in here:
        test = getattr(node, "test", None)
        if isinstance(test, ast.Compare) and "array" in match.string:
            return f"A condition on a row: write ({ast.unparse(test)}).any() or .all()."
    called = next((ast.unparse(node.func) for node in here if isinstance(node, ast.Call)), None)
    if called in ("getattr", "abs"):
        return {"getattr": "Write s.name for getattr(s, 'name').", "abs": "abs of a row is np.abs(row) in a kernel."}[
            called
        ]
    called = called or next((ast.unparse(node) for node in here if isinstance(node, ast.BinOp)), "this")
    return (
        f"{called} makes a new array, which kernels cannot; write a loop, into np.zeros(...) or a field of State."
        f"{_remedy_for_method(called)}"
    )


def _remedy_for_method(called: str) -> str:
    row, _, name = called.rpartition(".")
    works = row not in ("", "np") and getattr(np, name, None) in FUNCTIONS
    return f" np.{name}({row}{', ...' * (name == 'clip')}) works." if works else ""


def _fixed(sentence: str) -> Reason:
    return lambda match, here, function: sentence


def _not_iterable(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    return f"{_words(match['kind'])} cannot be looped over; use for k in range(n), or name its fields."


def _added_tuple(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    for node in here:
        if isinstance(node, ast.AugAssign):
            value = ast.unparse(node.value)
            return f"A row and a tuple cannot be computed with; write np.array({value}) in place of {value}."
    return f"{_first_sentence(match.string)}."


_REASONS: list[tuple[str, Reason]] = [
    (r"'NoneType' object has no attribute 'args'", _added_tuple),
    (r"Invalid use of getiter with parameters \((?P<kind>.+)\)", _not_iterable),
    (r"Invalid use of (?:Int)?Enum class<\w+>\((?P<name>\w+)\)", lambda match, here, function: (
        f"{match['name']}(...) cannot be made in a kernel; compare with a member: action == {match['name']}.NAME.")),
    (r"len\((?:Int)?Enum class|(?:Int)?Enum class<\w+>\(\w+\)\)", _fixed(
        "Of an enum kernels know the members only; write the number, or a constant of the module.")),
    (r"First-class function type", _fixed("Functions in a tuple cannot be chosen by an index; write if and elif.")),
    (r"cell variable|function that may escape", _fixed(
        "An inner function cannot call itself or share variables that change; move it to the top of the file, with "
        "parameters for what it needs.")),
    (r"assigned to variable '(?P<name>\w+)' in globals", _untyped_global),
    (r"\*args in function call should be a tuple", _fixed(
        "Arguments can be spread from a tuple, not from a row; write f(row[0], row[1]).")),
    (r">>> \w+\(class\(", _fixed("Types are known before a kernel runs, and cannot be compared; leave this out.")),
    (r"the parts of the observation have several dtypes[^\n]*", lambda match, here, function: f"{match[0]}."),
    (r"returns a local array|Only accept returning of array", _new_array),
    (r"a local array of (\d+) bytes", lambda match, here, function: (
        f"A local array of {int(match[1]):,} bytes is too large for the stack; give State a field of that shape.")),
    (r"[Cc]annot unify (?P<one>.+?) and (?P<other>.+?) for '(?P<name>[^']+)'", _unify),
    (r"Unknown attribute '(?P<name>\w+)' of type (?P<kind>.+)", _unknown_attribute),
    (r"Cannot modify readonly array", _fixed(
        "Params and Tables are read-only in kernels; copy what changes into State.")),
    (r"module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'", lambda match, here, function: (
        f"{match['module']} has no {match['name']!r}.{did_you_mean(match['name'], dir(np))}")),
    (r"Illegal IR, del found", _fixed("Kernels have no del statement; the variable can just be left.")),
    (r"Invalid use of Module\(<module '(?P<name>\w+)'>\)", lambda match, here, function: (
        f"{match['name']} is a class, of which kernels cannot make objects; a NamedTuple of numbers works.")),
    (r"NameError: (?:global )?name '(?P<name>\w+)' is not defined", _unknown_name),
    (r"Untyped global name '(?P<name>\w+)'", _untyped_global),
    (r"Unsupported array index type (?P<kind>float|bool)", lambda match, here, function: (
        f"An index is a {match['kind']}; write int(...).")),
    (r"(?:Use of unsupported NumPy function|unsupported call:) '?(?P<name>[\w.]+)", lambda match, here, function: (
        f"{match['name'].replace('numpy.', 'np.')} cannot be used in a kernel; write it as a loop.")),
    (r"No implementation of function [^\n]+ found for signature:\s+>>> (?P<call>[^\n]+)", _no_implementation),
    (r"NRT required", _fixed("This needs memory, which kernels do not allocate; give State a field for it.")),
]  # fmt: skip


def _words(kind: Any) -> str:
    """Numba's types, as a reader knows them."""
    text = re.sub(r"Literal\[str\]\([^)]*\)", "a string", str(kind))
    text = re.sub(r"Literal\[\w+\]\(([^)]*)\)", r"\1", text)
    text = re.sub(r"(?:readonly )?array\((\w+), (\d)d, \w\)", r"an array of \1", text)
    text = re.sub(r"\b(State|Params|Stream|Agents)__\w*\([^()]*(?:\([^()]*\)[^()]*)*\)", r"\1", text)
    text = re.sub(r"UniTuple\((\w+) x (\d+)\)", r"a tuple of \2 \1", text)
    text = re.sub(r"^Tuple\((.*)\)$", r"(\1)", text)
    return text.replace("unicode_type", "a string").replace("none", "None")


def _first_sentence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("Failed in", "- Resolution", "During"))]
    return _words(said[0])[:300].rstrip(".") if said else "the compiler gives no reason"
