"""Python interface: imports, public names, and agreement with the command line."""

import doctest
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import legalrr
from legalrr import api
from legalrr.cli import main
from legalrr.paths import root

FAST = ["score.resamples=99", "score.permutations=99"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write runs into a temporary folder."""
    monkeypatch.chdir(tmp_path)


def loaded(code: str) -> set[str]:
    """Return the packages outside the standard library that a new interpreter imports for `code`."""
    names = "{name.partition('.')[0] for name in sys.modules.keys() - before} - sys.stdlib_module_names"
    listing = f"import sys; before = set(sys.modules)\n{code}\nprint(*{names})"
    done = subprocess.run([sys.executable, "-c", listing], cwd=root(), capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_only_the_standard_library() -> None:
    assert loaded("import legalrr") == {"legalrr"}
    assert loaded("import legalrr; dir(legalrr); legalrr.Judgment; legalrr.UserError; legalrr.score") == {"legalrr"}


def test_every_public_name_exists_and_is_documented() -> None:
    for name in legalrr.__all__:
        assert getattr(legalrr, name).__doc__, name
        assert name in dir(legalrr)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        legalrr.no_such_name  # type: ignore[attr-defined] # noqa: B018


def test_score_is_callable_after_any_import() -> None:
    for first in ("", "import legalrr.score.scorer; ", "from legalrr.score.scorer import Scores; "):
        loaded(f"{first}import legalrr; assert legalrr.score(['allowed'], ['YES']).accuracy == 1.0")


def test_docstring_examples() -> None:
    found = doctest.testmod(api)
    assert found.attempted > 0
    assert found.failed == 0


def test_evaluate_gives_the_results_of_the_command_line(run_hydra: Callable[..., tuple[int, str, str]]) -> None:
    run = legalrr.evaluate(arm="dc", backbone="echo", limit=6, overrides=[*FAST, "runs=mine"])
    assert run.path.parent == Path("mine/single")
    assert run_hydra(main, "legalrr", "arm=dc", "backbone=echo", "limit=6", *FAST, "runs=other")[0] == 0
    (folder,) = Path("other/single").iterdir()
    other = legalrr.read_run(folder)
    assert other.scores == run.scores
    assert (folder / "predictions.jsonl").read_bytes().count(b"\n") == len(run.to_pandas())
    assert other.to_pandas().equals(run.to_pandas())
    again = legalrr.evaluate(arm="dc", backbone="echo", limit=6, overrides=[*FAST, "runs=other"])
    assert again.cell.run["calls"] == {"made": 0, "stored": 24}


def test_reading_a_failed_run_raises() -> None:
    with pytest.raises(legalrr.UserError, match="budget"):
        legalrr.evaluate(backbone="echo", overrides=["backbone.context=2300"], folder="failed")
    with pytest.raises(legalrr.UserError, match=r"^failed: failed: UserError: .*budget"):
        legalrr.read_run("failed")
    with pytest.raises(legalrr.UserError, match="not empty"):
        legalrr.evaluate(backbone="echo", folder="failed")


def test_the_folder_of_a_sweep_names_its_runs() -> None:
    for number in range(2):
        legalrr.evaluate(arm="direct", backbone="echo", limit=2, overrides=FAST, folder=f"sweep/{number}")
    with pytest.raises(legalrr.UserError, match=r"a sweep of 2 runs \(read one of its folders 0, 1"):
        legalrr.read_run("sweep")
    assert legalrr.read_run("sweep/1").scores.n == 2


def test_comparing_runs_on_different_judgments_raises() -> None:
    one, other = (legalrr.evaluate(arm="direct", backbone="echo", limit=n, overrides=FAST) for n in (4, 6))
    with pytest.raises(legalrr.UserError, match="judgments that not all of the 2 arms have"):
        legalrr.compare(one, other)


def test_the_prompt_of_an_arm_equals_the_sent_one() -> None:
    run = legalrr.evaluate(arm="direct", backbone="echo", limit=2, overrides=FAST)
    rows = run.to_pandas()
    judgments = {judgment.id: judgment for judgment in legalrr.load_corpus("specimen")}
    judgment = judgments[rows.id[0]]
    prompt = legalrr.build_prompt(judgment, legalrr.load_tagger("gold").segment(judgment), arm="direct")
    sent = [message.fill({}) for message in prompt.turns[-1].messages]
    assert next(run.rows())["messages"] == sent


@pytest.mark.parametrize(
    ("files", "reader"),
    [
        ({"a.txt": "The appeal of one."}, "TextFolder"),
        ({"a.txt": "---\nid: a\n---\n[FAC] The appeal of one.\n"}, "Marked"),
    ],
)
def test_a_folder_is_read_according_to_its_files(files: dict[str, str], reader: str) -> None:
    Path("judgments").mkdir()
    for name, text in files.items():
        Path("judgments", name).write_text(text, encoding="utf-8")
    corpus = legalrr.load_corpus("judgments")
    assert type(corpus.reader).__name__ == reader
    assert [judgment.id for judgment in corpus] == ["a"]
    assert [judgment.id for judgment in corpus] == ["a"]


def test_overrides_name_the_columns_of_a_table() -> None:
    Path("cases.csv").write_text("id,text,won\na,The appeal of one.,1\n", encoding="utf-8")
    (judgment,) = legalrr.load_corpus("cases.csv", overrides=["corpus.label_column=won"])
    assert judgment.outcome == "allowed"


def test_a_path_without_a_reader_raises() -> None:
    with pytest.raises(legalrr.UserError, match=r"neither the name of a corpus nor a table or folder .*specimen"):
        legalrr.load_corpus("no_such")
    Path("mixed").mkdir()
    with pytest.raises(legalrr.UserError, match=r"neither \.txt nor \.pdf"):
        legalrr.load_corpus(Path("mixed"))
    for name in ("a.txt", "b.pdf"):
        Path("mixed", name).touch()
    with pytest.raises(legalrr.UserError, match=r"both \.txt and \.pdf"):
        legalrr.load_corpus("mixed")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [(["arm=d,r"], "arm=d,r"), (["arm=nope"], "^arm=nope: no arm .nope. "), (["limitt=1"], "limitt")],
)
def test_a_wrong_override_is_a_user_error(overrides: list[str], named: str) -> None:
    with pytest.raises(legalrr.UserError, match=named):
        legalrr.evaluate(overrides=overrides)


def test_scores_take_labels_or_texts_by_id_or_in_order() -> None:
    by_id = legalrr.score({"b": "dismissed", "a": "allowed"}, {"a": "YES", "b": "dismissed"})
    assert by_id.accuracy == 1.0
    found = legalrr.score(["allowed", "allowed"], ["invalid", "No order as to costs."])
    assert found.confusion["allowed"] == {"allowed": 0, "dismissed": 0, "invalid": 2}


@pytest.mark.parametrize(
    ("gold", "answers", "named"),
    [
        (["won"], ["YES"], "unknown outcome 'won'"),
        (["allowed"], ["YES", "NO"], "1 outcomes and 2 answers: only one of the two has '1'"),
        ({"a": "allowed"}, {"b": "YES"}, "only one of the two has 'a'"),
        ({"0": "allowed"}, ["YES"], "one is a mapping, the other a sequence"),
    ],
)
def test_scores_of_mismatched_answers_raise(
    gold: dict[str, str] | list[str], answers: dict[str, str] | list[str], named: str
) -> None:
    with pytest.raises(legalrr.UserError, match=named):
        legalrr.score(gold, answers)


def test_a_null_word_as_id_or_label_is_text_in_pandas(tmp_path: Path) -> None:
    words = ["None", "null", "NA", "nan", "N/A", "NaN"]
    rows = [{"id": word, "text": f"The appeal of {word} is heard.", "label": n % 2} for n, word in enumerate(words)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["corpus.file=own.jsonl", "corpus.id_column=id", "segment=crf", "arm.label=None", *FAST]
    run = legalrr.evaluate(corpus="own_table", arm="direct", backbone="echo", overrides=own)
    table = run.to_pandas()
    assert sorted(table.id) == sorted(table.cluster) == sorted(words)
    assert table[["gold", "verdict", "answer"]].notna().all().all()
    assert run.cell.label == "None"


def test_a_blank_label_of_an_arm_raises() -> None:
    with pytest.raises(legalrr.UserError, match=r"^arm direct: no label \(set arm.label"):
        legalrr.evaluate(arm="direct", backbone="echo", overrides=["arm.label=' '"])
