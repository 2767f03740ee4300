"""What a JitEnv class declares, checked and turned into arrays and numbers that kernels take."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import numba
import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from numpy.typing import NDArray

from puffer_numba import errors
from puffer_numba.env import APIUsageError
from puffer_numba.jit.bounds import bounds_of, describe, within
from puffer_numba.jit.compiler.tuples import tuple_class
from puffer_numba.memory import check_room

ParamsClass = TypeVar("ParamsClass", bound=type)

_RESERVED = ("num_envs", "seed", "buf", "dtype", "jit", "debug", "autoreset", "max_episode_steps", "first_env")


class UnknownParameter(APIUsageError, ValueError):
    """A keyword argument that the environment's class does not have."""


def with_defaults(params: ParamsClass, **defaults: Any) -> ParamsClass:
    """The same ``Params`` with other defaults, for an environment that derives from another.

    ::

        class Params(NamedTuple):
            force: float = 0.001
            gravity: float = 0.0025

        Params = with_defaults(MountainCar.Params, force=0.0015)

    Raises:
        APIUsageError: there is no such parameter.
    """
    base: Any = params
    unknown = [name for name in defaults if name not in base._fields]
    if unknown:
        known = ", ".join(base._fields)
        raise APIUsageError(f"with_defaults: {base.__qualname__} has no parameter {unknown[0]!r}. Parameters: {known}.")
    all_defaults = {**base._field_defaults, **defaults}

    def new(cls: type, *args: Any, **given: Any) -> Any:
        rest = {name: all_defaults[name] for name in base._fields[len(args) :] if name in all_defaults}
        return base.__new__(cls, *args, **{**rest, **given})

    # Python finds its source by these, and in that what describes each field
    namespace = {n: getattr(base, n) for n in ("__module__", "__qualname__", "__firstlineno__") if hasattr(base, n)}
    namespace |= {"__slots__": (), "__new__": new, "_field_defaults": all_defaults}
    return type(base.__name__, (base,), namespace)  # type: ignore[return-value]


def check_class(cls: type) -> None:
    """Raise unless ``cls`` declares everything a JitEnv must."""
    needed = ("State", "reset_env", "step_env", "observe_env", "single_observation_space", "single_action_space")
    missing = [name for name in needed if not hasattr(cls, name)]
    if missing:
        raise APIUsageError(f"{cls.__name__} does not declare {', '.join(missing)}; see help(JitEnv).")
    for name in ("State", "Params", "Tables"):
        declared = getattr(cls, name)
        if not (isinstance(declared, type) and issubclass(declared, tuple) and hasattr(declared, "_fields")):
            raise APIUsageError(f"{cls.__name__}.{name} must be a NamedTuple class, not {declared!r}.")
    clash = sorted(set(cls.Params._fields) & set(_RESERVED))  # type: ignore[attr-defined]
    if clash:
        raise APIUsageError(f"{cls.__name__}.Params: {clash} are names of JitEnv's own arguments; choose others.")
    clash = sorted(set(cls.Params._fields) & set(cls.Tables._fields))  # type: ignore[attr-defined]
    if clash:
        raise APIUsageError(f"{cls.__name__}.Tables: {clash} are names of params; choose others.")
    _check_parameters(cls)
    for name in cls.metrics:  # type: ignore[attr-defined]
        if name in cls.State._fields and get_origin(_hints(cls, "State")[name]) is Annotated:  # type: ignore[attr-defined]
            raise APIUsageError(
                f"{cls.__name__}.metrics: {name} is an array; a metric is one number for each environment: make it a "
                "field of State of its own."
            )
    for kind in ("info", "metrics"):
        unknown = [name for name in getattr(cls, kind) if name not in cls.State._fields]  # type: ignore[attr-defined]
        if unknown:
            raise APIUsageError(f"{cls.__name__}.{kind}: {unknown} are not fields of State.")


