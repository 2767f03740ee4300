"""Minibatches of a rollout: indices into its steps, counted ``step * rows + row``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from puffer_numba.train.rollout import Rollout

LARGE = 2**17  # steps of a rollout, in all its rows
NEIGHBOURS = 16


def shuffled_steps(rollout: Rollout, count: int, generator: Generator) -> Iterator[Tensor]:
    """``count`` parts, ``(steps,)``, of all steps in which a row acted; some are empty where there are fewer."""
    masks = rollout.masks[:-1].reshape(-1)
    valid = torch.from_numpy(np.flatnonzero(masks)) if not masks.all() else None
    steps = len(masks) if valid is None else len(valid)
    # Neighbours are other rows at the same step, nearly as good as strangers. Where the rollout is larger than
    # the caches, those that share a cache line stay together; gathered one by one, each would be a miss. Not
    # where masks or few rows would let a block reach from one step into the next.
    block = NEIGHBOURS if valid is None and steps >= LARGE and rollout.rows % NEIGHBOURS == 0 else 1
    blocks = torch.randperm(steps // block, generator=generator)
    order = blocks if block == 1 else (blocks[:, None] * block + torch.arange(block)).flatten()
    yield from (order if valid is None else valid[order]).tensor_split(count)


def shuffled_rows(rollout: Rollout, count: int, generator: Generator) -> Iterator[Tensor]:
    """``count`` parts, ``(horizon, some rows)``, of all rows with all their steps: for a recurrent policy."""
    first = _first_of_each_step(rollout)
    for part in torch.randperm(rollout.rows, generator=generator).tensor_split(count):
        yield first + part


def row_chances(rollout: Rollout, alpha: float) -> Tensor:
    """Probability of each row, ``(rows,)`` float64: as the sum of its absolute advantages to the power ``alpha``.

    Source: PufferLib 3, after Schaul et al. (2016).
    """
    sizes = np.where(rollout.masks[:-1], np.abs(rollout.advantages), 0).sum(0, dtype=np.float64)
    priorities = torch.from_numpy(sizes**alpha).nan_to_num() + 1e-6
    return priorities / priorities.sum()


def sampled_rows(rollout: Rollout, count: int, chances: Tensor, generator: Generator) -> Iterator[Tensor]:
    """``count`` samples of equal parts of the rows, ``(horizon, some rows)`` each, by ``chances``."""
    first = _first_of_each_step(rollout)
    for _ in range(count):
        yield first + torch.multinomial(chances, rollout.rows // count, generator=generator)


def _first_of_each_step(rollout: Rollout) -> Tensor:
    return torch.arange(rollout.horizon)[:, None] * rollout.rows
