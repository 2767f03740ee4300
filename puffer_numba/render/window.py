"""A window to show frames in, and files to keep them."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.extras import require
from puffer_numba.render.canvas import Frame


def image_of(env: PufferEnv) -> Frame:
    """An image of the first environment: ``(height, width, 3)``.

    Raises:
        APIUsageError: it draws nothing.
    """
    frame = env.render()
    if frame is None:
        raise APIUsageError(f"{type(env).__name__} renders no images: its render() returns None.")
    if isinstance(frame, str):
        raise APIUsageError(f"{type(env).__name__} renders text, no images: its render() returns a string.")
    return np.asarray(frame, np.uint8)


@contextmanager
def recorder(path: str | Path, fps: int) -> Iterator[Callable[[Frame], None]]:
    """A function that appends frames ``(height, width, 3)`` to a GIF or an MP4.

    Raises:
        APIUsageError: ``path`` ends in neither .gif nor .mp4.
        MissingExtra: imageio, or for MP4 imageio-ffmpeg, is not installed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise APIUsageError(f"cannot record {path}; expected a name that ends in .gif or .mp4.")
    imageio = require("imageio.v2", "render", f"recording {kind}")
    if kind == ".mp4":
        require("imageio_ffmpeg", "video", "recording .mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == ".gif":
        with imageio.get_writer(path, format="GIF", duration=1000 / fps, loop=0) as writer:
            yield writer.append_data
    else:
        with imageio.get_writer(path, format="FFMPEG", fps=fps, macro_block_size=1) as writer:
            yield lambda frame: writer.append_data(_even(frame))


def _even(frame: Frame) -> Frame:
    """With its last row or column once more where their number is odd, which most players of videos refuse."""
    return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")


def video_kind() -> str:
    """The best ending of a recording's name that can be written here: ".mp4" or ".gif"."""
    return ".mp4" if importlib.util.find_spec("imageio_ffmpeg") else ".gif"


_UNSEEN = ("offscreen", "dummy")  # what SDL falls back on
_NO_DISPLAY = (
    "no window can be shown here: there is no display (DISPLAY and WAYLAND_DISPLAY say where it is). puffer eval NAME "
    "--gif FILE records instead."
)


def check_display() -> None:
    """See that a window can be shown. A driver of SDL that was asked for, by SDL_VIDEODRIVER, is taken as it is.

    Raises:
        APIUsageError: there is no display, as on most servers.
    """
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in displays):
        raise APIUsageError(_NO_DISPLAY)


@contextmanager
def window(title: str, fps: int) -> Iterator[Callable[[Frame], set[str]]]:
    """A function that shows frames ``(height, width, 3)`` in a window, ``fps`` for each second.

    It returns the names of the keys that are held, or were pressed since the last frame. Closing the window, or
    Escape, raises `KeyboardInterrupt`.

    Raises:
        APIUsageError: there is no display.
        MissingExtra: pygame is not installed.
    """
    check_display()
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    pygame = require("pygame", "render", "showing a window")
    try:
        pygame.display.init()
    except pygame.error as error:
        raise APIUsageError(f"{_NO_DISPLAY} SDL says: {error}") from error
    asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
    if not asked and pygame.display.get_driver() in _UNSEEN:
        pygame.display.quit()
        raise APIUsageError(_NO_DISPLAY)
    pygame.display.set_caption(title)
    next_frame = time.perf_counter()
    held: set[str] = set()

    def show(frame: Frame) -> set[str]:
        nonlocal next_frame
        size = (frame.shape[1], frame.shape[0])
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        screen.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        pressed = set(held)
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                raise KeyboardInterrupt
            if event.type == pygame.KEYDOWN:
                pressed.add(pygame.key.name(event.key))
                held.add(pygame.key.name(event.key))
            elif event.type == pygame.KEYUP:
                held.discard(pygame.key.name(event.key))
        next_frame = max(next_frame + 1 / fps, time.perf_counter())
        time.sleep(max(0.0, next_frame - time.perf_counter()))
        return pressed

    try:
        yield show
    finally:
        pygame.display.quit()
