"""Plain Python functions, made ready for Numba: specialised to a float type, and cacheable.

An author writes ordinary functions. Before Numba sees them, `specialize` makes a copy of each, and of
every helper it calls, in which

- float literals have the environment's float type (``0.5 * x`` stays float32 where ``x`` is; plain
  Numba would compute it in float64, at half the speed; NumPy 2 has the same rule for scalars), as have
  ``math.pi`` and its like, and what ``float(x)`` gives;
- each function is a `KernelFunction`, which Numba can call, and which is pickled as a hash of its
  content. Numba keys its on-disk cache with the pickle of a kernel's closure. So a second process
  finds the machine code again, whatever module the function came from, ``__main__`` included, and an
  edit to any function reachable from the kernel, in whatever file, is a miss. (Numba by itself
  notices neither: a Dispatcher in a closure has a random id and always misses, and an edited helper in
  another file is served stale.)
"""

from __future__ import annotations

import dis
import enum
import hashlib
import inspect
import math
import random
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

from puffer_numba.jit.compiler import language, literals, local, rows
from puffer_numba.jit.compiler.language import FUNCTIONS, numpy_for_kernels
from puffer_numba.jit.compiler.local import CONSTRUCTORS
from puffer_numba.jit.compiler.parts import JIT_OPTIONS, LINKED, OVERLOADED, part

# Their functions are Numba's business; walking into them would hash half of NumPy.
_FOREIGN = ("numba", "numpy", "math", "builtins", "operator", "cmath", "typing", "collections")


class kernel(staticmethod):
    """Marks a function that runs inside a kernel: ``reset_env``, ``step_env``, ``observe_env``, or a helper.

    It stays callable from plain Python. Helpers called from a kernel need no decorator.
    """

    def __reduce__(self) -> tuple[Any, ...]:  # an environment of the main script goes to other processes by value
        return type(self), (self.__func__,)


class KernelFunction:
    """A Python function that Numba-compiled code can call, pickled as a hash of its content."""

    def __init__(self, py_func: Callable[..., Any], key: str, content: str, jit_options: Any = JIT_OPTIONS) -> None:
        self.py_func = py_func
        self.key = key
        self.content = content  # hash of the author's function, whatever the float type
        self.__name__ = py_func.__name__
        self.calls: list[tuple[Any, ...]] = []
        """Numba's types of the arguments it was called with, where it failed to compile one may be why."""

        part(self, jit_options)(_with_parameters_of(py_func, self._implement))

    def _implement(self, *args: Any) -> Callable[..., Any]:
        """What Numba asks for with the types of the arguments."""
        if args not in self.calls:
            self.calls.append(args)
        return self.py_func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.py_func(*args, **kwargs)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return (str, (f"KernelFunction {self.key}",))

    def __repr__(self) -> str:
        return f"KernelFunction({self.__name__}, {self.key[:8]})"


def _with_parameters_of(py_func: Callable[..., Any], implement: Callable[..., Any]) -> Callable[..., Any]:
    """``implement`` with the parameters of ``py_func``, by which Numba understands keywords and defaults."""
    parameters = inspect.signature(py_func).parameters.values()
    declared, passed, defaults = [], [], {}
    for parameter in parameters:
        star = "*" * (parameter.kind is parameter.VAR_POSITIONAL)
        if parameter.default is not parameter.empty:
            defaults[f"default_{parameter.name}"] = parameter.default
        has_default = f"default_{parameter.name}" in defaults
        declared.append(star + parameter.name + f"=default_{parameter.name}" * has_default)
        passed.append(star + parameter.name)
    return eval(f"lambda {', '.join(declared)}: implement({', '.join(passed)})", {"implement": implement, **defaults})


def kernel_function(function: Callable[..., Any], jit_options: Any = JIT_OPTIONS) -> KernelFunction:
    """``function`` as it is, and its helpers, callable from Numba."""
    return specialize(function, np.float64, jit_options)


_LANGUAGE = hashlib.sha256(
    b"".join(Path(str(m.__file__)).read_bytes() for m in (language, literals, local, rows))
).hexdigest()
"""What kernels find as NumPy is in every hash."""

_specialized: dict[str, KernelFunction] = {}
_in_progress: list[str] = []
_lock = threading.RLock()


