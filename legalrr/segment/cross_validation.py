"""Cross-validate a tagger: F1 averages, calibration, confusion matrix and learning curve."""

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from legalrr.errors import UserError
from legalrr.html import SVG_SALT
from legalrr.segment.card import LabelledJudgment, count_roles, group_near_duplicates, role_priors
from legalrr.segment.tagger import RoleProbabilities, calibration_error, fit_temperature
from legalrr.tables import Table

AVERAGES = ("micro", "macro", "weighted")
DIGITS = 4
CELL_INCHES, MARGIN_INCHES = 0.52, 2.2
DARK = 0.55
"""Share from which a cell of the confusion matrix has white digits."""


def confusion_svg(gold: Sequence[str], predicted: Sequence[str], *, title: str) -> str:
    """Plot the confusion matrix as SVG: numbers of sentences, shaded by their share of the gold role (row).

    Args:
        gold: gold role of every sentence.
        predicted: predicted role of every sentence, in the same order.
        title: title of the figure.
    """
    import numpy as np
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    roles = sorted(set(gold) | set(predicted))
    counts = confusion_matrix(gold, predicted, labels=roles)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = CELL_INCHES * len(roles) + MARGIN_INCHES
    with rc_context({"svg.hashsalt": SVG_SALT, "font.family": "DejaVu Sans", "font.size": 8}):
        figure = Figure(figsize=(side, side), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(roles)), roles, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(roles)), roles)
        axes.set_xlabel("role found")
        axes.set_ylabel("gold role")
        axes.set_title(title)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] >= DARK else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=7)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


class FittedTagger(Protocol):
    """A trained tagger."""

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Compute the role probabilities of the sentences of one judgment."""

    def as_json(self) -> dict[str, Any]:
        """Return the entries of the card beside the recipe."""


class TaggerRecipe(Protocol):
    """Training settings of a tagger."""

    def fit(self, documents: Sequence[LabelledJudgment], path: Path) -> FittedTagger:
        """Train on `documents`, write the model to `path` (with the suffix `suffix`), and open it.

        The tagger has the scheme of the first document; only a recipe whose `shares_schemes` is True gets others.
        """

    @property
    def suffix(self) -> str:
        """Suffix of the model file."""

    @property
    def shares_schemes(self) -> bool:
        """Judgments of other schemes can be training data, too."""

    def as_json(self) -> dict[str, Any]:
        """Return all settings, for the card of the model."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result of a cross-validation."""

    scores: Mapping[str, Any]
    """Scores as described in `evaluate`."""
    temperature: float
    """Temperature that calibrates the probabilities, fitted on the held-out sentences of all folds."""
    gold: tuple[str, ...]
    """Gold role of every sentence."""
    predicted: tuple[str, ...]
    """Predicted role of every sentence when held out, in the same order."""
    trained_on: float
    """Number of training judgments, mean over folds."""


