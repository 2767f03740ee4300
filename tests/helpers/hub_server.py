"""A small Hugging Face Hub on this machine: what its client asks for to push and pull models, with plain Git LFS."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from huggingface_hub import constants


@dataclass
class Repository:
    """The files of each commit, by path; the newest commit last."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        return list(self.commits.values())[-1]

    def commit(self, files: dict[str, bytes]) -> str:
        number = hashlib.sha1(str(len(self.commits)).encode()).hexdigest()
        self.commits[number] = {**(self.files if self.commits else {}), **files}
        return number


class Hub(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface.

    Attributes:
        users: by token.
        repositories: by name.
        full: whether it takes no more files.
        requests: method and path of each, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.blobs_url = f"http://localhost:{self.server_address[1]}/blobs"  # another server's, as for the real one
        self.users = {"secret": "me"}
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.full = False


class Handler(BaseHTTPRequestHandler):
    """Each route is a regular expression, and the method that its groups go to."""

    protocol_version = "HTTP/1.1"
    server: Hub
    repo = "([^/]+/[^/]+)"
    routes = (
        ("GET /api/whoami-v2", "whoami"),
        ("POST /api/repos/create", "create"),
        ("POST /api/validate-yaml", "validate"),
        (f"POST /api/models/{repo}/preupload/main", "preupload"),
        (f"POST /{repo}.git/info/lfs/objects/batch", "batch"),
        ("PUT /blobs/(.+)", "upload"),
        ("(?:GET|HEAD) /blobs/(.+)", "download"),
        (f"POST /api/models/{repo}/commit/main", "commit"),
        (f"GET /api/models/{repo}(?:/revision/(.+))?", "info"),
        (f"(?:GET|HEAD) /{repo}/resolve/([^/]+)/(.+)", "resolve"),
    )

    def handle_request(self) -> None:
        self.body = self.read_body()
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        for pattern, name in self.routes:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                getattr(self, name)(*match.groups())
                return
        self.answer(404, b"", {"X-Error-Message": f"no route {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, content: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> None:
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    # ------------------------------------------------------------------ routes

    @property
    def user(self) -> str | None:
        return self.server.users.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def whoami(self) -> None:
        if self.user is None:
            self.answer(401, {"error": "Invalid username or password."})
        else:
            self.answer(200, {"name": self.user, "type": "user"})

    def create(self) -> None:
        wanted = json.loads(self.body)
        owner = wanted.get("organization") or self.user
        name = f"{owner}/{wanted['name']}"
        url = {"url": f"{self.server.url}/{name}"}
        if owner != self.user:
            error = f'You don\'t have the rights to create a model under the namespace "{owner}"'
            self.answer(403, {"error": error}, {"X-Error-Message": error})
        elif name in self.server.repositories:
            self.answer(409, {"error": "You already created this model repo", **url})
        else:
            repository = Repository(private=wanted.get("visibility") == "private")
            repository.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
            self.server.repositories[name] = repository
            self.answer(200, {"name": name, **url})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no metadata"}]
        self.answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, name: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.answer(200, {"files": files})

    def batch(self, name: str) -> None:
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self.server.blobs_url}/{wanted['oid']}"}}}
            for wanted in json.loads(self.body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, digest: str) -> None:
        if self.server.full:
            self.answer(403, b"", {"X-Error-Message": "no space left"})
            return
        assert hashlib.sha256(self.body).hexdigest() == digest
        self.server.blobs[digest] = self.body
        self.answer(200, b"")

    def download(self, digest: str) -> None:
        self.answer(200, self.server.blobs[digest])

    def commit(self, name: str) -> None:
        files = {}
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
        number = self.server.repositories[name].commit(files)
        self.answer(200, {"commitUrl": f"{self.server.url}/{name}/commit/{number}", "commitOid": number})

    def find(self, name: str, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        """A commit and its files; an answer where there is none, or the user may not see it."""
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and self.user is None):
            self.answer(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        number = list(repository.commits)[-1] if revision in (None, "main") else str(revision)
        if number not in repository.commits:
            self.answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return number, repository.commits[number]

    def info(self, name: str, revision: str | None) -> None:
        if found := self.find(name, revision):
            number, files = found
            self.answer(200, {"id": name, "sha": number, "siblings": [{"rfilename": path} for path in files]})

    def resolve(self, name: str, revision: str, path: str) -> None:
        found = self.find(name, revision)
        if not found:
            return
        number, files = found
        if path not in files:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": number})
            return
        digest = hashlib.sha256(files[path]).hexdigest()
        headers = {"X-Repo-Commit": number, "ETag": f'"{digest}"'}
        if path.endswith(".safetensors"):
            self.server.blobs[digest] = files[path]
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(files[path]))}
            self.answer(302, b"", {**headers, **linked, "Location": f"{self.server.blobs_url}/{digest}"})
        else:
            self.answer(200, files[path], headers)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that serves until the end of the block."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def direct_to(endpoint, monkeypatch):
    """What the variable HF_ENDPOINT does in a new process."""
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
