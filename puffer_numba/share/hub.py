"""Checkpoints on the Hugging Face Hub: one repository for each, with a model card that tells its measured score.

What goes up and comes down are the files of a checkpoint, by their names: safetensors, JSON and digests. Anything else
in the folder or in the repository is left where it is, so that nothing that comes from there can run code.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from puffer_numba.env import APIUsageError
from puffer_numba.extras import require
from puffer_numba.runs import checkpoint as checkpoints
from puffer_numba.runs.checkpoint import DIGESTS, FILES, WEIGHTS, Checkpoint, CheckpointError
from puffer_numba.runs.evaluation import Evaluation, evaluate

CARD = "README.md"
LIBRARIES = ("torch", "numpy", "numba", "gymnasium")


class HubError(APIUsageError):
    """The Hub cannot be reached, has no such checkpoint, or does not let one do that."""


def push_to_hub(
    checkpoint: str | Path,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = False,
    episodes: int = 100,
    deterministic: bool = False,
    seed: int = 0,
    endpoint: str | None = None,
    policy: str | None = None,
) -> str:
    """Measure a checkpoint's policy, and upload it with a model card that tells the score.

    The repository is made if there is none; files of an earlier checkpoint in it are replaced, and remain in its
    history.

    Args:
        checkpoint: folder of a checkpoint, or of a run, which stands for the newest in it.
        repo_id: ``me/cartpole``; without ``me/``, one of the token's owner.
        token: one that may write; by default that of ``HF_TOKEN`` or of ``hf auth login``.
        private: whether a repository that is made now is to be private; else it is as the owner's settings have it.
        episodes: fresh ones, from which the score is measured.
        deterministic: measure greedy actions instead of sampled ones.
        seed: of environments and actions while measuring.
        endpoint: address of the server; by default ``HF_ENDPOINT``, or https://huggingface.co.
        policy: as for `puffer_numba.runs.evaluation.evaluate`.

    Returns:
        The address of the commit.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        HubError: there is no token, the server does not accept it, or cannot be reached, all of which is found before
            the policy is measured; or the server refuses the files.
        CheckpointError: the checkpoint is missing or damaged.
    """
    api = _api(token, endpoint)
    saved = checkpoints.load(checkpoints.newest_of_run(Path(checkpoint)))
    with _plain_errors(repo_id, api.endpoint):
        _check_name(repo_id)
        if (token or _stored_token()) is None:
            raise HubError("pushing needs a token that may write: hf auth login, the variable HF_TOKEN, or token=.")
        api.whoami()
    options: dict[str, Any] = {"episodes": episodes, "deterministic": deterministic, "seed": seed, "policy": policy}
    result = evaluate(saved.config.env_name, saved.path, **options)
    with _plain_errors(repo_id, api.endpoint):
        full_id = api.create_repo(repo_id, private=private or None, exist_ok=True).repo_id
        card = model_card(saved, result, full_id, deterministic)
        return _commit(api, full_id, saved, card)


def pull_from_hub(
    repo_id: str,
    folder: str | Path | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download a checkpoint. Its folder appears whole or not at all.

    Args:
        repo_id: ``me/cartpole``.
        folder: where to put the checkpoint; by default a folder of the repository's name, here. It must not exist.
        revision: a branch, tag or commit; by default the newest of the main branch.
        token: for a private repository; by default that of ``HF_TOKEN`` or of ``hf auth login``, if there is one.
        endpoint: address of the server; by default ``HF_ENDPOINT``, or https://huggingface.co.

    Returns:
        The folder, for ``puffer eval NAME --checkpoint`` and `puffer_numba.runs.checkpoint.load`.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        HubError: there is no such repository or revision, it holds no checkpoint or a damaged one, or the server cannot
            be reached.
        APIUsageError: the folder exists.
    """
    api = _api(token, endpoint)
    folder = Path(folder if folder is not None else repo_id.rpartition("/")[2])
    with _plain_errors(repo_id, api.endpoint):
        _check_name(repo_id)
    if folder.exists():
        raise APIUsageError(f"{folder} exists; remove it, or pull into another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        downloaded, whole = Path(temporary) / "downloaded", Path(temporary) / "whole"
        with _plain_errors(repo_id, api.endpoint):
            _download(api, repo_id, revision, downloaded)
        whole.mkdir()
        for name in (*FILES, DIGESTS):
            os.rename(downloaded / name, whole / name)
        try:
            checkpoints.load(whole)
        except CheckpointError as error:
            raise HubError(str(error).replace(str(whole), repo_id)) from error
        os.rename(whole, folder)
    return folder


def _api(token: str | None, endpoint: str | None) -> Any:
    hub = require("huggingface_hub", "hub", "the Hugging Face Hub")
    return hub.HfApi(
        endpoint=endpoint, token=token, library_name="puffer_numba", library_version=version("puffer_numba")
    )


def _check_name(repo_id: str) -> None:
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    validate_repo_id(repo_id)


def _stored_token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _commit(api: Any, repo_id: str, saved: Checkpoint, card: str) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(CARD, card.encode())]
    operations += [CommitOperationAdd(name, saved.path / name) for name in (*FILES, DIGESTS)]
    message = f"Checkpoint at step {saved.data['global_step']}"
    return str(api.create_commit(repo_id, operations, commit_message=message).commit_url)


