"""PufferEnv: the contract that every batched environment keeps, and the buffers it writes.

A PufferEnv is many environments behind one object. It writes observations, rewards and episode ends
in place, into arrays that may belong to somebody else: a slice of shared memory, or one step of a
trainer's rollout storage. Names and behaviour follow PufferLib 3, with two additions:

- ``final_observations``: environments reset themselves, so where an episode ends, ``observations``
  already holds the first observation of the next one; the last one of the old is kept here.
- ``prepare`` and ``use``: point the environment at other buffers between two steps, at no cost once these are prepared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, NamedTuple, Self

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from puffer_numba.errors import APIUsageError as APIUsageError
from puffer_numba.errors import integer
from puffer_numba.memory import check_room

SAME_STEP, NEXT_STEP, DISABLED = range(3)
"""When the next episode starts, as in `gymnasium.vector.AutoresetMode`: in the step that ended the last one, in the one
after it, or on `reset`."""

_AUTORESET = {"same-step": SAME_STEP, "next-step": NEXT_STEP, "disabled": DISABLED}

Infos = list[dict[str, Any]]
StepResult = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], Infos]
RecvResult = tuple[
    NDArray[Any],
    NDArray[np.float32],
    NDArray[np.bool_],
    NDArray[np.bool_],
    Infos,
    NDArray[np.int64],
    NDArray[np.bool_],
]


def autoreset_mode(owner: str, value: Any) -> int:
    """One of `SAME_STEP`, `NEXT_STEP` and `DISABLED`, from its name in any case, an `AutoresetMode` or itself.

    Args:
        owner: whose argument ``autoreset`` it is, for the message.
    """
    if value in _AUTORESET.values() and not isinstance(value, bool):
        return int(value)
    key = str(getattr(value, "value", value)).lower().replace("_", "").replace("-", "").replace(" ", "")
    for name, mode in _AUTORESET.items():
        if key == name.replace("-", ""):
            return mode
    raise APIUsageError(f"{owner}: autoreset is {value!r}; expected one of {', '.join(map(repr, _AUTORESET))}.")


class NumberedInfos(list[dict[str, Any]]):
    """Infos of several environments: a list as any other, which also knows the environment that each one is from.

    Attributes:
        numbers: as long as the list: ``infos[k]`` is from environment ``numbers[k]``.
        kind: what a worker process has to tell of them; see `puffer_numba.vector.infos`.

    Args:
        parts: to begin with.
    """

    kind: Any = None

    def __init__(self, parts: Iterable[Infos] = ()) -> None:
        super().__init__()
        self.numbers: list[int] = []
        for part in parts:
            if part:
                self += part
                self.numbers += part.numbers  # type: ignore[attr-defined]

    def by_environment(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """``(number, info)`` of each."""
        return zip(self.numbers, self, strict=True)

    def add(self, number: int, infos: Infos, num_envs: int = 1) -> None:
        """Append what object ``number`` has to say, each of which has ``num_envs`` environments."""
        self += infos
        if isinstance(infos, NumberedInfos):
            self.numbers += [number * num_envs + k for k in infos.numbers]
        else:
            self.numbers += [number] * len(infos)


class Buffers(NamedTuple):
    """The arrays that one step of a batched environment reads and writes. First axis: ``num_agents`` rows."""

    observations: NDArray[Any]
    """``(num_agents, *observation_shape)``, dtype of the observation space."""
    rewards: NDArray[np.float32]
    """``(num_agents,)``"""
    terminals: NDArray[np.bool_]
    """``(num_agents,)``: the episode ended here, for good; its value is 0 from here on."""
    truncations: NDArray[np.bool_]
    """``(num_agents,)``: the episode was cut here, usually by the time limit; it still has a value."""
    masks: NDArray[np.bool_]
    """``(num_agents,)``: whether an agent acts on this row's observation. False: dead, or padding."""
    final_observations: NDArray[Any]
    """Like ``observations``; a row is valid in the step in which its episode ended, and only then."""
    actions: NDArray[Any]
    """``(num_agents, *action_shape)``: int32 for Discrete and MultiDiscrete, else the Box's dtype."""


class Slot(NamedTuple):
    """Buffers that an environment was prepared for; see `PufferEnv.prepare`."""

    buffers: Buffers
    prepared: Any = None
    """What the environment made of them, if anything."""


@dataclass(frozen=True)
class Leaf:
    """One array of a structured observation."""

    path: str
    """As it would be written in Python: ``observation['camera'][0]``."""
    space: gymnasium.Space[Any]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    """In bytes, from the start of the flat observation."""
    optional: bool = False
    """Whether it is a part of a OneOf, and all zeros where another part was chosen."""