def _check_parameters(cls: Any) -> None:
    """Raise unless the author's functions take what they are called with."""
    team = [] if cls.agents is None else ["team"]
    wanted = {
        "reset_env": ["s", "p", "i", "rng", *team],
        "step_env": ["s", "p", "i", "action", "rng", *team],
        "observe_env": ["s", "p", "i", "obs"],
    }
    for name, parameters in wanted.items():
        function = getattr(cls, name)
        try:
            inspect.signature(function).bind(*parameters)
        except TypeError as error:
            raise APIUsageError(
                f"{cls.__name__}.{name}{inspect.signature(function)} is called with ({', '.join(parameters)}): {error}."
            ) from None
        if not isinstance(inspect.getattr_static(cls, name), staticmethod):
            raise APIUsageError(f"{cls.__name__}.{name} is no kernel: write @kernel above it.")


def integer(cls: type, name: str, value: Any) -> int:
    """``value`` as an int, if it is one."""
    return errors.integer(f"{cls.__name__}: {name}", value)


def positive_int(cls: type, name: str, value: Any) -> int:
    """``value`` as an int of at least 1."""
    return errors.integer(f"{cls.__name__}: {name}", value, minimum=1)


def float_type(cls: type, dtype: Any) -> type[np.floating[Any]]:
    """np.float32 or np.float64."""
    try:
        resolved = np.dtype(dtype)
    except TypeError:
        resolved = None
    if resolved == np.float32:
        return np.float32
    if resolved == np.float64:
        return np.float64
    raise APIUsageError(f"{cls.__name__}: dtype is {dtype!r}; expected 'float32' or 'float64'.")


def debug_mode(cls: type, debug: Any, jit: bool) -> bool:
    """Whether accesses are checked: as given; else in plain Python, and where an environment variable asks for it,
    ours or Numba's NUMBA_BOUNDSCHECK."""
    if debug is None:
        asked = os.environ.get("PUFFER_NUMBA_DEBUG", "0") not in ("", "0") or numba.config.BOUNDSCHECK  # type: ignore[attr-defined]
        return not jit or bool(asked)
    if not isinstance(debug, bool):
        raise APIUsageError(f"{cls.__name__}: debug is {debug!r}; expected True, False, or None for the default.")
    return debug


def make_params(cls: Any, given: Mapping[str, Any], floats: type[np.floating[Any]]) -> Any:
    """What kernels take as ``p``: the class's Params with the values given, after ``setup``, and its Tables.

    Raises:
        ValueError: a parameter is unknown, of another type than declared, or out of its bounds.
        APIUsageError: one that has no default is missing, or the class is wrong.
    """
    declared = cls.Params
    unknown = sorted(set(given) - set(declared._fields))
    if unknown:
        hint = errors.did_you_mean(unknown[0], declared._fields + _RESERVED)
        known = ", ".join(declared._fields) or "none"
        raise UnknownParameter(
            f"{cls.__name__} has no parameter {unknown[0]!r}.{hint} Parameters: {known}. "
            f"Given: {unknown[0]}={given[unknown[0]]!r}."
        )
    missing = [n for n in declared._fields if n not in given and n not in declared._field_defaults]
    if missing:
        raise APIUsageError(f"{cls.__name__} needs a value for {', '.join(missing)}.")
    params = declared(**_cast_all(cls, "Params", {**declared._field_defaults, **given}, floats))
    for method in ("setup", "tables"):
        if not inspect.ismethod(getattr(cls, method)):
            raise APIUsageError(f"{cls.__name__}.{method} is no class method: write @classmethod above it.")
    checked = cls.setup(params)
    params = params if checked is None else checked
    tables = cls.tables(params)
    if not isinstance(tables, cls.Tables):
        raise APIUsageError(f"{cls.__name__}.tables() returned {type(tables).__name__}; expected its Tables.")
    values = _cast_all(cls, "Params", params._asdict(), floats) | _cast_all(cls, "Tables", tables._asdict(), floats)
    return tuple_class("Params", values)(*values.values())


