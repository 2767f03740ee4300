"""Checkpoints on the Hub, by way of its own client, against a server on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
import yaml
from huggingface_hub import constants

from puffer_numba.cli import main
from puffer_numba.env import APIUsageError
from puffer_numba.pufferl import make_trainer
from puffer_numba.runs import checkpoint
from puffer_numba.runs.evaluation import evaluate
from puffer_numba.share import hub
from puffer_numba.share.hub import HubError, pull_from_hub, push_to_hub
from tests.helpers.hub_server import direct_to, running_hub

# Of the client, when it uploads a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes/text:DeprecationWarning")

FILES = ["SHA256SUMS", "state.json", "state.safetensors", "weights.safetensors"]
NOWHERE = "http://127.0.0.1:9"  # the port that discards: nothing listens there


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """The folder of a run, with one checkpoint of cartpole."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"env.num_envs": 8, "train.horizon": 32, "train.num_minibatches": 2, "env.gravity": 9.5}
    trainer = make_trainer("cartpole", {**settings, "train.data_dir": str(folder)})
    trainer.evaluate()
    trainer.train()
    trainer.save_checkpoint()
    return trainer.run_dir


@pytest.fixture
def saved(run_dir):
    """That checkpoint's folder."""
    return checkpoint.newest(run_dir)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The Hub, to which the client is directed, without a token of this machine's user."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the server speaks plain Git LFS
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running_hub() as running:
        direct_to(running.url, monkeypatch)
        yield running


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_pulled_is_what_was_pushed(server, saved, tmp_path):
    address = push_to_hub(saved, "me/cartpole", token="secret", episodes=4)
    assert re.fullmatch(rf"{server.url}/me/cartpole/commit/[0-9a-f]{{40}}", address)
    folder = pull_from_hub("me/cartpole", tmp_path / "pulled")
    assert folder == tmp_path / "pulled"
    assert contents(folder) == contents(saved)
    assert checkpoint.load(folder).data["global_step"] == 256
    assert evaluate("cartpole", folder, episodes=2).checkpoint == folder
    assert os.listdir(tmp_path) == ["pulled"]


def test_the_endpoint_can_be_given(server, saved, tmp_path, monkeypatch):
    direct_to(NOWHERE, monkeypatch)
    push_to_hub(saved, "me/cartpole", token="secret", episodes=1, endpoint=server.url)
    assert pull_from_hub("me/cartpole", tmp_path / "pulled", endpoint=server.url).is_dir()


def test_the_commands_push_and_pull(server, run_dir, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "secret")
    data_dir = str(run_dir.parent.parent)
    assert main(["push", "cartpole", "cartpole-ppo", "--episodes", "2", "--data-dir", data_dir, "--private"]) == 0
    assert capsys.readouterr().out.startswith(f"pushed {saved}: {server.url}/me/cartpole-ppo/commit/")
    assert server.repositories["me/cartpole-ppo"].private
    assert main(["pull", "me/cartpole-ppo"]) == 0
    expected = "pulled cartpole-ppo; run it with puffer eval cartpole --checkpoint cartpole-ppo\n"
    assert capsys.readouterr().out == expected
    assert main(["eval", "cartpole", "--checkpoint", "cartpole-ppo", "--episodes", "1"]) == 0
    assert main(["pull", "me/cartpole-ppo"]) == 2
    assert capsys.readouterr().err == "puffer: cartpole-ppo exists; remove it, or pull into another folder.\n"


