"""Training settings that suit an environment: one TOML file for each, ``NAME.toml``, found by trying.

Their sections and names are those of `puffer_numba.config.Config`; `load_config` starts from them. ``gym/ID.toml`` is
for Gymnasium's ``gym:ID``, also as ``gymvec:ID`` and ``envpool:ID``. Scores that they reach, and in which time:
``docs/learning.md``.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the environments that have settings here, sorted, the suite's first."""
    return sorted(_files(), key=lambda name: (":" in name, name))


@cache
def settings(name: str) -> dict[str, Any]:
    """Settings for the environment called ``name``, by dotted name: ``{"train.learning_rate": 4e-3}``.

    Empty where there is no file of that name. The same dictionary each time.
    """
    kind, _, rest = name.partition(":")
    path = _files().get(f"gym:{rest}" if kind in ("gymvec", "envpool") else name)
    if path is None:
        return {}
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    return {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}


@cache
def _files() -> dict[str, Path]:
    """Each file by the name of its environment: ``gym/Pendulum-v1.toml`` is ``gym:Pendulum-v1``."""
    paths = _FOLDER.rglob("*.toml")
    return {path.relative_to(_FOLDER).with_suffix("").as_posix().replace("/", ":"): path for path in paths}