def _cast_all(cls: type, kind: str, values: Mapping[str, Any], floats: type[np.floating[Any]]) -> dict[str, Any]:
    """Values of ``cls.Params`` or ``cls.Tables`` in the order of their fields, as they are declared, within bounds."""
    return {name: _cast(cls, kind, name, values[name], hint, floats) for name, hint in _hints(cls, kind).items()}


def _cast(cls: type, kind: str, name: str, value: Any, hint: Any, floats: type[np.floating[Any]]) -> Any:
    metadata: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:  # Annotated[float, np.float64, Gt(0)]
        hint, *rest = get_args(hint)
        metadata = tuple(rest)
    for item in metadata:
        if isinstance(item, type) and issubclass(item, np.floating):
            floats = item
    try:
        bounds = bounds_of(metadata)
    except TypeError as error:
        raise APIUsageError(f"{cls.__name__}.{kind}.{name}: {error}.") from error
    problem = f"{cls.__name__}: parameter {name} is {{}}; expected {{}}."
    if hint in (bool, int, float):
        cast: Any = _cast_number(value, hint, floats, problem)
        shown = f"{cast:g}" if hint is float else str(cast)
    else:
        cast = _cast_array(value, hint, floats, problem)
        shown = str(cast.tolist())
    if not within(cast, bounds):
        raise ValueError(problem.format(shown, f"{'each ' if np.ndim(cast) else ''}{describe(bounds)}"))
    return cast


def _cast_number(value: Any, hint: type, floats: type[np.floating[Any]], problem: str) -> Any:
    if hint is bool:
        if not isinstance(value, bool | np.bool_):
            raise ValueError(problem.format(repr(value), "True or False"))
        return bool(value)
    allowed: Any = int | np.integer if hint is int else int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise ValueError(problem.format(repr(value), "an integer" if hint is int else "a number"))
    return int(value) if hint is int else floats(value)


def _cast_array(value: Any, hint: Any, floats: type[np.floating[Any]], problem: str) -> NDArray[Any]:
    array = np.array(value, order="C")
    if array.dtype.kind not in "iufb":
        raise ValueError(problem.format(repr(value), "an array of numbers"))
    own = get_args(get_args(hint)[1]) if len(get_args(hint)) == 2 else ()  # NDArray[np.float64]: as it says
    if own and isinstance(own[0], type) and issubclass(own[0], np.generic):
        array = array.astype(own[0])
    elif array.dtype == np.float64:
        array = array.astype(floats)
    array.setflags(write=False)
    return array


def make_state(cls: Any, num_envs: int, params: Any, floats: type[np.floating[Any]]) -> Any:
    """One array of ``num_envs`` rows for each State field, all zero.

    Raises:
        APIUsageError: a size is wrong, or all of them together do not fit into memory.
    """
    shapes = {}
    for name, hint in _hints(cls, "State").items():
        dtype = _state_dtype(cls, name, hint, floats)
        sizes = hint.__metadata__ if get_origin(hint) is Annotated else ()
        shape = tuple(evaluate_size(cls, f"State.{name}", size, params) for size in sizes)
        shapes[name] = (num_envs, *shape), dtype
    _check_fits(cls, shapes)
    return tuple_class("State", cls.State._fields)(*(np.zeros(shape, dtype) for shape, dtype in shapes.values()))


