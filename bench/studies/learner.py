"""The learning code alone, beside CleanRL's, on the same rollout: a million samples, networks of 64 x 64, 4 epochs.

::

    python -m bench.studies.learner

Both learn from what one policy saw in 4096 CartPoles for 256 steps: advantages, then 4 epochs of 32 minibatches, with
the same network (one for the policy, one for the value; tanh), loss, clipping and Adam. They take turns; figures are
medians. CleanRL's lines are in ``cleanrl_ppo.py``.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import torch

from bench import timer
from bench.studies.cleanrl_ppo import Agent, Args, update
from bench.timer import Contestant
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

SETTINGS = {
    "env.num_envs": 4096,
    "train.horizon": 256,
    "train.update_epochs": 4,
    "train.num_minibatches": 32,
    "train.learning_rate": 2.5e-4,
    "train.gamma": 0.99,
    "train.gae_lambda": 0.95,
    "train.clip_vloss": True,
    "train.vf_clip_coef": 0.2,
    "train.ent_coef": 0.01,
    "train.vf_coef": 0.5,
    "train.max_grad_norm": 0.5,
    "train.normalize_returns": False,
    "train.normalize_observations": False,
    "train.anneal_lr": False,
    "train.target_kl": None,
    "train.target_return": None,
    "train.total_timesteps": 10**9,
    "policy.hidden_size": 64,
    "policy.num_layers": 2,
    "policy.shared": False,
    "policy.activation": "tanh",
}


def cleanrl_update(agent: Agent, optimizer: torch.optim.Optimizer, trainer: PuffeRL) -> None:
    """One update of CleanRL's, on the tensors of ``trainer``'s rollout."""
    rollout, config = trainer.rollout, trainer.config.train
    ended = rollout.terminals | rollout.truncations
    dones = torch.zeros(ended.shape)
    dones[1:] = torch.from_numpy(ended[:-1]).float()
    arrays = (rollout.observations[:-1], rollout.actions, rollout.log_probs, rollout.rewards)
    args = Args(
        num_minibatches=config.num_minibatches,
        update_epochs=config.update_epochs,
        clip_vloss=config.clip_vloss,
        ent_coef=config.ent_coef,
    )
    update(
        agent,
        optimizer,
        args,
        *(torch.from_numpy(array) for array in arrays),
        dones,
        torch.from_numpy(rollout.values[:-1]),
        torch.from_numpy(rollout.observations[-1]),
        torch.from_numpy(ended[-1]).float(),
    )


def make_learners(num_envs: int, torch_threads: int) -> tuple[PuffeRL, dict[str, Contestant]]:
    """A trainer with a rollout, and both learning codes on it: a call is one update, its steps are the samples."""
    config = load_config("cartpole", {**SETTINGS, "env.num_envs": num_envs, "train.torch_threads": torch_threads})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    config.log.interval = float("inf")
    trainer.evaluate()
    networks = copy.deepcopy(trainer.policy)
    agent = Agent(networks.actor, networks.critic)
    optimizer = torch.optim.Adam(agent.parameters(), lr=config.train.learning_rate, eps=1e-5)
    rewards = trainer.rollout.rewards.copy()

    def ours() -> None:
        trainer.rollout.rewards[:] = rewards
        trainer.train()

    samples = trainer.rollout.rewards.size
    theirs = Contestant(lambda: cleanrl_update(agent, optimizer, trainer), samples)
    return trainer, {"puffer_numba": Contestant(ours, samples), "CleanRL": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    args = parser.parse_args()

    trainer, contestants = make_learners(args.num_envs, args.torch_threads)
    speeds = timer.take_turns(contestants, args.rounds, seconds=0)
    samples = contestants["CleanRL"].steps
    seconds = {name: samples / speed.median for name, speed in speeds.items()}
    for name, taken in seconds.items():
        print(f"{name}: {taken:.2f} s for {samples:,} samples x {trainer.config.train.update_epochs} epochs")
    print(f"ratio: {speeds['CleanRL'].ratio:.2f}")
    memory = trainer.rollout.nbytes / samples
    print(f"rollout storage: {trainer.rollout.nbytes / 2**20:.1f} MiB, {memory:.1f} bytes a sample")
    if args.json:
        args.json.write_text(json.dumps({**seconds, "samples": samples, "bytes_per_sample": memory}, indent=1))


if __name__ == "__main__":
    main()
