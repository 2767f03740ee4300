"""CleanRL's PPO, to compare with: the lines of its ``ppo.py`` and ``ppo_continuous_action.py``, as functions.

Left out are logging, video, and the wrappers that normalize; what is left is as it is there, names included.

Source: https://github.com/vwxyzjn/cleanrl (MIT licence, Copyright (c) 2019 CleanRL developers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal


@dataclass
class Args:
    """CleanRL's arguments of PPO."""

    total_timesteps: int = 500_000
    learning_rate: float = 2.5e-4
    num_envs: int = 4
    num_steps: int = 128
    anneal_lr: bool = True
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 4
    update_epochs: int = 4
    norm_adv: bool = True
    clip_coef: float = 0.2
    clip_vloss: bool = True
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


def layer_init(layer: nn.Linear, std: float = np.sqrt(2), bias_const: float = 0.0) -> nn.Linear:
    torch.nn.init.orthogonal_(layer.weight, std)
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


def network(inputs: int, outputs: int, std: float) -> nn.Sequential:
    return nn.Sequential(
        layer_init(nn.Linear(inputs, 64)),
        nn.Tanh(),
        layer_init(nn.Linear(64, 64)),
        nn.Tanh(),
        layer_init(nn.Linear(64, outputs), std=std),
    )


class Agent(nn.Module):
    """Two networks, given or made for ``envs``."""

    def __init__(self, actor: nn.Module, critic: nn.Module, continuous: int = 0) -> None:
        super().__init__()
        self.actor, self.critic = actor, critic
        self.actor_logstd = nn.Parameter(torch.zeros(1, continuous)) if continuous else None

    @classmethod
    def of(cls, envs: Any) -> Agent:
        inputs = int(np.prod(envs.single_observation_space.shape))
        space = envs.single_action_space
        discrete = isinstance(space, gym.spaces.Discrete)
        outputs = int(space.n) if discrete else int(np.prod(space.shape))
        return cls(network(inputs, outputs, 0.01), network(inputs, 1, 1.0), 0 if discrete else outputs)

    def get_value(self, x: Tensor) -> Tensor:
        return self.critic(x)

    def get_action_and_value(self, x: Tensor, action: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self.actor_logstd is None:
            probs: Any = Categorical(logits=self.actor(x))
            if action is None:
                action = probs.sample()
            return action, probs.log_prob(action), probs.entropy(), self.critic(x)
        action_mean = self.actor(x)
        probs = Normal(action_mean, torch.exp(self.actor_logstd.expand_as(action_mean)))
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action).sum(1), probs.entropy().sum(1), self.critic(x)


