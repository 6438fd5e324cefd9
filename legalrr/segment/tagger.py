"""Load taggers by name; calibrate and decode per-sentence role probabilities; use gold roles.

`load_tagger` serves users outside the pipeline: the Python API, the commands and spaCy. The trained taggers share
`RoleProbabilities`, `check_options`, `open_model` and `tag_sentences`. `GoldSegmenter` returns annotated roles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from omegaconf import DictConfig, OmegaConf

from legalrr.errors import UserError
from legalrr.paths import choices, resolve
from legalrr.protocols import Segmenter
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme as roles_of
from legalrr.segment.card import TaggerCard
from legalrr.sentences import split
from legalrr.stage import build

if TYPE_CHECKING:
    import numpy as np


MIN_PROBABILITY = 1e-9
"""Lower limit of probabilities, so that their logarithm is finite."""


@dataclass(frozen=True, kw_only=True)
class RoleProbabilities:
    """Role probabilities of the sentences of one judgment."""

    roles: tuple[str, ...]
    """The roles (R), in the order of the columns."""
    values: "np.ndarray"
    """Probabilities, float64 [sentences, R]; each row sums to 1."""

    def logs(self) -> "np.ndarray":
        """Compute natural logarithms, at least that of `MIN_PROBABILITY`, [sentences, R]."""
        import numpy as np

        found: np.ndarray = np.log(np.maximum(self.values, MIN_PROBABILITY))
        return found

    def with_temperature(self, temperature: float) -> "RoleProbabilities":
        """Apply temperature scaling (Guo et al. 2017): above 1 less confident, below 1 more confident."""
        return RoleProbabilities(roles=self.roles, values=softmax(self.logs() / temperature))

    def decode(self, priors: Mapping[str, float], correction: float) -> list[tuple[str, float]]:
        """Choose a role per sentence; return it with its probability.

        Args:
            priors: share of each role among the training sentences, above 0.
            correction: from 0 to 1; maximizes probability / prior ** correction. 0 gives the most probable role, higher
                values favour rare roles.
        """
        import numpy as np

        lift = correction * np.log([priors[role] for role in self.roles])
        best = (self.logs() - lift).argmax(axis=1)
        return [(self.roles[j], float(row[j])) for row, j in zip(self.values, best, strict=True)]


def softmax(scores: "np.ndarray") -> "np.ndarray":
    """Convert rows of scores to probabilities, [n, R]."""
    import numpy as np

    lifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities: np.ndarray = lifted / lifted.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(probabilities: Sequence[RoleProbabilities], gold: Sequence[Sequence[str]]) -> float:
    """Fit the temperature, from 0.2 to 5, that maximizes the likelihood of the gold roles of held-out judgments."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    roles = probabilities[0].roles
    logs = np.concatenate([one.logs() for one in probabilities])
    right = np.array([roles.index(role) for document in gold for role in document])

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = softmax(logs / np.exp(log_temperature))
        return float(-np.log(np.maximum(scaled[np.arange(len(right)), right], MIN_PROBABILITY)).mean())

    found = minimize_scalar(negative_log_likelihood, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return round(float(np.exp(found.x)), 3)


def calibration_error(confidences: Sequence[float], correct: Sequence[bool], bins: int = 10) -> float:
    """Compute the expected calibration error: the mean gap between confidence and accuracy over equal-width bins.

    Args:
        confidences: probability of the chosen role, per sentence.
        correct: whether it is the gold role.
        bins: number of bins.
    """
    import numpy as np

    confidence, accuracy = np.asarray(confidences), np.asarray(correct, float)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[bin_of == b].mean() - accuracy[bin_of == b].mean()) * (bin_of == b).mean()
        for b in range(bins)
        if (bin_of == b).any()
    ]
    return float(sum(gaps))


class OpenedModel(Protocol):
    """An opened model with its card."""

    @property
    def card(self) -> TaggerCard:
        """The card."""


M = TypeVar("M", bound=OpenedModel)


