"""Judgments with roles written for Label Studio, datasets and spaCy, and read back as they were."""

import json
import tempfile
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from legalrr.corpora.catalogue import card
from legalrr.corpora.exchange import (
    FORMATS,
    DocBinFile,
    SavedDataset,
    export,
    to_dataset,
    to_docbin,
    with_roles,
)
from legalrr.corpora.label_studio import LabelStudio
from legalrr.protocols import Corpus
from legalrr.records import OUTCOMES, PARTIES, Judgment, Segments, Span
from legalrr.roles import scheme

READ_BACK = tuple(format for format in FORMATS if format != "jsonl")
NUMBERS = count()


def reader(format: str, path: Path, *, scheme: str = "build", tagged: bool = False, **fields) -> Corpus:
    if format == "label-studio":
        return LabelStudio(name="c", files={"mine": str(path)}, scheme=scheme, tagged=tagged, **fields)
    if format == "dataset":
        return SavedDataset(name="c", folder=str(path), scheme=scheme, tagged=tagged, **fields)
    return DocBinFile(name="c", file=str(path), scheme=scheme, tagged=tagged, **fields)


def back(format: str, path: Path, **fields) -> list[Judgment]:
    return list(reader(format, path, **fields).read(None))


def same(format: str, found: list[Judgment], given: list[Judgment]) -> bool:
    """Whether judgments are equal but for where they were read from; a split of Label Studio is its file."""
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
TEXTS = st.lists(WORDS | ODD, min_size=1, max_size=8).map("".join).filter(str.strip)


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


