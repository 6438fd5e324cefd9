"""Train a linear-chain CRF over the sentences of a judgment, and tag rhetorical roles with it.

A model is `<name>.crfsuite` with the card `<name>.json` (`legalrr.segment.card`); `legalrr segment train` writes both.
`extra_features` makes its probabilities input of the neural tagger.

Sources: Lafferty, McCallum and Pereira, ICML 2001; CRFsuite, Okazaki 2007.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.errors import UserError
from legalrr.files import write_atomically
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme
from legalrr.segment.card import LabelledJudgment, TaggerCard, group_near_duplicates, read_card
from legalrr.segment.features import CUE_NAMES, cues, features, words_of
from legalrr.segment.tagger import RoleProbabilities, check_options, open_model, tag_sentences

if TYPE_CHECKING:
    import numpy as np


POSITION_FEATURES = 4


def extra_features(sentences: Sequence[str], *probabilities: RoleProbabilities) -> "np.ndarray":
    """Compute the inputs of the neural tagger beside the embeddings: log-probabilities, cues and position.

    Args:
        sentences: sentences of one judgment, in order.
        probabilities: predictions of taggers that were not trained on this judgment.

    Returns:
        float32 [sentences, roles of all taggers + cues + 4], scaled to the order of 1.
    """
    import numpy as np

    total = len(sentences)
    rows = np.zeros((total, len(CUE_NAMES) + POSITION_FEATURES), np.float32)
    for i, sentence in enumerate(sentences):
        words = words_of(sentence)
        found = set(cues(sentence, words))
        position = [i / total, math.log1p(i) / 5, math.log1p(total - 1 - i) / 5, min(len(words), 100) / 50]
        rows[i] = [*(float(name in found) for name in CUE_NAMES), *position]
    return np.concatenate([*(one.logs().astype(np.float32) / 3 for one in probabilities), rows], axis=1)


@dataclass(frozen=True, kw_only=True)
class CrfRecipe:
    """Training settings of the CRF (L-BFGS). The same documents in the same order give the same bytes."""

    c1: float = 0.5
    """Weight of the L1 penalty, which keeps the model small."""
    c2: float = 3.0
    """Weight of the L2 penalty."""
    max_iterations: int = 100
    """Maximum number of iterations."""
    min_frequency: int = 2
    """Minimum number of occurrences of a feature."""

    suffix: ClassVar[str] = ".crfsuite"
    shares_schemes: ClassVar[bool] = False

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return {"recipe": "crf", **asdict(self)}

    def fit(self, documents: Sequence[LabelledJudgment], path: Path) -> "FittedCrf":
        """Train on `documents`, write the model to `path`, and open it."""
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
        with TemporaryDirectory() as folder:
            made = Path(folder) / path.name
            trainer.train(str(made))
            content = made.read_bytes()
            # CRFsuite does not report a full disk; its file begins with four letters and the size.
            if int.from_bytes(content[4:8], "little") != len(content) or not content:
                raise UserError(
                    "the model was not written whole",
                    where=folder,
                    cure="free space there, or set TMPDIR to another folder",
                )
        write_atomically(path, content)
        return FittedCrf(tagger=open_tagger(path), roles=tuple(role.code for role in scheme(documents[0].scheme).roles))

    def predict_out_of_fold(
        self, documents: Sequence[LabelledJudgment], *, folds: int, seed: int
    ) -> list[RoleProbabilities]:
        """Predict each document with a CRF that was trained on neither it nor a near-duplicate.

        Args:
            documents: judgments of one scheme.
            folds: number of CRFs.
            seed: seed of the assignment of documents to folds.

        Raises:
            UserError: fewer distinct judgments than folds.
        """
        from sklearn.model_selection import GroupKFold

        predicted: dict[int, RoleProbabilities] = {}
        groups = group_near_duplicates(documents)
        if len(set(groups)) < folds:
            raise UserError(
                f"{len(set(groups))} distinct judgments with the roles of {documents[0].scheme!r}",
                cure=f"train on at least {folds}, so that each has probabilities of a CRF that has not seen it",
            )
        splitter = GroupKFold(folds, shuffle=True, random_state=seed)
        with TemporaryDirectory() as folder:
            for number, (kept, held) in enumerate(splitter.split(documents, groups=groups)):
                fitted = self.fit([documents[i] for i in kept], Path(folder) / f"{number}.crfsuite")
                predicted |= {i: fitted.predict_probabilities(documents[i].sentences) for i in held}
        return [predicted[i] for i in range(len(documents))]


def crf_path(path: Path) -> Path:
    """Return the path of the CRF that training writes beside the networks at `path`."""
    return path.with_name(f"{path.stem}_crf{CrfRecipe.suffix}")


@dataclass(frozen=True, kw_only=True)
class FittedCrf:
    """A trained CRF."""

    tagger: Any
    """The `pycrfsuite.Tagger`."""
    roles: tuple[str, ...]
    """All roles of the scheme."""

    def as_json(self) -> dict[str, Any]:
        """Return {}: the card has nothing beyond the recipe."""
        return {}

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Compute the marginal role probabilities of the sentences of one judgment."""
        return marginals(self.tagger, features(sentences), self.roles)


