"""The whole state of a trainer as weights, arrays and plain data, and back."""

from __future__ import annotations

import json
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.train.rollout import RECENT

if TYPE_CHECKING:
    from puffer_numba.train.trainer import Trainer

Arrays = dict[str, NDArray[Any]]


class StateMismatch(APIUsageError):
    """A saved state does not fit the trainer or policy that it is to be put into."""


@dataclass
class TrainerState:
    """What `Trainer.state_dict` returns."""

    weights: dict[str, Tensor]
    """State dict of the policy, on the CPU."""
    arrays: Arrays
    """Everything else that is an array, by dotted name."""
    data: dict[str, Any]
    """Everything else, as JSON holds it: configuration, counters."""

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return Config.from_dict(self.data["config"])

    def part(self, prefix: str) -> Arrays:
        """The arrays whose names begin with ``prefix.``, without it; all of them where ``prefix`` is empty."""
        start = prefix + "." if prefix else ""
        return {name.removeprefix(start): a for name, a in self.arrays.items() if name.startswith(start)}

    def load_weights(self, policy: nn.Module) -> None:
        """Put the weights into ``policy``.

        Raises:
            StateMismatch: they do not fit; the message names the first that does not, with both shapes.
        """
        own = policy.state_dict()
        for name in [*own, *self.weights]:
            here = tuple(own[name].shape) if name in own else "absent"
            there = tuple(self.weights[name].shape) if name in self.weights else "absent"
            if here != there:
                raise StateMismatch(
                    f"does not fit this policy: {name} is {there} there, {here} here; use the policy settings and the "
                    "environment that it was trained with."
                )
        policy.load_state_dict(self.weights)

    def load_normalizer(self, normalizer: RunningNormalizer, name: str) -> None:
        """Put the statistics saved under ``name`` into ``normalizer``.

        Raises:
            StateMismatch: they are missing, or of another shape.
        """
        state = {key: torch.from_numpy(array.copy()) for key, array in self.part(name).items()}
        try:
            normalizer.load_state_dict(state)
        except RuntimeError as error:
            raise StateMismatch(f"does not fit this run's {name}: {error}.") from error


def state_of(trainer: Trainer, together: bool) -> TrainerState:
    """The state of ``trainer``; see `Trainer.state_dict`."""
    world, statistics, learner = trainer.world, trainer.statistics, trainer.learner
    own = _own_arrays(trainer)
    ranks = world.gather_objects(own) if together else [own]
    arrays: Arrays = {
        "statistics.recent_returns": np.array(statistics.recent_returns, np.float64),
        "statistics.recent_lengths": np.array(statistics.recent_lengths, np.int64),
    }
    for rank, part in enumerate(ranks):
        arrays |= {_of_rank(rank) + name: array for name, array in part.items()}
    arrays |= {f"optimizer.{name}": array for name, array in _optimizer_arrays(learner.optimizers).items()}
    for name, normalizer in _normalizers(trainer).items():
        arrays |= {f"{name}.{key}": tensor.cpu().numpy() for key, tensor in normalizer.state_dict().items()}
    data = {
        "ranks": len(ranks),
        "config": trainer.config.to_dict(),
        "optimizers": _optimizer_names(learner.optimizers),
        "global_step": trainer.global_step,
        "epoch": trainer.epoch,
        "episodes": statistics.episodes,
        "steps": trainer.collector.steps,
        "reset_done": trainer.collector.reset_done,
    }
    weights = {name: tensor.detach().cpu() for name, tensor in trainer.policy.state_dict().items()}
    return TrainerState(weights, arrays, data)


def _own_arrays(trainer: Trainer) -> Arrays:
    """What each of several processes has of its own: environments, what they carry, and random streams."""
    collector, env = trainer.collector, trainer.vecenv
    arrays: Arrays = {
        "random.minibatches": trainer.learner.generator.get_state().numpy(),
        "random.torch": torch.get_rng_state().numpy(),
        "rollout.observations": env.observations,
        "rollout.masks": env.masks,
        "rollout.discounted": trainer.discounted,
        "statistics.running_returns": trainer.statistics.running_returns,
        "statistics.running_lengths": trainer.statistics.running_lengths,
    }
    if collector.actor.state is not None:
        arrays["policy_state"] = collector.actor.state.cpu().numpy()
    if collector.reset_done:
        arrays |= {f"env.{name}": np.asarray(array) for name, array in env.get_state().items()}
    return arrays


def _of_rank(rank: int) -> str:
    """What the names of a process's own arrays begin with; those of the first are without."""
    return f"rank{rank}." if rank else ""


