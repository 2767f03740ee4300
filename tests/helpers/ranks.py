"""Short training runs, in one process or in several; a program for torchrun, used by test_distributed.py.

Several things one after the other, because ranks take seconds to start.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import safetensors.torch

from puffer_numba.cli import main
from puffer_numba.pufferl import PuffeRL, make_trainer

BASE = {
    "env.num_envs": 16,
    "train.horizon": 16,
    "train.num_minibatches": 1,  # so that the order of rows, which differs, is of no consequence
    "train.total_timesteps": 16 * 16 * 5,
    "train.anneal_lr": True,
    "train.learning_rate": 1e-3,
    "policy.hidden_size": 16,
}
NORMALIZED = {"train.normalize_observations": True, "train.normalize_returns": True}
CASES = {
    "discrete": ("cartpole", NORMALIZED),
    "continuous": ("pendulum", {**NORMALIZED, "policy.shared": False, "train.target_kl": 0.1}),
    "recurrent": ("memory", {"policy.lstm": True}),
    "masked": ("tic_tac_toe", {"train.clip_vloss": True, "train.max_grad_norm": 0.1, "train.self_play": False}),
    "gymnasium": ("gym:CartPole-v1", {"vec.num_workers": 1}),
    "vtrace": ("squared", {"train.advantage": "vtrace"}),
}
MANY = {"train.num_minibatches": 4, "env.num_envs": 64, "train.total_timesteps": 40_000, "train.learning_rate": 1e-2}


def trained(name: str, overrides: dict) -> PuffeRL:
    """The trainer at the end of a run."""
    trainer = make_trainer(name, {**BASE, **overrides})
    trainer.dashboard = None
    trainer.learn()
    trainer.vecenv.close()
    return trainer


def train_cases(folder: Path) -> None:
    """Write what each rank has learned in each case to ``folder``."""
    for case, (name, overrides) in CASES.items():
        trainer = trained(name, overrides)
        arrays = {f"weights.{key}": tensor.contiguous() for key, tensor in trainer.policy.state_dict().items()}
        for what in (trainer.normalizer, trainer.return_scale):
            for key, tensor in (what.state_dict() if what is not None else {}).items():
                arrays[f"{type(what).__name__}.{len(tensor.shape)}.{key}"] = tensor
        metadata = {"steps": str(trainer.global_step), "episodes": str(trainer.statistics.episodes)}
        safetensors.torch.save_file(arrays, folder / f"{case}.{trainer.world.rank}.safetensors", metadata)
    learned = trained("bandit", MANY)
    (folder / f"return.{learned.world.rank}").write_text(str(learned.statistics.mean_return))


def refused(arguments: list[str], log: Path) -> None:
    """Call ``puffer`` with what it refuses; its messages go to ``log``, those of all ranks."""
    with log.open("a") as file, contextlib.redirect_stderr(file):
        assert main(arguments) == 2


if __name__ == "__main__":
    here = Path(sys.argv[1])
    refused(["train", "cartpole", "--env.num-envs", "5"], here / "refused.txt")
    train_cases(here)
    main(sys.argv[2:])  # which ends the process
