"""Load run folders into results.

Results come from predictions.jsonl; run.json states the settings that they belong to. scores.json is used if its stamp
matches the settings and the predictions; otherwise the scores are computed again. Reading the answers with another
verdict reader (`read_again`) needs predictions.jsonl and no model.
"""

import gc
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from legalrr.corpora.files import natural_sort_key
from legalrr.errors import UserError
from legalrr.predictions import PREDICTIONS
from legalrr.report.run_record import (
    CellRecord,
    ErrorRecord,
    RunRecord,
    StageRecord,
    build,
    read_job_number,
    read_object,
    read_overrides,
    read_record,
    scorer_of,
)
from legalrr.score.cases import Answers, JudgmentMetadata, read_answers
from legalrr.score.scorer import PredictionScorer, Scores
from legalrr.verdict import PatternVerdictReader


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector while building many small objects.

    Each collection visits all live records and frees nothing: for a report of 50 cells by 3,000 judgments collections
    take a sixth of the time (23.3 s with them, 19.5 s without: `python benchmarks/report.py`).
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


log = logging.getLogger(__name__)

NO_BACKBONE = "-"
"""Backbone of cells without a language model."""
DEFINE, CHAIN, DIRECT = "annotate.define", "annotate.chain", "annotate.direct"
ORDER, CONTENT = "restructure.order", "restructure.content"
SWITCHES = frozenset({ORDER, CONTENT, DEFINE, CHAIN, DIRECT})
"""Options that an arm sets; cells that differ only in these are compared."""
REORGANISED = MappingProxyType({('"document"', '"all"'): False, ('"role"', '"main"'): True})
"""Order and content of the document, as canonical JSON -> whether this is R; other pairs are not in the factorial."""
VERSION = "verdict.version"
"""Option with the reader version since which answers are read as in this cell; old runs do not record it."""
OVERRIDES = Path(".hydra", "overrides.yaml")
"""The overrides of a cell, as recorded by Hydra."""
Known = dict[JudgmentMetadata, JudgmentMetadata]
"""Metadata of the judgments of all cells, each by itself: cells share them."""
FILES = ("run.json", PREDICTIONS, "scores.json", "error.json")
"""Files of a cell that ran."""
HYDRA = ".hydra"
"""Folder of Hydra's record of a cell."""


@dataclass(frozen=True, kw_only=True)
class Setup(CellRecord):
    """Settings of a cell, from its run.json."""

    seed: int
    """Random seed of the run."""
    reference: str
    """Reference arm of the comparisons."""
    options: Mapping[str, str]
    """All other stage options, such as restructure.preamble, as canonical JSON; without the arm's switches."""
    switches: Mapping[str, str] = field(default_factory=dict)
    """Options that the arm sets, as canonical JSON."""

    @property
    def corpus_name(self) -> str:
        """Name of the corpus with its split."""
        return self.corpus if self.split is None else f"{self.corpus} ({self.split})"

    @property
    def factors(self) -> str | None:
        """Switches that are on, of D, R and C in this order ("" for none), as the run recorded them.

        None outside the 2 x 2 x 2 factorial: baselines, probes, arms that answer directly or reorder the whole text,
        and runs that recorded no switches.
        """
        define, chain = self.switches.get(DEFINE), self.switches.get(CHAIN)
        reorganised = REORGANISED.get((self.switches.get(ORDER, ""), self.switches.get(CONTENT, "")))
        if self.family != "arm" or self.switches.get(DIRECT) == "true" or None in (define, chain, reorganised):
            return None
        return "D" * (define == "true") + "R" * bool(reorganised) + "C" * (chain == "true")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One cell: one arm on one corpus with one backbone."""

    sweep: int
    """Number of the folder that it was read from, from 1."""
    job: int | None
    """Job number in the sweep; None for a single run."""
    label: str
    """Name in tables; for a cell that failed before writing run.json, the overrides that distinguish it."""
    status: Literal["done", "failed", "unfinished"]
    """failed: error.json; unfinished: neither scores.json nor error.json."""
    problem: str = ""
    """Reason for missing scores; "" if there are scores."""
    setup: Setup | None = None
    """Settings; None without run.json."""
    answers: Answers | None = None
    """Predictions; None unless done."""
    scores: Scores | None = None
    """Scores of the predictions; None unless done."""
    scorer: PredictionScorer = field(default_factory=PredictionScorer)
    """Scorer with the settings of run.json."""
    digest: str = ""
    """SHA-256 of the scored cases; equal for cells with the same answers."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Stage -> wall time in seconds."""
    folder: Path | None = None
    """Run folder; None unless done."""
    reread: bool = False
    """Whether the answers were read again with another verdict reader."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Content of run.json; empty unless done."""
    measured: Mapping[str, Any] | None = None
    """Perplexity, recall and cost measured for its backbone; None if not measured."""

    @property
    def name(self) -> str:
        """Name in messages."""
        return "run" if self.job is None else f"job {self.job}"


