"""The learning code alone, beside CleanRL's, on the same rollout: a million samples, networks of 64 x 64, 4 epochs.

::

    python bench/learner.py

Both learn from what one policy saw in 4096 CartPoles for 256 steps: advantages, then 4 epochs of 32 minibatches, with
the same network (one for the policy, one for the value; tanh), loss, clipping and Adam. They take turns; figures are
medians. CleanRL's lines are in ``cleanrl_ppo.py``.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import torch
from cleanrl_ppo import Agent, Args, update

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    args = parser.parse_args()

    config = load_config("cartpole", {**SETTINGS, "env.num_envs": args.num_envs})
    config.train.torch_threads = args.torch_threads
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

    contestants = {"puffer_numba": ours, "CleanRL": lambda: cleanrl_update(agent, optimizer, trainer)}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds + 1):
        for name, learn in contestants.items():
            begin = time.perf_counter()
            learn()
            seconds[name].append(time.perf_counter() - begin)
    samples = trainer.rollout.rewards.size
    medians = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}  # the first compiles
    for name, taken in medians.items():
        print(f"{name}: {taken:.2f} s for {samples:,} samples x {config.train.update_epochs} epochs")
    print(f"ratio: {medians['CleanRL'] / medians['puffer_numba']:.2f}")
    memory = trainer.rollout.nbytes / samples
    print(f"rollout storage: {trainer.rollout.nbytes / 2**20:.1f} MiB, {memory:.1f} bytes a sample")
    if args.json:
        args.json.write_text(json.dumps({**medians, "samples": samples, "bytes_per_sample": memory}, indent=1))


if __name__ == "__main__":
    main()
