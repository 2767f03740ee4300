"""What the five games of MinAtar share: the grid, the actions and sticky actions."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from puffer_numba.jit import JitEnv
from puffer_numba.jit.bounds import Probability
from puffer_numba.jit.random import random

SIZE = 10
NOOP, LEFT, UP, RIGHT, DOWN, FIRE = range(6)


class MinAtar(JitEnv):
    """Base of the games: each adds State, kernels, the channels of its observation and the actions it can tell apart.

    Source: Young & Tian (2019), "MinAtar: An Atari-inspired testbed for thorough and reproducible reinforcement
    learning experiments", arXiv 1903.03176, as in version 1.0.15 of the authors' package.
    """

    channels: ClassVar[tuple[str, ...]]
    """Name of each channel of the observation."""
    minimal_action_set: ClassVar[tuple[int, ...]]
    """The actions that do different things in this game."""

    class Params(NamedTuple):
        sticky_action_prob: Probability = 0.1  # probability that a step repeats the action of the step before
        difficulty_ramping: bool = True  # whether the game grows harder as it goes on; breakout and freeway never do
        minimal_actions: bool = False
        """offer only the actions that do different things in this game, as MinAtar's ``-v1`` ids; else all six"""

    class Tables(NamedTuple):
        action_digits: int  # which of the six actions each action is: hexadecimal, the last digit is the first one's

    @property
    def keys(self) -> dict[str, Any]:  # type: ignore[override]
        """Actions by the names of keys."""
        names = ("", "left", "up", "right", "down", "space")
        offered = self.minimal_action_set if self.params.minimal_actions else range(6)
        return {names[number]: action for action, number in enumerate(offered)}

    @classmethod
    def tables(cls, params: Any) -> Any:
        actions = cls.minimal_action_set if params.minimal_actions else range(6)
        return cls.Tables(sum(number << 4 * action for action, number in enumerate(actions)))

    @classmethod
    def single_observation_space(cls, p: Any) -> Box:
        return Box(0, 1, (SIZE, SIZE, len(cls.channels)), np.uint8)

    @classmethod
    def single_action_space(cls, p: Any) -> Discrete:
        return Discrete(len(cls.minimal_action_set) if p.minimal_actions else 6)


def sticky(s: Any, p: Any, i: Any, action: Any, rng: Any) -> Any:
    """Which of the six actions is carried out: this one, or again the last one. An episode's first last one is NOOP."""
    done = s.last_action[i] if random(rng) < p.sticky_action_prob else p.action_digits >> 4 * action & 15
    s.last_action[i] = done
    return done


def clear(obs: Any, i: Any) -> None:
    """Set all of ``obs[i]`` to 0."""
    for row in range(obs.shape[1]):
        for column in range(obs.shape[2]):
            for channel in range(obs.shape[3]):
                obs[i, row, column, channel] = 0
