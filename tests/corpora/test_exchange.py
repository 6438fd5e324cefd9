"""Judgments with roles written for Label Studio, datasets and spaCy, and read back as they were."""

import json
from dataclasses import replace
from itertools import count, pairwise

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from legalrr.corpora.catalogue import card
from legalrr.corpora.exchange import (
    FORMATS,
    export,
    to_dataset,
    to_docbin,
    with_roles,
)
from legalrr.corpora.files import check_plain_text
from legalrr.corpora.label_studio import LabelStudio
from legalrr.errors import UserError
from legalrr.protocols import Corpus
from legalrr.records import OUTCOMES, PARTIES, Judgment, Segments, Span
from legalrr.roles import scheme

READ_BACK = tuple(format for format in FORMATS if format != "jsonl")
NUMBERS = count()


def same(format: str, found: list[Judgment], given: list[Judgment]) -> bool:
    """Return whether judgments are equal except for the source; the split in Label Studio is that of the file."""
    changes = {"source": ""} | ({"split": "mine"} if format == "label-studio" else {})
    return [replace(one, **changes) for one in found] == [replace(one, **changes) for one in given]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
ODD = st.sampled_from(
    [
        "\r\n",
        "\x00\x07\x1b",
        "\u2028\u2029\x85",
        "\ufeff\u200d\u202e",
        "e\u0301",
        "\U0001f468\u200d\U0001f469",
        "\U00020000",
        "अपील।",
        "הערעור",
        "  \t ",
        '"\\/',
        "dismissed.The",
    ]
)
GOLD = st.just(1.0)


def is_plain(text: str) -> bool:
    """Whether text is not taken for RTF, HTML or a table, whose marks hypothesis takes from the code."""
    try:
        check_plain_text(text, where="text")
    except UserError:
        return False
    return bool(text.strip())


TEXTS = st.lists(WORDS | ODD, min_size=1, max_size=8).map("".join).filter(is_plain)


@st.composite
def judgments(draw, scheme_name: str, scores=GOLD) -> list[Judgment]:
    codes = [role.code for role in scheme(scheme_name).roles]
    found = []
    optional = st.none() | WORDS
    for key in draw(st.lists(WORDS.filter(str.strip), min_size=1, max_size=3, unique=True)):
        text = draw(TEXTS)
        cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
        spans = tuple(
            Span(start=start, end=end, role=draw(st.sampled_from(codes)), score=draw(scores))
            for start, end in pairwise(cuts)
            if draw(st.booleans())
        )
        found.append(
            Judgment(
                id=key,
                text=text,
                outcome=draw(st.none() | st.sampled_from(OUTCOMES)),
                confidence=draw(st.sampled_from([None, "high", "medium", "low"])),
                party=draw(st.none() | st.sampled_from(PARTIES)),
                petitioner=draw(optional),
                court=draw(optional),
                year=draw(st.none() | st.integers(1, 9999)),
                kind=draw(optional),
                group=draw(optional),
                split=draw(st.none() | st.sampled_from(["train", "test"])),
                scheme=scheme_name,
                spans=spans,
            )
        )
    return found


WITHIN_A_TOKEN = Judgment(
    id="a",
    text="No.The end. \n",
    scheme="build",
    spans=(
        Span(start=0, end=3, role="FAC"),
        Span(start=3, end=6, role="RPC"),
        Span(start=11, end=12, role="NONE"),
    ),
)


@pytest.mark.parametrize("format", READ_BACK)
@pytest.mark.parametrize("scheme_name", ["build", "seven"])
def test_gold_roles_survive_a_round_trip(format, scheme_name, tmp_path_factory, read_back):
    folder = tmp_path_factory.mktemp("gold")

    @settings(max_examples=25)
    @given(judgments(scheme_name))
    @example(
        [replace(WITHIN_A_TOKEN, scheme=scheme_name, spans=WITHIN_A_TOKEN.spans[: 2 if scheme_name == "seven" else 3])]
    )
    @example([replace(WITHIN_A_TOKEN, scheme=scheme_name, spans=())])
    def check(given):
        path = folder / str(next(NUMBERS))
        assert export(given, path, format=format) == len(given)
        assert same(format, read_back(format, path, scheme=scheme_name), given)

    check()


@pytest.mark.parametrize("format", READ_BACK)
def test_predicted_roles_survive_a_round_trip_only_with_tagged(format, tmp_path_factory, read_back):
    folder = tmp_path_factory.mktemp("tagged")

    @settings(max_examples=15)
    @given(judgments("build", scores=st.floats(0, 1)))
    def check(given):
        path = folder / str(next(NUMBERS))
        export(given, path, format=format, tagger="crf")
        assert same(format, read_back(format, path, tagged=True), given)
        assert same(format, read_back(format, path), [replace(one, scheme=None, spans=None) for one in given])

    check()


@pytest.mark.parametrize("format", READ_BACK)
def test_the_specimen_is_converted_between_formats_unchanged(format, tmp_path, read_back):
    given = list(card("specimen").reader().read(None))
    export(given, tmp_path / "first", format=format)
    for other in READ_BACK:
        export(read_back(format, tmp_path / "first"), tmp_path / other, format=other)
        found = read_back(other, tmp_path / other)
        assert [(one.id, one.text, one.outcome, one.spans) for one in found] == [
            (one.id, one.text, one.outcome, one.spans) for one in given
        ]


def test_roles_of_a_tagger_are_label_studio_predictions(few, tmp_path):
    export(few, tmp_path / "t.json", format="label-studio", tagger="crf")
    first, _ = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert "annotations" not in first
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == "crf"
    assert prediction["result"][1] == {
        "id": "1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 7, "end": 13, "text": "Order.", "labels": ["RPC"]},
        "score": 0.75,
    }
    assert first["data"]["text"] == few[0].text
    assert first["data"]["judgment"]["outcome"] == "allowed"