def read_results(folders: Sequence[Path]) -> list[RunResult]:
    """Read the cells of sweep and single-run folders, in the order of the folders and the job numbers.

    Repeated cells without a backbone that have the same corpus, options and answers are kept once.

    Raises:
        UserError: A folder has no cells, or a file of a cell is damaged.
    """
    known: Known = {}
    cells = [cell for sweep, folder in enumerate(folders, start=1) for cell in _folder(folder, sweep, known)]
    kept: list[RunResult] = []
    seen: set[object] = set()
    for cell in cells:
        if cell.status == "done" and cell.setup is not None and cell.setup.backbone == NO_BACKBONE:
            key = (cell.setup.arm, judgments_key(cell.setup), cell.digest)
            if key in seen:
                continue
            seen.add(key)
        kept.append(cell)
    return kept


def read_again(cell: RunResult, reading: str) -> RunResult | None:
    """Read the answers of a cell with another verdict reader, from predictions.jsonl; logs the number of changes.

    Returns None if the cell has no scores, was read in this way by the current reader version, or compared the
    probabilities of answers, which leaves no text to read.

    Raises:
        UserError: predictions.jsonl is damaged, or the reading is unknown.
    """
    reader, setup = PatternVerdictReader(reading=reading), cell.setup
    if cell.status != "done" or setup is None or cell.folder is None or cell.answers is None:
        return None
    if setup.reading == reading and not is_outdated(setup):
        return None
    if setup.scoring not in (None, "generate"):
        return None
    known = {one: one for one in cell.answers.metadata.values()}
    answers = read_answers(cell.folder / PREDICTIONS, reader, known=known)
    before = {case.id: case.label for case in cell.answers.cases}
    changed = sum(before.get(case.id) != case.label for case in answers.cases)
    log.info("%s, %s: the reader changes %d of %d verdicts", cell.name, setup.label, changed, len(answers.cases))
    options = {**setup.options, "verdict.reading": json.dumps(reading), VERSION: json.dumps(reader.SINCE[reading])}
    return replace(
        cell,
        setup=replace(setup, reading=reading, options=options),
        answers=answers,
        scores=cell.scorer.scores(answers.cases),
        digest=cell.scorer.stamp(answers.cases)["cases"],
        reread=True,
    )


def is_outdated(setup: Setup) -> bool:
    """Return whether an earlier reader version read the answers, whose verdicts may differ from today's."""
    version = setup.options.get(VERSION)
    return version is not None and version != json.dumps(PatternVerdictReader.SINCE.get(setup.reading or "", 1))


def judgments_key(setup: Setup) -> tuple[object, ...]:
    """Return a hashable key of the judgments of a cell and their visible text, independent of the backbone."""
    ignored = ("restructure.overflow", "restructure.budget")
    options = tuple(
        (key, value)
        for key, value in sorted(setup.options.items())
        if key.startswith(("corpus.", "segment.", "restructure.")) and key not in ignored
    )
    return (setup.corpus, setup.split or "", setup.segment, setup.limit or 0, setup.seed, options)


def find_cells(folder: Path) -> list[Path]:
    """Find the folders of cells below a folder, or the folder itself, by their files, however they are named.

    A cell that has not written anything yet is known by Hydra's record, or by its number as its name. The cells of
    another sweep below the folder are left out.
    """
    found = [folder] if _has_results(folder) else []
    for path in sorted(folder.iterdir(), key=lambda path: natural_sort_key(path.name)):
        if path.name != HYDRA and path.is_dir() and not (path / "multirun.yaml").is_file():
            below = [] if path.is_symlink() else find_cells(path)
            if not below and (_has_results(path) or (path / HYDRA).is_dir() or path.name.isdecimal()):
                below = [path]
            found += below
    return found


