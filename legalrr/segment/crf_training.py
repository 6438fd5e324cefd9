"""Training the CRF tagger."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from legalrr.roles import scheme
from legalrr.segment.chances import Chances
from legalrr.segment.crf import marginals, open_tagger
from legalrr.segment.features import features
from legalrr.segment.labelled import Labelled


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

    def fit(self, documents: Sequence[Labelled], path: Path) -> "FittedCrf":
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

    def chances(self, sentences: Sequence[str]) -> Chances:
        """Marginal probabilities of the roles for each sentence of one judgment."""
        return marginals(self.tagger, features(sentences), self.roles)
