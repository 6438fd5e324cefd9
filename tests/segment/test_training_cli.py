"""The commands `train`, `evaluate` and `curve` of `legalrr segment`."""

import json
from dataclasses import replace

import pytest

from legalrr.cli import run_command
from legalrr.progress import progress
from legalrr.segment.adapted_training import AdaptedRecipe
from legalrr.segment.card import card_path
from legalrr.segment.cli import main
from legalrr.segment.crf import FittedCrf
from legalrr.segment.token_states import AdapterShape, TokenReader


def run(capsys, *arguments):
    main([str(a) for a in arguments])
    return capsys.readouterr().out


def failure(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        run_command("segment", [str(a) for a in arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def corpus(lines_folder, monkeypatch):
    """Put the small corpus in place of lawai50, without outcomes, which a tagger does not need."""
    monkeypatch.setenv("LEGALRR_DATA", str(lines_folder.parents[2]))
    from legalrr.corpora import catalogue

    node = catalogue.CorpusFacts.node

    def without_outcomes(self):
        found = node(self)
        if "outcomes" in found:
            found.outcomes = None
        return found

    monkeypatch.setattr(catalogue.CorpusFacts, "node", without_outcomes)


def test_train_writes_a_model_and_card_for_tag(corpus, tmp_path, capsys):
    model = tmp_path / "tiny.crfsuite"
    out = run(capsys, "train", "--corpus", "lawai50", "--out", model, "--folds", 2, "--c1", 0.1, "--c2", 0.1)
    assert "12 of 12 judgments" in out
    assert "fold 2 of 2" in out
    card = json.loads(card_path(model).read_text("utf-8"))
    assert card["scheme"] == "seven"
    assert card["documents"] == 12
    assert card["settings"] == {"recipe": "crf", "c1": 0.1, "c2": 0.1, "max_iterations": 100, "min_frequency": 2}
    assert card["cross_validation"]["folds"] == 2
    assert card["corpora"][0]["licence"].startswith("MIT")
    assert card["command"].startswith("legalrr segment train --corpus lawai50")
    text = tmp_path / "case.txt"
    text.write_text(
        "Counsel urged that the shop was never let. The appeal is dismissed with costs of the shop.", "utf-8"
    )
    tagged = json.loads(run(capsys, "tag", text, "--scheme", "seven", "--model", model))
    assert (tagged["id"], [span["role"] for span in tagged["spans"]]) == ("case", ["ARG", "RPC"])


def test_train_without_folds_has_no_scores(corpus, tmp_path, capsys):
    run(capsys, "train", "--corpus", "lawai50", "--out", tmp_path / "m.crfsuite", "--folds", 0)
    assert json.loads((tmp_path / "m.json").read_text("utf-8"))["cross_validation"] is None


def test_evaluate_prints_averages_and_roles_and_writes_them(corpus, tmp_path, capsys):
    folder = tmp_path / "scores"
    out = run(capsys, "evaluate", "--corpus", "lawai50", "--folds", 2, "--c1", 0.1, "--c2", 0.1, "--out", folder)
    for word in ("micro", "macro", "weighted", "FAC", "precision", "calibration error"):
        assert word in out
    scores = json.loads((folder / "scores.json").read_text("utf-8"))
    assert scores["settings"]["recipe"] == "crf"
    assert 0 < scores["macro"]["mean"] <= 1
    assert (folder / "confusion.svg").read_text("utf-8").startswith("<?xml")


def test_curve_scores_each_share_and_writes_table_and_figure(corpus, tmp_path, capsys):
    folder = tmp_path / "curve"
    out = run(
        capsys,
        "curve",
        "--corpus",
        "lawai50",
        "--folds",
        2,
        "--c1",
        0.1,
        "--c2",
        0.1,
        "--shares",
        "1,0.5",
        "--out",
        folder,
    )
    assert out.index("a share of 0.5") < out.index("a share of 1 ")
    rows = (folder / "curve.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["0.5", "3.0"], ["1", "6.0"]]
    assert (folder / "curve.svg").read_text("utf-8").startswith("<?xml")


def test_a_further_corpus_of_another_scheme_is_rejected(corpus, monkeypatch, capsys):
    assert "roles of 'build', not of 'seven'" in failure(
        capsys, "evaluate", "--corpus", "lawai50", "--also", "specimen", "--folds", 2
    )


def test_invalid_input_is_reported_on_one_line(corpus, tmp_path, capsys, monkeypatch):
    assert "no corpus 'lawai'" in failure(capsys, "evaluate", "--corpus", "lawai")
    assert "cannot write the model there" in failure(
        capsys, "train", "--corpus", "lawai50", "--out", tmp_path / "no" / "m.crfsuite"
    )
    assert "cannot write the model there" in failure(
        capsys, "train", "--corpus", "lawai50", "--out", tmp_path / "model.bin"
    )
    assert "path" in failure(capsys, "evaluate", "--corpus", "own_marked")
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path / "gone"))
    message = failure(capsys, "evaluate", "--corpus", "lawai50")
    assert "LEGALRR_DATA" in message
    assert message.count("\n") == 1


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "legalrr segment train --corpus" in capsys.readouterr().out


def test_the_adapted_tagger_trains_on_a_corpus_of_another_scheme_too(corpus, tmp_path, capsys, caplog, monkeypatch):
    fitted = []

    def fit(recipe, documents, path):
        fitted.append((recipe, [document.scheme for document in documents]))
        path.write_bytes(b"weights")
        with progress("network 0", 1, "steps") as advance:
            advance(1)
        return FittedCrf(tagger=None, roles=())

    monkeypatch.setattr(AdaptedRecipe, "fit", fit)
    model = tmp_path / "tiny.safetensors"
    arguments = ("train", "--tagger", "adapted", "--corpus", "lawai50", "--also", "specimen", "--split-spans")
    run(capsys, *arguments, "--out", model, "--folds", 0, "--rank", 1, "--upper", 2, "--epochs", 3, "--batch", 5)
    assert "network 0: 1 steps" in caplog.text
    ((recipe, schemes),) = fitted
    assert schemes[:12] == ["seven"] * 12
    assert set(schemes[12:]) == {"build"}
    assert (recipe.adapters.rank, recipe.reader.upper, recipe.epochs, recipe.batch) == (1, 2, 3, 5)
    assert replace(recipe, adapters=AdapterShape(), reader=TokenReader(), epochs=6, batch=4) == AdaptedRecipe()
    card = json.loads(card_path(model).read_text("utf-8"))
    assert (card["scheme"], card["documents"]) == ("seven", 12)
    assert [one["name"] for one in card["corpora"]] == ["lawai50", "specimen"]
