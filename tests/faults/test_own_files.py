"""A command overwrites its own files of earlier calls, and no other."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from legalrr.cli import run_command
from legalrr.errors import UserError
from legalrr.files import require_own
from legalrr.segment.crf import crf_path
from legalrr.segment.training_cli import _share_crf
from tests.report.conftest import Sweep

TRAIN = ("--corpus", "specimen", "--split-spans", "--iterations", "1")
FOLDS = (*TRAIN, "--folds", "2")
EXPORT = ("--corpus", "specimen", "--format")
FIGURES = "dataset,model,components,n,accuracy\nx,m,none,4,0.75\n"
AUDIT = ("audit", "figures.csv", "--quiet", "--out", "x")
JUDGMENT = "The appellant sold a horse.\n\nWe allow the appeal.\n"
OWN = "a file of mine, written by hand\n"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function (words) that runs a command in `tmp_path` and gives status and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judgment.txt").write_text(JUDGMENT)
    (tmp_path / "figures.csv").write_text(FIGURES)
    Sweep(tmp_path / "sweep").cell(0)
    Sweep(tmp_path / "sweep").cell(1, "dr", answers="AAADDDDDDAAA")

    def call(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            run_command(words[0], list(words[1:]))
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


CASES = [
    (["segment", "train", *TRAIN, "--folds", "0", "--out", "mine.crfsuite"], "mine.json"),
    (["segment", "train", *TRAIN, "--folds", "0", "--out", "mine.crfsuite"], "mine.crfsuite"),
    (["segment", "evaluate", *FOLDS, "--out", "x"], "x/scores.json"),
    (["segment", "evaluate", *FOLDS, "--out", "x"], "x/confusion.svg"),
    (["segment", "curve", *FOLDS, "--shares", "1", "--out", "x"], "x/curve.csv"),
    (["segment", "show", "judgment.txt", "--out", "x.html"], "x.html"),
    (["segment", "tag", "judgment.txt", "--out", "judgment.txt"], "judgment.txt"),
    (["segment", "export", *EXPORT, "jsonl", "--out", "x"], "x"),
    (["segment", "export", *EXPORT, "label-studio", "--out", "x"], "x"),
    (["segment", "export", *EXPORT, "docbin", "--out", "x"], "x"),
    (["segment", "export", *EXPORT, "dataset", "--out", "x"], "x/dataset_info.json"),
    ([*AUDIT], "x/audit.md"),
    ([*AUDIT], "x/audit.csv"),
    (["report", "sweep", "--quiet", "--out", "x"], "x/results.csv"),
    (["report", "sweep", "--quiet", "--out", "x"], "x/report.html"),
    (["report", "sweep", "--table", "prediction", "--out", "x"], "x/prediction.md"),
]


@pytest.mark.parametrize(("words", "name"), CASES, ids=lambda one: one if isinstance(one, str) else " ".join(one[:2]))
def test_a_file_of_the_user_is_refused_by_name(run: Run, tmp_path: Path, words: list[str], name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    if name != "judgment.txt":
        (tmp_path / name).write_text(OWN)
    content = (tmp_path / name).read_text()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    status, err = run(*words)
    assert status == 2
    assert err.splitlines()[-1].endswith(
        ("(give another --out, or move this file)", "x: already exists (name a new folder)")
    )
    assert name.removesuffix("/dataset_info.json") in err
    assert (tmp_path / name).read_text() == content
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "words",
    [words for words, name in CASES if name in ("mine.json", "x", "x.html", "x/scores.json", "x/curve.csv")]
    + [words for words, name in CASES if name in ("x/audit.md", "x/results.csv", "x/prediction.md")]
    + [["segment", "tag", "judgment.txt", "--out", "x.jsonl"]],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_same_command_can_be_repeated(run: Run, words: list[str]) -> None:
    assert run(*words)[0] == 0
    assert run(*words)[0] == 0


def test_an_empty_file_is_overwritten_and_a_device_is_not(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    require_own(tmp_path / "x", "{")
    (tmp_path / "y").symlink_to("/dev/null")
    with pytest.raises(UserError, match="give another --out"):
        require_own(tmp_path / "y", "{")


def test_a_model_that_was_replaced_after_its_training_is_kept(run: Run, tmp_path: Path) -> None:
    words, _ = CASES[0]
    assert run(*words)[0] == 0
    (tmp_path / "mine.crfsuite").write_text(OWN)
    status, err = run(*words)
    assert status == 2
    assert "mine.crfsuite: exists" in err
    assert (tmp_path / "mine.crfsuite").read_text() == OWN


def test_the_card_of_another_model_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"model": "mine.safetensors", "features": 2, "settings": {}}))
    assert run(*CASES[0][0])[0] == 2


def test_the_crf_of_a_neural_tagger_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    taken = crf_path(tmp_path / "mine.safetensors")
    taken.write_text(OWN)
    status, err = run("segment", "train", *TRAIN, "--tagger", "neural", "--out", str(tmp_path / "mine.safetensors"))
    assert status == 2
    assert f"{taken}: exists" in err


def test_a_crf_that_is_given_and_made_at_the_same_path_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.crfsuite").write_text("lCRF")
    _share_crf(tmp_path / "x.crfsuite", tmp_path / "x.crfsuite")
    assert (tmp_path / "x.crfsuite").exists()
