"""A call that the server's content filter refuses is an error of its judgment; the others go on."""

import json

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai import engine as openai_engine
from legalrr.configuration import compose
from legalrr.errors import UserError
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import build_pipeline

WORDS = "The response was filtered due to the prompt triggering the content management policy."


def pipeline(server, folder, *more):
    options = {"model": "m", "context": 8192, "base_url": server.url, "retries": 1}
    chosen = [f"backbone.{option}={value}" for option, value in options.items()]
    overrides = ["arm=c", "limit=6", f"runs={folder}", "backbone=openai_local", *chosen, *more]
    return build_pipeline(compose("config", overrides))


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
    monkeypatch.setattr(openai_engine, "MAX_REFUSED", 3)
    server = serve(EchoBackbone().load(), lambda body: refusal)
    with pytest.raises(UserError, match=r"^call .*: 4 refusals in a row: .*content management policy"):
        run_cell(pipeline(server, tmp_path), tmp_path / "cell")