@dataclass(frozen=True)
class Emulated:
    """What a policy needs to take a flat observation apart."""

    observation_dtype: np.dtype[Any]
    """Of the flat observation: of the array's elements."""
    emulated_observation_dtype: np.dtype[Any]
    """The structured dtype; of a lone array the same as ``observation_dtype``."""
    observation_space: gymnasium.Space[Any]
    """The wrapped environment's own; of missions, the Text that holds them."""
    action_space: gymnasium.Space[Any]
    """The wrapped environment's own."""
    leaves: tuple[Leaf, ...]
    """The arrays within one observation: path, space, dtype, shape and offset in bytes."""


def buffer_specs(
    observation_space: Box, action_space: gymnasium.Space[Any], num_agents: int
) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of each field of `Buffers` for ``num_agents`` rows of these spaces."""
    obs_shape = (num_agents, *observation_space.shape)
    action_dtype = action_space.dtype if isinstance(action_space, Box) else np.int32
    row = (num_agents,)
    return {
        "observations": (obs_shape, np.dtype(observation_space.dtype)),
        "rewards": (row, np.dtype(np.float32)),
        "terminals": (row, np.dtype(np.bool_)),
        "truncations": (row, np.dtype(np.bool_)),
        "masks": (row, np.dtype(np.bool_)),
        "final_observations": (obs_shape, np.dtype(observation_space.dtype)),
        "actions": ((num_agents, *(action_space.shape or ())), np.dtype(action_dtype)),
    }


def make_buffers(
    observation_space: Box,
    action_space: gymnasium.Space[Any],
    num_agents: int,
    buf: Mapping[str, NDArray[Any]] | Buffers | None = None,
) -> Buffers:
    """New buffers, or ``buf``'s arrays where it has them, checked for shape, dtype and contiguity.

    Raises:
        APIUsageError: an array of ``buf`` has another shape, dtype or memory order than this
            environment writes, is read-only, or has a name that no buffer has.
    """
    given = buf._asdict() if isinstance(buf, Buffers) else dict(buf or {})
    specs = buffer_specs(observation_space, action_space, num_agents)
    unknown = sorted(set(given) - set(specs))
    if unknown:
        raise APIUsageError(f"buf has unknown arrays {unknown}; an environment has {', '.join(specs)}.")
    missing = [math.prod(shape) * dtype.itemsize for name, (shape, dtype) in specs.items() if given.get(name) is None]
    check_room(f"{num_agents:,} rows of {observation_space}", sum(missing), "Make fewer environments (num_envs).")
    arrays = {}
    for name, (shape, dtype) in specs.items():
        array = given.get(name)
        if array is None:
            array = np.ones(shape, dtype) if name == "masks" else np.zeros(shape, dtype)
        problem = _buffer_problem(array, shape, dtype)
        if problem:
            raise APIUsageError(
                f"buf[{name!r}] {problem}; expected a writable C-contiguous {dtype} array of shape {shape}."
            )
        arrays[name] = array
    return Buffers(**arrays)


def _buffer_problem(array: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    if not isinstance(array, np.ndarray):
        return f"is a {type(array).__name__}"
    if array.shape != shape:
        return f"has shape {array.shape}"
    if array.dtype != dtype:
        return f"has dtype {array.dtype}"
    if not array.flags.c_contiguous:
        return "is not C-contiguous"
    if not array.flags.writeable:
        return "is read-only"
    return ""


class PufferEnv:
    """Many environments, stepped together, writing into shared arrays.

    A subclass sets ``single_observation_space`` (a Box), ``single_action_space`` (Discrete,
    MultiDiscrete or Box) and ``num_agents`` (the number of rows) before it calls
    ``super().__init__(buf)``, and implements ``reset`` and ``step``::

        class Walk(PufferEnv):
            def __init__(self, num_agents=8, buf=None):
                self.single_observation_space = Box(-10, 10, (1,), np.float32)
                self.single_action_space = Discrete(2)
                self.num_agents = num_agents
                super().__init__(buf)

            def reset(self, seed=None):
                self.observations[:] = 0
                return self.observations, []

            def step(self, actions):
                self.observations[:, 0] += 2 * actions - 1
                ...
                return self.observations, self.rewards, self.terminals, self.truncations, []

    Attributes:
        observations, rewards, terminals, truncations, masks, final_observations, actions:
            the arrays of `Buffers`; each step overwrites them.

    Args:
        buf: None to allocate own arrays, or a mapping with some or all of the names in `Buffers`.
    """

    single_observation_space: Any  # a Box; JitEnv subclasses may declare a function of the params
    single_action_space: Any  # Discrete, MultiDiscrete or Box; likewise
    num_agents: int

    buffers: Buffers
    observations: NDArray[Any]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    masks: NDArray[np.bool_]
    final_observations: NDArray[Any]
    actions: NDArray[Any]

    agents_per_batch: int
    """Rows that `recv` returns: fewer than ``num_agents`` where a backend is asynchronous."""
    autoreset: int = SAME_STEP
    """When the next episode starts: `SAME_STEP`, `NEXT_STEP` or `DISABLED`."""
    stacked_action_space: gymnasium.Space[Any] | None = None
    """The space of all rows' actions, where not all have ``single_action_space``; None: they have."""
    emulated: Emulated | None = None
    """How a flat observation is taken apart; None where it need not be."""
    takes_out: bool = False
    """Whether ``step(actions, out=slot)`` writes this step's results into a slot that `prepare` made."""
    saves_state: bool = False
    """Whether `get_state` returns all that determines the future."""
    zero_copy: bool = True
    """Whether `recv` returns the buffers themselves, always of the same rows for a batch."""
    info: tuple[str, ...] = ()
    """Names of arrays that are shown to the user at each step: see `info_fields`."""
    render_fps: int = 30
    """Frames for each second at which rendering looks right."""

    episode_returns: NDArray[np.float32] | None = None
    """``(num_agents,)``; a row is valid in the step in which its episode ended. None where not kept."""
    episode_lengths: NDArray[np.int32] | None = None
    """``(num_agents,)``, in steps; valid as ``episode_returns`` is."""

    def __init__(self, buf: Mapping[str, NDArray[Any]] | Buffers | None = None) -> None:
        self._check_declared()
        self.agent_ids = np.arange(self.num_agents)
        self.agents_per_batch = self.num_agents
        self._pending: StepResult | None = None
        self.closed = False
        self.bind(make_buffers(self.single_observation_space, self.single_action_space, self.num_agents, buf))

    def _check_declared(self) -> None:
        name = type(self).__name__
        for attribute in ("single_observation_space", "single_action_space", "num_agents"):
            if not hasattr(self, attribute):
                raise APIUsageError(f"{name} must set self.{attribute} before super().__init__(buf).")
        if not isinstance(self.single_observation_space, Box):
            raise APIUsageError(
                f"{name}.single_observation_space is {self.single_observation_space!r}; a PufferEnv has a Box. "
                "Wrap structured observations with the emulation layer."
            )
        if not isinstance(self.single_action_space, Discrete | MultiDiscrete | Box):
            raise APIUsageError(
                f"{name}.single_action_space is {self.single_action_space!r}; "
                "a PufferEnv has Discrete, MultiDiscrete or Box."
            )
        self._check_action_numbers()
        integer(f"{name}.num_agents", self.num_agents, minimum=1)

    def _check_action_numbers(self) -> None:
        space = self.single_action_space
        if isinstance(space, Box):
            return
        low = np.min(space.start)
        high = np.max(space.start + (space.n if isinstance(space, Discrete) else space.nvec) - 1)
        bounds = np.iinfo(np.int32)
        if low < bounds.min or high > bounds.max:
            raise APIUsageError(
                f"{type(self).__name__}.single_action_space is {space!r}, with actions from {low} to {high}, which are "
                "not int32; let them start at 0 and add the rest in step(), or wrap the environment with "
                "gymnasium.wrappers.TransformAction."
            )

    def bind(self, buffers: Buffers) -> None:
        """Write the next steps into ``buffers``; arrays must be as `make_buffers` would make them."""
        self.use(self.prepare(buffers))

    def prepare(self, buffers: Buffers) -> Slot:
        """What `use` needs to know of ``buffers``, worked out once: a trainer prepares each step of its storage."""
        return Slot(buffers)

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``, which `prepare` made."""
        self.buffers = slot.buffers
        (
            self.observations,
            self.rewards,
            self.terminals,
            self.truncations,
            self.masks,
            self.final_observations,
            self.actions,
        ) = slot.buffers

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The space of all rows together."""
        return batch_space(self.single_observation_space, self.num_agents)

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:
        """The space of all rows together."""
        if self.stacked_action_space is not None:
            return self.stacked_action_space
        return batch_space(self.single_action_space, self.num_agents)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays this environment holds or writes."""
        return sum(array.nbytes for array in self.buffers)

    @property
    def num_envs(self) -> int:
        """Environments behind this object; equal to ``num_agents`` where each has one agent."""
        return self.num_agents

    @property
    def unwrapped(self) -> PufferEnv:
        """The environment within all wrappers."""
        return self

    @property
    def driver_env(self) -> PufferEnv:
        """One of the environments themselves, to ask for attributes: of a vector backend, the first one behind it."""
        return self

    @property
    def render_modes(self) -> list[str]:
        """What `render` can make: "rgb_array", "ansi", both or none."""
        return []

    def _reset_mask(self, mask: ArrayLike | None, is_first: bool) -> NDArray[np.bool_]:
        """The environments that a reset is for, bool (num_envs,): ``mask``, checked."""
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        which = np.ascontiguousarray(mask)
        if which.dtype != np.bool_ or which.shape != (self.num_envs,):
            raise APIUsageError(
                f"reset(mask=...) got {which.dtype} of shape {which.shape}; expected bool of shape ({self.num_envs},)."
            )
        if is_first and not which.all():
            raise APIUsageError("the first reset must restart every environment; call reset() without a mask.")
        return which

    def info_fields(self) -> dict[str, NDArray[Any]]:
        """The arrays that ``info`` names, ``(num_envs, ...)`` each, without a copy."""
        return {}

    def get_attr(self, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
        """An attribute of each environment; where they are one object, that object's for each.

        Args:
            numbers: of the environments to ask; all by default.
        """
        return [getattr(self, name)] * self._number(numbers)

    def set_attr(self, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
        """Set an attribute of each environment.

        Args:
            values: a list or tuple with one for each, or one for all.
            numbers: of the environments; all by default.

        Raises:
            APIUsageError: there are more or fewer values than environments; or these are one object.
        """
        raise APIUsageError(
            f"set_attr({name!r}): the environments of a {type(self).__name__} are one object, which has no attribute "
            "for each; make it with other parameters."
        )

    def call(self, name: str, *args: Any, numbers: Sequence[int] | None = None, **kwargs: Any) -> list[Any]:
        """Call a method of each environment; where they are one object, once. Other attributes are read."""
        found = getattr(self, name)
        return [found(*args, **kwargs) if callable(found) else found] * self._number(numbers)

    def _number(self, numbers: Sequence[int] | None) -> int:
        return self.num_envs if numbers is None else len(numbers)

    def seed_of_part(self, seed: int, first_env: int) -> int:
        """The seed with which these environments continue where others with ``seed``, ``first_env`` of them, end."""
        return seed + first_env

    def reset(self, seed: int | None = None) -> tuple[NDArray[Any], Infos]:
        """Start every environment anew; with a seed, also every random stream."""
        raise NotImplementedError(f"{type(self).__name__} does not implement reset(seed)")

    def step(self, actions: ArrayLike) -> StepResult:
        """Advance every environment by one action: ``(num_agents, *action_shape)``."""
        raise NotImplementedError(f"{type(self).__name__} does not implement step(actions)")

    def render(self) -> Any:
        """An image of the first environment, where it draws one; else None."""
        return None

    def render_each(self, mode: str) -> list[Any]:
        """An image of each environment, or with "ansi" a string."""
        return self.call("render")

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call; empty where none are kept."""
        return {}

    def get_logs(self) -> dict[str, float]:
        """`log` under Operant's names, ``episode_count``, ``mean_reward`` and ``mean_length``: 0 where none ended."""
        names = {"episodes": "episode_count", "episode_return": "mean_reward", "episode_length": "mean_length"}
        log = dict.fromkeys(names, 0.0) | self.log()
        return {names.get(name, name): value for name, value in log.items()}

    def get_state(self) -> dict[str, NDArray[Any]]:
        """What `set_state` takes to continue from here, plain arrays; empty where the environment cannot be saved."""
        return {}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `get_state` returned, here or in another object with the same parameters."""
        raise APIUsageError(f"{type(self).__name__} cannot be set to a state; saves_state says which environments can.")

    def async_reset(self, seed: int | None = None) -> None:
        """Like `reset`; the result is fetched with `recv`."""
        observations, infos = self.reset(seed)
        self.rewards[:] = 0
        self.terminals[:] = False
        self.truncations[:] = False
        self._pending = (observations, self.rewards, self.terminals, self.truncations, infos)

    def send(self, actions: ArrayLike, env_ids: NDArray[np.int64] | None = None) -> None:
        """Like `step`; the result is fetched with `recv`.

        Args:
            actions: as for `step`.
            env_ids: rows that they are for, as `recv` gave them; here, where there are no batches, always all.
        """
        self._check_send(env_ids)
        self._pending = self.step(actions)

    def _check_send(self, env_ids: NDArray[np.int64] | None) -> None:
        if env_ids is not None and not np.array_equal(env_ids, self.agent_ids):
            raise APIUsageError(
                f"send(): env_ids has {np.size(env_ids)} rows; expected all {self.num_agents}, in order."
            )
        if self._pending is not None:
            raise APIUsageError("send() was called twice; call recv() between two sends.")

    def recv(self) -> RecvResult:
        """Results of the last `send` or `async_reset`: ``(o, r, d, t, infos, env_ids, masks)``."""
        if self._pending is None:
            raise APIUsageError("recv() has nothing to return; call async_reset() or send(actions) first.")
        pending, self._pending = self._pending, None
        return (*pending, self.agent_ids, self.masks)

    def close(self) -> None:
        """Release what the environment holds. Calling it again does nothing."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
