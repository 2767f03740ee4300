"""``puffer list``: list the environments."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from gymnasium.spaces import Box

from puffer_numba import registry
from puffer_numba.cli.arguments import parse
from puffer_numba.jit import JitEnv


@dataclass
class List:
    """List the environments with their observation and action spaces, and their agents where there are several."""


def run(args: list[str]) -> int:
    parse(List, "puffer list", args)
    rows: list[tuple[str, ...]] = []
    for name in registry.list_envs():
        env_class = registry.spec(name).env_class
        lines = (env_class.__doc__ or "").strip().splitlines() or [""]
        plain = {"jit": False} if issubclass(env_class, JitEnv) else {}  # nothing is to be compiled for this
        with registry.make(name, num_envs=1, **plain) as env:
            space = env.single_observation_space
            agents = "" if env.num_agents == env.num_envs else f"{env.num_agents // env.num_envs} agents"
            shape = f"{space.dtype} {tuple(space.shape)}"
            rows.append((name, shape, _brief(env.single_action_space), agents, lines[0]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        start = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        summary = row[-1]
        room = shutil.get_terminal_size((200, 24)).columns - len(start) - 2
        print(f"{start}  {summary if len(summary) <= room else summary[: max(0, room - 3)] + '...'}")
    return 0


def _brief(space: Any) -> str:
    """An action space, of a Box the shape alone."""
    return f"Box {space.shape}" if isinstance(space, Box) else str(space)
