"""Tests of second readings and of the policies for invalid answers, from the predictions alone."""

import csv
import io
import json
import subprocess
import sys

import pytest

from legalrr.errors import UserError
from legalrr.report.cli import main
from legalrr.report.compare import read_report
from legalrr.report.csv_tables import pairs_csv, readings_csv, results_csv
from legalrr.report.sweep import results_md, results_tex, rules
from legalrr.report.verdict_readers import cells_without_text, compare_readers
from legalrr.score.cases import read_answers
from legalrr.verdict import PatternVerdictReader

# The letters of conftest as words: an answer that nobody can read is one for the study's reading too.
SAID = {"A": "YES", "D": "NO", "-": "Perhaps yes, perhaps no."}
SWITCHED = {"plain": (False, False), "c": (True, False), "d": (False, True), "dc": (True, True)}


def stages(arm):
    chain, define = SWITCHED[arm]
    return {"annotate": {"fields": {"chain": chain, "define": define}}}


@pytest.fixture
def cell(sweep):
    """Function (job, arm, answers) that writes a cell whose turns have the text of its verdicts."""

    def make(job, arm, answers, **changes):
        if arm in SWITCHED:
            changes = {"stages": stages(arm), **changes}
        folder = sweep.cell(job, arm, answers, **changes)
        path = folder / "predictions.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row, letter in zip(rows, answers, strict=True):
            row["turns"] = [{**row["turns"][0], "name": "answer", "text": SAID[letter]}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


ANSWERS = {"plain": "AAAA--DDDDAA", "c": "AAAAADDDD---", "d": "-AAAAADDDDDD", "dc": "AAAAAADDDDD-"}


@pytest.fixture
def four(sweep, cell):
    for job, (arm, answers) in enumerate(ANSWERS.items()):
        cell(job, arm, answers)
    cell(4, "lines", "A----------D", backbone="-")
    return sweep.folder


def test_the_reader_of_the_run_gives_the_same_verdicts(four):
    path = four / "0" / "predictions.jsonl"
    assert read_answers(path, PatternVerdictReader()) == read_answers(path)


def test_tables_show_both_readings(four):
    report = read_report([four], reading="study")
    strict, study = report.groups
    assert (strict.setup.reading, study.setup.reading) == ("strict", "study")
    assert [row.setup.arm for row in strict.rows] == [row.setup.arm for row in study.rows]
    ((group, twice),) = compare_readers(report)
    assert group is strict
    plain = twice[0]
    assert (plain.row.scores.invalid_rate, plain.again.scores.invalid_rate) == (2 / 12, 0)
    assert plain.changed == 2
    # An empty answer of the study's reading is dismissed; "yes" in it is allowed.
    assert plain.again.scores.yes_rate == plain.row.scores.yes_rate + 2 / 12
    assert plain.comparison.difference == pytest.approx(plain.again.scores.macro_f1 - plain.row.scores.macro_f1)
    (row, *_) = rows(readings_csv(report))
    assert (row["reading"], row["other_reading"], row["changed"]) == ("strict", "study", "2")
    assert float(row["other_macro_f1"]) == pytest.approx(plain.again.scores.macro_f1, abs=1e-6)
    text = results_md(report)
    assert "## specimen, roles: gold, tiny: the readings strict and study" in text
    assert "| none (reference) | 12 |" in text
    assert [row["reading"] for row in rows(results_csv(report))] == ["strict"] * 5 + ["study"] * 5


def versioned(version, reading="strict"):
    return {"verdict": {"class": "x", "version": version, "fields": {"reading": reading}}}


def test_an_old_run_is_read_again_and_changes_are_counted(sweep, caplog):
    # The first version took the last line with a YES or NO.
    said = ["YES\n\nThere was no default."] * 2 + ["There was no notice."] + ["YES, as"] + ["NO"] * 8
    old = sweep.cell(0, "plain", "DDD-DDDDDDDD", stages=versioned(1))
    new = sweep.cell(1, "d", "AAAAAADDDDDD", stages=versioned(3))
    for folder, texts in ((old, said), (new, ["YES"] * 6 + ["NO"] * 6)):
        path = folder / "predictions.jsonl"
        rows_ = [json.loads(line) for line in path.read_text().splitlines()]
        for row, text in zip(rows_, texts, strict=True):
            row["turns"] = [{**row["turns"][0], "name": "answer", "text": text}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows_))
    plain = read_report([sweep.folder])
    assert "answers read by reader version 1; --reading strict reads them again" in results_md(plain)
    with caplog.at_level("INFO"):
        report = read_report([sweep.folder], reading="strict")
    assert "job 0, none: the reader changes 4 of 12 verdicts" in caplog.text
    ((_, (twice,)),) = compare_readers(report)
    assert (twice.changed, twice.opposite, twice.found, twice.lost) == (4, 2, 1, 1)
    assert [case.label for case in twice.again.cases[:4]] == ["allowed", "allowed", "invalid", "allowed"]
    text = results_md(report)
    assert "the readings strict (version 1) and strict (version 3)" in text
    assert "4 of 12 verdicts change: 2 to the opposite, 1 from invalid, 1 to invalid" in text
    assert "| 4 of 12 | 2 |" in text
    (row,) = rows(readings_csv(report))
    assert [row[name] for name in ("reader_version", "other_reader_version", "opposite", "found", "lost")] == [
        *("1", "3"),
        *("2", "1", "1"),
    ]