def specialize(
    wrapped: Callable[..., Any],
    float_type: type[np.floating[Any]],
    jit_options: Any = JIT_OPTIONS,
) -> KernelFunction:
    """``wrapped`` and all it calls, with float literals of ``float_type``, callable from Numba.

    The result depends on the content alone: the same function gives the same object.
    """
    function: types.FunctionType = _unwrap(wrapped)
    bounds = jit_options["boundscheck"], numba.config.BOUNDSCHECK  # type: ignore[attr-defined] # NUMBA_BOUNDSCHECK=1
    options = (sorted(jit_options["fastmath"]), sorted(jit_options), bounds, LINKED, _LANGUAGE)
    content = content_hash(function)
    key = _digest(content, float_type.__name__, *options)
    with _lock:  # of _specialized and _in_progress: threads may make environments at the same time
        if key in _in_progress:
            from puffer_numba.jit.compiler.explain import Problem

            reason = f"{function.__name__} calls itself; kernels cannot recurse: write a loop."
            raise Problem(function, function.__code__.co_firstlineno, reason).described()
        if key not in _specialized:
            _in_progress.append(key)
            try:
                copied = _copy(function, float_type, jit_options)
                _specialized[key] = KernelFunction(copied, key, content, jit_options)
            finally:
                _in_progress.pop()
        return _specialized[key]


def _copy(function: types.FunctionType, float_type: type[np.floating[Any]], jit_options: Any) -> types.FunctionType:
    """The function, its float literals cast and its helpers specialised."""
    _check_random(function)
    _check_meaning(function)
    values = {name: _specialize_value(value, float_type, jit_options) for name, value in _global_values(function)}
    code, parameter_defaults = _without_keyword_only(function)
    py_func = types.FunctionType(
        _with_float_literals(code, float_type),
        {**_BUILTINS, "float": float_type, **function.__globals__, **values},
        function.__name__,
        _cast_literal(parameter_defaults, float_type),
        _specialized_closure(function, float_type, jit_options),
    )
    _specialize_attributes(py_func)
    py_func.__module__ = __name__  # Numba imports it when it loads the machine code; the author's may be gone by then
    py_func.__qualname__ = function.__qualname__
    return py_func


def _specialize_attributes(py_func: types.FunctionType) -> None:
    """Make ready what a function takes from modules and classes: Numba knows none that is made while it types."""
    values = {**dict(_global_values(py_func)), **_cells(py_func)}
    owner: Any = None
    for code in _codes(py_func.__code__):
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_DEREF"):
                owner = values.get(instruction.argval)
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                owner = getattr(owner, instruction.argval, None) if isinstance(owner, _SpecializedModule) else None
            elif instruction.opname not in ("CACHE", "PRECALL", "PUSH_NULL"):
                owner = None


def _check_random(function: types.FunctionType) -> None:
    """Refuse what draws from a stream of Python's or NumPy's own: Numba would compile it."""
    values = {**dict(_global_values(function)), **_cells(function)}
    previous: Any = None
    for code in _codes(function.__code__):
        for instruction in dis.get_instructions(code):
            name, value = instruction.argval, None
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_DEREF"):
                value = values.get(name)
            elif previous is np and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                value = getattr(np, name, None)
            if any(one is random_one for one in (value, getattr(value, "__self__", None)) for random_one in _RANDOM):
                from puffer_numba.jit.compiler.explain import not_seeded

                what = f"np.{name}" if previous is np else name
                positions = instruction.positions
                raise not_seeded(function, (positions and positions.lineno) or code.co_firstlineno, what)
            if instruction.opname not in ("CACHE", "PRECALL", "PUSH_NULL"):
                previous = value


def _check_meaning(function: types.FunctionType) -> None:
    """Refuse what Numba would compile, to something else than it is in plain Python."""
    previous: Any = None
    for code in _codes(function.__code__):
        for instruction in dis.get_instructions(code):
            name, value = instruction.opname, instruction.argval
            reason = ""
            if name == "LOAD_CONST" and type(value) is int and not -(2**63) <= value < 2**64:
                reason = f"{value} has more than 64 bits, which kernels compute with."
            elif name == "IS_OP" and isinstance(previous, bool):
                reason = f"What is computed is not the object {previous}; write the condition alone, or == {previous}."
            elif name == "LOAD_GLOBAL" and value == "isinstance" and value not in function.__globals__:
                reason = "Numbers have NumPy's types in plain Python, and others in a kernel; leave isinstance out."
            if reason:
                from puffer_numba.jit.compiler.explain import Problem

                positions = instruction.positions
                raise Problem(function, (positions and positions.lineno) or code.co_firstlineno, reason).described()
            previous = value


