"""The commands `tag`, `export`, `show` and `roles`, with valid and invalid input."""

import io
import json
import random
from types import SimpleNamespace

import pytest

from legalrr.cli import run_command
from legalrr.corpora.catalogue import card
from legalrr.corpora.exchange import FORMATS, DocBinFile, SavedDataset
from legalrr.corpora.label_studio import LabelStudio
from legalrr.corpora.pdf import read_pdf
from legalrr.records import Judgment
from legalrr.segment.cli import main
from legalrr.segment.crf import CrfSegmenter

TEXT = "The appellant was convicted under s. 302 I.P.C. He appealed.\n\nThe appeal is dismissed with costs.\n"


def run(capsys, *arguments) -> str:
    main([str(a) for a in arguments])
    return capsys.readouterr().out


def failure(capsys, *arguments):
    """Run a failing command; return its standard output and error."""
    with pytest.raises(SystemExit) as stopped:
        run_command("segment", [str(a) for a in arguments])
    assert stopped.value.code == 2
    return capsys.readouterr()


@pytest.fixture
def write(tmp_path):
    def writer(name: str, content: bytes | str):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return writer


@pytest.fixture
def standard_input(monkeypatch):
    def give(content: bytes):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return give


# ---------------------------------------------------------------- tag


def test_tag_writes_a_json_line_per_judgment(write, capsys):
    result = json.loads(run(capsys, "tag", write("case.txt", TEXT)))
    expected = CrfSegmenter().segment(Judgment(id="case", text=TEXT))
    assert (result["id"], result["scheme"], result["segment"]) == ("case", "build", "crf")
    assert result["spans"] == [
        {"start": span.start, "end": span.end, "role": span.role, "score": round(span.score, 4)}
        for span in expected.spans
    ]
    assert [TEXT[span["start"] : span["end"]] for span in result["spans"]][-1] == "The appeal is dismissed with costs."


def test_a_folder_is_tagged_in_natural_order_ignoring_other_files(write, tmp_path, capsys):
    for name in ("d10.txt", "d2.txt", "notes.md"):
        write(f"folder/{name}", TEXT)
    lines = run(capsys, "tag", tmp_path / "folder", "--scheme", "seven").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["d2", "d10"]
    assert {json.loads(line)["scheme"] for line in lines} == {"seven"}


def test_pdfs_are_tagged_with_offsets_into_the_extracted_text(write, tmp_path, capsys):
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    write("a.txt", TEXT)
    with PdfPages(tmp_path / "b.pdf") as book:
        figure = Figure()
        figure.text(0.1, 0.9, "The appeal is dismissed with costs.")
        book.savefig(figure)
    text, pdf = (json.loads(line) for line in run(capsys, "tag", tmp_path).splitlines())
    assert (text["id"], pdf["id"]) == ("a", "b")
    (span,) = pdf["spans"]
    assert read_pdf(tmp_path / "b.pdf").text[span["start"] : span["end"]] == "The appeal is dismissed with costs."


def test_standard_input_is_tagged(standard_input, capsys):
    standard_input("\ufeffThe appeal fails.\r\nNo costs.".encode())
    result = json.loads(run(capsys, "tag", "-"))
    assert result["id"] == "stdin"
    assert (result["spans"][0]["start"], result["spans"][0]["end"]) == (0, 17)


def test_an_invalid_file_is_reported_and_the_others_are_tagged(write, capsys):
    good, bad, last = write("a.txt", TEXT), write("b.txt", b"\xff\xfe"), write("c.txt", TEXT)
    result = failure(capsys, "tag", good, bad, last)
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == ["a", "c"]
    assert result.err.count("\n") == 1
    assert f"{bad}: not UTF-8: byte 0xff at offset 0" in result.err


def test_the_second_of_two_files_with_one_name_is_rejected(write, capsys):
    first, second = write("one/case.txt", TEXT), write("two/case.txt", TEXT)
    result = failure(capsys, "tag", first, second)
    assert len(result.out.splitlines()) == 1
    assert f"{second}: same id 'case' as {first}" in result.err


