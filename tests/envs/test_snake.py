"""Snake against its rules: snakes are lists of cells, and draw from the same random stream as the environment's."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest

from puffer_numba.emulation import make_parallel_env
from puffer_numba.envs.snake import DOWN, LEFT, RIGHT, UP, Snake
from puffer_numba.jit.compiler.tuples import Stream
from puffer_numba.jit.random import integer, stream_starts

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PettingZoo 1.27's tests import its own deprecated names
    from pettingzoo.test import parallel_api_test

MOVES = {UP: (-1, 0), DOWN: (1, 0), LEFT: (0, -1), RIGHT: (0, 1)}


class Game:
    """One board. ``things`` has food ("f") and corpses ("c"); snakes are lists of cells, the head last."""

    def __init__(self, stream: np.ndarray, snakes: int, size: int, food: int, corpses: bool, respawn: bool) -> None:
        self.rng = Stream(stream, 0)
        self.size, self.corpses, self.respawn = size, corpses, respawn
        self.things: dict[tuple[int, int], str] = {}
        self.snakes: list[list[tuple[int, int]]] = []
        self.events: Counter[str] = Counter()
        for _ in range(snakes):
            self.snakes.append(self.appear())
        for _ in range(food):
            self.add_food()

    def free_cell(self) -> list[tuple[int, int]]:
        """One that holds a corpse at most; none if 64 tries find none."""
        for _ in range(64):
            cell = int(integer(self.rng, self.size)), int(integer(self.rng, self.size))
            if self.things.get(cell) != "f" and all(cell not in snake for snake in self.snakes):
                return [cell]
        self.events["no room"] += 1
        return []

    def add_food(self) -> None:
        for cell in self.free_cell():
            self.things[cell] = "f"

    def appear(self) -> list[tuple[int, int]]:
        """A new snake, if there is room."""
        snake = self.free_cell()
        for cell in snake:
            self.things.pop(cell, None)
        return snake

    def step(self, actions: np.ndarray) -> tuple[list[float], list[bool], list[bool]]:
        """Rewards, who died, and who acts next."""
        rewards, died = [0.0] * len(self.snakes), [False] * len(self.snakes)
        for a, (snake, action) in enumerate(zip(self.snakes, actions.tolist(), strict=True)):
            if not snake:
                if self.respawn:
                    snake += self.appear()
                    self.events["respawn"] += 1
                continue
            (row, column), (down, right) = snake[-1], MOVES[action]
            to = row + down, column + right
            if len(snake) > 1 and to == snake[-2]:
                to = row - down, column - right
                self.events["neck"] += 1
            obstacle = next((k for k, other in enumerate(self.snakes) if to in other), None)
            outside = not (0 <= to[0] < self.size and 0 <= to[1] < self.size)
            if outside or obstacle is not None:
                self.events["wall" if outside else "itself" if obstacle == a else "another"] += 1
                if self.corpses:
                    self.things |= dict.fromkeys(snake[1::2], "c")
                snake.clear()
                rewards[a], died[a] = -1.0, True
                continue
            snake.append(to)
            thing = self.things.pop(to, None)
            if thing is None:
                snake.pop(0)
                continue
            rewards[a] = 0.1 if thing == "f" else 0.25
            self.events[thing] += 1
            if thing == "f":
                self.add_food()
        return rewards, died, [bool(snake) for snake in self.snakes]

    def observation(self, a: int, vision: int) -> np.ndarray:
        seen = np.full((2 * vision + 1, 2 * vision + 1), -3)
        if not self.snakes[a]:
            return seen
        head = self.snakes[a][-1]
        taken = {cell: -1 if k == a else -2 for k, snake in enumerate(self.snakes) for cell in snake}
        values = {cell: 2 if thing == "f" else 1 for cell, thing in self.things.items()} | taken
        for r, c in np.ndindex(seen.shape):
            cell = head[0] + r - vision, head[1] + c - vision
            if min(cell) >= 0 and max(cell) < self.size:
                seen[r, c] = values.get(cell, 0)
        return seen


def hungry(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """To a neighbouring cell that is best, with some mistakes."""
    v = observations.shape[1] // 2
    beside = observations[:, [v - 1, v + 1, v, v], [v, v, v - 1, v + 1]] + rng.random((len(observations), 4))
    return np.where(
        rng.random(len(observations)) < 0.05, rng.integers(4, size=len(observations)), beside.argmax(axis=1)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"snakes": 6, "size": 9, "food": 12, "vision": 2},
        {"snakes": 3, "size": 6, "food": 6, "vision": 4, "leave_corpse": False},
        {"snakes": 5, "size": 8, "food": 10, "vision": 3, "respawn": False},
    ],
)
def test_every_step(params):
    n, snakes, vision = 8, params["snakes"], params["vision"]
    corpses, respawn = params.get("leave_corpse", True), params.get("respawn", True)
    env = Snake(n, reward_corpse=0.25, autoreset="disabled", **params)
    rng = np.random.default_rng(0)
    events: Counter[str] = Counter()

    def make_game(i: int) -> Game:
        return Game(streams[i : i + 1].copy(), snakes, params["size"], params["food"], corpses, respawn)

    with np.errstate(over="ignore"):
        env.reset(seed=4)
        streams = stream_starts(4, 0, n)
        games = [make_game(i) for i in range(n)]
        longest = 0
        for _ in range(500):
            expected = [game.observation(a, vision) for game in games for a in range(snakes)]
            np.testing.assert_array_equal(env.observations, expected)
            actions = hungry(env.observations, rng)
            _, rewards, terminals, _, _ = env.step(actions)
            for i, game in enumerate(games):
                rows = slice(i * snakes, (i + 1) * snakes)
                expected_rewards, died, acting = game.step(actions[rows])
                np.testing.assert_allclose(rewards[rows], expected_rewards, rtol=1e-6)
                np.testing.assert_array_equal(terminals[rows], died)
                np.testing.assert_array_equal(env.masks[rows], acting)
                np.testing.assert_array_equal(env.state.length[i], [len(snake) for snake in game.snakes])
                longest = max(longest, *map(len, game.snakes))
            ended = env._episodes.ended.copy()
            if ended.any():
                streams = env.get_state()["streams"]
                env.reset(mask=ended)
                for i in np.flatnonzero(ended):
                    events += games[i].events
                    games[i] = make_game(i)
    for game in games:
        events += game.events
    kinds = {"f", "neck", "wall", "itself", "another"} | ({"c"} if corpses else set())
    assert kinds <= set(events)
    assert ("c" in events, "respawn" in events) == (corpses, respawn)
    assert longest > 8


def test_as_many_snakes_as_can_be():
    """The last one's number still fits into a cell."""
    env = Snake(jit=False, snakes=125, vision=1)
    observations, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(10):
        assert (observations[env.masks, 1, 1] == -1).all()
        assert (observations[~env.masks] == -3).all()
        observations = env.step(env.action_space.sample())[0]
    assert env.state.head[0, -1] >= 0
    assert (env.state.board == -128).any()


