"""A Gymnasium vector environment as a `PufferEnv`: EnvPool's, ALE's, Gymnasium's own, or any other `VectorEnv`.

::

    env = VectorPufferEnv(env_creator=gymnasium.make_vec, env_args=["CartPole-v1"], env_kwargs={"num_envs": 16})
    env = puffer_numba.vector.make("envpool:HalfCheetah-v5", num_envs=16)  # the same, for those that have a name

What differs between vector environments is when they start the next episode. Here it is in the step that ends the last
one, as the trainer wants it, whatever they do by themselves:

===================================  ====================================================================
the vector environment               becomes same-step
===================================  ====================================================================
same-step                            as it is; last observations are those in its infos
disabled                             environments that ended are reset, with a mask, within the same step
next-step, and it resets with a mask likewise: EnvPool, ALE, `SyncVectorEnv`, `AsyncVectorEnv`
next-step, other                     a row whose episode has ended waits for one step, in which its ``masks`` is False
===================================  ====================================================================
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, NoReturn

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import ArrayLike, NDArray

from puffer_numba.emulation.checking import CHECKED_STEPS
from puffer_numba.emulation.emulated import AnyArray, Buf, EmulatedEnv, _make_object
from puffer_numba.env import (
    DISABLED,
    NEXT_STEP,
    SAME_STEP,
    APIUsageError,
    Buffers,
    Infos,
    NumberedInfos,
    PufferEnv,
    RecvResult,
    Slot,
    StepResult,
    autoreset_mode,
)

Remake = Callable[[Any], VectorEnv[Any, Any, Any]]
_NAMES = {SAME_STEP: "same-step", NEXT_STEP: "next-step", DISABLED: "disabled"}
_FINAL = ("final_obs", "final_info")
_UNDER_WAY: Any = ()  # in place of a result that is still to be waited for


class VectorPufferEnv(EmulatedEnv):
    """A `gymnasium.vector.VectorEnv` as a `PufferEnv` of as many rows.

    In the step that ends an episode, its last observation is in ``final_observations``. ``infos`` has those of each
    environment that has any, as a single one would give them; they are taken apart when somebody reads them. Where the
    next episode has started, too, its info is ``"reset_info"``.

    Observations are copied once, from the arrays that the vector environment returns: into ``buf``, or with
    ``step(actions, out=slot)`` into other buffers, such as a trainer's storage.

    Attributes:
        waits: whether a row whose episode has ended waits for one step, in which ``masks`` is False and its action
            is ignored; ``observations`` has the first one of the next episode after that step only.

    Args:
        env: the vector environment; or
        env_creator, env_args, env_kwargs: what makes it, ``num_envs`` among them.
        buf, checked_steps, strict, text_length: as in `GymnasiumPufferEnv`; it is steps of the batch that are checked.
        seed: for the first reset, unless that has its own. Environment ``i`` has ``seed + i``, where the vector
            environment does as Gymnasium's.
        autoreset: when the next episode starts; None or "same-step": in the step that ends one. "next-step" and
            "disabled" need a vector environment that does so.
        remake: makes the vector environment anew from a seed, or a list of them, for those whose seeds are fixed when
            they are made, as EnvPool's are. None: where there is an ``env_creator`` with a ``seed`` in
            ``env_kwargs``, that.

    Raises:
        APIUsageError: no environment or two; not a vector environment, or one whose batches are smaller than it is;
            spaces of no fixed size; an ``autoreset`` that it cannot be brought to.
    """

    takes_out = True
    _is_batch: ClassVar[bool] = True

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any] | None = None,
        env_creator: Callable[..., Any] | None = None,
        env_args: Sequence[Any] = (),
        env_kwargs: Mapping[str, Any] | None = None,
        buf: Buf = None,
        seed: int | None = 0,
        checked_steps: int | None = CHECKED_STEPS,
        strict: bool = False,
        text_length: int | None = None,
        info_masks: bool | None = None,
        autoreset: str | int | AutoresetMode | None = None,
        remake: Remake | None = None,
    ) -> None:
        made = _make_object("VectorPufferEnv", env, env_creator, env_args, env_kwargs)
        if info_masks:
            raise APIUsageError(
                "info_masks=True is for single environments; here, masks have to be in the observations."
            )
        if not isinstance(made, VectorEnv):
            raise APIUsageError(
                f"VectorPufferEnv takes a gymnasium.vector.VectorEnv, not a {type(made).__module__}."
                f"{type(made).__qualname__}; single environments are for GymnasiumPufferEnv, or vector.make."
            )
        if env_creator is not None and remake is None and "seed" in (env_kwargs or {}):
            remake = partial(_with_seed, env_creator, env_args, dict(env_kwargs or {}))
        self._remake, self._is_envpool = remake, is_envpool(made)
        _check_whole(made)
        mode = SAME_STEP if autoreset is None else autoreset_mode(type(self).__name__, autoreset)
        self._own_mode = own_mode(made)
        self._takes_mask = takes_mask(made, self._own_mode)
        self._check_mode(made, mode)
        self._resets_here = mode == SAME_STEP and self._own_mode != SAME_STEP and self._takes_mask
        self._resets_next = self._own_mode == NEXT_STEP and mode != DISABLED and not self._resets_here
        self.waits = self._resets_next and mode == SAME_STEP
        num = int(made.num_envs)
        self._returns, self._lengths = np.zeros(num, np.float64), np.zeros(num, np.int32)
        self._over = np.zeros(num, np.bool_)  # whose episode ended in the last step
        super().__init__(made, _spaces(made), num, buf, seed, checked_steps, strict, text_length, mode)
        self.masks[:] = True
        self._begin_step, self._end_step = _halves(made)

    def _check_mode(self, env: Any, mode: int) -> None:
        own = self._own_mode
        if mode in (SAME_STEP, own) or (mode == DISABLED and own == NEXT_STEP and self._takes_mask):
            return
        raise APIUsageError(
            f"{type(self).__name__}: {_name(env)} has autoreset {_NAMES[own]!r}, of which {_NAMES[mode]!r} cannot be "
            "made; leave autoreset out, or make the vector environment with that autoreset_mode."
        )

    # ------------------------------------------------------------------ buffers

    def prepare(self, buffers: Buffers) -> Slot:
        """Functions that write a batch of observations into ``buffers``, and read actions from them."""
        writers = [self._layout.batch_writer(array) for array in (buffers.observations, buffers.final_observations)]
        return Slot(buffers, (*writers, self._action_layout.batch_reader(buffers.actions)))

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``, which `prepare` made."""
        PufferEnv.use(self, slot)
        prepared = slot.prepared or self.prepare(slot.buffers).prepared
        self._write_rows, self._write_final_rows, self._read_actions = prepared

    def __getstate__(self) -> dict[str, Any]:
        """Without the functions that write into this object's buffers, which a copy makes for its own."""
        own = ("_write_rows", "_write_final_rows", "_read_actions")
        return {key: value for key, value in vars(self).items() if key not in own}

    # ------------------------------------------------------------------ stepping

    def reset(
        self,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        mask: ArrayLike | None = None,
    ) -> tuple[AnyArray, Infos]:
        """Start episodes.

        Args:
            seed: for the vector environment, or a list with one for each environment, where that takes it; without
                one its random streams continue.
            options: for the vector environment.
            mask: bool (num_envs,), the environments to restart; all by default.

        Returns:
            ``(observations, infos)``: ``(num_envs, *observation_shape)``.

        Raises:
            APIUsageError: the vector environment can only reset all of its environments; or its seeds are fixed, and
                there is nothing to make it anew; an observation is not in its observation space.
        """
        self._finish()
        which = self._reset_mask(mask, is_first=not self._ready)
        chosen = self._seeds(seed)
        rows = None if which.all() else np.flatnonzero(which)
        if rows is not None:
            if not len(rows):
                return self.observations, []
            if not self._takes_mask:
                raise APIUsageError(
                    f"reset(mask=...): {_name(self.env)} resets all of its environments or none; leave mask out."
                )
            options = {**(options or {}), "reset_mask": which.copy()}
        arguments = {} if chosen is None or self._is_envpool else {"seed": chosen}
        observations, infos = self.env.reset(options=options, **arguments)
        self._write_rows(self._checks.sampled(observations) if rows is None else observations, rows)
        for array in (self.rewards, self.terminals, self.truncations, self._returns, self._lengths, self._over):
            array[which] = 0
        self.masks[which] = True
        self._ready, self._pending = True, None
        infos = _without_ids(infos)
        return self.observations, _Unpacked(self.num_agents, infos, numbers=rows) if infos else []

    def _seeds(self, seed: Any) -> Any:
        """The seed for a reset, as the vector environment takes it. One that was made with its seeds is made anew."""
        is_first = not self._seeded
        chosen: Any = self._first_seed(None if np.ndim(seed) else seed)
        if np.ndim(seed):
            if len(seed) != self.num_agents:
                raise APIUsageError(f"reset: there are {len(seed)} seeds for {self.num_agents} environments.")
            rest = None if chosen is None else range(chosen, chosen + self.num_agents)
            chosen = [rest and rest[k] if one is None else self._first_seed(one) for k, one in enumerate(seed)]
        if self._is_envpool:
            self._seed_pool(chosen, is_first, is_asked=seed is not None)
            return None
        is_ale = type(self.env).__module__.startswith("ale_py")
        return np.asarray(chosen) if isinstance(chosen, list) and is_ale else chosen

    def _seed_pool(self, seed: Any, is_first: bool, is_asked: bool) -> None:
        config = self.env.config
        if seed is None or (is_first and seed == (config.get("env_seed") or config["seed"])):
            return
        if is_asked or self._remake is not None:
            self._make_anew(seed)

    def _make_anew(self, seed: Any) -> None:
        if self._remake is None:
            raise APIUsageError(
                f"reset(seed=...): {_name(self.env)} has the seeds that it was made with; give vector.make, or "
                "VectorPufferEnv, a function with a parameter seed that makes it."
            )
        self.env.close()
        self.env = self._remake(seed)
        _spaces(self.env)
        self._begin_step, self._end_step = _halves(self.env)

    def step(self, actions: ArrayLike, out: Slot | None = None) -> StepResult:
        """One step of every environment.

        Args:
            actions: ``(num_envs, *action_shape)``, of the flat action space.
            out: buffers to write this step into, and those after it, as `prepare` made them.

        Returns:
            ``(observations, rewards, terminals, truncations, infos)``: the buffers, which the next step overwrites.

        Raises:
            APIUsageError: no reset yet; a bad action, and then nothing has changed; an observation that is not in the
                observation space; with autoreset disabled, an environment has ended.
        """
        if self._pending is not None:
            raise APIUsageError("step() was called after send(); call recv() first.")
        self._take_actions(actions)
        if out is not None:
            if out.buffers.actions is not self.actions:
                out.buffers.actions[...] = self.actions
            self.use(out)
        infos = self.step_in_place()
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def send(self, actions: ArrayLike, env_ids: NDArray[np.int64] | None = None) -> None:
        """Like `step`; the result is fetched with `recv`. A vector environment that can steps in the background."""
        self._check_send(env_ids)
        self._take_actions(actions)
        self.send_in_place()
        self._pending = _UNDER_WAY

    def recv(self) -> RecvResult:
        """Results of the last `send` or `async_reset`: ``(o, r, d, t, infos, env_ids, masks)``."""
        if self._pending is _UNDER_WAY:
            self._pending = None
            infos = self.recv_in_place()
            self._pending = (self.observations, self.rewards, self.terminals, self.truncations, infos)
        return super().recv()

    def _finish(self) -> None:
        """Wait for a step whose results nobody asks for."""
        if self._pending is _UNDER_WAY:
            self.recv()

    def step_in_place(self) -> Infos:
        """`step` with what lies in ``actions``, which is taken to be valid; returns the infos alone."""
        self.send_in_place()
        return self.recv_in_place()

    @property
    def is_asynchronous(self) -> bool:
        """Whether the vector environment steps by itself between `send_in_place` and `recv_in_place`."""
        return self._begin_step is not None

    def send_in_place(self) -> None:
        """Let the vector environment begin a step with what lies in ``actions``."""
        if self.autoreset == DISABLED and self._over.any():
            self._raise_over()
        if self._begin_step is not None:
            self._begin_step(self._read_actions())

    def recv_in_place(self) -> Infos:
        """Wait for the step that was begun, write its results into the buffers, and return the infos."""
        result = self._end_step() if self._begin_step is not None else self.env.step(self._read_actions())
        try:
            observations, rewards, terminated, truncated, infos = result
            self.rewards[:] = rewards
            self.terminals[:] = terminated
            self.truncations[:] = truncated
        except (TypeError, ValueError):
            self._raise_bad_result(result)
        self._write_rows(self._checks.sampled(observations), None)
        self._count(rewards)
        infos = _without_ids(infos)
        over = np.logical_or(self.terminals, self.truncations, out=self._over)
        if self.waits:
            np.logical_not(over, out=self.masks)
        if over.any():
            return self._end_episodes(np.flatnonzero(over), infos)
        return _Unpacked(self.num_agents, infos) if infos else []

    def _count(self, rewards: Any) -> None:
        """Add a step to the episodes under way: not those whose first observation this is."""
        if self._resets_next and self._over.any():
            acted = ~self._over
            np.add(self._returns, np.asarray(rewards), out=self._returns, where=acted)
            self._lengths += acted
            return
        self._returns += np.asarray(rewards)  # which may be another library's
        self._lengths += 1

    def _end_episodes(self, rows: NDArray[np.intp], infos: dict[str, Any]) -> Infos:
        """Last observations and statistics of the episodes that ended, and where it is time, the next ones."""
        self._write_last(rows, infos)
        returns, lengths = self._returns[rows], self._lengths[rows]
        self.episode_returns[rows], self.episode_lengths[rows] = returns, lengths  # type: ignore[index]
        self._log["episodes"] += len(rows)
        self._log["episode_return"] += float(returns.sum())
        self._log["episode_length"] += float(lengths.sum())
        self._returns[rows] = self._lengths[rows] = 0
        if not self._resets_here:
            is_next = self._own_mode == SAME_STEP
            return _Unpacked(self.num_agents, infos, ended=rows if is_next else None) if infos else []
        if self._is_envpool:  # the same without its checks
            observations, reset_infos = self.env.reset(rows.astype(np.int32))
        else:
            observations, reset_infos = self.env.reset(options={"reset_mask": self._over.copy()})
        self._write_rows(observations, rows)
        reset_infos = _without_ids(reset_infos)
        if not (infos or reset_infos):
            return []
        return _Unpacked(self.num_agents, infos, ended=rows, reset_infos=reset_infos)

    def _write_last(self, rows: NDArray[np.intp], infos: dict[str, Any]) -> None:
        if self._own_mode != SAME_STEP:
            self.final_observations[rows] = self.observations[rows]
            return
        last = infos.get("final_obs", infos.get("final_observation"))
        if last is None:
            raise APIUsageError(
                f"{_name(self.env)} has autoreset 'same-step', but its infos have no 'final_obs' where episodes end; "
                "make it with another autoreset_mode."
            )
        if isinstance(last, np.ndarray) and last.dtype == object:
            for row in rows:  # the only form in which Gymnasium has them
                self._layout.writer(self.final_observations[row : row + 1][0])(last[row])
        else:
            self._write_final_rows(last, rows)

    def _raise_over(self) -> NoReturn:
        ended = np.flatnonzero(self._over)
        raise APIUsageError(
            f"environment {ended[0]} has ended (and {len(ended) - 1} more), and autoreset is disabled; call "
            "reset(mask=env.terminals | env.truncations) before the next step."
        )

    def _raise_bad_result(self, result: Any) -> NoReturn:
        shapes = [np.shape(part) for part in result[1:4]] if isinstance(result, tuple) else type(result).__name__
        raise APIUsageError(
            f"{_name(self.env)}.step() returned rewards, terminations and truncations of shapes {shapes}; expected "
            f"(observations, rewards, terminations, truncations, infos) with three of shape ({self.num_agents},)."
        )

    # ------------------------------------------------------------------ the rest

    def close(self) -> None:
        """Close the vector environment, once a step under way is done. Calling it again does nothing."""
        if not self.closed:
            with suppress(Exception):
                self._finish()
        super().close()

    def get_attr(self, name: str, numbers: Sequence[int] | None = None) -> list[Any]:
        """An attribute of each environment; where the vector environment has none of each, its own."""
        if hasattr(self.env, "get_attr"):
            return self._chosen(self.env.get_attr(name), numbers)
        return [getattr(self.env, name)] * self._number(numbers)

    def set_attr(self, name: str, values: Any, numbers: Sequence[int] | None = None) -> None:
        """Set an attribute of each environment.

        Raises:
            APIUsageError: those of the vector environment are one object; or ``numbers`` are not all.
        """
        if not hasattr(self.env, "set_attr"):
            super(EmulatedEnv, self).set_attr(name, values, numbers)
        if numbers is not None and list(numbers) != list(range(self.num_agents)):
            raise APIUsageError(f"set_attr({name!r}): {_name(self.env)} sets those of all environments; give all.")
        self.env.set_attr(name, values)

    def call(self, name: str, *args: Any, numbers: Sequence[int] | None = None, **kwargs: Any) -> list[Any]:
        """Call a method of each environment; where the vector environment cannot, its own. Others are read."""
        if hasattr(self.env, "call"):
            return self._chosen(self.env.call(name, *args, **kwargs), numbers)
        return super(EmulatedEnv, self).call(name, *args, numbers=numbers, **kwargs)

    def _chosen(self, values: Any, numbers: Sequence[int] | None) -> list[Any]:
        return list(values) if numbers is None else [values[number] for number in numbers]

    def render(self) -> Any:
        """An image of the first environment, as the vector environment draws it."""
        frames = self.env.render()
        return frames[0] if isinstance(frames, tuple | list) or np.ndim(frames) > 3 else frames

    def render_each(self, mode: str) -> list[Any]:
        """An image of each environment."""
        frames = self.env.render(env_ids=range(self.num_agents)) if self._is_envpool else self.env.render()
        return list(frames)


