"""In a notebook: running a changed cell again takes effect, compiles what changed, and says so."""

from __future__ import annotations

import pytest

from tests.helpers.paths import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytestmark = pytest.mark.slow

FIRST = """
import numpy as np
from numba.core import event
from puffer_numba.jit.compiler import announce
announce._PATIENCE = 0.0  # whatever is compiled is said

compiled = event.RecordingListener()
event.register("numba:compile", compiled)

def report():
    global compiled_before
    env = MyWalk(num_envs=2, wind=0.0)
    env.reset(seed=0)
    env.state.walker[:] = 0.0
    env.state.target[:] = 0.9
    observations, rewards, *_ = env.step(np.array([2, 0]))
    print(observations[:, 0].round(3).astype(str), rewards.round(3).astype(str), len(compiled.buffer) > 0)
    compiled.buffer.clear()
    return env
"""
EDITS = {
    "a comment and a docstring": [("# reward, and whether", "# the reward, and whether"), ("Walk along", "Go along")],
    "step_env": [("else -0.01", "else -0.5")],
    "step_env once more": [("else -0.01", "else -0.25")],
    "back to the first": [],
    "reset_env and observe_env": [
        ("obs[i, 0] = s.walker[i]", "obs[i, 0] = s.walker[i] + 1"),
        ("-1.0, 1.0)\n        s.t", "-0.5, 1.0)\n        s.t"),
    ],
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell printed and said: of the class as it is first, and after each edit."""
    source = (ROOT / "puffer_numba" / "cli" / "templates" / "discrete.py.txt").read_text()
    cells = [FIRST, source, "first = report()"]
    for edits in EDITS.values():
        edited = source
        for old, new in edits:
            assert old in edited
            edited = edited.replace(old, new)
        cells += [edited, "again = report(); print(again._reset_kernel is first._reset_kernel)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("notebook")
        patch.setenv("NUMBA_CACHE_DIR", str(folder / "cache"))
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    run = [cell.outputs for cell in notebook.cells if "report()" in cell.source and "def " not in cell.source]
    texts = [{o.name: "".join(p.text for p in out if p.name == o.name) for o in out} for out in run]
    return dict(zip(["at first", *EDITS], texts, strict=True))


@pytest.mark.parametrize(
    ("edit", "printed", "said"),
    [
        ("at first", "['0.1' '-0.1'] ['-0.01' '-0.01'] True\n", "compiling MyWalk (first run only)\n"),
        ("a comment and a docstring", "['0.1' '-0.1'] ['-0.01' '-0.01'] False\nTrue\n", ""),
        ("step_env", "['0.1' '-0.1'] ['-0.5' '-0.5'] True\nTrue\n", "compiling MyWalk again: step_env changed\n"),
        (
            "step_env once more",
            "['0.1' '-0.1'] ['-0.25' '-0.25'] True\nTrue\n",
            "compiling MyWalk again: step_env changed\n",
        ),
        ("back to the first", "['0.1' '-0.1'] ['-0.01' '-0.01'] False\nTrue\n", ""),
        (
            "reset_env and observe_env",
            "['1.1' '0.9'] ['-0.01' '-0.01'] True\nFalse\n",
            "compiling MyWalk again: reset_env, observe_env changed\n",
        ),
    ],
    ids=["at first", *EDITS],
)
def test_a_cell_that_is_run_again(outputs, edit, printed, said):
    """Observations, rewards, whether anything was compiled; and whether the kernel that resets is the first one."""
    assert outputs[edit].get("stdout") == printed
    assert outputs[edit].get("stderr", "") == said