def test_arms_of_different_reader_versions_are_not_compared(sweep, cell):
    cell(0, "plain", "AAAAAADDDDDD", stages=versioned(1))
    cell(1, "d", "AAAAAADDDDDD", stages=versioned(2))
    cell(2, "dc", "AAAAAADDDDDD", stages=versioned(1, "study"), reading="study")
    assert [len(group.rows) for group in read_report([sweep.folder]).groups] == [1, 1, 1]
    # The study's reader never changed: both cells are read again with it, and the third keeps its verdicts.
    study = [group for group in read_report([sweep.folder], reading="study").groups if group.setup.reading == "study"]
    assert sorted(len(group.rows) for group in study) == [1, 2]


def test_cells_with_the_current_reading_are_not_read_again(sweep, cell):
    cell(0, "plain", "AAAAAADDDDDD", reading="study")
    report = read_report([sweep.folder], reading="study")
    assert len(report.groups) == 1
    assert compare_readers(report) == []


def test_compared_answers_have_no_text_to_read_and_are_named(sweep, cell):
    cell(0, "plain", "AAAAAADDDDDD")
    folder = cell(1, "direct_compare", "AAAAAADDDDDD")
    run = json.loads((folder / "run.json").read_text())
    run["cell"]["scoring"] = "compare"
    (folder / "run.json").write_text(json.dumps(run))
    report = read_report([sweep.folder], reading="study")
    assert [row.setup.arm for row in cells_without_text(report)] == ["direct_compare"]
    assert "not read again, as probabilities were compared: direct_compare" in results_md(report)
    assert cells_without_text(read_report([sweep.folder])) == []


def test_an_answer_without_text_is_a_damaged_prediction(sweep):
    sweep.cell(0, "plain")
    with pytest.raises(UserError, match=r"predictions\.jsonl:1: damaged prediction: 'name' is missing"):
        read_report([sweep.folder], reading="study")


@pytest.mark.parametrize(
    ("invalid", "kept"),
    [
        ("miss", {"plain": 12, "c": 12, "d": 12, "dc": 12, "lines": 12}),
        ("independent", {"plain": 10, "c": 9, "d": 11, "dc": 11, "lines": 2}),
        ("common", {"plain": 6, "c": 6, "d": 6, "dc": 6}),
        ("chainwise", {"plain": 7, "c": 7, "d": 10, "dc": 10}),
    ],
)
def test_the_policy_for_invalid_answers_is_applied(four, invalid, kept):
    report = read_report([four], invalid=invalid)
    (group,) = report.groups
    assert {row.setup.arm: row.scores.n for row in group.rows} == kept
    assert all(row.scores.invalid_rate == 0 for row in group.rows) == (invalid != "miss")
    assert f"invalid answers: {'a miss' if invalid == 'miss' else 'left out'}" in results_md(report)
    assert {row["invalid_answers"] for row in rows(results_csv(report))} == {invalid}
    assert {row["invalid_answers"] for row in rows(pairs_csv(report))} == {invalid}
    assert {row["arm"]: row["n"] for row in rows(results_csv(report))} == {arm: str(n) for arm, n in kept.items()}
    assert ("a miss in the class" in rules(report)) == (invalid == "miss")
    assert rules(report).splitlines()[0] in results_tex(report)


def test_arms_are_compared_on_the_judgments_that_both_answered(four):
    (group,) = read_report([four], invalid="independent").groups
    (pair,) = [pair for pair in group.pairs if pair.row.setup.arm == "d"]
    # plain lacks two judgments, d another one.
    assert pair.comparison.n == 9


def test_rows_without_judgments_under_a_policy_are_named(sweep, cell):
    cell(0, "plain", "AAAAAADDDDDD")
    cell(1, "d", "-" * 12)
    chainwise = read_report([sweep.folder], invalid="chainwise")
    assert chainwise.groups == ()
    assert {reason for _, reason in chainwise.left_out} == {"no arm is the same but for C"}
    independent = results_md(read_report([sweep.folder], invalid="independent"))
    assert "| job 1 | d | done | no judgment is left |" in independent


def test_the_command_writes_other_policies_into_separate_folders(four, capsys):
    main([str(four), "--quiet"])
    before = (four / "results.csv").read_bytes()
    main([str(four), "--reading", "study", "--invalid", "common"])
    assert (four / "results.csv").read_bytes() == before
    target = four / "reading-study-invalid-common"
    assert (target / "readings.csv").is_file()
    assert "the readings strict and study" in capsys.readouterr().out
    main([str(four), "--quiet"])


def test_tables_need_no_torch_and_load_no_engine(four):
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'transformers', 'openai'): raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from legalrr.report.cli import main\n"
        f"main([{str(four)!r}, '--reading', 'study', '--invalid', 'common', '--quiet'])\n"
        "print([name for name in sys.modules if name.startswith(('legalrr.backbones', 'legalrr.run.pipeline'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