def evaluate(
    documents: Sequence[LabelledJudgment],
    recipe: TaggerRecipe,
    *,
    folds: int,
    seed: int,
    also: Sequence[LabelledJudgment] = (),
    prior_correction: float = 0.0,
    share: float = 1.0,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> Evaluation:
    """Cross-validate with folds of documents; near-duplicates stay in one fold.

    Args:
        documents: annotated judgments of one scheme; each is held out once.
        recipe: training settings of each fold's tagger.
        folds: number of folds, at least 2.
        seed: seed of the assignment of documents to folds.
        also: further training judgments, omitted from a fold that holds out a near-duplicate of them; never scored.
            Of another scheme only if the recipe shares schemes.
        prior_correction: as in `RoleProbabilities.decode`.
        share: share of the available training judgments of each fold, drawn by `seed`; smaller shares are subsets of
            larger ones.
        jobs: folds in parallel, each in its own process; the scores do not depend on it.
        report: receives a line per fold.

    Returns:
        scores: folds, seed, prior_correction; micro, macro and weighted F1 as {"mean", "sd"} over folds (macro: over
        the gold roles of the fold); pooled: the same averages over the sentences of all folds; roles: number of
        sentences and pooled precision, recall and F1 per role; calibration_error before and after temperature scaling.

    Raises:
        UserError: more folds than distinct judgments, or a share that leaves a fold without training judgments.
    """
    from sklearn.model_selection import GroupKFold

    every = [*documents, *also]
    group = group_near_duplicates(every)
    own = group[: len(documents)]
    if not 2 <= folds <= len(set(own)):
        raise UserError(
            f"{folds} folds of {len(set(own))} distinct judgments", where="--folds", cure="give 2 to their number"
        )
    per_fold: dict[str, list[float]] = {average: [] for average in AVERAGES}
    held_out: list[LabelledJudgment] = []
    probabilities: list[RoleProbabilities] = []
    predicted: list[str] = []
    work = []
    for _, held in GroupKFold(folds, shuffle=True, random_state=seed).split(documents, groups=own):
        held_groups = {group[i] for i in held}
        kept = [document for document, own_group in zip(every, group, strict=True) if own_group not in held_groups]
        work.append((recipe, _draw_share(kept, share, seed), [documents[i] for i in held]))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) if jobs > 1 else nullcontext() as pool:
        results = pool.map(_predict_fold, work) if pool else map(_predict_fold, work)
        for number, (fold_probabilities, (_, kept, fold)) in enumerate(zip(results, work, strict=True), start=1):
            own_scheme = documents[0].scheme
            prior = role_priors(count_roles([one for one in kept if one.scheme == own_scheme]), own_scheme)
            decoded = [role for one in fold_probabilities for role, _ in one.decode(prior, prior_correction)]
            fold_gold = [role for document in fold for role in document.roles]
            for average in AVERAGES:
                per_fold[average].append(_f1(fold_gold, decoded, average))
            report(f"fold {number} of {folds}: " + ", ".join(f"{a} F1 {per_fold[a][-1]:.3f}" for a in AVERAGES))
            held_out += fold
            probabilities += fold_probabilities
            predicted += decoded
    gold = [role for document in held_out for role in document.roles]
    temperature = fit_temperature(probabilities, [document.roles for document in held_out])
    scores = {
        "folds": folds,
        "seed": seed,
        "prior_correction": prior_correction,
        **{a: {"mean": round(mean(v), DIGITS), "sd": round(stdev(v), DIGITS)} for a, v in per_fold.items()},
        "pooled": {a: round(_f1(gold, predicted, a), DIGITS) for a in AVERAGES},
        "roles": _per_role(gold, predicted),
        "calibration_error": {
            "before": _calibration_error(probabilities, gold),
            "after": _calibration_error([one.with_temperature(temperature) for one in probabilities], gold),
        },
    }
    return Evaluation(
        scores=scores,
        temperature=temperature,
        gold=tuple(gold),
        predicted=tuple(predicted),
        trained_on=mean(len(kept) for _, kept, _ in work),
    )


def _draw_share(documents: Sequence[LabelledJudgment], share: float, seed: int) -> list[LabelledJudgment]:
    """Draw a share of the documents by seed, in their order; smaller shares are subsets of larger ones."""
    from random import Random

    count = round(share * len(documents))
    if not 0 < count <= len(documents):
        raise UserError(
            f"a share of {share:g} of {len(documents)} judgments", where="--shares", cure="give above 0 and at most 1"
        )
    places = list(range(len(documents)))
    Random(seed).shuffle(places)
    return [documents[i] for i in sorted(places[:count])]


def _predict_fold(
    work: tuple[TaggerRecipe, Sequence[LabelledJudgment], Sequence[LabelledJudgment]],
) -> list[RoleProbabilities]:
    """Train on the first documents and predict the others."""
    recipe, kept, fold = work
    with TemporaryDirectory() as folder:
        fitted = recipe.fit(kept, Path(folder) / f"model{recipe.suffix}")
        return [fitted.predict_probabilities(document.sentences) for document in fold]


