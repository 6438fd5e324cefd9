"""Write a synthetic sweep of 50 cells of 3,000 judgments, in the layout of run folders, to measure the report.

Judgments are sampled from the sentences of the corpus specimen; prompts are real; answers depend on a simulated ability
of backbone and arm. The same arguments give the same bytes.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from legalrr.annotate.annotate import Annotate
from legalrr.corpora.catalogue import card
from legalrr.paths import root
from legalrr.predictions import Prediction
from legalrr.records import (
    OUTCOMES,
    Block,
    Case,
    CompletedTurn,
    Completion,
    Document,
    Hidden,
    Judgment,
    Span,
    Verdict,
)
from legalrr.roles import scheme
from legalrr.run.folder import build_prediction, write_run
from legalrr.score.cases import answered_case
from legalrr.score.scorer import PredictionScorer

ARMS = ("direct", "direct_compare", "plain", "d", "r", "c", "dr", "dc", "rc", "drc")
COURTS = ("Supreme Court of India", "High Court of Delhi", "High Court of Madras", "High Court of Bombay")
KINDS = ("criminal", "tax", "service", "land", "constitutional", "commercial")
ROLES = scheme("build")
WRITTEN = {"analysis": 300, "ratio": 150, "ruling": 110}
"""Words of each free answer."""
SETTINGS = PredictionScorer()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Size of the sweep."""

    judgments: int = 3000
    """Judgments per cell."""
    backbones: int = 5
    """Number of backbones."""
    arms: int = 10
    """Number of arms that each backbone answers, the last of `ARMS`."""
    words: int = 600
    """Words per judgment, about half of them hidden."""
    distinct: int = 3000
    """Judgments with text and answers of their own; further ones repeat these under other ids."""


def write_sweep(folder: Path, shape: Shape) -> None:
    """Write the cells 0, 1, ... to a folder."""
    draw = random.Random(0)
    sentences = _sentences()
    distinct = min(shape.judgments, shape.distinct)
    judgments = [_judgment(number, shape, draw, sentences) for number in range(distinct)]
    copies = [
        replace(judgments[number % distinct], id=_id(number), petitioner=f"Appellant {number}")
        for number in range(shape.judgments)
    ]
    easiness = {judgment.id: draw.gauss(0, 1) for judgment in judgments}
    job = 0
    for arm in ARMS[len(ARMS) - shape.arms :]:
        node = OmegaConf.load(root() / "conf" / "arm" / f"{arm}.yaml")
        annotate = Annotate(**OmegaConf.to_container(node.get("annotate", OmegaConf.create({}))))
        by_role = node.get("restructure", {}).get("order") == "role"
        cases = [_case(judgment, annotate, by_role=by_role) for judgment in judgments]
        for number in range(shape.backbones):
            ability = 0.15 * number + 0.05 * ARMS.index(arm)
            drawn = random.Random(f"{arm}{number}")
            rows = [
                build_prediction(
                    judgment, case, *_answer(judgment, case, drawn, ability + easiness[judgment.id], sentences)
                )
                for judgment, case in zip(judgments, cases, strict=True)
            ]
            rows = [replace(rows[number % distinct], id=copy.id, cluster=copy.id) for number, copy in enumerate(copies)]
            scores = SETTINGS.score([answered_case(one, where=one.id) for one in rows])
            record = _record(arm, node, f"model-{number}", by_role=by_role, annotate=annotate, rows=rows)
            write_run(folder / str(job), rows, judgments=copies, references=[], record=record, scores=scores)
            (folder / str(job) / ".hydra").mkdir(exist_ok=True)
            overrides = f"- arm={arm}\n- backbone=model-{number}\n"
            (folder / str(job) / ".hydra" / "overrides.yaml").write_text(overrides, encoding="utf-8")
            job += 1


def _sentences() -> dict[str, list[str]]:
    corpus = card("specimen").reader()
    assert corpus is not None
    found: dict[str, list[str]] = {}
    for judgment in corpus.read(None):
        for span in judgment.spans or ():
            found.setdefault(span.role, []).append(" ".join(judgment.text[span.start : span.end].split()))
    return found


def _id(number: int) -> str:
    return f"case-{number:05d}"


