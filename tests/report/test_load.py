import json
from dataclasses import asdict

import pytest

from legalrr.errors import UserError
from legalrr.report.load import read_results
from legalrr.score.scorer import PredictionScorer


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_jobs_come_in_the_order_of_their_numbers(sweep):
    for job in (10, 9, 0, 2):
        sweep.cell(job)
    (sweep.folder / ".hydra").mkdir()
    assert [cell.job for cell in read_results([sweep.folder])] == [0, 2, 9, 10]


def test_a_single_run_is_one_cell(sweep):
    sweep.cell(None)
    (cell,) = read_results([sweep.folder])
    assert (cell.job, cell.status, cell.name) == (None, "done", "run")


def test_a_failed_cell_keeps_its_reason_and_overrides(sweep):
    sweep.failed(3, what="two\nlines", overrides=("arm=rc", "seed=1", "runs=elsewhere"))
    (cell,) = read_results([sweep.folder])
    assert (cell.status, cell.problem) == ("failed", "MemoryError: two lines")
    assert cell.label == "arm=rc seed=1"
    assert cell.scores is None


def test_failed_cells_are_labelled_by_their_distinct_overrides(sweep):
    sweep.failed(0, overrides=("arm=d", "limit=3"))
    sweep.failed(1, overrides=("limit=3", "arm=rc", "seed=1"))
    assert [cell.label for cell in read_results([sweep.folder])] == ["arm=d", "arm=rc seed=1"]


def test_a_folder_with_neither_scores_nor_error_is_unfinished(sweep):
    (sweep.folder / "0").mkdir(parents=True)
    sweep.cell(1, scored=False)
    assert [(cell.status, cell.label) for cell in read_results([sweep.folder])] == [
        ("unfinished", ""),
        ("unfinished", "none"),
    ]


def test_stored_scores_are_used_if_settings_and_predictions_match(sweep):
    folder = sweep.cell(0)
    edit(folder / "scores.json", lambda scores: scores.update(p_skill=0.5))
    assert read_results([sweep.folder])[0].scores.p_skill == 0.5


@pytest.mark.parametrize("change", [{"settings": {"seed": 9}}, {"cases": "other"}, {"version": 0}])
def test_stored_scores_that_do_not_match_are_computed_again(sweep, change):
    folder = sweep.cell(0)
    edit(folder / "scores.json", lambda scores: scores.update(mcc=-0.5, **change))
    assert read_results([sweep.folder])[0].scores.mcc == pytest.approx(1)


def test_scores_computed_again_equal_the_stored_ones(sweep):
    folder = sweep.cell(0, answers="AAD-AADDDA-D")
    stored = read_results([sweep.folder])[0].scores
    (folder / "scores.json").write_text("{}")
    again = read_results([sweep.folder])[0].scores
    assert json.dumps(asdict(again)) == json.dumps(asdict(stored))


def test_the_settings_of_the_run_are_used(sweep):
    sweep.cell(0, settings={"confidence": 0.9, "resamples": 100, "seed": 4})
    assert read_results([sweep.folder])[0].scorer == PredictionScorer(confidence=0.9, resamples=100, seed=4)


def test_equal_baselines_are_kept_once(sweep):
    for job, layout in enumerate(("study", "conversation")):
        sweep.cell(job, "majority", "A" * 12, backbone="-", layout=layout)
    sweep.cell(2, "majority", "D" * 12, backbone="-")
    sweep.cell(3, "majority", "A" * 12, backbone="-", limit=12)
    assert [cell.job for cell in read_results([sweep.folder])] == [0, 2, 3]


def test_baselines_on_different_visible_text_are_kept(sweep):
    for job, preamble in enumerate((True, False)):
        stages = {"restructure": {"class": "R", "fields": {"preamble": preamble, "budget": job, "order": str(job)}}}
        sweep.cell(job, "majority", "A" * 12, backbone="-", stages=stages)
    sweep.cell(2, "majority", "A" * 12, backbone="-", stages={**stages, "annotate": {"fields": {"layout": "study"}}})
    assert [cell.job for cell in read_results([sweep.folder])] == [0, 1]


def test_repeated_model_cells_are_kept(sweep):
    sweep.cell(0)
    sweep.cell(1)
    assert len(read_results([sweep.folder])) == 2