def _without_keyword_only(function: types.FunctionType) -> tuple[types.CodeType, tuple[Any, ...] | None]:
    """Code and defaults of a function whose keyword-only parameters are ordinary ones: Numba knows no others."""
    code, defaults, by_keyword = function.__code__, function.__defaults__ or (), function.__kwdefaults__ or {}
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    required = [name for name in names if name not in by_keyword]
    if code.co_flags & inspect.CO_VARARGS or (required and (defaults or by_keyword)):
        return code, function.__defaults__
    code = code.replace(co_argcount=code.co_argcount + len(names), co_kwonlyargcount=0)
    return code, (*defaults, *(by_keyword[name] for name in names if name in by_keyword)) or None


def called_functions(function: Any) -> list[KernelFunction]:
    """Those that a function made by `specialize` names."""
    values = [*(value for _, value in _global_values(function)), *_cells(function).values()]
    values += [v for module in values if isinstance(module, _SpecializedModule) for v in vars(module).values()]
    return [value for value in values if isinstance(value, KernelFunction)]


def content_hash(function: Callable[..., Any]) -> str:
    """Hash of a function's code, of the constants it reads and of every Python function it can reach."""
    return _hash_function(_unwrap(function), set())


def _digest(*parts: object) -> str:
    return hashlib.sha256("\x00".join(map(str, parts)).encode()).hexdigest()


def _unwrap(function: Any) -> Any:
    if isinstance(function, staticmethod):
        return function.__func__
    return getattr(function, "py_func", function)  # a Dispatcher or a KernelFunction


def _is_helper(value: Any) -> bool:
    """Whether ``value`` is somebody's Python function, which Numba could not call as it is."""
    if isinstance(value, staticmethod):
        return True
    return (
        isinstance(value, types.FunctionType)
        and value.__module__.partition(".")[0] not in _FOREIGN
        and not hasattr(value, OVERLOADED)
    )


def _specialize_value(value: Any, float_type: type[np.floating[Any]], jit_options: Any) -> Any:
    if _is_helper(value):
        return specialize(value, float_type, jit_options)
    numpy: Any = numpy_for_kernels(float_type)  # type: ignore[arg-type]
    if value is np:
        return numpy
    if value is np.linalg:
        return numpy.linalg
    if _is_namespace(value) or value is math:  # math for its constants
        return _SpecializedModule(value, float_type, jit_options)
    if isinstance(value, list):
        return _constant_array(value, float_type)
    if type(value) is float:
        return float_type(value)
    if isinstance(value, enum.Enum) and isinstance(value, _BY_VALUE):
        return value.value  # type: ignore[union-attr]
    if not callable(value):
        return value
    name = getattr(value, "__name__", "")
    if name in CONSTRUCTORS and value is getattr(np, name):  # from numpy import zeros
        return getattr(numpy, name)
    return FUNCTIONS.get(value, value)


_RANDOM: tuple[Any, ...] = (random, np.random, random.random.__self__, np.random.random.__self__)  # type: ignore[attr-defined]
_BUILTINS = {function.__name__: FUNCTIONS[function] for function in (any, all, reversed, sum)}


_BY_VALUE = (str, enum.IntFlag)
"""Enums whose members are their values in kernels; Numba has integers only, without ``|``."""


def _is_namespace(value: Any) -> bool:
    """Whether ``value`` is somebody's module, or a class that kernels can only take constants and functions from."""
    if isinstance(value, types.ModuleType):
        return _is_own(value)
    if isinstance(value, enum.EnumMeta) and issubclass(value, _BY_VALUE):
        return True
    known = (tuple, enum.Enum, np.generic, bool, int, float, complex, BaseException)  # which Numba can call
    return isinstance(value, type) and _is_own(value) and not issubclass(value, known)


def _constant_array(value: list[Any], float_type: type[np.floating[Any]]) -> Any:
    """A list of numbers as an array, which Numba takes as a constant; other lists as they are."""
    try:
        array = np.array(value)
    except ValueError:  # ragged
        return value
    if array.dtype.kind not in "biuf" or array.size == 0:
        return value
    return array.astype(float_type) if array.dtype == np.float64 else array


def _is_own(owner: types.ModuleType | type) -> bool:
    """Whether a module or class is neither Python's, Numba's nor NumPy's."""
    name = owner.__module__ if isinstance(owner, type) else owner.__name__
    return name.partition(".")[0] not in _FOREIGN