def test_a_missing_model_is_reported_once(write, tmp_path, capsys):
    result = failure(capsys, "tag", write("a.txt", TEXT), write("b.txt", TEXT), "--model", tmp_path / "none.crfsuite")
    assert result.err.count("no such model") == 1
    assert result.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--segment", "crv"), "--segment: no tagger 'crv'"),
        (("--segment", "gold"), "'gold' does not tag the roles of 'build'"),
        (("--prior-correction", "3"), "prior_correction"),
    ],
)
def test_invalid_tagger_options_are_rejected_by_name(write, capsys, arguments, message):
    assert message in failure(capsys, "tag", write("a.txt", TEXT), *arguments).err


# ---------------------------------------------------------------- invalid and unusual input

BINARY = b"\x89PNG\r\n\x1a\n" + bytes(random.Random(0).randrange(256) for _ in range(500))
BAD = {
    "empty": (b"", "no text"),
    "white space": (b" \n\t \r\n", "no text"),
    "only a byte order mark": ("\ufeff".encode(), "no text"),
    "binary": (BINARY, "not UTF-8: byte 0x89 at offset 0"),
    "zero bytes": (b"The appeal\x00 fails.", "binary: a zero byte at character 10"),
    "latin-1 after UTF-8": ("पक्ष ".encode() + "Hon\u2019ble".encode("cp1252"), "not UTF-8: byte 0x92 at offset 16"),
    "utf-16": ("The appeal fails.".encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_input_is_reported_with_file_and_place(write, standard_input, capsys, case):
    content, message = BAD[case]
    path = write("bad.txt", content)
    result = failure(capsys, "tag", path)
    assert result.out == ""
    assert f"legalrr segment: {path}: {message}" in result.err
    assert result.err.count("\n") == 1
    standard_input(content)
    assert message in failure(capsys, "tag", "-").err


@pytest.mark.parametrize(
    ("name", "message"), [("none.txt", "no such file"), ("case.pdf", "damaged PDF"), ("empty", "no *.txt file")]
)
def test_an_unreadable_input_is_reported_by_name(write, tmp_path, capsys, name, message):
    (tmp_path / "empty").mkdir()
    write("case.pdf", b"%PDF-1.7")
    assert f"{tmp_path / name}: {message}" in failure(capsys, "tag", tmp_path / name).err


GOOD = {
    "no sentence end at all": "the appellant was tried and " * 2000,
    "one long line": "The appellant was tried under s. 302 on that day. " * 2000,
    "one long word": "x" * 200_000,
    "right to left": "הערעור נדחה. עלות המשפט על המערער. " * 5,
    "Devanagari": "अपील खारिज की जाती है। आदेश तदनुसार। " * 5,
    "bidirectional marks": "The \u202eappeal\u202c is\u200f dismissed. \u2066No costs.\u2069",
    "control characters": "The\x07 appeal\x1b[31m fails.\x0c\x0bNo costs.",
    "old line ends": "The appeal fails.\rNo costs.\r\n\u2028Delhi.",
    "only marks": "... --- !!! ???",
    "beyond the first plane": "\U00020000 \U0001f600. The appeal fails.",
}


@pytest.mark.parametrize("case", GOOD)
def test_unusual_text_is_covered_completely(write, capsys, case):
    text = GOOD[case].replace("\r\n", "\n").replace("\r", "\n")
    spans = json.loads(run(capsys, "tag", write("odd.txt", GOOD[case])))["spans"]
    at = 0
    for span in spans:
        assert at <= span["start"] < span["end"] <= len(text)
        assert not text[at : span["start"]].strip()
        assert 0 <= span["score"] <= 1
        at = span["end"]
    assert not text[at:].strip()


# ---------------------------------------------------------------- show


def test_show_writes_a_page_of_the_judgment(write, tmp_path, capsys):
    out = run(capsys, "show", write("case.txt", TEXT), "--out", tmp_path / "page.html", "--scheme", "seven")
    assert "3 sentences" in out
    html = (tmp_path / "page.html").read_text("utf-8")
    assert "The appeal is dismissed with costs." in html
    assert "<title>case: rhetorical roles</title>" in html


def test_show_reads_standard_input(standard_input, tmp_path, capsys):
    standard_input(b"The appeal fails. <script>alert(1)</script>")
    run(capsys, "show", "-", "--out", tmp_path / "page.html")
    assert "&lt;script&gt;alert(1)" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["page.txt", "no/page.html"])
def test_show_rejects_an_unwritable_path(write, tmp_path, capsys, name):
    result = failure(capsys, "show", write("case.txt", TEXT), "--out", tmp_path / name)
    assert "cannot write the page there" in result.err


def test_show_reports_invalid_input_and_writes_nothing(write, tmp_path, capsys):
    result = failure(capsys, "show", write("case.txt", b"\xff"), "--out", tmp_path / "page.html")
    assert "offset 0" in result.err
    assert not (tmp_path / "page.html").exists()


# ---------------------------------------------------------------- roles


def test_roles_prints_the_table_of_all_schemes(capsys):
    out = run(capsys, "roles")
    for word in ("build", "seven", "iltur", "legalseg", "PrecedentOverruled", "who argues"):
        assert word in out


def test_roles_prints_one_mapping_and_its_losses(capsys):
    out = run(capsys, "roles", "--from", "build", "--to", "seven")
    assert "dropped: ISSUE: no role for it" in out
    assert "merged: ANALYSIS and RATIO: all become RATIO" in out
    assert "PrecedentOverruled" not in out


def test_roles_requires_both_schemes_of_a_mapping(capsys):
    assert "give both --from and --to" in failure(capsys, "roles", "--from", "build").err


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("format", FORMATS)
def test_tagged_judgments_are_written_in_every_format(write, tmp_path, capsys, format):
    out = tmp_path / "out"
    result = run(capsys, "tag", write("in/a.txt", TEXT), write("in/b.txt", TEXT), "--format", format, "--out", out)
    assert result == f"wrote {out} (2 judgments)\n"
    if format == "jsonl":
        assert out.read_text("utf-8") == run(capsys, "tag", tmp_path / "in")
        return
    corpus = {
        "label-studio": LabelStudio(name="c", files={"mine": str(out)}, tagged=True),
        "dataset": SavedDataset(name="c", folder=str(out), tagged=True),
        "docbin": DocBinFile(name="c", file=str(out), tagged=True),
    }[format]
    expected = CrfSegmenter().segment(Judgment(id="a", text=TEXT))
    assert [(one.id, one.text, one.spans) for one in corpus.read(None)] == [
        (name, TEXT, expected.spans) for name in ("a", "b")
    ]


def test_a_format_other_than_jsonl_requires_a_writable_path(write, tmp_path, capsys):
    path = write("a.txt", TEXT)
    assert "name one with --out" in failure(capsys, "tag", path, "--format", "docbin").err
    result = failure(capsys, "tag", path, "--format", "docbin", "--out", tmp_path / "no" / "x")
    assert "no such folder" in result.err


def test_the_valid_files_among_several_are_written(write, tmp_path, capsys):
    good, bad = write("a.txt", TEXT), write("b.txt", b"\xff")
    result = failure(capsys, "tag", good, bad, "--format", "label-studio", "--out", tmp_path / "t.json")
    assert "wrote" in result.out
    assert [one["data"]["judgment"]["id"] for one in json.loads((tmp_path / "t.json").read_text("utf-8"))] == ["a"]


def test_gold_roles_of_a_corpus_are_written(tmp_path, capsys):
    out = tmp_path / "gold.spacy"
    result = run(capsys, "export", "--corpus", "specimen", "--format", "docbin", "--out", out)
    assert result == f"wrote {out} (24 of 24 judgments)\n"
    gold = {one.id: one for one in card("specimen").reader().read(None)}
    for one in DocBinFile(name="c", file=str(out)).read(None):
        assert (one.text, one.spans, one.outcome) == (gold[one.id].text, gold[one.id].spans, gold[one.id].outcome)


@pytest.mark.parametrize(
    ("corpus", "message"), [("none", "no corpus 'none'"), ("own_text", "the path of this corpus is not set")]
)
def test_export_rejects_an_unknown_or_unconfigured_corpus(tmp_path, capsys, corpus, message):
    assert message in failure(capsys, "export", "--corpus", corpus, "--out", tmp_path / "x").err


def test_a_corpus_without_gold_roles_is_rejected(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path))
    (tmp_path / "ildc").mkdir()
    (tmp_path / "ildc" / "ILDC_multi.csv").write_text("text,label,split,name\nx,1,test,a\n", "utf-8")
    result = failure(capsys, "export", "--corpus", "ildc", "--out", tmp_path / "x")
    assert "--corpus ildc: no judgment has gold roles" in result.err