def load_state(trainer: Trainer, state: TrainerState) -> None:
    """Put ``trainer`` into ``state``; see `Trainer.load_state_dict`.

    Environments that cannot be saved, or whose number or parameters have changed, start new episodes, with a warning.
    """
    data, statistics, learner = state.data, trainer.statistics, trainer.learner
    state.load_weights(trainer.policy)
    _load_optimizers(learner.optimizers, state)
    normalizers = _normalizers(trainer)
    for name, setting in (("normalizer", "normalize_observations"), ("return_scale", "normalize_returns")):
        if bool(state.part(name)) != (name in normalizers):
            how = "with" if state.part(name) else "without"
            raise StateMismatch(f"was trained {how} train.{setting}; resume with the same.")
    for name, normalizer in normalizers.items():
        state.load_normalizer(normalizer, name)
    statistics.recent_returns = deque(state.arrays["statistics.recent_returns"].tolist(), maxlen=RECENT)
    statistics.recent_lengths = deque(state.arrays["statistics.recent_lengths"].tolist(), maxlen=RECENT)
    statistics.episodes = data["episodes"]
    trainer.global_step, trainer.epoch, trainer.collector.steps = data["global_step"], data["epoch"], data["steps"]
    changed = _what_changed(trainer, state)
    if changed:
        if data["reset_done"]:
            _warn_of_new_episodes(changed)
        return
    arrays = state.part(_of_rank(trainer.world.rank).removesuffix("."))
    learner.generator.set_state(torch.from_numpy(arrays["random.minibatches"].copy()))
    torch.set_rng_state(torch.from_numpy(arrays["random.torch"].copy()))
    if data["reset_done"]:
        _load_environments(trainer, arrays)


def _load_environments(trainer: Trainer, arrays: Arrays) -> None:
    env, statistics, collector = trainer.vecenv, trainer.statistics, trainer.collector
    saved = {name.removeprefix("env."): array for name, array in arrays.items() if name.startswith("env.")}
    if saved:
        env.reset()
        env.set_state(saved)
    if not (saved and env.saves_state):
        _warn_of_new_episodes("the environments' state was not saved")
        return
    _restore(statistics.running_returns, arrays, "statistics.running_returns")
    _restore(statistics.running_lengths, arrays, "statistics.running_lengths")
    _restore(trainer.discounted, arrays, "rollout.discounted")
    _restore(env.observations, arrays, "rollout.observations")
    _restore(env.masks, arrays, "rollout.masks")
    if collector.actor.state is not None:
        collector.actor.state.copy_(torch.from_numpy(arrays["policy_state"].copy()))
    collector.reset_done = True


def _what_changed(trainer: Trainer, state: TrainerState) -> str:
    """Why the saved state of the environments is of no use to ``trainer``; "" where it is."""
    processes, rows = state.data["ranks"], len(state.arrays["rollout.masks"])
    if processes != trainer.world.size:
        return f"{processes} processes trained before, now {trainer.world.size} do"
    if rows != trainer.rollout.rows:
        return f"there were {rows} rows in each process, now there are {trainer.rollout.rows}"
    played = any(name.startswith("env.self_play.") for name in state.arrays)
    if state.data["reset_done"] and played != (trainer.self_play is not None):
        return f"train.self_play was {'on' if played else 'off'}"
    before, now = state.config.env.params, json.loads(json.dumps(trainer.config.env.params))
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return f"other parameters of the environment: {', '.join(names)}" if names else ""


def _warn_of_new_episodes(why: str) -> None:
    warnings.warn(f"{why}; the environments start new episodes, and all else continues.", stacklevel=5)


def _normalizers(trainer: Trainer) -> dict[str, RunningNormalizer]:
    both = {"normalizer": trainer.normalizer, "return_scale": trainer.return_scale}
    return {name: normalizer for name, normalizer in both.items() if normalizer is not None}


def _optimizer_arrays(optimizers: list[torch.optim.Optimizer]) -> Arrays:
    """The state of each parameter in each optimizer, as arrays named ``index.parameter.field``."""
    return {
        f"{k}.{index}.{name}": torch.as_tensor(value).detach().cpu().numpy()
        for k, optimizer in enumerate(optimizers)
        for index, fields in optimizer.state_dict()["state"].items()
        for name, value in fields.items()
    }


def _optimizer_names(optimizers: list[torch.optim.Optimizer]) -> list[str]:
    """What kind each optimizer is, and how many parameters it has."""
    counts = [sum(len(group["params"]) for group in optimizer.param_groups) for optimizer in optimizers]
    return [f"{type(optimizer).__name__} of {n}" for optimizer, n in zip(optimizers, counts, strict=True)]


def _load_optimizers(optimizers: list[torch.optim.Optimizer], saved: TrainerState) -> None:
    """Put the saved state of each parameter into ``optimizers``; learning rates and the like stay as they are.

    Raises:
        StateMismatch: the state is of other optimizers.
    """
    own, there = _optimizer_names(optimizers), saved.data.get("optimizers")
    if own != there:
        raise StateMismatch(f"is of the optimizers {there}; this run has {own}.")
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    for key, array in saved.part("optimizer").items():
        k, index, name = key.split(".")
        states[int(k)].setdefault(int(index), {})[name] = torch.from_numpy(array.copy())
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _restore(target: NDArray[Any], arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    """Copy ``arrays[name]`` into ``target``.

    Raises:
        StateMismatch: it is missing, or has another shape or dtype.
    """
    source = arrays.get(name)
    if source is None or source.shape != target.shape or source.dtype != target.dtype:
        found = "missing" if source is None else f"{source.dtype} {source.shape}"
        raise StateMismatch(
            f"has {name} {found}; this run has {target.dtype} {target.shape}. Resume with the environment settings "
            "that it was trained with."
        )
    target[...] = source
