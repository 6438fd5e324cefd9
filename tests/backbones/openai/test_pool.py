"""Several servers of one model: those of a judgment, those that fail, and those that return."""

import logging
import threading
from collections import Counter
from dataclasses import replace

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai import pool
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.openai.replies import Server
from legalrr.backbones.openai.requests import Requests
from legalrr.backbones.openai.tokens import CharacterTokens
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

OWN = 4
"""Judgments of each server in `shared`."""


def calls_about(judgment):
    return [
        Call(
            key=f"k{judgment}-{turn}",
            messages=({"role": "user", "content": f"Matter {judgment}, turn {turn}: YES or NO?"},),
            max_new_tokens=16,
            about=f"Matter {judgment}",
        )
        for turn in range(3)
    ]


CALLS = [call for judgment in range(OWN) for call in calls_about(judgment)]


def shared(*urls):
    """Calls about as many judgments of each server, one server after the other; the ports of a test are not known."""
    some = make_pool(*urls)
    chosen = {host: [] for host in some.hosts}
    for judgment in range(999):
        calls = calls_about(judgment)
        mine = chosen[some.assign(calls[0])]
        mine += calls if len(mine) < 3 * OWN else ()
    assert all(len(calls) == 3 * OWN for calls in chosen.values())
    return [call for group in zip(*chosen.values(), strict=True) for call in group]


def broken(handler):
    handler.reply(500, {"error": {"message": "oh"}})


def engine(*urls, **options):
    fields = {"name": "mock", "model": "m", "context": 8192, "base_url": list(urls), "retries": 2, "concurrency": 2}
    return OpenAIBackbone(**(fields | options)).load()


def gather(batches, into):
    for batch in batches:
        into += batch


def replies(batches):
    return {key: replace(reply, seconds=0.0) for batch in batches for key, reply in batch}


def expected(calls):
    return replies(EchoBackbone().load().answer(CallList(calls)))


def judgments(server):
    """Judgments that a server was asked about."""
    return {body["messages"][0]["content"].partition(",")[0] for body in server.asked}


@pytest.fixture
def three(serve):
    return [serve(EchoBackbone().load()) for _ in range(3)]


@pytest.fixture
def down(serve):
    """URL of a server that is down."""
    server = serve(EchoBackbone().load())
    server.close()
    return server.url


def make_pool(*urls):
    servers = [
        Server(
            model="m",
            reply_model="m",
            base_url=url,
            key=lambda: None,
            api_key_env=None,
            timeout=1.0,
            retries=0,
            reply_megabytes=1,
        )
        for url in urls
    ]
    requests = Requests(
        model="m",
        tokens=CharacterTokens(3),
        context=99,
        thinking_tokens=0,
        parameters={},
        echoes=False,
        structured="none",
        cap="max_tokens",
    )
    return pool.ServerPool(servers, requests, 2)


def test_calls_about_one_judgment_go_to_the_same_server(three):
    urls = [one.url for one in three]
    calls = shared(*urls)
    assert replies(engine(*urls).answer(CallList(calls))) == expected(calls)
    seen = [judgments(server) for server in three]
    assert [len(one) for one in seen] == [OWN] * 3
    assert len(set.union(*seen)) == 3 * OWN
    assert [len(server.asked) for server in three] == [3 * OWN] * 3


def test_calls_without_a_judgment_are_spread():
    some = make_pool("http://a/v1", "http://b/v1", "http://c/v1")
    chosen = Counter(some.assign(replace(CALLS[0], key=f"key {number}", about="")) for number in range(300))
    assert len(chosen) == 3
    assert min(chosen.values()) > 50


def test_a_server_that_leaves_or_returns_moves_its_own_judgments_only():
    some = make_pool(*(f"http://server-{number}:8000/v1" for number in range(4)))
    calls = [replace(CALLS[0], about=f"judgment {number}") for number in range(200)]
    before = [some.assign(call) for call in calls]
    gone = some.hosts[1]
    gone.failure = "gone"
    after = [some.assign(call) for call in calls]
    assert all(now is then for now, then in zip(after, before, strict=True) if then is not gone)
    moved = {now for now, then in zip(after, before, strict=True) if then is gone}
    assert moved == set(some.hosts) - {gone}, "its judgments are spread over the others"
    gone.failure = None
    assert [some.assign(call) for call in calls] == before


