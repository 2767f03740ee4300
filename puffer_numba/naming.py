"""From the name of an environment to what makes it: the one place where a name becomes an environment."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import gymnasium
import pettingzoo
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import Error as GymnasiumError

from puffer_numba import files, registry
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.errors import close_matches, did_you_mean
from puffer_numba.jit import JitEnv

Creator = Callable[..., Any]
FORMS = (
    "a registered name, 'my_file.py:MyEnv', 'gym:LunarLander-v3', 'gymvec:CartPole-v1', 'envpool:Pong-v5', "
    "'pettingzoo:mpe2.simple_spread_v3', or 'my_package.my_module:make_env'"
)


def env_creator(name: str) -> Creator:
    """What makes the environment called ``name``: a function that takes the environment's own keyword arguments.

    - ``cartpole``: the environment registered under that name, which PufferLib calls ``puffer_cartpole``.
    - ``gym:LunarLander-v3``: Gymnasium's; ``gym:ale_py:ALE/Pong-v5`` imports the module ``ale_py`` first.
    - ``pettingzoo:butterfly/pistonball-v6``: one of PettingZoo's registry, parallel where it is that;
      ``pettingzoo:butterfly.pistonball_v6``, the name of its module, is the same.
    - ``pettingzoo:mpe2.simple_spread_v3``: another module's ``parallel_env``, or its ``env`` where it has none.
    - ``envpool:HalfCheetah-v5``: EnvPool's; ``gymvec:CartPole-v1``: what ``gymnasium.make_vec`` makes. These are vector
      environments, of ``num_envs``.
    - ``my_package.my_module:make_env``: a function or class of a module.
    - ``path/to/my_file.py:MyEnv``: a class or function of a file; ``path/to/my_file.py``: the only environment in it.

    Raises:
        APIUsageError: there is nothing of that name, or it cannot be imported.
    """
    if not isinstance(name, str) or not name:
        raise APIUsageError(f"env_creator takes a name, not {name!r}: {FORMS}.")
    if files.is_file_name(name):
        return files.load(name).creator
    kind, colon, rest = name.partition(":")
    if not colon:
        spec = _registered(name)
        return partial(spec.env_class, **spec.defaults)
    if kind == "gym":
        return _gymnasium_creator(rest, name)
    if kind == "gymvec":
        return _gymvec_creator(rest, name)
    if kind == "envpool":
        return _envpool_creator(rest, name)
    if kind == "pettingzoo":
        return _pettingzoo_creator(rest, name)
    if kind.startswith(".") or re.search(r"[/\\]", kind):
        raise APIUsageError(f"{name}: {kind!r} is no name of a module; one of a file ends in .py: {kind}.py:{rest}.")
    found = getattr(_import([kind], name), rest, None)
    if not callable(found):
        module = import_module(kind)
        close = did_you_mean(rest, [n for n in dir(module) if callable(getattr(module, n))])
        if rest in gymnasium.registry:
            close = f" Gymnasium's environment is gym:{rest}."
        raise APIUsageError(f"{name}: module {kind} has no function or class {rest!r}.{close}")
    return found


def full_name(name: str) -> str:
    """The name that all names of an environment stand for: of one in a file, the file seen from here and its class; of
    PufferLib's ``puffer_breakout``, ``breakout``.

    Raises:
        APIUsageError: a file that does not have it; something else than a name.
    """
    if not isinstance(name, str):
        raise APIUsageError(f"expected the name of an environment, not a {type(name).__name__}: {FORMS}.")
    return files.load(name).name if files.is_file_name(name) else registry.known_as(name)


def _registered(name: str) -> registry.EnvSpec:
    try:
        return registry.spec(name)
    except APIUsageError as error:
        if not Path(f"{name}.py").is_file():
            raise
        raise APIUsageError(f"no environment is called {name!r}; for the file here, write {name}.py.") from error


def _gymnasium_creator(gym_id: str, name: str) -> Creator:
    # The emulation checks observations itself, on the first steps; Gymnasium's checker would do so, more slowly.
    return partial(gymnasium.make, _gymnasium_id(gym_id, name), disable_env_checker=True)


def _gymvec_creator(gym_id: str, name: str) -> Creator:
    found = _gymnasium_id(gym_id, name)
    if gymnasium.spec(found).vector_entry_point is not None:
        return partial(_make_vec, found)
    return partial(_make_vec, found, vector_kwargs={"copy": False}, disable_env_checker=True)


def _make_vec(gym_id: str, num_envs: int, **kwargs: Any) -> Any:
    return gymnasium.make_vec(gym_id, num_envs=num_envs, **kwargs)


def _envpool_creator(task_id: str, name: str) -> Creator:
    envpool = _import(["envpool"], name)
    known = envpool.list_all_envs()
    if task_id not in known:
        raise APIUsageError(f"{name}: EnvPool has no environment {task_id!r}.{did_you_mean(task_id, known)}")
    return partial(_make_envpool, task_id)


def _make_envpool(task_id: str, num_envs: int, seed: int | list[int], **kwargs: Any) -> Any:
    import envpool

    return envpool.make_gymnasium(task_id, num_envs=num_envs, seed=seed, **kwargs)


def _gymnasium_id(gym_id: str, name: str) -> str:
    module, _, plain_id = gym_id.rpartition(":")
    module = module or ("" if plain_id in gymnasium.registry else plugin_of(plain_id))
    if module:
        _import([module], name)
    try:
        return gymnasium.spec(plain_id).id
    except GymnasiumError as error:
        close = "" if "Did you mean" in str(error) else did_you_mean(plain_id, gymnasium.registry)
        raise APIUsageError(f"{name}: {error}{close}") from error


def _pettingzoo_creator(zoo_id: str, name: str) -> Creator:
    registered = re.sub(r"_(v\d+)$", r"-\1", zoo_id.replace(".", "/"))
    kinds = ("parallel", "aec")
    registries = {kind: getattr(pettingzoo, f"{kind}_registry", {}) for kind in kinds}  # older releases have none
    for kind, known in registries.items():
        if registered in known:
            return partial(pettingzoo.make, kind, known[registered])
    if "/" in zoo_id:
        close = close_matches(zoo_id, registries["aec"])
        raise APIUsageError(f"{name}: PettingZoo has no such environment; close are {close or 'none'}.")
    module = _import([zoo_id, f"pettingzoo.{zoo_id}"], name)
    for attribute in ("parallel_env", "env"):
        if hasattr(module, attribute):
            return getattr(module, attribute)
    raise APIUsageError(f"{name}: module {module.__name__} has neither parallel_env nor env.")


def _import(candidates: list[str], name: str) -> ModuleType:
    missing = []
    for candidate in candidates:
        try:
            return import_module(candidate)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{candidate}.".startswith(f"{error.name}."):
                raise not_installed(name, candidate, error) from error
            missing.append(candidate)
        except Exception as error:
            path = candidate.replace(".", os.sep)
            raise files.import_failure(name, error, (f"{path}.py", os.path.join(path, "__init__.py"))) from error
    close = next(filter(None, map(modules_like, reversed(missing))), "")
    hint = f".{close}" if close else f"; {how_to_install(missing[0])}."
    raise APIUsageError(f"{name}: there is no module {' or '.join(missing)}{hint}")


def not_installed(name: str, needing: str, error: ModuleNotFoundError) -> APIUsageError:
    needed = error.name or str(error)
    return APIUsageError(f"{name}: {needing} needs {needed!r}, which is not installed; {how_to_install(needed)}.")


def name_of(creator: Any) -> str:
    """How to call what a creator makes in a message."""
    if isinstance(creator, partial) and creator.args:
        return str(getattr(creator.args[-1], "id", creator.args[-1]))
    return getattr(creator, "__qualname__", str(creator))


def env_class_of(creator: Any) -> Any:
    return env_class_of(creator.func) if isinstance(creator, partial) else creator


def is_jit(creator: Any) -> bool:
    """Whether ``creator`` is a subclass of `JitEnv`, with some arguments perhaps."""
    env_class = env_class_of(creator)
    return isinstance(env_class, type) and issubclass(env_class, JitEnv)


def parameters_of(creator: Creator) -> Mapping[str, inspect.Parameter]:
    """What ``creator`` can be called with."""
    try:
        return inspect.signature(creator).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return {}


def wants_num_envs(creator: Creator) -> bool:
    """Whether ``creator`` must be told how many environments to make."""
    parameter = parameters_of(creator).get("num_envs")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def makes_batch(creator: Creator) -> bool:
    """Whether ``creator`` makes one object of as many environments as it is told: a class of vector environments,
    ``gymnasium.make_vec``, or a function that needs ``num_envs``.
    """
    made_by = env_class_of(creator)
    if isinstance(creator, partial) and "num_envs" in creator.keywords:
        return False
    if isinstance(made_by, type):
        return issubclass(made_by, gymnasium.vector.VectorEnv) and "num_envs" in parameters_of(creator)
    return made_by is gymnasium.make_vec or wants_num_envs(creator)


def load_spec(env_name: str) -> registry.EnvSpec:
    """What is known of an environment by any of its names: its class, if that is a `JitEnv`, and its defaults.

    Raises:
        APIUsageError: no such environment.
    """
    env_name = full_name(env_name)
    if ":" not in env_name:
        return _registered(env_name)
    creator = env_creator(env_name)
    if isinstance(creator, type) and is_jit(creator):
        return registry.EnvSpec(env_name, creator)
    return registry.EnvSpec(env_name, PufferEnv, arguments=arguments_of(creator))


def arguments_of(creator: Creator) -> dict[str, inspect.Parameter]:
    """What can be passed to ``creator`` by name, with the defaults; nothing where that cannot be told."""
    if isinstance(creator, partial) and creator.func is _make_envpool:
        return _envpool_arguments(creator.args[0])
    maker, given = _maker(creator)
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return {}
    return {
        name: parameter.replace(default=given.get(name, parameter.default))
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def render_modes(name: str) -> tuple[str, ...]:
    """The render modes that the environment called ``name`` can be made with; a JitEnv needs none."""
    creator = env_creator(name)
    if isinstance(creator, partial) and creator.func is _make_envpool:
        return ("rgb_array",)
    if is_jit(creator) or "render_mode" not in arguments_of(creator):
        return ()
    metadata = getattr(_maker(creator)[0], "metadata", None) or {}
    return tuple(metadata.get("render_modes", ("rgb_array",)))


def _maker(creator: Creator) -> tuple[Any, dict[str, Any]]:
    """The class or function that ``creator`` passes its arguments on to, and those that it adds."""
    maker: Any = creator
    given: dict[str, Any] = {}
    if isinstance(creator, partial) and creator.func is _make_vec:
        spec = gymnasium.spec(creator.args[0])
        maker, given = _loaded(spec.vector_entry_point or spec.entry_point), dict(spec.kwargs)
    elif isinstance(creator, partial) and creator.func in (gymnasium.make, getattr(pettingzoo, "make", None)):
        spec = creator.args[-1] if creator.func is not gymnasium.make else gymnasium.spec(creator.args[0])
        maker, given = _loaded(spec.entry_point), dict(spec.kwargs)
    while inspect.isfunction(maker):  # PettingZoo's pass theirs on
        variables = inspect.getclosurevars(maker)
        known = {**variables.globals, **variables.nonlocals}
        inner = known.get("raw_env", known.get("env_fn"))
        if inner is None:
            break
        maker = inner
    return maker, given


def _loaded(entry_point: Any) -> Any:
    """What Gymnasium calls to make an environment; None where it cannot be imported, which making it will say."""
    if not isinstance(entry_point, str):
        return entry_point
    try:
        return load_env_creator(entry_point)
    except (ImportError, AttributeError, GymnasiumError):
        return None


def _envpool_arguments(task_id: str) -> dict[str, inspect.Parameter]:
    """EnvPool's settings of an environment, with their defaults."""
    import envpool

    config = envpool.make_spec(task_id).config._asdict()
    kind = inspect.Parameter.KEYWORD_ONLY
    return {
        name: inspect.Parameter(name, kind, default=value) for name, value in config.items() if name not in _ENVPOOL_OWN
    }


