"""From names, classes and functions to environments: what `make` calls, here or in a worker process."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.error import Error as GymnasiumError
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv

from puffer_numba import registry
from puffer_numba.emulation.wrap import EmulatedEnv, GymnasiumPufferEnv, PettingZooPufferEnv
from puffer_numba.env import APIUsageError, Buffers, Infos, PufferEnv
from puffer_numba.jit import JitEnv

Creator = Callable[..., Any]
EpisodeArrays = tuple[NDArray[np.float32], NDArray[np.int32]]
FORMS = (
    "a registered name, 'gym:LunarLander-v3', 'pettingzoo:mpe2.simple_spread_v3', or 'my_package.my_module:make_env'"
)


class EnvJob(NamedTuple):
    """What makes one environment."""

    creator: Creator
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Signature:
    """What all environments behind one object have in common."""

    observation_space: Box
    action_space: gymnasium.Space[Any]
    num_agents: int
    num_envs: int

    @classmethod
    def of(cls, env: PufferEnv) -> Signature:
        """That of one environment."""
        return cls(env.single_observation_space, env.single_action_space, env.num_agents, env.num_envs)


def env_creator(name: str) -> Creator:
    """What makes the environment called ``name``: a function that takes the environment's own keyword arguments.

    - ``cartpole``: the environment registered under that name.
    - ``gym:LunarLander-v3``: Gymnasium's; ``gym:ale_py:ALE/Pong-v5`` imports the module ``ale_py`` first.
    - ``pettingzoo:mpe2.simple_spread_v3``: the module's ``parallel_env``, or its ``env`` where it has none; modules of
      PettingZoo itself are found without their first name: ``pettingzoo:butterfly.pistonball_v6``.
    - ``my_package.my_module:make_env``: a function or class of a module.

    Raises:
        APIUsageError: there is nothing of that name.
    """
    if not isinstance(name, str) or not name:
        raise APIUsageError(f"env_creator takes a name, not {name!r}: {FORMS}.")
    kind, colon, rest = name.partition(":")
    if not colon:
        spec = registry.spec(name)
        return partial(spec.env_class, **spec.defaults)
    if kind == "gym":
        return _gymnasium_creator(rest, name)
    if kind == "pettingzoo":
        module = _import([rest, f"pettingzoo.{rest}"], name)
        for attribute in ("parallel_env", "env"):
            if hasattr(module, attribute):
                return getattr(module, attribute)
        raise APIUsageError(f"{name}: module {module.__name__} has neither parallel_env nor env.")
    found = getattr(_import([kind], name), rest, None)
    if not callable(found):
        raise APIUsageError(f"{name}: module {kind} has no function or class {rest!r}.")
    return found


def _gymnasium_creator(gym_id: str, name: str) -> Creator:
    module, _, plain_id = gym_id.rpartition(":")
    if module:
        _import([module], name)
    try:
        spec = gymnasium.spec(plain_id)
    except GymnasiumError as error:
        raise APIUsageError(f"{name}: {error}") from error
    # The spec, not the name: a worker process has not run the script that registered it. The wrapper checks
    # observations itself, on the first steps; Gymnasium's checker would do so, more slowly, at each.
    return partial(gymnasium.make, spec, disable_env_checker=True)


def _import(candidates: list[str], name: str) -> ModuleType:
    missing = []
    for candidate in candidates:
        try:
            return import_module(candidate)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{candidate}.".startswith(f"{error.name}."):
                raise APIUsageError(f"{name}: {candidate} needs {error.name!r}, which is not installed.") from error
            missing.append(candidate)
    raise APIUsageError(f"{name}: there is no module {' or '.join(missing)}; install the package that has it.")


def create(job: EnvJob, index: int, seed: int, buf: Buffers | None = None) -> PufferEnv:
    """Make environment number ``index`` and wrap it where it is Gymnasium's or PettingZoo's.

    A creator that has parameters named ``buf`` and ``seed`` is given them, as in PufferLib.

    Args:
        seed: of all environments together.
        buf: arrays that the environment is to write into.

    Raises:
        APIUsageError: the creator returned something else.
    """
    extra: dict[str, Any] = {"seed": _seed_of(_env_class(job.creator), seed, index)}
    if buf is not None:
        extra["buf"] = buf
    accepted = _parameters(job.creator)
    given = {name: value for name, value in extra.items() if name in accepted and name not in job.kwargs}
    env = job.creator(*job.args, **{**given, **job.kwargs})
    if isinstance(env, gymnasium.Env):
        return GymnasiumPufferEnv(env, **extra)
    if isinstance(env, ParallelEnv | AECEnv):
        return PettingZooPufferEnv(env, **extra)
    if not isinstance(env, PufferEnv):
        raise APIUsageError(
            f"{job.creator} returned {type(env).__module__}.{type(env).__qualname__}; expected a gymnasium.Env, a "
            "PettingZoo environment, or a PufferEnv. Environments of the old gym are converted by "
            "shimmy.GymV21CompatibilityV0."
        )
    if isinstance(env, JitEnv):
        env.first_env = index * env.num_envs  # so that it continues the streams of those before it
    if buf is not None and env.observations is not buf.observations:
        env.bind(buf)
    return env


def _env_class(creator: Any) -> Any:
    return _env_class(creator.func) if isinstance(creator, partial) else creator


def is_jit(creator: Any) -> bool:
    """Whether ``creator`` is a subclass of `JitEnv`, with some arguments perhaps."""
    env_class = _env_class(creator)
    return isinstance(env_class, type) and issubclass(env_class, JitEnv)


def _seed_of(env: Any, seed: int, index: int) -> int:
    """A JitEnv's streams differ by their index already; others are told apart by the seed, as in Gymnasium."""
    return seed if isinstance(env, JitEnv) or is_jit(env) else seed + index


