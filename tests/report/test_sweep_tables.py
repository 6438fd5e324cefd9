import csv
import io
import re

import pytest

from legalrr.report.compare import read_report
from legalrr.report.csv_tables import pairs_csv, results_csv
from legalrr.report.sweep import results_md, results_tex, write_tables
from legalrr.tables import p_exact, p_value

MARKDOWN = """\
## specimen, roles: gold, tiny

- reading strict; layout conversation; overflow error; limit none; seed 0
- turn lengths in tokens: analysis 48, answer 8
- invalid answers: a miss in the class of the true outcome (all judgments)
- n = 12 judgments (6 allowed, 6 dismissed)
- intervals: 95% BCa bootstrap over judgments, 200 resamples or all, seed 0; of differences jackknife; permutations 400 or all

| Arm | n | Macro-F1 [95%] | Invalid wrong to right | F1 allowed | F1 dismissed | FPR | FNR | Accuracy | Invalid % | Cut off % | Dropped tokens | MCC [95%] | p skill |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| none (reference) | 12 | 1.000 [0.483, 1.000] |  | 1.000 | 1.000 | 0.000 | 0.000 | 1.000 | 0.0 | 0.0 | 0 | 1.000 [-0.034, 1.000] | 0.0011 |
| D/R | 12 | 1.000 [0.483, 1.000] |  | 1.000 | 1.000 | 0.000 | 0.000 | 1.000 | 0.0 | 0.0 | 0 | 1.000 [-0.034, 1.000] | 0.0011 |
| all\\|no | 12 | 0.000 [0.000, 0.682] | 0.000 to 1.000 | 0.000 | 0.000 | 0.000 | 1.000 | 0.000 | 100.0 | 0.0 | 0 | 0.000 [-] |  |

### Differences
"""  # noqa: E501
DIFFERENCES = """\
| Arm | n | Difference [95%] | p permutation | p Holm | p Holm, bound | p McNemar | b | c | Smallest detectable |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| D/R | 12 | +0.000 [-] | 1.0000 | 1.0000 | 1.0000 | 1.0000 | 0 | 0 | 0.601 |
| all\\|no | 12 | -1.000 [-] | 0.0005 | 0.0010 | 1.0000 | 0.0005 | 0 | 12 | 0.712 |

Holm over the 2 distinct differences of arms from none: 0 are significant at 5% (1 more only if the invalid answers do not count against the better arm); 12 judgments would have shown no true difference below 0.601 with power 0.8.

## Cells without scores

| Cell | Arm | Status | Why |
| --- | --- | --- | --- |
| job 7 | arm=rc | failed | MemoryError: out of memory |
"""  # noqa: E501


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def report(sweep):
    sweep.cell(0, "plain")
    sweep.cell(1, "none", "-" * 12, label="all|no")
    sweep.cell(2, "dr", tokens={"analysis": 48, "answer": 8})
    sweep.failed(7)
    return read_report([sweep.folder])


def test_markdown_has_settings_scores_differences_and_failures(report):
    text = results_md(report)
    assert MARKDOWN in text
    assert text.endswith(DIFFERENCES)


def test_markdown_names_the_question_and_counts_unknown_parties(sweep):
    stages = {"annotate": {"class": "x.Annotate", "fields": {"question": "relief"}}}
    sweep.cell(0, "plain", counts={"read": 24, "taken": 12, "scored": 12, "party unknown": 2}, stages=stages)
    assert "- question: relief; party not known for 2 of 12 judgments\n" in results_md(read_report([sweep.folder]))


def test_a_run_without_recorded_question_has_no_such_line(sweep):
    sweep.cell(0, "plain", counts={"read": 24, "taken": 12, "scored": 12})
    assert "question:" not in results_md(read_report([sweep.folder]))