def _f1(gold: Sequence[str], predicted: Sequence[str], average: str) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(gold, predicted, labels=sorted(set(gold)), average=average, zero_division=0))


def _per_role(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, dict[str, float]]:
    from sklearn.metrics import precision_recall_fscore_support

    names = sorted(set(gold))
    rows = zip(*precision_recall_fscore_support(gold, predicted, labels=names, zero_division=0), strict=True)
    return {
        name: {
            "sentences": int(count),
            "precision": round(float(precision), DIGITS),
            "recall": round(float(recall), DIGITS),
            "f1": round(float(f1), DIGITS),
        }
        for name, (precision, recall, f1, count) in zip(names, rows, strict=True)
    }


def _calibration_error(probabilities: Sequence[RoleProbabilities], gold: Sequence[str]) -> float:
    flat = dict.fromkeys(probabilities[0].roles, 1.0)
    decoded = [pair for one in probabilities for pair in one.decode(flat, 0.0)]
    right = [role == true for (role, _), true in zip(decoded, gold, strict=True)]
    return round(calibration_error([probability for _, probability in decoded], right), DIGITS)


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Cross-validated scores for a share of the training judgments."""

    share: float
    """Share of the training judgments of each fold."""
    judgments: float
    """Number of training judgments, mean over folds."""
    mean: dict[str, float]
    """Average (micro, macro, weighted) -> F1, mean over folds."""
    sd: dict[str, float]
    """Average -> standard deviation over folds."""


def curve_point(share: float, evaluation: Evaluation) -> CurvePoint:
    """Convert an evaluation to a point of the learning curve."""
    return CurvePoint(
        share=share,
        judgments=evaluation.trained_on,
        mean={average: evaluation.scores[average]["mean"] for average in AVERAGES},
        sd={average: evaluation.scores[average]["sd"] for average in AVERAGES},
    )


def parse_shares(text: str) -> tuple[float, ...]:
    """Parse shares such as `0.25,0.5,1` and sort them; raise UserError for a share that is not a number in (0, 1]."""
    try:
        shares = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError as error:
        raise UserError(f"{text!r}", where="--shares", cure="give numbers, such as 0.25,0.5,1") from error
    if not all(0 < share <= 1 for share in shares):
        raise UserError(f"{text!r}", where="--shares", cure="give above 0 and at most 1")
    return shares


def curve_csv(points: Sequence[CurvePoint]) -> str:
    """Format the points as CSV, one row each."""
    rows = []
    for one in points:
        figures = (value for average in AVERAGES for value in (one.mean[average], one.sd[average]))
        rows.append((f"{one.share:g}", f"{one.judgments:.1f}", *(f"{value:.4f}" for value in figures)))
    header = ("share", "judgments", *(f"{average}_{what}" for average in AVERAGES for what in ("mean", "sd")))
    return Table(header=header, rows=tuple(rows)).csv()


def curve_svg(points: Sequence[CurvePoint], *, title: str) -> str:
    """Plot the curve as SVG: micro-F1 and macro-F1 by judgments (log scale), with one standard deviation as error bar.

    Args:
        points: at least one.
        title: title of the figure.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": SVG_SALT, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(6.0, 4.0), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        at = [one.judgments for one in points]
        for average, mark in (("micro", "o"), ("macro", "s")):
            means, sds = [one.mean[average] for one in points], [one.sd[average] for one in points]
            axes.errorbar(at, means, yerr=sds, marker=mark, capsize=3, label=f"{average}-F1")
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [f"{count:.0f}" for count in at])
        axes.minorticks_off()
        axes.set_xlabel("judgments trained on")
        axes.set_ylabel("F1, mean over folds")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