def test_the_card_tells_the_measured_score(server, run_dir, saved):
    push_to_hub(run_dir, "me/cartpole", token="secret", episodes=20, seed=5)
    card = server.repositories["me/cartpole"].files["README.md"].decode()
    _, header, text = card.split("---\n", 2)
    data = yaml.safe_load(header)
    assert (data["library_name"], data["pipeline_tag"]) == ("puffer_numba", "reinforcement-learning")
    assert {"reinforcement-learning", "puffer_numba", "cartpole"} <= set(data["tags"])
    (model,) = data["model-index"]
    (result,) = model["results"]
    returns = evaluate("cartpole", saved, episodes=20, seed=5).returns
    assert result["dataset"] == {"name": "cartpole", "type": "cartpole"}
    assert result["metrics"] == [
        {"type": "mean_reward", "name": "mean_reward", "value": f"{np.mean(returns):.2f} +/- {np.std(returns):.2f}"}
    ]
    assert f"| return | {np.mean(returns):.2f} ± {np.std(returns):.2f} |" in text
    assert "over 20 episodes, actions drawn from the policy" in text
    assert '`cartpole` with {"gravity": 9.5}, trained with PPO' in text
    assert "trained for | 256 steps" in text
    for name in ("puffer_numba", "torch", "numpy", "numba", "gymnasium"):
        assert re.search(rf"{name} \d+\.\d+", text)
    assert "puffer pull me/cartpole --folder cartpole\npuffer eval cartpole --checkpoint cartpole" in text
    (settings,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert json.loads(settings) == checkpoint.load(saved).data["config"]


def test_nothing_but_the_checkpoint_goes_up_or_comes_down(server, saved, tmp_path):
    cluttered = tmp_path / "cluttered"
    shutil.copytree(saved, cluttered)
    (cluttered / "policy.pkl").write_bytes(b"\x80\x04.")
    (cluttered / "notes.txt").write_text("mine")
    push_to_hub(cluttered, "me/cartpole", token="secret", episodes=1)
    repository = server.repositories["me/cartpole"]
    assert sorted(repository.files) == [".gitattributes", "README.md", *FILES]
    repository.commit({"policy.pkl": b"\x80\x04.", "sub/weights.safetensors": b"other", "setup.py": b"1/0"})
    folder = pull_from_hub("me/cartpole", tmp_path / "pulled")
    assert sorted(os.listdir(folder)) == FILES
    assert not [request for request in server.requests if "policy.pkl" in request or "setup.py" in request]


def test_an_earlier_revision_can_be_pulled(server, saved, tmp_path):
    first = push_to_hub(saved, "me/cartpole", token="secret", episodes=1).rpartition("/")[2]
    server.repositories["me/cartpole"].commit({"weights.safetensors": b"spoilt"})
    assert contents(pull_from_hub("me/cartpole", tmp_path / "a", revision=first)) == contents(saved)
    with pytest.raises(HubError, match="me/cartpole has no such revision"):
        pull_from_hub("me/cartpole", tmp_path / "b", revision="v9")


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json"])
def test_a_damaged_download_is_found(name, server, saved, tmp_path):
    push_to_hub(saved, "me/cartpole", token="secret", episodes=1)
    repository = server.repositories["me/cartpole"]
    content = bytearray(repository.files[name])
    content[-5] ^= 1
    repository.commit({name: bytes(content)})
    with pytest.raises(
        HubError, match=rf"checkpoint me/cartpole is damaged: ({name} is not what SHA256SUMS|Expecting)"
    ):
        pull_from_hub("me/cartpole", tmp_path / "pulled")
    assert os.listdir(tmp_path) == []


def test_a_repository_without_a_checkpoint_is_named(server, tmp_path):
    server.users["other"] = "you"
    hub._api("other", None).create_repo("you/else")
    with pytest.raises(HubError, match=r"you/else holds no checkpoint: it has no weights\.safetensors"):
        pull_from_hub("you/else", tmp_path / "pulled")


def test_a_private_repository_needs_a_token(server, saved, tmp_path):
    push_to_hub(saved, "me/cartpole", token="secret", episodes=1, private=True)
    with pytest.raises(HubError, match=r"has no repository me/cartpole; or it is private, and needs a token"):
        pull_from_hub("me/cartpole", tmp_path / "pulled")
    assert pull_from_hub("me/cartpole", tmp_path / "pulled", token="secret").is_dir()


@pytest.fixture
def no_evaluation(monkeypatch):
    """Nothing may be measured, as that takes long."""
    monkeypatch.setattr(hub, "evaluate", lambda *_, **__: pytest.fail("measured"))


@pytest.mark.parametrize(
    ("repo_id", "arguments", "message"),
    [
        ("me/cartpole", {}, "pushing needs a token that may write: hf auth login, the variable HF_TOKEN, or token=."),
        ("me/cartpole", {"token": "wrong"}, r"answered 401: Invalid user token"),
        ("me/cart pole", {"token": "secret"}, "no repository can be called 'me/cart pole'; expected a name such as"),
        ("a/b/c", {"token": "secret"}, "no repository can be called 'a/b/c'"),
        ("me/cartpole", {"token": "secret", "endpoint": NOWHERE}, f"cannot reach {NOWHERE}: .*refused"),
    ],
    ids=["no token", "wrong token", "space", "three parts", "server down"],
)
def test_what_cannot_be_pushed_fails_before_anything_is_done(repo_id, arguments, message, server, saved, no_evaluation):
    with pytest.raises(HubError, match=message) as error:
        push_to_hub(saved, repo_id, **arguments)
    assert "\n" not in str(error.value)
    assert server.repositories == {}


def test_offline_mode_is_respected(server, saved, tmp_path, no_evaluation, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for act in (
        lambda: push_to_hub(saved, "me/cartpole", token="secret"),
        lambda: pull_from_hub("me/x", tmp_path / "x"),
    ):
        with pytest.raises(HubError, match=r"^Cannot reach http.*: offline mode is enabled"):
            act()
    assert server.requests == []


def test_anothers_namespace_is_refused(server, saved):
    with pytest.raises(HubError, match=r'answered 403: You don\'t have the rights .* namespace "you"'):
        push_to_hub(saved, "you/cartpole", token="secret", episodes=1)


def test_a_refused_file_is_named(server, saved):
    server.full = True
    with pytest.raises(HubError, match=r"Error while uploading '\w+\.safetensors' to the Hub\. .*no space left"):
        push_to_hub(saved, "me/cartpole", token="secret", episodes=1)
    assert list(server.repositories["me/cartpole"].files) == [".gitattributes"]


def test_a_damaged_checkpoint_is_not_pushed(server, saved, tmp_path, no_evaluation):
    shutil.copytree(saved, tmp_path / "damaged")
    os.truncate(tmp_path / "damaged" / "weights.safetensors", 100)
    with pytest.raises(APIUsageError, match="is damaged"):
        push_to_hub(tmp_path / "damaged", "me/cartpole", token="secret")
    assert server.requests == []


@pytest.mark.parametrize(
    ("repo_id", "endpoint", "message"),
    [
        ("me/nothing", None, r"http://127.0.0.1:\d+ has no repository me/nothing; or it is private"),
        ("me/../x", None, "no repository can be called 'me/../x'"),
        ("me/cartpole", NOWHERE, f"cannot reach {NOWHERE}: .*refused"),
    ],
    ids=["missing", "name", "server down"],
)
def test_what_cannot_be_pulled_fails_in_one_line(repo_id, endpoint, message, server, tmp_path):
    with pytest.raises(HubError, match=message) as error:
        pull_from_hub(repo_id, tmp_path / "pulled", endpoint=endpoint)
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == []
