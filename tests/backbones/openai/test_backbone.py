import gzip
import json
import logging
import math
import subprocess
import sys
import traceback
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.openai.prices import Prices
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Backbone, Call, Reply
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import build_pipeline
from legalrr.stage import description, identity

SECRET = "sk-not-a-key-2f9c41"


def backbone(**options):
    return OpenAIBackbone(**({"name": "mock", "model": "m", "context": 1000} | options))


def pipeline(folder, *overrides):
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(compose("config", ["arm=c", "limit=4", f"runs={folder}", *overrides]))


def behind(server, folder, *overrides):
    """A pipeline with the server as backbone."""
    options = {"model": "m", "context": 8192, "base_url": server.url, "concurrency": 3, "retries": 10}
    chosen = [f"backbone.{option}={value}" for option, value in options.items()]
    return pipeline(folder, "backbone=local", "engine=server", *chosen, *overrides)


def rows(folder):
    """Texts and counts, without the seconds."""
    found = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in found:
        for turn in row["turns"]:
            del turn["seconds"]
    return found


def test_it_satisfies_the_protocol():
    assert isinstance(backbone(), Backbone)


def test_a_run_over_a_failing_server_equals_a_run_in_process(serve, waits, tmp_path):
    left = iter(
        [
            lambda handler: handler.reply(429, {}, retry_after="1"),
            lambda handler: handler.reply(500, {}),
            lambda handler: handler.cut(),
            lambda handler: handler.reply(200, b"{"),
        ]
    )
    server = serve(EchoBackbone(cut_every=5).load(), lambda body: next(left, None))
    record = run_cell(behind(server, tmp_path / "far"), tmp_path / "far" / "cell")
    run_cell(pipeline(tmp_path / "near", "backbone=echo", "backbone.cut_every=5"), tmp_path / "near" / "cell")
    assert rows(tmp_path / "far" / "cell") == rows(tmp_path / "near" / "cell")
    assert record["calls"]["made"] == len(server.asked) - 4 == sum(server.answered.values())
    assert set(server.answered.values()) == {1}


def test_a_failed_run_resumes_without_repeating_calls(serve, waits, tmp_path):
    left = iter([None] * 5)
    failing = [True]

    def broken(handler):
        handler.reply(400, {"error": {"message": "not today"}})

    server = serve(EchoBackbone().load(), lambda body: next(left, broken if failing[0] else None))
    with pytest.raises(UserError, match="not today"):
        run_cell(behind(server, tmp_path), tmp_path / "cell")
    assert sum(server.answered.values()) == 5
    failing[0] = False
    record = run_cell(behind(server, tmp_path), tmp_path / "cell")
    assert set(server.answered.values()) == {1}
    assert record["calls"] == {"made": sum(server.answered.values()) - 5, "stored": 5}


def test_the_key_reaches_the_server_and_nothing_else(serve, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LEGALRR_TEST_KEY", f" {SECRET}\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    caplog.set_level(logging.DEBUG)
    left = iter([None] * 4)
    quoting = {"error": {"message": f"Bearer {SECRET} may not do this"}}
    server = serve(EchoBackbone().load(), lambda body: next(left, lambda handler: handler.reply(400, quoting)))
    asking = behind(server, tmp_path, "backbone.api_key_env=LEGALRR_TEST_KEY")
    with pytest.raises(UserError, match="Bearer <key> may not do this") as failed:
        run_cell(asking, tmp_path / "cell")
    assert set(server.authorizations) == {f"Bearer {SECRET}"}
    server.misbehave = lambda body: None
    run_cell(asking, tmp_path / "cell")
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.name for file in written} >= {"run.json", "key.json", "predictions.jsonl"}
    output = "".join(traceback.format_exception(failed.value)) + caplog.text + repr(asking)
    read = {".gz": gzip.decompress}
    for text in [output.encode(), *(read.get(file.suffix, bytes)(file.read_bytes()) for file in written)]:
        assert SECRET.encode() not in text