def _has_results(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


def _folder(folder: Path, sweep: int, known: Known) -> list[RunResult]:
    if not folder.is_dir():
        raise UserError("no such folder", where=str(folder), cure="give a folder under runs/sweep or runs/single")
    cells = find_cells(folder)
    if not cells:
        raise UserError("no cells", where=str(folder), cure="give a folder under runs/sweep or runs/single")
    if cells == [folder]:
        return [_cell(folder, sweep, None, " ".join(read_overrides(folder / OVERRIDES)), known)]
    jobs = sorted(zip(_numbers(cells), cells, strict=True))
    overrides = [read_overrides(path / OVERRIDES) for _, path in jobs]
    # Overrides shared by all jobs (a path, a limit) do not distinguish any of them.
    shared = set(overrides[0]).intersection(*overrides[1:]) if len(jobs) > 1 else set()
    labels = [" ".join(one for one in own if one not in shared) for own in overrides]
    return [_cell(path, sweep, number, label, known) for (number, path), label in zip(jobs, labels, strict=True)]


def _numbers(cells: Sequence[Path]) -> Sequence[int]:
    """Return the job numbers of cells: names that are numbers, else those that Hydra recorded, else positions."""
    named = [int(path.name) for path in cells if path.name.isdecimal()]
    recorded = (
        named
        if len(named) == len(cells)
        else [number for path in cells if (number := read_job_number(path / HYDRA / "hydra.yaml")) is not None]
    )
    return recorded if len(set(recorded)) == len(cells) else range(len(cells))


def _cell(folder: Path, sweep: int, job: int | None, overrides: str, known: Known) -> RunResult:
    run_file, scores_file = folder / "run.json", folder / "scores.json"
    run = read_object(run_file) if run_file.is_file() else None
    record = None if run is None else build(run, RunRecord, where=str(run_file))
    setup = None if record is None else _setup(record)
    label = setup.label if setup is not None else overrides
    if not scores_file.is_file():
        if (folder / "error.json").is_file():
            error = read_record(folder / "error.json", ErrorRecord)
            problem = " ".join(f"{error.type}: {error.what}".split())
            return RunResult(sweep=sweep, job=job, label=label, status="failed", problem=problem, setup=setup)
        problem = "still running, or killed"
        return RunResult(sweep=sweep, job=job, label=label, status="unfinished", problem=problem, setup=setup)
    if run is None or record is None:
        raise UserError("missing beside scores.json", where=str(run_file), cure="run the cell again")
    scorer = scorer_of(record, where=str(run_file))
    answers = read_answers(folder / PREDICTIONS, known=known)
    stamp = scorer.stamp(answers.cases)
    return RunResult(
        sweep=sweep,
        job=job,
        label=label,
        status="done",
        setup=setup,
        answers=answers,
        scores=_scores(scores_file, scorer, answers, stamp),
        scorer=scorer,
        digest=stamp["cases"],
        seconds=record.seconds,
        folder=folder,
        run=run,
        measured=record.measured,
    )


def _scores(path: Path, scorer: PredictionScorer, answers: Answers, stamp: Mapping[str, Any]) -> Scores:
    """Return the stored scores if settings and predictions are those that they belong to; else compute them again."""
    stored = read_object(path)
    if any(stored.get(key) != value for key, value in stamp.items()):
        return scorer.scores(answers.cases)
    found = Scores.from_json(stored, where=str(path))
    if scorer.fits(found, answers.cases):
        return found
    log.warning("%s does not have the scores of its predictions: they are computed again", path)
    return scorer.scores(answers.cases)


def _setup(record: RunRecord) -> Setup:
    options = _options(record.stages)
    return Setup(
        **{one.name: getattr(record.cell, one.name) for one in fields(record.cell)},
        seed=record.seed,
        reference=record.reference,
        options={key: value for key, value in options.items() if key not in SWITCHES},
        switches={key: value for key, value in options.items() if key in SWITCHES},
    )


def _options(stages: Mapping[str, StageRecord]) -> dict[str, str]:
    """Return the options of the stages that prepare prompts and read answers, flat."""
    flat: dict[str, str] = {}
    for name, stage in stages.items():
        if name not in ("predict", "score", "measure"):
            own = {} if stage.class_path is None else {"class": stage.class_path}
            _flatten(name, {**own, **stage.fields}, flat)
    verdict = stages.get("verdict")
    if verdict is not None and verdict.version is not None:
        since = PatternVerdictReader.SINCE.get(str(verdict.fields.get("reading")), 1)
        flat[VERSION] = json.dumps(min(verdict.version, since))
    return flat


def _flatten(name: str, value: object, flat: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        fields = value.get("fields", value)
        for key, inner in (fields if isinstance(fields, Mapping) else value).items():
            _flatten(f"{name}.{key}", inner, flat)
    else:
        flat[name] = json.dumps(value, sort_keys=True, ensure_ascii=False)
