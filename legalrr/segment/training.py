"""Scoring a way of making a tagger on judgments that it has not seen."""

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
from legalrr.segment.card import count_roles, shares
from legalrr.segment.chances import Chances, calibration_error, fit_temperature
from legalrr.segment.labelled import Labelled, groups

AVERAGES = ("micro", "macro", "weighted")
DIGITS = 4


class Fitted(Protocol):
    """A trained tagger."""

    def chances(self, sentences: Sequence[str]) -> Chances:
        """Probabilities of the roles for each sentence of one judgment."""

    def as_json(self) -> dict[str, Any]:
        """What its card says beside the recipe."""


class Recipe(Protocol):
    """A way of training a tagger."""

    def fit(self, documents: Sequence[Labelled], path: Path) -> Fitted:
        """Train on `documents`, write the model to `path` (its suffix is `suffix`), and open it."""

    @property
    def suffix(self) -> str:
        """Suffix of the model file."""

    def as_json(self) -> dict[str, Any]:
        """All settings, for the model's card."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What cross-validation found."""

    scores: Mapping[str, Any]
    """As described in `evaluate`."""
    temperature: float
    """Temperature that calibrates the probabilities, fitted on the held-out sentences of all folds."""
    gold: tuple[str, ...]
    """Gold role of every sentence."""
    found: tuple[str, ...]
    """Role given to it by the tagger that had not seen its judgment, in the same order."""
    trained_on: float
    """Judgments that a fold's tagger was trained on, mean over folds."""


def evaluate(
    documents: Sequence[Labelled],
    recipe: Recipe,
    *,
    folds: int,
    seed: int,
    also: Sequence[Labelled] = (),
    prior_correction: float = 0.0,
    share: float = 1.0,
    jobs: int = 1,
    tell: Callable[[str], None] = print,
) -> Evaluation:
    """Cross-validate, folded by document; near-duplicates stay in one fold.

    Args:
        documents: annotated judgments of one scheme; every one is held out once.
        recipe: how each fold's tagger is trained.
        folds: how many folds, at least 2.
        seed: seed of the assignment of documents to folds.
        also: further judgments to train on in every fold that holds out no near-duplicate of them; never scored.
        prior_correction: as in `Chances.decode`.
        share: of the judgments a fold could train on, drawn by `seed`; a smaller share is part of a larger one.
        jobs: folds at once, each in a process of its own; the scores do not depend on it.
        tell: receives a line per fold.

    Returns:
        scores: folds, seed, prior_correction; micro, macro and weighted F1 as {"mean", "sd"} over folds (macro: over
        the roles of the fold's gold); pooled: the same averages over all folds' sentences together; roles: per role its
        number of sentences and its pooled precision, recall and F1; calibration_error before and after tempering.

    Raises:
        UserError: more folds than different judgments, or a share that leaves a fold nothing to train on.
    """
    from sklearn.model_selection import GroupKFold

    every = [*documents, *also]
    group = groups(every)
    own = group[: len(documents)]
    if not 2 <= folds <= len(set(own)):
        raise UserError(
            f"{folds} folds of {len(set(own))} different judgments", where="--folds", cure="from 2 to their number"
        )
    per_fold: dict[str, list[float]] = {average: [] for average in AVERAGES}
    held_out: list[Labelled] = []
    chances: list[Chances] = []
    found: list[str] = []
    work = []
    for _, held in GroupKFold(folds, shuffle=True, random_state=seed).split(documents, groups=own):
        gone = {group[i] for i in held}
        kept = [document for document, of in zip(every, group, strict=True) if of not in gone]
        work.append((recipe, _drawn(kept, share, seed), [documents[i] for i in held]))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) if jobs > 1 else nullcontext() as pool:
        results = pool.map(_held_out, work) if pool else map(_held_out, work)
        for number, (told, (_, kept, fold)) in enumerate(zip(results, work, strict=True), start=1):
            prior = shares(count_roles(kept), kept[0].scheme)
            decoded = [role for one in told for role, _ in one.decode(prior, prior_correction)]
            fold_gold = [role for document in fold for role in document.roles]
            for average in AVERAGES:
                per_fold[average].append(_f1(fold_gold, decoded, average))
            tell(f"fold {number} of {folds}: " + ", ".join(f"{a} F1 {per_fold[a][-1]:.3f}" for a in AVERAGES))
            held_out += fold
            chances += told
            found += decoded
    gold = [role for document in held_out for role in document.roles]
    temperature = fit_temperature(chances, [document.roles for document in held_out])
    scores = {
        "folds": folds,
        "seed": seed,
        "prior_correction": prior_correction,
        **{a: {"mean": round(mean(v), DIGITS), "sd": round(stdev(v), DIGITS)} for a, v in per_fold.items()},
        "pooled": {a: round(_f1(gold, found, a), DIGITS) for a in AVERAGES},
        "roles": _per_role(gold, found),
        "calibration_error": {
            "before": _gap(chances, gold),
            "after": _gap([one.tempered(temperature) for one in chances], gold),
        },
    }
    return Evaluation(
        scores=scores,
        temperature=temperature,
        gold=tuple(gold),
        found=tuple(found),
        trained_on=mean(len(kept) for _, kept, _ in work),
    )


def _drawn(documents: Sequence[Labelled], share: float, seed: int) -> list[Labelled]:
    """A share of the documents in their order, the same ones for a seed, and those of smaller shares among them."""
    from random import Random

    count = round(share * len(documents))
    if not 0 < count <= len(documents):
        raise UserError(
            f"a share of {share:g} of {len(documents)} judgments", where="--shares", cure="more than 0, and 1 at most"
        )
    places = list(range(len(documents)))
    Random(seed).shuffle(places)
    return [documents[i] for i in sorted(places[:count])]


def _held_out(work: tuple[Recipe, Sequence[Labelled], Sequence[Labelled]]) -> list[Chances]:
    """What a tagger that was trained on the first documents makes of the others."""
    recipe, kept, fold = work
    with TemporaryDirectory() as folder:
        fitted = recipe.fit(kept, Path(folder) / f"model{recipe.suffix}")
        return [fitted.chances(document.sentences) for document in fold]


def _f1(gold: Sequence[str], found: Sequence[str], average: str) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(gold, found, labels=sorted(set(gold)), average=average, zero_division=0))


def _per_role(gold: Sequence[str], found: Sequence[str]) -> dict[str, dict[str, float]]:
    from sklearn.metrics import precision_recall_fscore_support

    names = sorted(set(gold))
    rows = zip(*precision_recall_fscore_support(gold, found, labels=names, zero_division=0), strict=True)
    return {
        name: {
            "sentences": int(count),
            "precision": round(float(precision), DIGITS),
            "recall": round(float(recall), DIGITS),
            "f1": round(float(f1), DIGITS),
        }
        for name, (precision, recall, f1, count) in zip(names, rows, strict=True)
    }


def _gap(chances: Sequence[Chances], gold: Sequence[str]) -> float:
    flat = dict.fromkeys(chances[0].roles, 1.0)
    decoded = [pair for one in chances for pair in one.decode(flat, 0.0)]
    right = [role == true for (role, _), true in zip(decoded, gold, strict=True)]
    return round(calibration_error([sure for _, sure in decoded], right), DIGITS)
