"""What a JitEnv class declares, checked and turned into arrays and numbers that kernels take."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.tuples import tuple_class

_RESERVED = ("num_envs", "seed", "buf", "dtype", "jit", "autoreset", "max_episode_steps", "first_env")


class UnknownParameter(APIUsageError, ValueError):
    """A keyword argument that the environment's class does not have."""


def check_class(cls: type) -> None:
    """Raise unless ``cls`` declares everything a JitEnv must."""
    needed = ("State", "reset_env", "step_env", "observe_env", "single_observation_space", "single_action_space")
    missing = [name for name in needed if not hasattr(cls, name)]
    if missing:
        raise APIUsageError(f"{cls.__name__} does not declare {', '.join(missing)}; see help(JitEnv).")
    for name in ("State", "Params"):
        declared = getattr(cls, name)
        if not (isinstance(declared, type) and issubclass(declared, tuple) and hasattr(declared, "_fields")):
            raise APIUsageError(f"{cls.__name__}.{name} must be a NamedTuple class, not {declared!r}.")
    clash = sorted(set(cls.Params._fields) & set(_RESERVED))  # type: ignore[attr-defined]
    if clash:
        raise APIUsageError(f"{cls.__name__}.Params: {clash} are names of JitEnv's own arguments; choose others.")
    for kind in ("info", "metrics"):
        unknown = [name for name in getattr(cls, kind) if name not in cls.State._fields]  # type: ignore[attr-defined]
        if unknown:
            raise APIUsageError(f"{cls.__name__}.{kind}: {unknown} are not fields of State.")


def integer(cls: type, name: str, value: Any) -> int:
    """``value`` as an int, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise APIUsageError(f"{cls.__name__}: {name} is {value!r}; expected an integer.")
    return int(value)


def positive_int(cls: type, name: str, value: Any) -> int:
    """``value`` as an int of at least 1."""
    if integer(cls, name, value) < 1:
        raise APIUsageError(f"{cls.__name__}: {name} is {value}; expected at least 1.")
    return int(value)


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


def choose(cls: type, name: str, value: Any, options: Mapping[str, int]) -> int:
    """The option called ``value``, whatever its case and hyphens; an enum member counts by its value."""
    key = str(getattr(value, "value", value)).lower().replace("-", "").replace("_", "").replace(" ", "")
    if key not in options:
        allowed = ", ".join(map(repr, options))
        raise APIUsageError(f"{cls.__name__}: {name} is {value!r}; expected one of {allowed}.")
    return options[key]


def make_params(cls: Any, given: Mapping[str, Any], floats: type[np.floating[Any]]) -> Any:
    """The class's Params with the values given, cast to what kernels compute with, after its ``setup``."""
    declared = cls.Params
    unknown = sorted(set(given) - set(declared._fields))
    if unknown:
        close = get_close_matches(unknown[0], declared._fields + _RESERVED, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(declared._fields) or "none"
        raise UnknownParameter(
            f"{cls.__name__} has no parameter {unknown[0]!r}.{hint} Parameters: {known}. "
            f"Given: {unknown[0]}={given[unknown[0]]!r}."
        )
    missing = [n for n in declared._fields if n not in given and n not in declared._field_defaults]
    if missing:
        raise APIUsageError(f"{cls.__name__} needs a value for {', '.join(missing)}.")
    hints = _hints(cls, "Params")
    typed = {n: _cast_param(cls, n, v, hints[n], floats) for n, v in {**declared._field_defaults, **given}.items()}
    params = cls.setup(declared(**typed))
    casted = (_cast_param(cls, n, v, hints[n], floats) for n, v in params._asdict().items())
    return tuple_class("Params", declared._fields)(*casted)


def _cast_param(cls: type, name: str, value: Any, hint: Any, floats: type[np.floating[Any]]) -> Any:
    problem = f"{cls.__name__}: parameter {name} is {value!r}; expected "
    if get_origin(hint) is Annotated:  # Annotated[float, np.float64]
        hint, floats = get_args(hint)
    if hint is bool:
        if not isinstance(value, bool | np.bool_):
            raise ValueError(problem + "True or False.")
        return bool(value)
    if hint is int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError(problem + "an integer.")
        return int(value)
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise ValueError(problem + "a number.")
        return floats(value)
    array = np.array(value, order="C")
    if array.dtype.kind not in "iufb":
        raise ValueError(problem + "an array of numbers.")
    own = get_args(get_args(hint)[1]) if len(get_args(hint)) == 2 else ()  # NDArray[np.float64]: as it says
    if own and isinstance(own[0], type) and issubclass(own[0], np.generic):
        array = array.astype(own[0])
    elif array.dtype == np.float64:
        array = array.astype(floats)
    array.setflags(write=False)
    return array


def make_state(cls: Any, num_envs: int, params: Any, floats: type[np.floating[Any]]) -> Any:
    """One array of ``num_envs`` rows for each State field, all zero."""
    arrays = []
    for name, hint in _hints(cls, "State").items():
        scalar, sizes = (get_args(hint)[0], hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())
        dtype = {float: floats, int: np.int32, bool: np.bool_}.get(scalar, scalar)
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            dtype = np.dtype(object)
        if dtype.kind not in "biuf":
            raise APIUsageError(
                f"{cls.__name__}.State.{name} is {hint!r}; expected float, int, bool, a NumPy scalar type, "
                "or Annotated[type, size, ...]."
            )
        shape = tuple(evaluate_size(cls, f"State.{name}", size, params) for size in sizes)
        arrays.append(np.zeros((num_envs, *shape), dtype))
    return tuple_class("State", cls.State._fields)(*arrays)


def evaluate_size(cls: type, where: str, size: Any, params: Any) -> int:
    """A size that is a number, or an expression of the params such as ``"2 * size + 1"``."""
    value = size
    if isinstance(size, str):
        try:
            value = eval(size, {"__builtins__": {"min": min, "max": max, "len": len}}, params._asdict())
        except Exception as error:
            raise APIUsageError(
                f"{cls.__name__}.{where}: cannot compute the size {size!r} from the params: {error}."
            ) from error
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise APIUsageError(f"{cls.__name__}.{where}: size {size!r} is {value!r}; expected a positive integer.")
    return int(value)


def count_agents(cls: Any, params: Any) -> int | None:
    """Agents in one environment; None for an environment that is its only agent."""
    return None if cls.agents is None else evaluate_size(cls, "agents", cls.agents, params)


def make_space(cls: type, name: str, params: Any) -> Space[Any]:
    """A copy of a space, for its random generator is its owner's; or what a function of the params makes."""
    declared = getattr(cls, name)
    return deepcopy(declared) if isinstance(declared, Space) else declared(params)


def action_bounds(space: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and greatest allowed value of each component of an action, both inclusive."""
    if isinstance(space, Box):
        return space.low.reshape(-1), space.high.reshape(-1)
    start = np.atleast_1d(np.asarray(space.start, np.int64)).reshape(-1)
    count = np.asarray(space.n if isinstance(space, Discrete) else space.nvec, np.int64).reshape(-1)
    return start, start + count - 1


def _hints(cls: Any, kind: str) -> dict[str, Any]:
    """Types of the fields of ``cls.State`` or ``cls.Params``."""
    declared = getattr(cls, kind)
    try:
        return get_type_hints(declared, include_extras=True)
    except (NameError, TypeError) as error:
        raise APIUsageError(
            f"{cls.__name__}.{kind}: cannot read the annotations: {error}. Use names of the module's top level."
        ) from error
