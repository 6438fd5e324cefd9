"""Read and write the card beside a tagger's model, and the labelled judgments that it learns from.

Judgments as a tagger learns them: sentences with their gold roles.

The card beside a tagger's model file: what it was trained on, how, how it scores, and what reading it needs.

A model is `<name>.crfsuite` or `<name>.safetensors`; its card is `<name>.json`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.near_duplicates import near_duplicates
from legalrr.records import Judgment
from legalrr.roles import scheme
from legalrr.segment.features import FEATURES_VERSION
from legalrr.sentences import split
from legalrr.store import write_atomically


@dataclass(frozen=True, kw_only=True)
class LabelledJudgment:
    """One judgment for training or evaluation."""

    id: str
    """The judgment's id."""
    scheme: str
    """Name of the role scheme."""
    sentences: tuple[str, ...]
    """Its sentences, in order."""
    roles: tuple[str, ...]
    """The gold role of each."""


def build_dataset(judgments: Iterable[Judgment], *, split_spans: bool = False) -> list[LabelledJudgment]:
    """Judgments with gold spans as sentences with roles; those without are left out, and of equal texts all but one.

    Args:
        judgments: judgments of one scheme.
        split_spans: whether a gold span may hold several sentences (as the specimen's do); by default each is one.

    Raises:
        UserError: no judgment has gold roles, or two schemes are mixed.
    """
    found: dict[str, LabelledJudgment] = {}
    for judgment in judgments:
        if not judgment.spans or judgment.scheme is None:
            continue
        pairs = [
            (judgment.text[span.start + start : span.start + end], span.role)
            for span in judgment.spans
            for start, end in (
                split(judgment.text[span.start : span.end]) if split_spans else [(0, span.end - span.start)]
            )
        ]
        sentences, roles = zip(*pairs, strict=True)
        document = LabelledJudgment(id=judgment.id, scheme=judgment.scheme, sentences=sentences, roles=roles)
        found.setdefault(" ".join(judgment.text.split()), document)
    documents = list(found.values())
    schemes = sorted({document.scheme for document in documents})
    if len(schemes) != 1:
        what = f"mixes the schemes {' and '.join(schemes)}" if schemes else "no judgment has gold roles"
        raise UserError(what, cure="a tagger learns from annotated judgments of one scheme")
    return documents


def group_near_duplicates(documents: Sequence[LabelledJudgment]) -> list[int]:
    """A group number per document; near-duplicates have the same, so that no fold tests on what another trained on."""
    return near_duplicates([" ".join(d.sentences) for d in documents])


RETRAIN = "train it again: legalrr segment train"


@dataclass(frozen=True, kw_only=True)
class TaggerCard:
    """What a tagger needs of its card."""

    sha256: str
    """Digest of the model file."""
    scheme: str
    """Name of the scheme of its roles."""
    priors: Mapping[str, float]
    """Share of each role among the sentences it was trained on, in the order of the scheme; none is 0."""
    temperature: float
    """Temperature that calibrates its probabilities (`legalrr.segment.tagger`)."""
    settings: Mapping[str, Any]
    """How it was trained."""


def card_path(model: Path) -> Path:
    """Where the card of a model lies."""
    return model.with_suffix(".json")


def sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def role_priors(counts: Mapping[str, int], scheme_name: str) -> dict[str, float]:
    """Share of each role of the scheme, from the number of its sentences; one is added, so that none is 0."""
    total = sum(counts.values()) + len(scheme(scheme_name).roles)
    return {role.code: (counts.get(role.code, 0) + 1) / total for role in scheme(scheme_name).roles}


def count_roles(documents: Sequence[LabelledJudgment]) -> Counter[str]:
    """Number of sentences per role."""
    return Counter(role for document in documents for role in document.roles)


def read_card(model: Path) -> TaggerCard:
    """The card of a model, checked against its file.

    Raises:
        UserError: no card, a damaged one, that of another model, or a model for other features.
    """
    path = card_path(model)
    try:
        content = json.loads(path.read_text("utf-8"))
        counts = {role: facts["sentences"] for role, facts in content["roles"].items()}
        card = TaggerCard(
            sha256=content["sha256"],
            scheme=content["scheme"],
            priors=role_priors(counts, content["scheme"]),
            temperature=float(content["temperature"]),
            settings=dict(content["settings"]),
        )
        features = content["features"]
    except FileNotFoundError as error:
        raise UserError("the model has no card", where=str(path), cure=RETRAIN) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("damaged card", where=str(path), cure=RETRAIN) from error
    if card.sha256 != sha256(model):
        raise UserError("the card is that of another model", where=str(path), cure=RETRAIN)
    if features != FEATURES_VERSION:
        raise UserError(f"made for features {features}, these are {FEATURES_VERSION}", where=str(model), cure=RETRAIN)
    return card


def write_card(
    model: Path,
    documents: Sequence[LabelledJudgment],
    *,
    settings: Mapping[str, Any],
    corpora: Sequence[Mapping[str, str]],
    scores: Mapping[str, Any] | None,
    temperature: float,
    command: str,
) -> None:
    """Write the card of a model just trained.

    Args:
        model: the model file.
        documents: what it was trained on.
        settings: how.
        corpora: name, what, licence and citation of each corpus.
        scores: as in `legalrr.segment.cross_validation.Evaluation`; None where it was not cross-validated.
        temperature: of its probabilities; 1 where it was not cross-validated.
        command: the command line that makes it again.
    """
    counts = count_roles(documents)
    card = {
        "model": model.name,
        "sha256": sha256(model),
        "bytes": model.stat().st_size,
        "scheme": documents[0].scheme,
        "features": FEATURES_VERSION,
        "corpora": list(corpora),
        "documents": len(documents),
        "sentences": counts.total(),
        "roles": {role: {"sentences": counts[role]} for role in sorted(counts)},
        "settings": dict(settings),
        "temperature": temperature,
        "cross_validation": scores,
        "command": command,
    }
    write_atomically(card_path(model), json.dumps(card, indent=2, ensure_ascii=False) + "\n")
