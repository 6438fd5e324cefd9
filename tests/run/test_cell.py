"""One cell: from judgments to its run folder."""

import gzip
import hashlib
import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from legalrr.api import read_run
from legalrr.backbones.echo import EchoEngine
from legalrr.errors import UserError
from legalrr.judgment_files import JUDGMENTS
from legalrr.paths import root
from legalrr.protocols import Call, Reply
from legalrr.report.compare import read_report
from legalrr.report.html.sample import TextSample
from legalrr.report.sweep import write_page, write_report
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, build_pipeline, call_store
from legalrr.score.cases import read_answers
from legalrr.score.explanation import score_explanations
from legalrr.score.explanation_texts import read_explanations
from legalrr.score.overlap import Rouge
from legalrr.sent_messages import read_restored
from legalrr.stage import digest

TEXTS = (
    "The appellant sold a horse to the respondent. It was lame.",
    "The appellant let a field. The rent was not paid.",
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve judgments in three splits, two of them without an outcome."""
    path = tmp_path / "mine.jsonl"
    rows: list[dict[str, Any]] = []
    for number in range(12):
        text = f"{TEXTS[number % 2]} This is judgment number {number}."
        rows.append({"id": f"j{number}", "text": text, "label": number % 2, "part": "test" if number < 6 else "train"})
    rows[4]["label"] = rows[5]["label"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pipeline(folder: Path, *overrides: str) -> Pipeline:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(compose("config", ["backbone=echo", f"runs={folder}", *overrides]))


def mine(table: Path, *overrides: str) -> Pipeline:
    return pipeline(
        table.parent,
        "corpus=own_table",
        f"corpus.file={table}",
        "corpus.split_column=part",
        "corpus.split=test",
        "segment=crf",
        *overrides,
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row.to_json() for row in read_restored(folder)]


@pytest.mark.parametrize(("arm", "reader"), [("direct", "backbone echo"), ("majority", "this predictor")])
def test_page_images_are_refused_by_a_predictor_without_vision(tmp_path: Path, arm: str, reader: str) -> None:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with PdfPages(tmp_path / "a.pdf") as book:
        figure = Figure()
        figure.text(0.1, 0.9, "The appellant sold a horse. It was lame.")
        book.savefig(figure)
    mine = ("corpus=own_pdf", f"corpus.folder={tmp_path}", "segment=crf", f"arm={arm}")
    with pytest.raises(UserError, match=rf"corpus own_pdf, a: {reader} reads no images of pages .*corpus.input=text"):
        run_cell(pipeline(tmp_path, *mine, "corpus.input=images"), tmp_path / "cell")
    assert not (tmp_path / "cache").exists()


def test_unlabelled_judgments_are_excluded_and_counted(table: Path, tmp_path: Path) -> None:
    record = run_cell(mine(table, "arm=direct"), tmp_path / "cell")
    assert record["counts"] == {"read": 6, "without outcome": 2, "taken": 4, "scored": 4, "party unknown": 0}
    assert [row["id"] for row in rows(tmp_path / "cell")] == ["j0", "j1", "j2", "j3"]


def test_a_baseline_is_trained_on_the_train_split(table: Path, tmp_path: Path) -> None:
    run_cell(mine(table, "arm=tfidf_lr", "corpus.train_split=train"), tmp_path / "cell")
    assert all(row["verdict"] == row["gold"] for row in rows(tmp_path / "cell"))


def test_train_judgments_without_gold_roles_are_excluded(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    whole = {"text": TEXTS[0], "spans": [[0, len(TEXTS[0]), "FAC"]]}
    judged = [{"id": f"j{n}", "label": n % 2, "part": "test", **whole} for n in range(4)]
    learnt = [{"id": f"t{n}", "label": 1, "part": "train", **whole} for n in range(3)]
    learnt[0]["spans"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in [*judged, *learnt]), encoding="utf-8")
    overrides = ("segment=gold", "corpus.spans_column=spans", "corpus.scheme=build", "corpus.train_split=train")
    run_cell(mine(path, "arm=majority", *overrides), tmp_path / "cell")
    assert {row["verdict"] for row in rows(tmp_path / "cell")} == {"allowed"}


def test_judgments_without_gold_roles_are_excluded_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    spans: list[Any] = [[[0, len(TEXTS[0]), "FAC"]], None]
    judged = [{"id": f"j{n}", "label": n, "part": "test", "text": TEXTS[0], "spans": spans[n]} for n in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    one = mine(path, "segment=gold", "corpus.spans_column=spans", "corpus.scheme=build", "arm=direct")
    counts = run_cell(one, tmp_path / "cell")["counts"]
    assert counts == {"read": 2, "without gold roles": 1, "taken": 1, "scored": 1, "party unknown": 0}


def test_judgments_with_unknown_party_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    texts = ("It rained.", "The appellant fell.", "The horse was lame.")
    judged = [{"id": f"j{n}", "label": n % 2, "part": "test", "text": text} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    assert run_cell(mine(path, "arm=direct"), tmp_path / "one")["counts"]["party unknown"] == 2
    stated = mine(path, "arm=direct", "corpus.party=petitioner", "corpus.court=High Court of Sandpur")
    assert run_cell(stated, tmp_path / "other")["counts"]["party unknown"] == 0
    system, question = rows(tmp_path / "other")[0]["messages"]
    assert system["content"].startswith("You are a judge of the High Court of Sandpur.")
    assert question["content"].endswith("in favour of the petitioner?\nAnswer:")


def test_a_row_has_the_metadata_of_its_judgment(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    known = {"court": "High Court", "year": 1987, "kind": "tax", "confidence": "low"}
    judged = [
        {"id": f"j{n}", "label": n, "part": "test", "text": TEXTS[n], **(known if n else dict.fromkeys(known))}
        for n in range(2)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    columns = [f"corpus.{name}_column={name}" for name in known]
    run_cell(mine(path, "arm=majority", *columns), tmp_path / "cell")
    first, second = rows(tmp_path / "cell")
    assert {name: second[name] for name in known} == known
    assert {name: first[name] for name in known} == dict.fromkeys(known)
    assert second["length"] == len(TEXTS[1])


def test_a_row_has_the_cluster_of_its_judgment_and_the_digest_of_its_prompt(table: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in table.read_text("utf-8").splitlines()]
    long = " ".join(f"word{number}" for number in range(60))
    for number in (1, 3):
        lines[number]["text"] += f" {long}"
    lines[2]["text"] = "Nothing is known of the facts of this matter."
    table.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = {}
    for arm in ("plain", "c", "majority"):
        run_cell(mine(table, f"arm={arm}"), tmp_path / arm)
        found[arm] = rows(tmp_path / arm)
    assert [row["cluster"] for row in found["plain"]] == ["j0", "j1", "j2", "j1"]
    prompts = [{row["prompt"] for row in found[arm]} for arm in ("plain", "c")]
    assert len(prompts[0]) == len(prompts[1]) == 4
    assert not prompts[0] & prompts[1]
    assert all(row["prompt"] is None for row in found["majority"])
    (case, *_) = read_answers(tmp_path / "plain" / "predictions.jsonl").cases
    assert (case.cluster, case.prompt) == ("j0", found["plain"][0]["prompt"])


def test_an_empty_split_is_refused_by_name(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="split"):
        run_cell(mine(table, "corpus.split=dev", "arm=direct"), tmp_path / "cell")


def test_rows_of_a_baseline_have_no_messages(table: Path, tmp_path: Path) -> None:
    run_cell(mine(table, "arm=majority"), tmp_path / "cell")
    assert all(row["messages"] == [] for row in rows(tmp_path / "cell"))


def test_run_json_describes_cell_stages_and_versions(tmp_path: Path) -> None:
    run_cell(pipeline(tmp_path, "arm=drc", "limit=4"), tmp_path / "cell")
    record = json.loads((tmp_path / "cell" / "run.json").read_text())
    assert record["cell"]["label"] == "D/R/C"
    assert record["cell"]["order"] == "role"
    assert set(record["stages"]) == {
        *("corpus", "segment", "restructure", "annotate"),
        *("backbone", "predict", "verdict", "score"),
    }
    assert all(len(stage["identity"]) == 64 for stage in record["stages"].values())
    assert record["versions"]["legalrr"]
    sent = rows(tmp_path / "cell")[0]["messages"]
    assert [message["role"] for message in sent] == ["system", *("user", "assistant") * 3, "user"]


def test_judgments_are_written_and_run_json_has_their_digest(tmp_path: Path) -> None:
    first = run_cell(pipeline(tmp_path, "arm=direct", "limit=4"), tmp_path / "a")
    second = run_cell(pipeline(tmp_path, "arm=dr", "limit=4"), tmp_path / "b")
    lines = gzip.decompress((tmp_path / "a" / JUDGMENTS).read_bytes())
    kept = {judgment["id"]: judgment for judgment in map(json.loads, lines.splitlines())}
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["judgments"] == {"file": JUDGMENTS, "sha256": hashlib.sha256(lines).hexdigest()}
    assert (tmp_path / "a" / JUDGMENTS).read_bytes() == (tmp_path / "b" / JUDGMENTS).read_bytes()
    assert first["cell"]["arm"] != second["cell"]["arm"]
    for row in rows(tmp_path / "a"):
        judgment, sent = kept[row["id"]], row["messages"][1]["content"]
        assert all(judgment["text"][start:end] in sent for _, start, end in row["shown"])
        assert judgment["scheme"] == "build"
        assert any(role == "RPC" for _, _, role in judgment["spans"])


@pytest.mark.parametrize(
    ("overrides", "turns"),
    [
        (("arm=c", "annotate.layout=study"), ["analysis", "ratio", "ruling"]),
        (("arm=c", "annotate.layout=conversation"), []),
        (("arm=direct_calibrated",), ["blank"]),
    ],
)
def test_every_conversation_sent_can_be_restored(tmp_path: Path, overrides: tuple[str, ...], turns: list[str]) -> None:
    folder = tmp_path / "cell"
    one = pipeline(tmp_path, "limit=2", *overrides)
    run_cell(one, folder)
    for row in rows(folder):
        assert [earlier["turn"] for earlier in row["earlier"]] == turns
        sent = [earlier["messages"] for earlier in row["earlier"]]
        kinds = ["compare" if turn == "blank" else "generate" for turn in turns]
        asked = [
            {"compare": ["YES", "NO"], "messages": messages}
            if kind == "compare"
            else {"generate": one.annotate.tokens.of(turn), "messages": messages}
            for kind, turn, messages in zip(kinds, turns, sent, strict=True)
        ]
        with closing(call_store(one)) as store:
            assert all(digest(call) in store for call in asked)


def test_a_cell_copied_out_of_its_sweep_keeps_its_numbers_and_names_the_file_of_its_texts(tmp_path: Path) -> None:
    run_cell(pipeline(tmp_path, "arm=c", "limit=4"), tmp_path / "sweep" / "0", sweep=tmp_path / "sweep")
    whole, texts = rows(tmp_path / "sweep" / "0"), read_explanations(tmp_path / "sweep" / "0")
    cell = tmp_path / "away" / "cell"
    shutil.copytree(tmp_path / "sweep" / "0", cell)
    (file,) = (tmp_path / "sweep").glob("judgments-*.jsonl.gz")
    assert len(read_run(cell).to_pandas()) == 4
    write_report(read_report([cell]), tmp_path / "out")
    write_page(read_report([cell]), [cell], tmp_path / "out", sample=TextSample(megabytes=0))
    cure = f"copy {file.name} from the folder of the sweep to {tmp_path / 'away'}"
    for read in (rows, read_explanations, lambda folder: write_page(read_report([folder]), [folder], tmp_path / "out")):
        with pytest.raises(UserError) as caught:
            read(cell)
        assert caught.value.where == str(tmp_path / "away" / file.name)
        assert caught.value.cure == cure
    shutil.copy(file, tmp_path / "away")
    assert (rows(cell), read_explanations(cell)) == (whole, texts)


def test_a_lone_surrogate_in_an_answer_is_kept_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = EchoEngine._generated_reply

    def cut_within_a_character(engine: EchoEngine, call: Call) -> Reply:
        for message in call.messages:
            message["content"].encode("utf-8")
        reply = written(engine, call)
        return replace(reply, text=f"{reply.text} \ud83d")

    monkeypatch.setattr(EchoEngine, "_generated_reply", cut_within_a_character)
    folder = tmp_path / "sweep" / "0"
    run_cell(pipeline(tmp_path, "limit=4", "arm=c"), folder)
    (folder / "predictions.jsonl").read_bytes().decode("utf-8")
    for row in rows(folder):
        assert all(turn["text"].endswith(" \ud83d") for turn in row["turns"])
        assert any("\ufffd" in message["content"] for message in row["messages"])
        answer = row["turns"][-1]["text"]
        assert row["span"] is None or answer[slice(*row["span"])] in ("YES", "NO")
    assert any(row["span"] for row in rows(folder))
    assert read_answers(folder / "predictions.jsonl").cases
    list(score_explanations([folder], Rouge()))
    texts = read_explanations(folder)
    assert texts is not None
    assert all(one.generated.endswith("\ufffd") for one in texts.found)
    report = read_report([folder.parent])
    write_report(report, folder.parent)
    assert "\\ud83d" not in write_page(report, [folder.parent], folder.parent).read_text(encoding="utf-8")


def test_a_skipped_judgment_is_invalid_for_overflow_without_a_call(tmp_path: Path) -> None:
    overrides = ("limit=4", "backbone.context=2300", "restructure.overflow=skip", "arm=plain")
    record = run_cell(pipeline(tmp_path, *overrides), tmp_path / "cell")
    skipped = [row for row in rows(tmp_path / "cell") if row["skipped"]]
    assert skipped
    assert {(row["verdict"], row["reason"]) for row in skipped} == {("invalid", "overflow")}
    assert record["calls"]["made"] == 2 * (4 - len(skipped))


def test_judgments_in_another_script_are_counted_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "judgments"
    folder.mkdir()
    hindi = (
        "\u0928\u094d\u092f\u093e\u092f\u093e\u0932\u092f \u0928\u0947 \u091c\u092e\u093e\u0928\u0924 \u0926\u0940 " * 9
    )
    for name, text in (("a", hindi), ("b", hindi + "2"), ("c", TEXTS[0])):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    one = pipeline(tmp_path, "corpus=own_text", f"corpus.folder={folder}", "segment=crf", "arm=direct")
    counts = run_cell(one, tmp_path / "cell")["counts"]
    assert (counts["taken"], counts["not in English"]) == (3, 2)
    [warning] = [record.getMessage() for record in caplog.records if "English" in record.getMessage()]
    assert "Judgments not in English: 2 of 3 (a, b)" in warning
