"""Optuna's study behind a sweep: where it is stored, whether it can be gone on with, and what is in it."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from puffer_numba.config import Config, SweepConfig
from puffer_numba.env import APIUsageError
from puffer_numba.files import run_folders
from puffer_numba.sweep.messages import SLOTS
from puffer_numba.sweep.space import Space

HEARTBEAT = 10
"""Seconds between two signs of life of a running trial."""
GRACE = 60
"""Seconds without one after which it has failed."""
DATABASE = "sweep.db"
_ATTEMPTS = 5  # at opening a database that others are making
INTERRUPTED = "interrupted"
"""The error of trials that failed through no fault of their own."""
_LOCK_TIMEOUT = 60  # seconds to wait for another process that writes to SQLite
_NOT_COMPARED = {"train.data_dir", "train.device", "train.torch_threads", "train.total_timesteps"}


def study_name(env_name: str, options: SweepConfig) -> str:
    """What the study is called in the storage, which may be shared with other environments'."""
    return f"{env_name}/{options.study}"


def results_folder(config: Config, options: SweepConfig) -> Path:
    """Where the results of a study are written."""
    return _home(config) / options.study


def _home(config: Config) -> Path:
    """Folder of the environment's studies: where there is one already, that."""
    folders = run_folders(config.train.data_dir, config.env_name)
    return next((folder for folder in folders if (folder / DATABASE).exists()), folders[0])


def open_study(config: Config, space: Space, options: SweepConfig) -> tuple[optuna.Study, BaseStorage]:
    """The study that ``options`` name, new or as it was left.

    Raises:
        APIUsageError: the storage cannot be used, or what is stored is of other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _open_storage(config, options)
    study = optuna.create_study(
        study_name=study_name(config.env_name, options),
        storage=storage,
        pruner=_pruner(options),
        direction="maximize",
        load_if_exists=True,
    )
    if options.sampler_seed is not None:  # one that is gone on with is not to draw the same again
        seed = options.sampler_seed + len(study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(seed=seed)
    _check_same(study, _setup(config, options), space, options)
    return study, storage


def _open_storage(config: Config, options: SweepConfig) -> BaseStorage:
    url = options.storage
    if url is None:
        path = _home(config) / DATABASE
        path.parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{path}"
    if url.startswith("journal:"):
        return JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
    try:
        return _open_database(url)
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise APIUsageError(  # without the URL, which may have a password
            f"sweep.storage cannot be used: {reason}. Expected a URL such as sqlite:///sweep.db, "
            "postgresql://user:password@host/database or journal:/shared/sweep.log."
        ) from error


def _open_database(url: str) -> BaseStorage:
    """A database; one that several machines make at the same moment is made by one of them, and found by the others."""
    arguments = {"connect_args": {"timeout": _LOCK_TIMEOUT}} if url.startswith("sqlite:") else {}
    for attempt in range(_ATTEMPTS):
        try:
            with own_heartbeats():
                return optuna.storages.RDBStorage(url, arguments, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
        except sqlalchemy.exc.DBAPIError as error:
            is_race = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not is_race or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.5)
    raise AssertionError("unreachable")


@contextmanager
def own_heartbeats() -> Iterator[None]:
    """No warnings of Optuna's that heartbeats may change some day, and that without its own loop nothing sends them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed", UserWarning)
        yield


def _pruner(options: SweepConfig) -> optuna.pruners.BasePruner:
    if options.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=SLOTS // 5)
    if options.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=SLOTS)
    return optuna.pruners.NopPruner()


def _setup(config: Config, options: SweepConfig) -> dict[str, Any]:
    """What makes scores comparable: the budget, and all settings that trials start from."""
    settings = config.to_dict()
    flat = {
        f"{section}.{name}": value
        for section in ("train", "env", "policy")
        for name, value in settings[section].items()
        if f"{section}.{name}" not in _NOT_COMPARED
    }
    setup = {"sweep.seconds": float(options.seconds), "sweep.steps": options.steps, **flat}
    return dict(json.loads(json.dumps(setup, default=str)))  # as the storage returns it


def _check_same(study: optuna.Study, setup: dict[str, Any], space: Space, options: SweepConfig) -> None:
    begun = study.user_attrs.get("setup")
    if begun is None:
        study.set_user_attr("setup", setup)
        return
    for name, value in setup.items():
        if name not in space and begun.get(name) != value:
            raise APIUsageError(
                f"the study {options.study!r} was begun with {name} {begun.get(name)!r}, which is {value!r} now: its "
                "scores do not compare. Give the same, or another name by --sweep.study."
            )


@dataclass(frozen=True)
class Trial:
    """One line of the results."""

    number: int
    state: str
    """complete, pruned, failed, running or waiting."""
    score: float | None
    mean_return: float | None
    seconds: float | None
    steps: int | None
    total_timesteps: int | None
    settings: dict[str, Any]
    """That were sampled, by dotted name."""
    error: str = ""
    """Why it failed; "interrupted" where it was no fault of its own."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> Trial:
        """From what Optuna stores."""
        state = {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
        outcome = trial.user_attrs.get("outcome", {})
        error = trial.user_attrs.get("error", INTERRUPTED) if state == "failed" else ""
        measured = {name: outcome.get(name) for name in ("mean_return", "seconds", "steps", "total_timesteps")}
        settings = trial.user_attrs.get("settings", {})
        return cls(number=trial.number, state=state, score=trial.value, **measured, settings=settings, error=error)

    @property
    def counts(self) -> bool:
        """Whether it is one of those that were wanted: not if it was interrupted, or has not begun."""
        return self.state in ("complete", "pruned", "running") or (self.state == "failed" and self.error != INTERRUPTED)


def trials_of(study: optuna.Study) -> list[Trial]:
    """All trials: complete ones first, the best of them at the top; then those that were pruned, and the others."""
    states = ["complete", "pruned", "running", "waiting", "failed"]
    trials = [Trial.of(trial) for trial in study.get_trials(deepcopy=False)]
    return sorted(trials, key=lambda t: (states.index(t.state), -(t.score or 0.0), t.number))


def best_of(trials: list[Trial]) -> Trial | None:
    """The complete trial with the highest score, of trials in the order of `trials_of`."""
    return trials[0] if trials and trials[0].state == "complete" else None


def score_text(trial: Trial) -> str:
    """Its score, in as many digits as tell trials apart that have reached a target."""
    return "-" if trial.score is None else f"{trial.score:.4g}" if abs(trial.score) < 10 else f"{trial.score:.2f}"
