"""A small Hugging Face hub on loopback, for the real client libraries."""

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = {"models": "model", "datasets": "dataset"}


@dataclass
class Repository:
    """A repository: files of each commit, and the commits of its branches and tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit with these files to a branch; return its 40 hexadecimal digits."""
        content = json.dumps([[name, hashlib.sha1(data).hexdigest()] for name, data in sorted(files.items())])
        commit = hashlib.sha1(f"{len(self.commits)}{content}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        return commit


class Hub:
    """The server.

    Attributes:
        repositories: (kind, owner/name) -> repository, with kind `model` or `dataset`.
        requests: (method, path) of every request so far.
        cut_after: bytes of each file after which the connection breaks; None: never.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.cut_after: int | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self, "HEAD")

            def do_GET(self) -> None:
                hub.answer(self, "GET")

            def do_POST(self) -> None:
                hub.answer(self, "POST")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, files: dict[str, bytes], kind: str = "model") -> str:
        """Commit files to main of a repository, which is made if needed; return the commit."""
        return self.repositories.setdefault((kind, repo), Repository()).commit(files)

    def answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        address = urlsplit(handler.path)
        path = unquote(address.path)
        self.requests.append((method, path))
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) >= 4 and parts[1] in KINDS:
            self._api(handler, KINDS[parts[1]], "/".join(parts[2:4]), parts[4:], body)
        else:
            kind = "dataset" if parts[0] == "datasets" else "model"
            parts = parts[1:] if kind == "dataset" else parts
            if len(parts) < 5 or parts[2] != "resolve":
                return _send(handler, 404, {}, b"{}")
            self._file(handler, method, kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return None

    def _found(self, handler, kind: str, repo: str, revision: str) -> tuple[Repository, str] | None:
        repository = self.repositories.get((kind, repo))
        if repository is None:
            _send(handler, 404, {"X-Error-Code": "RepoNotFound"}, b'{"error": "Repository not found"}')
            return None
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            _send(handler, 404, {"X-Error-Code": "RevisionNotFound"}, b'{"error": "Invalid rev id"}')
            return None
        return repository, commit

    def _api(self, handler, kind: str, repo: str, rest: list[str], body: bytes) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        found = self._found(handler, kind, repo, revision)
        if found is None:
            return
        repository, commit = found
        files = repository.commits[commit]
        entries = [
            {"type": "file", "path": name, "size": len(data), "oid": _etag(data)}
            for name, data in sorted(files.items())
        ]
        what = rest[0] if rest else "revision"
        if what == "tree":
            answer = entries
        elif what == "paths-info":
            wanted = parse_qs(body.decode())["paths"] if b"=" in body else json.loads(body)["paths"]
            answer = [entry for entry in entries if entry["path"] in wanted]
        else:
            answer = {
                "id": repo,
                "sha": commit,
                "private": False,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": name} for name in sorted(files)],
            }
        _send(handler, 200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _file(self, handler, method: str, kind: str, repo: str, revision: str, name: str) -> None:
        found = self._found(handler, kind, repo, revision)
        if found is None:
            return None
        repository, commit = found
        if repository.gated:
            return _send(handler, 403, {"X-Error-Code": "GatedRepo"}, b'{"error": "Access to model is restricted"}')
        data = repository.commits[commit].get(name)
        if data is None:
            return _send(handler, 404, {"X-Error-Code": "EntryNotFound"}, b"{}")
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        _send(handler, 206 if start else 200, headers, data[start:], head=method == "HEAD", cut=self.cut_after)
        return None


def _etag(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def _send(handler, status: int, headers: dict[str, str], body: bytes, *, head: bool = False, cut: int | None = None):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if head or handler.command == "HEAD":
        return
    if cut is not None and len(body) > cut:
        handler.wfile.write(body[:cut])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.close()
        return
    handler.wfile.write(body)
