"""A call that the server refuses is an error of its judgment, if the server answers others; these go on."""

import csv
import json

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai import refusals
from legalrr.configuration import compose
from legalrr.errors import UserError
from legalrr.predictors import visible_text
from legalrr.report.sweep import show, write_report
from legalrr.run.cell import PreparedCell, run_cell
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import build_pipeline
from legalrr.run.prefetch import prefetch
from legalrr.stage import identity

WORDS = "The response was filtered due to the prompt triggering the content management policy."
GENERAL = "Bad Request: no such luck"


def pipeline(server, folder, *more, arm="c", limit="6"):
    options = {"model": "m", "context": 8192, "base_url": server.url, "retries": 1}
    chosen = [f"backbone.{option}={value}" for option, value in options.items()]
    chosen += ["score.resamples=99", "score.permutations=99"]
    overrides = [f"arm={arm}", f"limit={limit}", f"runs={folder}", "backbone=local", "engine=server", *chosen, *more]
    return build_pipeline(compose("config", overrides))


def shows(body, text):
    return any(text in message["content"] for message in body["messages"])


def general(handler):
    handler.reply(400, {"error": {"message": GENERAL, "type": "BadRequestError"}})


def refusal(handler):
    handler.reply(400, {"error": {"message": WORDS, "code": "content_filter"}})


def stopped(handler):
    status, body = handler.loopback.answer(handler.path, handler.loopback.asked[-1])
    body["choices"][0]["finish_reason"] = "content_filter"
    handler.reply(status, body)


