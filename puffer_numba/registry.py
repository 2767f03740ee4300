"""Names to environments: `register`, `make`, `list_envs`, also for packages that ship their own.

A third-party package registers its environments by an entry point::

    [project.entry-points."puffer_numba.envs"]
    anything = "their_package.envs"     # importing this module calls register(...)

They are loaded when a name is looked up here. For ``gymnasium.make``, name the package:
``their_package:puffer_numba/TheirEnv-v1``. Environments of several agents are PettingZoo's instead:
`puffer_numba.emulation.make_parallel_env`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from inspect import Parameter
from typing import Any, TypeVar, overload

import gymnasium
import numpy as np

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.errors import did_you_mean
from puffer_numba.jit import JitEnv, fields

ENTRY_POINT_GROUP = "puffer_numba.envs"
_BUILT_IN = {  # module, class and time limit, so that Gymnasium knows them before anything is imported
    "acrobot": ("puffer_numba.envs.acrobot", "Acrobot", 500),
    "bandit": ("puffer_numba.envs.bandit", "Bandit", None),
    "blackjack": ("puffer_numba.envs.blackjack", "Blackjack", None),
    "breakout": ("puffer_numba.envs.breakout", "Breakout", 10_000),
    "cartpole": ("puffer_numba.envs.cartpole", "CartPole", 500),
    "catch": ("puffer_numba.envs.catch", "Catch", None),
    "cliff_walking": ("puffer_numba.envs.cliff_walking", "CliffWalking", None),
    "connect_four": ("puffer_numba.envs.connect_four", "ConnectFour", None),
    "continuous": ("puffer_numba.envs.continuous", "Continuous", 100),
    "deep_sea": ("puffer_numba.envs.deep_sea", "DeepSea", None),
    "flappy": ("puffer_numba.envs.flappy", "Flappy", 10_000),
    "frozen_lake": ("puffer_numba.envs.frozen_lake", "FrozenLake", 100),
    "frozen_lake_8x8": ("puffer_numba.envs.frozen_lake_8x8", "FrozenLake8x8", 200),
    "game_2048": ("puffer_numba.envs.game_2048", "Game2048", 20_000),
    "grid_walk": ("puffer_numba.envs.grid_walk", "GridWalk", 100),
    "memory": ("puffer_numba.envs.memory", "Memory", None),
    "minatar_asterix": ("puffer_numba.envs.minatar_asterix", "MinAtarAsterix", None),
    "minatar_breakout": ("puffer_numba.envs.minatar_breakout", "MinAtarBreakout", None),
    "minatar_freeway": ("puffer_numba.envs.minatar_freeway", "MinAtarFreeway", None),
    "minatar_seaquest": ("puffer_numba.envs.minatar_seaquest", "MinAtarSeaquest", None),
    "minatar_space_invaders": ("puffer_numba.envs.minatar_space_invaders", "MinAtarSpaceInvaders", None),
    "minigrid_doorkey": ("puffer_numba.envs.minigrid_doorkey", "MiniGridDoorKey", None),
    "minigrid_empty": ("puffer_numba.envs.minigrid_empty", "MiniGridEmpty", None),
    "mountain_car": ("puffer_numba.envs.mountain_car", "MountainCar", 200),
    "mountain_car_continuous": ("puffer_numba.envs.mountain_car_continuous", "MountainCarContinuous", 999),
    "multiagent": ("puffer_numba.envs.multiagent", "Multiagent", None),
    "nchain": ("puffer_numba.envs.nchain", "NChain", 1000),
    "password": ("puffer_numba.envs.password", "Password", None),
    "pendulum": ("puffer_numba.envs.pendulum", "Pendulum", 200),
    "pong": ("puffer_numba.envs.pong", "Pong", 5000),
    "rware": ("puffer_numba.envs.rware", "Rware", 500),
    "simple_spread": ("puffer_numba.envs.simple_spread", "SimpleSpread", 25),
    "simple_tag": ("puffer_numba.envs.simple_tag", "SimpleTag", 25),
    "snake": ("puffer_numba.envs.snake", "Snake", 500),
    "squared": ("puffer_numba.envs.squared", "Squared", None),
    "stochastic": ("puffer_numba.envs.stochastic", "Stochastic", None),
    "taxi": ("puffer_numba.envs.taxi", "Taxi", 200),
    "tetris": ("puffer_numba.envs.tetris", "Tetris", 10_000),
    "tic_tac_toe": ("puffer_numba.envs.tic_tac_toe", "TicTacToe", None),
    "trading": ("puffer_numba.envs.trading", "Trading", None),
}

_OF_SEVERAL_AGENTS = {"connect_four", "multiagent", "rware", "simple_spread", "simple_tag", "snake", "tic_tac_toe"}
_PUFFERLIB = {"connect4": "connect_four", "g2048": "game_2048", "pysquared": "squared"}  # where ours differ

EnvClass = TypeVar("EnvClass", bound=type[PufferEnv])


@dataclass(frozen=True)
class EnvSpec:
    """A registered environment."""

    name: str
    env_class: type[PufferEnv]
    defaults: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments that `make` passes unless told otherwise."""
    gym_id: str = ""
    """Its name in Gymnasium's registry: ``puffer_numba/CartPole-v1``, after the class; or after ``name`` where another
    environment has that id; "" of several agents, which ``gymnasium.make`` has no place for."""
    arguments: dict[str, Parameter] = field(default_factory=dict)
    """What else makes it takes, by name: a function, or another library's class."""


_registered: dict[str, EnvSpec] = {}


