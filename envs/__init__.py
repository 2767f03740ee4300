"""The suite: one environment in each file. Make them by name: ``puffer_numba.make("cartpole", num_envs=4096)``.

Their classes are here too, and imported when they are first asked for: ``from puffer_numba.envs import CartPole``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from puffer_numba.envs.acrobot import Acrobot as Acrobot
    from puffer_numba.envs.bandit import Bandit as Bandit
    from puffer_numba.envs.blackjack import Blackjack as Blackjack
    from puffer_numba.envs.breakout import Breakout as Breakout
    from puffer_numba.envs.cartpole import CartPole as CartPole
    from puffer_numba.envs.catch import Catch as Catch
    from puffer_numba.envs.cliff_walking import CliffWalking as CliffWalking
    from puffer_numba.envs.connect_four import ConnectFour as ConnectFour
    from puffer_numba.envs.continuous import Continuous as Continuous
    from puffer_numba.envs.deep_sea import DeepSea as DeepSea
    from puffer_numba.envs.flappy import Flappy as Flappy
    from puffer_numba.envs.frozen_lake import FrozenLake as FrozenLake
    from puffer_numba.envs.frozen_lake_8x8 import FrozenLake8x8 as FrozenLake8x8
    from puffer_numba.envs.game_2048 import Game2048 as Game2048
    from puffer_numba.envs.grid_walk import GridWalk as GridWalk
    from puffer_numba.envs.memory import Memory as Memory
    from puffer_numba.envs.minatar_asterix import MinAtarAsterix as MinAtarAsterix
    from puffer_numba.envs.minatar_breakout import MinAtarBreakout as MinAtarBreakout
    from puffer_numba.envs.minatar_freeway import MinAtarFreeway as MinAtarFreeway
    from puffer_numba.envs.minatar_seaquest import MinAtarSeaquest as MinAtarSeaquest
    from puffer_numba.envs.minatar_space_invaders import MinAtarSpaceInvaders as MinAtarSpaceInvaders
    from puffer_numba.envs.minigrid_doorkey import MiniGridDoorKey as MiniGridDoorKey
    from puffer_numba.envs.minigrid_empty import MiniGridEmpty as MiniGridEmpty
    from puffer_numba.envs.mountain_car import MountainCar as MountainCar
    from puffer_numba.envs.mountain_car_continuous import MountainCarContinuous as MountainCarContinuous
    from puffer_numba.envs.multiagent import Multiagent as Multiagent
    from puffer_numba.envs.nchain import NChain as NChain
    from puffer_numba.envs.password import Password as Password
    from puffer_numba.envs.pendulum import Pendulum as Pendulum
    from puffer_numba.envs.pong import Pong as Pong
    from puffer_numba.envs.rware import Rware as Rware
    from puffer_numba.envs.simple_spread import SimpleSpread as SimpleSpread
    from puffer_numba.envs.simple_tag import SimpleTag as SimpleTag
    from puffer_numba.envs.snake import Snake as Snake
    from puffer_numba.envs.squared import Squared as Squared
    from puffer_numba.envs.stochastic import Stochastic as Stochastic
    from puffer_numba.envs.taxi import Taxi as Taxi
    from puffer_numba.envs.tetris import Tetris as Tetris
    from puffer_numba.envs.tic_tac_toe import TicTacToe as TicTacToe
    from puffer_numba.envs.trading import Trading as Trading

_MODULES = {
    "Acrobot": "acrobot",
    "Bandit": "bandit",
    "Blackjack": "blackjack",
    "Breakout": "breakout",
    "CartPole": "cartpole",
    "Catch": "catch",
    "CliffWalking": "cliff_walking",
    "ConnectFour": "connect_four",
    "Continuous": "continuous",
    "DeepSea": "deep_sea",
    "Flappy": "flappy",
    "FrozenLake": "frozen_lake",
    "FrozenLake8x8": "frozen_lake_8x8",
    "Game2048": "game_2048",
    "GridWalk": "grid_walk",
    "Memory": "memory",
    "MinAtarAsterix": "minatar_asterix",
    "MinAtarBreakout": "minatar_breakout",
    "MinAtarFreeway": "minatar_freeway",
    "MinAtarSeaquest": "minatar_seaquest",
    "MinAtarSpaceInvaders": "minatar_space_invaders",
    "MiniGridDoorKey": "minigrid_doorkey",
    "MiniGridEmpty": "minigrid_empty",
    "MountainCar": "mountain_car",
    "MountainCarContinuous": "mountain_car_continuous",
    "Multiagent": "multiagent",
    "NChain": "nchain",
    "Password": "password",
    "Pendulum": "pendulum",
    "Pong": "pong",
    "Rware": "rware",
    "SimpleSpread": "simple_spread",
    "SimpleTag": "simple_tag",
    "Snake": "snake",
    "Squared": "squared",
    "Stochastic": "stochastic",
    "Taxi": "taxi",
    "Tetris": "tetris",
    "TicTacToe": "tic_tac_toe",
    "Trading": "trading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
