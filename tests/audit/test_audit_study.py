"""The audit of the study's tables gives the findings of data/published/README.md."""

from collections import Counter
from pathlib import Path

import pytest

from legalrr.audit.audit import Settings, audit
from legalrr.audit.cli import main
from legalrr.audit.findings import findings, kinds
from legalrr.audit.output import page
from legalrr.audit.verdicts import WRONG
from legalrr.paths import root

TABLE = root() / "data" / "published" / "khatri2025_prediction.csv"
PREDEX = TABLE.with_name("khatri2025_predex.csv")
EXPLANATION = TABLE.with_name("khatri2025_explanation.csv")
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def study():
    """`legalrr audit data/published/khatri2025_prediction.csv`, without options."""
    return audit([TABLE], settings=Settings())


def block(study, dataset, model, subset="all"):
    return {
        one.cell.components: one
        for one in study.cells
        if (one.cell.dataset, one.cell.model, one.cell.subset) == (dataset, model, subset)
    }


def percent(value):
    return f"{100 * value:.2f}"


def test_the_cells_with_a_wrong_caption_are_of_three_kinds():
    every = audit([TABLE, PREDEX, EXPLANATION], settings=Settings())
    counts = Counter(one.kind for one in every.cells if one.verdict in WRONG)
    assert counts == {"swapped captions": 16, "no matrix": 8, "other class shares": 4}
    assert all(one.kind is None for one in every.cells if one.verdict not in WRONG)
    where = {one.kind: {(one.cell.dataset, one.cell.model)} for one in every.cells if one.kind == "no matrix"}
    assert where == {"no matrix": {("dataset1", "Mistral")}}
    # One cell that a swap fits among eight that it does not may be chance.
    assert block(audit([TABLE], settings=Settings()), "dataset1", "Mistral", "independent")["C"].kind == "no matrix"
    output = kinds(every)
    assert [line.split(" ")[0] for line in output] == ["16", "8", "4"]
    head = page(every).partition("## Cases")[0]
    assert "in 28 of them a caption does not hold. They are of three kinds:" in head
    assert all(f"\n- {line}\n" in head for line in output)


def test_a_table_whose_captions_hold_has_no_kinds():
    right = audit([EXPLANATION], settings=Settings())
    assert kinds(right) == []
    assert "in 0 of them a caption does not hold.\n\n" in page(right)


def test_dataset_1_has_44_cases_22_of_each_class_and_dataset_2_20_with_16_and_4(study):
    for dataset, n, positives in (("dataset1", 44, 22), ("dataset2", 20, 16)):
        found = study.sample_sizes[TABLE.name, dataset]
        assert (found.n, found.positives, found.settled) == (n, (positives,), True)
    output = findings(study)["Cases"]
    assert output[0].endswith("22 positive and 22 negative; one case is 2.3 points of accuracy.")
    assert output[1].endswith("16 positive and 4 negative; one case is 5.0 points of accuracy.")


def test_the_sample_sizes_are_found_without_the_column_n(tmp_path):
    rows = [
        line.split(",") for line in TABLE.read_text().splitlines() if line.split(",")[1] in ("model", "Llama", "Phi")
    ]
    bare = tmp_path / "bare.csv"
    bare.write_text("".join(",".join([*row[:7], row[8]]) + "\n" for row in rows))
    found = audit([bare], settings=Settings())
    assert {dataset: (one.n, one.positives, one.found) for (_, dataset), one in found.sample_sizes.items()} == {
        "dataset1": (44, (22,), True),
        "dataset2": (20, (16,), True),
    }


