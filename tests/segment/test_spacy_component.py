"""The spaCy components: token alignment, roles, multiprocessing, serialization and entry points."""

import json
import pickle
import tomllib
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import DocBin

import legalrr.segment.spacy_component  # noqa: F401
from legalrr.corpora.exchange import align_to_tokens
from legalrr.errors import UserError
from legalrr.records import Judgment
from legalrr.segment.tagger import load_tagger

TEXT = (
    "IN THE HIGH COURT\n\nThe appellant was convicted on 3.4.1961 under s. 302 I.P.C. by the Judge.He appealed. "
    "Counsel urged that the witnesses were interested.\n  The appeal is dismissed with costs.\n"
)


def pipeline(**config) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("legal_sentences")
    nlp.add_pipe("rhetorical_roles", config=config)
    return nlp


def roles(doc) -> list[tuple]:
    group = doc.spans["rhetorical_roles"]
    return [
        (span.start, span.end, span.label_, score, tuple(offsets))
        for span, score, offsets in zip(group, group.attrs["scores"], group.attrs["offsets"], strict=True)
    ]


# ---------------------------------------------------------------- token alignment


def align_reference(tokens, spans):
    """Find the first overlapping span of every token."""
    owner = [
        next((number for number, (start, end) in enumerate(spans) if a < end and start < b), None) for a, b in tokens
    ]
    found = []
    for number in sorted({number for number in owner if number is not None}):
        own = [token for token, other in enumerate(owner) if other == number]
        found.append((own[0], own[-1] + 1, number))
    return found


@st.composite
def intervals(draw, limit=40):
    cuts = sorted(draw(st.sets(st.integers(0, limit), max_size=12)))
    return [pair for pair in pairwise(cuts) if draw(st.booleans())]


@given(intervals(), intervals())
@example([(0, 9)], [(0, 2), (3, 5), (5, 9)])
@example([(2, 4), (4, 6)], [(0, 1), (3, 5)])
def test_a_token_belongs_to_the_first_span_that_it_overlaps(tokens, spans):
    found = align_to_tokens(tokens, spans)
    assert found == align_reference(tokens, spans)
    assert all(a < b for a, b, _ in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


@pytest.fixture(scope="module")
def built() -> Language:
    return pipeline()


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
@example("The end.The start.\n\n\tNo. ")
@example(" \n ")
@example("आदेश। הערעור נדחה. e\u0301\u200d")
def test_spans_cover_every_visible_character(built, text):
    doc = built(text)
    inside = {at for span in doc.spans["rhetorical_roles"] for at in range(span.start_char, span.end_char)}
    assert all(at in inside for at, character in enumerate(text) if not character.isspace())
    assert doc.text == text
    assert not len(doc) or sum(len(sentence) for sentence in doc.sents) == len(doc)


# ---------------------------------------------------------------- components


@pytest.mark.parametrize("scheme", ["build", "seven"])
def test_roles_scores_and_offsets_equal_those_of_the_tagger(scheme):
    doc = pipeline(scheme=scheme)(TEXT)
    segments = load_tagger("crf", scheme=scheme).segment(Judgment(id="a", text=TEXT))
    found = roles(doc)
    assert [(role, score, offsets) for _, _, role, score, offsets in found] == [
        (span.role, span.score, (span.start, span.end)) for span in segments.spans
    ]
    assert doc.spans["rhetorical_roles"].attrs["scheme"] == scheme
    assert doc.user_data == {}


def test_sentences_equal_those_of_the_splitter_in_whole_tokens():
    doc = pipeline()("\n  The appeal fails.  No costs.\n\nDelhi. ")
    assert [sentence.text for sentence in doc.sents] == ["\n  The appeal fails.  ", "No costs.\n\n", "Delhi."]


def test_a_sentence_within_a_token_joins_the_previous_one():
    nlp = pipeline()
    doc = nlp.make_doc("He came.He left.He slept. So ends it.")
    for pipe in ("legal_sentences", "rhetorical_roles"):
        doc = nlp.get_pipe(pipe)(doc)
    assert doc.spans["rhetorical_roles"][0].text.startswith("He came.")
    assert doc.spans["rhetorical_roles"][-1].text == "So ends it."


def test_the_name_of_the_span_group_can_be_set():
    doc = pipeline(spans_key="roles")(TEXT)
    assert list(doc.spans) == ["roles"]


def test_an_empty_document_has_an_empty_group():
    doc = pipeline()("")
    assert len(doc.spans["rhetorical_roles"]) == 0


def test_several_processes_give_the_same_roles_as_one():
    nlp = pipeline()
    texts = [TEXT, "The appeal is allowed.", "", TEXT[::-1]]
    assert [roles(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=1)] == [roles(nlp(text)) for text in texts]


def test_roles_survive_a_docbin():
    nlp = pipeline()
    doc = nlp(TEXT)
    (again,) = DocBin(docs=[doc]).get_docs(nlp.vocab)
    assert roles(again) == roles(doc)


def test_a_saved_pipeline_gives_the_same_roles(tmp_path):
    nlp = pipeline(scheme="seven", prior_correction=0.3)
    nlp.to_disk(tmp_path / "pipe")
    assert roles(spacy.load(tmp_path / "pipe")(TEXT)) == roles(nlp(TEXT))
    other = pipeline(scheme="seven", prior_correction=0.3).from_bytes(nlp.to_bytes())
    assert roles(other(TEXT)) == roles(nlp(TEXT))


def test_a_component_can_be_pickled_for_spawned_processes():
    component = pipeline().get_pipe("rhetorical_roles")
    doc = spacy.blank("en")(TEXT)
    assert roles(pickle.loads(pickle.dumps(component))(doc)) == roles(pipeline()(TEXT))


def test_a_pipeline_saved_with_another_model_is_rejected(tmp_path):
    pipeline().to_disk(tmp_path / "pipe")
    path = tmp_path / "pipe" / "rhetorical_roles.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_sha256": "0" * 64}))
    with pytest.raises(UserError, match="rhetorical_roles: the pipeline was saved with another model"):
        spacy.load(tmp_path / "pipe")
    with pytest.raises(UserError, match="another model"):
        pipeline(scheme="seven").get_pipe("rhetorical_roles").from_bytes(
            pipeline().get_pipe("rhetorical_roles").to_bytes()
        )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"segment": "crv"}, r"rhetorical_roles\.segment: no tagger 'crv' .*crf"),
        ({"scheme": "nine"}, "does not tag the roles of 'nine'"),
        ({"segment": "gold"}, "'gold' does not tag the roles of 'build'"),
        ({"prior_correction": 2.0}, "prior_correction"),
    ],
)
def test_an_invalid_configuration_is_rejected_by_name(config, message):
    with pytest.raises(UserError, match=message):
        pipeline(**config)


def test_a_missing_model_is_reported_on_first_use(tmp_path):
    nlp = pipeline(model=str(tmp_path / "none.crfsuite"))
    with pytest.raises(UserError, match=r"none\.crfsuite: no such model"):
        nlp(TEXT)


def test_the_entry_points_name_the_factories():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    points = project["entry-points"]["spacy_factories"]
    assert set(points) == {"legal_sentences", "rhetorical_roles"}
    for name, target in points.items():
        module, _, attribute = target.partition(":")
        assert callable(getattr(import_module(module), attribute))
        assert Language.has_factory(name)
