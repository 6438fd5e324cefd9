"""Calls in batches: answers as one by one, and nothing paid twice, whenever a run is killed."""

import json
import logging
from collections import Counter

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai import batch_interface, batch_run, batches
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.openai.batches import BatchEngine
from legalrr.configuration import compose
from legalrr.conversations import CallList, answer_calls
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import build_pipeline
from legalrr.store import Store

CALLS = [
    Call(key=f"k{number}", messages=({"role": "user", "content": f"Matter {number}: YES or NO?"},), max_new_tokens=16)
    for number in range(6)
]
LENGTH = {"response": {"status_code": 400, "body": {"error": {"message": "-", "code": "context_length_exceeded"}}}}
FILTER = {"response": {"status_code": 400, "body": {"error": {"message": "content management policy"}}}}
GENERAL = {"response": {"status_code": 400, "body": {"error": {"message": "no such luck"}}}}
BUSY = {"response": {"status_code": 500, "body": {"error": {"message": "oh"}}}}
EXPIRED = {"response": None, "error": {"code": "batch_expired", "message": "no time"}}


class KilledError(Exception):
    """The process ends here."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(batch_run, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(batch_interface, "SEARCH_SECONDS", 0.0)


@pytest.fixture
def far(serve):
    """A server with a batch interface."""
    server = serve(EchoBackbone().load())
    server.serve_batches()
    return server


def engine(server, **options):
    fields = {"name": "mock", "model": "m", "base_url": server.url, "context": 8192, "batch": True, "retries": 1}
    return OpenAIBackbone(**(fields | options)).load()


def answers(folder, server, calls=CALLS, **options):
    """Key -> (text or error) of all calls, by way of the store of the folder."""
    store = Store(folder, {})
    try:
        made = dict(answer_calls(calls, store, engine(server, **options), fresh=set()))
    finally:
        store.close()
    return {key: reply.error or reply.text or reply.finish_reason for key, reply in made.items()}


def expected(calls=CALLS):
    return {key: reply.text for batch in EchoBackbone().load().answer(CallList(calls)) for key, reply in batch}


def asked(server):
    """Number of requests in batches, by key."""
    made = range(len(server.batches.made))
    return Counter(one["custom_id"] for number in made for one in server.batches.requests(number))


def records(folder):
    return [json.loads(path.read_text()) for path in (folder / "batches").glob("*.json")]


def test_it_is_an_engine_with_the_answers_of_requests_one_by_one(far, tmp_path):
    assert isinstance(engine(far), Engine)
    assert isinstance(engine(far), BatchEngine)
    assert answers(tmp_path, far) == expected()
    (batch,) = far.batches.made
    assert batch["endpoint"] == "/v1/chat/completions"
    first = far.batches.requests(0)[0]
    sent = {"model": "m", "messages": [dict(one) for one in CALLS[0].messages], "max_completion_tokens": 16}
    assert first == {"custom_id": "k0", "method": "POST", "url": "/v1/chat/completions", "body": sent}
    assert records(tmp_path) == [], "the record of a collected batch is deleted"
    assert answers(tmp_path, far) == expected()
    assert set(asked(far).values()) == {1}


def test_a_run_in_batches_has_one_per_turn_and_the_predictions_of_one_without(far, tmp_path):
    def run(name, *more):
        chosen = ["backbone.model=m", "backbone.context=8192", f"backbone.base_url={far.url}", *more]
        fixed = ["arm=c", "limit=4", "backbone=local", "engine=server", "score.resamples=99", "score.permutations=99"]
        run_cell(build_pipeline(compose("config", [*fixed, *chosen, f"runs={tmp_path / name}"])), tmp_path / name / "c")
        found = [json.loads(one) for one in (tmp_path / name / "c" / "predictions.jsonl").read_text().splitlines()]
        return {row["id"]: [turn["text"] for turn in row["turns"]] for row in found}

    assert run("batches", "backbone.batch=true") == run("single")
    turns = {len(turns) for turns in run("batches", "backbone.batch=true").values()}
    assert {len(far.batches.made)} == turns


def test_batches_are_split_by_requests_and_bytes(far, tmp_path, monkeypatch):
    assert answers(tmp_path / "a", far, batch_requests=4) == expected()
    assert [len(far.batches.requests(number)) for number in range(2)] == [4, 2]
    line = len(far.batches.files["input_0"]) // 4
    monkeypatch.setattr(batches, "MOST_BYTES", 2 * line + 10)
    assert answers(tmp_path / "b", far) == expected()
    assert [len(far.batches.requests(number)) for number in range(2, 5)] == [2, 2, 2]


@pytest.mark.parametrize("moment", ["made", "look", "collected"])
def test_a_run_killed_after_it_has_made_a_batch_collects_that_batch(far, tmp_path, monkeypatch, moment):
    def killed(*given, **more):
        raise KilledError

    with monkeypatch.context() as patch:
        if moment == "made":
            # The batch is made, and its id was not written.
            real = batch_interface.BatchInterface.make
            patch.setattr(batch_interface.BatchInterface, "make", lambda *given: killed(real(*given)))
        elif moment == "look":
            patch.setattr(batch_interface.BatchInterface, "state", killed)
        else:
            patch.setattr(Store, "add", killed)
        with pytest.raises(KilledError):
            answers(tmp_path, far)
    assert [len(one["keys"]) for one in records(tmp_path)] == [6]
    assert answers(tmp_path, far) == expected()
    assert set(asked(far).values()) == {1}
    assert len(far.batches.made) == 1
    assert records(tmp_path) == []


def test_a_run_killed_before_its_batch_was_made_makes_it(far, tmp_path, monkeypatch):
    def killed(*given):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(batch_interface.BatchInterface, "make", killed)
        with pytest.raises(KilledError):
            answers(tmp_path, far)
    assert far.batches.made == []
    assert answers(tmp_path, far) == expected()
    assert len(far.batches.made) == 1


def test_a_run_of_fewer_calls_leaves_the_others_of_a_batch_for_later(far, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_interface.BatchInterface, "state", lambda *given: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            answers(tmp_path, far)
    assert answers(tmp_path, far, CALLS[:2]) == expected(CALLS[:2])
    assert [one["keys"] for one in records(tmp_path)] == [["k2", "k3", "k4", "k5"]]
    assert answers(tmp_path, far) == expected()
    assert set(asked(far).values()) == {1}


def test_a_batch_whose_reply_is_lost_is_not_made_twice(far, tmp_path):
    left = iter([lambda handler: handler.cut()])
    far.misbehave = lambda body: next(left, None) if "input_file_id" in body else None
    assert answers(tmp_path, far) == expected()
    assert len(far.batches.made) == 1


def test_answers_of_an_expired_batch_are_stored_and_the_rest_is_asked_again(far, tmp_path):
    gone = dict.fromkeys(range(2, 6), EXPIRED)
    far.batches.work = lambda number, requests: {} if number else {"status": "expired", "answered": 2, "spoilt": gone}
    assert answers(tmp_path, far) == expected()
    assert asked(far) == {"k0": 1, "k1": 1} | dict.fromkeys(["k2", "k3", "k4", "k5"], 2)


@pytest.mark.parametrize(("status", "answered"), [("expired", 0), ("cancelled", 2)])
def test_a_batch_that_brings_no_more_ends_the_run_and_keeps_its_answers(far, tmp_path, status, answered):
    far.batches.work = lambda number, requests: {} if number else {"status": status, "answered": answered}
    with pytest.raises(UserError, match=rf"^backbone\.batch: batch batch_0 .*{6 - answered} of its calls"):
        answers(tmp_path, far)
    assert len(Store(tmp_path, {})) == answered
    assert answers(tmp_path, far) == expected()
    assert len(far.batches.requests(1)) == 6 - answered


def test_errors_of_single_requests_are_those_of_their_calls(far, tmp_path):
    spoilt = {1: LENGTH, 2: FILTER, 3: GENERAL, 4: BUSY}
    far.batches.work = lambda number, requests: {} if number else {"spoilt": spoilt}
    found = answers(tmp_path, far)
    assert (found["k1"], "content management" in found["k2"], "no such luck" in found["k3"]) == ("overflow", True, True)
    assert {key: found[key] for key in ("k0", "k4", "k5")} == {key: expected()[key] for key in ("k0", "k4", "k5")}
    assert [one["custom_id"] for one in far.batches.requests(1)] == ["k4"], "what may succeed later is sent again"


def test_a_request_that_never_succeeds_is_named_and_the_other_answers_are_stored(far, tmp_path):
    far.batches.work = lambda number, requests: {"spoilt": {len(requests) - 1: BUSY}}
    with pytest.raises(UserError, match=r"^call k5: 2 batches brought no answer: .*oh"):
        answers(tmp_path, far)
    assert len(Store(tmp_path, {})) == 5


def test_a_server_that_refuses_every_request_is_an_error(far, tmp_path):
    far.batches.work = lambda number, requests: {"spoilt": dict.fromkeys(range(6), GENERAL)}
    far.misbehave = lambda body: None if "input_file_id" in body else lambda handler: handler.reply(400, {})
    with pytest.raises(UserError, match=r"^call k\d: .*no such luck"):
        answers(tmp_path, far)
    assert len(Store(tmp_path, {})) == 0


def test_a_batch_beyond_the_waiting_tokens_is_sent_when_another_has_ended(far, tmp_path):
    full = {"status": "failed", "errors": {"data": [{"code": "token_limit_exceeded", "message": "enqueued"}]}}
    far.batches.work = lambda number, requests: full if number == 1 else {}
    # The first batch takes longer.
    show, looks = far.batches.show, Counter()

    def slow(path):
        looks[path] += 1
        return (200, far.batches.made[0]) if path.endswith("batch_0") and looks[path] < 5 else show(path)

    far.batches.show = slow
    assert answers(tmp_path, far, batch_requests=3) == expected()
    assert len(far.batches.made) == 3


def test_a_failed_batch_is_an_error_with_the_servers_words(far, tmp_path):
    errors = {"data": [{"code": "model_not_found", "message": "m has no batches"}]}
    far.batches.work = lambda number, requests: {"status": "failed", "errors": errors}
    with pytest.raises(UserError, match=r"^backbone\.batch: batch batch_0 failed: m has no batches"):
        answers(tmp_path, far)
    assert records(tmp_path) == []


def test_a_server_without_batches_is_an_error_that_names_the_option(serve, tmp_path):
    with pytest.raises(UserError, match=r"^backbone\.batch: .* has no batch interface \(404\).*backbone\.batch=false"):
        answers(tmp_path, serve(EchoBackbone().load()))


def test_a_batch_that_the_server_does_not_know_is_not_paid_twice(far, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_interface.BatchInterface, "state", lambda *given: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            answers(tmp_path, far)
    far.batches.made.clear()
    with pytest.raises(UserError, match=r"does not find batch batch_0.*delete .*batches/[0-9a-f]{16}\.json"):
        answers(tmp_path, far)
    (file,) = (tmp_path / "batches").iterdir()
    file.write_text("{")
    with pytest.raises(UserError, match="damaged record of a batch"):
        answers(tmp_path, far)
    file.write_text(json.dumps({"url": "http://far:1/v1", "file": "f", "batch": "b", "endpoint": "e", "keys": ["k1"]}))
    with pytest.raises(UserError, match=r"^backbone\.base_url: a batch with 1 of these calls .* http://far:1/v1"):
        answers(tmp_path, far)


def test_the_state_of_a_batch_is_in_the_log(far, tmp_path, caplog):
    caplog.set_level(logging.INFO, "legalrr")
    answers(tmp_path, far)
    lines = [one.getMessage() for one in caplog.records if "batch batch_0" in one.getMessage()]
    assert lines[-1] == "batch batch_0: completed, 6 of 6 requests done"
    assert "6 requests, within 24 hours" in lines[0]


def test_batches_need_one_server():
    with pytest.raises(UserError, match=r"^backbone\.base_url: backbone\.batch=true with 2 servers"):
        OpenAIBackbone(name="n", model="m", context=9, batch=True, base_url=["http://a/v1", "http://b/v1"])
