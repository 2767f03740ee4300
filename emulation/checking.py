"""Which observations of a wrapped environment are compared with its space, and what is done about those outside."""

from __future__ import annotations

import math
import warnings
from typing import Any

from puffer_numba.errors import APIUsageError, integer
from puffer_numba.spaces.observations import ObservationLayout

CHECKED_STEPS = 16
PAUSES = (29, 53, 97, 193, 389, 769, 1543, 3079)
"""Steps from one check to the next, after the first ones; the last of them from then on, at next to no cost.
Prime numbers, so that what happens in turns is found, too."""

_told: set[tuple[str, str]] = set()


class ObservationChecks:
    """Compares observations with their space, as often as asked.

    Missing keys, wrong shapes and what cannot be written are errors in any case, which the writers find at each step.
    Here it is about values: bounds, NaN, casts that change them, superfluous keys.

    Args:
        layout: of the space.
        env: whose observations these are.
        steps: how many to check at first; some of the later ones are checked, too. 0: none at all; None: all.
        strict: raise where something is outside of its space; otherwise there is one warning for each leaf.
        num: of observations that are checked at once, as a batch; None: they come one by one.

    Attributes:
        left: how many are still to be checked without a break.
        pause: steps until the next check after those; infinite for never.
    """

    def __init__(
        self, layout: ObservationLayout, env: Any, steps: int | None, strict: bool, num: int | None = None
    ) -> None:
        if steps is not None:
            integer("checked_steps", steps, minimum=0)
        if not isinstance(strict, bool):
            raise APIUsageError(f"strict is {strict!r}; expected True or False.")
        self.left: float = math.inf if steps is None else steps
        self._pauses = iter(PAUSES if steps else ())
        self.pause: float = math.inf
        self._unchecked = 0
        self._layout, self._env, self._strict, self._num = layout, env, strict, num

    def check(self, observation: Any) -> Any:
        """The observation, each leaf in its own dtype.

        Raises:
            APIUsageError: it cannot be written; or it is outside of its space, and that is an error here.
        """
        self.left -= 1
        if self.left <= 0:
            self.pause = next(self._pauses, self.pause)
        return self._layout.check(observation, self._report, self._num)

    def sampled(self, observation: Any) -> Any:
        """One more observation: checked, if it is one of those that are."""
        self._unchecked += 1
        if self.left <= 0 and self._unchecked < self.pause:
            return observation
        self._unchecked = 0
        return self.check(observation)

    def _report(self, path: str, problem: str) -> None:
        message = f"{self._env}: {problem} Fix the environment or its space"
        if self._strict:
            raise APIUsageError(f"{message}; strict=False warns instead, and checked_steps=0 turns such checks off.")
        key = (str(self._env), path)
        if key not in _told:
            _told.add(key)
            advice = "strict=True makes this an error, and checked_steps=0 turns such checks off."
            warnings.warn(f"{message}; {advice} This is said once.", UserWarning, stacklevel=2)
