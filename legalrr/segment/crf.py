"""A tagger of rhetorical roles: a linear-chain CRF over a judgment's sentences.

A model is two files side by side: `<name>.crfsuite`, and the card `<name>.json` that says what it was trained on and
how it scores (`legalrr-segment train` writes both).
Source: Lafferty, McCallum and Pereira, ICML 2001; CRFsuite, Okazaki 2007.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from legalrr.errors import UserError
from legalrr.places import resolve
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme
from legalrr.segment.card import read_card
from legalrr.segment.chances import Chances
from legalrr.segment.features import features
from legalrr.segment.sentences import split


@dataclass(frozen=True, kw_only=True)
class CrfSegmenter:
    """Splits a judgment into sentences and gives each a role."""

    VERSION: ClassVar[int] = 2

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
    """0: the most probable role of each sentence. Above, at most 1: that with the highest probability divided by (its
    share in training) to this power, so that rare roles are found more often."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or a negative correction."""
        scheme(self.scheme, where="segment.scheme")
        if not 0 <= self.prior_correction <= 1:
            raise UserError(f"{self.prior_correction}", where="segment.prior_correction", cure="from 0 to 1")

    def provenance(self) -> Mapping[str, Any]:
        """The SHA-256 of the model file; raises UserError where it is missing."""
        return {"model_sha256": self.open().sha256}

    def segment(self, judgment: Judgment) -> Segments:
        """A span per sentence, with the probability of its role as score."""
        offsets = split(judgment.text)
        decoded = self.open().decode(
            [judgment.text[start:end] for start, end in offsets], prior_correction=self.prior_correction
        )
        spans = (
            Span(start=start, end=end, role=role, score=score)
            for (start, end), (role, score) in zip(offsets, decoded, strict=True)
        )
        return Segments(id=judgment.id, scheme=self.scheme, spans=tuple(spans))

    def open(self) -> "CrfModel":
        """The model; raises UserError where it is missing, damaged or of another scheme."""
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
class CrfModel:
    """An opened model."""

    sha256: str
    """Digest of the model file."""
    scheme: str
    """Name of the scheme of its roles."""
    shares: Mapping[str, float]
    """Share of each role among the sentences it was trained on."""
    temperature: float
    """Temperature under which its probabilities are calibrated (`legalrr.segment.chances`)."""
    tagger: Any
    """The `pycrfsuite.Tagger`."""

    def decode(self, sentences: Sequence[str], *, prior_correction: float) -> list[tuple[str, float]]:
        """Role and its calibrated probability for each sentence of one judgment."""
        return self.chances(sentences).tempered(self.temperature).decode(self.shares, prior_correction)

    def chances(self, sentences: Sequence[str]) -> Chances:
        """Marginal probabilities of the roles for each sentence of one judgment, as the CRF gives them."""
        return marginals(self.tagger, features(sentences), tuple(self.shares))


def marginals(tagger: Any, seen: Sequence[Sequence[str]], roles: Sequence[str]) -> Chances:
    """Probabilities of `roles` for each sentence of a judgment, from its features; 0 for a role never trained on."""
    import numpy as np

    tagger.set(seen)
    known = set(tagger.labels())
    rows = [[tagger.marginal(role, i) if role in known else 0.0 for role in roles] for i in range(len(seen))]
    return Chances(roles=tuple(roles), values=np.array(rows, float).reshape(len(seen), len(roles)))


@lru_cache(maxsize=8)
def load(path: Path, changed: int) -> CrfModel:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: its time of change in nanoseconds, so that a file that was trained anew is opened anew.

    Raises:
        UserError: no card, a card of another model, a damaged file, or a model for other features.
    """
    card = read_card(path)
    return CrfModel(
        sha256=card.sha256,
        scheme=card.scheme,
        shares=card.shares,
        temperature=card.temperature,
        tagger=open_tagger(path),
    )


def open_tagger(path: Path) -> Any:
    """The `pycrfsuite.Tagger` of a model file that is known to be whole."""
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return tagger
