"""Where the name of an environment leads nowhere: what else may have been meant, and what to install."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from pkgutil import iter_modules

_EXTRAS = {
    "Box2D": "box2d",
    "ale_py": "atari",
    "cv2": "atari",
    "minigrid": "minigrid",
    "mpe2": "multi-agent",
    "mujoco": "mujoco",
    "pygame": "multi-agent",
    "pymunk": "multi-agent",
    "scipy": "multi-agent",
    "shimmy": "legacy-gym",
}
_PLUGINS = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid"}  # by how Gymnasium's ids begin


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A sentence, after a space, with the words that are alike; nothing where there is none."""
    close = get_close_matches(word, list(words), 3)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def how_to_install(module: str) -> str:
    """The command that brings a module, as far as that is known."""
    extra = _EXTRAS.get(module.partition(".")[0])
    return f'pip install "puffer_numba[{extra}]"' if extra else "install the package that has it"


def modules_like(module: str) -> str:
    """The same for a module that is missing, and those that are installed."""
    parent, _, last = module.rpartition(".")
    try:
        spec = find_spec(parent) if parent else None
    except ModuleNotFoundError:
        return modules_like(parent)
    if parent and spec is None:
        return modules_like(parent)
    names = {found.name for found in iter_modules(spec.submodule_search_locations if spec else None)}
    prefix = f"{parent}." if parent else ""
    return did_you_mean(module, [prefix + name for name in names]) if last not in names else ""


def plugin_of(gym_id: str) -> str:
    """The module that registers Gymnasium's environment ``gym_id``, for some widely used ones; else ""."""
    return next((module for start, module in _PLUGINS.items() if gym_id.startswith(start)), "")