def _check_fits(cls: type, shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
    """Raise if arrays need more than there is: the system would end the process, some steps into the run."""
    nbytes = {name: math.prod(shape) * dtype.itemsize for name, (shape, dtype) in shapes.items()}
    if nbytes:
        largest = max(nbytes, key=lambda name: nbytes[name])
        shape, dtype = shapes[largest]
        what = f"{cls.__name__}.State, whose State.{largest} is {dtype} of shape {shape},"
        check_room(what, sum(nbytes.values()), "Make fewer, or that smaller.")


def _state_dtype(cls: Any, name: str, hint: Any, floats: type[np.floating[Any]]) -> np.dtype[Any]:
    scalar = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    try:
        dtype = np.dtype({float: floats, int: np.int32, bool: np.bool_}.get(scalar, scalar))
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise APIUsageError(
            f"{cls.__name__}.State.{name} is {hint!r}; expected float, int, bool, a NumPy scalar type, "
            "or Annotated[type, size, ...]."
        )
    return dtype


def state_defaults(cls: Any, floats: type[np.floating[Any]]) -> tuple[tuple[int, Any], ...]:
    """Position and value of the State fields that have a default, which is what an episode begins with.

    Raises:
        APIUsageError: a default is not a number that its field can hold.
    """
    found = []
    for name, value in cls.State._field_defaults.items():
        dtype = _state_dtype(cls, name, _hints(cls, "State")[name], floats)
        scalar = value.item() if isinstance(value, np.generic) else value
        allowed = {"b": bool, "f": int | float}.get(dtype.kind, int)
        is_number = isinstance(scalar, allowed) and isinstance(scalar, bool) == (dtype.kind == "b")
        if not is_number or (dtype.kind in "iu" and not np.iinfo(dtype).min <= scalar <= np.iinfo(dtype).max):
            raise APIUsageError(
                f"{cls.__name__}.State.{name}: its default is {value!r}; expected a number that {dtype} holds, which "
                "each element begins an episode with. Set others in reset_env."
            )
        found.append((cls.State._fields.index(name), scalar))
    return tuple(found)


def evaluate_size(cls: type, where: str, size: Any, params: Any) -> int:
    """A size that is a number, a function of the params, or an expression of them such as ``"2 * size + 1"``."""
    value, shown = size, getattr(size, "__name__", repr(size))
    try:
        if isinstance(size, str):
            value = eval(size, {"__builtins__": {"min": min, "max": max, "len": len}}, params._asdict())
        elif callable(size):
            value = size(params)
    except Exception as error:
        raise APIUsageError(
            f"{cls.__name__}.{where}: cannot compute the size {shown} from the params: {error}."
        ) from error
    if not errors.is_integer(value) or value < 1:
        raise APIUsageError(f"{cls.__name__}.{where}: size {shown} is {value!r}; expected a positive integer.")
    return int(value)


def count_agents(cls: Any, params: Any) -> int | None:
    """Agents in one environment; None for an environment that is its only agent."""
    return None if cls.agents is None else evaluate_size(cls, "agents", cls.agents, params)


def make_space(cls: type, name: str, params: Any) -> Space[Any]:
    """A copy of a space, for its random generator is its owner's; or what a function of the params makes."""
    declared = getattr(cls, name)
    space = deepcopy(declared) if isinstance(declared, Space) else declared(params)
    if name == "single_action_space" and not isinstance(space, Box | Discrete | MultiDiscrete):
        instead = {
            MultiBinary: "MultiDiscrete([2] * n)",
            Tuple: "MultiDiscrete, one number for each part",
            Dict: "MultiDiscrete, one number for each part",
        }.get(type(space), "one of these")
        raise APIUsageError(
            f"{cls.__name__}.single_action_space is {space}; a JitEnv takes Discrete, MultiDiscrete or Box: {instead}."
        )
    return space


def action_bounds(space: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Minimum and maximum allowed value of each component of an action, both inclusive."""
    if isinstance(space, Box):
        return space.low.reshape(-1), space.high.reshape(-1)
    start = np.atleast_1d(np.asarray(space.start, np.int64)).reshape(-1)
    count = np.asarray(space.n if isinstance(space, Discrete) else space.nvec, np.int64).reshape(-1)
    return start, start + count - 1


def _hints(cls: Any, kind: str) -> dict[str, Any]:
    """Types of the fields of ``cls.State``, ``cls.Params`` or ``cls.Tables``."""
    declared = getattr(cls, kind)
    try:
        return get_type_hints(declared, include_extras=True)
    except (NameError, TypeError) as error:
        raise APIUsageError(
            f"{cls.__name__}.{kind}: cannot read the annotations: {error}. Use names of the module's top level."
        ) from error