def test_llamas_f1_is_accuracy_and_its_rates_are_discovery_rates(study):
    cells = block(study, "dataset1", "Llama")
    assert len(cells) == 8
    for one in cells.values():
        assert (one.verdict, one.support, one.counts.shape) == ("mislabelled", (8, 8), (6, 1))
        assert one.hypothesis.changes() == {
            "macro_f1": "accuracy",
            "fpr": "false discovery rate",
            "fnr": "false omission rate",
        }
    assert cells["D+R"].counts[:, 0].tolist() == [18, 7, 4, 15, 0, 0]
    assert cells["none"].counts[:, 0].tolist() == [16, 8, 6, 14, 0, 0]
    recomputed = {arm: percent(one.recomputed["macro_f1"].low) for arm, one in cells.items()}
    assert recomputed == {
        "D+R+C": "61.18",
        "D+R": "74.88",
        "D+C": "70.44",
        "D": "62.39",
        "R+C": "59.68",
        "R": "61.18",
        "C": "60.36",
        "none": "68.12",
    }


def test_phis_f1_holds_and_its_rates_are_false_discovery_and_omission_rates(study):
    for one in block(study, "dataset1", "Phi").values():
        assert (one.verdict, one.support) == ("mislabelled", (8, 8))
        assert one.hypothesis.changes() == {"fpr": "false discovery rate", "fnr": "false omission rate"}
        assert percent(one.recomputed["macro_f1"].low) == f"{one.cell.figures['macro_f1'].printed.value:.2f}"


@pytest.mark.parametrize("dataset", ["dataset1", "dataset2"])
def test_o3_minis_rates_are_true_rates_and_means_over_five_runs(study, dataset):
    for one in block(study, dataset, "o3-mini").values():
        assert (one.verdict, one.support, one.runs) == ("consistent", (8, 8), 5)
        assert len(one.sums.fp) == len(one.sums.fn) == 1


def test_dataset_2_holds(study):
    assert not [one for one in study.cells if one.cell.dataset == "dataset2" and one.verdict in WRONG]


def test_mistral_is_scored_on_19_to_44_of_44_and_its_best_figure_rests_on_19(study):
    cells = block(study, "dataset1", "Mistral", "independent").values()
    assert (min(one.n for one in cells), max(one.n for one in cells)) == (19, 44)
    output = findings(study)["Figures"]
    assert (
        "dataset1, Mistral, independent: scored on 19 to 44 cases; the best macro_f1, 89.44, is based on 19 of them."
        in output
    )


def test_best_llama_cell_is_3_of_44_ahead_and_no_paired_test_is_significant(study):
    (best,) = [
        one
        for one in study.differences
        if one.arm.cell.block == (TABLE.name, "dataset1", "Llama", "all") and one.arm.cell.components == "D+R"
    ]
    assert best.reference.cell.components == "none"
    assert best.bounds.cases == (3, 3)
    assert (best.bounds.p_least, best.bounds.p_permutation) == (0.25, 0.25)
    (output,) = [line for line in findings(study)["Against the reference arm"] if line.startswith("dataset1, Llama")]
    assert "D+R is 3 of 44 cases ahead of none" in output
    assert "by either test, none of the 7 arms can be significant at 0.05" in output


def test_the_points_of_the_abstract_are_both_from_predex_where_r_was_not_run(study):
    least, most, best = study.claims
    for claim, arm in ((least, "D"), (most, "C")):
        (found,) = claim.found
        assert (found.arm.cell.table, found.arm.cell.components) == (PREDEX.name, arm)
        assert found.reference.cell.components == "none"
        assert set(claim.arms["predex"]) == {"D+C", "D", "C", "none"}
    assert [one.arm.cell.components for one in best.found] == ["D+R"]


def test_no_single_class_balance_fits_the_rows_of_predex(study):
    cells = [one for one in study.cells if one.cell.table == PREDEX.name]
    assert {one.verdict for one in cells} == {"balance"}


def test_the_files_in_docs_are_what_the_command_writes(tmp_path, capsys):
    main([str(TABLE), str(PREDEX), str(EXPLANATION), "--out", str(tmp_path), "--quiet"])
    output = capsys.readouterr().out.splitlines()
    assert output == [str(tmp_path / name) for name in ("audit.md", "audit.csv", "audit_pairs.csv")]
    for name in ("audit.md", "audit.csv", "audit_pairs.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (DOCS / name).read_text(encoding="utf-8"), (
            f"docs/{name} is not what the command in docs/README.md writes"
        )
