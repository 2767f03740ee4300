"""Random play: actions of the space, of those that are legal where observations have an action mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from puffer_numba.jit.checked import DebugError
from puffer_numba.jit.env import JitEnv
from puffer_numba.spaces import action_masks

_FAR = 1e3  # where a Box has no bounds


def random_actions(env: JitEnv, steps: int, seed: int = 0) -> Iterator[NDArray[Any]]:
    """Actions for each of ``steps`` steps, drawn when they are asked for: by then the last ones should be taken.

    Raises:
        DebugError: a mask allows nothing to a row that is to act, or has another length than there are choices.
    """
    generator = np.random.default_rng(seed)
    for step in range(steps):
        legal = action_masks(env)
        yield _any(env, generator) if legal is None else _legal(env, generator, legal, step)


def _any(env: JitEnv, generator: np.random.Generator) -> NDArray[Any]:
    space = env.single_action_space
    low, high = (bound.reshape(space.shape) for bound in (env._low, env._high))
    shape = (env.num_agents, *(space.shape or ()))
    if env.actions.dtype.kind == "f":
        return generator.uniform(np.clip(low, -_FAR, None), np.clip(high, None, _FAR), shape).astype(env.actions.dtype)
    return generator.integers(low, high + 1, shape)


def _legal(env: JitEnv, generator: np.random.Generator, legal: NDArray[np.bool_], step: int) -> NDArray[Any]:
    counts = (env._high - env._low + 1).tolist()
    legal = legal.reshape(len(legal), -1)
    if legal.shape[1] != sum(counts):
        raise DebugError(
            f"observation['action_mask'] has {legal.shape[1]} elements; {env.single_action_space} has {sum(counts)} "
            "choices, and it takes one for each",
            "action masks",
        )
    scores = (1 + generator.random(legal.shape)) * legal
    chosen = []
    for first, count in zip(np.cumsum([0, *counts]), counts, strict=False):
        part = scores[:, first : first + count]
        stuck = np.flatnonzero(env.masks & ~part.any(axis=1))
        if len(stuck):
            raise DebugError(
                f"observation['action_mask'] of row {stuck[0]}, which is to act in step {step}, allows no action: end "
                "the episode there, or let the agent wait",
                "action masks",
            )
        chosen.append(part.argmax(axis=1))
    actions = np.stack(chosen, axis=1) + env._low
    return actions[:, 0] if isinstance(env.single_action_space, Discrete) else actions
