"""One step from many given states at once, for comparison with a reference that is stepped from each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from puffer_numba.jit import JitEnv

TRANSITIONS = 10_000
FEWER_TRANSITIONS = 3000
"""Where the reference takes a millisecond for one; the tests see to it that every rule is among them."""


class Outcome(NamedTuple):
    """What a step from ``num_envs`` states gave."""

    state: Any
    """The State, a named tuple of arrays ``(num_envs, ...)``."""
    observations: NDArray[Any]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    truncations: NDArray[np.bool_]


def step_from(
    env_class: type[JitEnv], states: Mapping[str, ArrayLike], actions: ArrayLike, **arguments: Any
) -> Outcome:
    """Step copies of an environment once, each from a state of its own.

    Args:
        states: ``(num_envs, ...)`` for each State field that matters; others are as a reset leaves them.
        actions: ``(num_envs, *action_shape)``, or one for each agent.
        **arguments: for the environment's class.
    """
    num_envs = len(np.asarray(next(iter(states.values()))))
    env = env_class(num_envs, autoreset="disabled", **arguments)
    env.reset(seed=0)
    known = env.get_state()
    given = {f"state.{name}": np.asarray(values, known[f"state.{name}"].dtype) for name, values in states.items()}
    env.set_state(known | given)
    observations, rewards, terminals, truncations, _ = env.step(actions)
    return Outcome(env.state, observations, rewards, terminals, truncations)
