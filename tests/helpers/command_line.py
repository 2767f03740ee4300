"""`puffer`, called as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir, contextmanager

from puffer_numba.cli import main

QUICK = [
    "--train.total-timesteps", "2048", "--env.num-envs", "16", "--train.horizon", "32", "--log.no-tensorboard",
]  # fmt: skip


def puffer(*args, cwd=None, timeout=120, code=None):
    """Run ``puffer`` in a process of its own, after the Python statements ``code``."""
    program = f"{code or ''}\nfrom puffer_numba.cli import main\nraise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *args], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )


@contextmanager
def at_work_in(folder):
    """In ``folder``, as its users are; what has been imported from there is forgotten, and how it was found."""
    path, modules = sys.path.copy(), set(sys.modules)
    with chdir(folder):
        yield folder
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}{os.sep}"):
            del sys.modules[name]


def fails(capsys, *args):
    """The one line that a bad command ends in."""
    assert main(args) == 2
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 1, output.err
    return lines[0]
