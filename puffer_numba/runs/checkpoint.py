"""Checkpoints: folders of safetensors and JSON. Nothing is pickled, so loading one runs no code.

``weights.safetensors`` is the policy's state dict, to be loaded anywhere. ``state.safetensors`` and ``state.json``
are what it takes to continue training: optimizer, schedule, random streams, normalizers, environments.
A folder is written beside its place and then moved there, so a checkpoint is whole or absent. What the disk does to
it afterwards is found by the digests in ``SHA256SUMS``, which ``sha256sum --check`` reads too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from puffer_numba.env import APIUsageError
from puffer_numba.files import is_same, run_folders
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.naming import full_name
from puffer_numba.runs.folder import RUN
from puffer_numba.train.state import StateMismatch, TrainerState
from puffer_numba.train.trainer import Trainer

FORMAT, READABLE = 3, (2, 3)
WEIGHTS, ARRAYS, DATA = "weights.safetensors", "state.safetensors", "state.json"
FILES, DIGESTS = (WEIGHTS, ARRAYS, DATA), "SHA256SUMS"

Score = tuple[bool, float]
"""Whether it is of an evaluation, and the mean return; else that of the last 100 episodes of training."""


class CheckpointError(APIUsageError):
    """A checkpoint is missing, damaged, or does not fit."""


class SaveError(OSError):
    """A checkpoint could not be written; the message says why, and which is the last good one."""


@dataclass
class Checkpoint(TrainerState):
    """What a checkpoint folder holds."""

    path: Path

    def load_into(self, trainer: Trainer) -> None:
        """Continue training where the run that wrote it was.

        Raises:
            CheckpointError: it is of another environment, policy or optimizer; or of a version whose training this one
                cannot continue.
        """
        if self.data["format"] != FORMAT:
            raise CheckpointError(
                f"checkpoint {self.path} has format {self.data['format']}, of an older version: it can be evaluated, "
                "exported and shared, but its training cannot be continued."
            )
        here = trainer.config.env_name
        if here and self.config.env_name and not is_same(self.config.env_name, here):
            raise self._of_another(here)
        with self._naming_the_path():
            trainer.load_state_dict(self)

    def _of_another(self, env_name: str) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.path} is of {self.config.env_name!r}, not of {env_name!r}. --policy.from takes its "
            "weights into a new run, where the spaces are the same."
        )

    def allow_policy(self, name: str | None, data_dir: str | Path) -> None:
        """Let the configuration name a policy of the user's own where it may run: ``name``, or in ``data_dir`` its own.

        Raises:
            CheckpointError: its policy is code, which came from elsewhere and was not asked for.
        """
        settings = self.data["config"]["policy"]
        its_own = settings.get("name")
        if name is None and its_own and not self.path.resolve().is_relative_to(Path(data_dir).resolve()):
            raise CheckpointError(
                f"checkpoint {self.path} is of the policy {its_own}, which is code, and it is not under {data_dir}; "
                f"--policy {its_own} says that it may run."
            )
        settings["name"] = name or its_own

    def begin(self, trainer: Trainer) -> None:
        """Let ``trainer``, which has not begun, begin with the policy, and with what normalized its observations.

        Raises:
            CheckpointError: the policy is another, or one of the two normalizes observations and the other does not.
        """
        ours, theirs = (c.train.normalize_observations for c in (trainer.config, self.config))
        if ours != theirs:
            with_, option = ("with", "") if theirs else ("without", "no-")
            raise CheckpointError(
                f"checkpoint {self.path} was trained {with_} normalized observations; set "
                f"--train.{option}normalize-observations."
            )
        self.load_policy(trainer.policy)
        if trainer.normalizer is not None:
            with self._naming_the_path():
                self.load_normalizer(trainer.normalizer, "normalizer")

    def load_policy(self, policy: nn.Module) -> None:
        """Put the weights into ``policy``.

        Raises:
            CheckpointError: they do not fit.
        """
        with self._naming_the_path():
            self.load_weights(policy)

    def normalizer(self, shape: tuple[int, ...]) -> RunningNormalizer:
        """What normalized the observations, of ``shape``.

        Raises:
            CheckpointError: they had another shape.
        """
        normalizer = RunningNormalizer(shape)
        with self._naming_the_path():
            self.load_normalizer(normalizer, "normalizer")
        return normalizer

    @contextlib.contextmanager
    def _naming_the_path(self) -> Iterator[None]:
        try:
            yield
        except StateMismatch as error:
            raise CheckpointError(f"checkpoint {self.path} {error}") from error


def save(path: str | Path, state: TrainerState) -> Path:
    """Write a checkpoint folder at ``path``, replacing one that is there. It appears whole or not at all.

    Raises:
        OSError: it could not be written. One that was there before still is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        tensors = {name: tensor.clone().contiguous() for name, tensor in state.weights.items()}
        contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in state.arrays.items()}
        contents = (
            safetensors.torch.save(tensors),
            safetensors.numpy.save(contiguous),
            json.dumps({"format": FORMAT, **state.data}, indent=1).encode(),
        )
        for name, content in zip(FILES, contents, strict=True):
            _write(temporary / name, content)
        digests = "".join(f"{_digest(c)}  {name}\n" for name, c in zip(FILES, contents, strict=True))
        _write(temporary / DIGESTS, digests.encode())
        _sync_folder(temporary)
        if path.exists():
            replaced = path.parent / f".{path.name}.{os.getpid()}.old"
            path.rename(replaced)
            try:
                temporary.rename(path)
            except OSError:
                replaced.rename(path)
                raise
            shutil.rmtree(replaced)
        else:
            temporary.rename(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: it is missing, incomplete, damaged, or of another format; the message names an older
            checkpoint of the same run that is whole, where there is one.
    """
    try:
        return _load(Path(path))
    except CheckpointError as error:
        older = _older_whole(Path(path))
        if older is None:
            raise
        raise CheckpointError(f"{error} The one before it is whole: {older}") from error


def _older_whole(path: Path) -> Path | None:
    """The newest checkpoint of the same run before ``path`` that can be read."""
    for older in sorted((p for p in path.parent.glob("checkpoint_*") if p.name < path.name), reverse=True):
        with contextlib.suppress(CheckpointError):
            return _load(older).path
    return None


def _load(path: Path) -> Checkpoint:
    if not path.is_dir():
        raise CheckpointError(f"no checkpoint at {path}; expected a folder with {WEIGHTS}, {ARRAYS} and {DATA}.")
    try:
        contents = {name: (path / name).read_bytes() for name in FILES}
        data = json.loads(contents[DATA])
        if not isinstance(data, dict) or data.get("format") not in READABLE:
            found = data.get("format") if isinstance(data, dict) else None
            raise CheckpointError(f"checkpoint {path} has format {found!r}; this version reads format {FORMAT}.")
        digests = {name: digest for digest, name in map(str.split, (path / DIGESTS).read_text().splitlines())}
        for name, content in contents.items():
            if digests.get(name) != _digest(content):
                raise CheckpointError(f"checkpoint {path} is damaged: {name} is not what {DIGESTS} says it was.")
        weights = safetensors.torch.load(contents[WEIGHTS])
        arrays = safetensors.numpy.load(contents[ARRAYS])
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise CheckpointError(f"checkpoint {path} is incomplete: {missing} is missing.") from error
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}.") from error
    return Checkpoint(weights, arrays, data, path)


def new_run_dir(parent: Path) -> Path:
    """Make a folder named after the present moment in ``parent``.

    Raises:
        APIUsageError: no folder can be made there.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for suffix in ["", *(f"-{k}" for k in range(2, 1000))]:
            path = parent / (stamp + suffix)
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    except OSError as error:
        raise APIUsageError(
            f"cannot make the run's folder in {parent}: {error.strerror}; train.data_dir says where it goes."
        ) from error
    raise APIUsageError(f"{parent} has a thousand runs of {stamp}.")


def run_to_continue(path: Path, env_name: str, data_dir: str | Path) -> Path | None:
    """The run's folder in which training continues from the checkpoint at ``path``; None where it needs a new one.

    It needs one if the run went on after that checkpoint, or is not under ``data_dir``.
    """
    resolved = path.resolve()
    folder = resolved.parent
    is_newest = all(other.name <= resolved.name for other in folder.glob("checkpoint_*"))
    homes = [home.resolve() for home in run_folders(data_dir, env_name)]
    is_a_run_here = (folder / RUN).exists() and folder.parent in homes
    return path.parent if is_newest and is_a_run_here else None


def find(which: str | Path, env_name: str, data_dir: str | Path) -> Path:
    """The folder of a checkpoint: ``which`` itself; "latest": the newest of the environment; "best": of that run's.

    A run's folder stands for the newest checkpoint in it.

    Raises:
        CheckpointError: there is none.
    """
    if str(which) not in ("latest", "best"):
        return newest_of_run(Path(which))
    env_name = full_name(env_name)
    roots = run_folders(data_dir, env_name)
    found = newest(*roots)
    if found is None:
        raise CheckpointError(
            f"no checkpoint of {env_name!r} under {roots[0]}; train one, puffer train {shlex.quote(env_name)}, or give "
            "its path by --checkpoint."
        )
    return found if str(which) == "latest" else best_in(found.parent) or found


def newest_of_run(path: Path) -> Path:
    """The newest checkpoint in a run's folder; ``path`` itself where it is something else, a checkpoint for example."""
    if path.is_dir() and not (path / DATA).exists():
        return newest(path) or path
    return path


def load_of(env_name: str, which: str | Path, data_dir: str | Path, policy: str | None = None) -> Checkpoint:
    """Find and read a checkpoint of the environment ``env_name``; arguments as for `find`.

    Args:
        policy: name of the policy, where it is one of the user's own; by default, of runs under ``data_dir``, that
            which was trained. What came from elsewhere runs no code that was not asked for.

    Raises:
        CheckpointError: there is none, it cannot be read, or it is another environment's; or its policy is code, which
            ``policy`` has to name.
    """
    env_name = full_name(env_name)
    saved = load(find(which, env_name, data_dir))
    if not is_same(saved.config.env_name, env_name):
        raise saved._of_another(env_name)
    saved.data["config"]["env_name"] = env_name  # where the file is now, as seen from here
    saved.allow_policy(policy, data_dir)
    return saved


def newest(*folders: Path) -> Path | None:
    """The checkpoint most recently written in one of ``folders`` or a folder in it; None where there is none."""
    patterns = (f"checkpoint_*/{DATA}", f"*/checkpoint_*/{DATA}")
    found = [path for folder in folders for pattern in patterns for path in folder.glob(pattern)]
    return max(found, key=lambda p: (p.stat().st_mtime_ns, str(p))).parent if found else None


def score_of(data: dict[str, Any]) -> Score:
    """How good the policy of a checkpoint was, from its ``state.json``; minus infinity where that is not known."""
    score = data.get("score")
    return bool(data.get("evaluated")), -math.inf if score is None else float(score)


def best_of(scores: dict[Path, Score]) -> Path | None:
    """The best checkpoint, of equally good ones the newest; those that were evaluated come before others."""
    return max(scores, key=lambda path: (scores[path], path.name), default=None)


def best_in(folder: Path) -> Path | None:
    """The best checkpoint of the run in ``folder``; None where there is none."""
    return best_of({path: score_of(data) for path in folder.glob("checkpoint_*") if (data := read_data(path))})


def read_data(path: Path) -> dict[str, Any]:
    """What ``state.json`` of a checkpoint says; nothing where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        data = json.loads((path / DATA).read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return data
    return {}
