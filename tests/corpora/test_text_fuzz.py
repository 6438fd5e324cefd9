"""Damaged text, marked text, sentence lines and label files end in judgments or in one UserError with file and line."""

import random
from collections.abc import Iterator

import pytest

from legalrr.corpora.marked import Marked
from legalrr.corpora.text import SentenceLines, TextFolder
from tests.mutations import MUTATIONS, accepted, damaged, ends_well

TEXT = "The appellant is a tenant \u2013 \u201cof the floor\u201d.\n1. He was served. The appeal is allowed.\n".encode()
LINES = b"The appellant was a tenant.\tFacts\nHe was served\ton the day.\tFAC\n\nAllowed.\tRuling by Present Court\n"
ROLES = {"Facts": "FAC", "Ruling by Present Court": "RPC"}
HEADER = b"id: a-1\ntitle: A v B\nyear: 1999\nparty: appellant\noutcome: allowed\n"
BODY = b"[PREAMBLE] IN THE HIGH COURT\n\n[FAC] 1. The appellant is a tenant. [RLC] It\nerred.\n[RPC] Allowed.\n"
MARKED = b"---\n" + HEADER + b"---\n" + BODY
ODD_LINES = (
    b"year: 2001-99-99",
    b"year: 9999-12-31 23:59:99",
    b"id: 2001-01-01",
    b"id: [1]",
    b"id: null",
    b"group: !!python/object/apply:os.system [ls]",
    b"title: &a x\ncourt: *a",
    b"title: &a [x, x]\ncourt: [*a, *a]",
    b"group: " + b"[" * 3000,
    b"group: " + b"{a: " * 3000,
    b"year: " + b"9" * 5000,
    b"year: 0b_",
    b"year: 0x",
    b"year: 1:60:99",
    b"year: .inf",
    b"year: !!bool x",
    b"year: !!int x",
    b"title: !!binary x",
    b"kind: !!timestamp x",
    b'court: "\\uD800"',
    b"? [a]\n: 1",
    b"[x]: 1",
    b"<<: 1",
    b"<<: *a",
    b"%YAML 9.9",
    b"--- x",
    b"...",
    b"party: {a: 1}",
    b"outcome: [1]",
    b"year: 1999\x85",
)


def odd_headers() -> Iterator[bytes]:
    """Yield marked files with one or two odd lines in their headers, some of them damaged further."""
    chance = random.Random(1)
    for number in range(MUTATIONS // 2):
        lines = HEADER.splitlines()
        for _ in range(chance.randint(1, 2)):
            lines[chance.randrange(len(lines))] = chance.choice(ODD_LINES)
        data = b"---\n" + b"\n".join(lines) + b"\n---\n" + BODY
        yield next(damaged(data, number, count=1)) if number % 3 == 0 else data


def test_damaged_marked_text_ends_in_judgments_or_one_line(tmp_path):
    file = tmp_path / "a.txt"
    reader = Marked(name="c", folder=str(tmp_path))
    markers = (b"[FACT] ", b"[Facts] ", b"\n[ RPC ] ", b"[X]", b"---\n", b"[RPC]\n", b"\n\n[Ruling]\n")
    versions = [*odd_headers(), *damaged(MARKED, 2, count=MUTATIONS // 2, more=markers)]
    assert 0 < accepted(file, versions, lambda: list(reader.read(None)), line=True) < MUTATIONS


@pytest.mark.parametrize("line", ODD_LINES)
def test_an_odd_line_of_a_header_ends_in_a_judgment_or_one_line(tmp_path, line):
    file = tmp_path / "a.txt"
    file.write_bytes(b"---\nid: a\n" + line + b"\n---\n" + BODY)
    ends_well(file, lambda: list(Marked(name="c", folder=str(tmp_path)).read(None)), line=True)


def test_damaged_sentence_lines_end_in_judgments_or_one_line(tmp_path):
    file = tmp_path / "a.txt"
    reader = SentenceLines(name="c", folder=str(tmp_path), scheme="build", roles=ROLES)
    versions = damaged(LINES, 3, more=(b"\t", b"\tFAC\n", b"\t\n", b"\r", b"\v"))
    assert 0 < accepted(file, versions, lambda: list(reader.read(None)), line=True) < MUTATIONS


def test_damaged_text_ends_in_judgments_or_one_line(tmp_path):
    file = tmp_path / "a.txt"
    reader = TextFolder(name="c", folder=str(tmp_path))
    more = (b"<p><p>", b"{\\rtf1", b"PK\x03\x04", b"%PDF-", b"&lt;p&gt;&lt;p&gt;", b"id,label\n1,2\n", b'[{"a":')
    more += ("\u0928\u094d\u092f\u093e\u092f ".encode() * 20, b"\xf0\x9f\x98\x80", b"<" * 500)
    versions = damaged(TEXT, 4, more=more)
    assert 0 < accepted(file, versions, lambda: list(reader.read(None))) < MUTATIONS


@pytest.mark.parametrize("id_column", ["id", "doc_id"])
def test_damaged_label_files_end_in_judgments_or_one_line(tmp_path, id_column):
    folder, file = tmp_path / "j", tmp_path / "l.csv"
    folder.mkdir()
    (folder / "a.txt").write_bytes(LINES)
    if id_column == "id":
        reader = TextFolder(name="c", folder=str(folder), labels=str(file))
    else:
        reader = SentenceLines(name="c", folder=str(folder), scheme="build", roles=ROLES, outcomes=str(file))
    versions = damaged(f"{id_column},label,confidence\na,1,high\nb,0.0,\nc,,\n".encode(), 5)
    assert 0 < accepted(file, versions, lambda: list(reader.read(None)), line=False) < MUTATIONS
