"""A server that is down is found within seconds, and a reply is read within a limit."""

import gzip
import json
import socket

import httpx2
import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai import transport
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

CALL = Call(key="k", messages=({"role": "user", "content": "YES or NO?"},), max_new_tokens=9)
MB = 1_000_000


def engine(url, **options):
    return OpenAIBackbone(**({"name": "mock", "model": "m", "context": 1000, "base_url": url} | options)).load()


def failure(asked, *calls):
    with pytest.raises(UserError) as failed:
        list(asked.answer(CallList(calls or [CALL])))
    return str(failed.value)


def free_url():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def sends(status, content, **headers):
    """Return a fault that sends a reply and reads no further request."""

    def fault(handler):
        handler.close_connection = True
        handler.reply(status, content, **headers)

    return lambda body: fault


def test_a_server_that_is_down_is_found_after_two_retries_and_then_without(waits):
    url = free_url()
    asked = engine(url)
    first = failure(asked)
    assert first.startswith(f"backbone.base_url: no answer from {url}, with up to 2 retries: ConnectError")
    assert waits == list(transport.FIRST_WAITS)
    assert failure(asked) == first
    assert len(waits) == 2


def test_a_server_that_comes_up_is_found_by_the_same_engine(serve, waits):
    server = serve(EchoBackbone().load())
    asked = engine(free_url())
    failure(asked)
    (host,) = asked._pool.hosts
    (host.server,) = (host.connection._server,) = [one.server for one in engine(server.url)._pool.hosts]
    assert list(asked.answer(CallList([CALL])))
    server.close()
    for _ in range(2):
        assert server.url in failure(asked), "the earlier error is forgotten"


def test_an_answered_request_is_retried_as_configured_and_a_lost_server_is_then_found_at_once(serve, waits):
    server = serve(EchoBackbone().load())
    asked = engine(server.url, retries=4)
    assert list(asked.answer(CallList([CALL])))
    server.close()
    assert failure(asked).startswith(f"call k: no answer from {server.url}, with up to 4 retries: ConnectError")
    assert len(waits) == 4
    assert failure(asked).startswith(f"backbone.base_url: no answer from {server.url}, with up to 2 retries")
    assert len(waits) == 6


@pytest.mark.parametrize("error", [httpx2.ReadTimeout, httpx2.RemoteProtocolError])
def test_a_server_without_a_list_of_models_is_asked(serve, monkeypatch, error):
    def fail(*_, **__):
        raise error("no list")

    monkeypatch.setattr(httpx2.AsyncClient, "stream", fail)
    assert list(engine(serve(EchoBackbone().load()).url).answer(CallList([CALL])))


def test_stored_answers_need_no_server(tmp_path):
    assert list(engine(free_url()).answer(CallList([]))) == []


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_reply_beyond_the_limit_is_an_error_without_retries(serve, waits, status):
    long = json.dumps({"choices": [{"message": {"content": "x" * 2 * MB}}]}).encode()
    server = serve(EchoBackbone().load(), sends(status, long))
    error = failure(engine(server.url, reply_megabytes=1))
    assert error == (
        f"call k: a reply of {server.url} has more than 1 MB (check the server, or raise backbone.reply_megabytes)"
    )
    assert (len(server.asked), waits) == (1, [])


def test_the_limit_is_that_of_the_inflated_reply(serve, waits):
    small = gzip.compress(b" " * 100 * MB)
    assert len(small) < MB
    server = serve(EchoBackbone().load(), sends(200, small, content_encoding="gzip"))
    assert "has more than 64 MB" in failure(engine(server.url))


def test_a_compressed_reply_within_the_limit_is_read(serve):
    def fault(handler):
        _, body = handler.loopback.answer(handler.path, handler.loopback.asked[-1])
        handler.reply(200, gzip.compress(json.dumps(body).encode()), content_encoding="gzip")

    server = serve(EchoBackbone().load(), lambda body: fault)
    ((_, reply),) = next(engine(server.url).answer(CallList([CALL])))
    assert reply.text
