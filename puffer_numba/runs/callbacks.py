"""Callbacks: code of one's own that runs while a policy is trained.

::

    class Curriculum(Callback):
        def on_update(self, trainer):
            print(trainer.global_step, trainer.losses["entropy"])
            return trainer.global_step < 1_000_000  # False ends the run

    train("cartpole", callbacks=[Curriculum()])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from puffer_numba.env import APIUsageError
from puffer_numba.train.trainer import Trainer

HOOKS = ("on_rollout", "on_episode", "on_update")


class Episode(NamedTuple):
    """An episode that has ended."""

    episode_return: float
    episode_length: int


class Callback:
    """Methods that a trainer calls; any object with some of them will do.

    One that returns False ends the run, as if it had done all of its steps; anything else has no effect.
    """

    def on_rollout(self, trainer: Trainer) -> bool | None:
        """After each rollout, which is in ``trainer.rollout``, and before anything is learned from it."""

    def on_episode(self, trainer: Trainer, episode: Episode) -> bool | None:
        """For each episode that ended in a rollout, in order, before `on_rollout`."""

    def on_update(self, trainer: Trainer) -> bool | None:
        """After each update: ``trainer.losses`` has what `puffer_numba.train.loss.LOSS_NAMES` lists."""


class Callbacks:
    """Several callbacks, by what they have of `HOOKS`.

    Raises:
        APIUsageError: one has nothing of it.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        for callback in callbacks:
            if not any(callable(getattr(callback, hook, None)) for hook in HOOKS):
                raise APIUsageError(
                    f"callbacks has {callback!r}, which has no method {', '.join(HOOKS[:-1])} or {HOOKS[-1]}."
                )
        self._hooks = {hook: [m for c in callbacks if (m := _method(c, hook)) is not None] for hook in HOOKS}

    def has(self, hook: str) -> bool:
        """Whether anybody is to be called."""
        return bool(self._hooks[hook])

    def call(self, hook: str, *arguments: Any) -> bool:
        """Call all; whether the run goes on."""
        answers = [method(*arguments) for method in self._hooks[hook]]
        return not any(answer is False for answer in answers)


def _method(callback: Any, hook: str) -> Callable[..., Any] | None:
    """A method of a callback, unless it does nothing."""
    method = getattr(callback, hook, None)
    return None if getattr(method, "__func__", None) is getattr(Callback, hook) else method
