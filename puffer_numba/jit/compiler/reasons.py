"""Why a function does not compile, and what to write instead: by its syntax, or by what Numba says of a line of it.

Leans on the words of Numba's messages; where they are others, the reason is Numba's own first sentence.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from puffer_numba.errors import did_you_mean
from puffer_numba.jit.compiler.functions import called_functions
from puffer_numba.jit.compiler.language import FUNCTIONS


def never(node: Any, function: Any) -> str | None:
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


def allocates(node: Any, function: Any) -> str | None:
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


def by_text(text: str, here: Sequence[Any], function: Any) -> str:
    """The reason by what Numba says."""
    whole = _whole_field(here, function)
    if whole is not None:
        return f"{whole} is the array of all environments; for this one write {whole}[i]."
    for pattern, reason in _REASONS:
        match = re.search(pattern, text)
        if match:
            return reason(match, here, function)
    return f"{first_sentence(text)}."


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
    return f"{words(kind)} has no {name!r} in a kernel.{_remedy_for_array(name) if 'array' in kind else ''}"


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
    shown = words(arguments.removesuffix(")"))
    if called in _OF_STRINGS or name == "_empty_string" or (name == "int" and "a string" in shown):
        return _STRINGS
    dtypes = set(re.findall(r"an array of (\w+)", shown))
    if len(dtypes) > 1 and any(_is_product(node) for node in here):
        return f"A matrix product of {' and '.join(sorted(dtypes))}: give both one dtype, q = row.astype(np.float32)."
    if name.startswith("KernelFunction"):
        name = called
    if called == "abs" and "array" in shown:
        return "abs of a row is np.abs(row) in a kernel."
    if name in _OPERATORS:
        remedy = " Write t = t + (...)." if name == "iadd" and "uple" in shown else ""
        return f"{_OPERATORS[name]} of {shown} is not known.{remedy}"
    helper = next((f for f in called_functions(function) if f.__name__ == name), None)
    if helper is not None:
        module = str(helper.py_func.__globals__.get("__name__", ""))
        if module.partition(".")[0] in sys.stdlib_module_names:
            return _not_in_kernels(module, name)
        wanted = inspect.signature(helper.py_func)
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in wanted.parameters.values()):
            return f"{name}{wanted} takes any keywords (**), which kernels cannot: name its parameters."
        return f"{name}{wanted} cannot be called with ({shown}): check the number of arguments and their types."
    return (
        f"{called} cannot be compiled for {shown}: not of these types, or because it makes a new array. "
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
        return f"A field of State cannot hold {words(stored[0])}; it holds numbers."
    if stores and stored[0].startswith("array(") and ", 1d," in holder:
        return (
            "An array is given where one number is kept; give the field of State that shape: Annotated[np.float32, 3]."
        )
    if "Dispatcher" in holder or "Function" in holder:
        return "Functions in a tuple cannot be chosen by an index; write if and elif."
    if holder.startswith("Tuple("):
        return f"A tuple of several types, {words(holder)}, takes constant indices only; give its elements one type."
    for part in _arguments(index) if index.startswith(("Tuple(", "UniTuple(")) else [index]:
        if "uple(" in part or "array(" in part:
            return "Several indices for one axis; write a for loop over them."
        for word in ("float", "bool"):
            if word in part:
                return f"An index is a {word}; write int(...)."
    return f"There is no such index: {words(call)}. The first index of State and observations is i."


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
    return f"{name} {words(match['one'])} in one place and {words(match['other'])} in another; give it one type."


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
    return f"{words(match['kind'])} cannot be looped over; use for k in range(n), or name its fields."


def _added_tuple(match: re.Match[str], here: Sequence[Any], function: Any) -> str:
    for node in here:
        if isinstance(node, ast.AugAssign):
            value = ast.unparse(node.value)
            return f"A row and a tuple cannot be computed with; write np.array({value}) in place of {value}."
    return f"{first_sentence(match.string)}."


_REASONS: list[tuple[str, Reason]] = [
    (r"'NoneType' object has no attribute 'args'", _added_tuple),
    (r"delitem", _fixed("Arrays keep their size, so that nothing can be deleted; count how many elements are in use.")),
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
        f"{match['name']} is a class, of which kernels cannot make objects; a NamedTuple of numbers works, and loops "
        "do what itertools does.")),
    (r"NameError: (?:global )?name '(?P<name>\w+)' is not defined", _unknown_name),
    (r"Untyped global name '(?P<name>\w+)'", _untyped_global),
    (r"Unsupported array index type (?P<kind>float|bool)", lambda match, here, function: (
        f"An index is a {match['kind']}; write int(...).")),
    (r"(?:Use of unsupported NumPy function|unsupported call:) '?(?P<name>[\w.]+)", lambda match, here, function: (
        f"{match['name'].replace('numpy.', 'np.')} cannot be used in a kernel; write it as a loop.")),
    (r"No implementation of function [^\n]+ found for signature:\s+>>> (?P<call>[^\n]+)", _no_implementation),
    (r"NRT required", _fixed("This needs memory, which kernels do not allocate; give State a field for it.")),
]  # fmt: skip


def words(kind: Any) -> str:
    """Numba's types, as a reader knows them."""
    text = re.sub(r"Literal\[str\]\([^)]*\)", "a string", str(kind))
    text = re.sub(r"Literal\[\w+\]\(([^)]*)\)", r"\1", text)
    text = re.sub(r"(?:readonly )?array\((\w+), (\d)d, \w\)", r"an array of \1", text)
    text = re.sub(r"\b(State|Params|Stream|Agents)__\w*\([^()]*(?:\([^()]*\)[^()]*)*\)", r"\1", text)
    text = re.sub(r"UniTuple\((\w+) x (\d+)\)", r"a tuple of \2 \1", text)
    text = re.sub(r"^Tuple\((.*)\)$", r"(\1)", text)
    return text.replace("unicode_type", "a string").replace("none", "None")


def first_sentence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("Failed in", "- Resolution", "During"))]
    return words(said[0])[:300].rstrip(".") if said else "the compiler gives no reason"
