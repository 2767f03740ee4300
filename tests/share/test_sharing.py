"""docs/sharing.md: its commands and its Python work as pasted, one after the other."""

from __future__ import annotations

import re
import shlex

import pytest
from huggingface_hub import constants

from puffer_numba.cli import main
from tests.helpers.hub_server import direct_to, running_hub
from tests.helpers.paths import DOCS

PAGE = (DOCS / "sharing.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run_block(language, text):
    if language == "python":
        exec(compile(text, "sharing.md", "exec"), {})
        return
    for line in text.splitlines():
        command, *arguments = shlex.split(line, comments=True)
        assert command == "puffer"
        assert main(arguments) == 0


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes/text:DeprecationWarning")  # huggingface_hub
def test_the_page_works_as_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    outputs = []
    with running_hub() as server:
        direct_to(server.url, monkeypatch)
        for language, text in BLOCKS:
            run_block(language, text)
            outputs.append(capsys.readouterr().out)
    training, played, metadata, _, _, network = outputs
    assert "wrote policy.onnx" in training
    assert float(played) > 300  # of 500: the policy was trained until the mean was 475
    assert metadata.startswith("cartpole Box(")
    assert network.startswith("[tensor(")
    assert server.repositories["me/cartpole"].private is False
    assert sorted(path.name for path in tmp_path.glob("policy.*")) == ["policy.onnx", "policy.pt", "policy.pt2"]