def test_options_are_flat_and_without_the_switches_of_the_arm(sweep):
    annotate = {"define": True, "tokens": {"class": "T", "fields": {"analysis": 48}}, "party": "name"}
    sweep.cell(0, stages={"annotate": {"class": "A", "fields": annotate}, "predict": {"fields": {"x": 1}}})
    assert read_results([sweep.folder])[0].setup.options == {
        "annotate.class": '"A"',
        "annotate.tokens.analysis": "48",
        "annotate.party": '"name"',
    }


def test_folders_are_numbered_from_one(sweep, another):
    sweep.cell(0)
    another.cell(0)
    assert [(cell.sweep, cell.job) for cell in read_results([another.folder, sweep.folder])] == [(1, 0), (2, 0)]


def test_a_damaged_prediction_is_named_by_file_and_line(sweep):
    folder = sweep.cell(0)
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    (folder / "predictions.jsonl").write_text("\n".join([*lines[:2], "{", *lines[3:]]) + "\n")
    with pytest.raises(UserError, match=r"0/predictions\.jsonl:3: damaged prediction"):
        read_results([sweep.folder])


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("run.json", "{", r"run\.json: not valid JSON"),
        ("run.json", "[]", r"run\.json: not a JSON object"),
        ("run.json", '{"cell": {}}', r"run\.json: 'cell\.arm' is missing"),
        ("scores.json", "{", r"scores\.json: not valid JSON"),
        (".hydra/overrides.yaml", "a: [", r"overrides\.yaml: not a list of overrides"),
        (".hydra/overrides.yaml", "- 'a", r"overrides\.yaml: not valid YAML"),
    ],
)
def test_a_damaged_file_is_named(sweep, file, text, said):
    folder = sweep.cell(0)
    if file.startswith(".hydra"):
        folder = sweep.failed(1)
    (folder / file).write_text(text)
    with pytest.raises(UserError, match=said):
        read_results([sweep.folder])


@pytest.mark.parametrize("names", [("seed_2", "seed_10"), ("a/b", "a/c"), ("1/x", "2/x"), ("1", "01"), ("x", "3")])
def test_cells_are_found_by_their_files_in_folders_of_any_name(sweep, names):
    for name, arm in zip(names, ("plain", "dr"), strict=True):
        sweep.cell(name, arm)
    assert [cell.job for cell in read_results([sweep.folder])] == [0, 1]
    assert {cell.setup.arm for cell in read_results([sweep.folder])} == {"plain", "dr"}


def test_named_cells_come_in_the_order_of_their_recorded_numbers(sweep):
    for name, number in (("a", 2), ("b", 0), ("c", 1)):
        (sweep.cell(name, name) / ".hydra").mkdir()
        (sweep.folder / name / ".hydra/hydra.yaml").write_text(f"hydra: {{job: {{num: {number}}}}}")
    assert [cell.setup.arm for cell in read_results([sweep.folder])] == ["b", "c", "a"]


def test_a_named_cell_that_has_not_written_anything_is_unfinished(sweep):
    sweep.cell("a")
    (sweep.folder / "b/.hydra").mkdir(parents=True)
    (sweep.folder / "figures").mkdir()
    assert [cell.status for cell in read_results([sweep.folder])] == ["done", "unfinished"]


def test_a_failed_cell_alone_is_found(sweep):
    sweep.failed("only", overrides=("arm=rc",))
    assert [(cell.status, cell.label) for cell in read_results([sweep.folder])] == [("failed", "arm=rc")]


def test_cells_of_another_sweep_below_the_folder_are_left_out(sweep):
    sweep.cell("a")
    sweep.cell("other/b")
    (sweep.folder / "other/multirun.yaml").write_text("")
    assert len(read_results([sweep.folder])) == 1


def test_unknown_settings_and_a_missing_run_file_are_errors(sweep):
    folder = sweep.cell(0)
    edit(folder / "run.json", lambda run: run["settings"].update(alpha=1))
    with pytest.raises(UserError, match="unknown settings of scores"):
        read_results([sweep.folder])
    (folder / "run.json").unlink()
    with pytest.raises(UserError, match="missing beside scores"):
        read_results([sweep.folder])


def test_a_folder_without_cells_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no cells"):
        read_results([tmp_path])
    with pytest.raises(UserError, match="no such folder"):
        read_results([tmp_path / "none"])
