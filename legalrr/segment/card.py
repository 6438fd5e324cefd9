"""Read and write the card of a tagger's model, and build the data set of labelled judgments for its training.

A model is `<name>.crfsuite` or `<name>.safetensors`. Its card `<name>.json` records training data, settings, scores and
what is needed to load the model.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.files import not_own, sha256, write_atomically
from legalrr.near_duplicates import near_duplicates
from legalrr.records import Judgment
from legalrr.roles import scheme
from legalrr.segment.features import FEATURES_VERSION
from legalrr.sentences import split

RETRAIN = "train it again: legalrr segment train"


@dataclass(frozen=True, kw_only=True)
class LabelledJudgment:
    """Sentences and gold roles of a judgment, for training or evaluation."""

    id: str
    """Id of the judgment."""
    scheme: str
    """Name of the role scheme."""
    sentences: tuple[str, ...]
    """Sentences, in order."""
    roles: tuple[str, ...]
    """Gold role of each sentence."""


def build_dataset(judgments: Iterable[Judgment], *, split_spans: bool = False) -> list[LabelledJudgment]:
    """Convert judgments with gold spans to sentences with roles; drop judgments without spans and repeated texts.

    Args:
        judgments: judgments of one scheme.
        split_spans: split gold spans into sentences, as the specimen needs; by default each span is a sentence.

    Raises:
        UserError: no judgment has gold roles, or the schemes differ.
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
        raise UserError(what, cure="train a tagger on annotated judgments of one scheme")
    return documents


def group_near_duplicates(documents: Sequence[LabelledJudgment]) -> list[int]:
    """Return a group number per document, equal for near-duplicates, which must not be split between folds."""
    return near_duplicates([" ".join(d.sentences) for d in documents])


@dataclass(frozen=True, kw_only=True)
class TaggerCard:
    """Content of a card that the tagger uses."""

    sha256: str
    """SHA-256 of the model file."""
    scheme: str
    """Name of the role scheme."""
    priors: Mapping[str, float]
    """Share of each role among the training sentences, above 0, in the order of the scheme."""
    temperature: float
    """Temperature that calibrates the probabilities (`legalrr.segment.tagger`)."""
    settings: Mapping[str, Any]
    """Settings of the training."""


def card_path(model: Path) -> Path:
    """Return the path of a model's card."""
    return model.with_suffix(".json")


def role_priors(counts: Mapping[str, int], scheme_name: str) -> dict[str, float]:
    """Compute the share of each role of the scheme from its number of sentences, with add-one smoothing."""
    total = sum(counts.values()) + len(scheme(scheme_name).roles)
    return {role.code: (counts.get(role.code, 0) + 1) / total for role in scheme(scheme_name).roles}


def count_roles(documents: Sequence[LabelledJudgment]) -> Counter[str]:
    """Count the sentences per role."""
    return Counter(role for document in documents for role in document.roles)


def read_card(model: Path) -> TaggerCard:
    """Read the card of a model and check it against the model file.

    Raises:
        UserError: the card is missing, damaged or of another model, or the model needs another version of the features.
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
        raise UserError("the card belongs to another model", where=str(path), cure=RETRAIN)
    if features != FEATURES_VERSION:
        raise UserError(
            f"trained with features version {features}, not {FEATURES_VERSION}", where=str(model), cure=RETRAIN
        )
    return card


def require_own_model(model: Path, crf: Path | None = None) -> None:
    """Raise UserError if training would overwrite a file that is not of an earlier training of the same model.

    Args:
        model: the model file; its card is written too.
        crf: the CRF of a neural tagger; None for a CRF.
    """
    path = card_path(model)
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
        own = {model: content.get("sha256"), crf: content.get("settings", {}).get("crf_sha256")}
        earlier = content.get("model") == model.name and content.get("features") is not None
    except (ValueError, AttributeError):
        own, earlier = {}, False
    if os.path.lexists(path) and not earlier:
        raise not_own(path)
    for file in (model, crf):
        if file is not None and os.path.lexists(file) and (not file.is_file() or sha256(file) != own.get(file)):
            raise not_own(file)


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
    """Write the card of a trained model.

    Args:
        model: the model file.
        documents: training data.
        settings: settings of the training.
        corpora: name, what, licence and citation of each corpus.
        scores: as in `legalrr.segment.cross_validation.Evaluation`; None without cross-validation.
        temperature: temperature that calibrates the probabilities; 1 without cross-validation.
        command: command line that reproduces the model.
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
