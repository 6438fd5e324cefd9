"""Load a tagger, and decode roles from its per-sentence probabilities.

What a tagger believes: the probability of each role for each sentence of a judgment; the roles chosen from it.

What the trained taggers share around their models: checked options, the model file that is named, spans.

A tagger by the name of its choice in conf/segment, for use outside the pipeline: the commands and spaCy.

The roles that a corpus comes with.
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
"""Probabilities below it count as this much, so that their logarithm is finite."""


@dataclass(frozen=True, kw_only=True)
class RoleProbabilities:
    """Probabilities of the roles of one judgment's sentences."""

    roles: tuple[str, ...]
    """The roles (R), in the order of the columns."""
    values: "np.ndarray"
    """Probabilities, float64 [sentences, R]; each row adds up to 1."""

    def logs(self) -> "np.ndarray":
        """Natural logarithms, none below that of `MIN_PROBABILITY`, [sentences, R]."""
        import numpy as np

        found: np.ndarray = np.log(np.maximum(self.values, MIN_PROBABILITY))
        return found

    def with_temperature(self, temperature: float) -> "RoleProbabilities":
        """The same beliefs, less sure of themselves the higher the temperature; at 1 unchanged (Guo et al. 2017)."""
        return RoleProbabilities(roles=self.roles, values=softmax(self.logs() / temperature))

    def decode(self, priors: Mapping[str, float], correction: float) -> list[tuple[str, float]]:
        """Role and its probability per sentence.

        Args:
            shares: share of each role among the training sentences, above 0.
            correction: 0: the most probable role. Above, at most 1: the role with the highest probability divided by
                its share to this power, so that rare roles are found more often.
        """
        import numpy as np

        lift = correction * np.log([priors[role] for role in self.roles])
        best = (self.logs() - lift).argmax(axis=1)
        return [(self.roles[j], float(row[j])) for row, j in zip(self.values, best, strict=True)]


def softmax(scores: "np.ndarray") -> "np.ndarray":
    """Rows of scores as probabilities, [n, R]."""
    import numpy as np

    lifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities: np.ndarray = lifted / lifted.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(probabilities: Sequence[RoleProbabilities], gold: Sequence[Sequence[str]]) -> float:
    """The temperature under which the gold roles of held-out judgments are most probable, between 0.2 and 5."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    roles = probabilities[0].roles
    logs = np.concatenate([one.logs() for one in probabilities])
    right = np.array([roles.index(role) for document in gold for role in document])

    def surprise(log_temperature: float) -> float:
        told = softmax(logs / np.exp(log_temperature))
        return float(-np.log(np.maximum(told[np.arange(len(right)), right], MIN_PROBABILITY)).mean())

    found = minimize_scalar(surprise, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return round(float(np.exp(found.x)), 3)


def calibration_error(sure: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: mean gap between the probability given and the share that is right, over equal bins.

    Args:
        sure: probability of the chosen role, per sentence.
        right: whether it is the gold role.
        bins: how many bins of equal width.
    """
    import numpy as np

    told, hit = np.asarray(sure), np.asarray(right, float)
    place = np.minimum((told * bins).astype(int), bins - 1)
    gaps = [
        abs(told[place == b].mean() - hit[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))


class OpenedModel(Protocol):
    """An opened model."""

    @property
    def card(self) -> TaggerCard:
        """Its card."""


M = TypeVar("M", bound=OpenedModel)


def check_options(scheme: str, prior_correction: float) -> None:
    """Raises UserError for an unknown scheme, or a correction that is not from 0 to 1."""
    roles_of(scheme, where="segment.scheme")
    if not 0 <= prior_correction <= 1:
        raise UserError(f"{prior_correction}", where="segment.prior_correction", cure="from 0 to 1")


def open_model(load: Callable[[Path, int], M], model: str, *, scheme: str | None) -> M:
    """The model of a tagger.

    Args:
        load: opens a file, given its time of change in nanoseconds, too: so it may keep what it opened, and yet a file
            that was trained anew is opened anew.
        model: config path of the file.
        scheme: scheme of the roles that it has to know; None: any.

    Raises:
        UserError: the file is missing, or of another scheme; and what `load` raises.
    """
    path = resolve(model)
    if not path.is_file():
        raise UserError(
            "no such model", where=str(path), cure="correct segment.model, or train one: legalrr segment train"
        )
    opened = load(path, path.stat().st_mtime_ns)
    if scheme is not None and opened.card.scheme != scheme:
        raise UserError(
            f"the model knows the roles of {opened.card.scheme!r}, not of {scheme!r}",
            where=str(path),
            cure=f"set segment.scheme={opened.card.scheme} or choose another model",
        )
    return opened


def tag_sentences(
    judgment: Judgment, decode: Callable[[Sequence[str]], Sequence[tuple[str, float]]], *, scheme: str
) -> Segments:
    """A span per sentence of the judgment; `decode` gives role and score for each of its sentences."""
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
    """The tagger that conf/segment/NAME.yaml describes, or conf/segment/NAME_SCHEME.yaml if that has other roles.

    Args:
        name: name of the choice ("crf").
        scheme: scheme of the roles; build or seven.
        model: path of a model file in place of the choice's own.
        prior_correction: 0 to 1, in place of the choice's own; see `legalrr.segment.crf.CrfSegmenter`.
        option: what the user calls the choice, for messages.

    Raises:
        UserError: no such choice, none with that scheme, a field that it lacks, or one that needs gold roles.
    """
    files = choices("segment")
    if name not in files:
        raise UserError(f"no tagger {name!r}", where=option, cure=f"one of {', '.join(files)}")
    nodes = [OmegaConf.load(files[one]) for one in (name, f"{name}_{scheme}") if one in files]
    node = next((node for node in nodes if isinstance(node, DictConfig) and node.get("scheme") == scheme), None)
    if node is None:
        raise UserError(
            f"{name!r} finds no roles of {scheme!r}", where=option, cure="'build' or 'seven', with a tagger"
        )
    for field, value in (("model", model), ("prior_correction", prior_correction)):
        if value is not None:
            node[field] = value
    return build(node, Segmenter, option=option)  # type: ignore[type-abstract]


@dataclass(frozen=True, kw_only=True)
class GoldSegmenter:
    """Gives a judgment's gold spans as they are."""

    VERSION: ClassVar[int] = 1

    name: str = "gold"
    """Name in tables."""
    stored: ClassVar[bool] = False
    """Nothing is computed, so nothing is kept."""
    needs_gold: ClassVar[bool] = True
    """Judgments without gold roles are left out, and counted."""

    def provenance(self) -> Mapping[str, Any]:
        """Nothing beyond the fields: the spans belong to the judgment, whose content is in the key of every record."""
        return {}

    def segment(self, judgment: Judgment) -> Segments:
        """The gold spans; raises UserError for a judgment without them."""
        if judgment.spans is None or judgment.scheme is None:
            raise UserError(
                "no gold roles",
                where=f"{judgment.source}: {judgment.id}" if judgment.source else judgment.id,
                cure="let a tagger find them: segment=crf",
            )
        return Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)