def test_a_server_that_is_down_is_left_out_with_a_warning(three, waits, down, caplog):
    urls = [three[0].url, down, three[1].url]
    calls = shared(*urls)
    assert replies(engine(*urls).answer(CallList(calls))) == expected(calls)
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert line.startswith(f"{down} is left out, and asked again in 5 s: no answer from {down}")
    assert len(three[0].asked) + len(three[1].asked) == len(calls)


def test_a_server_that_dies_within_a_run_loses_no_call(three, waits, caplog):
    left = iter([None] * 4)
    three[1].misbehave = lambda body: next(left, broken)
    urls = [one.url for one in three]
    calls = shared(*urls)
    assert replies(engine(*urls).answer(CallList(calls))) == expected(calls)
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert line.startswith(f"{three[1].url} is left out")
    assert "oh" in line
    answered = sum((server.answered for server in three), Counter())
    assert set(answered.values()) == {1}
    assert sum(three[1].answered.values()) == 4


def test_a_server_that_returns_gets_its_judgments_back(three, waits, monkeypatch):
    monkeypatch.setattr(pool, "FIRST_OUT", 0.01)
    out, back = threading.Event(), threading.Event()

    def leave_out(self, host, words, real=pool.ServerPool._leave_out):
        real(self, host, words)
        out.set()

    def put_back(self, host, real=pool.ServerPool._put_back):
        real(self, host)
        back.set()

    monkeypatch.setattr(pool.ServerPool, "_leave_out", leave_out)
    monkeypatch.setattr(pool.ServerPool, "_put_back", put_back)

    def held(body):
        def reply(handler):
            assert back.wait(60)
            handler.reply(*handler.loopback.answer(handler.path, body))

        return reply

    # It fails until it is left out, and is back before the others answer anything.
    three[1].misbehave = lambda body: None if out.is_set() else broken
    three[0].misbehave = three[2].misbehave = held
    urls = [one.url for one in three]
    calls = shared(*urls)
    asked = engine(*urls)
    assert replies(asked.answer(CallList(calls))) == expected(calls)
    for server in three:
        server.asked.clear()
    assert replies(asked.answer(CallList(calls))) == expected(calls)
    assert [len(judgments(server)) for server in three] == [OWN] * 3


def test_without_any_server_the_error_names_them_all_and_answers_are_kept(three, waits):
    left = iter([None] * 6)
    for server in three[:2]:
        server.misbehave = lambda body: next(left, lambda handler: handler.loopback.close() or handler.cut())
    urls = [one.url for one in three[:2]]
    got = []
    with pytest.raises(UserError) as failed:
        gather(engine(*urls, retries=1).answer(CallList(shared(*urls))), got)
    assert all(url in str(failed.value) for url in urls)
    assert str(failed.value).startswith("backbone.base_url: no server answers: ")
    assert len(got) == sum(sum(server.answered.values()) for server in three[:2]) == 6


def test_servers_that_are_all_down_are_asked_again_by_the_next_run(serve, waits, down):
    other = serve(EchoBackbone().load())
    other.close()
    asked = engine(down, other.url)
    for _ in range(2):
        with pytest.raises(UserError, match=r"^backbone\.base_url: no server answers") as failed:
            list(asked.answer(CallList(CALLS)))
        assert down in str(failed.value)
        assert other.url in str(failed.value)


def test_a_call_that_fails_at_every_server_is_named(three, waits):
    for server in three:
        server.misbehave = lambda body: broken if "Matter 3, turn 1" in str(body) else None
    got = []
    with pytest.raises(UserError, match=r"^call k3-1: .*with up to 5 retries: oh"):
        gather(engine(*(one.url for one in three), retries=5).answer(CallList(CALLS)), got)
    # Three requests to each server, and at last six to one.
    tried = [body for server in three for body in server.asked if "Matter 3, turn 1" in str(body)]
    assert len(tried) == 3 * 3 + 6


def test_concurrency_is_that_of_each_server(serve):
    together = threading.Barrier(4)

    def held(body):
        def reply(handler):
            together.wait(60)
            handler.reply(*handler.loopback.answer(handler.path, body))

        return reply

    urls = [serve(EchoBackbone().load(), held).url for _ in range(2)]
    # All four are under way at once: two at each server.
    calls = shared(*urls)[:4]
    assert len(replies(engine(*urls).answer(CallList(calls)))) == 4
