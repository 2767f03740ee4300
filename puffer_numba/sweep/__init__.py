"""Hyperparameter search: many short runs, each with settings sampled by Optuna; the best of them, and what mattered.

::

    from puffer_numba.sweep import LogUniform, SweepConfig, sweep

    result = sweep("cartpole", SweepConfig(trials=20, seconds=4), space={"train.learning_rate": LogUniform(1e-4, 0.1)})
    train("cartpole", result.overrides)

The command ``puffer sweep`` does the same; docs/sweep.md explains budget, score, pruning and storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from puffer_numba.config import Config, SweepConfig
from puffer_numba.env import APIUsageError
from puffer_numba.extras import require_installed
from puffer_numba.sweep.space import (
    Choice,
    IntUniform,
    LogUniform,
    PowerOfTwo,
    Range,
    ReverseLogUniform,
    Space,
    Uniform,
    check_space,
    default_space,
    parse_space,
)
from puffer_numba.train.setup import load_config

if TYPE_CHECKING:
    from puffer_numba.sweep.progress import Progress
    from puffer_numba.sweep.report import SweepResult
    from puffer_numba.sweep.search import Search

_NEEDED = {
    **dict.fromkeys(("torch", "safetensors"), "train"),
    **dict.fromkeys(("optuna", "sqlalchemy", "plotly", "matplotlib"), "sweep"),
}

__all__ = [
    "Choice",
    "IntUniform",
    "LogUniform",
    "PowerOfTwo",
    "Range",
    "ReverseLogUniform",
    "Space",
    "SweepConfig",
    "Uniform",
    "default_space",
    "make_search",
    "run",
    "sweep",
]


def sweep(
    env_name: str,
    options: SweepConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    space: Space | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Search, print the results, and write them into ``data_dir/ENVIRONMENT/STUDY``.

    The workers are processes that do not import the main script, which needs no ``if __name__ == "__main__":``.

    Args:
        env_name: as for `puffer_numba.pufferl.train`.
        options: budget, workers, storage; a study that is stored already is gone on with.
        overrides: what all trials have in common, as for `load_config`; these settings are not searched by default.
        space: what they differ in; by default ``options.space``, or else `default_space`.
        progress: by default a live table on a terminal, and plain lines elsewhere.

    Raises:
        APIUsageError: a name, range, option or storage that cannot be used; or the first trials all failed.
        MissingExtra: torch or Optuna is not installed.
        KeyboardInterrupt: after Ctrl-C, which leaves a study that can be gone on with, and the results so far.
    """
    config = load_config(env_name, overrides)
    search = make_search(config, options or SweepConfig(), space=space, fixed=overrides or (), progress=progress)
    return run(search)


def make_search(
    config: Config,
    options: SweepConfig,
    *,
    space: Space | None = None,
    fixed: Iterable[str] = (),
    progress: Progress | None = None,
) -> Search:
    """A search that is ready to `Search.run`; arguments as for `sweep`, with ``fixed`` not in the default space."""
    options.validate()
    fixed = set(fixed)
    if config.train.self_play:
        raise APIUsageError("a sweep needs a return that tells good from bad, which that of train.self_play does not.")
    if config.policy.from_ is not None:
        raise APIUsageError("a sweep's trials begin anew; policy.from is for one run.")
    if space is None:
        space = parse_space(options.space or ["default"], default_space(config), fixed)
    if "train.total_timesteps" in fixed | set(space):
        raise APIUsageError(
            "in a sweep, train.total_timesteps follows from the budget; set sweep.seconds or sweep.steps."
        )
    check_space(space, config)
    for module, extra in _NEEDED.items():
        require_installed(module, extra, "a sweep")
    from puffer_numba.sweep.progress import make_progress
    from puffer_numba.sweep.search import Search

    title = f"{config.env_name}: {options.trials} trials of {options.seconds:g} s, {len(space)} settings"
    return Search(config, space, options, progress or make_progress(title, options.trials))


def run(search: Search) -> SweepResult:
    """Do the trials; then print and write the results, also after Ctrl-C or a failure."""
    try:
        search.run()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command continues this study") from None
    finally:
        result = search.result()
        result.write()
        result.print()
    return result
