"""FrozenLake8x8: `frozen_lake` on its larger map."""

from __future__ import annotations

from typing import Any

from puffer_numba.envs.frozen_lake import FrozenLake


class FrozenLake8x8(FrozenLake):
    """A frozen lake of 64 cells, ten of them holes. Walk from the start to the goal.

    - Observation: ``Discrete(rows * columns)``: the cell, row by row.
    - Action: ``Discrete(4)``: 0 left, 1 down, 2 right, 3 up; on slippery ice it may go astray, as in ``frozen_lake``.
    - Reward: ``reward_schedule``: on reaching the goal (1), on falling into a hole (0), else (0).
    - Terminated: at the goal or in a hole.
    - Truncated: after 200 steps. Optimum of the 8x8 map, slippery: a mean return of 0.913.
    - Start: a start cell, uniform over them.
    - Info: ``prob``, the probability of the move that was made.

    Source: Gymnasium's FrozenLake8x8-v1, whose transitions it reproduces. Parameters are those of ``frozen_lake``.
    """

    max_episode_steps = 200

    def __init__(self, num_envs: int = 1, *, map_name: str | None = "8x8", **arguments: Any) -> None:
        super().__init__(num_envs, map_name=map_name, **arguments)
