"""``puffer push``: upload a checkpoint to the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from puffer_numba.cli.arguments import parse, require_trainer, take_name, wants_help
from puffer_numba.config import TrainConfig


@dataclass
class Push:
    """Measure a trained policy, and upload its checkpoint to the Hugging Face Hub with a model card.

    The token is that of `hf auth login` or of the variable HF_TOKEN; HF_ENDPOINT names another server.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the environment."""
    repo_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="REPO_ID")]
    """The repository, such as me/cartpole; it is made if there is none."""
    checkpoint: str = "latest"
    """A checkpoint's or run's folder, "latest": the newest of this environment, or "best": of that run's."""
    policy: str | None = None
    """A policy of your own, such as my_module:MyPolicy; by default, of runs in data_dir, that which was trained."""
    episodes: int = 100
    """Episodes to measure the score on."""
    deterministic: bool = False
    """Measure greedy actions instead of sampled ones."""
    seed: int = 0
    """Of environments and actions while measuring."""
    private: bool = False
    """Make the repository a private one."""
    data_dir: str = TrainConfig.data_dir
    """Where "latest" looks for checkpoints."""


def run(args: list[str]) -> int:
    if not wants_help(args):
        take_name("push", args)
    options = parse(Push, "puffer push", args)
    require_trainer()
    from puffer_numba.runs import checkpoint
    from puffer_numba.share.hub import push_to_hub

    saved = checkpoint.load_of(options.name, options.checkpoint, options.data_dir, options.policy)
    commit = push_to_hub(
        saved.path,
        options.repo_id,
        private=options.private,
        episodes=options.episodes,
        deterministic=options.deterministic,
        seed=options.seed,
        policy=saved.config.policy.name,
    )
    print(f"pushed {saved.path}: {commit}")
    return 0