def test_returns_and_metrics():
    env = Snake(4, snakes=3, size=8, food=10, max_episode_steps=50)
    observations = env.reset(seed=0)[0]
    rng = np.random.default_rng(0)
    total, eaten = 0.0, 0
    for step in range(1, 51):
        observations, rewards, _, truncations, _ = env.step(hungry(observations, rng))
        total += rewards.sum()
        eaten += (rewards > 0).sum()
        assert truncations.any() == (step == 50)
    log = env.log()
    assert log["episodes"] == 4
    assert log["episode_return"] == pytest.approx(total / 12, rel=1e-5)
    assert log["eaten"] == pytest.approx(eaten / 12, rel=1e-5)


@pytest.mark.parametrize("params", [{}, {"respawn": False}, {"snakes": 1, "size": 5, "food": 2, "respawn": False}])
def test_pettingzoo(params):
    parallel_api_test(make_parallel_env("snake", **params), num_cycles=60)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"snakes": 0}, "snakes is 0; expected 1 to 125"),
        ({"snakes": 126}, "snakes is 126; expected 1 to 125"),
        ({"vision": 0}, "vision is 0; expected 1 to 100"),
        ({"size": 1}, "size is 1; expected 2 to 1000"),
        ({"size": 8, "food": 20}, "food is 20; expected 0 to 16"),
        ({"food": -1}, "food is -1; expected 0 to 496"),
    ],
)
def test_bad_params(params, message):
    with pytest.raises(ValueError, match=f"Snake: parameter {message}"):
        Snake(jit=False, **params)


def test_image():
    env = Snake(jit=False, snakes=4, size=12, food=6)
    env.reset(seed=0)
    image = env.render()
    assert (image.shape, image.dtype) == ((488, 488, 3), np.uint8)
    env.step([UP, DOWN, LEFT, RIGHT])
    assert (env.render() != image).any()
