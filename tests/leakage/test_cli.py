"""`legalrr leakage` with a backbone that answers YES for one planted sentence: the probe finds it and nothing else."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hydra import compose, initialize_config_dir
from markdown_it import MarkdownIt
from omegaconf import OmegaConf

from legalrr.backbones.echo import EchoBackbone, EchoEngine
from legalrr.backbones.local.backbone import forget_engine
from legalrr.cli import main
from legalrr.errors import UserError
from legalrr.leakage.output import LeakageResult, print_results, render_markdown
from legalrr.leakage.probe import Probe
from legalrr.leakage.run import run_probe
from legalrr.paths import root
from legalrr.protocols import Abilities, Call, CallQueue, Reply
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, build_pipeline

PLANTED = "The lamp in the yard was green."
HEAD = "IN THE HIGH COURT OF NOWHERE\n\nMOHAN LAL ... Appellant\nVersus\nSOHAN LAL ... Respondent"
Command = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True)
class PlantedBackbone:
    """A backbone that answers YES to prompts with the planted sentence, otherwise NO."""

    name: str = "planted"
    logprobs: bool = field(default=True, metadata={"runtime": True})
    fails_after: int | None = field(default=None, metadata={"runtime": True})
    prompts: list[str] = field(default_factory=list, metadata={"runtime": True})

    VERSION: ClassVar[int] = 1

    def provenance(self) -> Mapping[str, Any]:
        return {}

    def load(self) -> "PlantedEngine":
        return PlantedEngine(self)


class PlantedEngine(EchoEngine):
    """The engine of `PlantedBackbone`, which records the prompts."""

    def __init__(self, backbone: PlantedBackbone) -> None:
        super().__init__(EchoBackbone())
        self.can = Abilities(logprobs=backbone.logprobs, structured=True, images=False, seed=False)
        self._planted = backbone

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        for call in queue.take():
            reads = self._reads_planted(call)
            p = 0.97 if reads else 0.05
            logprobs = {"YES": math.log(p), "NO": math.log(1 - p)} if call.answers else None
            text = "" if call.answers else "YES" if reads else "NO"
            yield [(call.key, self._reply(1, text, cut=False, logprobs=logprobs))]

    def _reads_planted(self, call: Call) -> bool:
        prompts, limit = self._planted.prompts, self._planted.fails_after
        if limit is not None and len(prompts) >= limit:
            raise KeyboardInterrupt
        prompts.append(call.messages[-1]["content"])
        return PLANTED in prompts[-1]


def judgment(id: str, label: int | None, *, head: str | None = HEAD, place: int | None = None) -> dict[str, Any]:
    """Return a judgment of a preamble and twelve facts; the fact at `place` is the planted sentence."""
    facts = [f"On day {number} the parties met at the well and spoke of field {id}." for number in range(12)]
    if place is not None:
        facts[place] = PLANTED
    ruling = "The appeal is allowed." if label else "The appeal is dismissed."
    text, spans = "", []
    for part, role in ((head, "PREAMBLE"), (" ".join(facts), "FAC"), (ruling, "RPC")):
        if part:
            spans.append([len(text), len(text) + len(part), role])
            text += part + "\n\n"
    return {"id": id, "label": label, "text": text, "spans": spans}


JUDGMENTS = (
    judgment("planted", 1, place=4),
    judgment("unplanted", 1),
    judgment("against", 0),
    judgment("misled", 0, place=7),
)


def overrides(folder: Path, *rows: dict[str, Any]) -> list[str]:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ["corpus=own_table", f"corpus.file={path}", "corpus.spans_column=spans", "corpus.scheme=build"]


def pipeline(folder: Path, *changes: str, backbone: Any = None, config: str = "leakage") -> Pipeline:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        composed = compose(config, ["backbone=echo", f"runs={folder}", *changes])
    whole = build_pipeline(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "probe"]))
    return whole if backbone is None else replace(whole, backbone=backbone)


def probed(folder: Path, *rows: dict[str, Any], backbone: Any = None, **options: Any) -> LeakageResult:
    backbone = PlantedBackbone() if backbone is None else backbone
    return run_probe(pipeline(folder, *overrides(folder, *rows), backbone=backbone), Probe(**options), folder / "run")[
        0
    ]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("calls", [40, 6])
def test_only_the_planted_sentence_is_found(tmp_path: Path, calls: int) -> None:
    found = probed(tmp_path, *JUDGMENTS, calls=calls)
    assert {(one.id, name) for one, name, _ in found.deciding} == {("planted", "tail"), ("planted", "whole")}
    text = JUDGMENTS[0]["text"]
    for _, _, sentence in found.deciding:
        assert sentence.text == text[sentence.start : sentence.end] == PLANTED
        assert sentence.alone == pytest.approx(0.97)
        assert sentence.without == pytest.approx(0.05)


def test_a_sentence_of_the_preamble_is_found_in_its_view(tmp_path: Path) -> None:
    found = probed(tmp_path, judgment("planted", 1, head=f"{HEAD}\n\n{PLANTED}"), judgment("against", 0), words=20)
    assert {(one.id, name) for one, name, _ in found.deciding} == {("planted", "preamble"), ("planted", "whole")}
    (preamble,) = (one for one in found.views if one.view == "preamble")
    assert preamble.auc is not None
    assert preamble.auc.value == 1.0


def test_a_view_answered_incorrectly_is_not_searched(tmp_path: Path) -> None:
    found = probed(tmp_path, *JUDGMENTS)
    misled = next(one for one in found.probed if one.id == "misled")
    assert misled.views["whole"].verdict.label == "allowed"
    assert misled.views["whole"].deciding is None
    assert misled.views["preamble"].deciding is not None


def test_a_sentence_that_the_answer_does_not_need_is_not_deciding(tmp_path: Path) -> None:
    found = probed(tmp_path, *JUDGMENTS)
    against = next(one for one in found.probed if one.id == "against").views["whole"].deciding
    assert against is not None
    assert not against.decides
    kept = [row["id"] for row in rows_of(tmp_path / "run/sentences.csv") if row["decides"] == "False"]
    assert "against" in kept


def test_thresholds_can_be_set(tmp_path: Path) -> None:
    assert not probed(tmp_path, *JUDGMENTS, alone=0.98).deciding
    assert {one.id for one, _, _ in probed(tmp_path, *JUDGMENTS, without=1.0).deciding} >= {"planted", "against"}


def test_a_judgment_without_preamble_is_counted_and_its_other_views_used(tmp_path: Path) -> None:
    found = probed(tmp_path, *JUDGMENTS, judgment("headless", 1, head=None, place=2))
    sizes = {one.view: (one.scores.n, one.lacking) for one in found.views}
    assert sizes == {"question": (5, 0), "preamble": (4, 1), "tail": (5, 0), "whole": (5, 0)}
    assert "1 of 5 judgments show no PREAMBLE" in render_markdown(found)
    assert ("headless", "whole") in {(one.id, name) for one, name, _ in found.deciding}


def test_planted_names_are_text_on_the_page_and_in_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "=x\n\n# Heading\n\x1b[2J<script>x</script>![i](http://x)"
    found = replace(probed(tmp_path, {**JUDGMENTS[0], "id": name}, *JUDGMENTS[1:]), corpus=name, backbone=name)
    assert any(one.id == name for one, _, _ in found.deciding)
    print_results(found)
    output = capsys.readouterr().out
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(render_markdown(found))
    assert not {token.type for outer in tokens for token in (outer, *(outer.children or ()))} & {
        *("html_block", "html_inline", "link_open", "image")
    }
    assert sum(token.type == "heading_open" for token in tokens) == 2
    assert "\x1b" not in output + render_markdown(found)
    assert not any(line.startswith("# Heading") for line in output.splitlines())


def test_without_any_preamble_the_view_has_no_scores(tmp_path: Path) -> None:
    found = probed(tmp_path, judgment("a", 1, head=None), judgment("b", 0, head=None))
    assert "| the preamble | 0 | - |" in render_markdown(found)
    assert rows_of(tmp_path / "run/views.csv")[1]["auc"] == ""


def test_each_view_is_compared_with_the_whole_on_the_same_judgments(tmp_path: Path) -> None:
    planted = judgment("planted", 1, head=f"{HEAD}\n\n{PLANTED}", place=3)
    found = probed(tmp_path, planted, *JUDGMENTS[1:3], judgment("headless", 1, head=None, place=3))
    preamble, _, whole = found.views[1:]
    assert (preamble.scores.n, preamble.only_view, preamble.only_whole) == (3, 0, 0)
    question = found.views[0]
    assert (question.only_view, question.only_whole) == (0, 2)
    assert whole.auc is not None
    assert whole.auc.value == pytest.approx(5 / 6)
    assert preamble.whole_auc == 0.75


def test_every_part_has_the_same_question_and_no_hidden_text(tmp_path: Path) -> None:
    backbone = PlantedBackbone()
    probed(tmp_path, JUDGMENTS[0], JUDGMENTS[2], backbone=backbone)
    questions = {prompt.rpartition("Question:")[2] for prompt in backbone.prompts}
    assert len(questions) == 1
    assert "MOHAN LAL" in questions.pop()
    assert not any("The appeal is" in prompt for prompt in backbone.prompts)


def test_part_of_a_preamble_never_adds_a_name_to_the_question(tmp_path: Path) -> None:
    backbone = PlantedBackbone()
    # After an address line this is not read as a name; without that line it would be.
    head = "IN THE HIGH COURT OF NOWHERE\nof some street in the town\nMOHAN LAL ... APPELLANT"
    probed(tmp_path, judgment("against", 0, head=head), backbone=backbone)
    assert any("MOHAN LAL" in prompt and "some street" not in prompt for prompt in backbone.prompts)
    assert not any("MOHAN LAL" in prompt.rpartition("Question:")[2] for prompt in backbone.prompts)


def test_a_second_run_makes_no_call_and_writes_the_same_files(tmp_path: Path) -> None:
    backbone = PlantedBackbone()
    cell = pipeline(tmp_path, *overrides(tmp_path, *JUDGMENTS), backbone=backbone)
    _, first = run_probe(cell, Probe(), tmp_path / "one")
    made = len(backbone.prompts)
    assert made == len(set(backbone.prompts))
    _, second = run_probe(cell, Probe(), tmp_path / "two")
    assert (first.made, second.made, len(backbone.prompts)) == (made, 0, made)
    for name in ("judgments.jsonl", "views.csv", "sentences.csv", "leakage.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_interrupted_run_resumes(tmp_path: Path) -> None:
    prompts: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        probed(tmp_path, *JUDGMENTS, backbone=PlantedBackbone(prompts=prompts, fails_after=17))
    probed(tmp_path, *JUDGMENTS, backbone=PlantedBackbone(prompts=prompts))
    assert len(prompts) == len(set(prompts)) > 17


def test_the_view_whole_shares_its_call_with_the_arm_direct_compare(tmp_path: Path) -> None:
    given = overrides(tmp_path, *JUDGMENTS)
    run_probe(pipeline(tmp_path, *given), Probe(calls=0), tmp_path / "run")
    arm = pipeline(tmp_path, *given, "arm=direct_compare", config="config")
    assert run_cell(arm, tmp_path / "cell")["calls"] == {"made": 0, "stored": 4}


def test_a_backbone_without_probabilities_generates_its_answers(tmp_path: Path) -> None:
    found = probed(tmp_path, *JUDGMENTS, backbone=PlantedBackbone(logprobs=False))
    assert {(one.id, sentence.text) for one, _, sentence in found.deciding} == {("planted", PLANTED)}
    assert {(s.alone, s.without) for _, _, s in found.deciding} == {(1.0, 0.0)}
    assert json.loads((tmp_path / "run/run.json").read_text())["scoring"] == "generate"
    assert "answers: generate" in render_markdown(found)


def test_without_a_search_every_judgment_takes_four_calls(tmp_path: Path) -> None:
    backbone = PlantedBackbone()
    found = probed(tmp_path, *JUDGMENTS, backbone=backbone, calls=0, words=20)
    # Their preamble and question are the same, so each takes one call.
    assert len(backbone.prompts) == 2 + 2 * len(JUDGMENTS)
    assert "No sentence was searched for" in render_markdown(found)


@pytest.mark.parametrize(
    ("changes", "rows", "named"),
    [
        ([], [judgment("a", None), judgment("b", None)], "corpus own_table: no judgment has an outcome"),
        (["annotate.direct=false"], JUDGMENTS, "annotate: the probe needs a single-turn prompt"),
        (["predict=majority", "~predict.scoring"], JUDGMENTS, "predict: the probe needs a backbone"),
        (
            ["restructure.overflow=skip", "restructure.budget=5"],
            JUDGMENTS,
            "restructure.overflow=skip: every judgment is longer",
        ),
    ],
)
def test_input_that_cannot_be_probed_is_an_error(
    tmp_path: Path, changes: list[str], rows: Sequence[dict[str, Any]], named: str
) -> None:
    with pytest.raises(UserError, match=f"^{named}"):
        run_probe(pipeline(tmp_path, *overrides(tmp_path, *rows), *changes), Probe(), tmp_path / "run")


def test_judgments_longer_than_the_budget_are_counted(tmp_path: Path) -> None:
    short = judgment("short", 1, head=None, place=0)
    short["text"], short["spans"] = PLANTED, [[0, len(PLANTED), "FAC"]]
    cell = pipeline(
        tmp_path,
        *overrides(tmp_path, *JUDGMENTS, short),
        *("restructure.overflow=skip", "restructure.budget=40"),
    )
    found, _ = run_probe(cell, Probe(), tmp_path / "run")
    assert found.counts == {"read": 5, "taken": 5, "scored": 5, "skipped": 4, "asked": 1}
    assert all(one.auc is None for one in found.views)


@pytest.mark.parametrize(("option", "value"), [("words", 0), ("calls", -1), ("alone", 1.5), ("without", -0.1)])
def test_numbers_out_of_range_are_errors(option: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^probe\.{option}"):
        Probe(**{option: value})  # type: ignore[arg-type]


@pytest.fixture
def command(run_hydra: Command) -> Command:
    """Run the command in its own folder; return exit status, standard output and standard error."""
    return partial(run_hydra, main, "legalrr", "leakage")


def test_the_command_prints_the_table_and_the_path_of_the_report(command: Command, tmp_path: Path) -> None:
    for made in (True, False):
        status, out, _ = command("backbone=echo", "limit=4", "probe.calls=8")
        assert status == 0
        assert "the last 300 words" in out
        assert "A sentence decides" in out
        ending = out.partition("\nFrom 4 judgments, the backbone ")[2].partition("\n\nmodel calls:")[0]
        answer = " ".join(ending.split())
        figures = r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\], n = 4"
        assert re.search(rf"AUC: the question alone {figures}; .*; the whole {figures}\.$", answer)
        assert ("model calls: 0 made" not in out) == made
    first, second = sorted((tmp_path / "runs/leakage").iterdir())
    assert f"report: {second}/leakage.md" in "".join(out.split("\n"))
    for folder in (first, second):
        names = {path.name for path in folder.iterdir()}
        assert {"judgments.jsonl", "views.csv", "sentences.csv", "leakage.md", "run.json"} <= names
        last_line = (folder / "leakage.md").read_text(encoding="utf-8").rstrip().splitlines()[-1]
        assert last_line == f"**From 4 judgments, the backbone {answer}**"
    rows = [json.loads(line) for line in (first / "judgments.jsonl").read_text().splitlines()]
    assert [set(row["views"]) for row in rows] == [{"question", "preamble", "tail", "whole"}] * 4


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("probe.wrods=3", "wrods"),
        ("probe.words=0", "probe.words: words is 0"),
        ("+probe.wrods=3", "probe: .*wrods.*Probe takes words"),
        ("+limitt=3", "limitt.*the options are"),
        ("limit=few", "limit: .*few"),
        ("predict=majority", "predict"),
    ],
)
def test_a_wrong_option_prints_one_line_and_exits_with_status_2(command: Command, override: str, named: str) -> None:
    status, _, err = command("backbone=echo", override)
    assert status == 2
    (line,) = [line for line in err.splitlines() if line.startswith("legalrr leakage: ")]
    assert re.search(named, line)
    assert "Traceback" not in err


def test_an_interruption_prints_how_to_resume(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("legalrr.leakage.run.run_probe", interrupt)
    status, _, err = command("backbone=echo")
    assert status == 130
    assert "run the same command again to resume" in err


def test_the_yaml_lists_every_option_of_the_probe() -> None:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        node = dict(compose("leakage")["probe"])
    assert node.pop("_target_") == "legalrr.leakage.probe.Probe"
    assert node == {one.name: one.default for one in fields(Probe)}


def test_help_imports_no_heavy_library() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "legalrr", "leakage", "--help"]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=True)
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not loaded & {"torch", "transformers", "spacy", "matplotlib", "pandas", "sklearn", "scipy", "numpy"}
    assert "legalrr leakage corpus=specimen backbone=smollm2 limit=6" in done.stdout


def test_the_command_runs_with_a_real_model(command: Command, tiny: Path, tmp_path: Path) -> None:
    # Rotary positions have no weights, so the context can be extended.
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    options = ("backbone=local", f"backbone.model={model}", "backbone.name=tiny", "backbone.threads=1")
    status, out, _ = command(
        *options, *overrides(tmp_path, *JUDGMENTS), "probe.calls=4", "probe.words=30", "annotate.tokens.analysis=16"
    )
    forget_engine()
    assert status == 0
    assert "backbone tiny" in out
    (folder,) = (tmp_path / "runs/leakage").iterdir()
    values = [float(row["auc"]) for row in rows_of(folder / "views.csv")]
    assert len(values) == 4
    rows = [json.loads(line) for line in (folder / "judgments.jsonl").read_text().splitlines()]
    assert all(0 < view["p_allowed"] < 1 for row in rows for view in row["views"].values())
