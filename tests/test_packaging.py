"""What pyproject.toml says is what the code does: what it imports is declared, and the version stands in one place."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator

import pytest

import puffer_numba
from tests.helpers.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()

# Where what one imports is called otherwise than what one installs.
DISTRIBUTIONS = {
    "imageio_ffmpeg": "imageio-ffmpeg",
    "annotated_types": "annotated-types",
    "PIL": "pillow",
    "Box2D": "gymnasium[box2d]",
    "ale_py": "ale-py",
    "cv2": "opencv-python-headless",
    "huggingface_hub": "huggingface_hub",
    "pygame": "pygame-ce",
    "pyspiel": "open-spiel",
    "sklearn": "scikit-learn",
    "stable_baselines3": "stable-baselines3",
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
}
OWN = {"puffer_numba", "tests", "bench", "envs", "emulation", "examples"}
OWN |= {path.stem for folder in ("bench", "bench/studies", "docs") for path in (ROOT / folder).glob("*.py")}


def imports(folder: str) -> dict[str, str]:
    """Packages of others that files in ``folder`` import, `require` or ``importorskip``, and a file that does so."""
    found: dict[str, str] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for name in _imported(ast.parse(path.read_text())):
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in OWN:
                found[package] = str(path.relative_to(ROOT))
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(
                func=ast.Name(id="require") | ast.Attribute(attr="importorskip"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def declared(*extras: str) -> set[str]:
    """Names in the dependencies, and in those of ``extras`` with the extras that these name."""
    names: set[str] = set()
    todo, done = [*PROJECT["dependencies"], *(f"puffer_numba[{extra}]" for extra in extras)], set()
    while todo:
        requirement = todo.pop()
        name, options = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement).groups()  # type: ignore[union-attr]
        if name == "puffer_numba":
            new = set(options.split(",")) - done
            done |= new
            todo += [inner for extra in new for inner in EXTRAS[extra]]
        else:
            names |= {name, f"{name}[{options}]"} if options else {name}
    return names


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("puffer_numba", [extra for extra in EXTRAS if extra not in ("dev", "test", "bench")]),
        ("envs", ["parquet"]),
        ("emulation", ["sb3", "legacy-gym"]),
        ("examples", ["test"]),
        ("tests", ["dev", "envpool"]),
        ("bench", ["bench", "dev"]),
        ("docs", ["dev"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    names = declared(*extras)
    missing = {
        package: path
        for package, path in imports(folder).items()
        if DISTRIBUTIONS.get(package, package).lower() not in names
    }
    assert missing == {}


def test_every_extra_is_in_the_one_for_development() -> None:
    apart = {"dev", "bench", "envpool", "opencv"}  # not every machine can install EnvPool; opencv comes with atari
    options = next(requirement for requirement in EXTRAS["dev"] if requirement.startswith("puffer_numba["))
    assert set(EXTRAS) - apart == set(options.partition("[")[2].rstrip("]").split(","))


def test_the_version_stands_in_the_package_alone() -> None:
    version = puffer_numba.__version__
    assert PROJECT["dynamic"] == ["version"]
    assert re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version  # type: ignore[index]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_hooks_have_the_versions_of_the_constraints() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    pinned = re.findall(r"repo: https://\S+/(\w+)-pre-commit\n +rev: v([\d.]+)", hooks)
    assert [name for name, _ in pinned] == ["ruff"]
    for name, version in pinned:
        assert f"\n{name}=={version}\n" in CONSTRAINTS


def test_the_oldest_versions_of_nox_are_those_of_the_dependencies() -> None:
    """``noxfile.py`` tests with what pyproject.toml promises."""
    oldest = dict(re.findall(r'^ +"([\w-]+)==([\d.]+)",', (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    for requirement in PROJECT["dependencies"]:
        name, _, floor = requirement.partition(">=")
        if floor:
            assert re.fullmatch(rf"{re.escape(floor)}(\.0)*", oldest[name])
