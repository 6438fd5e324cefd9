"""The command `legalrr explain`."""

import subprocess
import sys

import pytest

from legalrr.cli import run_command
from legalrr.score.explanation import explanation_scores, main

GENERATED = {"a": [("analysis", "The tenant paid.", "stop")], "b": [("analysis", "The rent was due.", "stop")]}


@pytest.fixture
def sweep(explain, tmp_path):
    for job in ("0", "1"):
        explain(tmp_path / job, GENERATED, "The court holds that the tenant paid.")
    (tmp_path / "2").mkdir()
    return tmp_path


def scores(folder):
    return sorted(measure.column for _, measure in explanation_scores(folder).values)


def test_rouge_and_meteor_are_computed_for_every_cell_with_explanations(sweep, capsys):
    main([str(sweep)])
    assert scores(sweep / "0") == scores(sweep / "1") == ["meteor_no_synonyms", "rouge_1", "rouge_2", "rouge_l"]
    assert not (sweep / "2" / "explanation").exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rouge: 2 pairs of texts scored in 2 cells (F1, words stemmed by Porter's rules)"
    main([str(sweep)])
    assert capsys.readouterr().out.startswith("rouge: 0 pairs of texts scored")


def test_the_folder_of_a_single_run_is_accepted(sweep, capsys):
    main([str(sweep / "1"), "--metric", "rouge", "--stemming", "none"])
    assert capsys.readouterr().out == "rouge: 2 pairs of texts scored in 1 cells (F1, words not stemmed)\n"


def test_reading_stored_bertscores_needs_no_encoder(sweep, encoder):
    chosen = [
        "--metric",
        "bertscore",
        "--encoder",
        str(encoder),
        "--layer",
        "2",
        "--overlong",
        "windows",
        "--window",
        "9",
    ]
    main([str(sweep), *chosen])
    code = (
        "import sys; from pathlib import Path\n"
        "from legalrr.score.explanation import explanation_scores\n"
        f"found = explanation_scores(Path({str(sweep / '0')!r}))\n"
        "print([len(scores) for scores in found.values.values()], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[2] False"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["--metric", "bertscore", "--layer", "2"], "--encoder: BERTScore needs an encoder and a layer"),
        (["--metric", "bertscore", "--encoder", "x"], "--layer: BERTScore needs an encoder and a layer"),
    ],
)
def test_an_invalid_option_is_one_line_and_exit_status_2(sweep, chosen, message, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("explain", [str(sweep), *chosen])
    error = capsys.readouterr().err
    assert error.startswith(f"legalrr explain: {message} (")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("folder", "message"), [("2", "no cell with references.jsonl"), ("9", "no such folder")])
def test_a_folder_without_explanations_is_an_error(sweep, folder, message, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("explain", [str(sweep / folder)])
    assert message in capsys.readouterr().err


def test_an_interruption_says_how_to_continue(sweep, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("legalrr.score.explanation.score_explanations", interrupted)
    with pytest.raises(SystemExit, match=r"^130$"):
        run_command("explain", [str(sweep)])
    assert "run the same command again to resume" in capsys.readouterr().err


def test_import_loads_no_heavy_libraries():
    code = (
        "import sys, legalrr.score.explanation;"
        "print([m for m in ('torch', 'transformers', 'nltk', 'rouge_score', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
