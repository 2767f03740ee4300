"""The whole state of a trainer as arrays and plain data, and back."""

from __future__ import annotations

import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_numba.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_optimizers,
    load_weights,
    optimizer_arrays,
    optimizer_names,
)
from puffer_numba.runs.checkpoint import restore_array as restore

if TYPE_CHECKING:
    from puffer_numba.models.normalizer import RunningNormalizer
    from puffer_numba.train.trainer import PuffeRL

Arrays = dict[str, NDArray[Any]]


def trainer_state(trainer: PuffeRL, together: bool = True) -> tuple[Arrays, dict[str, Any]]:
    """Arrays by dotted name, and data that JSON can hold, from which `restore_trainer` makes the same trainer.

    Args:
        trainer: whose state it is.
        together: with what each process has of its own; all of them must call this. Only the first gets a result.
    """
    world, statistics = trainer.world, trainer.statistics
    own = _own_arrays(trainer)
    ranks = world.gather_objects(own) if together else [own]
    arrays: Arrays = {
        "random.actions": trainer.collector.stream[:1],
        "statistics.recent_returns": np.array(statistics.recent_returns, np.float64),
        "statistics.recent_lengths": np.array(statistics.recent_lengths, np.int64),
    }
    for rank, part in enumerate(ranks):
        arrays |= {_of_rank(rank) + name: array for name, array in part.items()}
    for name, array in optimizer_arrays(trainer.optimizer).items():
        arrays[f"optimizer.{name}"] = array
    for name, normalizer in _normalizers(trainer).items():
        for key, tensor in normalizer.state_dict().items():
            arrays[f"{name}.{key}"] = tensor.cpu().numpy()
    data = {
        "ranks": len(ranks),
        "config": trainer.config.to_dict(),
        "optimizers": optimizer_names(trainer.optimizer),
        "global_step": trainer.global_step,
        "epoch": trainer.epoch,
        "episodes": statistics.episodes,
        "reset_done": trainer.collector.reset_done,
    }
    if trainer.league is not None:
        league_arrays, data["league"] = trainer.league.state()
        arrays |= {f"league.{name}": array for name, array in league_arrays.items()}
    return arrays, data


def _own_arrays(trainer: PuffeRL) -> Arrays:
    """What each of several processes has of its own: environments, what they carry, and random streams."""
    arrays: Arrays = {
        "random.minibatches": trainer.generator.get_state().numpy(),
        "random.torch": torch.get_rng_state().numpy(),
        "rollout.observations": trainer.vecenv.observations,
        "rollout.masks": trainer.vecenv.masks,
        "rollout.discounted": trainer.discounted,
        "statistics.running_returns": trainer.statistics.running_returns,
        "statistics.running_lengths": trainer.statistics.running_lengths,
    }
    if trainer.collector.actor.state is not None:
        arrays["policy_state"] = trainer.collector.actor.state.cpu().numpy()
    if _can_save(trainer) and trainer.collector.reset_done:
        for name, array in trainer.vecenv.get_state().items():  # type: ignore[attr-defined]
            arrays[f"env.{name}"] = np.asarray(array)
    return arrays


def _of_rank(rank: int) -> str:
    """What the names of a process's own arrays begin with; those of the first are without."""
    return f"rank{rank}." if rank else ""


def restore_trainer(trainer: PuffeRL, checkpoint: Checkpoint) -> None:
    """Put ``trainer`` into the state that ``checkpoint`` holds.

    Environments that cannot be saved start new episodes; a warning says so.

    Raises:
        CheckpointError: the checkpoint is of another policy, environment or optimizer.
    """
    load_weights(trainer.policy, checkpoint)
    load_optimizers(trainer.optimizer, checkpoint)
    for name, normalizer in _normalizers(trainer).items():
        load_normalizer(normalizer, checkpoint, name)
    arrays, data, statistics = checkpoint.arrays, checkpoint.data, trainer.statistics
    restore(trainer.collector.stream[:1], arrays, "random.actions")
    statistics.recent_returns = deque(arrays["statistics.recent_returns"].tolist(), maxlen=100)
    statistics.recent_lengths = deque(arrays["statistics.recent_lengths"].tolist(), maxlen=100)
    statistics.episodes = data["episodes"]
    trainer.global_step, trainer.epoch = data["global_step"], data["epoch"]
    if trainer.league is not None and "league" in data:
        trainer.league.load_state(checkpoint.part("league"), data["league"], trainer.policy, trainer.normalizer)
    trainer.start_clock()
    if data["ranks"] == trainer.world.size:
        arrays = checkpoint.part(_of_rank(trainer.world.rank).removesuffix("."))
        trainer.generator.set_state(torch.from_numpy(arrays["random.minibatches"].copy()))
        torch.set_rng_state(torch.from_numpy(arrays["random.torch"].copy()))
    if not data["reset_done"]:
        return
    state = {name.removeprefix("env."): array for name, array in arrays.items() if name.startswith("env.")}
    if not (state and _can_save(trainer) and data["ranks"] == trainer.world.size):
        warnings.warn("the environments' state was not saved; they start new episodes.", stacklevel=3)
        return
    restore(statistics.running_returns, arrays, "statistics.running_returns")
    restore(statistics.running_lengths, arrays, "statistics.running_lengths")
    restore(trainer.discounted, arrays, "rollout.discounted")
    trainer.vecenv.reset()
    trainer.vecenv.set_state(state)  # type: ignore[attr-defined]
    restore(trainer.vecenv.observations, arrays, "rollout.observations")
    restore(trainer.vecenv.masks, arrays, "rollout.masks")
    if trainer.collector.actor.state is not None:
        trainer.collector.actor.state.copy_(torch.from_numpy(arrays["policy_state"].copy()))
    trainer.collector.reset_done = True


def load_normalizer(normalizer: RunningNormalizer, checkpoint: Checkpoint, name: str) -> None:
    """Put the statistics saved under ``name`` into ``normalizer``.

    Raises:
        CheckpointError: they are missing, or of another shape.
    """
    state = {key: torch.from_numpy(array.copy()) for key, array in checkpoint.part(name).items()}
    try:
        normalizer.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint {checkpoint.path} does not fit this run's {name}: {error}.") from error


def _normalizers(trainer: PuffeRL) -> dict[str, RunningNormalizer]:
    both = {"normalizer": trainer.normalizer, "return_scale": trainer.return_scale}
    return {name: normalizer for name, normalizer in both.items() if normalizer is not None}


def _can_save(trainer: PuffeRL) -> bool:
    return hasattr(trainer.vecenv, "get_state") and hasattr(trainer.vecenv, "set_state")
