"""``puffer pull``: download a checkpoint from the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from puffer_numba.cli.arguments import parse, require_trainer


@dataclass
class Pull:
    """Download a checkpoint from the Hugging Face Hub.

    The token, which only private repositories need, is that of `hf auth login` or of the variable HF_TOKEN;
    HF_ENDPOINT names another server.
    """

    repo_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="REPO_ID")]
    """The repository, such as me/cartpole."""
    folder: Path | None = None
    """Where to put the checkpoint; by default a new folder of the repository's name, here."""
    revision: str | None = None
    """A branch, tag or commit; by default the newest of the main branch."""


def run(args: list[str]) -> int:
    options = parse(Pull, "puffer pull", args)
    require_trainer()
    from puffer_numba.runs import checkpoint
    from puffer_numba.share.hub import pull_from_hub

    folder = pull_from_hub(options.repo_id, options.folder, revision=options.revision)
    print(f"pulled {folder}; run it with puffer eval {checkpoint.load(folder).config.env_name} --checkpoint {folder}")
    return 0
