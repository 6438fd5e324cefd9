"""A tagger of rhetorical roles: a linear-chain CRF over a judgment's sentences.

A model is two files side by side: `<name>.crfsuite`, and the card `<name>.json` that says what it was trained on and
how it scores (`legalrr-segment train` writes both).
Source: Lafferty, McCallum and Pereira, ICML 2001; CRFsuite, Okazaki 2007.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from legalrr.errors import UserError
from legalrr.places import resolve
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme
from legalrr.segment.features import FEATURES, features
from legalrr.segment.sentences import split


@dataclass(frozen=True, kw_only=True)
class CrfSegmenter:
    """Splits a judgment into sentences and gives each a role."""

    VERSION: ClassVar[int] = 1

    name: str = "crf"
    """Name in tables."""
    stored: ClassVar[bool] = True
    """Tagging takes a good part of a second per judgment."""
    needs_gold: ClassVar[bool] = False
    """It tags any text."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    model: str = "$LEGALRR/data/taggers/crf_build.crfsuite"
    """Config path of the model file; its card lies beside it."""
    prior_correction: float = 0.0
    """0: the most probable sequence of roles. Above, at most 1: sentence by sentence, the role with the highest
    probability divided by (its share in training) to this power, so that rare roles are found more often."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or a negative correction."""
        scheme(self.scheme, where="segment.scheme")
        if not 0 <= self.prior_correction <= 1:
            raise UserError(f"{self.prior_correction}", where="segment.prior_correction", cure="from 0 to 1")

    def provenance(self) -> Mapping[str, Any]:
        """The SHA-256 of the model file; raises UserError where it is missing."""
        return {"model_sha256": self._model().sha256}

    def segment(self, judgment: Judgment) -> Segments:
        """A span per sentence, with the probability of its role as score."""
        offsets = split(judgment.text)
        seen = features([judgment.text[start:end] for start, end in offsets])
        decoded = self._model().decode(seen, prior_correction=self.prior_correction)
        spans = (
            Span(start=start, end=end, role=role, score=score)
            for (start, end), (role, score) in zip(offsets, decoded, strict=True)
        )
        return Segments(id=judgment.id, scheme=self.scheme, spans=tuple(spans))

    def _model(self) -> "Model":
        path = resolve(self.model)
        if not path.is_file():
            raise UserError(
                "no such model", where=str(path), cure="correct segment.model, or train one: legalrr-segment train"
            )
        model = load(path, path.stat().st_mtime_ns)
        if model.scheme != self.scheme:
            raise UserError(
                f"the model knows the roles of {model.scheme!r}, not of {self.scheme!r}",
                where=str(path),
                cure=f"set segment.scheme={model.scheme} or choose another model",
            )
        return model


@dataclass(frozen=True, kw_only=True)
class Model:
    """An opened model."""

    sha256: str
    """Digest of the model file."""
    scheme: str
    """Name of the scheme of its roles."""
    shares: Mapping[str, float]
    """Share of each role among the sentences it was trained on."""
    tagger: Any
    """The `pycrfsuite.Tagger`."""

    def decode(self, seen: Sequence[Sequence[str]], *, prior_correction: float) -> list[tuple[str, float]]:
        """Role and its probability for each sentence of one document; see `CrfSegmenter.prior_correction`."""
        if not seen:
            return []
        self.tagger.set(seen)
        if prior_correction == 0:
            return [(role, self.tagger.marginal(role, i)) for i, role in enumerate(self.tagger.tag())]
        decoded = []
        for i in range(len(seen)):
            chances = {role: self.tagger.marginal(role, i) for role in self.shares}
            best = max(chances, key=lambda role: chances[role] / math.pow(self.shares[role], prior_correction))
            decoded.append((best, chances[best]))
        return decoded


def card_path(model: Path) -> Path:
    """Where the card of a model lies."""
    return model.with_suffix(".json")


def sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=8)
def load(path: Path, changed: int) -> Model:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: its time of change in nanoseconds, so that a file that was trained anew is opened anew.

    Raises:
        UserError: no card, a card of another model, a damaged file, or a model for other features.
    """
    import pycrfsuite

    card_file = card_path(path)
    again = "train it again: legalrr-segment train"
    try:
        card = json.loads(card_file.read_text("utf-8"))
        told = card["sha256"], card["features"], card["scheme"], card["roles"]
        total = sum(role["sentences"] for role in card["roles"].values())
        shares = {name: role["sentences"] / total for name, role in card["roles"].items()}
    except FileNotFoundError as error:
        raise UserError("the model has no card", where=str(card_file), cure=again) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("damaged card", where=str(card_file), cure=again) from error
    digest = sha256(path)
    if told[0] != digest:
        raise UserError("the card is that of another model", where=str(card_file), cure=again)
    if told[1] != FEATURES:
        raise UserError(f"made for features {told[1]}, these are {FEATURES}", where=str(path), cure=again)
    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return Model(sha256=digest, scheme=told[2], shares=shares, tagger=tagger)
