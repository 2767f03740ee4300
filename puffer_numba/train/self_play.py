"""Self-play: earlier versions of the policy as opponents, and ratings of them all after Elo (1978).

`SelfPlay` is a wrapper: in some of the games an opponent sits in one of the seats. Its rows are masked out, so that
whoever trains on the wrapped environments neither acts for it nor learns from it, and need not know of it.

Each new opponent plays against the others, and all results together give ratings, by the model of Bradley & Terry
(1952): 400 points are odds of 10 to 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from puffer_numba.config import TrainConfig
from puffer_numba.distributions import ActionDistribution, action_distribution, seed_stream
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.models.actor import Actor
from puffer_numba.train.episodes import policy_player
from puffer_numba.train.matches import play
from puffer_numba.wrappers.base import Wrapper

GAMES = 100  # between two opponents, for the ratings
COPIES = 50
POINTS = 400 / np.log(10)  # Elo's for one unit of log odds

Arrays = dict[str, NDArray[Any]]


@dataclass
class Opponent:
    """An earlier version of the policy."""

    step: int
    """At which it was the policy."""
    policy: nn.Module
    normalizer: nn.Module | None

    def modules(self) -> dict[str, nn.Module]:
        """Those that have weights or statistics."""
        return {"policy": self.policy} | ({} if self.normalizer is None else {"normalizer": self.normalizer})


@dataclass
class Standings:
    """Results of all games, and ratings from them.

    Attributes:
        steps: of each opponent, in order.
        scores: ``scores[a, b]``: games that ``a`` won from ``b``; a draw is half a game.
    """

    steps: list[int] = field(default_factory=list)
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, step: int) -> None:
        """Another opponent, without results."""
        self.steps.append(step)
        self.scores = np.pad(self.scores, (0, 1))

    def record(self, a: int, b: int, returns: NDArray[np.float64]) -> None:
        """Results of games ``(games, 2)`` between two opponents, given by their steps."""
        first, second = self.steps.index(a), self.steps.index(b)
        won = float(np.mean(returns[:, 0] > returns[:, 1]) + 0.5 * np.mean(returns[:, 0] == returns[:, 1]))
        self.scores[first, second] += won * len(returns)
        self.scores[second, first] += (1 - won) * len(returns)

    def ratings(self) -> NDArray[np.float64]:
        """Points of each opponent, the first one's being 0.

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