def check_options(scheme: str, prior_correction: float) -> None:
    """Raise UserError for an unknown scheme, or a correction outside 0 to 1."""
    roles_of(scheme, where="segment.scheme")
    if not 0 <= prior_correction <= 1:
        raise UserError(f"{prior_correction}", where="segment.prior_correction", cure="give 0 to 1")


def open_model(load: Callable[[Path, int], M], model: str, *, scheme: str | None) -> M:
    """Open the model of a tagger.

    Args:
        load: opens a file, given its path and modification time in nanoseconds; the latter lets it cache models without
            missing a retrained file.
        model: config path of the file.
        scheme: required scheme of the roles; None: any.

    Raises:
        UserError: the file is missing or of another scheme, or as `load`.
    """
    path = resolve(model)
    if not path.is_file():
        raise UserError(
            "no such model", where=str(path), cure="correct segment.model, or train one: legalrr segment train"
        )
    opened = load(path, path.stat().st_mtime_ns)
    if scheme is not None and opened.card.scheme != scheme:
        raise UserError(
            f"the model has the roles of {opened.card.scheme!r}, not of {scheme!r}",
            where=str(path),
            cure=f"set segment.scheme={opened.card.scheme} or choose another model",
        )
    return opened


def tag_sentences(
    judgment: Judgment, decode: Callable[[Sequence[str]], Sequence[tuple[str, float]]], *, scheme: str
) -> Segments:
    """Return a span per sentence of the judgment; `decode` returns role and score of each sentence."""
    offsets = split(judgment.text)
    decoded = decode([judgment.text[start:end] for start, end in offsets])
    spans = (
        Span(start=start, end=end, role=role, score=score)
        for (start, end), (role, score) in zip(offsets, decoded, strict=True)
    )
    return Segments(id=judgment.id, scheme=scheme, spans=tuple(spans))


def load_tagger(
    name: str, *, scheme: str, model: str | None = None, prior_correction: float | None = None, option: str = "segment"
) -> Segmenter:
    """Build the tagger of conf/segment/NAME.yaml, or of conf/segment/NAME_SCHEME.yaml if the former has other roles.

    Args:
        name: name of the config ("crf").
        scheme: scheme of the roles; build or seven.
        model: path of a model file that replaces the configured one.
        prior_correction: 0 to 1, replaces the configured value; see `legalrr.segment.crf.CrfSegmenter`.
        option: option that names the tagger, for messages.

    Raises:
        UserError: no tagger of this name and scheme, it lacks an option given here, or it needs gold roles.
    """
    files = choices("segment")
    if name not in files:
        raise UserError(f"no tagger {name!r}", where=option, cure=f"one of {', '.join(files)}")
    nodes = [OmegaConf.load(files[one]) for one in (name, f"{name}_{scheme}") if one in files]
    node = next((node for node in nodes if isinstance(node, DictConfig) and node.get("scheme") == scheme), None)
    if node is None:
        raise UserError(
            f"{name!r} does not tag the roles of {scheme!r}", where=option, cure="use 'build' or 'seven' and a tagger"
        )
    for field, value in (("model", model), ("prior_correction", prior_correction)):
        if value is not None:
            node[field] = value
    return build(node, Segmenter, option=option)  # type: ignore[type-abstract]


@dataclass(frozen=True, kw_only=True)
class GoldSegmenter:
    """Segmenter that returns the gold spans of a judgment."""

    VERSION: ClassVar[int] = 1

    name: str = "gold"
    """Name in tables."""
    stored: ClassVar[bool] = False
    """Results are not stored, as nothing is computed."""
    needs_gold: ClassVar[bool] = True
    """Judgments without gold roles are skipped and counted."""

    def provenance(self) -> Mapping[str, Any]:
        """Return {}: the spans belong to the judgment, whose content is in the key of every record."""
        return {}

    def segment(self, judgment: Judgment) -> Segments:
        """Return the gold spans; raise UserError for a judgment without them."""
        if judgment.spans is None or judgment.scheme is None:
            raise UserError(
                "no gold roles",
                where=f"{judgment.source}: {judgment.id}" if judgment.source else judgment.id,
                cure="use a tagger: segment=crf",
            )
        return Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)