def test_results_csv_has_a_row_per_cell(report, sweep):
    found = rows(results_csv(report))
    assert [row["job"] for row in found] == ["0", "1", "2", "7"]
    assert [row["status"] for row in found] == ["done", "done", "done", "failed"]
    first, second, *_, failed = found
    assert (first["arm"], first["label"], first["turn_tokens"]) == ("plain", "none", "analysis=48 answer=8")
    assert (first["macro_f1"], first["macro_f1_low"], first["macro_f1_high"]) == ("1.000000", "0.482770", "1.000000")
    assert (first["interval_method"], first["interval_note"], first["p_skill"]) == ("exact", "", "0.001082")
    assert (second["mcc"], second["mcc_low"], second["p_skill"], second["clusters"]) == ("0.000000", "", "", "12")
    assert (first["n"], first["gold_allowed"], first["limit"], first["seed"]) == ("12", "6", "", "0")
    assert (first["prompt_tokens"], first["new_tokens"], first["seconds_predict"]) == ("1200", "36", "1.250")
    # Twelve turns of 0.1 seconds, though the cell took 1.25 seconds: others made calls before it or at the same time.
    assert first["seconds_model"] == "1.200"
    assert failed["seconds_model"] == ""
    assert (second["invalid_rate"], second["invalid_unparsed"], second["invalid_budget"]) == ("1.000000", "12", "0")
    assert (first["macro_f1_invalid_wrong"], first["macro_f1_invalid_right"]) == ("1.000000", "1.000000")
    assert (second["macro_f1_invalid_wrong"], second["macro_f1_invalid_right"]) == ("0.000000", "1.000000")
    assert failed["problem"] == "MemoryError: out of memory"
    assert failed["macro_f1"] == failed["n"] == failed["arm"] == ""


def test_dropped_skipped_and_unlabelled_judgments_are_counted(sweep):
    sweep.cell(0, answers="AAD", gold="AD?", row={"dropped_tokens": 40, "skipped": True})
    (row,) = rows(results_csv(read_report([sweep.folder])))
    assert (row["n"], row["unlabelled"], row["skipped"], row["shortened"], row["dropped_tokens"]) == (
        *("2", "1", "2", "2"),
        "80",
    )


def test_an_interval_has_low_and_high(sweep):
    sweep.cell(0, "plain", "AAADDDDDDAAA")
    sweep.cell(1, "d", "AAADDDDDDDDD")
    report = read_report([sweep.folder])
    row = rows(results_csv(report))[0]
    assert float(row["macro_f1_low"]) < float(row["macro_f1"]) < float(row["macro_f1_high"])
    pair = rows(pairs_csv(report))[0]
    assert float(pair["difference_low"]) <= float(pair["difference"]) <= float(pair["difference_high"])
    assert float(pair["smallest_detectable"]) > 0


def test_pairs_name_both_cells(report):
    second, first = rows(pairs_csv(report))[::-1]
    assert (first["arm"], first["reference"], first["job"], first["reference_job"]) == ("dr", "plain", "2", "0")
    assert (first["difference"], first["p_permutation"], first["p_holm"], first["p_mcnemar"]) == (
        *("0.000000", "1.000000"),
        *("1.000000", "1.000000"),
    )
    assert (second["b"], second["c"], second["clusters"]) == ("0", "12", "12")


def test_a_constant_baseline_has_no_p(sweep):
    sweep.cell(0, "plain", "AAADDDDDDAAA")
    sweep.cell(1, "majority", "D" * 12, backbone="-")
    report = read_report([sweep.folder])
    (pair,) = rows(pairs_csv(report))
    assert (pair["difference"], pair["p_permutation"], pair["p_holm"], pair["p_mcnemar"]) == ("-0.166667", "", "", "")
    assert pair["note"] == "not tested: the same answer to everything"
    assert "| majority | 12 | -0.167 [-0.545, 0.212] |  |  |  | 3 | 3 |  |" in results_md(report)


def test_p_is_never_printed_as_0():
    assert [p_value(p) for p in (None, 1.0, 0.0001, 0.00009, 0.0)] == ["", "1.0000", "0.0001", "< 0.0001", "< 0.0001"]
    assert [p_exact(p) for p in (None, 0.25, 1.9e-9)] == ["", "0.250000", "1.9e-09"]