@pytest.mark.parametrize("fault", [refusal, stopped])
def test_one_refused_judgment_is_invalid_with_its_reason_and_the_rest_goes_on(serve, waits, tmp_path, fault):
    first = []

    def filtered(body):
        shown = body["messages"][1]["content"]
        first.append(shown)
        return fault if shown == first[0] and refusing else None

    refusing = True
    server = serve(EchoBackbone().load(), filtered)
    run_cell(pipeline(server, tmp_path), tmp_path / "cell")
    rows = [json.loads(line) for line in (tmp_path / "cell" / "predictions.jsonl").read_text("utf-8").splitlines()]
    (refused,) = [row for row in rows if row["error"]]
    assert len(rows) == 6
    assert (refused["verdict"], refused["reason"]) == ("invalid", "error")
    assert "content" in refused["error"]
    assert json.loads((tmp_path / "cell" / "scores.json").read_text("utf-8"))
    made = len(server.asked)
    refusing = False
    run_cell(pipeline(server, tmp_path), tmp_path / "stored")
    kept = (tmp_path / "stored" / "predictions.jsonl").read_bytes()
    assert kept == (tmp_path / "cell" / "predictions.jsonl").read_bytes()
    assert len(server.asked) == made, "a stored refusal is not sent again"
    run_cell(pipeline(server, tmp_path, "retry_errors=true"), tmp_path / "again")
    rows = [json.loads(line) for line in (tmp_path / "again" / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert not any(row["error"] for row in rows)
    assert len(server.asked) - made == 4, "only the refused conversation is sent again"


def test_a_server_that_refuses_every_call_is_an_error(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "MAX_REFUSED", 3)
    server = serve(EchoBackbone().load(), lambda body: refusal)
    with pytest.raises(UserError, match=r"^call .*: 4 refusals in a row: .*content management policy"):
        run_cell(pipeline(server, tmp_path), tmp_path / "cell")


def test_a_filter_that_refuses_many_judgments_in_a_row_and_lets_others_pass_ends_no_run(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "MAX_REFUSED", 3)
    server = serve(EchoBackbone().load(), lambda body: None if shows(body, "Answer YES.") else refusal)
    run_cell(pipeline(server, tmp_path), tmp_path / "cell")
    rows = [json.loads(line) for line in (tmp_path / "cell" / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert [row["reason"] for row in rows] == ["error"] * 6


def test_a_sweep_of_200_calls_with_one_refused_judgment_finishes(serve, waits, tmp_path):
    refused = ""
    server = serve(EchoBackbone().load(), lambda body: general if refused and shows(body, refused) else None)
    arms = {arm: pipeline(server, tmp_path, arm=arm, limit="null") for arm in ("plain", "c", "dc")}
    cell = PreparedCell(pipeline=arms["plain"], timer=StageTimer())
    judgments, _ = cell.judgments(None)
    judgment = judgments[3]
    refused = visible_text(cell.case(judgment, cell.segment([judgment])[judgment.id], None).document)[:200]
    fresh = {}
    prefetch(list(arms.values()), fresh)
    for number, one in enumerate(arms.values()):
        run_cell(one, tmp_path / "sweep" / str(number), fresh[identity(one.backbone)])
    assert len(server.asked) >= 200
    write_report(show(tmp_path / "sweep"), tmp_path / "sweep")
    for number in range(len(arms)):
        lines = (tmp_path / "sweep" / str(number) / "predictions.jsonl").read_text("utf-8").splitlines()
        invalid = [row for row in map(json.loads, lines) if row["verdict"] == "invalid"]
        assert [(row["id"], row["reason"]) for row in invalid] == [(judgment.id, "error")]
        assert f"refuses the request (400): {GENERAL}" in invalid[0]["error"]
    rows = list(csv.DictReader((tmp_path / "sweep" / "results.csv").read_text("utf-8").splitlines()))
    assert [(row["status"], row["invalid_error"]) for row in rows] == [("done", "1")] * len(arms)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_is_checked_by_one_test_request_without_the_judgment(serve, waits, tmp_path, status):
    def fault(body):
        return (
            (lambda handler: handler.reply(status, {"detail": GENERAL}))
            if body["messages"][1]["content"] != refusals.TEST_CONTENT
            else None
        )

    server = serve(EchoBackbone().load(), fault)
    one = pipeline(server, tmp_path, arm="direct", limit="1")
    run_cell(one, tmp_path / "cell")
    (refused, tested) = server.asked
    assert tested == refused | {"messages": [refused["messages"][0], {"role": "user", "content": "Answer YES."}]}
    (row,) = map(json.loads, (tmp_path / "cell" / "predictions.jsonl").read_text("utf-8").splitlines())
    assert (row["reason"], GENERAL in row["error"]) == ("error", True)


@pytest.mark.parametrize("test_request", [general, refusal, lambda handler: handler.reply(401, {})])
def test_a_server_that_refuses_the_test_request_too_is_an_error_at_once(serve, waits, tmp_path, test_request):
    server = serve(EchoBackbone().load(), lambda body: test_request if shows(body, "Answer YES.") else general)
    with pytest.raises(UserError, match=rf"^call .*: http.* refuses the request \(400\): {GENERAL}"):
        run_cell(pipeline(server, tmp_path), tmp_path / "cell")
    assert len(server.asked) == 2 * 6


@pytest.mark.parametrize(
    "words", ["Unsupported value: 'temperature' does not support 0.0 with this model.", "System role not supported"]
)
def test_a_refused_parameter_or_role_is_an_error_without_a_test_request(serve, waits, tmp_path, words):
    server = serve(EchoBackbone().load(), lambda body: lambda handler: handler.reply(400, {"error": words}))
    with pytest.raises(UserError, match=r"\(set (backbone\.temperature=null|annotate\.system=first_user)"):
        run_cell(pipeline(server, tmp_path), tmp_path / "cell")
    assert len(server.asked) == 6


def test_refusals_in_general_words_in_a_row_are_an_error_too(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "MAX_REFUSED", 3)
    server = serve(EchoBackbone().load(), lambda body: None if shows(body, "Answer YES.") else general)
    with pytest.raises(UserError, match=rf"^call .*: 4 refusals in a row: .*{GENERAL}"):
        run_cell(pipeline(server, tmp_path), tmp_path / "cell")