def test_a_server_without_key_is_not_sent_openais_key(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server = serve(EchoBackbone().load())
    call = Call(key="k", messages=({"role": "user", "content": "YES or NO?"},), max_new_tokens=9)
    assert list(backbone(base_url=server.url).load().answer(CallList([call])))
    assert server.authorizations == ["Bearer none"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_an_error_at_load_even_for_a_loaded_engine(monkeypatch, no_network, value):
    monkeypatch.setenv("LEGALRR_TEST_KEY", SECRET)
    asking = backbone(api_key_env="LEGALRR_TEST_KEY")
    asking.load()
    if value is None:
        monkeypatch.delenv("LEGALRR_TEST_KEY")
    else:
        monkeypatch.setenv("LEGALRR_TEST_KEY", value)
    with pytest.raises(UserError, match=r"^backbone.api_key_env: .*LEGALRR_TEST_KEY.*not set"):
        asking.load()


def test_a_key_with_a_line_break_inside_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("LEGALRR_TEST_KEY", f"{SECRET}\nx")
    with pytest.raises(UserError, match="LEGALRR_TEST_KEY") as refused:
        backbone(api_key_env="LEGALRR_TEST_KEY").load()
    assert SECRET not in str(refused.value)


def test_a_key_in_place_of_its_variables_name_is_refused_without_being_shown():
    with pytest.raises(UserError, match=r"backbone.api_key_env") as refused:
        backbone(api_key_env=SECRET)
    assert SECRET not in str(refused.value)


def test_the_same_backbone_is_loaded_once():
    assert backbone().load() is backbone().load()
    assert backbone(seed=1).load() is not backbone().load()


def test_the_identity_contains_exactly_what_changes_answers():
    changes = {
        "model": "n",
        "base_url": "http://localhost:1/v1",
        "context": 999,
        "tokenizer": "characters:4",
        "temperature": 0.0,
        "reasoning_effort": "low",
        "seed": 1,
        "thinking_tokens": 9,
        "repetition": 2,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    for option, value in changes.items():
        assert identity(backbone(**{option: value})) != identity(backbone()), option
    silent = {
        "name": "another",
        "cap": "max_tokens",
        "reply_model": "another",
        "api_key_env": "X",
        "concurrency": 1,
        "timeout": 1.0,
        "chat_template_seconds": 1.0,
        "reply_megabytes": 1,
        "retries": 0,
        "prices": Prices(input=1.0),
        "batch": True,
        "batch_requests": 9,
    }
    assert identity(backbone(**silent)) == identity(backbone())
    assert set(description(backbone())["fields"]) == {*changes, "tokenizer_revision"} - {"chat_template_kwargs"}


def test_the_identity_of_several_servers_does_not_depend_on_their_urls(tmp_path):
    def several(*urls):
        chosen = ["backbone=local", "engine=server", "backbone.model=m", f"backbone.base_url=[{','.join(urls)}]"]
        return pipeline(tmp_path, *chosen).backbone

    both = several("http://a:8000/v1", "http://b.example.org:8000/v1")
    assert both.urls == ("http://a:8000/v1", "http://b.example.org:8000/v1")
    alone = several("https://c/v1")
    assert identity(both) == identity(alone) != identity(replace(both, base_url="http://a:8000/v1"))
    assert "example" not in json.dumps(description(both))
    assert identity(replace(both, seed=None)) == identity(both)


def test_a_local_tokenizer_is_identified_by_its_content(tiny, tmp_path):
    assert backbone().provenance() == {}
    (digest,) = backbone(tokenizer=str(tiny)).provenance().values()
    assert len(digest) == 64
    with pytest.raises(UserError, match="no such tokenizer"):
        backbone(tokenizer=str(tmp_path / "none" / "here")).provenance()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"logprobs": "all"}, "logprobs: unknown logprobs 'all'"),
        (
            {"structured": "guided_choice"},
            "structured: unknown structured .guided_choice. .use none, structured_outputs, json_schema",
        ),
        ({"cap": "length"}, "cap: unknown cap 'length'"),
        ({"context": 0}, "context: context is 0"),
        ({"thinking_tokens": -1}, "thinking_tokens"),
        ({"thinking_tokens": 1000}, "thinking_tokens: thinking_tokens=1000 leaves no room"),
        ({"repetition": 0}, "repetition"),
        ({"concurrency": 0}, "concurrency"),
        ({"retries": -1}, "retries"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"temperature": -1.0}, "temperature"),
        ({"tokenizer": "characters:0"}, "tokenizer: 'characters:0'"),
        ({"tokenizer": "characters:2.5"}, "tokenizer: 'characters:2.5'"),
        ({"logprobs": "echo"}, "tokenizer: logprobs=echo"),
        ({"base_url": "localhost:8000"}, "base_url: 'localhost:8000'"),
        ({"base_url": ""}, "base_url"),
        ({"base_url": "http://me:secret@there/v1"}, "base_url: a URL with a user"),
        ({"base_url": "http://there/v1?key=secret"}, "base_url: a URL with a user"),
        ({"base_url": []}, "base_url: a list without a server"),
        ({"base_url": ["http://a/v1", "localhost:8000"]}, "base_url: 'localhost:8000'"),
        ({"base_url": ["http://a/v1", "http://me:secret@b/v1"]}, "base_url: a URL with a user"),
        (
            {"base_url": ["http://a/v1", "http://b/v1", "http://a/v1/"]},
            "base_url: http://a/v1 stands in the list 2 times",
        ),
        ({"base_url": ["http://a/v1", "http://b/v1"], "batch": True}, "base_url: backbone.batch=true with 2 servers"),
        ({"batch_requests": 0}, "batch_requests"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(options, named):
    with pytest.raises(UserError, match=rf"^backbone\.{named}") as refused:
        backbone(**options)
    assert "secret" not in str(refused.value)


def test_prices_are_taken_from_a_config_and_the_command_line(tmp_path):
    chosen = pipeline(tmp_path, "backbone=gpt_4_1", "backbone.prices.output=9").backbone
    assert chosen.prices.output == 9.0
    with pytest.raises(UserError, match="pricess"):
        pipeline(tmp_path, "backbone=gpt_4_1", "+backbone.prices.pricess=1")


def test_repetitions_are_stored_separately_under_one_name(tmp_path):
    first, second = (pipeline(tmp_path, "backbone=o3_mini", f"repetition={n}").backbone for n in (1, 2))
    assert first.name == second.name
    assert identity(first) != identity(second)
    assert identity(pipeline(tmp_path, "backbone=o3_mini", "backbone.repetition=2").backbone) == identity(second)


def test_a_repetition_has_its_own_seed_if_there_is_one(tmp_path):
    third = pipeline(tmp_path, "backbone=o3_mini", "backbone.seed=7", "repetition=3").backbone
    assert (third.repetition, third.seed) == (3, 9)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("backbone.temperature=0", "^repetition=2: answers at temperature 0 are identical in every repetition"),
        ("backbone.repetition=4", r"^repetition=2: backbone\.repetition=4 is already a repetition"),
    ],
)
def test_a_repetition_of_the_same_run_is_refused(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        pipeline(tmp_path, "backbone=o3_mini", "repetition=2", override)


def test_a_config_is_built_without_importing_openai():
    program = (
        "import sys; from legalrr.backbones.openai.backbone import OpenAIBackbone\n"
        "OpenAIBackbone(name='n', model='m', context=9).provenance()\n"
        "sys.exit(any(heavy in sys.modules for heavy in ('openai', 'httpx2', 'torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


PRICES = Prices(input=2.0, cached_input=0.5, output=8.0)


def priced(prompt=0, cached=0, new=0, reason="stop"):
    return Reply(text="", finish_reason=reason, prompt_tokens=prompt, cached_tokens=cached, new_tokens=new, seconds=0.0)


def test_a_million_of_each_costs_the_three_prices():
    assert PRICES.cost([priced(prompt=2_000_000, cached=1_000_000, new=1_000_000)]) == 10.5
    assert PRICES.cost([]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))))
