"""Wrappers of images: stacks of frames, smaller sizes."""

from __future__ import annotations

import math

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.errors import integer
from puffer_numba.extras import require
from puffer_numba.wrappers.base import AnyArray, Wrapper, _compiled, refuse_mask

# ---------------------------------------------------------------------- images


class FrameStack(Wrapper):
    """The last ``num_frames`` observations, oldest first, along a new axis.

    Where an episode ends, the stack starts anew in the same step, and ``final_observations`` hold the old one.

    Args:
        env: the environment.
        num_frames: at least 1.
        axis: where the new axis stands in one observation: 0 as in `gymnasium.wrappers.FrameStackObservation`, -1 for
            grey images whose channels come last.
        padding: what stands for what was before the first observation: "reset", copies of it, or "zero".

    Raises:
        APIUsageError: an argument is none of these.
    """

    own = frozenset({"observations", "final_observations"})

    def __init__(self, env: PufferEnv, num_frames: int, axis: int = 0, padding: str = "reset") -> None:
        integer("FrameStack: num_frames", num_frames, minimum=1)
        if padding not in ("reset", "zero"):
            raise APIUsageError(f"FrameStack: padding is {padding!r}; expected 'reset' or 'zero'.")
        space = env.single_observation_space
        if not -len(space.shape) - 1 <= axis <= len(space.shape):
            raise APIUsageError(
                f"FrameStack: axis is {axis}, but a stack of {space.shape} has {len(space.shape) + 1} axes."
            )
        refuse_mask(self, env)
        low, high = (np.stack([bound] * num_frames, axis) for bound in (space.low, space.high))
        if padding == "zero":
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        super().__init__(env, Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type))
        self.emulated = None
        before = axis % (len(space.shape) + 1)  # axes before the new one
        outer = math.prod(space.shape[:before])
        self._frame = (self.num_agents, outer, math.prod(space.shape[before:]))
        self._shape = (self.num_agents, outer, num_frames, self._frame[2])
        self._stack = np.zeros(self._shape, space.dtype)  # not the observations, which others may bind or write to
        self._zero = padding == "zero"

    def update(self, rows: NDArray[np.int64]) -> None:
        """Stack the observations of ``rows``."""
        _stack_frames(
            rows,
            self.fresh,
            self.env.observations.reshape(self._frame),
            self.env.final_observations.reshape(self._frame),
            self.terminals,
            self.truncations,
            self._stack,
            self.observations.reshape(self._shape),
            self.final_observations.reshape(self._shape),
            self._zero,
        )


@_compiled
def _stack_frames(
    rows: NDArray,
    fresh: NDArray,
    frames: NDArray,
    finals: NDArray,
    terminals: NDArray,
    truncations: NDArray,
    stack: NDArray,
    stacked: NDArray,
    stacked_finals: NDArray,
    zero: bool,
) -> None:
    last = stack.shape[2] - 1
    for row in rows:
        ended = (terminals[row] or truncations[row]) and not fresh[row]
        for o in range(stack.shape[1]):
            if ended:
                stacked_finals[row, o, :last] = stack[row, o, 1:]
                stacked_finals[row, o, last] = finals[row, o]
            if ended or fresh[row]:
                for k in range(last):
                    if zero:
                        stack[row, o, k] = 0
                    else:
                        stack[row, o, k] = frames[row, o]
            else:
                for k in range(last):
                    stack[row, o, k] = stack[row, o, k + 1]
            stack[row, o, last] = frames[row, o]
            stacked[row, o] = stack[row, o]


class ResizeObservation(Wrapper):
    """Smaller images, each element the mean over its area: what `gymnasium.wrappers.ResizeObservation` gives, but all
    rows in one call of OpenCV. Needs the extra ``atari``.

    Args:
        env: observations are images: (height, width) or (height, width, channels), of at most 4 channels.
        shape: ``(height, width)``, neither larger than before.

    Raises:
        APIUsageError: observations are not images, or ``shape`` is no such.
        MissingExtra: OpenCV is not installed.
    """

    own = frozenset({"observations", "final_observations"})

    def __init__(self, env: PufferEnv, shape: tuple[int, int]) -> None:
        self._cv2 = require("cv2", "opencv", "ResizeObservation")
        space = env.single_observation_space
        dtype = np.dtype(space.dtype)
        channels = space.shape[2:]
        if len(space.shape) not in (2, 3) or math.prod(channels) > 4 or dtype.name not in _IMAGE_DTYPES:
            raise APIUsageError(
                f"ResizeObservation takes images, (height, width) or (height, width, channels), of at most 4 "
                f"channels and {', '.join(_IMAGE_DTYPES)}; {type(env).__name__} has {space}."
            )
        if len(shape) != 2 or not all(1 <= new <= old for new, old in zip(shape, space.shape, strict=False)):
            raise APIUsageError(
                f"ResizeObservation: shape is {shape!r}; expected (height, width), at most {space.shape[:2]}."
            )
        new_shape = (*shape, *channels)
        low, high = (bound.reshape(-1)[0] for bound in (space.low, space.high))
        super().__init__(env, Box(low, high, new_shape, dtype.type))
        self.emulated = None
        self.size = (int(shape[0]), int(shape[1]))

    def update(self, rows: NDArray[np.int64]) -> None:
        """Resize the images of ``rows``, and the last ones of those whose episodes ended."""
        if len(rows) == self.num_agents:
            self._resize(self.env.observations, self.observations)
        else:
            self.observations[rows] = self._resized(self.env.observations[rows])
        ended = rows[(self.terminals[rows] | self.truncations[rows]) & ~self.fresh[rows]]
        if len(ended):
            self.final_observations[ended] = self._resized(self.env.final_observations[ended])

    def _resized(self, images: AnyArray) -> AnyArray:
        resized = np.empty((len(images), *self.single_observation_space.shape), images.dtype)
        self._resize(images, resized)
        return resized

    def _resize(self, images: AnyArray, resized: AnyArray) -> None:
        """All in one, one above the other: no mean over an area reaches into the next image."""
        tall, target = (a.reshape(-1, *a.shape[2:]) for a in (images, resized))
        height, width = self.size
        self._cv2.resize(tall, (width, height * len(images)), dst=target, interpolation=self._cv2.INTER_AREA)


_IMAGE_DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