_ENVPOOL_OWN = (
    "num_envs",
    "batch_size",
    "seed",
    "env_seed",
    "task",
    "base_path",
    "gym_reset_return_info",
    "max_num_players",
)

_EXTRAS = {
    "Box2D": "box2d",
    "ale_py": "atari",
    "cv2": "atari",
    "envpool": "envpool",
    "minigrid": "minigrid",
    "mpe2": "multi-agent",
    "mujoco": "mujoco",
    "pygame": "multi-agent",
    "pymunk": "multi-agent",
    "scipy": "multi-agent",
    "shimmy": "legacy-gym",
}
_PLUGINS = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid"}  # by how Gymnasium's ids begin


def how_to_install(module: str) -> str:
    """The command that brings a module, as far as that is known."""
    extra = _EXTRAS.get(module.partition(".")[0])
    return f'pip install "puffer_numba[{extra}]"' if extra else "install the package that has it"


def modules_like(module: str) -> str:
    """The same for a module that is missing, and those that are installed."""
    parent, _, last = module.rpartition(".")
    try:
        spec = find_spec(parent) if parent else None
    except ModuleNotFoundError:
        return modules_like(parent)
    if parent and spec is None:
        return modules_like(parent)
    names = {found.name for found in iter_modules(spec.submodule_search_locations if spec else None)}
    prefix = f"{parent}." if parent else ""
    return did_you_mean(module, [prefix + name for name in names]) if last not in names else ""


def plugin_of(gym_id: str) -> str:
    """The module that registers Gymnasium's environment ``gym_id``, for some widely used ones; else ""."""
    return next((module for start, module in _PLUGINS.items() if gym_id.startswith(start)), "")