def test_near_duplicates_are_counted_in_the_settings(sweep):
    sweep.cell(0, row={"cluster": "case-0"})
    line = "- n = 12 judgments (6 allowed, 6 dismissed); 12 judgments in 1 clusters, near-duplicates as one"
    assert line in results_md(read_report([sweep.folder]))


def test_a_pair_without_reference_has_a_note(sweep):
    sweep.cell(0, "d")
    report = read_report([sweep.folder])
    (pair,) = rows(pairs_csv(report))
    assert pair["note"] == "no finished cell of the reference arm 'plain'"
    assert pair["difference"] == pair["reference_job"] == ""
    assert "| D |  | no finished cell" not in results_md(report)
    assert "| d |  | no finished cell of the reference arm 'plain' |" in results_md(report)


def test_options_in_which_groups_differ_are_named(sweep):
    for job, preamble in enumerate((True, False)):
        sweep.cell(job, stages={"restructure": {"fields": {"preamble": preamble, "kept": 1}}})
    text = results_md(read_report([sweep.folder]))
    assert "- options: restructure.preamble true\n" in text
    assert "- options: restructure.preamble false\n" in text


def test_latex_is_booktabs_and_escaped(sweep):
    sweep.cell(0, label="a_b & c")
    text = results_tex(read_report([sweep.folder]))
    assert r"\toprule" in text
    assert r"a\_b \& c (reference) & 12 &" in text
    assert r"Invalid \%" in text


@pytest.mark.parametrize("label", ["D/R/C", "an arm with_a/long-name " * 6])
def test_latex_fits_the_text_of_an_article(thrice, latex_widths, label):
    thrice.cell(100, "drc", "-" * 12, label=label, backbone="other")
    thrice.cell(101, "plain", "AAADDDDDDAAA", backbone="other")
    made = results_tex(read_report([thrice.folder]))
    # The scores of one group and of repeated runs, and the differences of these.
    assert made.count(r"\begingroup\small\noindent") == 3
    assert 0 < max(latex_widths(made)) <= 345
    heads = [one for head in re.findall(r"\\toprule\n(.*) \\\\", made) for one in head.split(" & ")]
    columns = {re.sub(r"\\parbox.*?{\\raggedleft (.*)\\strut}", r"\1", head) for head in heads}
    assert {"n", "FPR", "p skill", "Macro-F1 [95\\%]", "p Holm", "SD between runs"} <= columns


@pytest.mark.parametrize("options", ["10pt", "11pt", "12pt"])
def test_tex_finds_no_overfull_box_in_the_tables_of_a_sweep(thrice, compile_latex, options):
    thrice.cell(100, "drc", "-" * 12, label="an arm with_a/long-name " * 6, backbone="other")
    thrice.cell(101, "plain", "AAADDDDDDAAA", backbone="other")
    assert compile_latex(results_tex(read_report([thrice.folder])), options) == []


def test_tables_of_cells_that_are_all_failed_or_unlabelled(sweep):
    sweep.failed(0)
    sweep.cell(1, answers="A", gold="?")
    report = read_report([sweep.folder])
    assert len(rows(results_csv(report))) == 2
    assert rows(pairs_csv(report)) == []
    assert pairs_csv(report).startswith("corpus,split,")
    assert "| job 1 | none | done | no labelled judgment |" in results_md(report)


def test_tables_do_not_depend_on_place_time_or_stored_calls(sweep, another):
    for one in (sweep, another):
        cached = {"finish_reason": "stop", "prompt_tokens": 9, "new_tokens": 1, "cached_tokens": int(one is sweep)}
        one.cell(0, row={"turns": [cached]}, seconds={"predict": float(one is sweep)})
        one.cell(1, "dr", "AAADDDDDDAAA")
        write_tables(read_report([one.folder]), one.folder)
    for file in ("results.md", "results.tex", "pairs.csv"):
        assert (sweep.folder / file).read_bytes() == (another.folder / file).read_bytes()
    plain = [
        [{k: v for k, v in row.items() if not k.startswith("seconds_")} for row in rows(path.read_text())]
        for path in (sweep.folder / "results.csv", another.folder / "results.csv")
    ]
    assert plain[0] == plain[1]
