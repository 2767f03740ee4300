"""MinAtar's games beside the reference, which draws its random numbers from the very streams of ours.

So nothing is left to chance: each transition must be the same in every field of the state, in observation, reward and
end, and both must have drawn as many numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from puffer_numba.envs._minatar import MinAtar
from puffer_numba.jit.compiler.tuples import Stream
from puffer_numba.jit.random import integer, random, stream_starts

minatar = pytest.importorskip("minatar")

AsReference = Callable[[Any, int], dict[str, Any]]
"""``(our state, i)`` in the reference's terms: names and values of its attributes; a set for a list whose order and
repetitions do not matter."""


class Draws:
    """NumPy's RandomState, as far as the reference uses it, over a stream of our environments."""

    def __init__(self, start: np.uint64) -> None:
        self.stream = np.array([start])
        self._rng: Any = Stream(self.stream, 0)

    def rand(self, count: int | None = None) -> Any:
        with np.errstate(over="ignore"):
            if count is None:
                return float(random(self._rng))
            return np.array([float(random(self._rng)) for _ in range(count)])

    def randint(self, low: int, high: int | None = None, size: int | None = None) -> Any:
        if high is None:
            low, high = 0, low
        with np.errstate(over="ignore"):
            drawn = [low + int(integer(self._rng, high - low)) for _ in range(size or 1)]
        return drawn[0] if size is None else np.array(drawn)


class Reference:
    """The package's game, on a stream of ours."""

    def __init__(self, game: str, start: np.uint64, sticky_action_prob: float, difficulty_ramping: bool) -> None:
        self.env = minatar.Environment(game, sticky_action_prob, difficulty_ramping)
        self.draws = Draws(start)
        self.env.random = self.env.env.random = self.draws
        self.game: Any = self.env.env
        self.reset()

    def reset(self) -> None:
        self.env.reset()
        self.env.last_action = 0  # the package keeps the last action of the episode before


class Seen(NamedTuple):
    """What happened, for tests to see that they met every case: one row for each step."""

    rewards: NDArray[Any]
    terminals: NDArray[Any]
    games: list[dict[str, Any]]
    """Attributes of the reference's game after the step."""


def follow(
    env_class: type[MinAtar],
    game: str,
    as_reference: AsReference,
    play: Callable[[Any, np.random.Generator], int],
    *,
    steps: int = 1000,
    num_envs: int = 12,
    seed: int = 0,
    minimal_actions: bool = False,
    sticky_action_prob: float = 0.1,
    difficulty_ramping: bool = True,
) -> Seen:
    """Play whole episodes with both; ``play(game, rng)`` chooses one of the six actions."""
    settings: Any = {"sticky_action_prob": sticky_action_prob, "difficulty_ramping": difficulty_ramping}
    env = env_class(num_envs, minimal_actions=minimal_actions, **settings)
    observations, _ = env.reset(seed)
    references = [Reference(game, start, **settings) for start in stream_starts(seed, 0, num_envs)]
    rng = np.random.default_rng(seed)
    rewards, terminals, games = [], [], []
    offered = list(env_class.minimal_action_set if minimal_actions else range(6))
    for _ in range(steps):
        chosen = [play(reference.game, rng) for reference in references]
        observations, given, ended, truncations, _ = env.step([offered.index(action) for action in chosen])
        assert not truncations.any()
        for i, reference in enumerate(references):
            reward, terminal = reference.env.act(chosen[i])
            assert (given[i], ended[i]) == (reward, terminal)
            games.append(attributes(reference.game))
            if terminal:
                assert np.array_equal(env.final_observations[i], reference.env.state())
                reference.reset()
            assert np.array_equal(observations[i], reference.env.state())
            assert not (found := differences(as_reference(env.state, i), reference.game)), found
        rewards.append(given.copy())
        terminals.append(ended.copy())
    streams = np.concatenate([reference.draws.stream for reference in references])
    np.testing.assert_array_equal(env.get_state()["streams"], streams)
    return Seen(np.concatenate(rewards), np.concatenate(terminals), games)


def step_from_states(
    env_class: type[MinAtar],
    game: str,
    as_reference: AsReference,
    states: Mapping[str, Any],
    actions: NDArray[Any],
    *,
    sticky_action_prob: float = 0.1,
    difficulty_ramping: bool = True,
) -> Seen:
    """One step of both from each of the states, given by our State's fields."""
    settings: Any = {"sticky_action_prob": sticky_action_prob, "difficulty_ramping": difficulty_ramping}
    env = env_class(len(actions), autoreset="disabled", **settings)
    env.reset(seed=0)
    known = env.get_state()
    given = {f"state.{name}": np.asarray(values, known[f"state.{name}"].dtype) for name, values in states.items()}
    env.set_state(known | given)
    references = []
    for i, start in enumerate(known["streams"]):
        reference = Reference(game, start, **settings)
        reference.draws.stream[0] = start
        reference.env.last_action = int(env.state.last_action[i])
        for name, value in as_reference(env.state, i).items():
            setattr(reference.game, name, [list(element) for element in value] if isinstance(value, set) else value)
        references.append(reference)
    observations, rewards, terminals, _, _ = env.step(actions)
    for i, reference in enumerate(references):
        reward, terminal = reference.env.act(int(actions[i]))
        assert not (found := differences(as_reference(env.state, i), reference.game)), found
        assert np.array_equal(observations[i], reference.env.state())
        assert (rewards[i], terminals[i]) == (reward, terminal)
    streams = np.concatenate([reference.draws.stream for reference in references])
    np.testing.assert_array_equal(env.get_state()["streams"], streams)
    return Seen(rewards.copy(), terminals.copy(), [attributes(reference.game) for reference in references])


def differences(ours: Mapping[str, Any], game: Any) -> dict[str, Any]:
    """By attribute: its value in our terms, and in the reference."""
    differing = {}
    for name, value in ours.items():
        found = _plain(getattr(game, name))
        if isinstance(value, set):
            found = {tuple(element) for element in found}
        if _plain(value) != found:
            differing[name] = (_plain(value), found)
    return differing


def attributes(game: Any) -> dict[str, Any]:
    """Of the reference's game, as plain lists and numbers."""
    return {name: _plain(value) for name, value in vars(game).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value.item() if isinstance(value, np.generic) else value
