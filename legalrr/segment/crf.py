"""Tag rhetorical roles with a linear-chain CRF over the sentences of a judgment, and train it.

What the neural tagger is told of a sentence beside the language model's state: what other taggers believe, cues,
position.

Training the CRF tagger.

A tagger of rhetorical roles: a linear-chain CRF over a judgment's sentences.

A model is two files side by side: `<name>.crfsuite`, and the card `<name>.json` that says what it was trained on and
how it scores (`legalrr segment train` writes both).
Source: Lafferty, McCallum and Pereira, ICML 2001; CRFsuite, Okazaki 2007.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.records import Judgment, Segments
from legalrr.roles import scheme
from legalrr.segment.card import LabelledJudgment, TaggerCard, read_card
from legalrr.segment.features import CUE_NAMES, cues, features, words_of
from legalrr.segment.tagger import RoleProbabilities, check_options, open_model, tag_sentences

if TYPE_CHECKING:
    import numpy as np


POSITION_FEATURES = 4


def extra_features(sentences: Sequence[str], *beliefs: RoleProbabilities) -> "np.ndarray":
    """Numbers of the order of 1, float32 [sentences, roles of all beliefs + cues + 4].

    Args:
        sentences: of one judgment, in order.
        beliefs: what taggers that were not trained on this judgment believe of them.
    """
    import numpy as np

    total = len(sentences)
    rows = np.zeros((total, len(CUE_NAMES) + POSITION_FEATURES), np.float32)
    for i, sentence in enumerate(sentences):
        words = words_of(sentence)
        found = set(cues(sentence, words))
        where = [i / total, math.log1p(i) / 5, math.log1p(total - 1 - i) / 5, min(len(words), 100) / 50]
        rows[i] = [*(float(name in found) for name in CUE_NAMES), *where]
    return np.concatenate([*(one.logs().astype(np.float32) / 3 for one in beliefs), rows], axis=1)


@dataclass(frozen=True, kw_only=True)
class CrfRecipe:
    """How the CRF is trained (L-BFGS). The same documents in the same order give the same bytes."""

    c1: float = 0.5
    """Weight of the L1 penalty; it keeps the model small."""
    c2: float = 3.0
    """Weight of the L2 penalty."""
    max_iterations: int = 100
    """Where training stops, converged or not."""
    min_frequency: int = 2
    """Features seen less often are left out."""

    suffix: ClassVar[str] = ".crfsuite"

    def as_json(self) -> dict[str, Any]:
        """The settings."""
        return {"recipe": "crf", **asdict(self)}

    def fit(self, documents: Sequence[LabelledJudgment], path: Path) -> "FittedCrf":
        """Write the model trained on `documents`, and open it."""
        import pycrfsuite

        trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
        trainer.set_params(
            {
                "c1": self.c1,
                "c2": self.c2,
                "max_iterations": self.max_iterations,
                "feature.minfreq": self.min_frequency,
            }
        )
        for document in documents:
            trainer.append(features(document.sentences), document.roles)
        part = path.with_name(f".{path.name}.part")
        trainer.train(str(part))
        part.replace(path)
        return FittedCrf(tagger=open_tagger(path), roles=tuple(role.code for role in scheme(documents[0].scheme).roles))


@dataclass(frozen=True, kw_only=True)
class FittedCrf:
    """A CRF just trained."""

    tagger: Any
    """The `pycrfsuite.Tagger`."""
    roles: tuple[str, ...]
    """All roles of the scheme."""

    def as_json(self) -> dict[str, Any]:
        """Nothing beyond the recipe."""
        return {}

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Marginal probabilities of the roles for each sentence of one judgment."""
        return marginals(self.tagger, features(sentences), self.roles)


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
        return tag_sentences(judgment, self.decode, scheme=self.scheme)

    def decode(self, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Role and its calibrated probability for each sentence of one judgment."""
        model = self.open()
        probabilities = model.predict_probabilities(sentences).with_temperature(model.card.temperature)
        return probabilities.decode(model.card.priors, self.prior_correction)

    def open(self) -> "CrfModel":
        """The model; raises UserError where it is missing, damaged or of another scheme."""
        return open_model(load, self.model, scheme=self.scheme)


@dataclass(frozen=True, kw_only=True)
class CrfModel:
    """An opened model."""

    card: TaggerCard
    """Its card."""
    tagger: Any
    """The `pycrfsuite.Tagger`."""

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Marginal probabilities of the roles for each sentence of one judgment, as the CRF gives them."""
        return marginals(self.tagger, features(sentences), tuple(self.card.priors))


def marginals(tagger: Any, seen: Sequence[Sequence[str]], roles: Sequence[str]) -> RoleProbabilities:
    """Probabilities of `roles` for each sentence of a judgment, from its features; 0 for a role never trained on."""
    import numpy as np

    tagger.set(seen)
    known = set(tagger.labels())
    rows = [[tagger.marginal(role, i) if role in known else 0.0 for role in roles] for i in range(len(seen))]
    return RoleProbabilities(roles=tuple(roles), values=np.array(rows, float).reshape(len(seen), len(roles)))


@lru_cache(maxsize=8)
def load(path: Path, changed: int) -> CrfModel:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: its time of change in nanoseconds; see `legalrr.segment.tagger.open_model`.

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
