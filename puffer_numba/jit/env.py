"""JitEnv: write one environment in plain Python; get thousands, compiled to a parallel kernel."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, NoReturn

import numba
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from puffer_numba.env import (
    DISABLED,
    SAME_STEP,
    APIUsageError,
    Buffers,
    Infos,
    PufferEnv,
    Slot,
    StepResult,
    autoreset_mode,
)
from puffer_numba.jit import fields
from puffer_numba.jit.beside import Drawing, Preset
from puffer_numba.jit.checked import DebugIndexError, Guard
from puffer_numba.jit.compiler import interrupt, kernels, threads
from puffer_numba.jit.compiler.announce import note_edits
from puffer_numba.jit.compiler.functions import specialize
from puffer_numba.jit.compiler.launch import CHECK, STEP, address, launch, without_type
from puffer_numba.jit.compiler.parts import DEBUG_OPTIONS, JIT_OPTIONS
from puffer_numba.jit.compiler.simulation import PlainSimulation, Simulation
from puffer_numba.jit.compiler.tuples import Episodes
from puffer_numba.jit.random import stream_starts
from puffer_numba.memory import check_room
from puffer_numba.spaces import Emulated, ObservationLayout

_NO_LIMIT = 2**31 - 1
_CALIBRATION_STEPS = 40
_MANY = 2**16  # environments from which on it matters whether there is memory for them
_BYTES_OF_ROW = 40  # besides observations and state
_LONGEST_PAUSE = 8192  # steps
_WORTH_A_SECOND_THREAD = 8e-6  # seconds for one step; waking a thread costs about 3e-6


class JitEnv(PufferEnv):
    """Many copies of one environment, compiled from scalar functions that know only their own copy ``i``.

    A subclass declares::

        class Walk(JitEnv):
            max_episode_steps = 100
            single_observation_space = Box(-1, 1, (1,), np.float32)
            single_action_space = Discrete(2)

            class State(NamedTuple):        # each field becomes an array: one value for each environment
                position: int

            class Params(NamedTuple):       # keyword arguments of Walk(...)
                size: int = 10

            @kernel
            def reset_env(s, p, i, rng):
                s.position[i] = integer(rng, p.size)

            @kernel
            def step_env(s, p, i, action, rng):
                s.position[i] += 2 * action - 1
                at_end = s.position[i] == p.size
                return 1.0 if at_end else 0.0, at_end or s.position[i] < 0

            @kernel
            def observe_env(s, p, i, obs):
                obs[i, 0] = s.position[i] / p.size

    ``Walk(num_envs=4096, seed=1, size=20)`` is a `PufferEnv`. The framework supplies the loop, threads, buffers,
    a random stream for each environment, the time limit, automatic resets, episode statistics and the
    check of actions.

    **State** fields are ``float`` (the environment's float type), ``int`` (int32), ``bool``, a NumPy scalar type, or
    ``typing.Annotated[type, size, ...]``, where sizes are numbers, expressions or functions of the params:
    ``Annotated[np.uint8, "size", "2 * size + 1"]``.
    Every field of environment ``i`` is zero when ``reset_env`` is called, or its default: ``lives: int = 3``.

    **Params** fields are ``float``, ``int``, ``bool``, or arrays (``np.ndarray``, read-only in kernels). What is
    ``float``, and arrays of float64, become the environment's float type, unless the annotation is
    ``Annotated[float, np.float64]`` or ``NDArray[np.float64]``. Bounds are declared with annotated-types:
    ``Annotated[float, Gt(0)]``, ``Annotated[int, Ge(1), Le(32)]``; of an array they hold for each element, and NaN is
    out of any. `setup` checks what bounds cannot say. `with_defaults` makes Params with other defaults for a derived
    class. What a field is stands behind it as a comment, or below it as a string, and is the help of its option.

    **Tables** are for what kernels look up and nobody sets: fields as those of Params, which `tables` computes from the
    params. Kernels find both in ``p``.

    **Spaces** may be functions of the params. Where the observation space is no Box (a Discrete, or a Dict or Tuple),
    ``obs[i]`` is one flat observation, as `puffer_numba.spaces.ObservationLayout` lays it out: a Discrete is
    ``obs[i, 0]``. **step_env** returns ``(reward, terminated)``, or ``(reward, terminated, truncated)``. ``action`` is
    a number for Discrete, else an array of the action's components. ``obs[i, ...]`` must be written whole.

    **Several agents**: set ``agents`` to their number, or to an expression or a function of the params. Rows are then
    ``num_envs * agents``, and ``action`` and ``obs[i]`` have an axis of agents first.
    ``step_env(s, p, i, action, rng, team)`` writes ``team.reward[i, a]`` and ``team.terminated[i, a]``, and returns
    whether the episode is over for all; ``reset_env(s, p, i, rng, team)`` may let agents wait for their turn. See
    `puffer_numba.jit.compiler.tuples.Agents`.

    Args:
        num_envs: number of environments.
        seed: of all random streams. The stream of environment ``i`` depends on ``(seed, first_env + i)`` alone.
        buf: arrays to write into, as for `PufferEnv`.
        dtype: float type of state and params, "float32" or "float64".
        jit: False runs the same functions as plain Python, for a breakpoint or a print.
        debug: whether every access of the functions is checked; by default where ``jit`` is False, and where the
            environment variable ``PUFFER_NUMBA_DEBUG``, or Numba's ``NUMBA_BOUNDSCHECK``, is 1. In plain Python all
            that `puffer_numba.jit.checked` lists is; in compiled code, on one thread, the bounds of indices are, and a
            step that raises changes nothing.
        autoreset: when an ended environment restarts, as in `gymnasium.vector.AutoresetMode`: "same-step" (in the
            step that ended it), "next-step" or "disabled" (by ``reset(mask=...)``).
        max_episode_steps: time limit; the class's own by default, None for none.
        first_env: index of the first environment, where this object holds a part of many.
        **params: values for ``Params``.

    Raises:
        APIUsageError: the class or the arguments are wrong; the message says which, and how to fix it. With ``debug``,
            `reset` and `step` raise `puffer_numba.jit.checked.DebugError`, which is one, for what the functions do.
    """

    agents: ClassVar[int | str | Callable[[Any], int] | None] = None
    max_episode_steps: int | None = None
    takes_out = True
    saves_state = True
    info: tuple[str, ...] = ()
    """State fields shown to the user at each step: ``infos[0][name]`` is a view of the field's array."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """State fields, one number for each environment, averaged by `log` over the episodes that ended."""
    render_fps: int = Drawing(30)  # type: ignore[assignment]
    """Images for each second, for it to look right."""
    keys: ClassVar[dict[str, Any]] = Drawing({})  # type: ignore[assignment]
    """Actions by the names of keys, for `puffer play`: ``{"left": 0, "right": 1}``; "" is no key at all."""
    train_config: ClassVar[dict[str, Any]] = Preset()  # type: ignore[assignment]
    """Trainer settings that suit this environment, by dotted name: ``{"train.learning_rate": 1e-3}``.

    A class that does not declare it has those of `puffer_numba.presets` for the environment of the suite that it is or
    derives from, or none."""
    sweep_space: ClassVar[dict[str, Any]] = {}
    """Ranges for `puffer_numba.sweep` in place of the usual ones: ``{"train.gamma": ReverseLogUniform(0.9, 0.99)}``."""

    class Params(NamedTuple):
        """No parameters."""

    class Tables(NamedTuple):
        """No tables."""

    State: ClassVar[Any]
    reset_env: ClassVar[Callable[..., None]]
    step_env: ClassVar[Callable[..., Any]]
    observe_env: ClassVar[Callable[..., None]]
    render_env: ClassVar[Callable[..., NDArray[np.uint8]] | None] = Drawing()  # type: ignore[assignment]
    """``render_env(s, p, i) -> uint8 (height, width, 3)``, plain Python; None where there is no image.

    A static method of the class, or a function of a module of its own: that of an environment in ``package/NAME.py``
    may stand in ``package/drawing/NAME.py``, which is imported when it is first asked for. So may what people need
    to look on or play: ``ansi_env``, ``RENDER_FPS`` and ``KEYS``."""
    ansi_env: ClassVar[Callable[..., str] | None] = Drawing()  # type: ignore[assignment]
    """``ansi_env(s, p, i) -> str``, for games that a terminal can show, in the same places; None for others."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        seed: int | None = 0,
        buf: Mapping[str, NDArray[Any]] | Buffers | None = None,
        dtype: str | type = "float32",
        jit: bool = True,
        debug: bool | None = None,
        autoreset: str | AutoresetMode = "same-step",
        max_episode_steps: int | str | None = "default",
        first_env: int = 0,
        **params: Any,
    ) -> None:
        cls = type(self)
        fields.check_class(cls)
        self._num_envs = fields.positive_int(cls, "num_envs", num_envs)
        self.float_type = fields.float_type(cls, dtype)
        self.autoreset = autoreset_mode(cls.__name__, autoreset)
        self.jit = jit
        self.debug = fields.debug_mode(cls, debug, jit)
        self.first_env = fields.integer(cls, "first_env", first_env)
        self._seed = seed if seed is None else fields.integer(cls, "seed", seed)
        self._params = fields.make_params(cls, params, self.float_type)
        limit = self.time_limit(self.params) if max_episode_steps == "default" else max_episode_steps
        self.max_episode_steps = limit  # type: ignore[assignment]
        if self.max_episode_steps is not None:
            fields.positive_int(cls, "max_episode_steps", self.max_episode_steps)
        self.agents_per_env = fields.count_agents(cls, self.params)
        self.num_agents = self._num_envs * (self.agents_per_env or 1)
        self.single_action_space = fields.make_space(cls, "single_action_space", self.params)
        self.single_observation_space, self.emulated = self._observation_space()
        self._low, self._high = fields.action_bounds(self.single_action_space)
        self._check_room()
        self._allocate()
        self._step_kernel, self._reset_kernel = self._make_kernels(jit)
        self._run = self._step_plain if not jit else self._step_debug if self.debug else self._calibrate
        self._machine_code: dict[np.dtype[Any], int] = {}  # addresses of the step, by the dtype of actions
        self._timings: list[float] = []  # of the first steps, on one thread
        self._alone = 0.0  # what a step takes on one thread
        self._threads_started = False
        self._chunks = len(self._episodes.log)
        self._steps_alone, self._pause = 0, 1
        self._ready = self._seeded = False
        self._simulation: Any = None
        super().__init__(buf)
        self._action_shape = self.actions.shape
        discrete = isinstance(self.single_action_space, Discrete | MultiDiscrete)
        self._action_dtypes = (np.dtype(np.int32), np.dtype(np.int64)) if discrete else (self.actions.dtype,)

    @classmethod
    def setup(cls, params: Any) -> Any:
        """Check what bounds cannot say, and fill in what depends on other params; called once, with a ``Params``.

        Raise a ValueError that names the parameter, its value and what is allowed; return the params, perhaps with
        other values, ``params._replace(max_steps=...)``, or None to leave them as they are.
        """
        return params

    @classmethod
    def tables(cls, params: Any) -> Any:
        """The class's ``Tables``, computed from the params, after `setup`; called once."""
        return cls.Tables()

    @classmethod
    def time_limit(cls, params: Any) -> int | None:
        """Steps of an episode where none are given: ``max_episode_steps``, unless a class has it follow the params."""
        return cls.max_episode_steps

    @property
    def params(self) -> Any:
        """What kernels find in ``p``: the ``Params``, and the ``Tables`` that follow from them."""
        return self._params

    @params.setter
    def params(self, value: Any) -> NoReturn:
        name = type(self).__name__
        raise APIUsageError(f"{name}: params stay as they are; make another environment: {name}(NAME=VALUE).")

    def _observation_space(self) -> tuple[Box, Emulated | None]:
        """The flat space that kernels write, and what it stands for where it is declared as another."""
        space = fields.make_space(type(self), "single_observation_space", self.params)
        self._leaves: np.dtype[Any] | None = None
        if isinstance(space, Box):
            return space, None
        layout = ObservationLayout(space)
        self._leaves = layout.dtype if layout.is_structured else None
        return layout.flat_space, layout.emulated(self.single_action_space)

    def _check_room(self) -> None:
        """Refuse a number of environments that cannot fit into memory, before any of it is touched."""
        if self._num_envs < _MANY:
            return
        state = fields.make_state(type(self), 1, self.params, self.float_type)
        space, agents = self.single_observation_space, self.agents_per_env or 1
        row = 2 * math.prod(space.shape) * space.dtype.itemsize + _BYTES_OF_ROW
        nbytes = sum(array.nbytes for array in state) + agents * row
        what = f"num_envs={self._num_envs:,} of {type(self).__name__}"
        check_room(what, self._num_envs * nbytes, "Make fewer environments.")

    def _allocate(self) -> None:
        n, agents = self._num_envs, self.agents_per_env
        rows = (n,) if agents is None else (n, agents)
        team = (0, 0) if agents is None else (n, agents)
        columns = len(kernels.LOG_FIELDS) + len(self.metrics)
        self.state = fields.make_state(type(self), n, self.params, self.float_type)
        self._streams = np.zeros(n, np.uint64)
        self._episodes = Episodes(
            returns=np.zeros(rows, np.float32),
            lengths=np.zeros(n, np.int32),
            final_returns=np.zeros(rows, np.float32),
            final_lengths=np.zeros(rows, np.int32),
            ended=np.zeros(0 if self.autoreset == SAME_STEP else n, np.bool_),
            alive=np.zeros(team, np.bool_),
            gone=np.zeros(team, np.bool_),
            # a row for each thread, padded so that no two threads write to one cache line
            log=np.zeros((min(n, threads.MAX_THREADS), -(-columns // 8) * 8), np.float64),
            max_steps=self.max_episode_steps or _NO_LIMIT,
        )
        self.episode_returns = self._episodes.final_returns.reshape(-1)
        self.episode_lengths = self._episodes.final_lengths.reshape(-1)
        self._infos: Infos = [self.info_fields()] if self.info else []

    def _make_kernels(self, jit: bool) -> kernels.Kernels:
        cls = type(self)
        name = f"{cls.__module__}.{cls.__qualname__}"
        functions: list[Callable[..., Any]] = [cls.reset_env, cls.step_env, cls.observe_env]
        leaves = self._leaves
        make: Callable[..., kernels.Kernels] = kernels.make_kernels
        if jit:
            options = DEBUG_OPTIONS if self.debug else JIT_OPTIONS
            compiled = [specialize(function, self.float_type, options) for function in functions]
            contents = (function.content for function in compiled)
            note_edits(name, dict(zip(("reset_env", "step_env", "observe_env"), contents, strict=True)))
            functions = [*compiled]
        elif self.debug:
            functions, leaves = self.guard.functions(*functions), None  # the guard names them
            make = kernels.build_kernels  # they are this object's
        return make(
            name,
            *functions,
            agents=self.agents_per_env,
            autoreset=self.autoreset,
            observation_shape=self.single_observation_space.shape,
            scalar_actions=isinstance(self.single_action_space, Discrete),
            defaults=fields.state_defaults(cls, self.float_type),
            leaves=leaves,
            jit=jit,
        )

    @cached_property
    def guard(self) -> Guard:
        """What calls the author's functions in plain Python with ``debug``."""
        space, agents = self.single_observation_space, self.agents_per_env
        shape = space.shape if agents is None else (agents, *space.shape)
        low, high = (np.array(np.broadcast_to(bound, shape)) for bound in (space.low, space.high))
        parts = self.emulated.leaves if self._leaves is not None and self.emulated is not None else ()
        return Guard(self.state, self.params, low, high, self._leaves, parts)

    def prepare(self, buffers: Buffers) -> Slot:
        """What `step` takes as ``out``, to write into ``buffers``. It costs some 100 microseconds, its use nothing."""
        return Slot(buffers, self._simulate(buffers))

    def use(self, slot: Slot) -> None:
        """Write the next steps into the buffers of ``slot``, which `prepare` made."""
        super().use(slot)
        self._simulation, self._untyped, self._result = slot.prepared

    def _simulate(self, buffers: Buffers) -> tuple[Any, Any, StepResult]:
        if self.agents_per_env is None:
            buffers.masks[:] = True
        simulation = self._make_simulation(self.jit, buffers)
        o, r, d, t = buffers.observations, buffers.rewards, buffers.terminals, buffers.truncations
        return simulation, without_type(simulation) if self.jit else None, (o, r, d, t, self._infos)

    def _make_simulation(self, jit: bool, buffers: Buffers) -> Any:
        by_environment = self._by_environment(buffers)
        if isinstance(self._simulation, Simulation) and jit:
            return self._simulation.with_buffers(by_environment)
        metrics = tuple(getattr(self.state, name) for name in self.metrics)
        make = Simulation if jit else PlainSimulation
        return make(
            self.state, self.params, metrics, self._streams, self._episodes, by_environment, self._low, self._high
        )

    def _by_environment(self, buffers: Buffers) -> Buffers:
        """Views with axes (environment, agent) in place of rows."""
        if self.agents_per_env is None:
            return buffers
        rows = (self._num_envs, self.agents_per_env)
        return Buffers(**{name: a.reshape(rows + a.shape[1:]) for name, a in buffers._asdict().items()})

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments that make another such environment; without its size, seed and autoreset mode."""
        names: tuple[str, ...] = type(self).Params._fields
        declared = {name: getattr(self.params, name) for name in names}
        params = {n: v.item() if isinstance(v, np.generic) else v for n, v in declared.items()}
        return {"dtype": self.float_type.__name__, "max_episode_steps": self.max_episode_steps, **params}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays: state, random streams, episode statistics, buffers; not of params, which are shared."""
        own = (*self.state, self._streams, *self._episodes[:-1])
        return super().nbytes + sum(array.nbytes for array in own)

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return self._num_envs

    @interrupt.calls_kernels
    def reset(self, seed: int | None = None, mask: ArrayLike | None = None) -> tuple[NDArray[Any], Infos]:
        """Restart environments, and with a seed also their random streams.

        Without a seed the streams continue from where they are, at first from the seed given at construction.

        Args:
            seed: any integer, negative ones too.
            mask: bool (num_envs,), the environments to restart; all by default.

        Returns:
            ``(observations, infos)``: ``(num_agents, *observation_shape)``.
        """
        self._check_open()
        which = self._reset_mask(mask, is_first=not self._ready)
        if self.jit:
            interrupt.watch()
        if seed is None and not self._seeded:
            seed = int(np.random.SeedSequence().generate_state(1)[0]) if self._seed is None else self._seed
        if seed is not None:
            seed = fields.integer(type(self), "seed", seed)
            self._streams[which] = stream_starts(seed, self.first_env, self._num_envs)[which]
            self._seeded = True
        rows = np.repeat(which, self.agents_per_env or 1)
        for array in (self.rewards, self.terminals, self.truncations):
            array[rows] = 0
        try:
            if self.jit and self.debug:
                self._reset_debug(which)
            else:
                with self._plain_arithmetic():
                    self._reset_kernel(self._simulation, which)
        except Exception as error:
            self._raise_explained(error, self._reset_kernel)
        self._ready = True
        self._pending = None
        return self.observations, self._infos

    def step(self, actions: ArrayLike, out: Slot | None = None) -> StepResult:
        """Advance every environment by one step.

        Args:
            actions: ``(num_agents, *action_shape)``. int32 or int64 for Discrete and MultiDiscrete, the Box's own
                dtype for Box: used without a copy. Others are converted where no value can change.
            out: buffers to write this step into, and those after it, as `prepare` made them.

        Returns:
            ``(observations, rewards, terminals, truncations, infos)``: the buffers themselves, which the next
            step overwrites.

        Raises:
            APIUsageError: wrong shape or dtype, or an action outside its space. Nothing has changed then.
        """
        if not self._ready:
            self._raise_not_ready()
        if out is not None:
            self.use(out)
        if not (
            type(actions) is np.ndarray
            and actions.dtype in self._action_dtypes
            and actions.shape == self._action_shape
            and actions.flags.carray  # Numba would compile once more for those that are read-only
        ):
            actions = self._convert(actions)
        if self.autoreset == DISABLED:
            self._check_none_ended()
        if self.agents_per_env is not None:
            actions = actions.reshape(self._num_envs, self.agents_per_env, *self._action_shape[1:])
        try:
            bad = self._run(actions)
        except Exception as error:
            self._raise_explained(error, self._step_kernel)
        if bad != 0:
            self._raise_bad_action(actions)
        return self._result

    def _raise_explained(self, error: Exception, kernel: Any) -> NoReturn:
        """Raise ``error`` if an author's function raised it; where one did not compile, what is wrong with it."""
        from puffer_numba.jit.compiler import explain

        kind = self.jit and numba.typeof(self._simulation)
        if not self.jit or any(signature[0] == kind for signature in kernel.signatures):
            raise error
        raise explain.explain(self, error) from explain.cause_for_display(error)

    @interrupt.calls_kernels
    def _step_alone(self, actions: NDArray[Any]) -> int:
        return self._step_kernel(self._simulation, actions, 0, 1, CHECK | STEP)

    def _step_parallel(self, actions: NDArray[Any]) -> int:
        code = self._machine_code.get(actions.dtype)
        if code is None:
            code = address(self._step_kernel, self._simulation, actions, 0, 1, STEP)
            self._machine_code[actions.dtype] = code
        return threads.call_parallel(launch, code, self._untyped, actions, self._num_envs, self._chunks)

    def _step_plain(self, actions: NDArray[Any]) -> int:
        with self._plain_arithmetic():
            return self._step_alone(actions)

    def _reset_debug(self, which: NDArray[np.bool_]) -> None:
        @interrupt.calls_kernels
        def reset(made: kernels.Kernels, simulation: Any) -> None:
            made.reset(simulation, which)

        self._in_debug(reset)

    def _step_debug(self, actions: NDArray[Any]) -> int:
        @interrupt.calls_kernels
        def step(made: kernels.Kernels, simulation: Any) -> int:
            return made.step(simulation, actions, 0, 1, CHECK | STEP)

        return self._in_debug(step)

    def _in_debug(self, run: Callable[[kernels.Kernels, Any], Any]) -> Any:
        """``run`` with the kernels, compiled with bounds checks. If one fails, everything is as it was before, and the
        same in plain Python says where."""
        own = (*self.state, self._streams, *self._episodes[:-1], *self.buffers[:-1])
        before = [array.copy() for array in own]
        try:
            return run(kernels.Kernels(self._step_kernel, self._reset_kernel), self._simulation)
        except IndexError as error:
            try:
                self._replay(run, own, before)
            finally:
                for array, copy in zip(own, before, strict=True):
                    array[...] = copy
            raise DebugIndexError(
                f"{type(self).__name__}: {error}, in compiled code; the same step in plain Python finds nothing.",
                "bounds",
            ) from error

    def _replay(
        self, run: Callable[[kernels.Kernels, Any], Any], own: Iterable[NDArray[Any]], before: Iterable[NDArray[Any]]
    ) -> None:
        for array, copy in zip(own, before, strict=True):
            array[...] = copy
        with np.errstate(all="ignore"):
            run(self._make_kernels(jit=False), self._make_simulation(False, self.buffers))

    def _calibrate(self, actions: NDArray[Any]) -> int:
        """The first steps, timed, to learn whether a step is worth more than one thread."""
        bad, seconds = self._timed(self._step_alone, actions)
        self._timings.append(seconds)
        if len(self._timings) == _CALIBRATION_STEPS:
            self._alone = statistics.median(self._timings[_CALIBRATION_STEPS // 2 :])
            worth_it = self._alone > _WORTH_A_SECOND_THREAD and self._chunks > 1
            self._run = self._run_threaded if worth_it else self._step_alone
        return bad

    def _run_threaded(self, actions: NDArray[Any]) -> int:
        """On all threads; after a step that was slower so, as when other cores are busy, on this one for a while."""
        # Asked until they have started only: Numba takes as long to answer as a hundred environments to step. From
        # then on Numba deals out the chunks, to as many threads as are allowed at the time.
        if not self._threads_started or threads.forked_omp:
            if threads.num_threads() == 1:
                return self._step_alone(actions)
            self._threads_started = True
        if self._steps_alone > 0:
            self._steps_alone -= 1
            bad, seconds = self._timed(self._step_alone, actions)
            self._alone += 0.1 * (seconds - self._alone)
            return bad
        bad, seconds = self._timed(self._step_parallel, actions)
        if seconds < self._alone:
            self._pause = 1
        else:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._steps_alone = self._pause
        return bad

    @staticmethod
    def _timed(run: Callable[[NDArray[Any]], int], actions: NDArray[Any]) -> tuple[int, float]:
        started = time.perf_counter()
        bad = run(actions)
        return bad, time.perf_counter() - started

    def _plain_arithmetic(self) -> AbstractContextManager[Any]:
        """Integer overflow and division by zero as in a kernel: silent."""
        return nullcontext() if self.jit else np.errstate(all="ignore")

    def _convert(self, actions: Any) -> NDArray[Any]:
        """Actions in this environment's own buffer, if they can be taken without changing a value."""
        space, expected = self.single_action_space, self._action_shape
        try:
            array = np.asarray(actions)
        except ValueError as error:  # ragged lists
            raise APIUsageError(f"actions are not an array: {error}; expected shape {expected}.") from error
        if array.shape != expected:
            raise APIUsageError(
                f"actions have shape {array.shape}; expected {expected}: {self.num_agents} rows of {space}."
            )
        wanted = np.dtype(np.int64) if len(self._action_dtypes) == 2 else self._action_dtypes[0]
        kind = "integers" if len(self._action_dtypes) == 2 else f"{wanted} values"
        if array.dtype.kind not in ("iu" if len(self._action_dtypes) == 2 else "iuf"):
            raise APIUsageError(
                f"actions have dtype {array.dtype}; {space} takes {kind}: convert them with actions.astype({wanted})."
            )
        with np.errstate(over="ignore"):  # what becomes infinite is refused with its row, like all that is outside
            return np.require(array, wanted, ("C", "A", "W"))

    def _check_none_ended(self) -> None:
        ended = np.flatnonzero(self._episodes.ended)
        if len(ended):
            raise APIUsageError(
                f"environment {ended[0]} has ended (and {len(ended) - 1} more), and autoreset is disabled; "
                "call reset(mask=env.terminals | env.truncations) before the next step."
            )

    def _check_open(self) -> None:
        if self.closed:
            raise APIUsageError(f"{type(self).__name__} is closed; make a new one.")

    def _raise_not_ready(self) -> None:
        self._check_open()
        raise APIUsageError(
            f"{type(self).__name__}.step() was called before reset(); call env.reset(seed=...) once first."
        )

    def _raise_bad_action(self, actions: NDArray[Any]) -> None:
        rows = actions.reshape(self.num_agents, -1)
        row = int(np.flatnonzero(~((rows >= self._low) & (rows <= self._high)).all(axis=1))[0])
        value = rows[row].tolist()
        raise APIUsageError(
            f"action of row {row} is {value[0] if len(value) == 1 else value}, outside {self.single_action_space}. "
            "Nothing was stepped."
        )

    def log(self) -> dict[str, float]:
        """Statistics of the episodes that ended since the last call.

        Returns:
            ``episodes``, their number; and, if there were any, means over them: ``episode_return`` (also over the
            agents, where there are several), ``episode_length`` in steps, and the environment's ``metrics``.
        """
        totals = self._episodes.log.sum(axis=0)
        self._episodes.log[:] = 0
        episodes = float(totals[0])
        if episodes == 0:
            return {"episodes": 0.0}
        names = (*kernels.LOG_FIELDS[1:], *self.metrics)
        return {"episodes": episodes} | {n: float(v) / episodes for n, v in zip(names, totals[1:], strict=False)}

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that determines the future, as plain arrays: state, random streams, episodes, observations."""
        if not self._ready:
            raise APIUsageError("get_state() was called before reset(); there is no state yet.")
        state = {name: array.copy() for name, array in self._all_state().items()}
        return {**state, "log": self._episodes.log.sum(axis=0)}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `get_state` returned, here or in another object with the same parameters.

        Raises:
            APIUsageError: an array is missing, unknown, or of another shape or dtype. Nothing has changed then.
        """
        self._check_open()
        own = {**self._all_state(), "log": self._episodes.log[0]}
        if set(state) != set(own):
            odd = sorted(set(state) ^ set(own))
            raise APIUsageError(f"set_state() got other arrays than this environment has; they differ in {odd}.")
        for name, array in own.items():
            given = np.asarray(state[name])
            if given.shape != array.shape or given.dtype != array.dtype:
                raise APIUsageError(
                    f"set_state(): {name} is {given.dtype} of shape {given.shape}; "
                    f"expected {array.dtype} of shape {array.shape}."
                )
        self._episodes.log[:] = 0
        for name, array in own.items():
            array[...] = state[name]
        self._ready = self._seeded = True

    def _all_state(self) -> dict[str, NDArray[Any]]:
        episodes = {n: a for n, a in self._episodes._asdict().items() if n not in ("log", "max_steps")}
        buffers = {n: getattr(self, n) for n in ("observations", "masks", "terminals", "truncations")}
        return {
            **{f"state.{name}": array for name, array in self.state._asdict().items()},
            "streams": self._streams,
            **{f"episodes.{name}": array for name, array in episodes.items()},
            **buffers,
        }

    @property
    def render_modes(self) -> list[str]:
        """What `render` can make: "rgb_array", "ansi", both or none."""
        ways = {"rgb_array": self.render_env, "ansi": self.ansi_env}
        return [mode for mode, way in ways.items() if way is not None]

    def info_fields(self) -> dict[str, NDArray[Any]]:
        """The State fields that the class names in ``info``: ``(num_envs, ...)`` each, without a copy."""
        return {name: getattr(self.state, name) for name in self.info}

    def seed_of_part(self, seed: int, first_env: int) -> int:
        """``seed`` itself: the stream of an environment depends on it and on its number, which from now on is counted
        from ``first_env``.
        """
        self.first_env = first_env
        return seed

    def render_each(self, mode: str) -> list[Any]:
        """An image of each environment, uint8 (height, width, 3), or with "ansi" a string."""
        return [self.render(index, mode) for index in range(self._num_envs)]

    def render(self, index: int = 0, mode: str = "rgb_array") -> Any:
        """Environment ``index``: an image, uint8 (height, width, 3), or with "ansi" a string. None: it has none."""
        way = type(self).ansi_env if mode == "ansi" else type(self).render_env
        if way is None:
            return None
        if not self._ready:
            raise APIUsageError("render() was called before reset(); call env.reset(seed=...) once first.")
        return way(self.state, self.params, index)

    def close(self) -> None:
        """Release the arrays. Calling it again does nothing."""
        super().close()
        self._ready = False
