"""`puffer`, called as a user does."""

from __future__ import annotations

import subprocess
import sys

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


def fails(capsys, *args):
    """The one line that a bad command ends in."""
    assert main(args) == 2
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 1, output.err
    return lines[0]
