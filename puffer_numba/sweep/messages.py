"""What the process that searches and those that train tell each other."""

from __future__ import annotations

from dataclasses import dataclass

SLOTS = 10
"""Equal parts of the budget; at the end of each, a trial reports how far it has got."""


@dataclass(frozen=True)
class Budget:
    """When a trial ends: by whichever comes first."""

    seconds: float
    steps: int | None = None

    def used(self, seconds: float, steps: int) -> float:
        """The part that is used up; 1 at the end."""
        return min(1.0, max(seconds / self.seconds, steps / self.steps if self.steps else 0.0))


@dataclass(frozen=True)
class Started:
    """The clock of the trial runs."""


@dataclass(frozen=True)
class Report:
    """The progress at the end of a slot, from 1 to `SLOTS`."""

    slot: int
    progress: float


@dataclass(frozen=True)
class Outcome:
    """What a trial came to."""

    score: float
    """``progress``; and where the target was reached, the part of the budget that was left."""
    progress: float
    """The mean return of the last 100 episodes; where there is a target, that at most."""
    mean_return: float
    seconds: float
    steps: int
    total_timesteps: int
    """What ``train.total_timesteps`` has to be for the learning rate to fall as it did."""


@dataclass(frozen=True)
class Failure:
    """A trial that has no score, and why."""

    error: str
    traceback: str = ""
    """Where it was none of the expected ones."""


@dataclass(frozen=True)
class Stop:
    """The trial is given up; it ends after the present rollout."""


Message = Started | Report | Outcome | Failure
"""From a worker."""
