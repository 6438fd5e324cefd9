"""A loopback server with OpenAI's API, which answers with an engine, or fails as a test requires."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        loopback = self.loopback
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