class SelfPlay(Wrapper):
    """Environments of several agents, in which opponents take some of the seats.

    Every ``train.horizon`` steps another opponent is chosen; every ``train.self_play_interval`` steps, summed over the
    rows that learn, the policy as it is then joins the pool.

    Args:
        env: the environments, which step together.
        policy: that is trained.
        normalizer: of its observations, or None.
        config: settings of the training.
        make_env: makes so many copies of the environment, for the games that give ratings.
        name: of the environment, for messages.
        first_row: of these rows among those of all processes; with seed and step it keys all that is random.

    Attributes:
        opponents: at most ``train.self_play_pool``, the newest last.
        standings: results of the games between them.
        taken: ``(num_agents,)`` bool: which rows an opponent acts for.

    Raises:
        APIUsageError: the environment has one agent; environments do not step together.
    """

    own = frozenset({"masks"})

    def __init__(
        self,
        env: PufferEnv,
        policy: nn.Module,
        normalizer: nn.Module | None,
        config: TrainConfig,
        make_env: Callable[[int], PufferEnv],
        name: str,
        first_row: int = 0,
    ) -> None:
        if env.agents_per_batch != env.num_agents:
            raise APIUsageError("train.self_play needs environments that step together: no vec.batch_size or overlap.")
        self._copies, self._seats = env.num_envs, env.num_agents // env.num_envs
        if self._seats < 2:
            raise APIUsageError(f"train.self_play is on, but {name} has one agent; it takes two or more.")
        self._policy, self._normalizer, self._config, self._make_env = policy, normalizer, config, make_env
        super().__init__(env)
        self.opponents: list[Opponent] = []
        self.standings = Standings()
        self.taken = np.zeros(env.num_agents, np.bool_)
        self._ended = np.zeros((self._copies, self._seats), np.bool_)
        self._counts = np.zeros(2, np.int64)  # steps of each row, and steps summed over the rows that learned
        self._distribution: ActionDistribution = action_distribution(env.single_action_space, policy)
        self._stream = seed_stream(config.seed + 1, row=first_row)
        self._params = torch.zeros(env.num_agents, self._distribution.num_params)
        self._samples = self._distribution.storage(env.num_agents)
        self._actor: Actor | None = None

    def take(self, actions: ArrayLike) -> NDArray[Any]:
        """The actions, with the opponent's in the rows that it has taken."""
        if self._counts[0] % self._config.horizon == 0:
            self._begin_rollout()
        acting = np.flatnonzero(self.taken & self.env.masks)
        self._counts += np.array([1, np.count_nonzero(self.masks)])
        if len(acting) == 0:
            return np.asarray(actions)
        taken = np.array(actions)
        taken[acting] = self._opponents_actions(acting)
        return taken

    @torch.inference_mode()
    def _opponents_actions(self, acting: NDArray[np.intp]) -> NDArray[Any]:
        assert self._actor is not None
        observations, rows = torch.from_numpy(self.env.observations[acting]), torch.from_numpy(acting)
        params, _ = self._actor.act(observations, np.ones(len(acting), np.bool_), rows)
        self._params[rows] = params.cpu()
        self._stream[1] = self._counts[0]
        self._distribution.sample(self._params, self._stream, *self._samples)  # also of rows that do not act: by row
        return self._distribution.to_env(self._samples[0])[acting]

    def _begin_rollout(self) -> None:
        """Add the policy to the pool, where it is time; choose the opponent of the next steps."""
        learned = int(self._counts[1])
        if not self.opponents or learned - self.opponents[-1].step >= self._config.self_play_interval:
            self._add_opponent(learned)
        chosen = self.opponents[self._random().integers(len(self.opponents))]
        self._actor = Actor(chosen.policy, self.num_agents, chosen.normalizer, distribution=self._distribution)

    def _random(self) -> np.random.Generator:
        """Random numbers of the seed, the process and the step alone, so that a checkpoint need not hold them."""
        return np.random.default_rng([self._config.seed, int(self._stream[2]), int(self._counts[0])])

    def _add_opponent(self, step: int) -> None:
        """Keep the policy as it is now; where games are of two, it plays against all others that are kept."""
        newest = Opponent(step, copy.deepcopy(self._policy).eval(), copy.deepcopy(self._normalizer))
        self.standings.add(step)
        if self._seats == 2 and self.opponents:
            self._compare(newest)
        self.opponents = [*self.opponents, newest][-self._config.self_play_pool :]

    def _compare(self, newest: Opponent) -> None:
        with self._make_env(COPIES) as env:
            for opponent in self.opponents:
                players = [
                    policy_player(o.policy, env.single_action_space, normalizer=o.normalizer, seed=seed)
                    for seed, o in enumerate((newest, opponent), newest.step)
                ]
                self.standings.record(newest.step, opponent.step, play(env, players, GAMES, seed=newest.step))

    def update(self, rows: NDArray[np.int64]) -> None:
        """See which games are over, decide who plays the next ones, and mask the opponents' rows."""
        if self.fresh.any():
            self._ended[:] = False
        else:
            self._end_episodes(self.terminals | self.truncations)
        np.logical_and(self.env.masks, ~self.taken, out=self.masks)

    def _end_episodes(self, ends: NDArray[np.bool_]) -> None:
        if self._actor is not None:
            self._actor.reset_state(ends)
        self._ended |= ends.reshape(self._copies, self._seats)
        over = np.flatnonzero(self._ended.all(1))
        if len(over):
            random = self._random()
            seats = self.taken.reshape(self._copies, self._seats)
            seats[over], self._ended[over] = False, False
            joined = over[random.random(len(over)) < self._config.self_play_share]
            seats[joined, random.integers(self._seats, size=len(joined))] = True

    def log(self) -> dict[str, float]:
        """As the wrapped environment's, and the newest opponent's rating, ``elo``."""
        rated = self._seats == 2 and self.opponents
        return self.env.log() | ({"elo": float(self.standings.ratings()[-1])} if rated else {})

    @property
    def saves_state(self) -> bool:  # type: ignore[override]
        """As the wrapped environment's; opponents and ratings are in `get_state` in any case."""
        return self.env.saves_state

    def get_state(self) -> Arrays:
        """The opponents, who plays where, the results, and the state of the wrapped environment where it has one."""
        state: Arrays = {
            "taken": self.taken.copy(),
            "ended": self._ended.copy(),
            "counts": self._counts.copy(),
            "scores": self.standings.scores.copy(),
            "rated_steps": np.array(self.standings.steps, np.int64),
            "opponents": np.array([opponent.step for opponent in self.opponents], np.int64),
        }
        for opponent in self.opponents:
            for kind, module in opponent.modules().items():
                for name, tensor in module.state_dict().items():
                    state[f"{opponent.step}.{kind}.{name}"] = tensor.cpu().numpy().copy()
        inner = {f"env.{name}": array for name, array in self.env.get_state().items()}
        return {f"self_play.{name}": array for name, array in state.items()} | inner

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `get_state` returned."""
        own, inner = _part(state, "self_play."), _part(state, "env.")
        if inner:
            self.env.set_state(inner)
        self.taken[:], self._ended[:], self._counts[:] = own["taken"], own["ended"], own["counts"]
        self.standings = Standings(own["rated_steps"].tolist(), np.array(own["scores"]))
        self.opponents = [self._restored(step, own) for step in own["opponents"].tolist()]
        np.logical_and(self.env.masks, ~self.taken, out=self.masks)

    def _restored(self, step: int, arrays: Mapping[str, NDArray[Any]]) -> Opponent:
        opponent = Opponent(step, copy.deepcopy(self._policy).eval(), copy.deepcopy(self._normalizer))
        for kind, module in opponent.modules().items():
            saved = _part(arrays, f"{step}.{kind}.")
            module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in saved.items()})
        return opponent


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
