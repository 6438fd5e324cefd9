"""A loopback server with OpenAI's API, which answers with an engine, or fails as a test requires."""

import email
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from legalrr.conversations import CallList
from legalrr.protocols import Call, Engine

Body = dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    """Handler of one request; a fault is a function of the handler that replaces the answer."""

    protocol_version = "HTTP/1.1"
    loopback: "Loopback"

    def do_GET(self) -> None:
        batches = self.loopback.batches
        if batches is None or self.path == "/v1/models":
            self.reply(200 if self.path == "/v1/models" else 404, {"error": {"message": f"no {self.path} here"}})
        else:
            self.reply(*batches.show(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        loopback = self.loopback
        if self.path in ("/v1/files", "/v1/batches"):
            if loopback.batches is None:
                self.reply(404, {"error": {"message": f"no {self.path} here"}})
            elif self.path == "/v1/files":
                self.reply(*loopback.batches.upload(content, self.headers["Content-Type"]))
            else:
                status, made = loopback.batches.make(json.loads(content))
                fault = loopback.misbehave(made)
                self.reply(status, made) if fault is None else fault(self)
            return
        body = json.loads(content)
        with loopback.lock:
            loopback.asked.append(body)
            loopback.authorizations.append(self.headers["Authorization"])
            fault = loopback.misbehave(body)
        try:
            if fault is None:
                self.reply(*loopback.answer(self.path, body))
            else:
                fault(self)
        except ConnectionError:
            self.close_connection = True

    def reply(self, status: int, content: object, **headers: str) -> None:
        """Send JSON, or raw bytes; `retry_after` is the header Retry-After."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"content_type": "application/json", "content_length": str(len(data))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def cut(self, sent: bytes = b"") -> None:
        """Close the connection, after part of a reply or before any."""
        self.wfile.write(sent)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Send nothing until the test ends."""
        self.loopback.over.wait()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@dataclass
class Batches:
    """The batch interface of a server; a batch is worked on when its state is asked for."""

    answer: Callable[[str, Body], tuple[int, Body]]
    work: Callable[[int, list[Body]], dict[str, Any]] = lambda number, requests: {}
    """(number of the batch, its requests) -> fields of the batch, `answered` (number of requests), and `spoilt`, lines
    of the error file by the number of a request."""
    files: dict[str, bytes] = field(default_factory=dict)
    made: list[Body] = field(default_factory=list)

    def upload(self, content: bytes, kind: str) -> tuple[int, Body]:
        parts = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content).get_payload()
        found = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
        assert found["purpose"] == b"batch"
        return 200, self._file(found["file"], "input")

    def make(self, asked: Body) -> tuple[int, Body]:
        assert asked["completion_window"] == "24h"
        assert asked["input_file_id"] in self.files
        id = f"batch_{len(self.made)}"
        self.made.append(asked | {"id": id, "object": "batch", "status": "validating", "created_at": int(time.time())})
        return 200, self.made[-1]

    def show(self, path: str) -> tuple[int, object]:
        kind, *rest = path.removeprefix("/v1/").split("/")
        if kind == "files":
            return (200, self.files[rest[0]]) if rest[0] in self.files else (404, {"error": {"message": "no file"}})
        if not rest:
            return 200, {"object": "list", "data": self.made[::-1], "has_more": False}
        found = next((one for one in self.made if one["id"] == rest[0]), None)
        if found is None:
            return 404, {"error": {"message": "no batch"}}
        if found["status"] == "validating":
            found["status"] = "in_progress"
        elif found["status"] == "in_progress":
            self._finish(found)
        return 200, found

    def requests(self, number: int) -> list[Body]:
        """The requests of a batch."""
        return [json.loads(line) for line in self.files[self.made[number]["input_file_id"]].splitlines()]

    def _finish(self, batch: Body) -> None:
        number = self.made.index(batch)
        requests = self.requests(number)
        found = {"status": "completed", "answered": len(requests), "spoilt": {}} | self.work(number, requests)
        answered, spoilt = found.pop("answered"), found.pop("spoilt")
        batch |= found
        lines = []
        for place, asked in enumerate(requests[:answered]):
            if place not in spoilt:
                status, body = self.answer(asked["url"], asked["body"])
                lines.append({"custom_id": asked["custom_id"], "response": {"status_code": status, "body": body}})
        errors = [{"custom_id": requests[place]["custom_id"], **line} for place, line in spoilt.items()]
        if batch["status"] != "failed":
            # Answers come in any order.
            batch["output_file_id"] = self._file(_lines(lines[::-1]), "output")["id"] if lines else None
            batch["error_file_id"] = self._file(_lines(errors), "errors")["id"] if errors else None
        batch["request_counts"] = {"total": len(requests), "completed": len(lines), "failed": len(errors)}

    def _file(self, content: bytes, kind: str) -> Body:
        id = f"{kind}_{len(self.files)}"
        self.files[id] = content
        return {"id": id, "object": "file", "bytes": len(content), "created_at": 0, "filename": "f", "purpose": "batch"}


def _lines(found: list[Body]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in found).encode()


class Loopback:
    """The server, and the requests that it received."""

    def __init__(
        self,
        engine: Engine,
        misbehave: Callable[[Body], Callable[[Handler], None] | None],
        weigh: Callable[[Sequence[int]], list[float]] | None,
    ) -> None:
        self.engine = engine
        self.misbehave = misbehave
        self.weigh = weigh
        self.asked: list[Body] = []
        self.authorizations: list[str | None] = []
        self.answered: Counter[str] = Counter()
        """Number of correct answers to each conversation."""
        self.batches: Batches | None = None
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"loopback": self}))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def serve_batches(self) -> None:
        """Offer the batch interface."""
        self.batches = Batches(self.answer)

    def answer(self, path: str, body: Body) -> tuple[int, Body]:
        if path == "/v1/chat/completions":
            return self._chat(body)
        if path == "/v1/completions" and self.weigh is not None:
            return self._echo(body)
        return 404, {"error": {"message": f"no {path} here"}}

    def _chat(self, body: Body) -> tuple[int, Body]:
        cap = body.get("max_completion_tokens") or body["max_tokens"]
        call = Call(key="asked", messages=tuple(body["messages"]), max_new_tokens=cap)
        with self.lock:
            ((_, reply),) = [pair for batch in self.engine.answer(CallList([call])) for pair in batch]
            self.answered[json.dumps(body["messages"])] += 1
        if reply.finish_reason == "overflow":
            return 400, {"error": {"message": "too long", "code": "context_length_exceeded"}}
        return 200, {
            "id": "one",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": reply.finish_reason,
                    "message": {"role": "assistant", "content": reply.text},
                }
            ],
            "usage": {
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.new_tokens,
                "total_tokens": reply.prompt_tokens + reply.new_tokens,
            },
        }

    def _echo(self, body: Body) -> tuple[int, Body]:
        """Return log-probabilities of the prompt, None for its first token, and of one more token."""
        assert body["echo"]
        with self.lock:
            rows = [[None, *self.weigh(ids), -1.0] for ids in body["prompt"]]
        return 200, {
            "id": "one",
            "object": "text_completion",
            "created": 0,
            "model": body["model"],
            # Out of order, to test the use of the index.
            "choices": [
                {"index": place, "finish_reason": "length", "text": "", "logprobs": {"token_logprobs": values}}
                for place, values in reversed(list(enumerate(rows)))
            ],
            "usage": {
                "prompt_tokens": sum(map(len, body["prompt"])),
                "completion_tokens": len(rows),
                "total_tokens": sum(map(len, rows)),
            },
        }


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Loopback]]:
    """Function (engine, misbehave, weigh) that starts a server; see `Handler` for faults."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started: list[Loopback] = []

    def start(
        engine: Engine,
        misbehave: Callable[[Body], Callable[[Handler], None] | None] = lambda body: None,
        weigh: Callable[[Sequence[int]], list[float]] | None = None,
    ) -> Loopback:
        started.append(Loopback(engine, misbehave, weigh))
        return started[-1]

    yield start
    for loopback in started:
        loopback.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the waits of the openai package before retries by a list of their seconds."""
    import openai._base_client

    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(openai._base_client.anyio, "sleep", note)
    return noted