def test_the_cost_of_many_is_the_sum_of_their_costs(counts):
    replies = [priced(prompt=fresh + cached, cached=cached, new=new) for fresh, cached, new in counts]
    assert PRICES.cost(replies) == pytest.approx(math.fsum(PRICES.cost([one]) for one in replies))


def test_turns_cost_what_their_replies_cost():
    one = priced(prompt=70, cached=30, new=5)
    assert PRICES.cost([one.as_turn("answer")]) == PRICES.cost([one])


def test_a_refused_conversation_costs_nothing_and_an_accepted_overflow_its_tokens():
    assert PRICES.cost([priced(prompt=10**6, reason="overflow")]) == 0.0
    assert PRICES.cost([priced(prompt=10**6, new=1, reason="overflow")]) == pytest.approx(2.000008)


@pytest.mark.parametrize(
    ("prices", "known"),
    [
        (Prices(input=1.0, output=1.0), {"prompt": 1, "new": 1}),
        (Prices(cached_input=1.0), {"prompt": 1, "cached": 1}),
        (Prices(), {}),
    ],
)
def test_a_missing_price_matters_only_for_its_tokens(prices, known):
    assert prices.cost([priced(**known)]) is not None
    assert prices.cost([priced(prompt=2, cached=1, new=1)]) is None