AMID_A_TOKEN = Judgment(
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
def test_gold_roles_come_back_as_they_were(format, scheme_name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gold")

    @settings(max_examples=25)
    @given(judgments(scheme_name))
    @example(
        [replace(AMID_A_TOKEN, scheme=scheme_name, spans=AMID_A_TOKEN.spans[: 2 if scheme_name == "seven" else 3])]
    )
    @example([replace(AMID_A_TOKEN, scheme=scheme_name, spans=())])
    def check(given):
        path = folder / str(next(NUMBERS))
        assert export(given, path, format=format) == len(given)
        assert same(format, back(format, path, scheme=scheme_name), given)

    check()


@pytest.mark.parametrize("format", READ_BACK)
def test_roles_and_scores_of_a_tagger_come_back_only_where_they_are_taken_for_gold(format, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagged")

    @settings(max_examples=15)
    @given(judgments("build", scores=st.floats(0, 1)))
    def check(given):
        path = folder / str(next(NUMBERS))
        export(given, path, format=format, tagger="crf")
        assert same(format, back(format, path, tagged=True), given)
        assert same(format, back(format, path), [replace(one, scheme=None, spans=None) for one in given])

    check()


@pytest.mark.parametrize("format", READ_BACK)
def test_the_specimen_goes_from_form_to_form_unchanged(format, tmp_path):
    given = list(card("specimen").reader().read(None))
    export(given, tmp_path / "first", format=format)
    for other in READ_BACK:
        export(back(format, tmp_path / "first"), tmp_path / other, format=other)
        found = back(other, tmp_path / other)
        assert [(one.id, one.text, one.outcome, one.spans) for one in found] == [
            (one.id, one.text, one.outcome, one.spans) for one in given
        ]


@pytest.fixture
def few() -> list[Judgment]:
    text = "Facts. Order."
    spans = (Span(start=0, end=6, role="FAC"), Span(start=7, end=13, role="RPC", score=0.75))
    return [
        Judgment(id="a", text=text, scheme="build", spans=spans, split="train", outcome="allowed"),
        Judgment(id="b", text=text, scheme="build", spans=spans[:1], split="test", party="plaintiff", court="Mine"),
    ]


def test_roles_that_a_tagger_found_are_predictions_for_label_studio(few, tmp_path):
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


def test_corrections_in_label_studio_are_read_as_gold(few, tmp_path):
    path = tmp_path / "t.json"
    export(few, path, format="label-studio", tagger="crf")
    tasks = json.loads(path.read_text("utf-8"))
    for number, one in enumerate(tasks):
        one["id"] = 900 + number
        one["annotations"] = [{"id": 1, "completed_by": 1, "result": one["predictions"][0]["result"][:1]}]
    path.write_text(json.dumps(tasks), "utf-8")
    assert [(one.id, [span.role for span in one.spans]) for one in back("label-studio", path)] == [
        ("a", ["FAC"]),
        ("b", ["FAC"]),
    ]


def test_outcomes_beside_a_label_studio_file_count_before_those_in_it(few, tmp_path, write):
    path = tmp_path / "t.json"
    export(few, path, format="label-studio")
    outcomes = write("o.csv", "index,id,kind,label,confidence,duplicate_of\n0,1,appeal_or_petition,0,low,\n")
    corpus = LabelStudio(name="c", files={"mine": str(path)}, outcomes={"mine": str(outcomes)})
    assert [(one.id, one.outcome, one.confidence) for one in corpus.read(None)] == [
        ("a", "dismissed", "low"),
        ("b", None, None),
    ]


def test_facts_that_are_no_object_are_refused(few, tmp_path, refuses):
    path = tmp_path / "t.json"
    export(few[:1], path, format="label-studio")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["data"]["judgment"] = "a"
    path.write_text(json.dumps(tasks), "utf-8")
    with refuses("t.json item 0", "data.judgment is not an object"):
        back("label-studio", path)


@pytest.mark.parametrize("format", ["dataset", "docbin"])
def test_splits_and_what_a_judgment_does_not_say(format, few, tmp_path, refuses):
    export(few, tmp_path / "x", format=format)
    corpus = reader(format, tmp_path / "x", party="appellant", court="High Court", split="test")
    assert isinstance(corpus, Corpus)
    assert corpus.paths("test") == [tmp_path / "x"]
    assert [(one.id, one.party, one.court) for one in corpus.read("test")] == [("b", "plaintiff", "Mine")]
    assert [(one.party, one.court) for one in corpus.read("train")] == [("appellant", "High Court")]
    with refuses("no split 'dev'", "it has test, train"):
        list(corpus.read("dev"))


def test_a_dataset_has_the_columns_of_a_judgment_and_may_be_split(few, tmp_path):
    from datasets import DatasetDict

    one = to_dataset(few, tagger="crf")
    assert one[1]["spans"] == [{"start": 0, "end": 6, "role": "FAC", "score": 1.0}]
    assert one["tagger"] == ["crf", "crf"]
    bare = one.remove_columns([name for name in one.column_names if name not in ("id", "text", "spans")])
    DatasetDict(train=bare.select([0]), test=bare.select([1])).save_to_disk(str(tmp_path / "d"))
    assert [(j.id, j.split) for j in back("dataset", tmp_path / "d")] == [("a", "train"), ("b", "test")]


def test_spans_corrected_in_spacy_are_read_by_their_tokens(few, tmp_path, refuses):
    vocab = spacy.blank("en").vocab
    (doc, _) = to_docbin(few).get_docs(vocab)
    group = doc.spans["rhetorical_roles"]
    doc.spans["rhetorical_roles"] = [doc[0:1]]
    doc.spans["rhetorical_roles"].attrs.update(group.attrs)
    kept = DocBin(docs=[doc], store_user_data=True)
    (tmp_path / "x").write_bytes(kept.to_bytes())
    with refuses("x document 1", "1 spans with 2 offsets", "delete attrs['offsets']"):
        back("docbin", tmp_path / "x")
    doc.spans["rhetorical_roles"] = [doc.char_span(0, 13, label="NONE")]
    (tmp_path / "x").write_bytes(DocBin(docs=[doc], store_user_data=True).to_bytes())
    (found,) = back("docbin", tmp_path / "x")
    assert (found.id, found.outcome, found.spans) == ("a", "allowed", (Span(start=0, end=13, role="NONE"),))


def test_documents_of_the_spacy_component_are_read_though_they_know_no_judgment(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("rhetorical_roles")
    docs = [nlp("The appellant was convicted. The appeal is dismissed.")]
    (tmp_path / "x").write_bytes(DocBin(docs=docs).to_bytes())
    (found,) = back("docbin", tmp_path / "x", tagged=True)
    group = docs[0].spans["rhetorical_roles"]
    assert (found.id, found.text, found.scheme) == ("1", docs[0].text, "build")
    assert [(s.role, s.score) for s in found.spans] == list(
        zip([span.label_ for span in group], group.attrs["scores"], strict=True)
    )
    (untagged,) = back("docbin", tmp_path / "x")
    assert untagged.spans is None


def test_a_line_of_json_has_roles_without_the_text(few, tmp_path):
    segments = Segments(id="a", scheme="build", spans=(Span(start=0, end=6, role="FAC", score=0.123456),))
    export([with_roles(few[0], segments)], tmp_path / "x.jsonl", format="jsonl", tagger="crf")
    assert json.loads((tmp_path / "x.jsonl").read_text("utf-8")) == {
        "id": "a",
        "scheme": "build",
        "segment": "crf",
        "spans": [{"start": 0, "end": 6, "role": "FAC", "score": 0.1235}],
    }


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("format", FORMATS)
def test_what_no_reader_would_take_is_not_written(format, few, tmp_path, refuses):
    broken = [
        (replace(few[1], spans=None), "b", "no roles to write"),
        (replace(few[1], id="a"), "duplicate id 'a'"),
        (replace(few[1], text="\ud800 " + few[1].text), "half a character"),
        (replace(few[1], spans=(Span(start=0, end=99, role="FAC"),)), "out of range"),
    ]
    for one, *words in broken:
        with refuses(*words):
            export([few[0], one], tmp_path / "x", format=format)
        assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_written_is_refused(few, tmp_path, refuses):
    with refuses("no such folder"):
        export(few, tmp_path / "no" / "x", format="docbin")
    with refuses("unknown format 'xml'", "docbin"):
        export(few, tmp_path / "x", format="xml")
    with refuses("it is a folder"):
        export(few, tmp_path, format="docbin")
    export(few, tmp_path / "x", format="dataset")
    with refuses("it is there already"):
        export(few, tmp_path / "x", format="dataset")


@pytest.mark.parametrize("format", READ_BACK)
def test_another_scheme_is_refused_by_row(format, few, tmp_path, refuses):
    export(few, tmp_path / "x", format=format)
    with refuses(str(tmp_path / "x"), "roles of the scheme 'build'", "set scheme: build"):
        back(format, tmp_path / "x", scheme="seven")


@pytest.mark.parametrize("format", ["dataset", "docbin"])
@pytest.mark.parametrize("content", [b"", b"no such thing", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_damaged_file_is_refused_by_name(format, content, tmp_path, write, refuses):
    path = write("x", content)
    with refuses(str(path), "not a"):
        back(format, path)
    with refuses("no such file or folder"):
        back(format, tmp_path / "none")


def test_a_cut_off_doc_bin_is_refused(few, tmp_path, refuses):
    export(few, tmp_path / "x", format="docbin")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-20])
    with refuses("not a DocBin"):
        back("docbin", tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": "won"}, "outcome 'won'"),
        ({"confidence": "sure"}, "confidence 'sure'"),
        ({"party": "accused"}, "unknown party 'accused'"),
        ({"year": "1999"}, "year is '1999'"),
        ({"id": 7}, "id is 7"),
        ({"id": None}, "empty id"),
        ({"scheme": "nine"}, "roles of the scheme 'nine'"),
    ],
)
def test_a_bad_fact_is_refused_with_its_place(few, tmp_path, refuses, change, words):
    path = tmp_path / "t.json"
    export(few[:1], path, format="label-studio")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["data"]["judgment"].update(change)
    path.write_text(json.dumps(tasks), "utf-8")
    with refuses("t.json item 0", words):
        back("label-studio", path)


@pytest.mark.parametrize("value", [2, "high", True])
def test_a_bad_score_is_refused_with_its_place(few, tmp_path, refuses, value):
    path = tmp_path / "t.json"
    export(few[:1], path, format="label-studio", tagger="crf")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["predictions"][0]["result"][1]["score"] = value
    path.write_text(json.dumps(tasks), "utf-8")
    with refuses("t.json item 0, span 1", "a number from 0 to 1"):
        back("label-studio", path, tagged=True)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"id": ["a"], "text": ["x"]}, "no column 'spans'"),
        ({"id": ["a"], "text": [1], "spans": [[]]}, "the text is int"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0, "end": 1}]]}, "no span"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0, "end": 1, "role": "X"}]]}, "unknown role 'X'"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0.5, "end": 1, "role": "FAC"}]]}, "offsets 0.5"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0, "end": 9, "role": "FAC"}]]}, "out of range"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(rows, words, refuses):
    from datasets import Dataset

    with tempfile.TemporaryDirectory() as folder:
        Dataset.from_dict(rows).save_to_disk(f"{folder}/d")
        with refuses(f"{folder}/d", words):
            back("dataset", Path(folder) / "d")


def test_documents_without_the_group_and_roles_without_a_scheme_are_refused(few, tmp_path, refuses):
    doc = spacy.blank("en")("Facts.")
    (tmp_path / "x").write_bytes(DocBin(docs=[doc]).to_bytes())
    with refuses("x document 1", "no group of spans 'rhetorical_roles'", "it has none"):
        back("docbin", tmp_path / "x")
    doc.spans["mine"] = [doc.char_span(0, 6, label="FAC")]
    (tmp_path / "x").write_bytes(DocBin(docs=[doc]).to_bytes())
    with refuses("it has mine"):
        back("docbin", tmp_path / "x")
    with refuses("x document 1", "roles without a scheme"):
        list(DocBinFile(name="c", file=str(tmp_path / "x"), spans_key="mine").read(None))
    (found,) = back("docbin", tmp_path / "x", spans_key="mine")
    assert found.spans == (Span(start=0, end=6, role="FAC"),)


def test_an_impossible_choice_is_refused_at_once(refuses):
    with refuses("unknown role scheme"):
        SavedDataset(name="c", folder="x", scheme="nine")
    with refuses("unknown party"):
        DocBinFile(name="c", file="x", party="accused")