@dataclass(frozen=True, kw_only=True)
class CrfSegmenter:
    """Segmenter that splits a judgment into sentences and tags each with the CRF."""

    VERSION: ClassVar[int] = 2

    name: str = "crf"
    """Name in tables."""
    stored: ClassVar[bool] = True
    """Results are stored: tagging takes a good part of a second per judgment."""
    needs_gold: ClassVar[bool] = False
    """Gold roles are not needed."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    model: str = "$LEGALRR/data/taggers/crf_build.crfsuite"
    """Config path of the model file; its card is in the same folder."""
    prior_correction: float = 0.0
    """From 0 to 1. Choose the role that maximizes probability / prior ** prior_correction, where the prior is the share
    of the role in training: 0 gives the most probable role, higher values favour rare roles."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme, or a correction outside 0 to 1."""
        check_options(self.scheme, self.prior_correction)

    def provenance(self) -> Mapping[str, Any]:
        """Return the SHA-256 of the model file; raise UserError if it is missing."""
        return {"model_sha256": self.open().card.sha256}

    def segment(self, judgment: Judgment) -> Segments:
        """Return a span per sentence, with the calibrated probability of its role as score."""
        return tag_sentences(judgment, self.decode, scheme=self.scheme)

    def decode(self, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Return the role of each sentence of one judgment and its calibrated probability."""
        model = self.open()
        probabilities = model.predict_probabilities(sentences).with_temperature(model.card.temperature)
        return probabilities.decode(model.card.priors, self.prior_correction)

    def open(self) -> "CrfModel":
        """Open the model; raise UserError if it is missing, damaged or of another scheme."""
        return open_model(load, self.model, scheme=self.scheme)


@dataclass(frozen=True, kw_only=True)
class CrfModel:
    """An opened CRF with its card."""

    card: TaggerCard
    """The card."""
    tagger: Any
    """The `pycrfsuite.Tagger`."""

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Compute the uncalibrated marginal role probabilities of the sentences of one judgment."""
        return marginals(self.tagger, features(sentences), tuple(self.card.priors))


def marginals(tagger: Any, items: Sequence[Sequence[str]], roles: Sequence[str]) -> RoleProbabilities:
    """Compute the marginal probabilities of `roles` from the features of each sentence; 0 for a role without training
    sentences."""
    import numpy as np

    tagger.set(items)
    known = set(tagger.labels())
    rows = [[tagger.marginal(role, i) if role in known else 0.0 for role in roles] for i in range(len(items))]
    return RoleProbabilities(roles=tuple(roles), values=np.array(rows, float).reshape(len(items), len(roles)))


@lru_cache(maxsize=8)
def load(path: Path, changed: int) -> CrfModel:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: modification time in nanoseconds; see `legalrr.segment.tagger.open_model`.

    Raises:
        UserError: as `legalrr.segment.card.read_card`.
    """
    # Read the card first: its digest verifies the file.
    return CrfModel(card=read_card(path), tagger=open_tagger(path))


def open_tagger(path: Path) -> Any:
    """Open a verified model file as `pycrfsuite.Tagger`."""
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return tagger
