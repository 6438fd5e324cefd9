"""Files in the published layouts, and a local HTTP server with configurable faults."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest

from legalrr.corpora.exchange import DocBinFile, SavedDataset
from legalrr.corpora.label_studio import LabelStudio
from legalrr.errors import UserError
from legalrr.protocols import Corpus
from legalrr.records import Judgment, Span


@pytest.fixture
def user_error() -> Callable[..., AbstractContextManager[None]]:
    """`with user_error("words"):` the block raises a UserError with a one-line message that contains the words."""

    @contextmanager
    def check(*words: str) -> Iterator[None]:
        with pytest.raises(UserError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message

    return check


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file in the folder of the test."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def task() -> Callable[..., dict[str, object]]:
    """Make a judgment as Label Studio exports it."""

    def make(number: int, text: str, *spans: tuple[int, int, str]) -> dict[str, object]:
        results = [{"value": {"start": s, "end": e, "text": text[s:e], "labels": [r]}} for s, e, r in spans]
        return {
            "id": number,
            "data": {"text": text},
            "meta": {"group": "Tax"},
            "annotations": [{"result": results}],
        }

    return make


@pytest.fixture
def export(write: Callable[[str, str | bytes], Path]) -> Callable[..., Path]:
    """Write tasks as a Label Studio export."""
    return lambda *tasks: write("train.json", json.dumps(list(tasks)))


@pytest.fixture
def reader() -> Callable[..., Corpus]:
    """Make the reader of exported judgments in a format."""

    def make(format: str, path: Path, *, scheme: str = "build", tagged: bool = False, **fields: Any) -> Corpus:
        if format == "label-studio":
            return LabelStudio(name="c", files={"mine": str(path)}, scheme=scheme, tagged=tagged, **fields)
        if format == "dataset":
            return SavedDataset(name="c", folder=str(path), scheme=scheme, tagged=tagged, **fields)
        return DocBinFile(name="c", file=str(path), scheme=scheme, tagged=tagged, **fields)

    return make


@pytest.fixture
def read_back(reader: Callable[..., Corpus]) -> Callable[..., list[Judgment]]:
    """Read exported judgments in a format."""
    return lambda format, path, **fields: list(reader(format, path, **fields).read(None))


@pytest.fixture
def few() -> list[Judgment]:
    """Make two judgments with the same text, of different splits."""
    text = "Facts. Order."
    spans = (Span(start=0, end=6, role="FAC"), Span(start=7, end=13, role="RPC", score=0.75))
    return [
        Judgment(id="a", text=text, scheme="build", spans=spans, split="train", outcome="allowed"),
        Judgment(id="b", text=text, scheme="build", spans=spans[:1], split="test", party="plaintiff", court="Mine"),
    ]


@dataclass
class Server:
    """State and faults of a server on loopback."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    drop_after: int | None = None
    """Close the connection after so many bytes of the body, for the next `drops` requests."""
    drops: int = 0
    status: int | None = None
    redirect: str | None = None
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, Range and Authorization of each request."""

    def manifest(self, root: Path, name: str) -> None:
        """Write data/manifests/<name>.csv for the served files."""
        rows = ["path,git_blob_sha1,bytes"]
        for path, content in self.files.items():
            sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            rows.append(f"{path},{sha1},{len(content)}")
        folder = root / "data" / "manifests"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server whose behaviour the test sets."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted, self.headers.get("Authorization")))
            if state.redirect and not self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", state.redirect + self.path)
                self.end_headers()
                return
            if state.status is not None:
                self.send_error(state.status)
                return
            body = state.files[unquote(self.path.removeprefix("/moved").lstrip("/"))]
            start = 0
            if wanted and state.ranges:
                start = int(re.fullmatch(r"bytes=([0-9]+)-", wanted)[1])  # type: ignore[index]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            body = body[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.drops and state.drop_after is not None:
                state.drops -= 1
                body = body[: state.drop_after]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listening.server_port}"
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def real() -> Path:
    """Return the folder of real judgments; skip the test without it."""
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA is not set")
    return Path(os.environ["LEGALRR_DATA"])
