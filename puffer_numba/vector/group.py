"""Environments with consecutive numbers, stepped one after the other, here or in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv

from puffer_numba.emulation.emulated import EmulatedEnv
from puffer_numba.emulation.from_gym import is_legacy
from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.emulation.from_gymnasium_vector import VectorPufferEnv
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.env import APIUsageError, Buffers, Infos, NumberedInfos, PufferEnv
from puffer_numba.jit import JitEnv
from puffer_numba.naming import (
    Creator,
    env_class_of,
    is_jit,
    makes_batch,
    name_of,
    not_installed,
    parameters_of,
    wants_num_envs,
)
from puffer_numba.wrappers.base import Wrapper

EpisodeArrays = tuple[NDArray[np.float32], NDArray[np.int32]]


class EnvJob(NamedTuple):
    """What makes one environment."""

    creator: Creator
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    autoreset: int | None = None
    """The mode that it is to have; None: its own."""
    emulation: Mapping[str, Any] | None = None
    """Options of `GymnasiumPufferEnv` and `PettingZooPufferEnv`."""

    @property
    def is_batch(self) -> bool:
        """Whether it makes one vector environment of as many environments as it is told."""
        return makes_batch(self.creator) and "num_envs" not in self.kwargs and not is_jit(self.creator)

    def mode(self) -> dict[str, Any]:
        """The mode as a keyword argument of a `JitEnv` and of the emulation."""
        return {} if self.autoreset is None else {"autoreset": self.autoreset}


@dataclass(frozen=True)
class Signature:
    """What all environments behind one object have in common."""

    observation_space: Box
    action_space: gymnasium.Space[Any]
    num_agents: int
    num_envs: int
    autoreset: int

    @classmethod
    def of(cls, env: PufferEnv) -> Signature:
        """That of one environment."""
        return cls(env.single_observation_space, env.single_action_space, env.num_agents, env.num_envs, env.autoreset)


def create(job: EnvJob, index: int, seed: int, buf: Buffers | None = None, num_envs: int | None = None) -> PufferEnv:
    """Make environment number ``index`` and wrap it where it is Gymnasium's or PettingZoo's.

    A creator that has parameters named ``buf``, ``seed`` and ``num_envs`` is given them, as in PufferLib.

    Args:
        seed: of all environments together.
        buf: arrays that the environment is to write into.
        num_envs: of the vector environment that it makes. None: 1 where it must be told, else what it does by itself.

    Raises:
        APIUsageError: the creator returned something else.
    """
    accepted = parameters_of(job.creator)
    if num_envs is None and "num_envs" not in job.kwargs and wants_num_envs(job.creator):
        num_envs = 1
    extra: dict[str, Any] = {"seed": _seed_of(env_class_of(job.creator), seed, index * (num_envs or 1))}
    if buf is not None:
        extra["buf"] = buf
    given = {name: value for name, value in extra.items() if name in accepted and name not in job.kwargs}
    if num_envs is not None:
        given["num_envs"] = num_envs
    if is_jit(job.creator):
        given |= {name: value for name, value in job.mode().items() if name not in job.kwargs}
    env = _called(job, given)
    if isinstance(env, VectorEnv):  # EnvPool's is a gymnasium.Env, too
        return VectorPufferEnv(env, **extra, **job.mode(), **(job.emulation or {}), remake=_remake(job, given))
    if isinstance(env, gymnasium.Env) or is_legacy(env):
        return GymnasiumPufferEnv(env, **extra, **job.mode(), **(job.emulation or {}))
    if isinstance(env, ParallelEnv | AECEnv):
        return PettingZooPufferEnv(env, **extra, **job.mode(), **(job.emulation or {}))
    if not isinstance(env, PufferEnv):
        raise APIUsageError(
            f"{job.creator} returned {type(env).__module__}.{type(env).__qualname__}; expected a gymnasium.Env, a "
            "PettingZoo environment, a gymnasium.vector.VectorEnv, or a PufferEnv. Environments of the old gym are "
            "converted by shimmy.GymV21CompatibilityV0."
        )
    if job.autoreset not in (None, env.autoreset):
        raise APIUsageError(
            f"vector.make: {name_of(job.creator)} makes environments with another autoreset mode; leave autoreset out, "
            "or make them with it."
        )
    if isinstance(env, JitEnv):
        env.first_env = index * env.num_envs  # so that it continues the streams of those before it
    if buf is not None and env.observations is not buf.observations:
        env.bind(buf)
    return env


def _called(job: EnvJob, given: dict[str, Any]) -> Any:
    """What the creator returns."""
    try:
        return job.creator(*job.args, **{**given, **job.kwargs})
    except ModuleNotFoundError as error:
        raise not_installed(name_of(job.creator), "the environment", error) from error
    except Exception as error:
        if isinstance(error, DependencyNotInstalled | ImportError) or isinstance(error.__cause__, ImportError):
            raise APIUsageError(f"{name_of(job.creator)}: {error}") from error
        raise


def _remake(job: EnvJob, given: dict[str, Any]) -> Callable[[Any], Any] | None:
    """What makes a vector environment anew with another seed, where the creator takes one."""
    return (lambda seed: _called(job, {**given, "seed": seed})) if "seed" in given else None


def _seed_of(env: Any, seed: int, index: int) -> int:
    """A JitEnv's streams differ by their index already; others are told apart by the seed, as in Gymnasium."""
    return seed if isinstance(env, JitEnv) or is_jit(env) else seed + index


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
            APIUsageError: one has another signature. Whatever a creator raises. Those made before it are closed.
        """
        try:
            self._make()
        except BaseException:
            with suppress(Exception):
                self.close()
            raise
        self._prepare()

    def _make(self) -> None:
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
        gymnasiums = [env for env in self.envs if isinstance(env, GymnasiumPufferEnv)]
        space = gymnasiums[0].emulated.action_space if len(gymnasiums) == len(self.envs) else None
        alike = all(env.emulated.action_space == space for env in gymnasiums)
        self._scalars = np.empty(len(self.envs), space.dtype) if alike and isinstance(space, Discrete) else None
        steps = [_stepper(env, self._scalars is not None) for env in self.envs]
        self._steps = list(enumerate(steps, self.first))

    def bind(self, buffers: Buffers) -> None:
        """Let the environments write into other buffers."""
        self._buffers = buffers
        for position, env in enumerate(self.envs):
            env.bind(self._part(buffers, position))
        self._prepare()

    def step(self) -> NumberedInfos:
        """Step each environment with the actions that lie in its buffer."""
        infos = NumberedInfos()
        for (number, step), action in zip(self._steps, self._actions(), strict=False):
            self.at_work = number
            env_infos = step(action)
            if env_infos:
                infos.add(number, env_infos, self.signature.num_envs)
        for env, (returns, lengths) in self._copied:
            returns[:] = env.episode_returns
            lengths[:] = env.episode_lengths  # type: ignore[assignment]
        return infos

    def _actions(self) -> Iterable[Any]:
        """What to call each stepper with: numbers of a Discrete space, all converted at once; others read their own."""
        if self._scalars is None:
            return repeat(None)
        self._scalars[:] = self._buffers.actions
        return self._scalars

    def reset(
        self,
        seed: int | Sequence[int | None] | None,
        options: dict[str, Any] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> Infos:
        """Start episodes anew.

        Args:
            seed: that of all environments together, or one for each of them.
            options: for wrapped environments.
            mask: bool, those to restart, of all environments together; all by default.
        """
        infos = NumberedInfos()
        arguments = {} if options is None else {"options": options}
        for number, env in enumerate(self.envs, self.first):
            if mask is not None:
                part = mask[number * env.num_envs : (number + 1) * env.num_envs]
                if not part.any():
                    continue
                arguments["mask"] = part  # type: ignore[assignment]
            self.at_work = number
            own = seed[number] if isinstance(seed, Sequence) else None
            if own is None and seed is not None and not isinstance(seed, Sequence):
                own = _seed_of(env, seed, number * env.num_envs if isinstance(env, VectorPufferEnv) else number)
            infos.add(number, env.reset(own, **arguments)[1], self.signature.num_envs)
            if mask is None:
                for array in (env.rewards, env.terminals, env.truncations):
                    array[:] = 0
        return infos

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call, over all environments."""
        return merge_logs([env.log() for env in self.envs])

    def render(self) -> Any:
        """An image of the first environment."""
        self.at_work = self.first
        return self.envs[0].render()

    def render_each(self, mode: str) -> list[Any]:
        """An image of each environment."""
        return [image for env in self.envs for image in env.render_each(mode)]

    def get_attr(self, numbers: Sequence[int], name: str) -> list[Any]:
        """An attribute of the environments with these numbers, those that are here; or the `AttributeError`."""
        return [_attribute(env, name) for env in self._those(numbers)]

    def set_attr(self, numbers: Sequence[int], name: str, values: Mapping[int, Any]) -> list[int]:
        """Set an attribute of the environments with these numbers, those that are here; which they were."""
        for env in self._those(numbers):
            if isinstance(env, EmulatedEnv | Wrapper):
                env.set_attr(name, [values[self.at_work]])
            else:
                setattr(env, name, values[self.at_work])
        return [number for number in numbers if self.first <= number < self.first + len(self.envs)]

    def call(self, numbers: Sequence[int], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Likewise, or where it is a method, what that returns."""
        found = ((env, _attribute(env, name)) for env in self._those(numbers))
        return [env.call(name, *args, numbers=[0], **kwargs)[0] if callable(value) else value for env, value in found]

    def _those(self, numbers: Sequence[int]) -> Iterator[PufferEnv]:
        for number in numbers:
            if 0 <= number - self.first < len(self.envs):
                self.at_work = number
                yield self.envs[number - self.first]

    def close(self) -> None:
        """Close all environments, also where closing one of them fails."""
        with ExitStack() as stack:
            for env in reversed(self.envs):
                stack.callback(env.close)


def _stepper(env: PufferEnv, with_action: bool) -> Callable[[Any], Infos]:
    """A function that steps ``env`` with the action it is given, or with that in the buffer, and returns the infos."""
    if with_action:
        return env.step_with  # type: ignore[attr-defined]
    if isinstance(env, EmulatedEnv):
        return lambda _: env.step_in_place()
    step, actions = env.step, env.actions
    return lambda _: step(actions)[4]


def _attribute(env: PufferEnv, name: str) -> Any:
    """For a worker, which an error would end."""
    try:
        return env.get_attr(name, [0])[0]
    except AttributeError as error:
        return error


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