class _Unpacked(NumberedInfos):
    """Infos of a vector environment, a dict of arrays, as those of single ones: made when somebody first reads them.

    Args:
        num: of environments.
        infos: of a step or reset.
        numbers: of the environments that they are of; None: all.
        ended: the environments whose next episodes have started in this step.
        reset_infos: what a reset of those has said; None where it is in ``infos``, beside ``final_info``.
    """

    def __init__(
        self,
        num: int,
        infos: dict[str, Any],
        numbers: NDArray[np.intp] | None = None,
        ended: NDArray[np.intp] | None = None,
        reset_infos: dict[str, Any] | None = None,
    ) -> None:
        list.__init__(self)
        self._numbers: list[int] = []
        self._unread: Any = (num, infos, numbers, ended, reset_infos)

    def _read(self) -> None:
        if self._unread is None:
            return
        (num, infos, numbers, ended, reset_infos), self._unread = self._unread, None
        where = {} if ended is None else {int(row): k for k, row in enumerate(ended)}
        for position, number in enumerate(range(num) if numbers is None else numbers.tolist()):
            info = _info(infos, {num if numbers is None else len(numbers): position, num: number})
            if ended is not None and reset_infos is None:
                started = {key: info[key] for key in info if key not in _FINAL}
                info, reset_info = (info.get("final_info", {}), started) if number in where else (started, {})
            elif number in where:
                reset_info = _info(reset_infos, {len(where): where[number], num: number})
            else:
                reset_info = {}
            info = {**info, "reset_info": reset_info} if reset_info else info
            if info:
                self.append(info)
                self._numbers.append(number)

    @property
    def numbers(self) -> list[int]:  # type: ignore[override]
        """``infos[k]`` is from environment ``numbers[k]``."""
        self._read()
        return self._numbers

    def __len__(self) -> int:
        self._read()
        return super().__len__()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._read()
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        self._read()
        return super().__getitem__(index)

    def __eq__(self, other: object) -> bool:
        self._read()
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        self._read()
        return super().__repr__()

    def __reduce__(self) -> Any:
        return _restored, (list(self), self.numbers)