def test_corrections_in_label_studio_are_read_as_gold(few, tmp_path, read_back):
    path = tmp_path / "t.json"
    export(few, path, format="label-studio", tagger="crf")
    tasks = json.loads(path.read_text("utf-8"))
    for number, one in enumerate(tasks):
        one["id"] = 900 + number
        one["annotations"] = [{"id": 1, "completed_by": 1, "result": one["predictions"][0]["result"][:1]}]
    path.write_text(json.dumps(tasks), "utf-8")
    assert [(one.id, [span.role for span in one.spans]) for one in read_back("label-studio", path)] == [
        ("a", ["FAC"]),
        ("b", ["FAC"]),
    ]


def test_the_outcomes_csv_overrides_outcomes_in_a_label_studio_file(few, tmp_path, write):
    path = tmp_path / "t.json"
    export(few, path, format="label-studio")
    outcomes = write("o.csv", "index,id,kind,label,confidence,duplicate_of\n0,1,appeal_or_petition,0,low,\n")
    corpus = LabelStudio(name="c", files={"mine": str(path)}, outcomes={"mine": str(outcomes)})
    assert [(one.id, one.outcome, one.confidence) for one in corpus.read(None)] == [
        ("a", "dismissed", "low"),
        ("b", None, None),
    ]


def test_facts_that_are_not_an_object_are_rejected(few, tmp_path, user_error, read_back):
    path = tmp_path / "t.json"
    export(few[:1], path, format="label-studio")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["data"]["judgment"] = "a"
    path.write_text(json.dumps(tasks), "utf-8")
    with user_error("t.json item 0", "data.judgment is not an object"):
        read_back("label-studio", path)


@pytest.mark.parametrize("format", ["dataset", "docbin"])
def test_splits_are_selected_and_missing_party_and_court_filled_in(format, few, tmp_path, user_error, reader):
    export(few, tmp_path / "x", format=format)
    corpus = reader(format, tmp_path / "x", party="appellant", court="High Court", split="test")
    assert isinstance(corpus, Corpus)
    assert corpus.paths("test") == [tmp_path / "x"]
    assert [(one.id, one.party, one.court) for one in corpus.read("test")] == [("b", "plaintiff", "Mine")]
    assert [(one.party, one.court) for one in corpus.read("train")] == [("appellant", "High Court")]
    with user_error("no split 'dev'", "it has test, train"):
        list(corpus.read("dev"))


def test_a_dataset_has_the_columns_of_a_judgment_and_may_be_split(few, tmp_path, read_back):
    from datasets import DatasetDict

    one = to_dataset(few, tagger="crf")
    assert one[1]["spans"] == [{"start": 0, "end": 6, "role": "FAC", "score": 1.0}]
    assert one["tagger"] == ["crf", "crf"]
    bare = one.remove_columns([name for name in one.column_names if name not in ("id", "text", "spans")])
    DatasetDict(train=bare.select([0]), test=bare.select([1])).save_to_disk(str(tmp_path / "d"))
    assert [(j.id, j.split) for j in read_back("dataset", tmp_path / "d")] == [("a", "train"), ("b", "test")]


def test_spans_corrected_in_spacy_are_read_by_their_tokens(few, tmp_path, user_error, read_back):
    vocab = spacy.blank("en").vocab
    (doc, _) = to_docbin(few).get_docs(vocab)
    group = doc.spans["rhetorical_roles"]
    doc.spans["rhetorical_roles"] = [doc[0:1]]
    doc.spans["rhetorical_roles"].attrs.update(group.attrs)
    kept = DocBin(docs=[doc], store_user_data=True)
    (tmp_path / "x").write_bytes(kept.to_bytes())
    with user_error("x document 1", "1 spans with 2 offsets", "delete attrs['offsets']"):
        read_back("docbin", tmp_path / "x")
    doc.spans["rhetorical_roles"] = [doc.char_span(0, 13, label="NONE")]
    (tmp_path / "x").write_bytes(DocBin(docs=[doc], store_user_data=True).to_bytes())
    (found,) = read_back("docbin", tmp_path / "x")
    assert (found.id, found.outcome, found.spans) == ("a", "allowed", (Span(start=0, end=13, role="NONE"),))


def test_documents_of_the_spacy_component_are_read_without_facts(tmp_path, read_back):
    nlp = spacy.blank("en")
    nlp.add_pipe("rhetorical_roles")
    docs = [nlp("The appellant was convicted. The appeal is dismissed.")]
    (tmp_path / "x").write_bytes(DocBin(docs=docs).to_bytes())
    (found,) = read_back("docbin", tmp_path / "x", tagged=True)
    group = docs[0].spans["rhetorical_roles"]
    assert (found.id, found.text, found.scheme) == ("1", docs[0].text, "build")
    assert [(s.role, s.score) for s in found.spans] == list(
        zip([span.label_ for span in group], group.attrs["scores"], strict=True)
    )
    (untagged,) = read_back("docbin", tmp_path / "x")
    assert untagged.spans is None


def test_a_json_line_has_roles_without_the_text(few, tmp_path):
    segments = Segments(id="a", scheme="build", spans=(Span(start=0, end=6, role="FAC", score=0.123456),))
    export([with_roles(few[0], segments)], tmp_path / "x.jsonl", format="jsonl", tagger="crf")
    assert json.loads((tmp_path / "x.jsonl").read_text("utf-8")) == {
        "id": "a",
        "scheme": "build",
        "segment": "crf",
        "spans": [{"start": 0, "end": 6, "role": "FAC", "score": 0.1235}],
    }