def _download(api: Any, repo_id: str, revision: str | None, folder: Path) -> None:
    """The files of a checkpoint, of one commit, past the cache: what is damaged there would stay so."""
    from huggingface_hub.errors import EntryNotFoundError

    commit = api.model_info(repo_id, revision=revision).sha
    for name in (*FILES, DIGESTS):
        try:
            api.hf_hub_download(repo_id, name, revision=commit, local_dir=folder, force_download=True)
        except EntryNotFoundError as error:
            if isinstance(error, FileNotFoundError):  # the server was not reached
                raise
            raise HubError(f"{repo_id} holds no checkpoint: it has no {name}.") from error


@contextlib.contextmanager
def _plain_errors(repo_id: str, endpoint: str) -> Iterator[None]:
    """What the client raises, as one line each."""
    from huggingface_hub import errors

    try:
        yield
    except HubError:
        raise
    except errors.HFValidationError as error:
        raise HubError(f"no repository can be called {repo_id!r}; expected a name such as me/cartpole.") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{endpoint} has no repository {repo_id}; or it is private, and needs a token that may see it."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repo_id} has no such revision.") from error
    except errors.HfHubHTTPError as error:
        message = _first_line(error.server_message or error)
        raise HubError(f"{endpoint} answered {error.response.status_code}: {message}") from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError(_first_line(error)) from error
    except (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:  # type: ignore[attr-defined]
        raise HubError(f"cannot reach {endpoint}: {_first_line(error)}") from error
    except (RuntimeError, ValueError) as error:  # around what went wrong with one file
        raise HubError(" ".join(_first_line(e) for e in (error, error.__cause__) if e)) from error


def _first_line(text: object) -> str:
    return next((line for line in str(text).splitlines() if line.strip()), type(text).__name__)


# ---------------------------------------------------------------------- model card


def model_card(saved: Checkpoint, result: Evaluation, repo_id: str, deterministic: bool) -> str:
    """The README of a repository: a header that the Hub reads, the score, how to load it, and the configuration."""
    config, summary = saved.config, result.summary()
    score, length = ("{mean:.2f} ± {std:.2f}".format(**summary[name]) for name in ("return", "length"))
    versions = {"puffer_numba": version("puffer_numba"), "Python": platform.python_version()}
    versions |= {name: version(name) for name in LIBRARIES}
    return CARD_TEXT.format(
        header=_header(config.env_name, score, repo_id),
        repo_id=repo_id,
        folder=repo_id.rpartition("/")[2],
        env_name=config.env_name,
        params=f" with {json.dumps(config.env.params)}" if config.env.params else "",
        score=score,
        length=length,
        episodes=len(result.returns),
        actions="greedy actions" if deterministic else "actions sampled from the policy",
        steps=saved.data["global_step"],
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
        weights=WEIGHTS,
        config=json.dumps(saved.data["config"], indent=2),
    )


def _header(env_name: str, score: str, repo_id: str) -> str:
    """Metadata for the Hub, as YAML: https://huggingface.co/docs/hub/model-cards."""
    from huggingface_hub import EvalResult, ModelCardData

    task = "reinforcement-learning"
    result = EvalResult(
        task_type=task,
        task_name=task,
        dataset_type=env_name,
        dataset_name=env_name,
        metric_type="mean_reward",
        metric_name="mean_reward",
        metric_value=score.replace("±", "+/-"),
    )
    data = ModelCardData(
        library_name="puffer_numba",
        pipeline_tag=task,
        tags=["puffer_numba", "ppo", "deep-reinforcement-learning", task, env_name],
        model_name=repo_id.rpartition("/")[2],
        eval_results=[result],
    )
    return str(data.to_yaml())


CARD_TEXT = """\
---
{header}
---

# {repo_id}

A policy for the environment `{env_name}`{params}, trained with PPO by puffer_numba.

| | |
| --- | --- |
| return | {score} |
| steps of an episode | {length} |
| measured | mean ± standard deviation over {episodes} episodes, {actions} |
| trained for | {steps:,} steps |
| versions | {versions} |

## Use it

```bash
pip install "puffer_numba[hub]"
puffer pull {repo_id} --folder {folder}
puffer eval {env_name} --checkpoint {folder}
puffer export {env_name} --checkpoint {folder} --output policy.pt
```

`{weights}` is the state dict of the network, which `safetensors.torch.load_file` reads without puffer_numba.
`sha256sum --check SHA256SUMS` tells whether the files are whole.

## Configuration

```json
{config}
```
"""
