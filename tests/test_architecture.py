"""The layers of docs/architecture.md: every import goes downwards, and torch stays above."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.helpers.paths import DOCS, ROOT

LAYERS = re.search(r"```layers\n(.*?)```", (DOCS / "architecture.md").read_text(), re.DOTALL).group(1).splitlines()
HEIGHT = {room: -k for k, line in enumerate(LAYERS) for room in re.split(r",\s*", re.split(r"\s{2,}", line)[0])}
ABOVE_ALL = {"", "__main__"}  # the package itself, which gathers what people import from it
WITHOUT_TORCH = {room for room in HEIGHT if HEIGHT[room] < HEIGHT["distributions"]} | {"checks"}


def files() -> dict[str, Path]:
    """Every module of the library, by its dotted name without the package's."""
    folders = {"puffer_numba": (), "envs": ("envs",), "emulation": ("emulation",)}
    found = {}
    for folder, prefix in folders.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if folder == "puffer_numba" and parts[0] in ("envs", "emulation"):  # links to the folders
                continue
            found[".".join(prefix + parts).removesuffix(".__init__").removesuffix("__init__")] = path
    return found


MODULES = files()


def room_of(module: str) -> str:
    parts = module.split(".")
    return "jit.compiler" if parts[:2] == ["jit", "compiler"] else parts[0]


def imported(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, at whatever depth, for type checkers too."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            names += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return names


def own(name: str) -> str | None:
    """The module of the library that ``name`` is or is in; None for other libraries."""
    package, _, rest = name.partition(".")
    if package != "puffer_numba":
        return None
    while rest and rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest


def test_every_room_has_a_layer_and_says_what_belongs_there():
    rooms = {room_of(module) for module in MODULES} - ABOVE_ALL
    assert rooms == set(HEIGHT)
    for room in rooms:
        docstring = ast.get_docstring(ast.parse(MODULES[room].read_text()))
        assert docstring, f"{MODULES[room]} does not say what belongs there"


@pytest.mark.parametrize("module", [module for module in MODULES if module not in ABOVE_ALL])
def test_imports_go_downwards(module):
    room = room_of(module)
    for line, name in imported(MODULES[module]):
        target = own(name)
        if target is None or room_of(target) == room:
            continue
        where = f"{MODULES[module].relative_to(ROOT)}:{line} imports {name}"
        assert target, f"{where}: import what you need from its own module"
        assert HEIGHT[room_of(target)] < HEIGHT[room], f"{where}, which is not below {room}; see docs/architecture.md"


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) in WITHOUT_TORCH])
def test_torch_is_above(module):
    if module in ("emulation.as_sb3", "emulation.sb3"):
        return
    torch = [f"{MODULES[module]}:{line}" for line, name in imported(MODULES[module]) if name.split(".")[0] == "torch"]
    assert not torch


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:puffer_numba|emulation)/[\w/.]+)`", (DOCS / "architecture.md").read_text())))
)
def test_files_that_the_page_names_exist(path):
    assert (ROOT / path).exists()
