"""Any PufferEnv as a Stable-Baselines3 `VecEnv`. Needs the extra ``sb3``, and imports torch, as that library does.

::

    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", SB3VecEnv(puffer_numba.make("cartpole", num_envs=8)))
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text
from numpy.typing import NDArray

from puffer_numba.emulation.emulated import EmulatedEnv
from puffer_numba.emulation.from_gymnasium import GymnasiumPufferEnv
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.emulation.views import (
    call_each,
    check_synchronous,
    find_render_mode,
    get_attributes,
    own_layouts,
    set_attributes,
    source_env,
)
from puffer_numba.env import SAME_STEP, APIUsageError, Infos, PufferEnv
from puffer_numba.extras import require
from puffer_numba.spaces import Leaf, ObservationLayout, leaf_bounds
from puffer_numba.spaces.actions import HybridSpace
from puffer_numba.wrappers.statistics import EpisodeStats

require("stable_baselines3", "sb3", "puffer_numba.emulation.as_sb3")

from stable_baselines3.common.env_util import is_wrapped  # noqa: E402
from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices  # noqa: E402

AnyArray = NDArray[Any]
Observations = AnyArray | dict[str, AnyArray]
_ARRAYS = (Box, Discrete, MultiDiscrete, MultiBinary)


class SB3VecEnv(VecEnv):
    """A `PufferEnv` as a `stable_baselines3.common.vec_env.VecEnv`, one of its environments for each row.

    Several agents are as many environments to Stable-Baselines3, so that one policy learns from all of them; rows of
    agents that are gone, which it has no masks for, continue with zeros.

    **Observations** are those of the wrapped environments. A Dict of arrays is a Dict, for ``MultiInputPolicy``; where
    it is nested, or a Tuple, its keys are paths: ``"['inner'][0]"``. **Actions** are a Box, Discrete, MultiDiscrete or
    MultiBinary, counted from 0; a Dict or Tuple of these is one MultiDiscrete or Box.

    **Infos** are the wrapped environments' own; State fields that a JitEnv's class names in ``info``; and as in
    `DummyVecEnv` of environments in a `Monitor`: ``TimeLimit.truncated``, and at the end of an episode
    ``terminal_observation`` and ``episode``: ``{"r": return, "l": length, "t": seconds since this object was made}``.

    Everything returned is a copy, the caller's to keep: algorithms hold an observation during the next step, and write
    to rewards.

    Args:
        env: a JitEnv, a synchronous vector backend, or any other PufferEnv; it must reset itself in the same step.
        render_mode: None, or "rgb_array" where the environment renders images. Wrapped environments keep their own.

    Raises:
        APIUsageError: the environment is asynchronous, or does not reset itself; actions that mix integers and real
            numbers; ``render_mode`` is not served.
    """

    def __init__(self, env: PufferEnv, render_mode: str | None = None) -> None:
        check_synchronous(env, "SB3VecEnv")
        if env.autoreset != SAME_STEP:
            raise APIUsageError(
                "SB3VecEnv takes an environment that resets itself in the same step: autoreset='same-step'."
            )
        self._mode = find_render_mode(env, render_mode, "For a window: render(mode='human').")
        self.puffer_env = env if env.episode_returns is not None else EpisodeStats(env)
        self._source = source_env(env)
        self._agents = env.num_agents // env.num_envs
        self._began = time.time()
        self._set_spaces(env)
        super().__init__(env.num_agents, self._reader.space, self._action_space)

    def _set_spaces(self, env: PufferEnv) -> None:
        layout, action_layout = own_layouts(env)
        self._reader = _ObservationReader(layout, env.single_observation_space)
        space = env.single_action_space
        if isinstance(space, HybridSpace):
            raise APIUsageError(
                f"{type(env).__name__} has actions of integers and real numbers, {space}, which no algorithm of "
                "Stable-Baselines3 takes; puffer_numba.pufferl trains on them."
            )
        self._start: Any = 0
        self._action_space = deepcopy(space)
        if isinstance(space, Discrete):
            self._start, self._action_space = int(space.start), Discrete(space.n)
        elif isinstance(space, MultiDiscrete):
            self._start, self._action_space = space.start, MultiDiscrete(space.nvec.ravel())
            own = action_layout.space if action_layout else space
            if isinstance(own, MultiBinary):
                self._action_space = MultiBinary(int(np.prod(own.shape)))

    def reset(self) -> Observations:
        """Start all episodes anew, with what `seed` and `set_options` have set since the last time."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise APIUsageError("set_options() of SB3VecEnv takes one dict for all environments, not several.")
        arguments = {"options": options} if options and isinstance(self._source, EmulatedEnv) else {}
        _, infos = self.puffer_env.reset(self._seeds[0], **arguments)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._spread(infos, self.reset_infos, np.zeros(self.num_envs, np.bool_))
        return self._reader.read(self.puffer_env.observations.copy())

    def step_async(self, actions: AnyArray) -> None:
        """Start a step of all environments: ``(num_envs, *action_shape)``."""
        array, space = np.asarray(actions), self.puffer_env.single_action_space
        if isinstance(self.action_space, MultiBinary):  # for which policies give floats
            array = array.astype(np.int64)
        if isinstance(space, MultiDiscrete) and array.shape == (self.num_envs, space.nvec.size):
            array = array.reshape(self.num_envs, *space.shape)
        self.puffer_env.send(array if isinstance(space, Box) else array + self._start)

    def step_wait(self) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Finish the step: ``(observations, rewards, dones, infos)``."""
        observations, rewards, terminals, truncations, own_infos, *_ = self.puffer_env.recv()
        dones = terminals | truncations
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._spread(own_infos, infos, dones)
        for info in infos:
            info["TimeLimit.truncated"] = False
        for row in np.flatnonzero(dones).tolist():
            self._end_episode(row, infos[row])
        return self._reader.read(observations.copy()), rewards.copy(), dones, infos

    def _end_episode(self, row: int, info: dict[str, Any]) -> None:
        env = self.puffer_env
        info["TimeLimit.truncated"] = bool(env.truncations[row] and not env.terminals[row])
        info["terminal_observation"] = self._reader.read_one(env.final_observations[row].copy())
        assert env.episode_returns is not None
        assert env.episode_lengths is not None
        episode_return, length = float(env.episode_returns[row]), int(env.episode_lengths[row])
        seconds = round(time.time() - self._began, 6)
        info.setdefault("episode", {"r": round(episode_return, 6), "l": length, "t": seconds})

    def _spread(self, infos: Infos, rows: list[dict[str, Any]], dones: NDArray[np.bool_]) -> None:
        """Give each row its part of the infos; first ones of new episodes go to ``reset_infos``."""
        numbers = getattr(infos, "numbers", [0] * len(infos))
        if self._source.info:
            for first, info in zip(range(0, self.num_envs, self._source.num_agents), infos, strict=False):
                self._spread_fields(info, rows[first : first + self._source.num_agents])
        elif isinstance(self._source, GymnasiumPufferEnv):
            for number, info in zip(numbers, infos, strict=True):
                rows[number].update(deepcopy(info))
                if dones[number]:
                    self.reset_infos[number] = rows[number].pop("reset_info", {})
        elif isinstance(self._source, PettingZooPufferEnv):
            agents, seen = self._source.possible_agents, set()
            for number, info in zip(numbers, infos, strict=True):
                target = self.reset_infos if number in seen else rows  # the second one is of the next episode
                seen.add(number)
                for agent in info:
                    target[number * self._agents + agents.index(agent)].update(deepcopy(info[agent]))

    def _spread_fields(self, fields: dict[str, AnyArray], rows: list[dict[str, Any]]) -> None:
        """State fields of a JitEnv; all agents of an environment get the same."""
        for name, field in fields.items():
            values = field.copy() if field.ndim > 1 else field.tolist()
            for row, info in enumerate(rows):
                info[name] = values[row // self._agents]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next reset: of environment ``i`` with ``seed + i``; a JitEnv's stream depends on ``(seed, i)``."""
        super().seed(seed)
        return self._seeds

    def close(self) -> None:
        """Close the environments."""
        self.puffer_env.close()

    def _numbers(self, indices: VecEnvIndices) -> list[int]:
        """The environments of these rows."""
        return [int(row) // self._agents for row in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each wrapped environment; where environments are one object, of that."""
        numbers = self._numbers(indices)
        if attr_name == "render_mode":
            return [self._mode] * len(numbers)
        return get_attributes(self.puffer_env, attr_name, numbers)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each wrapped environment to the same value."""
        numbers = self._numbers(indices)
        set_attributes(self.puffer_env, attr_name, [value] * len(numbers), numbers)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of each wrapped environment; where environments are one object, of that, once."""
        return call_each(self.puffer_env, method_name, method_args, method_kwargs, self._numbers(indices))

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Whether each wrapped environment is in such a wrapper. True for `Monitor`, whose work is done here."""
        wrapped = self._source.env if isinstance(self._source, GymnasiumPufferEnv) else None
        found = wrapper_class is Monitor or (wrapped is not None and is_wrapped(wrapped, wrapper_class))
        return [found] * len(self._numbers(indices))

    def get_images(self) -> Sequence[AnyArray | None]:
        """An image of each environment; None without a render mode."""
        if self.render_mode != "rgb_array":
            return [None] * (self.num_envs // self._agents)
        return self.puffer_env.unwrapped.render_each("rgb_array")


class _ObservationReader:
    """Batches of flat observations as Stable-Baselines3 wants them: one array, or a dict of arrays.

    Attributes:
        space: of one observation.
    """

    def __init__(self, layout: ObservationLayout | None, flat_space: Box) -> None:
        self.space: Any = deepcopy(layout.space if layout else flat_space)
        self.read = layout.unflatten_batch if layout else lambda flat: flat
        if layout is None or isinstance(self.space, _ARRAYS):
            return
        if isinstance(self.space, Dict) and all(isinstance(part, _ARRAYS) for part in self.space.values()):
            return
        # torch has no dots in the names of modules
        leaves = {leaf.path.removeprefix(layout.name).replace(".index", "[index]"): leaf for leaf in layout.leaves}
        self.space = Dict({path: _leaf_space(leaf) for path, leaf in leaves.items()})
        self.read = lambda flat: {path: _read_leaf(flat, leaf) for path, leaf in leaves.items()}

    def read_one(self, flat: AnyArray) -> Any:
        """One flat observation."""
        batch = self.read(flat[None])
        return {key: part[0] for key, part in batch.items()} if isinstance(batch, dict) else batch[0]


def _leaf_space(leaf: Leaf) -> Any:
    if not isinstance(leaf.space, Text):
        return leaf.space
    low, high = leaf_bounds(leaf.space)
    return Box(low.astype(leaf.dtype), high.astype(leaf.dtype), dtype=leaf.dtype.type)


def _read_leaf(flat: AnyArray, leaf: Leaf) -> AnyArray:
    """A view of one array in each of the flat observations."""
    bytes_ = flat.view(np.uint8).reshape(len(flat), -1)
    size = int(np.prod(leaf.shape)) * leaf.dtype.itemsize
    return bytes_[:, leaf.offset : leaf.offset + size].view(leaf.dtype).reshape(len(flat), *leaf.shape)
