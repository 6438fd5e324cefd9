"""Cells that saw different texts under the same ids are not compared."""

import gzip
import hashlib
import json

import pytest

from legalrr.errors import UserError
from legalrr.report.cli import main
from legalrr.report.compare import read_report
from legalrr.report.judgment_texts import describe_edits, split_by_texts
from legalrr.report.verdict_readers import experiments

HALF = "AAADDDDDDAAA"


@pytest.fixture
def with_texts():
    """Return a function (folder, edits) that adds the judgments to a cell; `edits`: number of a judgment -> text."""

    def add(folder, edits=(), **facts):
        texts = {number: f"Judgment {number}." for number in range(12)} | dict(edits)
        rows = [{"id": f"case-{number}", "text": text, **facts} for number, text in texts.items()]
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")
        (folder / "judgments.jsonl.gz").write_bytes(gzip.compress(lines))
        run = json.loads((folder / "run.json").read_text())
        run["judgments"] = {"file": "judgments.jsonl.gz", "sha256": hashlib.sha256(lines).hexdigest()}
        (folder / "run.json").write_text(json.dumps(run))
        return folder

    return add


def test_cells_with_the_same_texts_are_compared(sweep, with_texts):
    with_texts(sweep.cell(0, "plain"))
    with_texts(sweep.cell(1, "dr", HALF))
    (group,) = read_report([sweep.folder]).groups
    assert group.pairs[0].comparison is not None
    assert group.edited == ""


def test_other_facts_and_other_judgments_do_not_separate_cells(sweep, with_texts):
    with_texts(sweep.cell(0, "plain"))
    with_texts(sweep.cell(1, "dr", HALF), {99: "One more."}, party="appellant")
    (group,) = read_report([sweep.folder]).groups
    assert group.pairs[0].comparison is not None


def test_cells_without_a_record_of_their_judgments_are_compared(sweep, with_texts):
    sweep.cell(0, "plain")
    with_texts(sweep.cell(1, "dr", HALF))
    (group,) = read_report([sweep.folder]).groups
    assert group.pairs[0].comparison is not None


@pytest.mark.parametrize("folders", [1, 2])
def test_an_edited_text_is_not_compared_and_named(sweep, another, with_texts, folders, caplog):
    with_texts(sweep.cell(0, "plain"))
    with_texts((sweep if folders == 1 else another).cell(1, "dr", HALF), {3: "Edited.", 7: "Edited, too."})
    report = read_report([sweep.folder, another.folder][:folders])
    first, second = report.groups
    line = "2 judgments have different texts in other cells (case-3, case-7), which are not compared"
    assert line in first.edited
    assert line in second.edited
    assert second.pairs[0].comparison is None
    assert "no finished cell of the reference arm 'plain' with these texts: 2 judgments" in second.pairs[0].note
    assert line in caplog.text


def test_the_report_has_a_line_about_edited_texts(sweep, with_texts, tmp_path, capsys):
    with_texts(sweep.cell(0, "plain"))
    with_texts(sweep.cell(1, "dr", HALF), {3: "Edited."})
    main([str(sweep.folder), "--out", str(tmp_path / "out"), "--quiet"])
    for name in ("results.md", "report.html", "results.tex"):
        assert "1 judgment has different texts in other cells" in (tmp_path / "out" / name).read_text(), name


def test_runs_on_different_texts_are_not_repeats(sweep, with_texts):
    for number in range(3):
        stages = {"backbone": {"class": "x", "fields": {"seed": number}}}
        folder = sweep.cell(number, "plain", stages=stages, repetition=number + 1)
        with_texts(folder, {3: "Edited."} if number == 2 else ())
    (groups,) = experiments(read_report([sweep.folder]))
    assert [group.setup.repetition for group in groups] == [1, 2]


def test_judgments_that_are_not_those_of_the_run_are_refused(sweep, with_texts):
    with_texts(sweep.cell(0, "plain"))
    folder = with_texts(sweep.cell(1, "dr", HALF), {3: "Edited."})
    (folder / "judgments.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a", "text": "x"}\n'))
    with pytest.raises(UserError, match=r"judgments\.jsonl\.gz: not the judgments of this run"):
        read_report([sweep.folder])


def test_no_cells_and_no_edits_give_no_line():
    assert split_by_texts([]) == ([[]], [])
    assert describe_edits([]) == ""
