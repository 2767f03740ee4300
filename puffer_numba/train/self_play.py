"""Self-play against past selves, and what each of them is worth: ratings after Elo (1978).

With ``train.self_play``, copies of the policy as it was are kept. In some of the games one of them sits in one of the
seats; what it does there teaches nothing, as its rows are masked out. Each new copy plays against the others, and all
results together give ratings, by the model of Bradley & Terry (1952): 400 points are odds of 10 to 1.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.config import Config
from puffer_numba.distributions.actions import ActionDistribution, action_distribution, seed_stream
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.actor import Actor
from puffer_numba.train.matches import play, policy_player
from puffer_numba.train.setup import load_env

GAMES = 100  # between two selves, for the ratings
COPIES = 50
POINTS = 400 / np.log(10)  # Elo's for one unit of log odds


@dataclass
class Member:
    """A past self."""

    step: int
    """At which it was the policy."""
    policy: nn.Module
    normalizer: nn.Module | None


@dataclass
class Standings:
    """Results of all games, and ratings from them.

    Attributes:
        steps: of each self, in order.
        scores: ``scores[a, b]``: games that ``a`` won from ``b``; a draw is half a game.
    """

    steps: list[int] = field(default_factory=list)
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, step: int) -> None:
        """Another self, without results."""
        self.steps.append(step)
        self.scores = np.pad(self.scores, (0, 1))

    def record(self, a: int, b: int, returns: NDArray[np.float64]) -> None:
        """Results of games ``(games, 2)`` between two selves, given by their steps."""
        first, second = self.steps.index(a), self.steps.index(b)
        won = float(np.mean(returns[:, 0] > returns[:, 1]) + 0.5 * np.mean(returns[:, 0] == returns[:, 1]))
        self.scores[first, second] += won * len(returns)
        self.scores[second, first] += (1 - won) * len(returns)

    def ratings(self) -> NDArray[np.float64]:
        """Points of each self, the first one's being 0.

        A drawn game is added to each pair that has played, so that who never lost is not infinitely good. Found by
        the iteration of Hunter (2004).
        """
        played = (self.scores + self.scores.T) > 0
        scores = self.scores + 0.5 * played
        games = scores + scores.T
        strength = np.ones(len(self.steps))
        for _ in range(500):
            pairs = games / (strength[:, None] + strength[None, :])
            strength = scores.sum(1) / np.maximum(pairs.sum(1), 1e-12)
            strength = np.maximum(strength, 1e-12) / np.exp(np.mean(np.log(np.maximum(strength, 1e-12))))
        return POINTS * np.log(strength / strength[0]) if len(strength) else strength


class League:
    """Past selves, who take seats in the trainer's games.

    Args:
        config: of the whole run.
        env: the trainer's environments, of two or more agents that step together.
        device: of the policies.
        policy: that is trained.

    Attributes:
        members: at most ``train.self_play_pool``, the newest last.
        rows: ``(num_agents,)`` bool: which rows a past self acts for.

    Raises:
        APIUsageError: the environment has one agent.
    """

    def __init__(self, config: Config, env: PufferEnv, device: torch.device, policy: nn.Module) -> None:
        self._config, self._settings, self._device = config, config.train, device
        self._copies, self._seats = env.num_envs, env.num_agents // env.num_envs
        if self._seats < 2:
            name = config.env_name or type(env).__name__
            raise APIUsageError(f"train.self_play is on, but {name} has one agent; it takes two or more.")
        self._space = env.single_action_space
        self._distribution: ActionDistribution = action_distribution(self._space, policy)
        self.members: list[Member] = []
        self.standings = Standings()
        self.rows = np.zeros(env.num_agents, np.bool_)
        self.rng = np.random.default_rng(config.train.seed)
        self.stream = seed_stream(config.train.seed + 1)
        dtype = np.float32 if self._distribution.dtype.is_floating_point else np.int64
        self._actions = np.zeros((env.num_agents, *self._distribution.shape), dtype)
        self._log_probs = np.zeros(env.num_agents, np.float32)
        self._ended = np.zeros((self._copies, self._seats), np.bool_)
        self._actor: Actor | None = None

    def is_due(self, step: int) -> bool:
        """Whether it is time for another past self."""
        return not self.members or step - self.members[-1].step >= self._settings.self_play_interval

    def add(self, policy: nn.Module, normalizer: nn.Module | None, step: int) -> None:
        """Keep ``policy`` as it is now; where games are of two, it plays against all others that are kept."""
        member = Member(step, copy.deepcopy(policy).eval(), copy.deepcopy(normalizer))
        self.standings.add(step)
        if self._seats == 2:
            self._compare(member)
        self.members = [*self.members, member][-self._settings.self_play_pool :]

    def _compare(self, newest: Member) -> None:
        with load_env(self._config, COPIES) as env:
            for member in self.members:
                players = [
                    policy_player(m.policy, self._space, normalizer=m.normalizer, seed=seed)
                    for seed, m in enumerate((newest, member), newest.step)
                ]
                self.standings.record(newest.step, member.step, play(env, players, GAMES, seed=newest.step))

    def begin_rollout(self) -> None:
        """Draw the past self that plays in this rollout."""
        member = self.members[self.rng.integers(len(self.members))]
        self._actor = Actor(member.policy, len(self.rows), member.normalizer, self._device)

    @torch.inference_mode()
    def act(self, observations: Tensor, masks: NDArray[np.bool_], actions: NDArray[Any]) -> None:
        """Put the past self's actions into ``actions`` where it plays, and take its rows out of ``masks``."""
        acting = np.flatnonzero(self.rows & masks)
        if len(acting) == 0:
            return
        assert self._actor is not None
        rows, count = torch.from_numpy(acting), len(acting)
        params, _ = self._actor.act(observations[rows], masks[acting], rows)
        self._distribution.sample(params, self.stream, self._actions[:count], self._log_probs[:count])
        actions[acting] = self._distribution.to_env(self._actions[:count])
        masks[acting] = False

    def end_episodes(self, ends: NDArray[np.bool_]) -> None:
        """Draw who plays the games that begin, where all of a game's ``ends (num_agents,)`` have come."""
        if self._actor is not None:
            self._actor.forget(ends)
        self._ended |= ends.reshape(self._copies, self._seats)
        over = np.flatnonzero(self._ended.all(1))
        if len(over):
            rows = self.rows.reshape(self._copies, self._seats)
            rows[over], self._ended[over] = False, False
            taken = over[self.rng.random(len(over)) < self._settings.self_play_share]
            rows[taken, self.rng.integers(self._seats, size=len(taken))] = True

    def summary(self) -> dict[str, float]:
        """The newest self's rating."""
        if self._seats != 2 or not self.members:
            return {}
        return {"elo": float(self.standings.ratings()[-1])}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and plain data, for a checkpoint."""
        arrays: dict[str, NDArray[Any]] = {
            "rows": self.rows,
            "ended": self._ended,
            "stream": self.stream,
            "scores": self.standings.scores,
        }
        for member in self.members:
            for name, tensor in member.policy.state_dict().items():
                arrays[f"{member.step}.policy.{name}"] = tensor.cpu().numpy()
            if member.normalizer is not None:
                for name, tensor in member.normalizer.state_dict().items():
                    arrays[f"{member.step}.normalizer.{name}"] = tensor.cpu().numpy()
        data = {
            "members": [member.step for member in self.members],
            "steps": self.standings.steps,
            "rng": self.rng.bit_generator.state,
        }
        return arrays, data

    def load_state(
        self, arrays: Mapping[str, NDArray[Any]], data: Mapping[str, Any], policy: nn.Module, normalizer: Any
    ) -> None:
        """Go on from what `state` returned; ``policy`` and ``normalizer`` are copied for their structure."""
        self.rows[:], self._ended[:], self.stream[:] = arrays["rows"], arrays["ended"], arrays["stream"]
        self.standings = Standings(list(data["steps"]), np.array(arrays["scores"]))
        self.rng.bit_generator.state = data["rng"]
        self.members = []
        for step in data["members"]:
            member = Member(step, copy.deepcopy(policy).eval(), copy.deepcopy(normalizer))
            for kind, module in (("policy", member.policy), ("normalizer", member.normalizer)):
                prefix = f"{step}.{kind}."
                if module is not None:
                    saved = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
                    module.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in saved.items()})
            self.members.append(member)