def test_a_backbone_without_prices_has_no_cost():
    options = {"name": "mock", "model": "m", "context": 100}
    assert OpenAIBackbone(**options).cost([priced(new=1)]) is None
    assert OpenAIBackbone(**options, prices=PRICES).cost([priced(new=1)]) == pytest.approx(8e-6)


def test_batches_cost_half_or_what_the_price_table_says(tmp_path):
    asked = backbone(prices=PRICES, batch=True)
    replies = [priced(prompt=2_000_000, cached=1_000_000, new=1_000_000)]
    assert (backbone(prices=PRICES).cost(replies), asked.cost(replies)) == (10.5, 5.25)
    assert replace(asked, prices=replace(PRICES, batch=0.1)).cost(replies) == pytest.approx(1.05)
    assert pipeline(tmp_path, "backbone=o3_mini", "backbone.batch=true").backbone.cost(replies) == pytest.approx(3.025)


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("which", ["input", "cached_input", "output", "batch"])
def test_an_invalid_price_is_refused_by_name(which, price):
    with pytest.raises(UserError, match=f"^backbone.prices.{which}: {which} is"):
        Prices(**{which: price})


def test_arguments_of_the_chat_template_reach_the_server(serve, tmp_path):
    server = serve(EchoBackbone().load())
    plain, quiet = (
        behind(server, tmp_path, *more).backbone
        for more in ([], ["backbone.chat_template_kwargs={enable_thinking: false}"])
    )
    assert quiet.chat_template_kwargs == {"enable_thinking": False}
    assert identity(quiet) != identity(plain)
    call = Call(key="k", messages=({"role": "user", "content": "YES or NO?"},), max_new_tokens=9)
    for backbone in (plain, quiet):
        assert list(backbone.load().answer(CallList([call])))
    assert [body.get("chat_template_kwargs") for body in server.asked] == [None, {"enable_thinking": False}]


def test_sampling_by_the_card_reaches_the_server(serve, tmp_path):
    server = serve(EchoBackbone().load())
    card = "backbone.card={temperature: 0.6, top_p: 0.95, top_k: 20, presence_penalty: 1.5}"
    call = Call(key="k", messages=({"role": "user", "content": "YES or NO?"},), max_new_tokens=9)
    for more in (
        [card],
        [card, "backbone.decoding=card"],
        ["backbone.card={temperature: 0.6}", "backbone.decoding=card"],
    ):
        assert list(behind(server, tmp_path, *more).backbone.load().answer(CallList([call])))
    names = ("temperature", "top_p", "top_k", "presence_penalty")
    assert [[body.get(name) for name in names] for body in server.asked] == [
        [0.0, None, None, None],
        [0.6, 0.95, 20, 1.5],
        [0.6, 1.0, None, 0.0],
    ]