def _restored(infos: Infos, numbers: list[int]) -> NumberedInfos:
    """What was pickled."""
    restored = NumberedInfos()
    restored += infos
    restored.numbers += numbers
    return restored


def _info(infos: Mapping[str, Any], index: Mapping[int, int]) -> dict[str, Any]:
    """What ``infos`` say of one environment.

    A value that comes with a mask, under its name after "_", is of the environments where that is True.

    Args:
        index: where that environment is in an array, by the array's length.
    """
    found: dict[str, Any] = {}
    for key, value in infos.items():
        if key.startswith("_") and key[1:] in infos:
            continue
        mask = infos.get(f"_{key}")
        if mask is not None and not mask[index[len(mask)]]:
            continue
        if isinstance(value, Mapping):
            part = _info(value, index)
            if part or mask is not None:
                found[key] = part
            continue
        has_parts = isinstance(value, list | tuple) or bool(getattr(value, "shape", ()))
        found[key] = value[index[len(value)]] if has_parts and len(value) in index else value
    return found


def _spaces(env: Any) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """Those of a single environment; EnvPool makes and keeps them here, of bounds in float64, without its warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*precision lowered")
        return env.single_observation_space, env.single_action_space


def _without_ids(infos: dict[str, Any]) -> dict[str, Any]:
    """Without the numbers of environments that EnvPool and ALE add, which are those within one object."""
    if not infos or "env_id" not in infos:
        return infos
    return {key: value for key, value in infos.items() if key not in ("env_id", "players")}


def own_mode(env: Any) -> int:
    """When a vector environment starts the next episode by itself; those that do not say, as Gymnasium's own."""
    return autoreset_mode(_name(env), env.metadata.get("autoreset_mode") or NEXT_STEP)


