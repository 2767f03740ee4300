"""What users get: an archive of the sources, and the wheel made of it, imported in an empty environment elsewhere."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import puffer_numba
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
import puffer_numba
modules = pkgutil.walk_packages(puffer_numba.__path__, "puffer_numba.")
names = [module.name for module in modules if not module.name.endswith("__main__")]
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        if "puffer_numba[" not in str(error):  # a missing extra says its name
            raise
for bare in ("envs", "emulation"):
    try:
        importlib.import_module(bare)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"import {bare} must fail")
print(len(names), puffer_numba.__file__)
"""


def run(*command: object, cwd: Path) -> str:
    result = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The Python of an environment that holds the wheel and no checkout, and an empty folder to work in."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    # The dependencies are those of this environment, so that the test needs no network for them.
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    site = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip())
    (site / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")) + "\n")
    return python, folder


def test_every_module_imports_outside_the_checkout(installed: tuple[Path, Path]) -> None:
    python, folder = installed
    count, where = run(python, "-c", IMPORT_EVERYTHING, cwd=folder).split()
    assert int(count) > 15
    assert str(folder) in where


def test_both_archives_have_the_packages_and_nothing_else(installed: tuple[Path, Path]) -> None:
    _, folder = installed
    (wheel,), (sources,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(sources) as tar:
        in_wheel = set(archive.namelist())
        in_sources = {name.partition("/")[2] for name in tar.getnames()}
    version = puffer_numba.__version__
    assert (wheel.name, sources.name) == (f"puffer_numba-{version}-py3-none-any.whl", f"puffer_numba-{version}.tar.gz")
    assert {name.partition("/")[0] for name in in_wheel} == {"puffer_numba", f"puffer_numba-{version}.dist-info"}
    assert {"puffer_numba/py.typed", "puffer_numba/envs/cartpole.py", "puffer_numba/runs/loggers.py"} <= in_wheel
    templates = {f"puffer_numba/cli/templates/{path.name}" for path in (ROOT / "puffer_numba/cli/templates").iterdir()}
    assert len(templates) == 8
    assert templates <= in_wheel & in_sources
    assert {"pyproject.toml", "README.md", "LICENSE", "envs/cartpole.py"} <= in_sources
    for name in in_wheel | in_sources:
        assert not {"tests", "bench", "docs"} & set(name.split("/"))


def test_the_command_line_starts(installed: tuple[Path, Path]) -> None:
    python, folder = installed
    assert "cartpole" in run(python.parent / "puffer", "list", cwd=folder)
    assert "puffer train my_walk.py:MyWalk" in run(python.parent / "puffer", "new", "my_walk", cwd=folder)
    assert "0 problems" in run(python.parent / "puffer", "check", "my_walk.py:MyWalk", cwd=folder)


def test_importing_the_library_leaves_torch_alone(installed: tuple[Path, Path]) -> None:
    python, folder = installed
    code = "import sys, puffer_numba, puffer_numba.emulation; print('torch' in sys.modules)"
    assert run(python, "-c", code, cwd=folder).strip() == "False"