@overload
def register(name: str, env_class: EnvClass, **defaults: Any) -> EnvClass: ...
@overload
def register(name: str, env_class: None = None, **defaults: Any) -> Callable[[EnvClass], EnvClass]: ...
def register(name: str, env_class: Any = None, **defaults: Any) -> Any:
    """Give an environment class a name, here and in Gymnasium: a function, or a decorator.

    ::

        register("walk", Walk, size=20)

        @register("walk", size=20)
        class Walk(JitEnv): ...

    Args:
        name: lower-case letters, digits, "_" and "-".
        env_class: a subclass of `PufferEnv`.
        **defaults: keyword arguments for the class, which `make` may override.

    Raises:
        APIUsageError: the name is taken by another class or malformed, or the class is not a PufferEnv.
    """
    if env_class is None:
        return lambda decorated: register(name, decorated, **defaults)
    if not name or not all(c.islower() or c.isdigit() or c in "_-" for c in name):
        raise APIUsageError(f"register: name is {name!r}; expected lower-case letters, digits, '_' and '-'.")
    if not (isinstance(env_class, type) and issubclass(env_class, PufferEnv)):
        raise APIUsageError(f"register({name!r}): {env_class!r} is not a subclass of PufferEnv.")
    if "num_envs" in defaults:
        raise APIUsageError(f"register({name!r}): num_envs is not a default; it is make's second argument.")
    known = _registered.get(name)
    if known is not None and _identity(known.env_class) != _identity(env_class):
        raise APIUsageError(
            f"register({name!r}): the name is taken by {'.'.join(_identity(known.env_class))}; choose another."
        )
    limit = defaults.get("max_episode_steps", getattr(env_class, "max_episode_steps", None))
    gym_id = _register_in_gymnasium(name, env_class.__name__, limit) if _is_single(env_class, defaults) else ""
    _registered[name] = EnvSpec(name, env_class, defaults, gym_id)
    return env_class


def make(name: str, num_envs: int = 1, **params: Any) -> PufferEnv:
    """Make ``num_envs`` copies of the environment called ``name``; ``params`` go to its class.

    Raises:
        APIUsageError: no such name (with close matches), or what the class says of its arguments.
    """
    found = spec(name)
    return found.env_class(num_envs=num_envs, **{**found.defaults, **params})  # type: ignore[call-arg]


def spec(name: str) -> EnvSpec:
    """What is registered under ``name``.

    Raises:
        APIUsageError: nothing is; the message has close matches and the list.
    """
    name = known_as(name)
    if name not in _registered and name in _BUILT_IN:
        module, class_name, _ = _BUILT_IN[name]
        register(name, getattr(import_module(module), class_name))
    if name not in _registered:
        _load_entry_points()
    if name not in _registered:
        names = list_envs()
        hint = did_you_mean(name, names)
        if name in gymnasium.registry:
            hint = f" For Gymnasium's, write 'gym:{name}'."
        raise APIUsageError(f"no environment is called {name!r}.{hint} There are: {', '.join(names)}.")
    return _registered[name]


def known_as(name: str) -> str:
    """The name here of what PufferLib calls ``name``, ``puffer_breakout``; other names stay as they are."""
    theirs = name.removeprefix("puffer_")
    ours = _PUFFERLIB.get(theirs, theirs)
    is_theirs = theirs != name and name not in _registered and (ours in _BUILT_IN or ours in _registered)
    return ours if is_theirs else name


def list_envs() -> list[str]:
    """Names of all environments, sorted."""
    _load_entry_points()
    return sorted({*_BUILT_IN, *_registered})


def registered() -> list[EnvSpec]:
    """What `register` was called for, but for this library's own environments."""
    return [found for name, found in _registered.items() if name not in _BUILT_IN]


@cache
def _load_entry_points() -> None:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except Exception as error:  # another package's fault must not take ours down
            print(f"puffer_numba: cannot load environments of {entry.value}: {error!r}", file=sys.stderr)


def _identity(cls: type) -> tuple[str, str]:
    """The same for a class that its module defined anew, by reload or in a notebook cell."""
    return cls.__module__, cls.__qualname__


def _is_single(env_class: type[PufferEnv], defaults: dict[str, Any]) -> bool:
    """Whether its environments have one agent each, with these parameters. Of what is no JitEnv, that is assumed."""
    if not issubclass(env_class, JitEnv) or env_class.agents in (None, 1):
        return True
    given = {name: value for name, value in defaults.items() if name in env_class.Params._fields}
    try:
        return fields.count_agents(env_class, fields.make_params(env_class, given, np.float32)) == 1
    except (APIUsageError, ValueError):  # it needs parameters
        return False


def _register_in_gymnasium(name: str, class_name: str, max_episode_steps: int | None) -> str:
    """Make ``gymnasium.make`` and ``gymnasium.make_vec`` give this environment; under which id."""
    gym_id = f"puffer_numba/{class_name}-v1"
    taken = gymnasium.registry.get(gym_id)
    if taken is not None and taken.kwargs.get("name") != name:
        gym_id = f"puffer_numba/{name}-v1"
    gymnasium.registry.pop(gym_id, None)
    gymnasium.register(
        gym_id,
        entry_point="puffer_numba.emulation.as_gymnasium:make_env",
        vector_entry_point="puffer_numba.emulation.as_gymnasium_vector:make_vector_env",
        max_episode_steps=max_episode_steps,
        kwargs={"name": name},
    )
    return gym_id


for _name, (_, _class_name, _limit) in _BUILT_IN.items():
    if _name not in _OF_SEVERAL_AGENTS:
        _register_in_gymnasium(_name, _class_name, _limit)