def _parameters(creator: Creator) -> set[str]:
    try:
        return set(inspect.signature(creator).parameters)
    except (TypeError, ValueError):  # some builtins have no signature
        return set()


def buffers_of_rows(buffers: Buffers, rows: slice) -> Buffers:
    """Views of some rows."""
    return Buffers._make(array[rows] for array in buffers)


class EnvGroup:
    """Environments with consecutive numbers, stepped one after the other, each on its slice of the buffers.

    Args:
        jobs: one for each.
        first: number of the first one.
        signature: what each of them must have.
        buffers: rows of all of them.
        episodes: ``(episode_returns, episode_lengths)`` of these rows; None where environments keep none.
        seed: of all environments together, those of other groups too.

    Attributes:
        at_work: number of the environment that was called last, for the report of a failure.
    """

    def __init__(
        self,
        jobs: Sequence[EnvJob],
        first: int,
        signature: Signature,
        buffers: Buffers,
        episodes: EpisodeArrays | None,
        seed: int,
    ) -> None:
        self.jobs, self.first, self.signature, self.seed = jobs, first, signature, seed
        self.rows, self.at_work = signature.num_agents, first
        self.envs: list[PufferEnv] = []
        self._buffers, self._episodes = buffers, episodes
        self._copied: list[tuple[PufferEnv, EpisodeArrays]] = []

    def make(self) -> None:
        """Make the environments.

        Raises:
            APIUsageError: one has another signature. Whatever a creator raises.
        """
        for position, job in enumerate(self.jobs):
            self.at_work = self.first + position
            try:
                env = create(job, self.at_work, self.seed, self._part(self._buffers, position))
            except APIUsageError:
                self._check(create(job, self.at_work, self.seed))  # other spaces do not fit into the buffers
                raise
            self.envs.append(env)
            self._check(env)
            if self._episodes is not None:
                returns, lengths = self._episodes
                part = slice(position * self.rows, (position + 1) * self.rows)
                self._share_episodes(env, (returns[part], lengths[part]))
        self._prepare()

    def _part(self, buffers: Buffers, position: int) -> Buffers:
        return buffers_of_rows(buffers, slice(position * self.rows, (position + 1) * self.rows))

    def _check(self, env: PufferEnv) -> None:
        made = Signature.of(env)
        if made != self.signature:
            raise APIUsageError(
                f"environment {self.at_work} has {made}, but environment 0 has {self.signature}; environments that are "
                "stepped together need equal spaces and numbers of agents."
            )

    def _share_episodes(self, env: PufferEnv, episodes: EpisodeArrays) -> None:
        if isinstance(env, EmulatedEnv):
            env.episode_returns, env.episode_lengths = episodes
        elif env.episode_returns is not None:
            self._copied.append((env, episodes))

    def _prepare(self) -> None:
        self._steps = [(self.first + k, _stepper(env)) for k, env in enumerate(self.envs)]

    def bind(self, buffers: Buffers) -> None:
        """Let the environments write into other buffers."""
        for position, env in enumerate(self.envs):
            env.bind(self._part(buffers, position))
        self._prepare()

    def step(self) -> Infos:
        """Step each environment with the actions that lie in its buffer."""
        infos: Infos = []
        for number, step in self._steps:
            self.at_work = number
            env_infos = step()
            if env_infos:
                infos += env_infos
        for env, (returns, lengths) in self._copied:
            returns[:] = env.episode_returns
            lengths[:] = env.episode_lengths  # type: ignore[assignment]
        return infos

    def reset(self, seed: int | None) -> Infos:
        """Start every episode anew; ``seed`` is that of all environments together."""
        infos: Infos = []
        for number, env in enumerate(self.envs, self.first):
            self.at_work = number
            infos += env.reset(None if seed is None else _seed_of(env, seed, number))[1]
            for array in (env.rewards, env.terminals, env.truncations):
                array[:] = 0
        return infos

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call, over all environments."""
        return merge_logs([env.log() for env in self.envs])

    def render(self) -> Any:
        """A picture of the first environment."""
        self.at_work = self.first
        return self.envs[0].render()

    def close(self) -> None:
        """Close all environments."""
        for env in self.envs:
            env.close()


def _stepper(env: PufferEnv) -> Callable[[], Infos]:
    """A function that steps ``env`` with the actions in its buffer, and returns the infos."""
    if isinstance(env, EmulatedEnv):
        return env.step_in_place
    step, actions = env.step, env.actions
    return lambda: step(actions)[4]


def merge_logs(logs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sums of ``episodes``, and means of the rest weighted by it. Empty where no environment keeps statistics."""
    names = dict.fromkeys(name for log in logs for name in log)
    merged = {}
    if names.pop("episodes", "none") is None:
        merged["episodes"] = sum(log.get("episodes", 0.0) for log in logs)
    for name in names:
        having = [(log[name], log.get("episodes", 1.0)) for log in logs if name in log]
        weight = sum(count for _, count in having)
        if weight:
            merged[name] = sum(value * count for value, count in having) / weight
    return merged


def cores() -> int:
    """Processors that this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
