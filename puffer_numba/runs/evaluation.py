"""How well a trained policy does: returns and lengths of whole episodes, watched or recorded if wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from puffer_numba.config import Config
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.encoders import StructuredEncoder
from puffer_numba.models.load import load_policy
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.naming import render_modes
from puffer_numba.render.canvas import Frame
from puffer_numba.render.window import check_display, image_of, recorder, window
from puffer_numba.runs import checkpoint as checkpoints
from puffer_numba.runs.checkpoint import Checkpoint
from puffer_numba.train.episodes import Watcher, run_episodes
from puffer_numba.train.setup import load_env

ROWS = 64  # environments that are evaluated side by side


@dataclass
class Evaluation:
    """Results of some episodes."""

    checkpoint: Path
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean, standard deviation, minimum and maximum of "return" and "length"."""
        return {
            name: {
                "mean": float(values.mean()),
                "std": float(values.std()),
                "min": float(values.min()),
                "max": float(values.max()),
            }
            for name, values in (("return", self.returns), ("length", self.lengths))
        }


def evaluate(
    env_name: str,
    checkpoint: str | Path = "latest",
    *,
    episodes: int | None = None,
    deterministic: bool = False,
    render_mode: str | None = None,
    gif: str | Path | None = None,
    fps: int = 50,
    seed: int = 0,
    data_dir: str | Path = "runs",
    overrides: Mapping[str, Any] | None = None,
    policy: str | None = None,
) -> Evaluation:
    """Run episodes with the policy of a checkpoint.

    Args:
        checkpoint: folder of a checkpoint or of a run; "latest": the environment's newest in ``data_dir``; "best": the
            best of that run.
        episodes: how many; by default 100, or 1 where they are shown or recorded.
        deterministic: take the greedy action instead of sampling one.
        render_mode: "human" shows a window. Other libraries' environments that take a render mode are made with
            "rgb_array", to be shown and recorded here; or with "human" where they have nothing else.
        gif: file to record the first episode to, .gif or .mp4.
        fps: frames for each second, shown and recorded.
        seed: of environments and actions.
        overrides: settings that differ from those of training, such as ``{"env.gravity": 1.6}``.
        policy: name of a policy of one's own, ``my_module:MyPolicy``; by default, of runs in ``data_dir``, that which
            was trained.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, another environment's, or does not fit.
        APIUsageError: an environment that renders no images; no display to show them on; ``gif`` of another kind.
        ImportError: pygame, imageio or imageio-ffmpeg is not installed; the message names the extra that brings them.
    """
    if render_mode not in (None, "human"):
        raise APIUsageError(f"render_mode is {render_mode!r}; allowed: 'human', or None.")
    if render_mode == "human":
        check_display()
    if episodes is not None and episodes < 1:
        raise APIUsageError(f"episodes is {episodes}; expected at least 1.")
    saved = checkpoints.load_of(env_name, checkpoint, data_dir, policy)
    config = saved.config.update(overrides or {})
    config.validate()
    watched = render_mode is not None or gif is not None
    count = episodes or (1 if watched else 100)
    shown = count if render_mode is not None else 1 if gif is not None else 0
    seen = _to_be_seen(config, own_window=gif is None)
    with ExitStack() as stack:
        watchers: list[Watcher] = []
        if gif is not None:
            watchers.append(_shown_by(stack.enter_context(recorder(gif, fps))))
        if seen.env.params.get("render_mode") == "human":
            watchers.append(lambda env: env.render())  # in a window of the environment's own
        elif render_mode == "human":
            watchers.append(_shown_by(stack.enter_context(window(env_name, fps))))
        parts = []
        for episodes_, rows, present in ((shown, 1, watchers), (count - shown, ROWS, [])):
            if episodes_:
                env = stack.enter_context(load_env(seen if present else config, min(episodes_, rows)))
                module, normalizer = load_trained(saved, env)
                parts.append(run_episodes(env, module, episodes_, normalizer, deterministic, seed, present))
                seed += 1  # the others' episodes differ from those that were shown
    returns, lengths = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Evaluation(saved.path, returns, lengths)


def _to_be_seen(config: Config, own_window: bool) -> Config:
    """The same with a render mode, where what makes the environment takes one."""
    modes = render_modes(config.env_name)
    mode = "human" if own_window and "human" in modes and "rgb_array" not in modes else "rgb_array"
    if mode not in modes or "render_mode" in config.env.params:
        return config
    return replace(config, env=replace(config.env, params={**config.env.params, "render_mode": mode}))


class Evaluator:
    """Measures the policy of a run while it is trained, in environments of its own, which are made when first needed.

    Args:
        config: of the run; its section ``eval`` says how.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._options = config, config.eval
        self._open = ExitStack()
        self._envs: dict[int, PufferEnv] = {}  # by their number

    def __call__(
        self, policy: nn.Module, normalizer: nn.Module | None, video: Path | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Returns and lengths of ``eval.episodes`` episodes, the same ones of the same policy.

        Args:
            policy, normalizer: as they are now; they are left so.
            video: file to record the first episode to.
        """
        options, parts = self._options, []
        shown = 0 if video is None else 1
        with ExitStack() as stack:
            watchers = [] if video is None else [_shown_by(stack.enter_context(recorder(video, self._fps())))]
            for seed, episodes, rows, present in (
                (options.seed, shown, 1, watchers),
                (options.seed + shown, options.episodes - shown, ROWS, []),
            ):
                if episodes:
                    env = self._env(min(episodes, rows))
                    arguments = (env, policy, episodes, normalizer, options.deterministic, seed, present)
                    parts.append(run_episodes(*arguments))
        returns, lengths = (np.concatenate(part) for part in zip(*parts, strict=True))
        return returns, lengths

    def _fps(self) -> int:
        return self._env(1).render_fps

    def _env(self, number: int) -> PufferEnv:
        if number not in self._envs:
            config = self._config
            if number == 1 and self._options.video:
                config = _to_be_seen(config, own_window=False)
            self._envs[number] = self._open.enter_context(load_env(config, number))
        return self._envs[number]

    def close(self) -> None:
        """Close the environments."""
        self._open.close()


def _shown_by(show: Callable[[Frame], object]) -> Watcher:
    return lambda env: show(image_of(env))


def load_trained(saved: Checkpoint, env: PufferEnv) -> tuple[nn.Module, RunningNormalizer | None]:
    """The policy of a checkpoint for the spaces of ``env``, and what normalizes its observations, if anything does."""
    config = saved.config
    policy = load_policy(config, env)
    saved.load_policy(policy)
    if not config.train.normalize_observations or isinstance(getattr(policy, "encoder", None), StructuredEncoder):
        return policy, None  # or it is a part of the policy
    return policy, saved.normalizer(env.single_observation_space.shape)
