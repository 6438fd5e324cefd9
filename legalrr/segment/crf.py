"""A tagger of rhetorical roles: a linear-chain CRF over a judgment's sentences.

A model is two files side by side: `<name>.crfsuite`, and the card `<name>.json` that says what it was trained on and
how it scores (`legalrr segment train` writes both).
Source: Lafferty, McCallum and Pereira, ICML 2001; CRFsuite, Okazaki 2007.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from legalrr.records import Judgment, Segments
from legalrr.segment.card import Card, read_card
from legalrr.segment.chances import Chances
from legalrr.segment.features import features
from legalrr.segment.trained import check_options, open_model, tagged


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
        """Raises UserError for an unknown scheme, or a correction that is not from 0 to 1."""
        check_options(self.scheme, self.prior_correction)

    def provenance(self) -> Mapping[str, Any]:
        """The SHA-256 of the model file; raises UserError where it is missing."""
        return {"model_sha256": self.open().card.sha256}

    def segment(self, judgment: Judgment) -> Segments:
        """A span per sentence, with the calibrated probability of its role as score."""
        return tagged(judgment, self.decode, scheme=self.scheme)

    def decode(self, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Role and its calibrated probability for each sentence of one judgment."""
        model = self.open()
        chances = model.chances(sentences).tempered(model.card.temperature)
        return chances.decode(model.card.shares, self.prior_correction)

    def open(self) -> "CrfModel":
        """The model; raises UserError where it is missing, damaged or of another scheme."""
        return open_model(load, self.model, scheme=self.scheme)


@dataclass(frozen=True, kw_only=True)
class CrfModel:
    """An opened model."""

    card: Card
    """Its card."""
    tagger: Any
    """The `pycrfsuite.Tagger`."""

    def chances(self, sentences: Sequence[str]) -> Chances:
        """Marginal probabilities of the roles for each sentence of one judgment, as the CRF gives them."""
        return marginals(self.tagger, features(sentences), tuple(self.card.shares))


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
        changed: its time of change in nanoseconds; see `legalrr.segment.trained.open_model`.

    Raises:
        UserError: no card, a card of another model, a damaged file, or a model for other features.
    """
    # The card goes first: its digest tells that the file is whole.
    return CrfModel(card=read_card(path), tagger=open_tagger(path))


def open_tagger(path: Path) -> Any:
    """The `pycrfsuite.Tagger` of a model file that is known to be whole."""
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return tagger