def update(
    agent: Agent,
    optimizer: torch.optim.Optimizer,
    args: Args,
    obs: Tensor,
    actions: Tensor,
    logprobs: Tensor,
    rewards: Tensor,
    dones: Tensor,
    values: Tensor,
    next_obs: Tensor,
    next_done: Tensor,
) -> None:
    """One update on a rollout, ``(num_steps, num_envs)``: from "bootstrap value if not done" to the last step."""
    num_steps, batch_size = len(rewards), rewards.numel()
    minibatch_size = batch_size // args.num_minibatches
    with torch.no_grad():
        next_value = agent.get_value(next_obs).reshape(1, -1)
        advantages = torch.zeros_like(rewards)
        lastgaelam: Any = 0
        for t in reversed(range(num_steps)):
            if t == num_steps - 1:
                nextnonterminal = 1.0 - next_done
                nextvalues = next_value
            else:
                nextnonterminal = 1.0 - dones[t + 1]
                nextvalues = values[t + 1]
            delta = rewards[t] + args.gamma * nextvalues * nextnonterminal - values[t]
            advantages[t] = lastgaelam = delta + args.gamma * args.gae_lambda * nextnonterminal * lastgaelam
        returns = advantages + values

    b_obs = obs.reshape((-1, *obs.shape[2:]))
    b_logprobs = logprobs.reshape(-1)
    b_actions = actions.reshape((-1, *actions.shape[2:]))
    b_advantages = advantages.reshape(-1)
    b_returns = returns.reshape(-1)
    b_values = values.reshape(-1)

    b_inds = np.arange(batch_size)
    clipfracs = []
    for _epoch in range(args.update_epochs):
        np.random.shuffle(b_inds)  # noqa: NPY002
        for start in range(0, batch_size, minibatch_size):
            mb_inds = b_inds[start : start + minibatch_size]
            _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb_inds], b_actions[mb_inds])
            logratio = newlogprob - b_logprobs[mb_inds]
            ratio = logratio.exp()
            with torch.no_grad():
                ((ratio - 1) - logratio).mean()
                clipfracs += [((ratio - 1.0).abs() > args.clip_coef).float().mean().item()]
            mb_advantages = b_advantages[mb_inds]
            if args.norm_adv:
                mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
            pg_loss1 = -mb_advantages * ratio
            pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - args.clip_coef, 1 + args.clip_coef)
            pg_loss = torch.max(pg_loss1, pg_loss2).mean()
            newvalue = newvalue.view(-1)
            if args.clip_vloss:
                v_loss_unclipped = (newvalue - b_returns[mb_inds]) ** 2
                v_clipped = b_values[mb_inds] + torch.clamp(
                    newvalue - b_values[mb_inds], -args.clip_coef, args.clip_coef
                )
                v_loss_clipped = (v_clipped - b_returns[mb_inds]) ** 2
                v_loss = 0.5 * torch.max(v_loss_unclipped, v_loss_clipped).mean()
            else:
                v_loss = 0.5 * ((newvalue - b_returns[mb_inds]) ** 2).mean()
            loss = pg_loss - args.ent_coef * entropy.mean() + v_loss * args.vf_coef
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
            optimizer.step()


def train(env_id: str, args: Args, seed: int) -> list[float]:
    """Train on Gymnasium's ``env_id``; the returns of all episodes, in the order in which they ended."""
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)

    def make() -> gym.Env:
        env = gym.wrappers.RecordEpisodeStatistics(gym.make(env_id))
        return gym.wrappers.ClipAction(env) if isinstance(env.action_space, gym.spaces.Box) else env

    same_step = gym.vector.AutoresetMode.SAME_STEP
    envs = gym.vector.SyncVectorEnv([make] * args.num_envs, autoreset_mode=same_step)
    agent = Agent.of(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    shape = (args.num_steps, args.num_envs)
    obs = torch.zeros((*shape, *envs.single_observation_space.shape))
    actions = torch.zeros((*shape, *envs.single_action_space.shape))
    logprobs, rewards, dones, values = (torch.zeros(shape) for _ in range(4))
    next_obs, next_done = torch.Tensor(envs.reset(seed=seed)[0]), torch.zeros(args.num_envs)
    returns: list[float] = []
    num_iterations = args.total_timesteps // (args.num_steps * args.num_envs)
    for iteration in range(1, num_iterations + 1):
        if args.anneal_lr:
            optimizer.param_groups[0]["lr"] = (1.0 - (iteration - 1.0) / num_iterations) * args.learning_rate
        for step in range(args.num_steps):
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprob, _, value = agent.get_action_and_value(next_obs)
                values[step] = value.flatten()
            actions[step], logprobs[step] = action, logprob
            next_np, reward, terminations, truncations, infos = envs.step(action.numpy())
            rewards[step] = torch.tensor(reward).view(-1)
            next_obs, next_done = torch.Tensor(next_np), torch.Tensor(np.logical_or(terminations, truncations))
            if "final_info" in infos:
                episode = infos["final_info"]["episode"]
                returns += episode["r"][infos["_final_info"]].tolist()
        update(agent, optimizer, args, obs, actions, logprobs, rewards, dones, values, next_obs, next_done)
    envs.close()
    return returns