def _judgment(number: int, shape: Shape, draw: random.Random, sentences: dict[str, list[str]]) -> Judgment:
    roles = [role.code for role in ROLES.roles if role.code in sentences]
    text, spans, words = "", [], 0
    for role in roles:
        share = 0.0
        while share < shape.words / len(roles):
            sentence = draw.choice(sentences[role])
            start = len(text)
            text += sentence + "\n\n"
            spans.append(Span(start=start, end=start + len(sentence), role=role))
            share += len(sentence.split())
        words += int(share)
    return Judgment(
        id=_id(number),
        text=text,
        outcome=draw.choice(OUTCOMES),
        party="appellant",
        petitioner=f"Appellant {number}",
        confidence=draw.choice(("high", "medium", "low")),
        court=draw.choice(COURTS),
        year=draw.randint(1950, 2020),
        kind=draw.choice(KINDS),
        scheme="build",
        spans=tuple(spans),
    )


def _case(judgment: Judgment, annotate: Annotate, *, by_role: bool) -> Case:
    spans = judgment.spans or ()
    shown = [
        Block(role=s.role, start=s.start, text=judgment.text[s.start : s.end])
        for s in spans
        if s.role not in ROLES.decisive
    ]
    if by_role:
        kept = [block for block in shown if block.role in ROLES.order]
        shown = sorted(kept, key=lambda block: (ROLES.order.index(block.role), block.start))
    hidden = tuple(
        Hidden(start=s.start, end=s.end, role=s.role, reason="role") for s in spans if s.role in ROLES.decisive
    )
    document = Document(id=judgment.id, scheme="build", headings=by_role, blocks=tuple(shown), hidden=hidden)
    blind = replace(judgment, outcome=None, spans=None)
    return Case(judgment=blind, document=document, prompt=annotate.annotate(blind, document))


def _answer(
    judgment: Judgment, case: Case, draw: random.Random, ability: float, sentences: dict[str, list[str]]
) -> tuple[Completion, Verdict]:
    right = draw.gauss(ability, 1) > 0
    label = judgment.outcome if right else next(o for o in OUTCOMES if o != judgment.outcome)
    word = "YES" if label == "allowed" else "NO"
    turns = [
        CompletedTurn(
            name=turn.name,
            text=word if turn.name == "answer" else _free_answer(WRITTEN[turn.name], draw, sentences),
            finish_reason="stop",
            prompt_tokens=1000,
            cached_tokens=700,
            new_tokens=2 if turn.name == "answer" else WRITTEN[turn.name],
            seconds=0.5,
        )
        for turn in case.prompt.turns
    ]
    if draw.random() < 0.02:
        turns[-1] = replace(turns[-1], text="The court cannot say.")
        return Completion(id=judgment.id, turns=tuple(turns)), Verdict(
            id=judgment.id, label="invalid", reason="unparsed"
        )
    p_allowed = None
    if case.prompt.blank is not None:
        p_allowed = round(draw.uniform(0.5, 1.0) if label == "allowed" else draw.uniform(0.0, 0.5), 4)
    verdict = Verdict(
        id=judgment.id, label=label or "invalid", reason="matched", span=(0, len(word)), p_allowed=p_allowed
    )
    return Completion(id=judgment.id, turns=tuple(turns)), verdict


def _free_answer(words: int, draw: random.Random, sentences: dict[str, list[str]]) -> str:
    chosen: list[str] = []
    while sum(map(len, chosen)) < 6 * words:
        chosen.append(draw.choice(sentences["ANALYSIS"]))
    return " ".join(chosen)


def _record(
    arm: str, node: Any, backbone: str, *, by_role: bool, annotate: Annotate, rows: list[Prediction]
) -> dict[str, Any]:
    return {
        "format": 1,
        "cell": {
            "arm": arm,
            "label": node.arm.label,
            "family": node.arm.family,
            "corpus": "synthetic",
            "split": None,
            "segment": "gold",
            "backbone": backbone,
            "layout": "conversation",
            "order": "role" if by_role else "document",
            "reading": "strict",
            "scoring": "generate",
            "overflow": "error",
            "limit": None,
            "tokens": {name: annotate.tokens.of(name) for name in annotate.names(ROLES)},
        },
        "counts": {"read": len(rows), "taken": len(rows), "scored": len(rows)},
        "calls": {"made": sum(len(one.turns) for one in rows), "stored": 0},
        "versions": {"python": "3.11", "legalrr": "0.1.0"},
        "seed": 0,
        "reference": "plain",
        "settings": SETTINGS.settings(),
        "stages": {},
        "provenance": {},
        "seconds": {"corpus": 1.0, "predict": round(0.5 * len(rows), 3)},
    }
