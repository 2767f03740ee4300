"""Every Python and every version of what we depend on that pyproject.toml promises: ``nox -l`` lists the sessions.

::

    pipx run nox -s "light-3.13(newest)"    # without torch: some minutes; all of "light" is the matrix
    pipx run nox -s full-3.11               # everything, as .ci/run does

A Python that is not on this machine is skipped (``--error-on-missing-interpreters`` makes that an error).
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["light"]
nox.options.default_venv_backend = "uv|virtualenv"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

OLDEST = [  # the floors of pyproject.toml; tests/test_packaging.py holds that they are
    "annotated-types==0.6.0",
    "numpy==2.0.2",
    "numba==0.61.0",
    "gymnasium==1.1.0",
    "pettingzoo==1.24.3",
    "cloudpickle==3.0.0",
    "tyro==1.0.14",
    "rich==13.0.0",
]
OLDEST_PYTHONS = {"3.11", "3.12"}
"""Those that these versions have wheels for: NumPy 2.0 ends at Python 3.12."""

WITHOUT_TORCH = [
    "tests/spaces",
    "tests/jit",
    "tests/envs",
    "tests/emulation",
    "tests/vector",
    "tests/wrappers",
    "tests/checks",
    "tests/test_env.py",
    "tests/test_registry.py",
]
"""Tests that need no torch, or skip without it."""

REFERENCES = ["minigrid", "minatar", "mpe2", "rware", "networkx"]
"""Packages that the suite is compared with; as new as constraints.txt has them."""


@nox.session(python=PYTHONS)
@nox.parametrize("versions", [nox.param(which, id=which) for which in ("newest", "oldest")])
def light(session: nox.Session, versions: str) -> None:
    """All that needs no torch, with the newest or the oldest versions of the dependencies."""
    if versions == "oldest":
        if session.python not in OLDEST_PYTHONS:
            session.skip("the oldest versions have no wheels for this Python")
        session.install(*OLDEST, "-e", ".[test,render]")
    else:
        session.install("-c", "constraints.txt", "-e", ".[test,render,opencv,box2d,parquet,multi-agent]", *REFERENCES)
    session.run("puffer", "check", "cartpole")
    session.run("python", "-m", "pytest", *(session.posargs or WITHOUT_TORCH))


@nox.session(python=PYTHONS)
def full(session: nox.Session) -> None:
    """Everything, with the versions of constraints.txt."""
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2"]))


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Style and types."""
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
