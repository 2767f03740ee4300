"""A JitEnv as a `gymnasium.Env`, and any PufferEnv as a `gymnasium.vector.VectorEnv`.

Registered environments are in Gymnasium's registry, so that none of this needs to be imported::

    env = gymnasium.make("puffer_numba:puffer_numba/CartPole-v1")
    envs = gymnasium.make_vec("puffer_numba:puffer_numba/CartPole-v1", num_envs=4096)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from puffer_numba.emulation.as_gymnasium import AnyArray
from puffer_numba.emulation.emulated import EmulatedEnv
from puffer_numba.emulation.from_gymnasium_vector import VectorPufferEnv
from puffer_numba.emulation.views import (
    ClosedError,
    call_each,
    check_one_agent_each,
    check_seeds,
    find_render_mode,
    is_backend,
    own_layouts,
    render_metadata,
    set_attributes,
    source_env,
    split_reset_mask,
)
from puffer_numba.env import DISABLED, NEXT_STEP, SAME_STEP, APIUsageError, PufferEnv
from puffer_numba.jit import JitEnv
from puffer_numba.jit.random import stream_starts
from puffer_numba.registry import make, spec

_MODES = {
    SAME_STEP: AutoresetMode.SAME_STEP,
    NEXT_STEP: AutoresetMode.NEXT_STEP,
    DISABLED: AutoresetMode.DISABLED,
}


def make_vector_env(
    name: str,
    num_envs: int = 1,
    *,
    autoreset_mode: str | AutoresetMode | None = None,
    render_mode: str | None = None,
    copy: bool = True,
    episode_statistics: bool = False,
    **kwargs: Any,
) -> PufferVectorEnv:
    """Copies of a registered environment as a `gymnasium.vector.VectorEnv`: what ``gymnasium.make_vec`` calls.

    Args:
        name, num_envs: as in `puffer_numba.make`.
        autoreset_mode: a `gymnasium.vector.AutoresetMode` or its name; NEXT_STEP by default, as in Gymnasium's own
            vector environments. ``autoreset`` is the same argument under the name it has in `JitEnv`.
        render_mode, copy, episode_statistics: as in `PufferVectorEnv`.
        **kwargs: for the environment's class. A JitEnv's ``seed`` is None, fresh entropy, unless given.

    Raises:
        APIUsageError: unknown name or bad arguments.
    """
    if "autoreset" in kwargs:
        if autoreset_mode is not None:
            raise APIUsageError("gymnasium.make_vec got both autoreset_mode and autoreset; give one of them.")
        autoreset_mode = kwargs.pop("autoreset")
    if issubclass(spec(name).env_class, JitEnv):
        kwargs = {"seed": None, "autoreset": autoreset_mode or AutoresetMode.NEXT_STEP, **kwargs}
    elif autoreset_mode not in (None, AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value):
        raise APIUsageError(
            f"gymnasium.make_vec: autoreset_mode is {autoreset_mode!r}, but {name!r} is not a JitEnv and has "
            "SAME_STEP alone."
        )
    return PufferVectorEnv(make(name, num_envs, **kwargs), render_mode, copy, episode_statistics)


class PufferVectorEnv(gymnasium.vector.VectorEnv[Any, Any, AnyArray]):
    """A `PufferEnv` whose environments have one agent each, as a `gymnasium.vector.VectorEnv`.

    ::

        envs = PufferVectorEnv(puffer_numba.vector.make("gym:LunarLander-v3", num_envs=8))

    **Spaces** are those of the wrapped environments, also where a PufferEnv flattens them: observations are then Dicts
    or Tuples of arrays, views of the flat ones; actions likewise.

    **Infos** have the layout of Gymnasium's own vector environments: each key comes with a mask of the same name
    after "_", bool (num_envs,).

    - What the infos of wrapped environments hold; or of a JitEnv, the State fields that its class names in ``info``:
      ``(num_envs, ...)``. With SAME_STEP autoreset, rows of an ended episode are already those of the next one.
    - In a step that ended an episode, ``final_obs`` (SAME_STEP only): objects, (num_envs,): the last observation
      of each ended episode, None elsewhere.
    - Likewise ``final_info``: what the infos of wrapped environments held at the end (SAME_STEP only).
    - In ``final_info`` of a JitEnv, in every mode, ``episode``: ``{"r": return, "l": length, "t": seconds}``, each
      (num_envs,), 0 where no episode ended, as `gymnasium.wrappers.vector.RecordEpisodeStatistics` makes it. That
      wrapper refuses infos that have ``episode`` already, hence the place; see ``episode_statistics``.

    Infos of other PufferEnvs do not say which environment they are from: they are in ``puffer_infos`` alone.

    Args:
        env: a PufferEnv, in any of the three ``autoreset`` modes that it has. A vector backend must not be
            asynchronous.
        render_mode: None, or "rgb_array" where the environment renders images. Wrapped environments keep their own.
        copy: whether ``reset`` and ``step`` return copies, as Gymnasium's own vector environments do. With False
            they return the arrays that the next step overwrites: faster, but code that keeps an observation while
            it steps (a replay buffer, most examples) must copy it.
        episode_statistics: put ``episode`` and ``_episode`` at the top of the infos, of wrapped environments also,
            which makes that wrapper superfluous.
        flat: keep the flat spaces of the PufferEnv.

    Raises:
        APIUsageError: environments have several agents, the backend is asynchronous, or ``render_mode`` is not served.
    """

    closed = True  # where __init__ refuses, there is nothing to close; Gymnasium closes what is collected

    def __init__(
        self,
        env: PufferEnv,
        render_mode: str | None = None,
        copy: bool = True,
        episode_statistics: bool = False,
        flat: bool = False,
    ) -> None:
        check_one_agent_each(env, "PufferVectorEnv")
        self.puffer_env = env
        self.closed = False  # closing it closes env
        self.render_mode = find_render_mode(env, render_mode, "For a window: gymnasium.wrappers.vector.HumanRendering.")
        self.copy = copy
        self.episode_statistics = episode_statistics
        self.num_envs = env.num_envs
        self.autoreset_mode = _MODES[env.autoreset]
        self.metadata = {**render_metadata(env), "autoreset_mode": self.autoreset_mode}
        self.puffer_infos: list[dict[str, Any]] = []
        self._source = source_env(env)
        self._layout, self._action_layout = (None, None) if flat else own_layouts(env)
        single_spaces = (
            self._layout.space if self._layout else env.single_observation_space,
            self._action_layout.space if self._action_layout else env.single_action_space,
        )
        self.single_observation_space, self.single_action_space = deepcopy(single_spaces)
        self.observation_space, self.action_space = (batch_space(space, self.num_envs) for space in single_spaces)
        self._ended = np.zeros(self.num_envs, np.bool_)
        self._started = np.zeros(self.num_envs)
        self._all = np.ones(self.num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: an int: the stream of environment ``i`` of a JitEnv depends on ``(seed, i)``; a wrapped one is reset
                with ``seed + i``. A sequence of ``num_envs``: environment ``i`` runs as a single one does after
                ``reset(seed=seed[i])``; None continues its stream. None: all continue; at first they start from the
                seed the environment was made with.
            options: for wrapped environments. ``{"reset_mask": mask}``, bool (num_envs,), restarts those environments
                only.

        Returns:
            ``(observations, infos)``: ``(num_envs, *observation_shape)`` and a dict.

        Raises:
            APIUsageError: seeds or mask of the wrong length or type, or not served by this PufferEnv.
        """
        return self._after_reset(self._begin_reset(seed, options))

    def _begin_reset(self, seed: int | Sequence[int | None] | None, options: dict[str, Any] | None) -> AnyArray:
        """Restart environments; which of them, bool (num_envs,)."""
        self._check_open()
        mask, options = split_reset_mask(options, self.num_envs)
        if seed is None or isinstance(seed, int | np.integer):
            seed = None if seed is None else int(seed)
            super().reset(seed=seed)
            self._restart(seed, mask, options)
        else:
            seeds = check_seeds(seed, self.num_envs)
            if isinstance(self.puffer_env, JitEnv):
                self._start_streams(seeds, mask)
                self._restart(None, mask, options)
            else:
                self._restart(seeds, mask, options)
        return self._all if mask is None else np.asarray(mask)

    def _after_reset(self, which: AnyArray) -> tuple[Any, dict[str, Any]]:
        """What `reset` returns, once environments have restarted."""
        self._ended[which] = False
        self._started[which] = time.perf_counter()
        observations = self.puffer_env.observations
        return self._observe(observations.copy() if self.copy else observations), self._infos(which, {})

    def _restart(
        self, seed: int | list[int | None] | None, mask: AnyArray | None, options: dict[str, Any] | None
    ) -> None:
        env, name = self.puffer_env, type(self.puffer_env).__name__
        if isinstance(env, JitEnv):
            assert not isinstance(seed, list)
            _, self.puffer_infos = env.reset(seed, mask)
            return
        if isinstance(seed, list) and not is_backend(env.unwrapped):
            if not isinstance(self._source, EmulatedEnv):
                raise APIUsageError(f"reset(seed=[...]) needs a JitEnv or wrapped environments; {name} takes one int.")
            if not isinstance(self._source, VectorPufferEnv):
                (seed,) = seed
        arguments: dict[str, Any] = {"options": options} if options and isinstance(self._source, EmulatedEnv) else {}
        if mask is not None:
            if not isinstance(env.unwrapped, EmulatedEnv) and not is_backend(env.unwrapped):
                raise APIUsageError(f"options['reset_mask'] needs a JitEnv or wrapped environments; {name} has none.")
            arguments["mask"] = mask
        _, self.puffer_infos = env.reset(seed, **arguments)  # type: ignore[arg-type]

    def _start_streams(self, seeds: list[int | None], mask: AnyArray | None) -> None:
        env = self.puffer_env
        assert isinstance(env, JitEnv)
        env.reset(mask=mask)  # the first reset also starts the streams that have no seed here
        state = env.get_state()
        for i, seed in enumerate(seeds):
            if seed is not None and (mask is None or mask[i]):
                state["streams"][i] = stream_starts(seed, 0, 1)[0]
        env.set_state(state)

    def step(self, actions: Any) -> tuple[Any, AnyArray, AnyArray, AnyArray, dict[str, Any]]:
        """One step of every environment.

        Args:
            actions: ``(num_envs, *action_shape)``, or where the action space is a Dict or Tuple, one of such arrays.

        Returns:
            ``(observations, rewards, terminations, truncations, infos)``: as the space has it, float32, bool, bool.

        Raises:
            APIUsageError: bad actions, no reset yet, or, with autoreset disabled, an environment has ended.
        """
        *arrays, self.puffer_infos = self.puffer_env.step(self._flat(actions))
        return self._after_step(arrays)

    def _flat(self, actions: Any) -> Any:
        """The actions of a step, as the PufferEnv takes them."""
        self._check_open()
        if self.autoreset_mode is AutoresetMode.DISABLED:
            self._check_none_ended()
        elif self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._started[self._ended] = time.perf_counter()
        if self._action_layout is not None:
            return self._action_layout.flatten_batch(actions, self.num_envs)
        return actions

    def _after_step(self, arrays: Sequence[AnyArray]) -> tuple[Any, AnyArray, AnyArray, AnyArray, dict[str, Any]]:
        """What `step` returns, once the environments have stepped."""
        observations, rewards, terminals, truncations = (a.copy() for a in arrays) if self.copy else arrays
        self._ended = terminals | truncations
        final_info: dict[str, Any] = {}
        infos = self._infos(self._all, final_info)
        rows = np.flatnonzero(self._ended)
        if len(rows):
            self._add_final(infos, final_info, rows)
        return self._observe(observations), rewards, terminals, truncations, infos

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedError(f"{type(self).__name__} is closed; make a new one.")

    def _check_none_ended(self) -> None:
        ended = np.flatnonzero(self._ended)
        if len(ended):
            raise APIUsageError(
                f"environment {ended[0]} has ended (and {len(ended) - 1} more), and autoreset is disabled; before "
                "the next step call reset(options={'reset_mask': terminations | truncations})."
            )

    def _observe(self, observations: AnyArray) -> Any:
        return observations if self._layout is None else self._layout.unflatten_batch(observations)

    def _infos(self, which: AnyArray, final_info: dict[str, Any]) -> dict[str, Any]:
        """The infos of all environments; those of episodes that have just ended are added to ``final_info``."""
        infos: dict[str, Any] = {}
        for name in self._source.info:
            infos[name] = self._field([part[name] for part in self.puffer_infos])
            infos[f"_{name}"] = which.copy()
        if not isinstance(self._source, EmulatedEnv):
            return infos
        numbers = getattr(self.puffer_infos, "numbers", [0])  # one environment says nothing of its number
        for number, info in zip(numbers, self.puffer_infos, strict=False):
            if self._ended[number] and self.autoreset_mode is AutoresetMode.SAME_STEP:
                last, info = info, info.get("reset_info", {})
                self._add_info(final_info, {key: last[key] for key in last if key != "reset_info"}, number)
            self._add_info(infos, info, number)
        return infos

    def _field(self, parts: list[AnyArray]) -> AnyArray:
        """A State field, over all objects that hold environments."""
        if len(parts) > 1:
            return np.concatenate(parts)
        return parts[0].copy() if self.copy else parts[0]

    def _add_final(self, infos: dict[str, Any], final_info: dict[str, Any], rows: AnyArray) -> None:
        """What is known of the episodes that ended in this step: those of ``rows``."""
        wanted = self.episode_statistics or not isinstance(self._source, EmulatedEnv)
        if wanted and self.puffer_env.episode_returns is not None and not {"episode"} & {*infos, *final_info}:
            final_info.update({"episode": self._episodes(rows), "_episode": self._ended.copy()})
        if self.episode_statistics:
            infos.update({key: final_info[key] for key in ("episode", "_episode") if key in final_info})
        if final_info or self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos["final_info"] = final_info
            infos["_final_info"] = self._ended.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos["final_obs"] = self._final_observations(rows)
            infos["_final_obs"] = self._ended.copy()
            self._started[rows] = time.perf_counter()

    def _episodes(self, rows: AnyArray) -> dict[str, AnyArray]:
        returns, lengths, seconds = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs)
        returns[rows] = self.puffer_env.episode_returns[rows]  # type: ignore[index]
        lengths[rows] = self.puffer_env.episode_lengths[rows]  # type: ignore[index]
        seconds[rows] = np.round(time.perf_counter() - self._started[rows], 6)
        return {"r": returns, "l": lengths, "t": seconds}

    def _final_observations(self, rows: AnyArray) -> AnyArray:
        final = np.full(self.num_envs, None, dtype=object)
        last = self.puffer_env.final_observations[rows]
        if self._layout is not None:
            for row, observation in zip(rows, last, strict=True):
                final[row] = deepcopy(self._layout.unflatten(observation))
        else:
            final[rows] = np.fromiter(last, object, len(rows))
        return final

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each environment, or get an attribute that is none; one result for each.

        Environments of a JitEnv are one object, which is asked once.
        """
        self._check_open()
        return tuple(call_each(self.puffer_env, name, args, kwargs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each environment; as `call`."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment.

        Args:
            values: a list or tuple of ``num_envs``, or one value for all.

        Raises:
            APIUsageError: they are not so many, or the environments are those of one JitEnv.
        """
        self._check_open()
        set_attributes(self.puffer_env, name, values)

    def render(self) -> tuple[Any, ...] | None:
        """An image of each environment, with a render mode; else None."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() shows nothing without a render mode; make the environment with one.")
            return None
        self._check_open()
        return tuple(self.puffer_env.unwrapped.render_each(self.render_mode))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environments and release the arrays."""
        self.puffer_env.close()