class _SpecializedModule(types.ModuleType):
    """A module or class whose functions and constants are specialised when Numba asks for them: ``helpers.f(x)``."""

    def __init__(self, module: Any, float_type: type[np.floating[Any]], jit_options: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__["_specialize"] = lambda name: _specialize_value(getattr(module, name), float_type, jit_options)

    def __getattr__(self, name: str) -> Any:
        value = self.__dict__["_specialize"](name)
        self.__dict__[name] = value
        return value


def _specialized_closure(
    function: types.FunctionType, float_type: type[np.floating[Any]], jit_options: Any
) -> tuple[types.CellType, ...] | None:
    if function.__closure__ is None:
        return None
    return tuple(
        types.CellType(_specialize_value(cell.cell_contents, float_type, jit_options)) for cell in function.__closure__
    )


def _with_float_literals(code: types.CodeType, float_type: type[np.floating[Any]]) -> types.CodeType:
    if float_type is np.float64:
        return code
    return code.replace(co_consts=tuple(_cast_literal(c, float_type) for c in code.co_consts))


def _cast_literal(value: Any, float_type: type[np.floating[Any]]) -> Any:
    if type(value) is float:
        return float_type(value)
    if type(value) is tuple:
        return tuple(_cast_literal(item, float_type) for item in value)
    if isinstance(value, types.CodeType):
        return _with_float_literals(value, float_type)
    return value


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def _global_values(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Name and value of each global that the function reads, builtins left out."""
    names = sorted(
        {i.argval for c in _codes(function.__code__) for i in dis.get_instructions(c) if i.opname == "LOAD_GLOBAL"}
    )
    return [(n, function.__globals__[n]) for n in names if n in function.__globals__]


def _cells(function: types.FunctionType) -> dict[str, Any]:
    """Name and value of each variable of an enclosing function."""
    closure = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, closure, strict=True)}


def _attribute_values(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Values reached as ``module.name`` or ``Class.name``, but for those of Numba and NumPy."""
    found = []
    cells = _cells(function)
    for code in _codes(function.__code__):
        owner: Any = None
        for instruction in dis.get_instructions(code):
            if instruction.opname == "LOAD_GLOBAL":
                owner = function.__globals__.get(instruction.argval)
            elif instruction.opname == "LOAD_DEREF":
                owner = cells.get(instruction.argval)
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(owner, types.ModuleType | type):
                value = getattr(owner, instruction.argval, None)
                if _is_own(owner):
                    found.append((f"{owner.__name__}.{instruction.argval}", value))
                owner = value
            elif instruction.opname not in ("CACHE", "PRECALL", "PUSH_NULL"):
                owner = None
    return found


def _hash_function(function: Any, seen: set[int]) -> str:
    if id(function) in seen:  # recursion
        return function.__qualname__
    seen.add(id(function))
    values = [*_global_values(function), *_cells(function).items(), *_attribute_values(function)]
    return _digest(
        _hash_code(function.__code__, function.__doc__),
        _hash_value(function.__defaults__, seen),
        *(f"{name}={_hash_value(value, seen)}" for name, value in sorted((function.__kwdefaults__ or {}).items())),
        *(f"{name}={_hash_value(value, seen)}" for name, value in values),
    )


def _hash_code(code: types.CodeType, docstring: str | None = None) -> str:
    consts = [
        _hash_code(c) if isinstance(c, types.CodeType) else f"{type(c)}{c!r}"
        for c in code.co_consts
        if c is not docstring
    ]
    return _digest(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, *consts)


def _hash_value(value: Any, seen: set[int]) -> str:
    if hasattr(value, OVERLOADED):
        return str(getattr(value, OVERLOADED))
    if isinstance(value, numba.core.dispatcher.Dispatcher):
        return _digest(_hash_function(value.py_func, seen), sorted(value.targetoptions.items(), key=str))
    if isinstance(value, KernelFunction):
        return value.key  # of its content, and of how it is compiled
    if _is_helper(value):
        return _hash_function(_unwrap(value), seen)
    if isinstance(value, tuple | list):
        return _digest(type(value).__name__, *(_hash_value(item, seen) for item in value))
    if isinstance(value, np.ndarray):
        return _digest(value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes().hex())
    if isinstance(value, type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    return f"{type(value)}{value!r}"
