"""The reader of text with role markers."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.corpora.marked import Marked, parse_marked
from legalrr.roles import BUILD, SEVEN

HEAD = "---\nid: rent-1\n---\n"
SPECIMEN = Path(__file__).parents[2] / "data" / "specimen" / "judgments"

# Text with line ends, brackets and lower-case letters, but without markers and bracketed words.
pieces = st.text(st.sampled_from("ab .,[]\n9T"), min_size=1).filter(
    lambda t: t.strip() and not re.search(r"\[TT|\[\s*\w[\w ]+\]", t)
)


def test_header_and_body_are_parsed(tmp_path, write):
    write(
        "rent-1.txt",
        "---\nid: rent-1\ntitle: A v. B\ncourt: High Court\nyear: 1987\nkind: rent\nparty: petitioner\n"
        "petitioner: Ram\ngroup: rent-a\noutcome: dismissed\n---\n"
        "[PREAMBLE] HEAD\n\n[FAC] 1. He [T]ook it.\n\n2. More. [RLC]\nLost.\n",
    )
    [found] = Marked(name="c", folder=str(tmp_path)).read(None)
    assert found.text == "HEAD\n\n1. He [T]ook it.\n\n2. More. Lost.\n"
    assert [(found.text[s.start : s.end], s.role) for s in found.spans] == [
        ("HEAD", "PREAMBLE"),
        ("1. He [T]ook it.\n\n2. More.", "FAC"),
        ("Lost.", "RLC"),
    ]
    assert (found.id, found.court, found.year, found.kind) == ("rent-1", "High Court", 1987, "rent")
    assert (found.party, found.petitioner, found.outcome) == ("petitioner", "Ram", "dismissed")
    assert (found.group, found.scheme, found.source) == ("rent-a", "build", f"{tmp_path}/rent-1.txt:1")


def test_party_and_court_of_the_corpus_are_defaults_for_the_header(tmp_path, write, user_error):
    write("a.txt", "---\nid: a\n---\n[FAC] x\n")
    write("b.txt", "---\nid: b\nparty: plaintiff\ncourt: High Court\n---\n[FAC] x\n")
    found = Marked(name="c", folder=str(tmp_path), party="petitioner", court="Supreme Court").read(None)
    assert [(j.party, j.court) for j in found] == [("petitioner", "Supreme Court"), ("plaintiff", "High Court")]
    with user_error("corpus c: party", "unknown party 'defendant'"):
        Marked(name="c", folder=str(tmp_path), party="defendant")


def test_only_the_id_is_required():
    found = parse_marked(HEAD + "[ARG] x", roles=SEVEN, source="f")
    assert (found.outcome, found.party, found.year, found.court) == (None, None, None, None)


@given(st.lists(st.tuples(st.sampled_from([role.code for role in BUILD.roles]), pieces), min_size=1))
def test_offsets_reproduce_the_text_of_each_marker(marked):
    body = "".join(f"[{role}] {piece}\n" for role, piece in marked)
    found = parse_marked(HEAD + body, roles=BUILD, source="f")
    assert found.text == "".join(f"{piece}\n" for _, piece in marked)
    assert [(s.role, found.text[s.start : s.end]) for s in found.spans] == [(r, p.strip()) for r, p in marked]
    assert all(a.end <= b.start for a, b in zip(found.spans, found.spans[1:], strict=False))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[PREAMBLE] x\n[FACTS] y", ("f:5", "unknown role 'FACTS'")),
        ("[ARG] x", ("f:4", "unknown role 'ARG'")),
        ("x\n[FAC] y", ("f:4", "text before the first marker")),
        ("plain text", ("f:4", "text before the first marker")),
        ("[FAC] x\n[RLC] [RPC] y", ("f:5", "no text after [RLC]")),
        ("[FAC] x\n[RLC]y", ("f:5", "[RLC] is inside a word")),
        ("[FAC] x[RLC] y", ("f:4", "[RLC] is inside a word")),
        ("[FAC]", ("f:4", "[FAC] is inside a word")),
    ],
)
def test_an_invalid_body_is_reported_with_its_line(user_error, body, words):
    with user_error(*words):
        parse_marked(HEAD + body, roles=BUILD, source="f")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", ("f:1", "no header")),
        ("---\nid: a\n", ("f:1", "no header")),
        ("---\nid: a\ntitle: A: B: C\n---\n", ("f:3", "bad header")),
        ("---\nid: a\nx: \x00\n---\n", ("bad header",)),
        ("---\ntitle: A\n---\n", ("f:2", "no id")),
        ("---\n- a\n---\n", ("f:2", "no id")),
        ("---\nid: a\njudge: B\n---\n", ("f:3", "unknown key 'judge'")),
        ("---\nid: a\npetitioner: No\n---\n", ("petitioner is not a string", "quotes")),
        ("---\nid: a\nyear: eighty\n---\n", ("year 'eighty'",)),
        ("---\nid: a\nyear: true\n---\n", ("year True",)),
        ("---\nid: a\noutcome: won\n---\n", ("outcome 'won'",)),
        ("---\nid: a\nparty: state\n---\n", ("unknown party 'state'",)),
    ],
)
def test_an_invalid_header_is_rejected(user_error, header, words):
    with user_error(*words):
        parse_marked(header + "[FAC] x", roles=BUILD, source="f")


def test_two_files_with_one_id_are_rejected(tmp_path, write, user_error):
    write("a.txt", HEAD + "[FAC] x")
    write("b.txt", HEAD + "[FAC] y")
    corpus = Marked(name="c", folder=str(tmp_path))
    with user_error("b.txt:1", "duplicate id 'rent-1'"):
        list(corpus.read(None))
    with user_error("no split 'test'"):
        corpus.paths("test")


def test_an_unknown_scheme_is_rejected_on_construction(user_error):
    with user_error("unknown role scheme"):
        Marked(name="c", folder="x", scheme="thirteen")


def test_the_specimen_is_complete_and_balanced():
    found = list(Marked(name="specimen", folder=str(SPECIMEN)).read(None))
    assert len(found) == 24
    assert sum(j.outcome == "allowed" for j in found) == 12
    for judgment in found:
        assert judgment.petitioner
        assert judgment.party
        assert judgment.year
        covered = "".join(judgment.text[s.start : s.end] for s in judgment.spans)
        assert len("".join(covered.split())) == len("".join(judgment.text.split()))