def takes_mask(env: Any, mode: int) -> bool:
    """Whether ``reset(options={"reset_mask": ...})`` of a vector environment restarts a part of it.

    With autoreset disabled it must. Others may ignore it, as Gymnasium's CartPole does; these are known to have it.
    Of wrappers around them it is not known what a reset does to them.
    """
    if mode == DISABLED:
        return True
    is_known = isinstance(env, SyncVectorEnv | AsyncVectorEnv) or type(env).__module__.startswith("ale_py")
    return is_known or is_envpool(env)


def is_envpool(env: Any) -> bool:
    """Whether it is one of EnvPool's, whose classes are made when they are needed."""
    return any(cls.__module__.startswith("envpool.python") for cls in type(env).__mro__)


def _halves(env: Any) -> tuple[Callable[[Any], Any] | None, Callable[[], Any]]:
    """What begins a step of a vector environment and what waits for it, where it has both; elsewhere None at first."""
    if isinstance(env, AsyncVectorEnv):
        return env.step_async, env.step_wait
    if is_envpool(env) or type(env).__module__.startswith("ale_py"):
        return env.send, env.recv
    return None, lambda: None


def _check_whole(env: Any) -> None:
    """Raise where batches are smaller than the vector environment, or its environments have several agents."""
    config = env.config if is_envpool(env) else {}
    size = config.get("batch_size") or getattr(env, "batch_size", None) or env.num_envs
    if size != env.num_envs:
        raise APIUsageError(
            f"{_name(env)} has {env.num_envs} environments, but batches of {size}; make it without a batch_size, and "
            f"give that to vector.make: vector.make(..., num_envs={env.num_envs}, batch_size={size})."
        )
    if config.get("max_num_players", 1) > 1:
        raise APIUsageError(f"{_name(env)} has {config['max_num_players']} players; expected one agent each.")


def _with_seed(creator: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], seed: Any) -> Any:
    return creator(*args, **{**kwargs, "seed": seed})


def _name(env: Any) -> str:
    return type(env).__name__
