"""The learning code alone, beside CleanRL's, on the same rollout: a million samples, networks of 64 x 64, 4 epochs.

::

    python bench/learner.py

Both learn from what one policy saw in 4096 CartPoles for 256 steps: advantages, then 4 epochs of 32 minibatches, with
the same network (one for the policy, one for the value; tanh), loss, clipping and Adam. They take turns; figures are
medians. CleanRL's lines are those of its ``ppo.py`` (MIT), from "bootstrap value if not done" to "optimizer.step()".
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

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


class Agent(nn.Module):
    """CleanRL's, around the networks of a policy of ours."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.actor, self.critic = policy.actor, policy.critic

    def get_value(self, x: torch.Tensor) -> torch.Tensor:
        return self.critic(x)

    def get_action_and_value(self, x: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, ...]:
        probs = torch.distributions.Categorical(logits=self.actor(x))
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


def cleanrl_update(agent: Agent, optimizer: torch.optim.Optimizer, trainer: PuffeRL) -> None:
    """One update of CleanRL's ``ppo.py``, on the tensors of ``trainer``'s rollout."""
    rollout, config = trainer.rollout, trainer.config.train
    obs, actions = torch.from_numpy(rollout.observations[:-1]), torch.from_numpy(rollout.actions)
    logprobs, rewards = torch.from_numpy(rollout.log_probs), torch.from_numpy(rollout.rewards)
    values, ended = torch.from_numpy(rollout.values[:-1]), rollout.terminals | rollout.truncations
    dones = torch.zeros_like(rewards)
    dones[1:] = torch.from_numpy(ended[:-1]).float()
    next_done, next_obs = torch.from_numpy(ended[-1]).float(), torch.from_numpy(rollout.observations[-1])
    num_steps, batch_size = len(rewards), rewards.numel()
    minibatch_size = batch_size // config.num_minibatches

    with torch.no_grad():
        next_value = agent.get_value(next_obs).reshape(1, -1)
        advantages = torch.zeros_like(rewards)
        lastgaelam = 0
        for t in reversed(range(num_steps)):
            if t == num_steps - 1:
                nextnonterminal = 1.0 - next_done
                nextvalues = next_value
            else:
                nextnonterminal = 1.0 - dones[t + 1]
                nextvalues = values[t + 1]
            delta = rewards[t] + config.gamma * nextvalues * nextnonterminal - values[t]
            advantages[t] = lastgaelam = delta + config.gamma * config.gae_lambda * nextnonterminal * lastgaelam
        returns = advantages + values

    b_obs = obs.reshape((-1, *obs.shape[2:]))
    b_logprobs, b_actions = logprobs.reshape(-1), actions.reshape(-1)
    b_advantages, b_returns, b_values = advantages.reshape(-1), returns.reshape(-1), values.reshape(-1)
    b_inds = np.arange(batch_size)
    clipfracs = []
    for _epoch in range(config.update_epochs):
        np.random.shuffle(b_inds)  # noqa: NPY002
        for start in range(0, batch_size, minibatch_size):
            mb_inds = b_inds[start : start + minibatch_size]
            _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb_inds], b_actions.long()[mb_inds])
            logratio = newlogprob - b_logprobs[mb_inds]
            ratio = logratio.exp()
            with torch.no_grad():
                ((ratio - 1) - logratio).mean()
                clipfracs += [((ratio - 1.0).abs() > config.clip_coef).float().mean().item()]
            mb_advantages = b_advantages[mb_inds]
            mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
            pg_loss1 = -mb_advantages * ratio
            pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - config.clip_coef, 1 + config.clip_coef)
            pg_loss = torch.max(pg_loss1, pg_loss2).mean()
            newvalue = newvalue.view(-1)
            v_loss_unclipped = (newvalue - b_returns[mb_inds]) ** 2
            v_clipped = b_values[mb_inds] + torch.clamp(
                newvalue - b_values[mb_inds], -config.vf_clip_coef, config.vf_clip_coef
            )
            v_loss_clipped = (v_clipped - b_returns[mb_inds]) ** 2
            v_loss = 0.5 * torch.max(v_loss_unclipped, v_loss_clipped).mean()
            loss = pg_loss - config.ent_coef * entropy.mean() + v_loss * config.vf_coef
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), config.max_grad_norm)
            optimizer.step()


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
    agent = Agent(copy.deepcopy(trainer.policy))
    optimizer = torch.optim.Adam(agent.parameters(), lr=config.train.learning_rate, eps=1e-5)
    rewards = trainer.rollout.rewards.copy()

    def ours() -> None:
        trainer.rollout.rewards[:] = rewards
        trainer.train()

    contestants = {"puffer_numba": ours, "CleanRL": lambda: cleanrl_update(agent, optimizer, trainer)}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds + 1):
        for name, update in contestants.items():
            begin = time.perf_counter()
            update()
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
